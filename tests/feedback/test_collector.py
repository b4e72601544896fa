import asyncio
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.errors import BadRecord, UnknownInteraction
from strop.feedback import FeedbackCollector, Interaction, Ledger, Message, Signal
from strop.feedback.forget import forget
from strop.feedback.nextmessage import WEIGHTS
from strop.feedback.pairs import build
from strop.feedback.reviews import decide
from strop.feedback.selected import Selector
from strop.feedback.settings import FeedbackSettings
from strop.feedback.signals import parse_rating, standing
from strop.feedback.trusted import Counted
from strop.feedback.verify import problems


@pytest.fixture
def feedback(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        yield with_a_fixed_key(collector)


def with_a_fixed_key(collector: FeedbackCollector) -> FeedbackCollector:
    """Its values' prints of 8 bits are the same in each run: by chance two addresses share one once in 256."""
    collector.ledger.execute("UPDATE facts SET value = ? WHERE name = 'tombstone_key'", (bytes(range(32)),))
    return collector


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


# An answer named by session and turn


def test_an_answer_can_be_named_by_session_and_turn(feedback):
    for session, turn in (("s", 0), ("s", 1), ("other", 1)):
        feedback.record(prompt="p", answer=f"{session} {turn}", session=session, turn=turn)
    feedback.rate(session="s", turn=1, rating="down", note="no")
    feedback.correct(session="s", turn=1, text="b")
    feedback.note(session="s", turn=1, text="c")
    feedback.observe_next(session="s", turn=1, message="No. Way too long!")
    reacted = {one.answer: [signal.kind for signal in signals] for one, signals in feedback.ledger.iterate()}
    assert reacted == {"s 0": [], "s 1": ["thumb", "correction", "note", "complaint"], "other 1": []}


def test_of_several_answers_of_one_turn_the_newest_is_meant(feedback):
    feedback.record(prompt="p", answer="first try", session="s", turn=1)
    newest = feedback.record(prompt="p", answer="second try", session="s", turn=1)
    feedback.rate(session="s", turn=1, rating="up")
    assert [signal.kind for signal in feedback.ledger.signals(newest)] == ["thumb"]


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"interaction_id": "x", "session": "s", "turn": 1},
        {"interaction_id": "x", "turn": 1},
        {"session": "s"},
        {"turn": 1},
        {"session": "", "turn": 1},
        {"session": "s", "turn": -1},
        {"session": "s", "turn": 1 << 63},
        {"session": "s", "turn": True},
        {"session": "s", "turn": "1"},
        {"session": "\ud800", "turn": 1},
    ],
)
def test_an_answer_named_twice_or_by_half_is_refused(feedback, named):
    feedback.record(prompt="p", answer="a", session="s", turn=1)
    for call in (
        lambda: feedback.rate(rating="up", **named),
        lambda: feedback.correct(text="b", **named),
        lambda: feedback.note(text="b", **named),
        lambda: feedback.observe_next(message="Thanks!", **named),
    ):
        with pytest.raises(BadRecord, match="^(the answer|session|turn): ") as refused:
            call()
        assert refused.value.hint
    assert sum(feedback.ledger.counts().values()) == 1


def test_a_session_that_is_not_there_is_unknown(feedback):
    feedback.record(prompt="p", answer="a", session="s", turn=1)
    for session, turn in (("s", 2), ("t", 1)):
        with pytest.raises(UnknownInteraction, match=session):
            feedback.rate(session=session, turn=turn, rating="up")


def test_a_rating_or_text_that_was_left_out_is_refused(feedback):
    answer = feedback.record(prompt="p", answer="a")
    for call in (lambda: feedback.rate(answer), lambda: feedback.correct(answer), lambda: feedback.note(answer)):
        with pytest.raises(BadRecord, match="^(rating|correction|note): "):
            call()
    with pytest.raises(TypeError, match="usr"):
        feedback.rate(answer, "up", usr="ann")


# The next message


def test_the_next_message_is_stored_with_what_it_implies(feedback):
    answer = feedback.record(prompt="What is a bond?", answer="Great question! ...", user="ann", session="s")
    (stored,) = feedback.observe_next(answer, "No. Way too long!")
    (signal,) = feedback.ledger.signals(answer)
    assert (signal.id, signal.kind, signal.text, signal.user) == (stored, "complaint", "No. Way too long!", "ann")
    assert (signal.source, signal.trust) == ("next", "known")
    assert WEIGHTS["complaint"].value <= signal.value < 0


def test_a_next_message_that_says_nothing_stores_nothing(feedback):
    answer = feedback.record(prompt="What is a bond?", answer="A loan.")
    for message in ("And what is a share?", "", " \n"):
        assert feedback.observe_next(answer, message) == ()
    assert feedback.ledger.counts()["complaint"] == 0


def test_the_same_next_message_is_stored_once_and_another_beside_it(feedback):
    answer = feedback.record(prompt="What is a bond?", answer="Great question! ...")
    first = feedback.observe_next(answer, "Way too long!")
    assert feedback.observe_next(answer, "Way too long!") == first
    assert feedback.observe_next(answer, "That is wrong.") != first
    keyed = feedback.observe_next(answer, "Way too long!", source="chat", source_key="m1")
    assert feedback.observe_next(answer, "It was edited: thanks!", source="chat", source_key="m2") != keyed
    assert feedback.observe_next(answer, "Way too long!", source="chat", source_key="m1") == keyed
    assert [signal.source for signal in feedback.ledger.signals(answer)][:3] == ["next", "next", "chat"]


def test_a_prompt_with_a_secret_in_it_is_known_again(feedback):
    prompt = "Please write to jane.doe@example.com that the meeting is moved to Friday"
    answer = feedback.record(prompt=prompt, answer="Dear Jane, ...")
    (stored,) = feedback.observe_next(answer, prompt)
    (signal,) = feedback.ledger.signals(answer)
    assert (signal.id, signal.kind) == (stored, "reask")
    assert signal.text == "Please write to <EMAIL_1> that the meeting is moved to Friday"


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b", "x" * ((8 << 20) + 1), 3])
def test_a_next_message_that_cannot_be_stored_is_refused(feedback, bad):
    answer = feedback.record(prompt="p", answer="a")
    with pytest.raises(BadRecord, match="^(message|the record)"):
        feedback.observe_next(answer, bad)


def test_a_next_message_after_nothing_is_refused(feedback):
    with pytest.raises(UnknownInteraction):
        feedback.observe_next("f" * 64, "Thanks!")


# What is stored is scrubbed


def test_the_id_is_that_of_what_was_stored(feedback):
    answer = feedback.record(prompt="Mail jane.doe@example.com", answer="Done: jane.doe@example.com")
    stored = feedback.ledger.interaction(answer)
    assert (stored.id, stored.prompt, stored.answer) == (answer, "Mail <EMAIL_1>", "Done: <EMAIL_1>")
    feedback.correct(answer, "Sent to jane.doe@example.com")
    assert feedback.ledger.signals(answer)[0].text == "Sent to <EMAIL_1>"


def test_without_a_scrubber_texts_are_stored_as_they_come(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db", scrubber=None) as feedback:
        answer = feedback.record(prompt="Mail jane.doe@example.com", answer="Done.")
        assert feedback.ledger.interaction(answer).prompt == "Mail jane.doe@example.com"


# Many at once


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


def test_async_code_calls_it_in_threads(feedback):
    async def one(number):
        answer = await asyncio.to_thread(
            feedback.record, prompt=f"question {number}", answer="a", session="s", turn=number
        )
        await asyncio.gather(
            asyncio.to_thread(feedback.rate, answer, "down", source_key=f"event {number % 5}"),
            asyncio.to_thread(feedback.correct, session="s", turn=number, text=f"better {number}"),
            asyncio.to_thread(feedback.observe_next, answer, "That is wrong."),
        )
        return answer

    async def all_of_them():
        return await asyncio.gather(*(one(number) for number in range(50)))

    answers = asyncio.run(all_of_them())
    assert len(set(answers)) == 50
    counts = feedback.ledger.counts()
    assert (counts["interactions"], counts["correction"], counts["complaint"]) == (50, 50, 50)
    assert counts["thumb"] == 5, "one event, however many tasks bring it"
    for number, answer in enumerate(answers):
        texts = {signal.text for signal in feedback.ledger.signals(answer) if signal.kind == "correction"}
        assert texts == {f"better {number}"}
    assert problems(feedback.ledger) == ()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_children_go_on_with_their_parents_collector(tmp_path):
    code = """
import os, sys
from strop.feedback import FeedbackCollector
with FeedbackCollector(sys.argv[1]) as feedback:
    first = feedback.record(prompt="parent", answer="a", session="s", turn=0)
    children = []
    for name in range(4):
        child = os.fork()
        if not child:
            for number in range(10):
                feedback.rate(feedback.record(prompt=f"{name} {number}", answer="a"), "up")
            feedback.correct(session="s", turn=0, text=f"child {name}")
            os._exit(0)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    feedback.rate(first, "up")
    sys.exit(max(codes))
"""
    path = tmp_path / "ledger.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=120)
    with Ledger.open(path) as opened:
        counts = opened.counts()
        assert (counts["interactions"], counts["thumb"], counts["correction"]) == (41, 41, 4)
        assert problems(opened) == ()


def _said(*reactions):
    """Reactions of the owner a minute apart: a rating's value, or a correction's text."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute, reaction in enumerate(reactions):
        time = start + timedelta(minutes=minute)
        if isinstance(reaction, str):
            signal = Signal("i", "correction", -1.0, reaction, time=time)
        else:
            signal = Signal("i", "thumb", reaction, time=time)
        yield Counted(signal.id, signal, others=False)


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


def test_other_kinds_decide_nothing():
    assert standing([Counted("s", Signal("i", "note", 0.0, "x"), others=False)]) is None


def test_the_owners_earlier_word_stands_against_a_later_one_that_was_accepted():
    (own, later) = _said(-1.0, 1.0)
    result = standing([Counted(later.id, later.signal, others=True), own])
    assert (result.state, result.signal_id, result.others) == ("down", own.id, False)


@settings(max_examples=50, deadline=None)
@given(prompt=st.text(), answer=st.text(), session=st.text(max_size=20))
def test_any_text_is_either_refused_or_comes_back_the_same(tmp_path_factory, prompt, answer, session):
    # Unscrubbed: what looks like a number of somebody would not come back.
    with FeedbackCollector(tmp_path_factory.mktemp("any") / "ledger.db", scrubber=None) as feedback:
        try:
            stored = feedback.record(prompt=prompt, answer=answer, session=session)
        except BadRecord:
            assert not prompt.strip() or not answer.strip() or "\0" in prompt + answer + session
            return
        back = feedback.ledger.interaction(stored)
        assert (back.prompt, back.answer, back.session, back.id) == (prompt, answer, session, stored)


def test_an_emoji_is_a_rating_and_a_tools_outcome_is_evidence(feedback):
    liked, failed = feedback.record(prompt="p", answer="a"), feedback.record(prompt="q", answer="b")
    feedback.react(liked, "👍", source_key="msg-1")
    feedback.react(liked, "👍", source_key="msg-1")
    feedback.tool_outcome(failed, ok=False, text="no such file")
    (thumb,) = feedback.ledger.signals(liked)
    assert (thumb.kind, thumb.value) == ("reaction", 1.0)
    (outcome,) = feedback.ledger.signals(failed)
    assert (outcome.kind, outcome.value, outcome.text) == ("tool_outcome", -1.0, "no such file")
    assert [
        row["completion"][0]["content"]
        for row in build(feedback.ledger, FeedbackSettings(gate_prompts=0, gate_one_in=1 << 62)).sft
    ] == ["a"]


# Placeholders of an answer and of what is said about it


def test_another_address_in_a_correction_is_another_placeholder(feedback):
    answer = feedback.record(prompt="Whom do I ask, ann@example.org or bob@example.org?", answer="Ask ann@example.org.")
    feedback.correct(answer, "Ask bob@example.org.")
    (row,) = build(feedback.ledger).dpo
    assert row["prompt"][0]["content"] == "Whom do I ask, <EMAIL_1> or <EMAIL_2>?"
    assert row["rejected"][0]["content"] == "Ask <EMAIL_1>."
    assert row["chosen"][0]["content"] == "Ask <EMAIL_2>."


def test_an_address_that_the_answer_does_not_hold_is_numbered_on(tmp_path):
    path = tmp_path / "ledger.db"
    with FeedbackCollector(path) as feedback:
        answer = with_a_fixed_key(feedback).record(prompt="Whom do I ask?", answer="Ask ann@example.org, 10.0.0.1.")
    with FeedbackCollector(path) as feedback:
        feedback.correct(answer, "Ask bob@example.org, or carl@example.org at 10.0.0.1; not ann@example.org.")
        (signal,) = feedback.ledger.signals(answer)
        assert signal.text == "Ask <EMAIL_2>, or <EMAIL_3> at <IP_1>; not <EMAIL_1>."
        assert build(feedback.ledger).excluded.get("unchanged") is None
    kept = path.read_bytes()
    assert b"example.org" not in kept
    assert b"10.0.0.1" not in kept


def test_what_the_owner_edits_goes_on_from_the_answers_placeholders(feedback):
    answer = feedback.record(prompt="Whom?", answer="Ask ann@example.org.")
    said = feedback.correct(answer, "Ask somebody else.", user="pupil")
    decide(feedback.ledger, said, "edit", "owner", "Ask bob@example.org.")
    assert [row["chosen"][0]["content"] for row in build(feedback.ledger).dpo] == ["Ask <EMAIL_2>."]


def test_the_same_correction_again_is_the_same_reaction(feedback):
    fields = {"source": "chat", "source_key": "7"}
    answer = feedback.record(prompt="Whom?", answer="Ask ann@example.org.")
    first = feedback.correct(answer, "Ask bob@example.org.", **fields)
    again = feedback.record(prompt="Whom?", answer="Ask ann@example.org.")
    assert (again, feedback.correct(again, "Ask bob@example.org.", **fields)) == (answer, first)


def test_forgetting_takes_the_prints_along(feedback):
    answer = feedback.record(prompt="Whom?", answer="Ask ann@example.org.")
    assert feedback.ledger.query("SELECT count(*) AS n FROM placeholders")[0]["n"] == 1
    forget(feedback.ledger, Selector("id", (answer,)))
    assert feedback.ledger.query("SELECT count(*) AS n FROM placeholders")[0]["n"] == 0
    assert problems(feedback.ledger) == ()
