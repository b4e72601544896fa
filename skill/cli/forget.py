"""`strop feedback forget` and `strop audit`: taking feedback out for good, and who did what."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, ask, hint, note, one_line, say, session, show, table
from strop.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from strop.feedback.selected import By, Selector
    from strop.forget import Plan
    from strop.removal import Receipt

app = typer.Typer()

_LIMIT = 50


def forget(
    ctx: typer.Context,
    id_: Annotated[list[str] | None, typer.Option("--id", help="An answer, by its id or its beginning.")] = None,
    user: Annotated[str | None, typer.Option(help="All that this user asked, and every reaction of theirs.")] = None,
    session_name: Annotated[str | None, typer.Option("--session", help="One conversation.")] = None,
    match: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Whatever holds this text, in whatever case; names are no text.")
    ] = None,
    older_than: Annotated[
        int | None, typer.Option("--older-than", min=1, max=36_500, metavar="DAYS", help="All that was said before.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, also where the live model goes.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take feedback out for good, with all that was made of it.

    Rows leave the ledger, and datasets, adapters, builds, versions, Ollama tags, reports and logs made of them leave
    the home. If it was cut short, `strop feedback forget` finishes it.
    """
    from strop import forget as forgetting
    from strop.config import load

    home = session(ctx).home
    selector = _selector(id_, user, session_name, match, older_than)
    found = forgetting.plan(home, selector)
    if selector is None and not found.unfinished:
        raise UsageError(
            "say what to forget: --id, --user, --session, --match or --older-than", hint="strop feedback forget --help"
        )
    if not found.chosen and not found.unfinished:
        said = "; addresses, numbers and keys are stored as placeholders, so look for other words" if match else ""
        raise NothingToDo(f"nothing in the ledger matches{said}", hint="strop feedback list")
    if dry_run:
        show(found.as_dict(), as_json=as_json, human=lambda: _print_plan(found))
        return
    live_too = yes or not found.chosen  # what was begun was agreed to then
    if not live_too and _at_terminal():
        note("to be taken out:\n  " + "\n  ".join(_plan_lines(found)))
        ask("Take all of this out? It cannot be undone.", yes=yes, command=_command(selector))
    elif not live_too and found.live is not None:
        raise UsageError(
            f"the live model {found.live} was made of it and would go too; {found.heir} would take its place",
            hint=_command(selector),
        )
    receipt = forgetting.forget(home, load(home), selector, live_too=live_too or found.live is not None)
    show(receipt.as_dict(), as_json=as_json, human=lambda: _print_receipt(receipt))
    if receipt.rebuild:
        hint("strop night builds a new model from the base on what is left; a scheduled one is due now")


@app.command(epilog="\b\nExample:\n  strop audit --limit 20")
def audit(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = _LIMIT,
    as_json: JsonFlag = False,
) -> None:
    """List who approved, reviewed, forgot and released what.

    In the order of time, and without any text.
    """
    from strop.audit import entries

    found = entries(session(ctx).home, limit)
    data = {"entries": [entry.as_dict() for entry in found]}

    def human() -> None:
        rows = [
            (f"{one.time:%Y-%m-%d %H:%M}", one.who, one.what, one.about[:40], one_line(_brief(one.detail)))
            for one in found
        ]
        table(("time (UTC)", "who", "what", "about", "detail"), rows)

    show(data, as_json=as_json, human=human)


def register(feedback_app: typer.Typer) -> None:
    """Put `forget` among the commands of `strop feedback`."""
    feedback_app.command(epilog='\b\nExample:\n  strop feedback forget --match "Jane Doe" --dry-run')(forget)


def _selector(
    ids: list[str] | None, user: str | None, session_name: str | None, match: str | None, older_than: int | None
) -> "Selector | None":
    """The Selector of these options, None where none is given. Raises UsageError for more than one kind."""
    from strop.feedback.selected import Selector
    from strop.forget import older_than as before

    given: dict[By, tuple[str, ...] | None] = {
        "id": tuple(ids) if ids else None,
        "user": (user,) if user is not None else None,
        "session": (session_name,) if session_name is not None else None,
        "match": (match,) if match is not None else None,
        "age": before(older_than).values if older_than is not None else None,
    }
    chosen = [(by, values) for by, values in given.items() if values is not None]
    if len(chosen) > 1:
        raise UsageError("one kind of selector at a time", hint="run it once for each")
    return Selector(*chosen[0]) if chosen else None


def _command(selector: "Selector | None") -> str:
    """The command that asks nothing."""
    if selector is None:
        return "strop feedback forget --yes"
    if selector.by == "age":
        return "strop feedback forget --older-than DAYS --yes"
    said = " ".join(f"--{selector.by} {shlex.quote(value)}" for value in selector.values)
    return f"strop feedback forget {said} --yes"


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _plan_lines(found: "Plan") -> list[str]:
    chosen, made = found.chosen, found.made.as_dict()
    lines = [
        f"{len(chosen.interactions)} answers"
        + (f", {chosen.repeats} of them because they hold what was chosen again" if chosen.repeats else ""),
        f"{len(chosen.signals)} reactions",
    ]
    lines += [f"{len(chosen.standing)} rows of standing data"] if chosen.standing else []
    lines += [f"{name}: {', '.join(names)}" for name, names in made.items() if names]
    if found.live:
        lines.append(f"the live model {found.live} was made of it: {found.heir} takes its place")
    if found.unfinished:
        lines.append("and what an earlier call left to do")
    return lines


def _print_plan(found: "Plan") -> None:
    say("would be taken out:\n  " + "\n  ".join(_plan_lines(found)))


def _print_receipt(receipt: "Receipt") -> None:
    say(receipt.sentence)
    for name, names in {**receipt.made.as_dict(), "tags": receipt.tags, "logs": receipt.logs}.items():
        if names:
            say(f"  {name}: {', '.join(names)}")
    if receipt.live_before != receipt.live_after:
        say(f"  live: {receipt.live_after}, in place of {receipt.live_before}")
    say(f"  a rebuild is {'queued' if receipt.rebuild else 'not needed'}")


def _brief(detail: dict[str, Any]) -> str:
    """The detail for a table: the plain values."""
    return ", ".join(f"{name} {value}" for name, value in detail.items() if isinstance(value, str | int))
