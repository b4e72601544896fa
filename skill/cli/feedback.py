"""`strop feedback`: what people said about answers, in and out. `add`, `review` and `forget` have their own rooms."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli import add
from strop.cli.add import FIRST, ID_CHARS
from strop.cli.output import JsonFlag, end, hint, indented, one_line, say, session, show, table
from strop.errors import LedgerError, NothingToDo, UnknownInteraction, UsageError

if TYPE_CHECKING:
    from strop.feedback.importers.base import Imported
    from strop.feedback.overview import Reaction, Shown

app = typer.Typer(help="Ratings and corrections: add, list, review, import, export.", no_args_is_help=True)

_SKIPPED_SHOWN = 20


add.register(app)


@app.command(name="show", epilog="\b\nExample:\n  strop feedback show 1a2b3c4d5e6f")
def show_(
    ctx: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="An answer's id, or its first 8 characters or more.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one answer with all that was said about it.

    Its conversation, the reactions with their reviews, and what it is used for.
    """
    from strop.feedback import Ledger
    from strop.feedback.overview import show as shown

    path = session(ctx).home.ledger_db
    if not path.exists():
        raise UnknownInteraction("the ledger holds no answer yet", hint=FIRST)
    with Ledger.open(path) as ledger:
        found = shown(ledger, id_)
    show(found.as_dict(), as_json=as_json, human=lambda: _print_shown(found))
    if any(reaction.waits for reaction in found.answer.reactions):
        hint("strop feedback review")


@app.command(name="list", epilog="\b\nExample:\n  strop feedback list --limit 5")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    session_name: Annotated[str | None, typer.Option("--session", help="Of this conversation only.")] = None,
    user: Annotated[str | None, typer.Option(help="Asked or reacted to by this user only.")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="With a reaction that waits for review only.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the newest answers and reactions."""
    from strop.feedback import Ledger
    from strop.feedback.overview import newest

    path = session(ctx).home.ledger_db
    found: list[dict[str, Any]] = []
    if path.exists():
        with Ledger.open(path) as ledger:
            for one in newest(ledger, limit, session=session_name, user=user, waiting=waiting):
                found.append(one.as_dict())
    show({"interactions": found}, as_json=as_json, human=lambda: _print_list(found))
    if found:
        hint(f"strop feedback show {found[0]['id'][:ID_CHARS]}")
    elif not (session_name or user or waiting):
        hint(FIRST)


@app.command(name="import", epilog="\b\nExample:\n  strop feedback import feedback.jsonl")
def import_(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file or folder: Strop's own JSONL, or what another program left.")],
    format_: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Its format, where that is not plain from it.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Whose feedback it is, where it names nobody; without it, the owner's.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in feedback from a file or folder.

    Safe to run twice; of a file made by hand with a bad line nothing is stored.
    """
    from strop.feedback.imports import reader
    from strop.feedback.overview import waiting
    from strop.ledger import open_ledger, rules

    home = session(ctx).home
    found = rules(home)
    read = reader(path, format_, user=user, owners=found.owners)
    with open_ledger(home, found) as ledger:
        done = read(ledger)
        left = waiting(ledger)
    facts = {"added": done.added, "known": done.known, "signals": done.signals, "skipped": dict(done.skipped)}
    show(facts, as_json=as_json, human=lambda: _print_imported(done))
    hint(f"{left} reactions wait for the owner: strop feedback review" if left else "strop feedback stats")


@app.command(epilog="\b\nExample:\n  strop feedback export feedback.jsonl")
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; stdout without it, or as -.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write all feedback as JSONL.

    One interaction with its signals a line; `strop feedback import` reads it back.
    """
    from strop.feedback import Ledger
    from strop.feedback.export import export_file, export_lines

    path = session(ctx).home.ledger_db
    if not path.exists():
        raise NothingToDo("there is no feedback yet", hint=FIRST)
    file = None if file == Path("-") else file
    if file is None and as_json:
        raise UsageError("--json needs a FILE: the feedback itself takes stdout", hint="strop feedback export FILE")
    with Ledger.open(path) as ledger:
        if file is None:
            for line in export_lines(ledger):
                typer.echo(line)
            return
        count = export_file(ledger, file)
    done = {"file": str(file), "interactions": count}
    show(done, as_json=as_json, human=lambda: say(f"wrote {count} interactions to {file}"))


@app.command(epilog="\b\nExample:\n  strop feedback stats")
def stats(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Count the feedback.

    By kind, by whose word it is, by what the reactions that count come to, and by use.
    """
    from strop.feedback import Ledger
    from strop.feedback.overview import NOTHING, figures

    path = session(ctx).home.ledger_db
    found = NOTHING
    if path.exists():
        with Ledger.open(path) as ledger:
            found = figures(ledger)
    rows = {
        **found.counts,
        **found.owner,
        **{f"of trust {name}": count for name, count in found.trust.items()},
        "waiting for review": found.waiting,
        **{f"on the {name} side": count for name, count in found.sides.items()},
        "standing rows": found.standing_rows,
    }
    show(found.as_dict(), as_json=as_json, human=lambda: _print_counts(rows))
    if found.waiting:
        hint("strop feedback review")
    else:
        hint("strop night trains on it and keeps the result only if it is better")


@app.command(epilog="\b\nExample:\n  strop feedback verify --json")
def verify(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Derive every stored hash anew and compare.

    Leaves with 1 where something is not what was stored.
    """
    from strop.feedback import Ledger
    from strop.feedback.verify import problems

    path = session(ctx).home.ledger_db
    found: tuple[str, ...] = ()
    counts = {"interactions": 0}
    if path.exists():
        with Ledger.open(path) as ledger:
            found, counts = problems(ledger), ledger.counts()
    answers = counts.pop("interactions")
    facts = {"ok": not found, "interactions": answers, "signals": sum(counts.values()), "problems": list(found)}
    good = f"ok: {answers} answers and {facts['signals']} reactions are what was stored"
    show(facts, as_json=as_json, human=lambda: say("\n".join(found) or good))
    if found:
        hint(f"put {path} back from a copy; what was exported can be imported into a new home")
        end(LedgerError.exit_code)


def _print_list(found: list[dict[str, Any]]) -> None:
    rows = []
    for one in found:
        time, asked = one["time"][:16].replace("T", " "), one["messages"][-1]["content"]
        said = "; ".join(_brief(signal) for signal in one["signals"])
        rows.append((one["id"][:ID_CHARS], time, one_line(asked), one_line(one["answer"]), said))
    table(("id", "time (UTC)", "prompt", "answer", "reactions"), rows)


def _brief(signal: dict[str, Any]) -> str:
    """A reaction in a few words: a rating as its value, everything else as what was said."""
    waits = " (waiting)" if signal["waiting"] else ""
    if signal["kind"] in ("correction", "note"):
        return f"{signal['kind']}: {one_line(signal['text'])}{waits}"
    return f"{signal['kind']} {signal['value']:+g}{waits}"


def _print_shown(found: "Shown") -> None:
    one = found.answer.interaction
    side = f"{found.side} ({found.reason}), cluster {found.cluster[:ID_CHARS]}" if found.cluster else "none yet"
    facts = {
        "id": found.answer.id,
        "time (UTC)": f"{one.time:%Y-%m-%d %H:%M}",
        **{name: getattr(one, name) for name in ("user", "session", "model", "version", "domain", "channel")},
        "turn": f"{one.turn}" if one.session else "",
        "tools": ", ".join(str(call.get("name", "a tool")) for call in one.tool_calls),
        "side": side,
        "gate tests": f"{found.tests}" if found.tests else "",
    }
    table(("what", "value"), [(name, one_line(value)) for name, value in facts.items() if value])
    for message in one.messages:
        say(f"\n{message.role}:\n{indented(message.content)}")
    say(f"\nanswer:\n{indented(one.answer)}")
    for reaction in found.answer.reactions:
        say(f"\n{one_line(heading(reaction), 200)}")
        if reaction.signal.text:
            say(indented(reaction.signal.text))
        for review in reaction.reviews:
            say(f"  {review.time:%Y-%m-%d %H:%M} {one_line(review.who)}: {review.decision}")
            if review.text is not None:
                say(indented(indented(review.text)))


def heading(reaction: "Reaction") -> str:
    """One line on a reaction, without its text."""
    signal = reaction.signal
    waits = ", waits for review" if reaction.waits else ""
    whose = f"by {signal.user or 'somebody'} ({signal.trust}) from {signal.source}"
    when = f"{signal.time:%Y-%m-%d %H:%M}"
    return f"{signal.kind} {signal.value:+g} {whose}, {when}, id {reaction.id[:ID_CHARS]}{waits}"


def _print_imported(done: "Imported") -> None:
    say(f"{done.added} stored, {done.known} were there already, {done.signals} new reactions")
    if done.skipped:
        ordered = sorted(done.skipped.items(), key=lambda entry: (-entry[1], entry[0]))
        rows = [(one_line(reason, 120), f"{count}") for reason, count in ordered[:_SKIPPED_SHOWN]]
        if rest := sum(count for _, count in ordered[_SKIPPED_SHOWN:]):
            rows.append(("other reasons; --json names them all", f"{rest}"))
        table(("left out because", "count"), rows)


def _print_counts(counts: Mapping[str, int]) -> None:
    table(("what", "count"), [(name, f"{value}") for name, value in counts.items() if value or name == "interactions"])
