"""`strop models`: base models by name, what is here, and adapters as files that can be served."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from strop.cli.output import JsonFlag, ask, hint, note, say, session, show, table
from strop.cli.progress import progress
from strop.errors import NothingToDo, UsageError

app = typer.Typer(help="Base models: resolve, show, list, remove; export a trained one.", no_args_is_help=True)

NAMES = "smollm2, hf:ORG/NAME@REVISION, gguf:PATH, ollama:NAME, pypi:PACKAGE or a folder"
Quant = Annotated[
    Literal["auto", "Q4_K_M", "Q6_K", "Q8_0", "F16"] | None,
    typer.Option(help="The file's type; auto: the smallest that the model bears. The configured one without it."),
]
ModelfileFlag = Annotated[bool, typer.Option("--modelfile", help="Write FILE.Modelfile beside the file.")]
ForceFlag = Annotated[bool, typer.Option("--force", help="Replace the files where they are there.")]


@app.command(epilog="\b\nExample:\n  strop models resolve smollm2")
def resolve(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{NAMES}.")],
    as_json: JsonFlag = False,
) -> None:
    """Get a base model ready.

    It is fetched, checked and unpacked once, then kept in the home.
    """
    from strop.trainer.models import resolve as resolve_model

    home = session(ctx).home.ensure()
    base = resolve_model(name, home.models, note)
    data = {
        "ref": base.ref,
        "folder": str(base.folder),
        "gguf": str(base.gguf) if base.gguf else None,
        "sha256": base.sha256,
        "template_sha256": base.template_sha256,
        "licence": base.licence,
    }
    _show_facts(data, as_json=as_json)


@app.command(name="list", epilog="\b\nExample:\n  strop models list")
def list_(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the base models in the home."""
    from strop.trainer.stored import stored

    found = [
        {"name": one.name, "kind": one.kind, "folder": str(one.folder), "bytes": one.size_bytes}
        for one in stored(session(ctx).home.models)
    ]
    rows = [(str(one["name"]), str(one["kind"]), _size(one["bytes"]), str(one["folder"])) for one in found]
    show({"models": found}, as_json=as_json, human=lambda: table(("name", "kind", "size", "folder"), rows))
    if not found:
        hint("strop models resolve smollm2")


@app.command(name="show", epilog="\b\nExample:\n  strop models show smollm2 --json")
def show_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{NAMES}; or a name that strop models list prints.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one base model: its folder, hash, licence, size.

    `path` is the local folder with its safetensors. A model that is not here yet is fetched first.
    """
    from strop.trainer.models import resolve as resolve_model
    from strop.trainer.stored import find, parameters

    home = session(ctx).home.ensure()
    known = find(name, home.models)
    unpacked = known is not None and known.kind == "gguf" and known.name == name  # no name that resolve knows
    base = resolve_model(str(known.folder) if known and unpacked else name, home.models, note)
    weights = sorted(base.folder.glob("*.safetensors"))
    data = {
        "ref": base.ref,
        "path": str(base.folder),
        "sha256": base.sha256,
        "template_sha256": base.template_sha256,
        "licence": base.licence,
        "bytes": sum(path.stat().st_size for path in weights),
        "parameters": parameters(weights),
    }
    _show_facts(data, as_json=as_json)


@app.command(epilog="\b\nExample:\n  strop models export adapter --to gguf:mine.gguf")
def export(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An adapter folder, or a merged model's.")],
    to: Annotated[str, typer.Option(metavar="gguf:FILE|ollama:NAME", help="Where the new model goes.")],
    quant: Quant = None,
    modelfile: ModelfileFlag = False,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a trained model one GGUF file, or a name in Ollama.

    It is merged with its base, quantised, and compared with what was trained before it is handed over.
    """
    exported(ctx, folder, to, quant, modelfile=modelfile, force=force, as_json=as_json)


@app.command(epilog="\b\nExample:\n  strop models remove smollm2")
def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name that strop models list prints, or what it was resolved by.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, also for the base in use.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a base model from the home.

    Whatever needs it later fetches it again. The base that the settings name goes only with a yes.
    """
    from strop.config import load
    from strop.trainer import stored

    home = session(ctx).home
    found = stored.find(name, home.models)
    if found is None:
        raise NothingToDo(f"{name} is not among the models in this home", hint="strop models list")
    in_use = stored.find(load(home).model, home.models) == found
    command = f"strop models remove {shlex.quote(name)} --yes"
    if sys.stdin.isatty() and sys.stderr.isatty():
        said = ", which this home's nights start from" if in_use else ""
        ask(f"Remove {found.name}{said}?", yes=yes, command=command)
    elif in_use and not yes:
        raise UsageError(f"{found.name} is the base that this home's settings name", hint=command)
    freed = stored.remove(found, home.models)
    data = {"removed": found.name, "bytes": freed}
    show(data, as_json=as_json, human=lambda: say(f"removed {found.name} ({_size(freed)})"))


def exported(
    ctx: typer.Context,
    folder: Path,
    to: str,
    quant: Literal["auto", "Q4_K_M", "Q6_K", "Q8_0", "F16"] | None,
    *,
    modelfile: bool = False,
    force: bool = False,
    as_json: bool,
) -> None:
    """Export a folder and print what was made."""
    from strop import export as exporting
    from strop.config import load

    home = session(ctx).home.ensure()
    config = load(home)
    with progress() as on_progress:
        made = exporting.export(
            home,
            config,
            folder,
            to=to,
            kind=quant or config.quant,
            modelfile=modelfile,
            force=force,
            on_progress=on_progress,
        )
    show(made.as_dict(), as_json=as_json, human=lambda: say(made.sentence))


def _show_facts(data: dict[str, Any], *, as_json: bool) -> None:
    rows = [(key, str(value)) for key, value in data.items() if value is not None]
    show(data, as_json=as_json, human=lambda: table(("what", "value"), rows))


def _size(size_bytes: Any) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
