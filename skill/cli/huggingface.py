"""`strop huggingface`: the commands that scripts of an older tool call, on the house's own parts.

New scripts are better off with `strop tune`, `strop train` and `strop models`, which do more.
"""

from pathlib import Path
from typing import Annotated

import typer

from strop.cli import models
from strop.cli.output import JsonFlag, hint, say, session, show
from strop.cli.progress import progress

app = typer.Typer(help="For scripts that know the older commands.", no_args_is_help=True)


@app.command(epilog="\b\nExample:\n  strop huggingface fine-tune --model-name smollm2 --training-file rows.jsonl")
def fine_tune(
    ctx: typer.Context,
    model_name: Annotated[str, typer.Option(help=f"The base: {models.NAMES}, or ORG/NAME of the Hub.")],
    training_file: Annotated[Path, typer.Option(help="JSONL: text, messages, prompt/completion or chosen/rejected.")],
    output_dir: Annotated[Path, typer.Option(help="The adapter's folder; it must be new or empty.")] = Path(
        "fine-tuned-model"
    ),
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 3.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-4,
    lora_r: Annotated[int, typer.Option(help="LoRA rank.")] = 16,
    load_in_4bit: Annotated[bool, typer.Option("--load-in-4bit", help="Hold the base in 4 bits.")] = False,
    load_in_8bit: Annotated[bool, typer.Option("--load-in-8bit", help="Hold the base in 8 bits.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an adapter on a file.

    Preferences train on their chosen answers; strop train dpo learns from both.
    """
    from strop.trainer.tuner import HuggingFaceTuner

    tuner = HuggingFaceTuner(session(ctx).home.ensure().models)
    dataset = tuner.prepare_dataset(training_file)
    with progress() as on_progress:
        on_progress("model", None, model_name)
        model, tokenizer = tuner.load_model(model_name, load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)
        done = tuner.fine_tune(
            model,
            tokenizer,
            dataset,
            output_dir,
            epochs,
            learning_rate,
            lora_r,
            on_progress=lambda at: on_progress("train", at.step / max(at.steps, 1), f"loss {at.loss:.3f}"),
        )
    sentence = f"trained on {done.rows} rows in {done.seconds:.0f} s (loss {done.loss:.3f}): {done.path}"
    show(done.as_dict(), as_json=as_json, human=lambda: say(sentence))
    hint(f"strop huggingface export-model --model-dir {output_dir} makes it a file that can be served")


@app.command(epilog="\b\nExample:\n  strop huggingface list-models")
def list_models(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the base models in the home, as strop models list does."""
    models.list_(ctx, as_json=as_json)


@app.command(epilog="\b\nExample:\n  strop huggingface export-model --model-dir out --to gguf:mine.gguf")
def export_model(
    ctx: typer.Context,
    model_dir: Annotated[Path, typer.Option(help="An adapter folder, or a merged model's.")],
    to: Annotated[
        str | None, typer.Option(metavar="gguf:FILE|ollama:NAME", help="Where it goes; MODEL_DIR.gguf without it.")
    ] = None,
    quant: models.Quant = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a trained model one GGUF file, as strop models export does."""
    folder = model_dir.expanduser().absolute()
    models.exported(ctx, folder, to or f"gguf:{folder.with_name(folder.name + '.gguf')}", quant, as_json=as_json)
