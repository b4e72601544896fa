"""Is the preferred answer simply the longer one, or the shorter one? DPO would learn that first of all.

Corrections may say so: a person who shortens every answer wants short answers. Where only ratings prefer one length
and the corrections do not, pairs of the majority are left out until both directions weigh the same.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from strop.files import sha256_bytes

# From so many pairs on, such a share in one direction is systematic (one-sided p < 0.003 in an even world).
_FEWEST, _SYSTEMATIC = 20, 0.8
# Within 10 % of each other two texts are of one length.
_SAME_LENGTH = 1.1


class Compared(Protocol):
    """What is looked at of a pair."""

    @property
    def chosen(self) -> str: ...
    @property
    def rejected(self) -> str | None: ...
    @property
    def corrected(self) -> bool: ...


P = TypeVar("P", bound=Compared)


def balanced(pairs: Sequence[P], excluded: Counter[str]) -> tuple[list[P], tuple[str, ...]]:
    """The pairs to train on, and sentences about a bias that was found. Left out pairs are counted (`length_bias`)."""
    rated = [pair for pair in pairs if pair.rejected is not None and not pair.corrected]
    corrected = [pair for pair in pairs if pair.rejected is not None and pair.corrected]
    lean, share = _leaning(rated)
    if lean == 0:
        return list(pairs), ()
    word = "longer" if lean > 0 else "shorter"
    figure = f"in {share:.0%} of {len(rated)} rated pairs the preferred answer is the {word} one"
    if _leaning(corrected)[0] == lean:
        return list(pairs), (f"{figure}, as in the corrections: taken as the taste that it is.",)
    drop = _surplus(rated, lean)
    excluded["length_bias"] += len(drop)
    kept = [pair for pair in pairs if id(pair) not in drop]
    return kept, (
        f"{figure}, and no corrections say so: {len(drop)} of them are left out, so that length decides nothing.",
    )


def _leaning(pairs: Sequence[Compared]) -> tuple[int, float]:
    """(1 where chosen is systematically longer, -1 where shorter, else 0; the share of that direction)."""
    tally = Counter(map(_direction, pairs))
    for lean in (1, -1):
        if len(pairs) >= _FEWEST and tally[lean] >= _SYSTEMATIC * len(pairs):
            return lean, tally[lean] / len(pairs)
    return 0, 0.0


def _direction(pair: Compared) -> int:
    ours, theirs = len(pair.chosen), len(pair.rejected or "")
    if max(ours, theirs) <= _SAME_LENGTH * min(ours, theirs):
        return 0
    return 1 if ours > theirs else -1


def _surplus(pairs: Sequence[Compared], lean: int) -> set[int]:
    """Which pairs of the majority to leave out, so that as many stay as go the other way (a quarter at the least)."""
    major = [pair for pair in pairs if _direction(pair) == lean]
    minor = sum(_direction(pair) == -lean for pair in pairs)
    keep = max(minor, -(-len(major) // 4))
    ordered = sorted(major, key=lambda pair: sha256_bytes(f"{pair.chosen}\n{pair.rejected}".encode()))
    return {id(pair) for pair in ordered[keep:]}
