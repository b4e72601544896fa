"""What a person is asked for where there is too little: so many corrections are then enough, and one less is not."""

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.config import load
from strop.errors import NotEnoughData, NothingToDo, StropError
from strop.evaluation import Test
from strop.feedback import FeedbackCollector, Ledger, pairs, reviews
from strop.feedback.split import record_test
from strop.home import Home
from strop.journal import Journal
from strop.nightsteps import NightSteps


@pytest.fixture
def home(nights: ModuleType, tmp_path: Path) -> Home:
    """A home with the quick settings, on which nothing is ever trained."""
    settled: Home = nights.settle(Home(tmp_path / "home"), tmp_path / "no-base")
    return settled


def heard(home: Home) -> StropError | None:
    """What the first look of a night at the feedback refuses; None where it is enough."""
    with Journal(home.state_db) as journal:
        try:
            NightSteps(home, load(home), journal, "", lambda *_: None).heard()
        except (NotEnoughData, NothingToDo) as error:
            return error
    return None


def asked(error: StropError | None) -> int:
    assert error is not None
    found = re.match(r"correct about (\d+) more answers?, to different questions", error.hint)
    assert found is not None, error.hint
    return int(found[1])


@pytest.mark.parametrize(
    ("start", "updates"),
    [
        (4, {}),  # too few rows to train on, and too few for the gate
        (14, {"night.min_rows": 30}),  # too few rows alone
        (24, {"gate.min_wanted_clusters": 20}),  # too few for the gate alone
        (24, {"gate.min_wanted_clusters": 20, "feedback.gate_prompts": 14}),  # and the last of them by a hash
    ],
)
def test_so_many_more_corrections_are_enough(
    start: int, updates: dict[str, Any], home: Home, nights: ModuleType, tmp_path: Path
) -> None:
    nights.settle(home, tmp_path / "no-base", **updates)
    nights.correct(home, start)
    more = asked(heard(home))
    if "feedback.gate_prompts" in updates:
        assert more == 2 * (14 - 12) + 5 * (20 - 14)
        return
    nights.correct(home, more - 1, start)
    assert asked(heard(home)) == 1
    nights.correct(home, 1, start + more - 1)
    assert heard(home) is None


@pytest.mark.parametrize("side", ["train", "gate"])
def test_near_duplicates_count_once_and_what_is_asked_for_makes_up_for_them(
    side: str, home: Home, nights: ModuleType, tmp_path: Path
) -> None:
    nights.settle(home, tmp_path / "no-base", **{"gate.min_wanted_clusters": 8})
    if side == "gate":  # the first one trains, so that the next cluster is the gate's
        nights.correct(home, 1)
        assert heard(home) is not None
    with FeedbackCollector(home.ledger_db) as collector:
        for turn in range(10):
            answer = collector.record(prompt="What is the capital of France?", answer=f"It is number {turn}, I think.")
            collector.correct(answer, f"Paris, said {turn} times.")
    nights.correct(home, 5, 1)
    error = heard(home)
    places = {"train": "the gate holds 5 corrections", "gate": "the gate holds 1 corrections"}
    assert f"{places[side]} (near-duplicates count once)" in str(error)
    more = asked(error)
    nights.correct(home, more - 1, 6)
    assert asked(heard(home)) >= 1
    nights.correct(home, 1, 6 + more - 1)
    assert heard(home) is None


def test_after_a_test_it_is_the_fresh_ones_that_are_asked_for(home: Home, nights: ModuleType, tmp_path: Path) -> None:
    nights.settle(home, tmp_path / "no-base", **{"gate.min_fresh_clusters": 6})
    nights.correct(home, 40)
    assert heard(home) is None
    with Ledger.open(home.ledger_db) as ledger, Journal(home.state_db) as journal:
        gate = [row["interaction_id"] for row in ledger.query("SELECT interaction_id FROM places WHERE side = 'gate'")]
        record_test(ledger, gate, "one")
        step = journal.start_step(journal.start_run("test", ""), "gate", "one")
        journal.finish_step(step, seconds=0.1, test=Test(1, 0.05, (), False, 0.5))
    nights.correct(home, 4, 40)
    error = heard(home)
    assert isinstance(error, NothingToDo)
    assert str(error).startswith("2 held-out corrections came since the last test of the gate")
    assert asked(error) == 8
    assert "(every second one is held out)" in error.hint
    nights.correct(home, 8, 44)
    assert heard(home) is None


def class_of(home: Home, nights: ModuleType, count: int, start: int = 0, owners: tuple[str, ...] = ("owner",)) -> None:
    """Ann and Bob correct as many answers as that, by turns, and the owner accepts it all."""
    with FeedbackCollector(home.ledger_db, owners=owners) as collector:
        for number, wish in enumerate(nights.wishes()[start : start + count], start):
            answered = collector.record(prompt=wish.prompt, answer=f"Great question! Number {number}, let me see.")
            name = ("ann", "bob")[number % 2]
            said = collector.correct(answered, wish.answer, user=name, source=f"chat of {name}")
            reviews.decide(collector.ledger, said, "accept", "owner")


def test_what_others_corrected_does_not_judge_where_they_are_not_owners(home: Home, nights: ModuleType) -> None:
    """Nothing is trained that could not be promoted."""
    class_of(home, nights, 40)
    error = heard(home)
    assert isinstance(error, NotEnoughData)
    assert "the gate holds 0 corrections of your own (near-duplicates count once)" in str(error)
    nights.correct(home, asked(error), 40)
    assert heard(home) is None


def test_a_class_whose_names_are_all_owners_judges_as_one(home: Home, nights: ModuleType) -> None:
    class_of(home, nights, 40, owners=("ann", "bob"))
    assert heard(home) is None


def test_a_person_is_asked_where_only_others_corrected(home: Home, nights: ModuleType) -> None:
    class_of(home, nights, 80)
    with Journal(home.state_db) as journal, Ledger.open(home.ledger_db) as ledger:
        steps = NightSteps(home, load(home), journal, "", lambda *_: None)
        gate = pairs.build(ledger).gate
        assert len({row.cluster for row in gate}) >= nights.QUICK["gate.min_wanted_clusters"]
        assert not steps.evidence.settled_by_gate(gate)
        assert steps.evidence.settled_by_gate([replace(row, trust="owner") for row in gate])
