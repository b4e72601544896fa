"""`strop feedback`: what people said about answers, in and out. Loads nothing that `add` does not need."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from strop.cli.output import JsonFlag, hint, one_line, say, session, show, table
from strop.errors import BadRecord, NothingToDo, UsageError
from strop.home import Home

app = typer.Typer(help="Ratings and corrections: add, list, import, export.", no_args_is_help=True)

_CHANNEL = "cli"
_ID_CHARS = 12


class _Event(TypedDict):
    """Where a reaction comes from."""

    user: str
    source: str
    source_key: str


@app.command(
    epilog='\b\nExample:\n  strop feedback add --prompt "What is LoRA?" --answer "Well, ..." --rating down '
    '--correction "Small trainable matrices beside frozen weights."'
)
def add(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Option(help="What the person asked; - reads it from stdin.")],
    answer: Annotated[str, typer.Option(help="What the model answered; - reads it from stdin.")],
    rating: Annotated[str | None, typer.Option(metavar="up|down|1..5", help="What the person made of it.")] = None,
    correction: Annotated[str | None, typer.Option(help="The answer that was wanted; - reads it from stdin.")] = None,
    note: Annotated[str | None, typer.Option(help="What the person said beside the rating.")] = None,
    system: Annotated[str, typer.Option(help="The system prompt that the model saw.")] = "",
    domain: Annotated[str, typer.Option(help="What kind of task it was.")] = "general",
    session_name: Annotated[str, typer.Option("--session", help="The conversation that it belongs to.")] = "",
    user: Annotated[str, typer.Option(help="Who reacted. Only the owner's reactions train.")] = "owner",
    source_key: Annotated[str, typer.Option(help="The event behind it: the same one again is stored once.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Store an answer and a reaction to it.

    On disk when this returns; on an error nothing is stored.
    """
    from strop.feedback import FeedbackCollector

    if rating is None and correction is None and note is None:
        raise UsageError("a reaction is needed: --rating, --correction or --note", hint="strop feedback add --help")
    prompt, answer, correction = _from_stdin(prompt, answer, correction)
    home = session(ctx).home
    signals: list[str] = []
    with FeedbackCollector(home.ledger_db, owners=_owners(home)) as collector, collector.ledger.transaction():
        interaction = collector.record(
            prompt=prompt,
            answer=answer,
            system=system,
            domain=domain,
            session=session_name,
            user=user,
            channel=_CHANNEL,
        )
        event: _Event = {"user": user, "source": _CHANNEL, "source_key": source_key}
        if rating is not None:
            signals.append(collector.rate(interaction, rating, note=note, **event))
        elif note is not None:
            signals.append(collector.note(interaction, note, **event))
        if correction is not None:
            signals.append(collector.correct(interaction, correction, **event))
    stored = {"interaction": interaction, "signals": signals}
    show(stored, as_json=as_json, human=lambda: say(f"stored {interaction[:_ID_CHARS]}"))
    if correction is None and rating in ("down", "1", "2"):
        hint("the same with --correction says what was wanted; corrections teach most")


@app.command(name="list", epilog="\b\nExample:\n  strop feedback list --limit 5")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List the newest answers and reactions."""
    from strop.feedback import Ledger

    path = session(ctx).home.ledger_db
    found: list[dict[str, Any]] = []
    if path.exists():
        with Ledger.open(path) as ledger:
            for one, signals in ledger.iterate(newest_first=True, limit=limit):
                reactions = [{"id": signal.id, **signal.as_dict()} for signal in signals]
                found.append({"id": one.id, **one.as_dict(), "signals": reactions})
    show({"interactions": found}, as_json=as_json, human=lambda: _print_list(found))
    if not found:
        hint("strop feedback add --prompt ... --answer ... --rating up")


@app.command(name="import", epilog="\b\nExample:\n  strop feedback import feedback.jsonl")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSONL: one interaction with its signals a line, as export writes it.")],
    as_json: JsonFlag = False,
) -> None:
    """Take in a file of feedback.

    Safe to run twice; of a file with a bad line nothing is stored.
    """
    from strop.feedback import Ledger
    from strop.feedback.jsonl import import_file

    home = session(ctx).home
    with Ledger.open(home.ledger_db) as ledger:
        done = import_file(ledger, file, owners=_owners(home))
    text = f"{done.added} stored, {done.known} were there already"
    show({"added": done.added, "known": done.known}, as_json=as_json, human=lambda: say(text))


@app.command(epilog="\b\nExample:\n  strop feedback export feedback.jsonl")
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; stdout without it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write all feedback as JSONL.

    One interaction with its signals a line; `strop feedback import` reads it back.
    """
    from strop.feedback import Ledger
    from strop.feedback.jsonl import export_file, export_lines

    path = session(ctx).home.ledger_db
    if not path.exists():
        raise NothingToDo("there is no feedback yet", hint="strop feedback add --prompt ... --answer ... --rating up")
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

    By kind, and by what the owner's reactions to each answer come to.
    """
    from strop.feedback import Ledger
    from strop.feedback.signals import standing

    path = session(ctx).home.ledger_db
    counts: dict[str, int] = {"interactions": 0}
    owner = {"corrected": 0, "up": 0, "down": 0, "neutral": 0}
    if path.exists():
        with Ledger.open(path) as ledger:
            counts = ledger.counts()
            for _, signals in ledger.iterate(with_signals=True):
                if (result := standing(signals)) is not None:
                    owner[result.state] += 1
    show({"counts": counts, "owner": owner}, as_json=as_json, human=lambda: _print_counts({**counts, **owner}))
    hint("strop night trains on it and keeps the result only if it is better")


def _from_stdin(prompt: str, answer: str, correction: str | None) -> tuple[str, str, str | None]:
    """Replace the one text that is "-" by stdin; an argument of a command cannot hold a very long answer."""
    if [prompt, answer, correction].count("-") == 0:
        return prompt, answer, correction
    if [prompt, answer, correction].count("-") > 1:
        raise UsageError("only one text can come from stdin", hint="strop feedback add --help")
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"stdin is not UTF-8 at byte {error.start}", hint="send it as UTF-8") from None
    read = [text if given == "-" else given for given in (prompt, answer, correction)]
    return read[0] or "", read[1] or "", read[2]


def _owners(home: Home) -> Iterable[str]:
    """Whose reactions train. The settings are read only where they may say it: that takes as long as all the rest."""
    said = home.config_file.exists() and b"feedback" in home.config_file.read_bytes()
    if said or any(name.upper().startswith("STROP_FEEDBACK") for name in os.environ):
        from strop.config import load

        return load(home).feedback.owners
    return ("owner",)


def _print_list(found: list[dict[str, Any]]) -> None:
    rows = []
    for one in found:
        time, asked = one["time"][:16].replace("T", " "), one["messages"][-1]["content"]
        said = "; ".join(_reaction(signal) for signal in one["signals"])
        rows.append((one["id"][:_ID_CHARS], time, one_line(asked), one_line(one["answer"]), said))
    table(("id", "time (UTC)", "prompt", "answer", "reactions"), rows)


def _reaction(signal: dict[str, Any]) -> str:
    """A reaction in a few words: a rating as its value, everything else as what was said."""
    if signal["kind"] in ("correction", "note"):
        return f"{signal['kind']}: {one_line(signal['text'])}"
    return f"{signal['kind']} {signal['value']:+g}"


def _print_counts(counts: Mapping[str, int]) -> None:
    table(("what", "count"), [(name, f"{value}") for name, value in counts.items() if value or name == "interactions"])
