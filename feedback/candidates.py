"""Which texts may be near-duplicates, by their sketches: linear in the texts, however alike they are.

Two texts are candidates where they share a band and where so many of their minima agree that a similarity of `SIMILAR`
is possible: five standard deviations below what it gives. Of those with whom it shares a band, a text is set against
the 63 before it: where more than that share one they are joined by way of one another, and there are 26 more bands.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import eq
from typing import Any

from strop.feedback.similar import SIMILAR
from strop.feedback.sketch import BANDS, MINIMA, ROWS

# So many of the minima must agree.
AGREEING = int(MINIMA * (SIMILAR - 5 * (SIMILAR * (1 - SIMILAR) / MINIMA) ** 0.5))
_MOST_BEFORE = 63
_BAND_BYTES = 2 * ROWS
# Pairs that are compared at once: 108 bytes each.
_AT_ONCE = 1 << 16


def candidates(minima: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
    """Every pair of keys (the earlier first) that may be near-duplicates, once each."""
    try:
        import numpy as np
    except ImportError:
        yield from _plainly(minima)
        return
    keys = list(minima)
    values = np.frombuffer(b"".join(minima.values()), dtype="<u2").reshape(len(keys), MINIMA)
    bands = values.reshape(len(keys), BANDS, ROWS).copy().view("<u8")[:, :, 0]
    for band in range(BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        ordered = bands[order, band]
        for back in range(1, min(_MOST_BEFORE, len(keys) - 1) + 1):
            here = np.flatnonzero(ordered[back:] == ordered[:-back])
            if not len(here):
                break
            for start in range(0, len(here), _AT_ONCE):
                part = here[start : start + _AT_ONCE]
                yield from _kept(np, values, bands, band, order[part], order[part + back], keys)


def _kept(
    np: Any, values: Any, bands: Any, band: int, ones: Any, others: Any, keys: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Of pairs that share this band, those that share none before it and agree enough. All arrays are (pairs,)."""
    fresh = ~(bands[ones, :band] == bands[others, :band]).any(axis=1)
    ones, others = ones[fresh], others[fresh]
    enough = (values[ones] == values[others]).sum(axis=1) >= AGREEING
    for one, other in zip(ones[enough].tolist(), others[enough].tolist(), strict=True):
        yield keys[one], keys[other]


def _plainly(minima: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
    """The same without NumPy."""
    for band in range(BANDS):
        start = band * _BAND_BYTES
        buckets: dict[bytes, list[int]] = {}
        for key, found in minima.items():
            before = buckets.setdefault(found[start : start + _BAND_BYTES], [])
            for other in reversed(before[-_MOST_BEFORE:]):
                if not _share_before(minima[other], found, start) and may_be_similar(minima[other], found):
                    yield other, key
            before.append(key)


def _share_before(one: bytes, other: bytes, end: int) -> bool:
    starts = range(0, end, _BAND_BYTES)
    return any(one[start : start + _BAND_BYTES] == other[start : start + _BAND_BYTES] for start in starts)


def may_be_similar(one: bytes | None, other: bytes | None) -> bool:
    """Whether enough minima of two texts agree; not where one of them has none."""
    if one is None or other is None:
        return False
    return bool(sum(map(eq, memoryview(one).cast("H"), memoryview(other).cast("H"))) >= AGREEING)
