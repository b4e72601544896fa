"""What `strop evaluate` prints: one table of rates, whoever measured them, and the same as one JSON object."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.cli.output import hint, note, say, show, table

if TYPE_CHECKING:
    from strop.evaluation.compare import Paired
    from strop.evaluation.preference import Preferred
    from strop.evaluation.rates import Rate
    from strop.harness import HarnessResult
    from strop.measurement import Form, Result, Row
    from strop.subject import Subject

_COLUMNS = ("suite", "items", "templates", "rate", "95 % interval", "errors", "asked by")


def show_suites(
    subject: "Subject",
    other: "Subject | None",
    results: "Sequence[Result]",
    preferred: "Preferred | None",
    items: Path | None,
    *,
    as_json: bool,
) -> None:
    """The table of suites, what a judge preferred, and on stderr what could not be measured."""
    rows = [row for result in results for row in result.rows()]
    sides = [(subject, [result.ours for result in results])]
    if other is not None:
        sides.append((other, [result.theirs for result in results if result.theirs is not None]))
    facts = [
        {
            "name": one.name,
            "kind": one.kind,
            "items": sum(len(found.scores) for found in every),
            "known": sum(found.known for found in every),
            "errors": sum(found.errors for found in every),
        }
        for one, every in sides
    ]
    data = {
        "model": facts[0],
        "against": facts[1] if other is not None else None,
        "harness": None,
        "suites": [_row_facts(row) for row in rows],
        "judge": preferred.as_dict() if preferred is not None else None,
        "items": str(items) if items else None,
    }
    show(data, as_json=as_json, human=lambda: _print(rows, preferred, compared=other is not None))
    for one in facts:
        if one["errors"]:
            why = _why(results, ours=one is facts[0])
            note(f"{one['errors']} of {one['items']} items of {one['name']} have no score: {why}")
    for row in rows:
        _note_unread(_name(row), row.unread, row.degenerate, row.rate)
        _note_unread(f"{_name(row)}, the other", row.against_unread, row.against_degenerate, row.against)
    if any("letter" in row.asked for row in rows):
        note("choice items were asked by letter: not to be compared with rates by likelihood")
    if items is None:
        hint("--items FILE writes what each item got")


def _note_unread(name: str, unread: Mapping[str, int], degenerate: int | None, rate: "Rate | None") -> None:
    """Who says nothing tells no secret and obeys no stranger: that must not pass for safety."""
    if rate is None:
        return
    asked = rate.items + rate.errors
    for why, count in unread.items():
        note(f"{name}: not measured: {count} of {asked} answers {why}")
    if degenerate and not unread:
        note(f"{name}: in {degenerate} of {asked} probes the answer is empty or stuck; silence is no safety")


def _why(results: "Sequence[Result]", *, ours: bool) -> str:
    from strop.measurement import why_none

    sides = [result.ours if ours else result.theirs for result in results]
    return why_none(score for side in sides if side is not None for score in side.scores.values())


def show_harness(subject: "Subject", found: "HarnessResult", items: Path | None, *, as_json: bool) -> None:
    """The same table of another harness's figures; a metric stands where suites say how they were asked."""
    from strop.evaluate import write_items

    if items is not None:
        write_items(items, found.samples)
    suites: list[dict[str, Any]] = [
        {"source": found.name, "asked": row.metric, "interval": "standard error" if row.has_error else "none"}
        | {"suite": row.rate.suite, "items": row.rate.items or None, "templates": None, "errors": 0, "against": None}
        | {"rate": row.rate.rate, "low": row.rate.low if row.has_error else None}
        | {
            "high": row.rate.high if row.has_error else None,
            "difference": None,
            "degenerate": None,
            "unread": {},
            "form": None,
        }
        for row in found.rows
    ]
    known: dict[str, Any] = {"items": None, "known": 0, "errors": 0}
    data = {
        "model": {"name": subject.name, "kind": subject.kind, **known},
        "against": None,
        "harness": {"name": found.name, "version": found.version},
        "suites": suites,
        "judge": None,
        "items": str(items) if items else None,
    }
    rows = [
        (
            row.rate.suite,
            str(row.rate.items or ""),
            "",
            f"{row.rate.rate:.3f}",
            f"{row.rate.low:.3f} to {row.rate.high:.3f}" if row.has_error else "none given",
            "",
            row.metric,
        )
        for row in found.rows
    ]
    show(data, as_json=as_json, human=lambda: table(_COLUMNS, rows))


def _print(rows: "Sequence[Row]", preferred: "Preferred | None", *, compared: bool) -> None:
    columns = (*_COLUMNS, "the other", "difference") if compared else _COLUMNS
    cells = [_cells(row) for row in rows]
    if any(row.degenerate is not None for row in rows):
        columns = (*columns, "empty or stuck")
        cells = [(*line, _silence(row)) for line, row in zip(cells, rows, strict=True)]
    table(columns, cells)
    for row in rows:
        _say_form(_name(row), row.form)
        _say_form(f"{_name(row)}, the other", row.against_form)
    if any(row.rate.items and row.rate.interval == "none" for row in rows):
        say("an interval of 0 to 100 % means: fewer than two templates, nothing can be said")
    if preferred is not None:
        say(preferred.sentence)


def _say_form(name: str, form: "Form | None") -> None:
    if form is not None and form.bad:
        ways = f"{form.degenerate} empty or stuck, {form.endless} did not end"
        say(f"{name}: {form.bad} bad by their form: {ways}, {form.template_tokens} held a template's token")


def _cells(row: "Row") -> tuple[str, ...]:
    one = row.rate
    cells = (_name(row), str(one.items), str(one.templates), _share(one), _interval(one), str(one.errors), row.asked)
    if row.against is None or row.difference is None:
        return cells
    return (*cells, _share(row.against), _apart(row.difference))


def _name(row: "Row") -> str:
    from strop.evaluation.rates import ALL

    return row.source if row.rate.suite in (ALL, row.source) else f"{row.source}/{row.rate.suite}"


def _silence(row: "Row") -> str:
    counts = [str(count) for count in (row.degenerate, row.against_degenerate) if count is not None]
    return ", the other ".join(counts)


def _share(rate: "Rate") -> str:
    return f"{rate.rate:.1%}" if rate.items else "not measured"


def _interval(rate: "Rate") -> str:
    return f"{rate.low:.1%} to {rate.high:.1%}" if rate.items else ""


def _apart(found: "Paired") -> str:
    if found.clusters < 2:
        return f"{found.mean:+.1%} (no interval)" if found.items else "not measured"
    if found.error == 0:
        return f"{found.mean:+.1%}, the same in every template"
    low, high = _possible(found)
    return f"{found.mean:+.1%} ({low:+.1%} to {high:+.1%})"


def _possible(found: "Paired") -> tuple[float, float]:
    """The interval, as far as two shares can be apart."""
    return max(-1.0, found.low), min(1.0, found.high)


def _row_facts(row: "Row") -> dict[str, Any]:
    ours = {"source": row.source, "asked": row.asked, **_rate_facts(row.rate), "degenerate": row.degenerate}
    ours |= {"unread": dict(row.unread), "form": _form_facts(row.form)}
    if row.against is None or row.difference is None:
        return {**ours, "against": None, "difference": None}
    theirs = {**_rate_facts(row.against), "degenerate": row.against_degenerate, "unread": dict(row.against_unread)}
    theirs["form"] = _form_facts(row.against_form)
    return {**ours, "against": theirs, "difference": _difference_facts(row.difference)}


def _form_facts(form: "Form | None") -> dict[str, int] | None:
    return asdict(form) if form is not None else None


def _rate_facts(rate: "Rate") -> dict[str, Any]:
    return {
        "suite": rate.suite,
        "items": rate.items,
        "templates": rate.templates,
        "rate": rate.rate if rate.items else None,
        "low": rate.low if rate.items else None,
        "high": rate.high if rate.items else None,
        "interval": rate.interval,
        "errors": rate.errors,
    }


def _difference_facts(found: "Paired") -> dict[str, Any]:
    bounded = found.clusters > 1 and found.error > 0  # without a spread there is no error to read
    low, high = _possible(found)
    return {
        "mean": found.mean if found.items else None,
        "low": low if bounded else None,
        "high": high if bounded else None,
        "items": found.items,
        "templates": found.clusters,
    }
