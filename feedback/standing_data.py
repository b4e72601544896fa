"""Standing data: curricula, house documents turned to pairs, last year's fine-tuning file. Trains every night, judges
never.

A file is read once, scrubbed and kept in the ledger, so that the night needs nothing else and `forget` finds it. Rows
are those of `strop train`: `messages`, `prompt` and `completion`, or `prompt`, `chosen` and `rejected`. Texts alone:
a row with tools, calls, thinking or weights is refused, because what would be kept of it is not what it says.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from strop.errors import BadRecord, Forgotten, NothingToDo, UsageError
from strop.feedback.jsonlines import lines, parse
from strop.feedback.judged import has_template_tokens
from strop.feedback.ledger import Ledger
from strop.feedback.records import ROLES, check_label, check_size, check_text, now, time_text
from strop.feedback.rows import Row, Turn
from strop.files import canonical_json, sha256_bytes

_COLUMNS = "messages; prompt and completion; or prompt, chosen and rejected"
# What rows of `strop train` may hold and standing data cannot.
_BESIDE_A_ROW = ("tools", "functions")
_BESIDE_A_TEXT = ("tool_calls", "function_call", "reasoning_content", "thinking")


@dataclass(frozen=True, slots=True)
class StandingSet:
    """One added file: `id` is the hash of its rows and its domain."""

    id: str
    name: str
    domain: str
    rows: int
    who: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Extra:
    """The standing rows of one night, and sentences on what was left out."""

    sft: tuple[Row, ...] = ()
    dpo: tuple[Row, ...] = ()
    sentences: tuple[str, ...] = ()


def add(ledger: Ledger, path: Path, domain: str, who: str = "owner") -> StandingSet:
    """Keep a JSONL file's rows as standing data, all of them or none.

    Raises BadRecord naming line and column, UsageError for a file that cannot be read, NothingToDo where the same rows
    are there already, Forgotten where all of them were taken out by `forget`: what was forgotten is passed over.
    """
    check_label("domain", domain)
    if not domain.strip():
        raise BadRecord("domain: it is empty", hint="name what the rows are about: --domain law")
    rows = [row for number, line in lines(path) for row in _checked(number, line, ledger)]
    if not rows:
        raise UsageError(f"{path} holds no rows", hint=f"a row is one JSON object a line: {_COLUMNS}")
    rows = _not_forgotten(ledger, rows)
    found = StandingSet(set_id(domain, rows), path.name[:200], domain, len(rows), who, now())
    if ledger.query("SELECT 1 FROM standing_sets WHERE id = ?", (found.id,)):
        raise NothingToDo(f"these rows are standing data of {domain!r} already", hint="strop data list")
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO standing_sets (id, name, domain, rows, who, time) VALUES (?, ?, ?, ?, ?, ?)",
            (found.id, found.name, domain, found.rows, who, time_text(found.time)),
        )
        for number, row in enumerate(rows, start=1):
            ledger.execute("INSERT INTO standing_rows VALUES (?, ?, ?)", (found.id, number, canonical_json(row)))
        ledger.record_event("data add", who, {"set": found.id, "domain": domain, "rows": len(rows)})
    return found


def sets(ledger: Ledger) -> tuple[StandingSet, ...]:
    """All standing data, oldest first."""
    return tuple(
        StandingSet(row["id"], row["name"], row["domain"], row["rows"], row["who"], datetime.fromisoformat(row["time"]))
        for row in ledger.query("SELECT * FROM standing_sets ORDER BY seq")
    )


def remove(ledger: Ledger, which: str, who: str = "owner") -> StandingSet:
    """Take one set out of every later night; `which` is its id's beginning. Raises UsageError for none or several."""
    fitting = [one for one in sets(ledger) if which and one.id.startswith(which)]
    if len(fitting) != 1:
        said = "more than one set begins" if fitting else "no standing data begins"
        raise UsageError(f"{said} with {which!r}", hint="strop data list shows the ids")
    with ledger.transaction():
        ledger.execute("DELETE FROM standing_rows WHERE set_id = ?", (fitting[0].id,))
        ledger.execute("DELETE FROM standing_sets WHERE id = ?", (fitting[0].id,))
        ledger.record_event("data remove", who, {"set": fitting[0].id, "rows": fitting[0].rows})
    return fitting[0]


def rows(ledger: Ledger, *, beside: int, share: float) -> Extra:
    """Tonight's standing rows: at most `share` of all rows beside `beside` rows of feedback, the same ones each night.

    With no feedback at all there is nothing to stand beside, and none are given. Each domain gives its part.
    """
    by_domain: dict[str, list[tuple[str, Row]]] = {}
    for row in ledger.query("SELECT set_id, line, row, domain FROM standing_rows JOIN standing_sets ON id = set_id"):
        name = row_name(row["set_id"], row["line"])
        by_domain.setdefault(row["domain"], []).append((name, json.loads(row["row"])))
    total = sum(map(len, by_domain.values()))
    room = int(beside * share / (1 - share))
    chosen = [
        entry
        for domain, entries in sorted(by_domain.items())
        for entry in _sampled(entries, -(-room * len(entries) // total) if total > room else len(entries))
    ]
    sft = tuple({**row, "signals": [name]} for name, row in chosen if "completion" in row)
    dpo = tuple({**row, "signals": [name]} for name, row in chosen if "chosen" in row)
    left = total - len(chosen)
    figure = f"{len(chosen)} of {total} standing rows are used: they may be {share:.0%} of all rows at the most."
    return Extra(sft, dpo, (figure,) if left else ())


def set_id(domain: str, rows: Sequence[Row]) -> str:
    """The id of a set with these rows: 64 hex digits."""
    return sha256_bytes(canonical_json([domain, list(rows)]).encode())


def row_name(which: str, line: int) -> str:
    """How a dataset's row names the standing row that it was made of, in its `signals`."""
    return f"standing:{which}:{line}"


def row_mark(ledger: Ledger, row: Row) -> bytes:
    """The tombstone of a standing row, in whatever set it comes."""
    return ledger.tombstone("standing", canonical_json(row))


def _not_forgotten(ledger: Ledger, rows: list[Row]) -> list[Row]:
    marks = {row["mark"] for row in ledger.query("SELECT mark FROM tombstones")}
    kept = [row for row in rows if not marks or row_mark(ledger, row) not in marks]
    if not kept:
        raise Forgotten("every row of this file was forgotten and is not stored again", hint="strop audit")
    return kept


def _sampled(entries: Sequence[tuple[str, Row]], count: int) -> list[tuple[str, Row]]:
    ordered = sorted(entries, key=lambda entry: sha256_bytes(entry[0].encode()))
    return sorted(ordered[:count])


def _checked(number: int, line: bytes, ledger: Ledger) -> Iterator[Row]:
    """The rows of one line, scrubbed. A conversation gives one row for each answer in it."""
    try:
        data = parse(line)
        _texts_alone("the row", data, _BESIDE_A_ROW)
        if "messages" in data:
            yield from _turns(data, ledger)
        elif "chosen" in data or "rejected" in data:
            prompt, chosen, rejected = _prompt(data), _answer(data, "chosen"), _answer(data, "rejected")
            texts = _clean(ledger, [*_contents("prompt", data, prompt), ("chosen", chosen), ("rejected", rejected)])
            if texts[-2] == texts[-1]:
                raise BadRecord("rejected: it equals chosen")
            yield {"prompt": _with(prompt, texts), "chosen": _said(texts[-2]), "rejected": _said(texts[-1])}
        elif "completion" in data:
            prompt, completion = _prompt(data), _answer(data, "completion")
            texts = _clean(ledger, [*_contents("prompt", data, prompt), ("completion", completion)])
            yield {"prompt": _with(prompt, texts), "completion": _said(texts[-1])}
        else:
            raise BadRecord(f"the columns are {', '.join(sorted(data)) or 'none'}", hint=f"expected: {_COLUMNS}")
    except BadRecord as error:
        hint = error.hint or "mend the line and add the file again"
        raise BadRecord(f"line {number}: {error} (nothing of the file was stored)", hint=hint) from error


def _turns(data: dict[str, Any], ledger: Ledger) -> Iterator[Row]:
    messages = _messages("messages", data["messages"])
    texts = _clean(ledger, _contents("messages", data, messages))
    turns = _with(messages, texts)
    places = [
        place
        for place, turn in enumerate(turns)
        if turn["role"] == "assistant" and place and turns[place - 1]["role"] == "user"
    ]
    if not places:
        raise BadRecord("messages: there is no answer to a user in them")
    for place in places:
        yield {"prompt": turns[:place], "completion": _said(turns[place]["content"])}


def _contents(column: str, data: dict[str, Any], turns: list[Turn]) -> list[tuple[str, str]]:
    """Each text of a column with the field that it stands in: `prompt`, or `prompt[0].content` where it is a list."""
    if not isinstance(data[column], list):
        return [(column, turn["content"]) for turn in turns]
    return [(f"{column}[{place}].content", turn["content"]) for place, turn in enumerate(turns)]


def _clean(ledger: Ledger, named: Sequence[tuple[str, str]]) -> list[str]:
    """The texts, scrubbed. Raises BadRecord naming the field of one that cannot be kept."""
    texts = [text for _, text in named]
    check_size(texts)
    if (field := next((name for name, text in named if has_template_tokens(text)), None)) is not None:
        raise BadRecord(
            f"{field}: it holds a chat template's control tokens", hint="take them out: they would open or end turns"
        )
    return list(ledger.scrub(texts, None).texts)


def _messages(column: str, value: Any) -> list[Turn]:
    if not isinstance(value, list) or not value:
        raise BadRecord(f"{column}: a list of messages is needed")
    for message in value:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadRecord(f"{column}: every message needs a role, one of {', '.join(ROLES)}")
        _texts_alone(f"{column}: a message", message, _BESIDE_A_TEXT)
        check_text(f"{column}: content", message.get("content"))
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _texts_alone(what: str, data: dict[str, Any], beside: Sequence[str]) -> None:
    found = [name for name in beside if data.get(name)] + ["weight 0"] * (data.get("weight") == 0)
    if found:
        raise BadRecord(f"{what} has {found[0]}, which standing data cannot keep", hint="strop train learns from it")


def _prompt(data: dict[str, Any]) -> list[Turn]:
    prompt = data.get("prompt")
    if isinstance(prompt, list):
        turns = _messages("prompt", prompt)
        if turns[-1]["role"] != "user":
            raise BadRecord("prompt: its last message must be the user's")
        return turns
    check_text("prompt", prompt)
    return [{"role": "user", "content": str(prompt)}]


def _answer(data: dict[str, Any], column: str) -> str:
    value = data.get(column)
    if isinstance(value, list):
        turns = _messages(column, value)
        if len(turns) != 1 or turns[0]["role"] != "assistant":
            raise BadRecord(f"{column}: a text or one assistant message is needed")
        return turns[0]["content"]
    check_text(column, value)
    return str(value)


def _said(text: str) -> list[Turn]:
    return [{"role": "assistant", "content": text}]


def _with(turns: Sequence[Turn], texts: Sequence[str]) -> list[Turn]:
    return [{"role": turn["role"], "content": text} for turn, text in zip(turns, texts, strict=False)]
