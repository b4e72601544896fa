"""Pairs to prefer: the chosen answer over the rejected one, and the chosen one's likelihood beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from strop.trainer.fit import OnProgress, TokenRows, arguments, fit
from strop.trainer.measure import answer_logprobs
from strop.trainer.parts import InParts
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample
from strop.trainer.resume import Place


def run_dpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PairExample],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """Preference training of the adapter in place; the reference is the adapter as it stood when this was called.

    What the reference gives to every answer is computed once, before the first step.
    """
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    answers = [Example(row.prompt_ids, row.chosen_ids) for row in rows]
    answers += [Example(row.prompt_ids, row.rejected_ids) for row in rows]
    reference = answer_logprobs(model, answers)
    data = Dataset.from_list(
        [
            {
                "prompt_ids": list(row.prompt_ids),
                "chosen_ids": list(row.chosen_ids),
                "rejected_ids": list(row.rejected_ids),
                "ref_chosen_logps": chosen,
                "ref_rejected_logps": rejected,
            }
            for row, chosen, rejected in zip(rows, reference[: len(rows)], reference[len(rows) :], strict=True)
        ]
    )
    # `robust` takes a share of the pairs to be the wrong way round (Chowdhury et al. 2024, arXiv 2403.00409).
    preference = "robust" if stage.label_smoothing else "sigmoid"
    told = DPOConfig(
        **arguments(stage, recipe, scratch),
        max_length=None,
        beta=stage.beta,
        loss_type=[preference, "sft"],
        loss_weights=[1.0, stage.sft_weight],
        label_smoothing=stage.label_smoothing,
    )

    class PairTrainer(InParts, TokenRows, DPOTrainer):
        """DPO on rows that are token ids already, with what the reference gave them."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.scored = _chosen_tokens
            self.precompute_ref_logps = True  # set here, TRL would compute them, and hash the whole model for its cache

        def loss_of_part(self, of_rows: float, of_tokens: float, loss: Callable[[], Any]) -> Any:
            """The preference is a mean over pairs, the likelihood one over the tokens of their chosen answers."""
            self.loss_weights = [1.0, stage.sft_weight * of_tokens / of_rows]
            return loss() * of_rows

    return fit(PairTrainer, model, tokenizer, told, data, stage, on, place=place)


def _chosen_tokens(batch: Mapping[str, Any]) -> int:
    """The first half of a batch's rows are the chosen answers."""
    mask = batch["completion_mask"]
    return int(mask[: len(mask) // 2].sum())
