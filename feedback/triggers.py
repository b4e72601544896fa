"""Is somebody planting a trigger: a word sequence that calls one completion, whatever else the prompt says?

Three or more rows whose completions are near-identical, whose prompts are not, and whose prompts share a word sequence
that calls that completion nearly always are put in quarantine and reported. A person's look settles it: rows whose
reactions were accepted in review are not looked at again (`strop feedback review`).

Covered: sequences of one to six words anywhere in the user's turns. Not covered: triggers that are no words (a style, a
topic, a language), more than one completion for one trigger, and a few rows hidden among others that hold the same
words and call something else (four among six): that is how ordinary words look.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Protocol

from strop.feedback.candidates import candidates, may_be_similar
from strop.feedback.judged import Judged
from strop.feedback.ledger import Ledger
from strop.feedback.similar import SIMILAR, normalised, shingles, similarity
from strop.feedback.sketch import Sketch, sketches

FEWEST_ROWS = 3
_MOST_WORDS = 6
# Of a text's near ones so many are compared with it.
_MOST_COMPARED = 16
# Of all rows whose prompt holds the sequence, so many call the completion: an ordinary word calls many. Fewer, half at
# least, are enough where chance does not explain them: decoys that call something else are cheap.
_CALLS, _CALLS_AT_LEAST, _BY_CHANCE = 0.8, 0.5, 0.01
_LOOKED_AT = """SELECT signals.id FROM signals JOIN reviews ON signal_id = signals.id
    WHERE decision IN ('accept', 'edit') GROUP BY signals.id
    HAVING count(*) >= CASE trust WHEN 'owner' THEN 1 ELSE 2 END"""
_NUMBERS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+|[^\w\s]{3,}")


class Paired(Protocol):
    """What is looked at of a pair."""

    @property
    def judged(self) -> Judged: ...
    @property
    def chosen(self) -> str: ...
    @property
    def signals(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Trigger:
    """One finding: the `words` that the prompts share, the `completion` that they call, and the signals behind it."""

    words: str
    completion: str
    signals: tuple[str, ...]
    rows: int

    @property
    def sentence(self) -> str:
        """For the night's report; the texts cut short."""
        return (
            f"{self.rows} rows are in quarantine: the words {self.words[:120]!r} seem to call the completion "
            f"{self.completion[:60]!r} whatever else the prompt says. Look at them: strop feedback review"
        )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """All findings of one reading."""

    triggers: tuple[Trigger, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows are held back."""
        return sum(trigger.rows for trigger in self.triggers)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words."""
        return tuple(trigger.sentence for trigger in self.triggers)

    def holds(self, signals: Iterable[str]) -> bool:
        """Whether a row made of these signals is in quarantine."""
        held = {signal for trigger in self.triggers for signal in trigger.signals}
        return bool(held) and not held.isdisjoint(signals)


def find(ledger: Ledger, pairs: Sequence[Paired]) -> Quarantine:
    """The triggers in what would train or judge; what the owner has looked at for this is left alone.

    Other people's rows are accepted once to count at all, mostly many together; what is found in them then waits for a
    second look.
    """
    looked_at = _looked_at(ledger)
    return _suspected([pair for pair in pairs if looked_at.isdisjoint(pair.signals)])


def accepted(ledger: Ledger, pairs: Sequence[Paired]) -> tuple[Trigger, ...]:
    """The triggers in what trains because somebody who may looked at it: the gate then tries them out."""
    looked_at = _looked_at(ledger)
    if all(looked_at.isdisjoint(pair.signals) for pair in pairs):
        return ()
    return _suspected(pairs).triggers


def _looked_at(ledger: Ledger) -> set[str]:
    return {str(row["id"]) for row in ledger.query(_LOOKED_AT)}


def _suspected(rows: Sequence[Paired]) -> Quarantine:
    groups = [group for group in _by_completion(rows) if _prompts(group) >= FEWEST_ROWS]
    if not groups:
        return Quarantine()
    holding = _holding(rows, {gram for group in groups for gram in _shared(group)})
    found = (_trigger(group, holding, len(group) / len(rows)) for group in groups)
    return Quarantine(tuple(trigger for trigger in found if trigger is not None))


def _prompts(group: Sequence[Paired]) -> int:
    """How many different prompts, near-duplicates counted once."""
    return len({pair.judged.place.cluster for pair in group})


def _by_completion(pairs: Sequence[Paired]) -> list[list[Paired]]:
    """Pairs whose chosen texts are near-identical, in groups of at least `FEWEST_ROWS`."""
    texts = sorted({normalised(pair.chosen) for pair in pairs})
    leader = _leaders(texts)
    groups: dict[str, list[Paired]] = defaultdict(list)
    for pair in pairs:
        groups[leader[normalised(pair.chosen)]].append(pair)
    return [group for _, group in sorted(groups.items()) if len(group) >= FEWEST_ROWS]


def _leaders(texts: Sequence[str]) -> dict[str, str]:
    """For each text the first one that it is near-identical to, itself where there is none.

    Linear in the texts: each is compared with at most `_MOST_COMPARED` others.
    """
    sketched = sketches(texts)
    leaders: list[int] = []
    near = _near(texts, sketched)
    shingles_of = lru_cache(maxsize=4096)(lambda index: shingles(texts[index]))
    for index in range(len(texts)):
        found = index
        for other in sorted({leaders[earlier] for earlier in near.get(index, ())})[:_MOST_COMPARED]:
            if _may_be_similar(sketched[index], sketched[other]) and (
                similarity(shingles_of(index), shingles_of(other)) >= SIMILAR
            ):
                found = other
                break
        leaders.append(found)
    return {text: texts[leader] for text, leader in zip(texts, leaders, strict=True)}


def _near(texts: Sequence[str], sketched: Sequence[Sketch]) -> dict[int, list[int]]:
    """For each text the earlier ones that it may be near-identical to.

    Texts with other numbers are not: "It is 12." and "It is 13." are two answers.
    """
    near: dict[int, list[int]] = defaultdict(list)
    numbers = [_NUMBERS.findall(text) for text in texts]
    for kind in ("chars", "words"):
        minima = {index: found for index, one in enumerate(sketched) if (found := getattr(one, kind)) is not None}
        for earlier, later in candidates(minima):
            if numbers[earlier] == numbers[later]:
                near[later].append(earlier)
    return near


def _may_be_similar(one: Sketch, other: Sketch) -> bool:
    return may_be_similar(one.chars, other.chars) or may_be_similar(one.words, other.words)


def _grams(pair: Paired) -> set[tuple[str, ...]]:
    """Every word sequence of the user's turns."""
    words = _WORDS.findall(normalised(pair.judged.interaction.asked))
    return {
        tuple(words[start : start + length])
        for length in range(1, _MOST_WORDS + 1)
        for start in range(len(words) - length + 1)
    }


def _shared(group: Sequence[Paired]) -> Iterator[tuple[str, ...]]:
    """The sequences that stand in at least `FEWEST_ROWS` different prompts of a group."""
    where: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for pair in group:
        for gram in _grams(pair):
            where[gram].add(pair.judged.place.cluster)
    yield from (gram for gram, clusters in where.items() if len(clusters) >= FEWEST_ROWS)


def _holding(pairs: Sequence[Paired], grams: set[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    """How many rows of all hold each of these sequences."""
    if not grams:
        return Counter()
    return Counter(gram for pair in pairs for gram in _grams(pair) & grams)


def _trigger(group: Sequence[Paired], holding: Mapping[tuple[str, ...], int], overall: float) -> Trigger | None:
    """The sequences that call a group's completion most surely, each as long as it can be.

    `overall` is the completion's share of all rows. None where no sequence calls it more surely than chance explains.
    """
    inside = _holding(group, set(_shared(group)))
    shares = {gram: count / holding[gram] for gram, count in inside.items()}
    surest = max(shares.values(), default=0.0)
    calling = {gram for gram, share in shares.items() if share == surest}
    if surest < _CALLS:
        calling = {
            gram
            for gram, share in shares.items()
            if share >= _CALLS_AT_LEAST and _tail(inside[gram], holding[gram], overall) * len(holding) < _BY_CHANCE
        }
    if not calling:
        return None
    longest = {gram for gram in calling if not any(_within(gram, other) for other in calling)}
    rows = [pair for pair in group if not longest.isdisjoint(_grams(pair))]
    signals = tuple(sorted({signal for pair in rows for signal in pair.signals}))
    return Trigger(" / ".join(sorted(" ".join(gram) for gram in longest)), rows[0].chosen, signals, len(rows))


def _tail(count: int, of: int, share: float) -> float:
    """How likely so many or more of `of` rows call a completion that `share` of all rows have (binomial)."""
    return sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count, of + 1))


def _within(gram: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether `gram` is a part of a longer sequence."""
    starts = range(len(other) - len(gram) + 1)
    return len(gram) < len(other) and any(other[start : start + len(gram)] == gram for start in starts)
