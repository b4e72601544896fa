"""`strop hub`: a promoted version on the Hugging Face Hub, only when asked."""

from typing import TYPE_CHECKING, Annotated

import typer

from strop.cli.output import JsonFlag, hint, say, session, show
from strop.cli.progress import progress
from strop.errors import NothingToDo

if TYPE_CHECKING:
    from strop.hub import Package

app = typer.Typer(help="Publish a promoted version on the Hugging Face Hub.", no_args_is_help=True)


@app.callback()
def _room() -> None:
    """Publish a promoted version on the Hugging Face Hub."""


@app.command(epilog="\b\nExample:\n  strop hub push --repo ann/strop-mine --dry-run")
def push(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Argument(help="A number or a tag; without it the live one.")] = None,
    repo: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Where to; else repo under [hub].")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="The merged GGUF instead of the adapter.")] = False,
    public: Annotated[bool, typer.Option("--public", help="A repository that everybody sees.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files and the card; ask no network.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Push an adapter or a merged model, with a model card.

    Private unless --public. Counts and figures go, nothing that a person wrote; it stops where the scrubber finds
    something. The token is HF_TOKEN or that of `hf auth login`. Safe to repeat: the same version makes no new commit.
    """
    from strop import hub
    from strop.config import load
    from strop.deploy.hub import check_repo_id

    home = session(ctx).home
    config = load(home)
    if repo is not None:
        check_repo_id(repo)
    if dry_run:
        made = hub.package(home, config, version, merged=merged)
        private = config.hub.private and not public
        data = {"repo": repo or config.hub.repo or None, "private": private, "dry_run": True, **made.as_dict()}
        show(data, as_json=as_json, human=lambda: _print(made))
        hint(f"strop hub push {made.version.tag}{' --merged' if merged else ''}")
        return
    with progress() as on_progress:
        made, pushed = hub.push(home, config, version, repo=repo, merged=merged, public=public, on_progress=on_progress)
    if not pushed.changed:
        raise NothingToDo(f"{pushed.url} holds {made.version.tag} already, byte for byte", hint="strop versions")
    told = {"url": pushed.url, "commit": pushed.commit, "private": pushed.private, "dry_run": False, **made.as_dict()}
    show(
        told, as_json=as_json, human=lambda: say(f"{made.version.tag} is at {pushed.url}, commit {pushed.commit[:12]}")
    )
    hint(f"it is {'private' if pushed.private else 'public'}; look at it: {pushed.url}")


def _print(made: "Package") -> None:
    say("\n".join(f"{one.name}  {one.bytes} bytes  sha256 {one.sha256}" for one in made.files))
    say(f"\n{made.card}")
