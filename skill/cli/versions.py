"""`strop versions` (list, release, prune, export, import), `strop rollback` and `strop status`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, hint, say, session, show, table
from strop.errors import NothingToDo
from strop.home import Home

if TYPE_CHECKING:
    from strop.deploy.versions import Version
    from strop.journal import RunRow

app = typer.Typer()
group = typer.Typer(help="What was built and what is live; make live, prune, export, import.")


@group.callback(invoke_without_command=True, epilog="\b\nExample:\n  strop versions --json")
def versions(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List what was built, and what is live."""
    if ctx.invoked_subcommand is not None:
        return
    home = session(ctx).home
    found, live, previous = _versions(home)
    data = {"live": _tag(live), "previous": _tag(previous), "versions": [_version_facts(one) for one in found]}
    show(data, as_json=as_json, human=lambda: _print_versions(found, live))
    hint("strop rollback" if previous else "strop night")


@app.command(epilog="\b\nExample:\n  strop rollback v0003")
def rollback(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Argument(help="A number or a tag; without it the one before.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accepted and not needed: nothing is asked.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring an earlier model back.

    It takes a second, nothing is deleted, and it asks nothing: the command that undoes it is shown.
    """
    from strop.config import load
    from strop.deploy.release import rollback as go_back
    from strop.deploy.versions import Versions
    from strop.target import open_target

    home = session(ctx).home
    _, live, previous = _versions(home)
    if live is None or (version is None and previous is None):
        raise NothingToDo("there is no earlier model to go back to", hint="strop versions")
    kept = Versions(home.state_db)
    to = kept.get(version) if version is not None else previous
    came_from, now_live = go_back(kept, open_target(home, load(home)), home.release_lock, to=_tag(to))
    data = {"from": came_from, "to": now_live}
    show(data, as_json=as_json, human=lambda: say(f"{now_live} is live again; it replaced {came_from}"))
    hint(f"strop rollback {came_from} undoes this")


@app.command(epilog="\b\nExample:\n  strop status")
def status(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Show the live model and the nights.

    The last night and what came of it, the next one, and how much feedback there is.
    """
    from strop.config import load
    from strop.feedback import Ledger
    from strop.schedule import due, last_night, night_running
    from strop.server.report import serving

    home = session(ctx).home
    _, live, previous = _versions(home)
    run = last_night(home)
    upcoming = due(home, load(home))
    feedback: dict[str, int] = {"interactions": 0}
    if home.ledger_db.exists():
        with Ledger.open(home.ledger_db) as ledger:
            feedback = ledger.counts()
    data = {
        "home": str(home.path),
        "live": _version_facts(live) if live else None,
        "previous": _tag(previous),
        "night_running": night_running(home),
        "last_night": _run_facts(run) if run else None,
        "next_night": {"due": upcoming.due, "reason": upcoming.reason, "time": upcoming.next.isoformat()},
        "feedback": feedback,
        "serving": serving(home, _tag(live)),
    }
    show(data, as_json=as_json, human=lambda: _print_status(data, upcoming.next))
    hint("strop chat" if live and not (run and run.state == "interrupted") else "strop night")


def _versions(home: Home) -> "tuple[tuple[Version, ...], Version | None, Version | None]":
    """(all, live, previous); a look must not make a home that is not there."""
    from strop.deploy.versions import Versions

    if not home.state_db.exists():
        return (), None, None
    kept = Versions(home.state_db)
    return kept.list(), kept.live(), kept.previous()


def _tag(version: "Version | None") -> str | None:
    return version.tag if version else None


def _version_facts(version: "Version") -> dict[str, Any]:
    return {
        "tag": version.tag,
        "number": version.number,
        "state": version.state,
        "created": version.created.isoformat(),
        "base": version.base_ref,
        "quant": version.quant,
        "gguf": str(version.gguf),
        "sha256": version.sha256,
        "adapter_sha256": version.adapter_sha,
    }


def _run_facts(run: "RunRow") -> dict[str, Any]:
    return {
        "id": run.id,
        "trigger": run.trigger,
        "state": run.state,
        "started": run.started.isoformat(),
        "ended": run.ended.isoformat() if run.ended else None,
        "attempt": run.attempt,
        "reason": run.reason,
    }


def _print_versions(found: "tuple[Version, ...]", live: "Version | None") -> None:
    rows = [
        ("*" if live and one.tag == live.tag else "", one.tag, one.state, f"{one.created:%Y-%m-%d %H:%M}", one.base_ref)
        for one in found
    ]
    table(("live", "version", "state", "created (UTC)", "base"), rows)


def _print_status(data: dict[str, Any], following: datetime) -> None:
    live, run = data["live"], data["last_night"]
    said = ", ".join(f"{count} {kind}" for kind, count in data["feedback"].items() if count) or "none"
    rows = [
        ("live", f"{live['tag']} ({live['base']}, {live['quant']})" if live else "nothing yet"),
        ("last night", f"{run['state']} at {run['started'][:16]} UTC. {run['reason']}".strip() if run else "none"),
        ("next night", "running now" if data["night_running"] else _next_words(data["next_night"]["due"], following)),
        ("feedback", said),
        ("serving", data["serving"]["sentence"]),
        ("home", data["home"]),
    ]
    table(("what", "value"), rows)


def _next_words(is_due: bool, following: datetime) -> str:
    minutes = (following - datetime.now(UTC)).total_seconds() / 60
    away = f"{minutes / 60:.0f} hours" if minutes > 90 else f"{minutes:.0f} minutes"
    return "due now" if is_due else f"{following:%d %B at %H:%M}, in {away}"
