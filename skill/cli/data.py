"""`strop data`: standing data, files of rows that train every night beside the feedback and never judge."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, hint, say, session, show, table
from strop.cli.review import ByOption, who
from strop.errors import UsageError

if TYPE_CHECKING:
    from strop.feedback.standing_data import StandingSet

app = typer.Typer(help="Standing data: files that train every night beside the feedback.", no_args_is_help=True)

_ID_CHARS = 12


@app.command(epilog="\b\nExample:\n  strop data add curriculum.jsonl --domain law")
def add(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="JSONL with messages; prompt and completion; or prompt, chosen, rejected.")
    ],
    domain: Annotated[str, typer.Option(help="What the rows are about.")],
    by: ByOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Add a file's rows to what trains every night.

    The rows are copied and scrubbed; of a file with a bad line nothing is kept.
    """
    from strop.feedback import standing_data
    from strop.ledger import open_ledger

    with open_ledger(session(ctx).home) as ledger:
        one = standing_data.add(ledger, file, domain, who(by))
    show(_facts(one), as_json=as_json, human=lambda: say(f"{one.rows} rows of {one.domain}: {one.id[:_ID_CHARS]}"))
    hint(f"strop data remove {one.id[:_ID_CHARS]} takes them out again")


@app.command(name="list", epilog="\b\nExample:\n  strop data list --json")
def list_(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the standing data."""
    from strop.feedback import Ledger, standing_data

    path = session(ctx).home.ledger_db
    found: tuple[StandingSet, ...] = ()
    if path.exists():
        with Ledger.open(path) as ledger:
            found = standing_data.sets(ledger)
    show({"sets": [_facts(one) for one in found]}, as_json=as_json, human=lambda: _print(found))
    if not found:
        hint("strop data add FILE --domain NAME")


@app.command(epilog="\b\nExample:\n  strop data remove 1a2b3c4d5e6f")
def remove(
    ctx: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A set's id, or its beginning.")],
    by: ByOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a set out of every later night.

    Models that were trained on it stay; `strop feedback forget` takes those out as well.
    """
    from strop.feedback import standing_data
    from strop.ledger import open_ledger

    home = session(ctx).home
    if not home.ledger_db.exists():
        raise UsageError("there is no standing data", hint="strop data add FILE --domain NAME")
    with open_ledger(home) as ledger:
        one = standing_data.remove(ledger, id_, who(by))
    show(_facts(one), as_json=as_json, human=lambda: say(f"took out {one.rows} rows of {one.domain} ({one.name})"))


def _facts(one: "StandingSet") -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "domain": one.domain,
        "rows": one.rows,
        "who": one.who,
        "time": one.time.isoformat(),
    }


def _print(found: "tuple[StandingSet, ...]") -> None:
    rows = [
        (one.id[:_ID_CHARS], one.domain, f"{one.rows}", one.name, one.who, f"{one.time:%Y-%m-%d %H:%M}")
        for one in found
    ]
    table(("id", "domain", "rows", "file", "added by", "time (UTC)"), rows)
