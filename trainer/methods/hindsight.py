"""What the user said afterwards: the model that has read it teaches the model that has not.

At every token of the answer, the teacher is the same model with the user's next message in view, without a gradient;
the student, who sees the question alone, moves towards the teacher's distribution (self-distillation from follow-ups,
arXiv 2603.12273). No better answer has to be written by anybody. The loss is the mean Kullback-Leibler divergence
from teacher to student, in nats a token.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strop.trainer.fit import OnProgress, arguments, fit, labelled
from strop.trainer.measure import scored_logits
from strop.trainer.parts import InParts
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import HintedExample
from strop.trainer.resume import Place


def run_hindsight(
    model: Any,
    tokenizer: Any,
    rows: Sequence[HintedExample],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """Train the adapter of `model` in place on `rows`; the mean divergence over all steps."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {
                **labelled(row.prompt_ids, row.completion_ids),
                "hinted_ids": [*row.hinted_ids, *row.completion_ids],
            }
            for row in rows
        ]
    )
    kept = arguments(stage, recipe, scratch) | {"remove_unused_columns": False}
    told = SFTConfig(**kept, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True})

    class Diverging(SFTTrainer):
        """SFT whose loss is the divergence from the model that knows what was said afterwards."""

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            return divergence(model, inputs)

    class HindsightTrainer(InParts, Diverging):
        """A part counts by the tokens that are scored in it."""

        scored = staticmethod(lambda batch: int(batch["scored"].sum()))

    collator = _Collator(int(tokenizer.pad_token_id))
    return fit(HindsightTrainer, model, tokenizer, told, data, stage, on, collator=collator, place=place)


class _Collator:
    """Rows to tensors, padded on the right: (rows, longest) for the student and for the teacher."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        student = self._padded([row["input_ids"] for row in rows], self._pad_id)
        teacher = self._padded([row["hinted_ids"] for row in rows], self._pad_id)
        answers = [sum(label != -100 for label in row["labels"]) for row in rows]
        return {
            "input_ids": student,
            "attention_mask": self._padded([[1] * len(row["input_ids"]) for row in rows], 0),
            "scored": _places([len(row["input_ids"]) for row in rows], answers, student.shape[1]),
            "hinted_ids": teacher,
            "hinted_mask": self._padded([[1] * len(row["hinted_ids"]) for row in rows], 0),
            "hinted_scored": _places([len(row["hinted_ids"]) for row in rows], answers, teacher.shape[1]),
        }

    @staticmethod
    def _padded(rows: Sequence[Sequence[int]], filler: int) -> Any:
        import torch

        width = max(map(len, rows))
        return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long)


def _places(lengths: Sequence[int], answers: Sequence[int], width: int) -> Any:
    """(rows, width) true where the next token is one of the answer's."""
    import torch

    mask = torch.zeros(len(lengths), width, dtype=torch.bool)
    for row, (length, answer) in enumerate(zip(lengths, answers, strict=True)):
        mask[row, length - answer - 1 : length - 1] = True
    return mask


def divergence(model: Any, inputs: dict[str, Any]) -> Any:
    """The mean divergence from teacher to student over the answers' tokens; the gradient is the student's alone."""
    import torch

    with torch.no_grad():
        taught = scored_logits(model, inputs["hinted_ids"], inputs["hinted_mask"], inputs["hinted_scored"])
        taught = taught.log_softmax(dim=-1)
    learned = scored_logits(model, inputs["input_ids"], inputs["attention_mask"], inputs["scored"]).log_softmax(dim=-1)
    return torch.nn.functional.kl_div(learned, taught, log_target=True, reduction="batchmean")
