"""`strop versions release|prune|export|import`: one version made live by hand, old ones out, one on a stick."""

from pathlib import Path
from typing import Annotated

import typer

from strop.cli.output import JsonFlag, hint, say, session, show
from strop.errors import NothingToDo, UnknownVersion
from strop.home import Home

Which = Annotated[str, typer.Argument(metavar="TAG", help="A number or a tag.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `strop versions`."""
    app.command(epilog="\b\nExample:\n  strop versions release v0003")(release)
    app.command(epilog="\b\nExample:\n  strop versions prune --keep 3")(prune)
    app.command(epilog="\b\nExample:\n  strop versions export v0003 /media/stick/v3.tar")(export)
    app.command(name="import", epilog="\b\nExample:\n  strop versions import /media/stick/v3.tar")(import_)


def release(ctx: typer.Context, version: Which, as_json: JsonFlag = False) -> None:
    """Make a version live that passed the gate.

    A night does that by itself; this is for one that was imported.
    """
    from strop.config import load
    from strop.deploy.release import release as make_live
    from strop.deploy.versions import Versions
    from strop.target import open_target

    home = _standing(session(ctx).home)
    versions = Versions(home.state_db)
    to, live = versions.get(version), versions.live()
    if live is not None and live.number == to.number:
        raise NothingToDo(f"{to.tag} is live already", hint="strop status")
    evidence = {"reason": "released by hand", "who": "owner"}
    before, now = make_live(versions, open_target(home, load(home)), to.tag, home.release_lock, evidence)
    show({"from": before, "to": now}, as_json=as_json, human=lambda: say(f"{now} is live; it replaced {before}"))
    hint("strop rollback undoes this")


def prune(
    ctx: typer.Context,
    keep: Annotated[int, typer.Option(min=1, help="How many versions stay, besides the base.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Remove the files of old versions.

    Builds, and tags and weights in Ollama. What is live, what a rollback goes back to and the base always stay.
    """
    from strop.config import load
    from strop.night import alone
    from strop.prune import prune as take_out
    from strop.target import open_target

    home = _standing(session(ctx).home)
    with alone(home):
        done = take_out(home, open_target(home, load(home)), keep)
    if not (done.versions or done.tags or done.freed_bytes):
        raise NothingToDo("there is nothing to prune", hint="strop versions")
    said = f"pruned: {', '.join(done.versions) or 'what was left'}; {done.freed_bytes / 1e6:.1f} MB freed"
    show(done.as_dict(), as_json=as_json, human=lambda: say(said))
    hint("strop versions")


def export(
    ctx: typer.Context,
    version: Which,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    as_json: JsonFlag = False,
) -> None:
    """Write one version into one file, to carry it to another machine.

    It holds the model, its adapter, its certificate and the gate's figures, and none of the feedback's texts.
    """
    from strop.carried import export_version

    index = export_version(_standing(session(ctx).home), version, file)
    size = sum(one.bytes for one in index.files.values())
    data = {"file": str(file), "tag": index.facts["tag"], "bytes": size, "files": sorted(index.files)}
    show(data, as_json=as_json, human=lambda: say(f"{index.facts['tag']} is in {file} ({size / 1e6:.0f} MB)"))
    hint(f"strop versions import {file.name}, on the other machine")


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What strop versions export wrote.")],
    other_base: Annotated[bool, typer.Option("--other-base", help="Also one of another base model.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take in a version that another machine exported.

    Every hash is checked; nothing goes live by it. Only from people whom you trust.
    """
    from strop.carried import import_version

    done = import_version(session(ctx).home, file, other_base=other_base)
    tag, state = done.version.tag, done.version.state
    said = f"{done.was} of the other machine is {tag} here, {state}: {done.reason}"
    show(done.as_dict(), as_json=as_json, human=lambda: say(said))
    hint(f"strop versions release {tag}" if state == "gated" else f"strop evaluate --model {tag}")


def _standing(home: Home) -> Home:
    """The home, where it has versions: a look must not make one."""
    if not home.state_db.exists():
        raise UnknownVersion("this home has no versions yet", hint="strop night")
    return home
