"""`strop tune`, `strop chat` and `strop demo`: a model in one go, a word with it, and the whole loop to watch."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from strop.cli import jobs
from strop.cli.jobs import DetachFlag
from strop.cli.output import JsonFlag, end, hint, say, session, show
from strop.cli.progress import progress
from strop.errors import UsageError
from strop.home import Home

app = typer.Typer()


class Target(StrEnum):
    """What serves a model."""

    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"


@app.command(epilog="\b\nExample:\n  strop tune rows.jsonl --model smollm2 --to ollama:mine")
def tune(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSONL: text, messages, prompt/completion or prompt/chosen/rejected.")],
    to: Annotated[str, typer.Option(metavar="ollama:NAME|FILE.gguf", help="Where the new model goes.")],
    model: Annotated[str | None, typer.Option(help="The base; the configured one without it.")] = None,
    method: Annotated[
        Literal["auto", "sft", "dpo", "kto", "hindsight", "grpo"], typer.Option(help="auto: by what the file holds.")
    ] = "auto",
    epochs: Annotated[float | None, typer.Option(min=0, help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Peak learning rate.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="LoRA rank.")] = None,
    alpha: Annotated[int | None, typer.Option(min=1, help="LoRA alpha.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    max_length: Annotated[int | None, typer.Option(min=16, help="Longest row, in tokens.")] = None,
    load_in: Annotated[
        Literal["16bit", "8bit", "4bit"] | None, typer.Option(help="Bits of the frozen base in memory (QLoRA: 4bit).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and what is held out.")] = None,
    detach: DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Fine-tune on a file, in one go.

    The result is ready to serve under a new name. The live model is left alone, and nothing is judged against it.
    """
    from strop import tune as tuning
    from strop.config import load

    home = session(ctx).home.ensure()
    config = load(home)
    if detach:
        tuning.check(config, file, to)
        return jobs.start(ctx, as_json=as_json)
    asked = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "rank": rank,
        "alpha": alpha,
        "batch_size": batch_size,
        "max_length": max_length,
        "load_in": load_in,
        "seed": seed,
    }
    overrides: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    with progress() as on_progress:
        report = tuning.tune(
            home,
            config,
            file,
            model=model or config.model,
            to=to,
            method=method,
            overrides=overrides,
            on_progress=on_progress,
        )
    show(report.as_dict(), as_json=as_json, human=lambda: say(report.sentence))


@app.command(epilog='\b\nExample:\n  strop chat "What is a strop?"')
def chat(
    ctx: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="The question; stdin without it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask the live model one question."""
    from strop import chat as chatting
    from strop.config import load

    if prompt is None:
        if sys.stdin.isatty():
            raise UsageError("a question is needed", hint='strop chat "What is a strop?"')
        prompt = sys.stdin.buffer.read().decode(errors="replace")
    home = session(ctx).home
    with progress() as on_progress:
        reply = chatting.answer(home, load(home), prompt, on_progress=on_progress)
    show(reply.as_dict(), as_json=as_json, human=lambda: say(reply.text))
    hint("strop feedback add --prompt ... --answer ... --rating up|down says what you made of it")


@app.command(epilog="\b\nExample:\n  strop demo")
def demo(
    ctx: typer.Context,
    target: Annotated[Target, typer.Option(help="What serves the model.")] = Target.LLAMACPP,
    as_json: JsonFlag = False,
) -> None:
    """Play two nights on a real model.

    One with a real signal, which must be released, and one with noise, which must not. No GPU and no account needed.
    """
    from strop.demo import play

    home = session(ctx).home
    if not (ctx.find_root().params.get("home") or os.environ.get("STROP_HOME")):
        home = Home(home.path / "demo")  # the demo's feedback does not belong among a person's own
    with progress() as on_progress:
        report = play.run(home, target=target.value, on_progress=on_progress)
    show(report.as_dict(), as_json=as_json, human=lambda: say(report.sentence))
    end(report.exit_code)
