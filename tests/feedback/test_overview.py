"""Figures, lists and one answer with everything about it."""

import json
import random
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.errors import UnknownInteraction, UsageError
from strop.feedback import FeedbackCollector, Ledger, Signal, overview, standing_data
from strop.feedback.records import KINDS, TRUSTS
from strop.feedback.reviews import decide, waiting
from strop.feedback.signals import standing
from strop.feedback.split import add_places, places
from strop.feedback.trusted import reacted
from strop.feedback.verify import problems

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def feedback(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        yield collector


# Figures


def test_an_empty_ledger_has_figures_of_nothing(feedback):
    assert overview.figures(feedback.ledger) == overview.NOTHING


REACTIONS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["thumb", "stars", "correction", "reaction", "note", "complaint", "praise"]),
    st.sampled_from([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]),
    st.sampled_from(TRUSTS),
    st.integers(0, 3),
)
REVIEWS = st.tuples(st.integers(0, 99), st.sampled_from(["accept", "reject", "edit"]))


@settings(max_examples=60, deadline=None)
@given(
    reactions=st.lists(REACTIONS, max_size=14),
    decisions=st.lists(REVIEWS, max_size=8),
    moves=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["train", "gate"])), max_size=6),
)
def test_figures_are_what_the_ledger_read_row_by_row_gives(tmp_path_factory, reactions, decisions, moves):
    with FeedbackCollector(tmp_path_factory.mktemp("figures") / "ledger.db") as feedback:
        ledger = feedback.ledger
        with ledger.transaction():
            answers = [feedback.record(prompt=f"question {number}", answer="a") for number in range(4)]
            stored = []
            for number, (which, kind, value, trust, minute) in enumerate(reactions):
                time = START + timedelta(minutes=minute)
                signal = Signal(answers[which], kind, value, f"text {number}", "u", trust=trust, time=time)
                stored.append(ledger.add_signal(signal))
            for which, decision in decisions if stored else ():
                text = "edited" if decision == "edit" else None
                decide(ledger, stored[which % len(stored)], decision, "me", text)
            for which, side in moves:
                add_places(ledger, [(answers[which], answers[which], side, "moved")])
        found = overview.figures(ledger)
        verdicts = [standing(one.counted) for one in reacted(ledger)]
        states = Counter(verdict.state for verdict in verdicts if verdict is not None)
        assert found.owner == {state: states[state] for state in ("corrected", "up", "down", "neutral")}
        assert found.counts == ledger.counts()
        assert found.waiting == overview.waiting(ledger) == len(list(waiting(ledger)))
        assert found.trust == {trust: sum(one[3] == trust for one in reactions) for trust in TRUSTS}
        sides = Counter(side for _, side in places(ledger).values())
        assert found.sides == {"train": sides["train"], "gate": sides["gate"]}


def test_what_an_older_strop_held_back_trains(feedback):
    answer = feedback.record(prompt="p", answer="a")
    add_places(feedback.ledger, [(answer, answer, "held", "chosen")])
    assert overview.figures(feedback.ledger).sides == {"train": 1, "gate": 0}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A ledger of 200,000 answers, each reacted to, some twice, some by others; made without the collector."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    Ledger.open(path).close()
    chance = random.Random(3)
    ids = [f"{chance.getrandbits(256):064x}" for _ in range(200_000)]
    asked = json.dumps([{"role": "user", "content": "What is a strop? " * 10}])
    database = sqlite3.connect(path)
    with database:
        database.executemany(
            "INSERT INTO interactions (id, messages, answer, model, version, domain, channel, user, session, turn,"
            " tool_calls, time) VALUES (?, ?, ?, '', '', 'general', 'cli', 'owner', ?, ?, '[]', ?)",
            ((name, asked, "An answer. " * 30, f"s{n // 5}", n % 5, _moment(n)) for n, name in enumerate(ids)),
        )
        database.executemany(
            "INSERT INTO signals (id, interaction_id, kind, value, text, user, source, trust, time)"
            " VALUES (?, ?, ?, ?, ?, 'u', 'cli', ?, ?)",
            (_reaction(chance, name, n) for n, name in enumerate([*ids, *ids[::20]])),
        )
        database.executemany(
            "INSERT INTO places (interaction_id, cluster, side, reason, time) VALUES (?, ?, ?, 'chosen', ?)",
            ((name, name, "gate" if n % 5 else "train", _moment(n)) for n, name in enumerate(ids)),
        )
    database.close()
    with Ledger.open(path) as ledger:
        yield ledger


def _moment(number):
    return (START + timedelta(seconds=number)).isoformat(timespec="microseconds")


def _reaction(chance, name, number):
    kind = chance.choice(["thumb", "stars", "correction"])
    trust = "owner" if number % 10 else "known"
    return (
        f"{chance.getrandbits(256):064x}",
        name,
        kind,
        chance.choice([-1, 0, 1]),
        "text " * 20,
        trust,
        _moment(number),
    )


@pytest.mark.slow
def test_figures_of_200000_answers_take_less_than_a_second(large):
    times = []
    for _ in range(3):
        began = process_time()
        found = overview.figures(large)
        times.append(process_time() - began)
    assert found.counts["interactions"] == 200_000
    assert found.waiting == found.trust["known"] == 21_000
    assert sum(found.owner.values()) == 189_000
    assert min(times) < 1, times


@pytest.mark.slow
def test_lists_of_200000_answers_take_less_than_a_second(large):
    began = process_time()
    newest = list(overview.newest(large, 20))
    assert len(list(overview.newest(large, 20, session="s77"))) == 5
    assert len(list(overview.newest(large, 20, waiting=True))) == 20
    assert overview.show(large, newest[0].id[:12]).answer == newest[0]
    assert process_time() - began < 1


# Lists


def test_a_list_is_newest_first_with_reactions_and_reviews(feedback):
    first, second, third = (feedback.record(prompt="p", answer=text) for text in ("one", "two", "three"))
    feedback.rate(second, "up")
    other = feedback.rate(first, "down", user="bob", note="too long")
    found = list(overview.newest(feedback.ledger, 2))
    assert [one.id for one in found] == [third, second]
    assert [len(one.reactions) for one in found] == [0, 1]
    decide(feedback.ledger, other, "edit", "ann", "too long by half")
    (*_, oldest) = overview.newest(feedback.ledger, 10)
    (reaction,) = oldest.as_dict()["signals"]
    assert (reaction["id"], reaction["text"], reaction["waiting"]) == (other, "too long", False)
    assert [(one["decision"], one["text"], one["who"]) for one in reaction["reviews"]] == [
        ("edit", "too long by half", "ann")
    ]


def test_a_list_can_be_narrowed(feedback):
    mine = feedback.record(prompt="p", answer="one", session="s")
    theirs = feedback.record(prompt="p", answer="two", session="t", user="bob")
    feedback.rate(mine, "up")
    feedback.rate(mine, "down", user="eve")

    def ids(**narrowed):
        return [one.id for one in overview.newest(feedback.ledger, 10, **narrowed)]

    assert ids(session="s") == [mine]
    assert (ids(user="bob"), ids(user="eve"), ids(user="owner")) == ([theirs], [mine], [mine])
    assert ids(waiting=True) == [mine]
    assert ids(waiting=True, session="t") == []
    decide(feedback.ledger, feedback.ledger.query("SELECT id FROM signals WHERE user = 'eve'")[0]["id"], "reject", "me")
    assert ids(waiting=True) == []


def test_a_long_list_is_read_in_pages(feedback, monkeypatch):
    monkeypatch.setattr("strop.feedback.database._PAGE_ROWS", 3)
    with feedback.ledger.transaction():
        stored = [feedback.record(prompt="p", answer=f"{number}") for number in range(11)]
    assert [one.id for one in overview.newest(feedback.ledger, 8)] == stored[:2:-1]


# One answer


def test_one_answer_is_shown_with_what_it_is_used_for(feedback):
    answer = feedback.record(prompt="p", answer="a")
    found = overview.show(feedback.ledger, answer[:8])
    assert (found.answer.id, found.side, found.cluster, found.tests) == (answer, None, None, 0)
    add_places(feedback.ledger, [(answer, "c" * 64, "gate", "chosen")])
    add_places(feedback.ledger, [(answer, "c" * 64, "train", "served in 3 tests")])
    feedback.ledger.execute("INSERT INTO gate_uses VALUES (?, 'night 1', ?)", (answer, _moment(0)))
    found = overview.show(feedback.ledger, answer)
    assert (found.side, found.reason, found.tests) == ("train", "served in 3 tests", 1)
    assert found.as_dict()["cluster"] == "c" * 64


def test_an_id_may_be_cut_but_not_too_short(feedback):
    answer = feedback.record(prompt="p", answer="a")
    reaction = feedback.rate(answer, "up")
    assert overview.answer_id(feedback.ledger, answer[:8]) == answer
    assert overview.reaction_id(feedback.ledger, reaction[:8]) == reaction
    for find, known in ((overview.answer_id, answer), (overview.reaction_id, reaction)):
        with pytest.raises(UsageError, match="too short"):
            find(feedback.ledger, known[:7])
        for unknown in ("0" * 64, known + "0", "%%%%%%%%", known.upper() + "x"):
            with pytest.raises(UnknownInteraction):
                find(feedback.ledger, unknown)


def test_a_beginning_that_two_reactions_share_names_neither(feedback):
    answer = feedback.record(prompt="p", answer="a")
    for end in "ab":
        feedback.ledger.execute(
            "INSERT INTO signals (id, interaction_id, kind, value, user, source, trust, time)"
            " VALUES (?, ?, 'thumb', 1, 'owner', 'api', 'owner', ?)",
            ("12345678" + end * 56, answer, _moment(0)),
        )
    with pytest.raises(UnknownInteraction, match="more than one"):
        overview.reaction_id(feedback.ledger, "12345678")
    assert overview.reaction_id(feedback.ledger, "12345678a").endswith("a")


# Hashes


def test_every_hash_is_derived_anew(feedback, tmp_path):
    answer = feedback.record(prompt="p", answer="a")
    reaction = feedback.rate(answer, "up")
    file = tmp_path / "law.jsonl"
    file.write_text('{"prompt": "p", "completion": "c"}\n', encoding="utf-8")
    added = standing_data.add(feedback.ledger, file, "law")
    guest = feedback.rate(answer, "down", user="guest")
    decide(feedback.ledger, guest, "reject", "owner")
    decision = feedback.ledger.query("SELECT id FROM reviews")[0]["id"]
    assert problems(feedback.ledger) == ()
    feedback.close()
    database = sqlite3.connect(tmp_path / "ledger.db")
    with database:
        database.execute("DROP TRIGGER interactions_append_only")
        database.execute("DROP TRIGGER signals_append_only")
        database.execute("UPDATE interactions SET answer = 'b'")
        database.execute("UPDATE signals SET value = -1 WHERE user = 'owner'")
        database.execute("DROP TRIGGER reviews_append_only")
        database.execute("UPDATE reviews SET decision = 'accept'")
        database.execute("UPDATE standing_rows SET row = replace(row, 'c', 'd')")
    database.close()
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        found = problems(ledger)
    assert len(found) == 4
    for name, sentence in zip((answer, reaction, decision, added.id), found, strict=True):
        assert name in sentence


def test_a_standing_row_that_is_no_json_is_named_too(feedback, tmp_path):
    file = tmp_path / "law.jsonl"
    file.write_text('{"prompt": "p", "completion": "c"}\n', encoding="utf-8")
    added = standing_data.add(feedback.ledger, file, "law")
    feedback.ledger.execute("UPDATE standing_rows SET row = '{'")
    assert [added.id in sentence for sentence in problems(feedback.ledger)] == [True]


def test_every_kind_has_a_figure(feedback):
    answer = feedback.record(prompt="p", answer="a")
    for kind in KINDS:
        feedback.ledger.add_signal(Signal(answer, kind, 0.0, "x"))
    assert set(overview.figures(feedback.ledger).counts.values()) == {1}
