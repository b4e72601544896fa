"""No near-duplicate stands on both sides: proved on 20,000 questions by another way than the product finds them."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from strop.feedback import Interaction, Ledger, Message, Signal, clusters
from strop.feedback.split import assign

# The generator and the proof are the benchmark's, which does the same with 100,000 questions.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import feedback_corpus
import feedback_join

sys.path.pop(0)

SEED = 8


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", scrubber=None) as opened:
        yield opened


def corrected(ledger: Ledger, asked: Sequence[Interaction]) -> dict[str, Interaction]:
    """Stores `asked` with a correction of each; what is stored, by id."""
    stored = [found for found, _ in ledger.put_interactions(asked)]
    ledger.put_signals([Signal(found, "correction", -1.0, "Better.", source_key=found) for found in stored])
    return dict(zip(stored, asked, strict=True))


def separated(ledger: Ledger, stored: dict[str, Interaction]) -> list[feedback_join.Found]:
    """The near-duplicates that stand on different sides once every question has one."""
    places = assign(ledger)
    assert places.keys() == stored.keys()
    return list(feedback_join.across({name: (places[name].side, one.asked) for name, one in stored.items()}))


@pytest.mark.slow
def test_no_near_duplicate_stands_on_both_sides_of_20000(ledger: Ledger) -> None:
    asked = list(feedback_corpus.interactions(20_000, SEED, near_share=0.5))
    stored = corrected(ledger, asked)
    assert separated(ledger, stored) == []
    places = assign(ledger)
    sides = Counter(place.side for place in places.values())
    assert min(sides.values()) > 2000, "one side is too small for this to prove anything"
    sessions: dict[str, set[str]] = {}
    for name, one in stored.items():
        if one.session:
            sessions.setdefault(one.session, set()).add(places[name].side)
    assert len(sessions) > 500
    assert all(len(found) == 1 for found in sessions.values())


def test_what_comes_later_joins_the_side_of_what_it_repeats(ledger: Ledger) -> None:
    asked = list(feedback_corpus.interactions(3000, SEED, near_share=0.5))
    stored: dict[str, Interaction] = {}
    for start in range(0, 3000, 500):
        stored |= corrected(ledger, asked[start : start + 500])
        assert separated(ledger, stored) == []


@pytest.mark.parametrize("kind", list(feedback_corpus.KINDS))
def test_each_kind_of_near_duplicate_is_found(kind: str, ledger: Ledger) -> None:
    chance = feedback_corpus.Random(SEED)
    asked = [feedback_corpus.words(chance, 75 + number) for number in range(55)]
    asked += [feedback_corpus.words(chance, 30) for _ in range(45)]
    again = [feedback_corpus.KINDS[kind](text, chance) for text in asked]
    turns = [Interaction((Message("user", text),), "So.", turn=turn) for turn, text in enumerate([*asked, *again])]
    assert separated(ledger, corrected(ledger, turns)) == []


def test_the_proof_would_notice(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_join_near", lambda *_: None)
    found = separated(ledger, corrected(ledger, list(feedback_corpus.interactions(2000, SEED, near_share=0.5))))
    assert len(found) > 100
    assert all(one.similarity >= 0.8 for one in found)


def test_the_proof_finds_what_comparing_everything_finds() -> None:
    chance = feedback_corpus.Random(SEED)
    texts: list[str] = []
    for _ in range(100):
        base = feedback_corpus.words(chance, chance.choice((1, 3, 12, 90, 140)))
        texts += [base, *(feedback_corpus.near(base, chance)[1] for _ in range(3))]
    sided = {str(number): (chance.choice(("gate", "train")), text) for number, text in enumerate(texts)}
    sketched = {name: feedback_join.shingles(feedback_join.normalised(text)) for name, (_, text) in sided.items()}
    slowly = {
        (one, other)
        for one in sided
        for other in sided
        if (sided[one][0], sided[other][0]) == ("gate", "train")
        and clusters.similarity(sketched[one], sketched[other]) >= 0.8
    }
    assert {(one, other) for one, other, _ in feedback_join.across(sided)} >= slowly
    assert len(slowly) > 100
