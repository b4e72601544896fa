"""When two texts are nearly the same: the Jaccard similarity of their shingles, compared exactly.

Shingles are five characters in a row for a short text, which see a changed word in a question, and five words in a row
for a long one, whose characters would look like those of any other long text. Texts of 80 to 125 words are compared
both ways, so that no pair falls between.

Covered: case, spacing, width of letters and closing punctuation make no difference; a text of any length, a very long
one by a fair sample of its shingles. Not covered: the same question in other words.
"""

import heapq
import unicodedata
from itertools import accumulate
from typing import NamedTuple
from zlib import crc32

SIMILAR = 0.8
SHINGLE = 5

# A text of fewer words has character shingles, one of more words than the other bound has word shingles.
_CHARS_BELOW, _WORDS_FROM = 125, 80
# The smallest hashes of a set are a fair sample of it, and of two similar sets largely the same sample.
_MOST_SHINGLES = 4096


class Shingles(NamedTuple):
    """32-bit hashes of a text's shingles, by kind; empty where the text's length calls for the other kind."""

    chars: frozenset[int]
    words: frozenset[int]


def normalised(text: str) -> str:
    """`text` without what does not make it another question: case, spacing, width of letters, closing punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold().strip(" .?!") or text


def kinds(text: str) -> tuple[bool, bool]:
    """Whether a normalised text is compared by its characters, and whether by its words."""
    words = text.count(" ") + 1
    return words < _CHARS_BELOW, words >= _WORDS_FROM


def shingles(text: str) -> Shingles:
    """The shingles of a normalised text."""
    by_chars, by_words = kinds(text)
    return Shingles(
        _sampled({crc32(part.encode()) for part in char_shingles(text)}) if by_chars else frozenset(),
        _sampled(word_hashes(text)) if by_words else frozenset(),
    )


def char_shingles(text: str) -> set[str]:
    """Every five characters in a row; the whole text where it is shorter."""
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def word_hashes(text: str) -> set[int]:
    """A hash of every five words in a row; of the whole text where it is shorter."""
    return set(word_crcs(text))


def word_crcs(text: str) -> list[int]:
    """The hashes of `word_hashes` in the order of the text, those of repeated words as often as they stand there."""
    data = text.encode()
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in data.split(b" "))][:-1]
    starts = [0, *[end + 1 for end in ends]][: max(1, len(ends) - SHINGLE + 2)]
    return [crc32(data[start:end]) for start, end in zip(starts, [*ends[SHINGLE - 1 :], len(data)], strict=True)]


def similarity(one: Shingles, other: Shingles) -> float:
    """The share of all shingles of both texts that both have, in [0, 1]: of the kind in which they are more alike."""
    return max(jaccard(one.chars, other.chars), jaccard(one.words, other.words))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """|both| / |either|; 0 where one of them is empty."""
    return len(one & other) / len(one | other) if one and other else 0.0


def _sampled(hashes: set[int]) -> frozenset[int]:
    return frozenset(heapq.nsmallest(_MOST_SHINGLES, hashes) if len(hashes) > _MOST_SHINGLES else hashes)
