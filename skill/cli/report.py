"""`strop report`: what the last night came to, to read in the morning."""

import webbrowser
from typing import Annotated

import typer

from strop.cli.output import JsonFlag, hint, note, say, session, show
from strop.errors import Missing, StropError

app = typer.Typer()


@app.command(epilog="\b\nExample:\n  strop report --open")
def report(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(help="A night's run; the newest one that left a report without it.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser instead of printing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show a night's report: the verdict, what changed, why.

    It lies in reports/ below the home, as Markdown and as one HTML page that loads nothing.
    """
    from strop import morning

    found = morning.find(session(ctx).home, run)
    if open_:
        if found.html is None:
            raise StropError(f"{found.run} has no page, only Markdown", hint=f"strop report {found.run}")
        note(f"opening {found.html}")
        if not webbrowser.open(found.html.as_uri()):
            raise Missing("no browser could be started", hint=f"open {found.html} yourself, or: strop report")
    text = "" if open_ else found.markdown.read_text(encoding="utf-8").rstrip("\n")
    show(found.as_dict(), as_json=as_json, human=lambda: None if open_ else say(text))
    if not open_ and found.html is not None:
        hint(f"strop report {found.run} --open")
