"""`strop init` and `strop doctor`: the settings of this home, and whether everything is there."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, end, hint, note, session, show, table
from strop.cli.tune import Target
from strop.errors import Missing

if TYPE_CHECKING:
    from strop.config import Config
    from strop.doctor import Check
    from strop.home import Home

app = typer.Typer()

_MARKS = {True: "ok", None: "-", False: "FAIL"}


@app.command(epilog="\b\nExample:\n  strop init --target ollama --model smollm2 --alias mine")
def init(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option(help="The base model that nights train.")] = None,
    target: Annotated[Target | None, typer.Option(help="What serves the model.")] = None,
    alias: Annotated[str | None, typer.Option(help="The name under which Ollama serves the live model.")] = None,
    ollama_host: Annotated[str | None, typer.Option(metavar="URL", help="Where Ollama answers.")] = None,
    allow_vulnerable: Annotated[
        bool, typer.Option("--allow-vulnerable", help="Use an Ollama below 0.17.1 all the same (CVE-2026-7482).")
    ] = False,
    no_converter: Annotated[
        bool, typer.Option("--no-converter", help="Do not fetch the converter that a base in safetensors wants.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the home, choose the settings.

    What is not named keeps its value. For a base in safetensors it fetches llama.cpp's converter, once. Safe to repeat.
    """
    from strop.config import load, save
    from strop.setup import wants_converter
    from strop.trainer.names import checked

    home = session(ctx).home
    host = _address(home, ollama_host) if ollama_host is not None else None
    asked = {
        "model": checked(model, host or load(home).ollama.host) if model is not None else None,
        "target": target.value if target else None,
        "ollama.alias": alias,
        "ollama.host": host,
        "ollama.allow_vulnerable": allow_vulnerable or None,
    }
    config = save(home.ensure(), {key: value for key, value in asked.items() if value is not None})
    if not no_converter and wants_converter(config.model):
        _make_converter(home)
    facts = {"home": str(home.path), "settings": str(home.config_file), "model": config.model, "target": config.target}
    show(facts, as_json=as_json, human=lambda: table(("what", "value"), list(facts.items())))
    _look_for_ollama(config, named=ollama_host is not None)


def _address(home: "Home", host: str) -> str:
    """The address that is meant. Raises ConfigError for none, and for another machine where that is not allowed."""
    from strop.config import load
    from strop.deploy.targets.ollama_api import loopback_host

    return loopback_host(host, allow_remote=load(home).ollama.allow_remote)


def _look_for_ollama(config: "Config", *, named: bool) -> None:
    """Warn where Ollama is the target, or was `named`, and does not answer or must not be used."""
    from strop.doctor import NO_ANSWER, check_ollama

    found = check_ollama(config) if named or config.target == "ollama" else None
    if found is None or (found.ok is not False and found.value != NO_ANSWER):
        hint("strop doctor")
        return
    note(f"warning: {found.reason}" if found.ok is False else f"warning: nothing answers at {config.ollama.host}")
    hint(found.fix or "ollama serve")


def _make_converter(home: "Home") -> None:
    """Fetch upstream's converter. That it cannot be fetched is no error: Strop converts the common families itself."""
    from strop.deploy import converter

    try:
        converter.make(home.converter, note)
    except Missing as error:
        note(f"warning: {error}; without it only some families can be converted")
        hint(error.hint)


@app.command(epilog="\b\nExample:\n  strop doctor --json")
def doctor(
    ctx: typer.Context,
    online: Annotated[bool, typer.Option("--online", help="Ask the Hub what its token may do.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check this computer and this home.

    Each finding with its reason and its fix. Changes nothing.
    """
    from strop.doctor import check

    found = check(session(ctx).home, online=online)
    broken = [one for one in found if one.ok is False]
    data = {"ok": not broken, "checks": [_facts(one) for one in found]}
    show(data, as_json=as_json, human=lambda: _print_checks(found))
    for one in found:
        if one.fix and not as_json:
            hint(f"{one.name}: {one.fix}")
    end(Missing.exit_code if broken else 0)


def _facts(check: "Check") -> dict[str, Any]:
    return {"name": check.name, "value": check.value, "ok": check.ok, "reason": check.reason, "fix": check.fix}


def _print_checks(found: "list[Check]") -> None:
    table(("", "check", "value", "reason"), [(_MARKS[one.ok], one.name, one.value, one.reason) for one in found])
