"""Which rows of a training file are held out, so that the loss on them says something."""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from math import ceil

from strop.trainer.rowfile import Row

# So many rows are held out at the least, where there are rows enough to spare them.
LEAST_HELD, ENOUGH_ROWS = 4, 20


def prompt_of(row: Row) -> str:
    """What a row is an answer to, as one text: rows with the same are held out together or not at all."""
    return "\n".join(message["content"] for message in row.messages) or row.text


def held_prompts(stages: Iterable[Sequence[Row]], share: float) -> frozenset[str]:
    """The prompts that no stage may train on: in each, `share` of its rows (0 to 1) or a little more have one of them.

    At least 4 of 20 rows or more, and 1 of two. They are the first by a hash of the prompt, so that the same rows are
    held out each time; one prompt is always left to train on.
    """
    held: set[str] = set()
    for rows in stages:
        counts = Counter(map(prompt_of, rows))
        missing = _wanted(len(rows), share) - sum(counts[prompt] for prompt in held)
        for prompt in sorted(counts, key=_order)[:-1]:
            if missing <= 0:
                break
            if prompt not in held:
                held.add(prompt)
                missing -= counts[prompt]
    return frozenset(held)


def _wanted(rows: int, share: float) -> int:
    if share <= 0 or rows < 2:
        return 0
    return max(ceil(rows * share), LEAST_HELD if rows >= ENOUGH_ROWS else 1)


def _order(prompt: str) -> str:
    return sha256(prompt.encode()).hexdigest()
