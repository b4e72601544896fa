"""`strop train`: the training stage by itself."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from strop.cli import jobs
from strop.cli.jobs import DetachFlag
from strop.cli.models import NAMES
from strop.cli.output import JsonFlag, hint, note, say, session, show
from strop.cli.progress import progress

app = typer.Typer()


@app.command(epilog="\b\nExample:\n  strop train sft --model smollm2 --data rows.jsonl --out adapter")
def train(
    ctx: typer.Context,
    method: Annotated[
        Literal["auto", "sft", "dpo", "kto", "hindsight", "grpo"],
        typer.Argument(
            help="sft: answers to copy. dpo: pairs to prefer. kto: answers with a thumb. hindsight: answers with what "
            "the user said next. grpo: tasks whose answers a check scores. auto: by the columns of the file."
        ),
    ],
    model: Annotated[str, typer.Option(help=f"The base: {NAMES}.")],
    data: Annotated[Path, typer.Option(help="JSONL; the columns are in the README.")],
    out: Annotated[Path, typer.Option(help="The adapter's folder; it must not exist.")],
    rank: Annotated[int | None, typer.Option(min=1, max=256, help="LoRA rank. [16, as everywhere]")] = None,
    alpha: Annotated[int | None, typer.Option(min=1, help="LoRA alpha. [32, as everywhere]")] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="LoRA dropout. [0: a run cut into other batches stays the same run; quick starts: 0.05]",
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Passes over the data. [sft 6, dpo 2, kto 2, hindsight 3, grpo 3; quick starts: sft 3, dpo 1]",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9,
            help="Peak learning rate. [sft 3e-4, dpo 5e-5, kto 5e-5, hindsight 1e-4, grpo 1e-5: what TRL gives for a "
            "LoRA; quick starts: sft 2e-4]",
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="The share of the steps in which the rate rises. [0.05; quick starts: 0]"),
    ] = None,
    target_modules: Annotated[
        str | None,
        typer.Option(help="Layers to train: all-linear, or ends of names, as in q_proj,v_proj. [all-linear, as usual]"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows a step; grpo: answers, rounded up to whole tasks. [8; quick starts: sft 4, dpo 2]"
        ),
    ] = None,
    accumulation: Annotated[
        int | None, typer.Option(min=1, help="In how many parts a step is read: less memory, the same step. [1]")
    ] = None,
    checkpointing: Annotated[
        bool | None, typer.Option(help="Compute activations again: less memory, more time. [off; quick starts: on]")
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(min=1e-9, help="How close dpo and kto stay to the start. [0.1; grpo has no reference]"),
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(min=0, max=0.49, help="dpo: the share of pairs that may be the wrong way round. [0]")
    ] = None,
    sft_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="dpo: the weight of the chosen answer's likelihood beside the preference. [0.2: without it both may "
            "become less likely; quick starts: 0]",
        ),
    ] = None,
    rejected_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="dpo: how much of a rejected answer is read. [40: its beginning says what was wrong, the rest is "
            "time; quick starts: all]",
        ),
    ] = None,
    kto_loss: Annotated[
        Literal["kto", "apo_zero_unpaired"] | None,
        typer.Option(help="kto: which loss. [apo_zero_unpaired: two passes a step fewer]"),
    ] = None,
    generations: Annotated[
        int | None, typer.Option(min=2, help="grpo: how many answers to a task are compared. [8]")
    ] = None,
    answer_tokens: Annotated[int | None, typer.Option(min=1, help="grpo: their longest, in tokens. [128]")] = None,
    replay: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=4,
            help="sft: the base's own answers to general prompts beside each row. [by what the rows are about]",
        ),
    ] = None,
    load_in: Annotated[
        Literal["16bit", "8bit", "4bit"] | None,
        typer.Option(help="Bits of the frozen base in memory (QLoRA: 4bit). [16bit; fewer are slower]"),
    ] = None,
    checkpoint_s: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds between the points from which the same command goes on after a kill. [120; quick starts save "
            "each epoch]. Every step is written to metrics.jsonl; quick starts log every 10.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights and order. [17]")] = None,
    max_length: Annotated[int | None, typer.Option(min=16, help="Longest row, in tokens. [1024]")] = None,
    detach: DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an adapter on a file.

    The training stage by itself, without the loop: nothing is judged and nothing is released. The learning rate falls
    along a cosine after its rise, gradients are clipped to a norm of 1, and the optimiser is AdamW without decay.
    """
    from strop.config import load
    from strop.trainer.run import train_file

    home = session(ctx).home.ensure()
    if detach:
        load(home)
        from strop.trainer.run import check

        # What is wrong with the call is found before it goes into the background.
        check(method, data, out)
        return jobs.start(ctx, as_json=as_json)
    asked = {
        "warmup": warmup,
        "target_modules": target_modules,
        "checkpoint_s": checkpoint_s,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "accumulation": accumulation,
        "checkpointing": checkpointing,
        "beta": beta,
        "dpo_label_smoothing": label_smoothing,
        "dpo_sft_weight": sft_weight,
        "rejected_tokens": rejected_tokens,
        "kto_loss": kto_loss,
        "generations": generations,
        "answer_tokens": answer_tokens,
        "replay": replay,
        "load_in": load_in,
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
            runs=home.runs,
            replays=home.replays,
        )
    show(result.as_dict(), as_json=as_json, human=lambda: say(result.sentence))
    if result.warning:
        note(result.warning)
    hint(f"strop tune {data} --model {model} --to model.gguf makes it a file that can be served")
