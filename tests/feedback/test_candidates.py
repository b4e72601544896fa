"""Which texts are set against each other: all that may be near-duplicates, once each, with NumPy and without."""

import random
import sys
from itertools import combinations

import pytest

from strop.feedback.candidates import candidates, may_be_similar
from strop.feedback.similar import SIMILAR, normalised, shingles, similarity
from strop.feedback.sketch import sketch

WORDS = [
    "razor",
    "strop",
    "leather",
    "honing",
    "edge",
    "steel",
    "burr",
    "stone",
    "oil",
    "grit",
    "angle",
    "blade",
    "paste",
    "flat",
    "spine",
    "heel",
    "toe",
    "water",
]


def texts(count: int) -> list[str]:
    """Sentences of few words, so that many are alike, and near-duplicates of every third."""
    chance = random.Random(7)
    found = []
    for number in range(count):
        said = [chance.choice(WORDS) for _ in range(chance.randint(6, 14))]
        found.append(" ".join(said))
        if number % 3 == 0:
            found.append(" ".join([*said, chance.choice(WORDS)]))
    return list(dict.fromkeys(found))


def minima(some: list[str]) -> dict[int, bytes]:
    return {index * 7: sketch(text).chars or b"" for index, text in enumerate(some)}


@pytest.mark.parametrize("library", ["numpy", None])
def test_no_near_duplicate_is_missed_and_none_comes_twice(library: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if library is None:
        monkeypatch.setitem(sys.modules, "numpy", None)
    some = texts(400)
    found = list(candidates(minima(some)))
    assert len(found) == len(set(found))
    assert all(one < other for one, other in found)
    parts = [shingles(normalised(text)) for text in some]
    near = {
        (one * 7, other * 7)
        for one, other in combinations(range(len(some)), 2)
        if similarity(parts[one], parts[other]) >= SIMILAR
    }
    assert len(near) > 50
    assert near <= set(found)


def test_both_ways_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    given = minima(texts(300))
    fast = sorted(candidates(given))
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert sorted(candidates(given)) == fast


def test_very_many_that_are_all_alike_cost_no_more_than_each_its_neighbours() -> None:
    same = sketch("what is a strop and what is it for").chars or b""
    found = list(candidates(dict.fromkeys(range(2_000), same)))
    assert len(found) == sum(min(index, 63) for index in range(2_000))


@pytest.mark.parametrize("given", [{}, {3: sketch("one text alone").chars or b""}])
def test_nothing_to_compare_is_no_error(given: dict[int, bytes]) -> None:
    assert list(candidates(given)) == []


def test_a_text_without_minima_is_like_none() -> None:
    assert not may_be_similar(None, sketch("a text of some words").chars)
