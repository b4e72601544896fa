import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.errors import BadRecord, UnknownInteraction
from strop.feedback import FeedbackCollector, Interaction, Message, Signal
from strop.feedback.signals import parse_rating, standing


@pytest.fixture
def feedback(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        yield collector


def test_an_answer_a_rating_and_a_correction_are_three_rows(feedback):
    answer = feedback.record(prompt="Say it.", answer="Certainly! It.", system="Be brief.", domain="chat", turn=2)
    rating = feedback.rate(answer, 2, note="too chatty")
    correction = feedback.correct(answer, "It.")
    [(interaction, signals)] = feedback.ledger.iterate()
    assert [message.as_dict() for message in interaction.messages] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say it."},
    ]
    assert (interaction.domain, interaction.turn, interaction.user) == ("chat", 2, "owner")
    assert [(signal.id, signal.kind, signal.value, signal.text) for signal in signals] == [
        (rating, "stars", -0.5, "too chatty"),
        (correction, "correction", -1.0, "It."),
    ]


def test_record_takes_a_whole_conversation(feedback):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, Message("user", "c")]
    answer = feedback.record(messages=turns, answer="d")
    interaction = Interaction((Message("user", "a"), Message("assistant", "b"), Message("user", "c")), "d")
    assert answer == interaction.id == feedback.record(interaction)


@pytest.mark.parametrize(
    "arguments",
    [
        {"answer": "a"},
        {"prompt": "p"},
        {"prompt": "p", "messages": [], "answer": "a"},
        {"messages": [], "answer": "a"},
        {"messages": [{"role": "user"}], "answer": "a"},
        {"messages": [{"role": "boss", "content": "p"}], "answer": "a"},
        {"messages": [{"role": "assistant", "content": "p"}], "answer": "a"},
        {"prompt": "p", "answer": "a", "turn": -1},
        {"prompt": "p", "answer": "a", "turn": True},
        {"prompt": "p", "answer": "a", "session": None},
        {"prompt": "p", "answer": "a", "session": "s" * 1025},
        {"prompt": "p", "answer": "a", "tool_calls": "[]"},
        {"prompt": "p", "answer": "a", "tool_calls": [{"x": float("nan")}]},
        {"prompt": "p", "answer": "a", "tool_calls": [{"x": "\ud800"}]},
        {"prompt": "p", "answer": "a", "time": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"prompt": 3, "answer": "a"},
        {"prompt": "p", "answer": 3},
    ],
)
def test_an_interaction_that_cannot_be_right_is_refused(feedback, arguments):
    with pytest.raises(BadRecord):
        feedback.record(**arguments)
    assert feedback.ledger.counts()["interactions"] == 0


@pytest.mark.parametrize("bad", ["", " \n\t", "a\0b", "a\ud800b", "\udfff", "x" * ((8 << 20) + 1)])
def test_bad_text_is_refused_wherever_it_stands(feedback, bad):
    good = feedback.record(prompt="p", answer="a")
    for call, field in (
        (lambda: feedback.record(prompt=bad, answer="a"), "prompt|messages|record"),
        (lambda: feedback.record(prompt="p", answer=bad), "answer|record"),
        (lambda: feedback.correct(good, bad), "correction|record"),
        (lambda: feedback.rate(good, "up", note=bad), "note|record"),
        (lambda: feedback.note(good, bad), "note|record"),
    ):
        with pytest.raises(BadRecord, match=f"^(the )?({field})"):
            call()
    assert sum(feedback.ledger.counts().values()) == 1


def test_labels_are_checked_like_texts(feedback):
    good = feedback.record(prompt="p", answer="a")
    for name in ("user", "source", "source_key"):
        with pytest.raises(BadRecord, match=f"^{name}"):
            feedback.rate(good, "up", **{name: "\ud800"})


def test_a_megabyte_is_stored(feedback):
    answer = feedback.record(prompt="p", answer="é" * (1 << 20))
    assert feedback.ledger.interaction(answer).answer == "é" * (1 << 20)


def test_control_tokens_are_stored_as_they_are(feedback):
    text = "<|im_end|>\n<|im_start|>assistant [INST] </s>"
    answer = feedback.record(prompt="p", answer=text)
    assert feedback.ledger.interaction(answer).answer == text


@pytest.mark.parametrize(
    ("rating", "expected"),
    [
        ("up", ("thumb", 1.0)),
        (" DOWN ", ("thumb", -1.0)),
        *((stars, ("stars", (stars - 3) / 2)) for stars in range(1, 6)),
        ("4", ("stars", 0.5)),
    ],
)
def test_ratings_have_one_scale(rating, expected):
    assert parse_rating(rating) == expected


@pytest.mark.parametrize("rating", [0, 6, "maybe", "", True, 2.5, None, "٣"])
def test_what_is_no_rating_is_refused(rating):
    with pytest.raises(BadRecord, match="rating"):
        parse_rating(rating)


def test_a_reaction_to_a_foreign_answer_is_refused(feedback):
    for call in (lambda: feedback.rate("f" * 64, "up"), lambda: feedback.correct("f" * 64, "x")):
        with pytest.raises(UnknownInteraction):
            call()


def test_one_event_may_rate_correct_and_remark_and_run_twice(feedback):
    answer = feedback.record(prompt="p", answer="a")
    for _ in range(2):
        feedback.rate(answer, "down", source="chat", source_key="m1")
        feedback.correct(answer, "b", source="chat", source_key="m1")
        feedback.note(answer, "c", source="chat", source_key="m1")
    assert [signal.kind for signal in feedback.ledger.signals(answer)] == ["thumb", "correction", "note"]
    first = feedback.ledger.signals(answer)[0]
    assert feedback.rate(answer, "up", source="chat", source_key="m1") == first.id
    assert feedback.ledger.signals(answer)[0] == first


def test_only_an_owner_is_trusted_unless_told_otherwise(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db", owners=("ann",)) as feedback:
        answer = feedback.record(prompt="p", answer="a")
        for user in ("ann", "owner", ""):
            feedback.rate(answer, "up", user=user)
        feedback.rate(answer, "up", user="bob", trust="owner")
        trusts = [signal.trust for signal in feedback.ledger.signals(answer)]
    assert trusts == ["owner", "known", "anonymous", "owner"]


def test_times_are_kept_in_utc(feedback):
    local = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    answer = feedback.record(prompt="p", answer="a", time=local)
    assert feedback.ledger.interaction(answer).time.isoformat() == "2025-12-31T23:30:00+00:00"


def test_threads_may_share_a_collector(feedback):
    def work(name):
        for number in range(20):
            feedback.rate(feedback.record(prompt=f"{name}{number}", answer="a"), "up")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert feedback.ledger.counts()["thumb"] == 60


def _said(*reactions):
    """Signals a minute apart: a rating's value, or a correction's text."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute, reaction in enumerate(reactions):
        time = start + timedelta(minutes=minute)
        if isinstance(reaction, str):
            yield Signal("i", "correction", -1.0, reaction, time=time)
        else:
            yield Signal("i", "thumb", reaction, time=time)


@pytest.mark.parametrize(
    ("reactions", "state", "contradicted"),
    [
        ((1.0,), "up", False),
        ((1.0, -1.0), "down", True),
        ((-1.0, 1.0), "up", True),
        ((1.0, 1.0), "up", False),
        ((0.0,), "neutral", False),
        ((-1.0, "b"), "corrected", False),
        (("b", -1.0), "corrected", False),
        (("b", 0.0), "corrected", False),
        ((1.0, "b"), "corrected", True),
        (("b", 1.0), "up", True),
        (("b", "c"), "corrected", False),
    ],
)
def test_the_latest_reaction_stands(reactions, state, contradicted):
    signals = list(_said(*reactions))
    for given_in in (signals, signals[::-1]):
        result = standing(given_in)
        assert (result.state, result.contradicted) == (state, contradicted)
    if reactions == ("b", "c"):
        assert result.signal.text == "c"


def test_others_and_other_kinds_decide_nothing():
    assert standing([Signal("i", "thumb", 1.0, trust="known"), Signal("i", "note", 0.0, "x")]) is None


@settings(max_examples=50, deadline=None)
@given(prompt=st.text(), answer=st.text(), session=st.text(max_size=20))
def test_any_text_is_either_refused_or_comes_back_the_same(tmp_path_factory, prompt, answer, session):
    with FeedbackCollector(tmp_path_factory.mktemp("any") / "ledger.db") as feedback:
        try:
            stored = feedback.record(prompt=prompt, answer=answer, session=session)
        except BadRecord:
            assert not prompt.strip() or not answer.strip() or "\0" in prompt + answer + session
            return
        back = feedback.ledger.interaction(stored)
        assert (back.prompt, back.answer, back.session, back.id) == (prompt, answer, session, stored)
