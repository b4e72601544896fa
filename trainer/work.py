"""One training job from row files to an adapter folder: what the training child does."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from strop.errors import BadTrainingFile, NotEnoughData
from strop.files import whole_folder, write_manifest
from strop.trainer import plan, rowfile
from strop.trainer.measure import AnyExample, Held, hold_loss, peak_bytes
from strop.trainer.recipe import Recipe, Stage, StageRecipe, from_dict
from strop.trainer.render import HintedExample, PairExample, RatedExample, Renderer, text_example
from strop.trainer.train import ADAPTER, OnProgress, Progress, add_lora, load_base, run_stage

# The kinds of rows that a method learns from, and what to use for the others.
_TAKES: Mapping[Stage, tuple[rowfile.Kind, ...]] = {
    "sft": ("text", "messages", "completion", "preference", "rated"),
    "dpo": ("preference",),
    "kto": ("rated",),
    "hindsight": ("hindsight",),
}
_COLUMNS_OF = {"dpo": "prompt, chosen and rejected", "kto": "prompt, completion and label (true or false)"}
_METHOD_FOR: Mapping[rowfile.Kind, Stage] = {"preference": "dpo", "rated": "kto", "hindsight": "hindsight"}


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: `files` maps a method to its rows, `base` is `BaseModel.facts()` with the folder beside it.

    `held_share` of the rows (by a hash, so that the same rows are held out each time) is not trained on, and the
    loss on it is reported before and after.
    """

    base_folder: str
    base: dict[str, str]
    files: dict[str, str]
    recipe: dict[str, Any]
    out: str
    dataset_sha256: str | None = None
    held_share: float = 0.0

    def to_json(self) -> str:
        """One line for the child's stdin."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rendered rows of one stage; `left_out` counts what does not fit into `max_length` tokens."""

    train: tuple[AnyExample, ...]
    held: tuple[AnyExample, ...]
    left_out: int


def work(job: Job, on_progress: OnProgress) -> dict[str, Any]:
    """Train and write the adapter folder; returns its manifest. Raises TrainerError and NotEnoughData."""
    recipe = from_dict(job.recipe)
    files = {method: rowfile.read(Path(path)) for method, path in job.files.items()}
    threads = plan.set_threads()
    model, tokenizer = load_base(Path(job.base_folder), recipe.precision, recipe.load_in)
    rows = {
        stage.method: rendered(files[stage.method], stage, tokenizer, recipe, job.held_share) for stage in recipe.stages
    }
    lora = add_lora(model, recipe)
    held = [example for stage in recipe.stages for example in rows[stage.method].held]
    before = hold_loss(lora, held)
    started = monotonic()
    losses = {}
    curve: dict[str, list[tuple[int, float]]] = {stage.method: [] for stage in recipe.stages}

    def noted(at: Progress) -> None:
        curve[at.stage].append((at.step, at.loss))
        on_progress(at)

    with tempfile.TemporaryDirectory() as scratch:
        for stage in recipe.stages:
            chosen = rows[stage.method].train
            losses[stage.method] = run_stage(lora, tokenizer, chosen, stage, recipe, Path(scratch), noted)
    seconds = monotonic() - started
    facts = {
        "kind": "adapter",
        "base": job.base,
        "dataset_sha256": job.dataset_sha256,
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "threads": threads,
        "rows": {method: len(one.train) for method, one in rows.items()},
        "left_out_too_long": {method: one.left_out for method, one in rows.items()},
        "tokens": int(sum(stage.epochs * sum(e.tokens for e in rows[stage.method].train) for stage in recipe.stages)),
        "train_s": round(seconds, 3),
        "loss": losses,
        "curve": {method: [list(point) for point in points] for method, points in curve.items()},
        "peak_bytes": peak_bytes(),
        "held_out": _held_report(before, hold_loss(lora, held)),
    }
    return save(lora, Path(job.out), facts)


def save(lora: Any, out: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the trained adapter alone (not DPO's reference copy) as safetensors, with its manifest last."""
    base_ref = facts["base"]["ref"]
    lora.peft_config[ADAPTER].base_model_name_or_path = base_ref
    with whole_folder(out) as fresh:
        lora.save_pretrained(
            str(fresh), selected_adapters=[ADAPTER], safe_serialization=True, save_embedding_layers=False
        )
        (fresh / "README.md").unlink(missing_ok=True)
        return write_manifest(fresh, facts)


def _held_report(before: Held | None, after: Held | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    return {"rows": after.rows, "tokens": after.tokens, "loss_before": before.loss, "loss_after": after.loss}


def rendered(file: rowfile.RowFile, stage: StageRecipe, tokenizer: Any, recipe: Recipe, held_share: float) -> Rendered:
    """The rows of a file as one stage takes them. Raises BadTrainingFile naming the line, and NotEnoughData."""
    if file.kind not in _TAKES[stage.method]:
        needed = _COLUMNS_OF.get(stage.method, "prompt, completion and feedback")
        if stage.method == "sft":
            needed = "answers to copy"
        method = _METHOD_FOR.get(file.kind, "sft")
        raise BadTrainingFile(
            f"{stage.method} needs {'' if stage.method == 'sft' else 'the columns '}{needed}; "
            f"this file holds {file.kind} rows",
            hint=f"use {method} for it: strop train {method}",
        )
    train: list[AnyExample] = []
    held: list[AnyExample] = []
    left_out = 0
    # Of rated answers, SFT copies those that were liked.
    for row in (row for row in file.rows if stage.method != "sft" or row.label is not False):
        example = _example(row, stage, tokenizer)
        if max(_longest(example), 1) > recipe.max_length:
            left_out += 1
        elif held_share and _fraction(row) < held_share:
            held.append(example)
        else:
            train.append(example)
    if held_share and not held and len(train) > 1:
        held.append(train.pop())
    if not train:
        raise NotEnoughData(
            f"no row is left to train on: {left_out} of {len(file.rows)} are longer than {recipe.max_length} tokens",
            hint="raise --max-length or shorten the rows",
        )
    return Rendered(tuple(train), tuple(held), left_out)


def _example(row: rowfile.Row, stage: StageRecipe, tokenizer: Any) -> AnyExample:
    if row.answer is None:
        return text_example(tokenizer, row.text)
    render = Renderer(tokenizer)
    try:
        example = render.example(row.messages, row.answer)
        if stage.method == "kto":
            return RatedExample(example.prompt_ids, example.completion_ids, bool(row.label))
        if stage.method == "hindsight":
            return HintedExample(example.prompt_ids, render.hinted(row.messages, row.feedback), example.completion_ids)
        if stage.method == "sft" or row.rejected is None:
            return example
        rejected = render.completion(row.messages, example.prompt_ids, row.rejected)
    except BadTrainingFile as error:
        raise BadTrainingFile(f"line {row.line}: {error}", hint=error.hint) from error
    return PairExample(example.prompt_ids, example.completion_ids, rejected[: stage.rejected_tokens])


def _longest(example: AnyExample) -> int:
    if isinstance(example, PairExample):
        return len(example.prompt_ids) + max(len(example.chosen_ids), len(example.rejected_ids))
    if isinstance(example, HintedExample):
        return len(example.hinted_ids) + len(example.completion_ids)
    return example.tokens


def _fraction(row: rowfile.Row) -> float:
    """A number in [0, 1) that depends on the row's prompt alone: a prompt is held out everywhere or nowhere."""
    key = "\n".join(message["content"] for message in row.messages) or row.text
    return int(sha256(key.encode()).hexdigest()[:12], 16) / 16**12
