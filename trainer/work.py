"""One training job from row files to an adapter folder: what the training child does."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

from strop.errors import BadTrainingFile, NotEnoughData, TrainingFailed
from strop.files import canonical_json, sha256_bytes, sha256_file, whole_folder, write_manifest
from strop.trainer import plan, rowfile
from strop.trainer.checkpoints import METRICS, Checkpoints, Counted, Record, as_lines
from strop.trainer.held import held_prompts, prompt_of
from strop.trainer.measure import AnyExample, Held, hold_loss, peak_bytes
from strop.trainer.methods import grpo
from strop.trainer.recipe import Recipe, Stage, StageRecipe, from_dict
from strop.trainer.render import HintedExample, PairExample, RatedExample, Renderer, TaskExample, text_example
from strop.trainer.replay import Replay
from strop.trainer.resume import Place, put
from strop.trainer.train import ADAPTER, OnProgress, Progress, add_lora, load_base, run_stage

# The kinds of rows that a method learns from, and what to use for the others.
_TAKES: Mapping[Stage, tuple[rowfile.Kind, ...]] = {
    "sft": ("text", "messages", "completion", "preference", "rated"),
    "dpo": ("preference",),
    "kto": ("rated",),
    "hindsight": ("hindsight",),
    "grpo": ("task",),
}
_COLUMNS_OF = {
    "dpo": "prompt, chosen and rejected",
    "kto": "prompt, completion and label (true or false)",
    "grpo": "prompt, check and expected",
}
_METHOD_FOR: Mapping[rowfile.Kind, Stage] = {
    "preference": "dpo",
    "rated": "kto",
    "hindsight": "hindsight",
    "task": "grpo",
}


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: `files` maps a method to its rows, `base` is `BaseModel.facts()` with the folder beside it.

    `held_share` of the rows (by a hash, so that the same rows are held out each time; see `held`) is not trained on,
    and the loss on it is reported before and after. In the folder `run`, where one is named, a checkpoint is kept every
    `checkpoint_s` seconds, and the same job goes on from it. The base's own answers to general prompts are kept in the
    folder `replays`; where none is named there is no replay, and how much was forgotten is not measured.
    """

    base_folder: str
    base: dict[str, str]
    files: dict[str, str]
    recipe: dict[str, Any]
    out: str
    dataset_sha256: str | None = None
    held_share: float = 0.0
    run: str = ""
    replays: str = ""
    checkpoint_s: float = 120.0

    def key(self) -> str:
        """What the run follows from. In how many parts a step's batch is read is no part of it."""
        recipe = {**self.recipe, "accumulation": 1, "checkpointing": False}
        files = {method: sha256_file(Path(path)) for method, path in self.files.items()}
        return sha256_bytes(canonical_json([self.base, files, recipe, self.held_share]).encode())

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
    held_out = held_prompts((_taken(files[stage.method], stage.method) for stage in recipe.stages), job.held_share)
    rows = {stage.method: rendered(files[stage.method], stage, tokenizer, recipe, held_out) for stage in recipe.stages}
    lora = add_lora(model, recipe)
    replay = (
        Replay(lora, tokenizer, Path(job.replays), f"{job.base['sha256']} {recipe.precision} {recipe.load_in}")
        if job.replays
        else None
    )
    train: dict[str, list[AnyExample]] = {method: [*one.train] for method, one in rows.items()}
    if replay is not None and recipe.replay and "sft" in train:
        train["sft"] += replay.to_train(round(recipe.replay * len(train["sft"])), recipe.manner)
    held = [example for stage in recipe.stages for example in rows[stage.method].held]
    before = hold_loss(lora, held)
    checkpoints = Checkpoints(Path(job.run), job.key(), job.checkpoint_s) if job.run else Checkpoints(None)
    counted = _train(lora, tokenizer, train, recipe, checkpoints, on_progress)
    curve = {
        stage.method: [(one["step"], one["loss"]) for one in counted.records if one["stage"] == stage.method]
        for stage in recipe.stages
    }
    facts = {
        "kind": "adapter",
        "base": job.base,
        "dataset_sha256": job.dataset_sha256,
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "threads": threads,
        "rows": {method: len(one.train) for method, one in rows.items()},
        "replayed": len(train.get("sft", ())) - len(rows["sft"].train) if "sft" in rows else 0,
        "left_out_too_long": {method: one.left_out for method, one in rows.items()},
        "tokens": counted.tokens,
        "train_s": round(counted.seconds, 3),
        "loss": {method: fmean(loss for _, loss in points) for method, points in curve.items()},
        "curve": {method: [list(point) for point in points] for method, points in curve.items()},
        "reward": grpo.summary([one for one in counted.records if "reward" in one]),
        "peak_bytes": peak_bytes(),
        "held_out": _held_report(before, hold_loss(lora, held)),
        "forgetting": replay.forgetting().as_dict() if replay is not None else None,
    }
    manifest = save(lora, Path(job.out), facts, counted.records)
    checkpoints.remove()
    return manifest


def _train(
    lora: Any,
    tokenizer: Any,
    rows: Mapping[str, Sequence[AnyExample]],
    recipe: Recipe,
    checkpoints: Checkpoints,
    on_progress: OnProgress,
) -> Counted:
    """All stages, from the last checkpoint on where there is one; what was counted over all parts of the run."""
    learned = {name: parameter for name, parameter in lora.named_parameters() if parameter.requires_grad}
    found = checkpoints.latest()
    counted = Counted()
    if found is not None:
        counted = found.counted
        put(learned, found.part("start/"))
    begun = monotonic() - counted.seconds

    def noted(at: Progress) -> None:
        counted.seconds = monotonic() - begun
        counted.records.append(
            {"stage": at.stage, "step": at.step, "steps": at.steps, "loss": at.loss, "tokens": at.tokens}
            | {"seconds": round(counted.seconds, 3), **at.metrics}
        )
        on_progress(at)

    with tempfile.TemporaryDirectory() as scratch:
        for number, stage in enumerate(recipe.stages):
            if found is not None and number < found.stage:
                continue
            start = {name: parameter.detach().clone() for name, parameter in learned.items()}
            going_on = found if found is not None and number == found.stage and found.step else None
            place = Place(checkpoints, number, counted, start, going_on)
            try:
                run_stage(lora, tokenizer, rows[stage.method], stage, recipe, Path(scratch), noted, place)
            except (NotEnoughData, TrainingFailed):
                checkpoints.remove()  # what leads there would lead there again
                raise
            counted.seconds = monotonic() - begun
            checkpoints.ended(number, counted, learned)
    return counted


def save(lora: Any, out: Path, facts: dict[str, Any], records: Sequence[Record] = ()) -> dict[str, Any]:
    """Write the trained adapter alone (not DPO's reference copy) as safetensors, with its manifest last.

    `records` become `metrics.jsonl` beside it, a line a step.
    """
    base_ref = facts["base"]["ref"]
    lora.peft_config[ADAPTER].base_model_name_or_path = base_ref
    with whole_folder(out) as fresh:
        lora.save_pretrained(
            str(fresh), selected_adapters=[ADAPTER], safe_serialization=True, save_embedding_layers=False
        )
        (fresh / "README.md").unlink(missing_ok=True)
        if records:
            (fresh / METRICS).write_bytes(as_lines(records))
        return write_manifest(fresh, facts)


def _held_report(before: Held | None, after: Held | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    return {"rows": after.rows, "tokens": after.tokens, "loss_before": before.loss, "loss_after": after.loss}


def check_kind(file: rowfile.RowFile, stage: Stage) -> None:
    """Raise BadTrainingFile where a method cannot learn from this kind of rows."""
    if file.kind in _TAKES[stage]:
        return
    needed = _COLUMNS_OF.get(stage, "prompt, completion and feedback")
    if stage == "sft":
        needed = "answers to copy"
    method = _METHOD_FOR.get(file.kind, "sft")
    raise BadTrainingFile(
        f"{stage} needs {'' if stage == 'sft' else 'the columns '}{needed}; this file holds {file.kind} rows",
        hint=f"use {method} for it: strop train {method}",
    )


def _taken(file: rowfile.RowFile, stage: Stage) -> list[rowfile.Row]:
    """The rows that a stage learns from: of rated answers, SFT copies those that were liked."""
    return [row for row in file.rows if stage != "sft" or row.label is not False]


def rendered(
    file: rowfile.RowFile, stage: StageRecipe, tokenizer: Any, recipe: Recipe, held_out: Collection[str] = ()
) -> Rendered:
    """The rows of a file as one stage takes them; those to the prompts `held_out` are for measuring.

    Raises BadTrainingFile naming the line and the column, and NotEnoughData.
    """
    check_kind(file, stage.method)
    if file.kind == "task":
        held_out = ()  # no answer is wanted that a loss could be measured on
    train: list[AnyExample] = []
    held: list[AnyExample] = []
    left_out = 0
    for row in _taken(file, stage.method):
        _refuse_control(file, row, tokenizer)
        example = _example(row, stage, tokenizer)
        if max(_longest(example), 1) > recipe.max_length:
            left_out += 1
        elif prompt_of(row) in held_out:
            held.append(example)
        else:
            train.append(example)
    train.sort(key=repr)  # a seed gives the same order, however the rows came
    if not train:
        raise NotEnoughData(
            f"no row is left to train on: {left_out} of {len(file.rows)} are longer than {recipe.max_length} tokens",
            hint="raise --max-length or shorten the rows",
        )
    return Rendered(tuple(train), tuple(held), left_out)


def _refuse_control(file: rowfile.RowFile, row: rowfile.Row, tokenizer: Any) -> None:
    """Raise BadTrainingFile for a text that spells a control token. Plain text is learned as it stands."""
    if file.kind == "text":
        return
    render = Renderer(tokenizer)
    for column, text in rowfile.said(file, row):
        if (found := render.control_text(text)) is not None:
            raise BadTrainingFile(
                f"line {row.line}, column {column!r} holds the control token {found!r}, which would become a real one",
                hint="remove the row or spell the token differently",
            )


def _example(row: rowfile.Row, stage: StageRecipe, tokenizer: Any) -> AnyExample:
    if row.answer is None and not row.check:
        return text_example(tokenizer, row.text)
    render = Renderer(tokenizer)
    try:
        if row.answer is None:
            return TaskExample(render.prompt(row.messages, row.request), row.check, row.expected, stage.answer_tokens)
        example = render.example(row.messages, row.answer, row.request)
        if stage.method == "kto":
            return RatedExample(example.prompt_ids, example.completion_ids, bool(row.label))
        if stage.method == "hindsight":
            hinted = render.hinted(row.messages, row.feedback, row.request)
            return HintedExample(example.prompt_ids, hinted, example.completion_ids)
        if stage.method == "sft" or row.rejected is None:
            return example
        rejected = render.completion(row.messages, example.prompt_ids, row.rejected, row.request)
    except BadTrainingFile as error:
        raise BadTrainingFile(f"line {row.line}: {error}", hint=error.hint) from error
    return PairExample(example.prompt_ids, example.completion_ids, rejected[: stage.rejected_tokens])


def _longest(example: AnyExample) -> int:
    if isinstance(example, PairExample):
        return len(example.prompt_ids) + max(len(example.chosen_ids), len(example.rejected_ids))
    if isinstance(example, HintedExample):
        return len(example.hinted_ids) + len(example.completion_ids)
    return example.tokens
