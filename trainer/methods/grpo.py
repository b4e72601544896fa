"""Tasks with a checker: the model answers each several times, and what scored above its own mean is made likelier.

Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) as TRL does it, without a reference model
(beta 0). Answers are sampled at temperature 1 with transformers, to exactly the ids that the server would send. A group
whose answers all score the same teaches nothing.
"""

import json
from collections.abc import Mapping, Sequence
from math import lcm
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from strop.errors import NotEnoughData, UsageError
from strop.trainer import checks
from strop.trainer.fit import OnProgress, Progress, arguments, fit
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import TaskExample
from strop.trainer.resume import Place

# TRL's name for the share of groups whose answers all scored the same.
_ALIKE = "frac_reward_zero_std"


def run_grpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TaskExample],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """Train the adapter of `model` in place on `rows`; the mean loss over all steps, which hovers about 0.

    Raises NotEnoughData where no group had answers of different worth, and TrainingFailed where a check fails.
    """
    from datasets import Dataset

    answers = answers_a_step(stage, recipe, len(rows))
    tasks = filled(rows, answers // stage.generations, recipe.seed)
    # What a check expects is any JSON, which a column cannot hold: the row's number stands for it.
    data = Dataset.from_list([{"prompt": list(task.prompt_ids), "task": number} for number, task in enumerate(tasks)])
    seen: list[Progress] = []

    def noted(at: Progress) -> None:
        seen.append(at)
        on(at)

    before = [one for one in place.records if one["stage"] == "grpo"] if place is not None else []
    told = _arguments(stage, recipe, scratch, answers)
    loss = fit(_task_trainer(tasks), model, tokenizer, told, data, stage, noted, place=place)
    _check_learned([*before, *(at.metrics for at in seen)], stage.generations)
    return loss


def _arguments(stage: StageRecipe, recipe: Recipe, scratch: Path, answers: int) -> Any:
    """TRL's settings for `answers` answers a step."""
    from trl import GRPOConfig

    return GRPOConfig(
        **arguments(stage, recipe, scratch) | {"per_device_train_batch_size": answers // recipe.accumulation},
        num_generations=stage.generations,
        max_completion_length=stage.answer_tokens,
        temperature=1.0,
        beta=0.0,
        shuffle_dataset=False,  # `filled` has
    )


def _task_trainer(tasks: Sequence[TaskExample]) -> Any:
    """TRL's trainer, which scores an answer by the check of its task; the column `task` is its place in `tasks`."""
    from trl import GRPOTrainer

    def worth(completions: Sequence[str], task: Sequence[int], **others: Any) -> list[float]:
        asked = [tasks[number] for number in task]
        return [checks.score(one.check, text, one.expected) for one, text in zip(asked, completions, strict=True)]

    class TaskTrainer(GRPOTrainer):
        """GRPO on prompts that are token ids already."""

        def __init__(self, *args: Any, data_collator: Any, **kwargs: Any) -> None:
            super().__init__(*args, reward_funcs=worth, **kwargs)

        def _tokenize_prompts(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, None, dict[str, Any]]:
            return prompts, None, {}

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            made = super()._prepare_inputs(generation_batch)
            self.place.count(int(made["prompt_mask"].sum() + made["completion_mask"].sum()))
            return made

    return TaskTrainer


def _check_learned(steps: Sequence[Mapping[str, Any]], generations: int) -> None:
    """Raises NotEnoughData where no group had answers of different worth."""
    if all(one[_ALIKE] == 1.0 for one in steps):
        raise NotEnoughData(
            f"nothing was learned: all {generations} answers to a task always scored the same "
            f"({fmean(one['reward'] for one in steps):.2f} on average)",
            hint="tasks that the model sometimes gets right, a check that gives part of the points, or more answers a "
            "task: --generations",
        )


def answers_a_step(stage: StageRecipe, recipe: Recipe, tasks: int) -> int:
    """The batch size, rounded up to whole groups in parts of equal size; no more groups than there are tasks.

    Raises UsageError where there are too few tasks for that.
    """
    unit = lcm(stage.generations, recipe.accumulation)
    most = tasks * stage.generations // unit
    if not most:
        what = f"{tasks} tasks of {stage.generations} answers cannot be read in {recipe.accumulation} equal parts"
        raise UsageError(what, hint=f"--accumulation {stage.generations}, or a divisor of it")
    return min(-(-stage.batch_size // unit), most) * unit


def filled(rows: Sequence[TaskExample], groups: int, seed: int) -> list[TaskExample]:
    """The rows shuffled, whatever their order was, and the first of them once more where the last step lacks some."""
    ordered = sorted(rows, key=lambda row: (row.prompt_ids, row.check, json.dumps(row.expected, sort_keys=True)))
    Random(seed).shuffle(ordered)  # noqa: S311 (an order, not a secret)
    return [*ordered, *ordered[: -len(ordered) % groups]]


def summary(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a run's steps say: the mean reward of their first and last quarter, and how many groups taught nothing.

    None where there are no such steps: other methods have no rewards.
    """
    if not steps:
        return None
    rewards = [step["reward"] for step in steps]
    quarter = max(1, len(rewards) // 4)
    return {
        "first": fmean(rewards[:quarter]),
        "last": fmean(rewards[-quarter:]),
        "alike_share": fmean(step[_ALIKE] for step in steps),
        "curve": [[step["step"], step["reward"]] for step in steps],
    }
