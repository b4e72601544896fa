"""A step's batch read in parts is the same step: each part's loss counts by its share of the whole.

Transformers divides the sum of the parts' losses by their number, as if all were alike. A mean over rows or tokens is
then another one where a part has fewer rows (the last step of an epoch) or shorter answers. SFT alone is divided right
by the library itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PART = "part_of_step"


class InParts:
    """For a trainer of TRL's whose loss is a mean over rows, and over tokens where `scored` counts them."""

    scored: Callable[[Mapping[str, Any]], int] | None = None

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)  # type: ignore[misc]
        if len(batches) > 1:
            rows = _shares([_rows(batch) for batch in batches])
            tokens = rows if self.scored is None else _shares([self.scored(batch) for batch in batches])
            for batch, of_rows, of_tokens in zip(batches, rows, tokens, strict=True):
                batch[_PART] = [of_rows, of_tokens]
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        of_rows, of_tokens = inputs.pop(_PART, (1.0, 1.0))
        trainer: Any = super()
        return self.loss_of_part(of_rows, of_tokens, lambda: trainer.compute_loss(model, inputs, *args, **kwargs))

    def loss_of_part(self, of_rows: float, of_tokens: float, loss: Callable[[], Any]) -> Any:
        """The part's loss times its share; 1 where all parts are alike."""
        return loss() * (of_rows if self.scored is None else of_tokens)


def _rows(batch: Mapping[str, Any]) -> int:
    return len(batch["input_ids"])


def _shares(counts: Sequence[int]) -> list[float]:
    """Each count against the mean of all."""
    mean = sum(counts) / len(counts)
    return [count / mean for count in counts]
