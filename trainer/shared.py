"""Two answers to one prompt in one pass: the prompt is read once, and neither answer sees the other.

A batch of pairs as TRL lays it out, `[chosen rows; rejected rows]`, becomes half as many rows of prompt, chosen and
rejected behind one another. Positions of the rejected answer go on from the prompt, and the mask hides the chosen one
from it, so every hidden state is what it would be in a row of its own.
"""

from typing import Any


def scored_hidden(model: Any, input_ids: Any, attention_mask: Any, labels: Any) -> Any | None:
    """(scored positions, width): the states that predict the labels, in the order of `labels[:, 1:] != -100`.

    `input_ids`, `attention_mask`, `labels` are (2 x pairs, length), padded on the right. None where the two rows of a
    pair do not begin with the same prompt.
    """
    import torch

    pairs = len(input_ids) // 2
    lengths = attention_mask.sum(dim=1).tolist()
    starts = (labels != -100).int().argmax(dim=1).tolist()
    rows, positions, parts = [], [], []
    sources: list[list[int]] = [[] for _ in range(2 * pairs)]
    for chosen, rejected in enumerate(range(pairs, 2 * pairs)):
        start, end, other = starts[chosen], lengths[chosen], lengths[rejected]
        same = start == starts[rejected] and torch.equal(input_ids[chosen, :start], input_ids[rejected, :start])
        if len(input_ids) % 2 or not start or not same:
            return None
        rows.append(torch.cat((input_ids[chosen, :end], input_ids[rejected, start:other])))
        positions.append(torch.tensor([*range(end), *range(start, other)]))
        parts.append(torch.tensor([0] * start + [1] * (end - start) + [2] * (other - start)))
        sources[chosen] = list(range(start - 1, end - 1))
        sources[rejected] = [start - 1, *range(end, end + other - start - 1)]
    where = input_ids.device
    together = _padded(rows, 0).to(where)
    part = _padded(parts, 3).to(where)
    hidden = model.base_model(
        input_ids=together,
        attention_mask=_mask(part, model.dtype),
        position_ids=_padded(positions, 0).to(where),
        use_cache=False,
    ).last_hidden_state
    width = together.shape[1]
    flat = [row % pairs * width + place for row, places in enumerate(sources) for place in places]
    return hidden.flatten(0, 1)[torch.tensor(flat, device=where)]


def _mask(part: Any, dtype: Any) -> Any:
    """(rows, 1, length, length), added to the scores: 0 where a token may look, the smallest number elsewhere."""
    import torch

    length = part.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=part.device).tril()
    seen = before & ((part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None]))
    return torch.where(seen[:, None], 0.0, torch.finfo(dtype).min).to(dtype)


def _padded(rows: Any, filler: int) -> Any:
    import torch

    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)
