"""The loss on rows that were held out of training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from strop.trainer.render import Example, PairExample

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Held:
    """`loss` is the mean negative log-likelihood of an answer's token, in nats, over `tokens` tokens of `rows` rows."""

    rows: int
    tokens: int
    loss: float


def hold_loss(model: Any, examples: Sequence[Example | PairExample]) -> Held | None:
    """The model's loss on the answers (of a pair: the chosen one); None where nothing was held out.

    On a processor it is measured in float32, whatever was trained in: bfloat16 rounds a small adapter's effect away
    (SmolLM2 after one step: 1.95 in bfloat16, 1.59 in float32 and in the served file).
    """
    import torch

    if not examples:
        return None
    rows = sorted(map(_answer, examples), key=lambda row: row.tokens)
    total, tokens = 0.0, 0
    model.eval()
    with _exact(model), torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            for nll, count in _batch(model, rows[start : start + _BATCH]):
                total, tokens = total + nll, tokens + count
    return Held(len(rows), tokens, total / tokens)


@contextmanager
def _exact(model: Any) -> Iterator[None]:
    """The weights in float32 inside the block, and back afterwards without loss; on an accelerator as they are."""
    import torch

    dtype = next(model.parameters()).dtype
    if dtype == torch.float32 or next(model.parameters()).device.type != "cpu":
        yield
        return
    model.float()
    try:
        yield
    finally:
        model.to(dtype)


def _answer(example: Example | PairExample) -> Example:
    return example if isinstance(example, Example) else Example(example.prompt_ids, example.chosen_ids)


def _batch(model: Any, rows: Sequence[Example]) -> list[tuple[float, int]]:
    """(summed negative log-likelihood, tokens) of each row's answer; rows are right-padded to (rows, longest)."""
    import torch

    width = max(row.tokens for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : row.tokens] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        mask[number, : row.tokens] = 1
    where = next(model.parameters()).device
    logits = model(input_ids=ids.to(where), attention_mask=mask.to(where), use_cache=False).logits.float().cpu()
    found = []
    for number, row in enumerate(rows):
        first = max(len(row.prompt_ids), 1)
        logprobs = logits[number, first - 1 : row.tokens - 1].log_softmax(dim=-1)
        labels = ids[number, first : row.tokens]
        found.append((float(-logprobs.gather(1, labels[:, None]).sum()), row.tokens - first))
    return found
