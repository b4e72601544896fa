"""What a transformers model says at each place of given continuations: read in batches of about the same length.

One pass over prompt and continuation gives the logits at every continued place. Shared by what holds a build against
transformers (`certificate.reference`) and by what measures how far a type moves a model (`divergence`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

# (prompt, continuation), both as token ids; a prompt has one token at least.
Pair = tuple[Sequence[int], Sequence[int]]
_ROWS = 8


def batches(pairs: Sequence[Pair]) -> list[list[int]]:
    """Numbers of pairs of about the same length, the short ones first; those without a continuation are among them."""
    numbers = sorted(range(len(pairs)), key=lambda number: len(pairs[number][0]) + len(pairs[number][1]))
    return [numbers[start : start + _ROWS] for start in range(0, len(numbers), _ROWS)]


def logits(model: Any, batch: Sequence[Pair]) -> Iterator[Any]:
    """For each pair of a batch the logits (places, vocabulary) at its continued places. The caller forbids gradients.

    `model` is a causal model of transformers, or PEFT's around one.
    """
    first = min(len(prompt) for prompt, _ in batch) - 1
    padded = _padded(batch)
    # What stands before the first continuation needs no logits, which are most of the memory.
    kept = padded["input_ids"].shape[1] - first
    found = model(**padded, use_cache=False, logits_to_keep=kept).logits
    for row, (prompt, continued) in zip(found, batch, strict=True):
        start = len(prompt) - 1 - first
        yield row[start : start + len(continued)]


def _padded(batch: Sequence[Pair]) -> dict[str, Any]:
    """Right-padded ids and mask, (pairs, longest)."""
    import torch

    width = max(len(prompt) + len(continued) for prompt, continued in batch)
    ids, mask = torch.zeros(len(batch), width, dtype=torch.long), torch.zeros(len(batch), width, dtype=torch.long)
    for number, (prompt, continued) in enumerate(batch):
        row = [*prompt, *continued]
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
