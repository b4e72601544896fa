"""`strop train` and `strop models`: the training stage by itself, and where base models come from."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from strop.cli.output import JsonFlag, hint, note, say, session, show, table
from strop.cli.progress import progress

app = typer.Typer()
models = typer.Typer(help="Base models: resolve a name, list what is here.", no_args_is_help=True)
app.add_typer(models, name="models")

NAMES = "smollm2, hf:ORG/NAME@REVISION, gguf:PATH, pypi:PACKAGE or a folder"


@app.command(epilog="\b\nExample:\n  strop train sft --model smollm2 --data rows.jsonl --out adapter")
def train(
    ctx: typer.Context,
    method: Annotated[Literal["sft", "dpo"], typer.Argument(help="sft: answers to copy. dpo: pairs to prefer.")],
    model: Annotated[str, typer.Option(help=f"The base: {NAMES}.")],
    data: Annotated[Path, typer.Option(help="JSONL: text, messages, prompt/completion or prompt/chosen/rejected.")],
    out: Annotated[Path, typer.Option(help="The adapter's folder; it must not exist.")],
    rank: Annotated[int | None, typer.Option(min=1, help="LoRA rank.")] = None,
    alpha: Annotated[int | None, typer.Option(min=1, help="LoRA alpha.")] = None,
    epochs: Annotated[float | None, typer.Option(min=0, help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights and order.")] = None,
    max_length: Annotated[int | None, typer.Option(min=16, help="Longest row, in tokens.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train an adapter on a file.

    The training stage by itself, without the loop: nothing is judged and nothing is released.
    """
    from strop.config import load
    from strop.trainer.run import train_file

    home = session(ctx).home.ensure()
    asked = {
        "rank": rank,
        "alpha": alpha,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "seed": seed,
        "max_length": max_length,
    }
    overrides: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    with progress() as on_progress:
        result = train_file(
            method,
            model,
            data,
            out,
            overrides,
            load(home).trainer,
            models_dir=home.models,
            on_progress=on_progress,
            log=home.path / "train.log",
        )
    show(result.as_dict(), as_json=as_json, human=lambda: say(result.sentence))
    hint(f"strop tune {data} --model {model} --to model.gguf makes it a file that can be served")


@models.command(epilog="\b\nExample:\n  strop models resolve smollm2")
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
    rows = [(key, str(value)) for key, value in data.items() if value is not None]
    show(data, as_json=as_json, human=lambda: table(("what", "value"), rows))


@models.command(name="list", epilog="\b\nExample:\n  strop models list")
def list_(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the base models in the home."""
    from strop.files import MANIFEST, read_manifest

    found = []
    for path in sorted(session(ctx).home.models.glob(f"*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        name = manifest.get("ref") or manifest.get("requirement") or path.parent.name
        found.append({"name": str(name), "kind": str(manifest.get("kind", "")), "folder": str(path.parent)})
    rows = [tuple(one.values()) for one in found]
    show({"models": found}, as_json=as_json, human=lambda: table(("name", "kind", "folder"), rows))
    if not found:
        hint("strop models resolve smollm2")
