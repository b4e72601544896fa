"""Answers to copy: the loss is on the answer alone, its end-of-turn token included."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strop.trainer.fit import OnProgress, arguments, fit, labelled
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example
from strop.trainer.resume import Place


def run_sft(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Example],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """Train the adapter of `model` in place on `rows`; the mean loss over all steps. Raises TrainingFailed on NaN."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([labelled(row.prompt_ids, row.completion_ids) for row in rows])
    told = SFTConfig(**arguments(stage, recipe, scratch), max_length=None, packing=False)
    return fit(SFTTrainer, model, tokenizer, told, data, stage, on, place=place)
