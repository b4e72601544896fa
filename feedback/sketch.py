"""A MinHash sketch of a prompt, so that near-duplicates are found without comparing everything with everything.

A sketch is 108 minima (Broder 1997), 16 bits of each, in 27 bands of 4: two texts with a band in common are compared
exactly (`similar.similarity`). Texts of similarity 0.8 share no band with a chance of (1 - 0.8^4)^27 = 7e-7; texts of
similarity 0.1 share one with a chance of 0.3 %. A text is sketched by its characters, its words or both (`similar`).

It is written with every interaction, so it must cost nothing there: `datasketch` takes 0.7 s to import and 0.3 ms a
text; this takes a millisecond for one text without any library, and some 30 us a text in bulk where NumPy is
installed. Both ways give the same bytes.
"""

import heapq
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple

from strop.feedback.similar import SHINGLE, kinds, normalised, word_crcs, word_hashes

ROWS, BANDS = 4, 27
MINIMA = ROWS * BANDS

# A longer text is sketched by this many of its shingles, those with the smallest hashes.
_MOST_SHINGLES = 512
_MASK32 = (1 << 32) - 1
# In bulk, this many texts at a time: their shingles stay in the processor's cache.
_BULK = 256


class Sketch(NamedTuple):
    """What is kept of a text: 16 bytes that equal (normalised) texts share and no others, and its minima.

    The minima by characters and by words are 216 bytes each, None where the text is not compared that way.
    """

    exact: bytes
    chars: bytes | None
    words: bytes | None


def sketch(text: str) -> Sketch:
    """The sketch of one text (as it was asked; it is normalised here)."""
    text = normalised(text)
    by_chars, by_words = kinds(text)
    chars = _minima_of(_char_hashes(text)) if by_chars else None
    return Sketch(_exact(text), chars, _minima_of(_words(text)) if by_words else None)


def sketches(texts: Sequence[str]) -> list[Sketch]:
    """`sketch` of each text, in order; fast for many where NumPy is installed."""
    try:
        import numpy as np
    except ImportError:
        return [sketch(text) for text in texts]
    found: list[Sketch] = []
    for start in range(0, len(texts), _BULK):
        part = [normalised(text) for text in texts[start : start + _BULK]]
        chars = _bulk_chars(np, part)
        words = _bulk_words(np, part)
        found += [Sketch(_exact(text), chars.get(index), words.get(index)) for index, text in enumerate(part)]
    return found


def _exact(text: str) -> bytes:
    return sha256(text.encode()).digest()[:16]


@cache
def _multipliers() -> tuple[tuple[int, int], ...]:
    """One linear hash a minimum (multiply-add, Dietzfelbinger 1996), the same ones in every ledger for ever."""
    chance = Random(1997)  # noqa: S311 (constants, not secrets)
    return tuple((chance.getrandbits(32) | 1, chance.getrandbits(32)) for _ in range(MINIMA))


@cache
def _powers() -> tuple[int, ...]:
    return tuple(pow(0x9E3779B1, power, 1 << 32) for power in reversed(range(SHINGLE)))


def _char_hashes(text: str) -> set[int]:
    """A 32-bit hash of every five characters in a row; a shorter text counts as if NULs followed."""
    codes = [*map(ord, text), *[0] * (SHINGLE - len(text))]
    p0, p1, p2, p3, _ = _powers()
    rows = zip(codes, codes[1:], codes[2:], codes[3:], codes[4:], strict=False)
    return {_mixed(a * p0 + b * p1 + c * p2 + d * p3 + e & _MASK32) for a, b, c, d, e in rows}


def _words(text: str) -> set[int]:
    return {_mixed(hashed) for hashed in word_hashes(text)}


def _mixed(x: int) -> int:
    """A hash spread over all 32 bits (the finaliser of MurmurHash3, which is in the public domain)."""
    x = (x ^ x >> 16) * 0x85EBCA6B & _MASK32
    x = (x ^ x >> 13) * 0xC2B2AE35 & _MASK32
    return x ^ x >> 16


def _sampled(hashes: set[int]) -> list[int]:
    return heapq.nsmallest(_MOST_SHINGLES, hashes) if len(hashes) > _MOST_SHINGLES else [*hashes]


def _minima_of(hashes: set[int]) -> bytes:
    sample = _sampled(hashes)
    minima = (min([a * x + b & _MASK32 for x in sample]) >> 16 for a, b in _multipliers())
    return b"".join(minimum.to_bytes(2, "little") for minimum in minima)


def _bulk_chars(np: Any, texts: Sequence[str]) -> dict[int, bytes]:
    """By index, the minima of the texts that have character shingles."""
    wanted = [index for index, text in enumerate(texts) if kinds(text)[0]]
    if not wanted:
        return {}
    padded = [texts[index].ljust(SHINGLE, "\0") for index in wanted]
    counts = np.array([len(text) - SHINGLE + 1 for text in padded])
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32)
    hashes = np.zeros(len(codes) - SHINGLE + 1, dtype=np.uint32)
    for place, power in enumerate(_powers()):
        hashes += codes[place : place + len(hashes)] * np.uint32(power)
    # The windows that reach from one text into the next belong to neither.
    ends = np.cumsum(counts + SHINGLE - 1)
    keep = np.ones(len(hashes), dtype=bool)
    for back in range(1, SHINGLE):
        keep[ends[:-1] - back] = False
    return dict(zip(wanted, _minima(np, *_samples(np, hashes[keep], counts)), strict=True))


def _bulk_words(np: Any, texts: Sequence[str]) -> dict[int, bytes]:
    """By index, the minima of the texts that have word shingles."""
    hashes = {index: word_crcs(text) for index, text in enumerate(texts) if kinds(text)[1]}
    if not hashes:
        return {}
    together = np.array([x for found in hashes.values() for x in found], dtype=np.uint32)
    counts = np.array([len(found) for found in hashes.values()])
    return dict(zip(hashes, _minima(np, *_samples(np, together, counts)), strict=True))


def _samples(np: Any, hashes: Any, counts: Any) -> tuple[Any, Any]:
    """`hashes` (all shingles,) uint32 and `counts` (texts,) mixed; of a long text only the sample that `sketch` takes.

    A hash that stands twice in a short text stays there twice: the minimum is the same.
    """
    mixed = _mixed_all(np, hashes)
    if counts.max() <= _MOST_SHINGLES:
        return mixed, counts
    parts = np.split(mixed, np.cumsum(counts)[:-1])
    parts = [part if len(part) <= _MOST_SHINGLES else np.unique(part)[:_MOST_SHINGLES] for part in parts]
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _mixed_all(np: Any, x: Any) -> Any:
    """`_mixed` for an array of uint32."""
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return x ^ x >> np.uint32(16)


def _minima(np: Any, hashes: Any, counts: Any) -> list[bytes]:
    """`hashes` (all shingles,) uint32, `counts` (texts,): the minima, as (texts, 108) uint16 rows."""
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    rows = np.empty((len(counts), MINIMA), dtype="<u2")
    for place, (a, b) in enumerate(_multipliers()):
        mixed = hashes * np.uint32(a) + np.uint32(b)
        rows[:, place] = np.minimum.reduceat(mixed, starts) >> np.uint32(16)
    return [row.tobytes() for row in rows]
