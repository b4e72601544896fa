"""Lone thumbs: answers that were liked are made likelier than they were, others less likely.

`kto` estimates how far the model has moved at all from mismatched answers, which costs two more passes a step;
`apo_zero_unpaired` (D'Oosterlinck et al. 2024) does without. Both labels weigh the same in sum, as KTO's authors advise
(Ethayarajh et al. 2024, section 4.3), and stand in every batch in the proportion of the whole.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from strop.errors import NotEnoughData
from strop.trainer.fit import OnProgress, TokenRows, arguments, fit
from strop.trainer.parts import InParts
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import RatedExample
from strop.trainer.resume import Place


def run_kto(
    model: Any,
    tokenizer: Any,
    rows: Sequence[RatedExample],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """Train the adapter in place; the reference is the adapter as it stood when this was called.

    Raises NotEnoughData where all rows say the same: then nothing is compared with anything.
    """
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    liked = sum(row.label for row in rows)
    if liked in (0, len(rows)):
        raise NotEnoughData(
            f"all {len(rows)} ratings say the same", hint="kto needs answers that were liked and others that were not"
        )
    batch = min(max(1, stage.batch_size // recipe.accumulation), len(rows))
    ordered = interleaved(rows, recipe.seed)
    data = Dataset.from_list(
        [
            {
                "prompt_ids": list(row.prompt_ids),
                "completion_ids": list(row.completion_ids),
                "KL_completion_ids": list(other.completion_ids),
                "label": row.label,
            }
            for row, other in zip(ordered, _mismatched(ordered, batch), strict=True)
        ]
    )
    if stage.kto_loss == "apo_zero_unpaired":
        data = data.remove_columns("KL_completion_ids")
    more, fewer = max(liked, len(rows) - liked), min(liked, len(rows) - liked)
    weights = (1.0, more / fewer) if liked == more else (more / fewer, 1.0)
    # The answers of a batch estimate the drift together, so the order is ours to choose and to keep.
    kept = arguments(stage, recipe, scratch) | {"train_sampling_strategy": "sequential"}
    told = KTOConfig(
        **kept | {"per_device_train_batch_size": batch},
        max_length=None,
        beta=stage.beta,
        loss_type=stage.kto_loss,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
    )

    class RatedTrainer(InParts, TokenRows, KTOTrainer):
        """KTO on rows that are token ids already."""

    return fit(RatedTrainer, model, tokenizer, told, data, stage, on, place=place)


def interleaved(rows: Sequence[RatedExample], seed: int) -> list[RatedExample]:
    """The rows shuffled, each label spread evenly over the whole: the order in which they came does not matter."""
    ordered = sorted(rows, key=lambda row: (row.prompt_ids, row.completion_ids, row.label))
    Random(seed).shuffle(ordered)  # noqa: S311 (an order, not a secret)
    placed: list[tuple[float, bool, RatedExample]] = []
    for label in (True, False):
        some = [row for row in ordered if row.label is label]
        placed += [((number + 0.5) / len(some), label, row) for number, row in enumerate(some)]
    return [row for _, _, row in sorted(placed, key=lambda one: one[:2])]


def _mismatched(rows: Sequence[RatedExample], batch: int) -> list[RatedExample]:
    """For each row another one of its batch, whose answer is set against its prompt."""
    return [
        part[place - 1]
        for start in range(0, len(rows), batch)
        for part in [rows[start : start + batch]]
        for place in range(len(part))
    ]
