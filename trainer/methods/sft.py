"""Answers to copy: the loss is on the answer alone, its end-of-turn token included."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from strop.trainer.attention import can_join, joined
from strop.trainer.fit import OnProgress, arguments, fit, labelled
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example
from strop.trainer.resume import Place

# How rows that have to be padded are ordered: long ones among short ones cost the most padding.
GROUPED = {"train_sampling_strategy": "group_by_length"}


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
    base = model.get_base_model()
    kept = arguments(stage, recipe, scratch)
    join = can_join(base)
    if not join:
        kept |= GROUPED
    several = kept["per_device_train_batch_size"] > 1  # one row has no padding; the order is the same in any parts
    told = SFTConfig(**kept, max_length=None, packing=False, padding_free=join and several)
    with joined(base) if join and several else nullcontext():
        return fit(SFTTrainer, model, tokenizer, told, data, stage, on, place=place)
