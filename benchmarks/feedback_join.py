"""Which near-duplicates stand on both sides, found by another way than the product's own: no sketches, no chance.

A prefix-filter join (Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007; Wang, Li, Feng 2012). Order the
shingles of every text from the rarest of all to the most common. Two sets with a Jaccard similarity of at least t have
k shingles in common among the first |s| - ceil(t |s|) + k of each, so an index of those prefixes finds every such pair.
What it finds is compared exactly.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from math import ceil
from typing import NamedTuple

from strop.feedback.similar import SIMILAR, normalised, shingles

# k. More of it makes longer prefixes and fewer pairs to compare.
_IN_COMMON = 8


class Found(NamedTuple):
    """A near-duplicate of a text of one side on another side, both by name."""

    one: str
    other: str
    similarity: float


def across(sided: Mapping[str, tuple[str, str]], side: str = "gate") -> Iterator[Found]:
    """Every pair of near-duplicates of which one stands on `side` and the other does not.

    `sided`: (side, text) by name.
    """
    there = {normalised(text): name for name, (where, text) in sided.items() if where == side}
    for name, (where, text) in sided.items():
        if where != side and normalised(text) in there:
            yield Found(there[normalised(text)], name, 1.0)
    for kind in ("chars", "words"):
        yield from _joined({name: where == side for name, (where, _) in sided.items()}, _ranked(sided, kind))


def _ranked(sided: Mapping[str, tuple[str, str]], kind: str) -> dict[str, "array[int]"]:
    """Each text's shingles as numbers, the rarest first and with the smallest numbers; texts without any are left out.

    Arrays: as sets, those of 100,000 texts would take gigabytes.
    """
    sets = {name: array("L", getattr(shingles(normalised(text)), kind)) for name, (_, text) in sided.items()}
    frequency = Counter(shingle for found in sets.values() for shingle in found)
    rank = {shingle: number for number, (shingle, _) in enumerate(reversed(frequency.most_common()))}
    return {name: array("L", sorted(rank[shingle] for shingle in found)) for name, found in sets.items() if found}


def _joined(chosen: Mapping[str, bool], ranked: Mapping[str, "array[int]"]) -> Iterator[Found]:
    index: dict[int, list[str]] = defaultdict(list)
    for name, found in ranked.items():
        if chosen[name]:
            for shingle in _prefix(found):
                index[shingle].append(name)
    for name, found in ranked.items():
        if chosen[name]:
            continue
        common = Counter(other for shingle in _prefix(found) if shingle in index for other in index[shingle])
        # A set that is too small for k in common is in its own prefix as a whole.
        least = min(_IN_COMMON, ceil(SIMILAR * SIMILAR * len(found)))
        here = frozenset(found)
        for other, count in common.items():
            if count >= least and (alike := _jaccard(here, ranked[other])) >= SIMILAR:
                yield Found(other, name, alike)


def _prefix(found: "array[int]") -> "array[int]":
    return found[: len(found) - ceil(SIMILAR * len(found)) + _IN_COMMON]


def _jaccard(one: frozenset[int], other: "array[int]") -> float:
    both = len(one.intersection(other))
    return both / (len(one) + len(other) - both)
