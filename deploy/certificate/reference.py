"""The base with its adapter as transformers and PEFT run it, not merged, in float32: what a build is held against.

One pass over a given continuation tells transformers' own choice at each place and how likely it finds other tokens.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.deploy.fullmerge import unmerged
from strop.trainer.models import BaseModel

# (prompt, continuation), both as token ids.
Pair = tuple[Sequence[int], Sequence[int]]
_ROWS = 8


@dataclass(frozen=True, slots=True)
class Opinion:
    """On one continuation, at each place: the likeliest token, and the log-probabilities (nats) that were asked for."""

    choices: list[int]
    logprobs: list[list[float]]


class Reference:
    """Reads continuations with the adapter, or without it."""

    def __init__(self, base: BaseModel, adapter: Path | None) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        if adapter is not None:
            self._model = unmerged(base, adapter)
            return
        model = AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        self._model = model.eval()

    def read(
        self, pairs: Sequence[Pair], wanted: Sequence[Sequence[Sequence[int]]] = (), *, bare: bool = False
    ) -> list[Opinion]:
        """An opinion on each pair; for the first ones `wanted` names the tokens that matter at each place.

        `bare`: as if there were no adapter (only where there is one).
        """
        import torch

        found: dict[int, Opinion] = {}
        with torch.inference_mode(), self._model.disable_adapter() if bare else nullcontext():
            for batch in _batches(pairs):
                for number, logits in zip(batch, self._logits([pairs[number] for number in batch]), strict=True):
                    found[number] = _opinion(logits, wanted[number] if number < len(wanted) else ())
        return [found[number] for number in range(len(pairs))]

    def _logits(self, batch: Sequence[Pair]) -> Iterator[Any]:
        """The logits (places, vocabulary) at each continued place, for right-padded rows."""
        import torch

        width = max(len(prompt) + len(continued) for prompt, continued in batch)
        first = min(len(prompt) for prompt, _ in batch) - 1
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        for number, (prompt, continued) in enumerate(batch):
            row = [*prompt, *continued]
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        # What stands before the first continuation needs no logits, which are most of the memory.
        kept = width - first
        logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
        for row, (prompt, continued) in zip(logits, batch, strict=True):
            start = len(prompt) - 1 - first
            yield row[start : start + len(continued)]


def _opinion(logits: Any, wanted: Sequence[Sequence[int]]) -> Opinion:
    import torch

    choices = logits.argmax(dim=-1).tolist()
    if not wanted:
        return Opinion(choices, [])
    scores = torch.log_softmax(logits.float(), dim=-1)
    return Opinion(choices, [row[list(tokens)].tolist() for row, tokens in zip(scores, wanted, strict=True)])


def _batches(pairs: Sequence[Pair]) -> list[list[int]]:
    """Numbers of pairs of about the same length; those without a continuation are read too."""
    numbers = sorted(range(len(pairs)), key=lambda number: len(pairs[number][0]) + len(pairs[number][1]))
    return [numbers[start : start + _ROWS] for start in range(0, len(numbers), _ROWS)]
