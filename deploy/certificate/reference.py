"""The base with its adapter as transformers and PEFT run it, not merged, in float32: what a build is held against.

One pass over a given continuation tells transformers' own choice at each place and how likely it finds other tokens.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.deploy import reading
from strop.deploy.fullmerge import unmerged
from strop.deploy.reading import Pair
from strop.trainer.models import BaseModel


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
            for batch in reading.batches(pairs):
                read = reading.logits(self._model, [pairs[number] for number in batch])
                for number, logits in zip(batch, read, strict=True):
                    found[number] = _opinion(logits, wanted[number] if number < len(wanted) else ())
        return [found[number] for number in range(len(pairs))]


def _opinion(logits: Any, wanted: Sequence[Sequence[int]]) -> Opinion:
    import torch

    choices = logits.argmax(dim=-1).tolist()
    if not wanted:
        return Opinion(choices, [])
    scores = torch.log_softmax(logits.float(), dim=-1)
    return Opinion(choices, [row[list(tokens)].tolist() for row, tokens in zip(scores, wanted, strict=True)])
