"""`strop serve`: the front door."""

from typing import TYPE_CHECKING, Annotated

import typer

from strop.cli.output import JsonFlag, hint, note, say, session, show
from strop.cli.progress import progress

if TYPE_CHECKING:
    from strop.server.serve import Started

app = typer.Typer()


@app.command(epilog="\b\nExample:\n  strop serve --port 8766")
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen; loopback unless you say otherwise.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    show_token: Annotated[bool, typer.Option("--show-token", help="Print the token, and leave.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Answer agents with the live version.

    OpenAI-compatible: chat completions, streamed too. It records every answer, takes feedback by its id, and follows
    every release and rollback without losing a request.
    """
    from strop.config import load
    from strop.server import running

    home = session(ctx).home
    if show_token:
        token = running.token(home.ensure())
        show({"token": token, "file": str(running.token_file(home))}, as_json=as_json, human=lambda: say(token))
        return

    def started(now: "Started") -> None:
        facts = {"url": f"{now.url}/v1", "version": now.version, "token_file": str(running.token_file(home))}
        show(facts, as_json=as_json, human=lambda: say(f"{now.version} answers at {now.url}/v1"))
        note(f"the token is in {running.token_file(home)}; Ctrl-C ends this")
        hint("strop serve --show-token")

    from strop.server.serve import serve as run

    with progress() as on_progress:
        run(home, load(home), host=host, port=port, on_progress=on_progress, on_start=started)
