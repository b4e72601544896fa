import json
from pathlib import Path

import pytest

from strop.errors import BadRecord, UsageError
from strop.feedback import Ledger
from strop.feedback.cursors import Cursors
from strop.feedback.importers import base
from strop.feedback.importers.openaijsonl import OpenAiJsonl

SHAPES = Path(__file__).parent / "openai"
ASKED = {"role": "user", "content": "What is LoRA?"}
CHAT = {"messages": [ASKED, {"role": "assistant", "content": "A radio protocol."}]}
PREFERENCE = {
    "input": {"messages": [ASKED]},
    "preferred_output": [{"role": "assistant", "content": "Small matrices."}],
    "non_preferred_output": [{"role": "assistant", "content": "A radio protocol."}],
}


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def write(tmp_path):
    def write_lines(*records):
        path = tmp_path / "in.jsonl"
        path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in records) + "\n")
        return path

    return write_lines


def only(path):
    (batch,) = OpenAiJsonl().read(path, {})
    return batch


def test_a_chat_line_is_an_answer_about_which_nothing_is_said_unless_it_says_so():
    plain, rated, with_tools = only(SHAPES / "chat.jsonl").turns
    assert (plain.interaction.prompt, plain.interaction.answer) == ("What is a strop?", "A strip of leather.")
    assert plain.reactions == ()
    assert [one.content for one in rated.interaction.messages] == ["Be brief.", "Capital of France?", "Lyon", "Sure?"]
    assert (rated.interaction.answer, rated.reactions[0].kind, rated.reactions[0].value) == ("Paris.", "thumb", 1.0)
    assert (with_tools.interaction.prompt, with_tools.interaction.answer) == ("Weather in Lisbon?", "21 degrees.")
    assert with_tools.interaction.tool_calls[0]["function"]["name"] == "get_weather"
    assert only(SHAPES / "chat.jsonl").skipped == {"it holds an image, audio or a file": 1}


def test_a_preference_is_a_correction():
    (turn,) = only(SHAPES / "preference.jsonl").turns
    assert turn.interaction.answer == "It is not cold."
    (reaction,) = turn.reactions
    assert (reaction.kind, reaction.value, reaction.trust) == ("correction", -1.0, "owner")
    assert reaction.text == "I cannot see the weather; look at a forecast."


def test_a_logged_request_is_answered_by_its_response():
    (turn,) = only(SHAPES / "logged.jsonl").turns
    assert (turn.interaction.prompt, turn.interaction.answer) == ("What is 2 + 2?", "5")
    assert turn.interaction.model == "gpt-4.1-mini-2025-04-14"
    assert turn.reactions[0].value == -1.0
    assert turn.interaction.time.year == 2026


def test_the_answer_is_the_last_message_with_a_weight(write):
    messages = [
        *CHAT["messages"],
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "x", "weight": 0},
    ]
    (turn,) = only(write({"messages": messages})).turns
    assert (turn.interaction.prompt, turn.interaction.answer) == ("What is LoRA?", "A radio protocol.")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"messages": [ASKED, {"role": "assistant", "content": "x", "weight": 0}]}, "no message of the assistant"),
        ({"messages": [ASKED, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "nothing but tool calls"),
        ({"messages": [ASKED, {"role": "assistant", "function_call": {"name": "f"}}]}, "nothing but tool calls"),
    ],
)
def test_a_line_without_a_text_to_learn_is_counted(write, line, reason):
    batch = only(write(line))
    assert batch.turns == ()
    ((said, count),) = batch.skipped.items()
    assert reason in said
    assert count == 1


def test_twice_is_once_and_a_changed_rating_is_new(ledger, write):
    done = base.run(OpenAiJsonl(), ledger, write(CHAT, {**PREFERENCE, "note": "n"}))
    assert (done.added, done.signals) == (2, 2)
    done = base.run(OpenAiJsonl(), ledger, write({**PREFERENCE, "note": "n"}, CHAT))
    assert (done.added, done.known, done.signals) == (0, 2, 0)
    done = base.run(OpenAiJsonl(), ledger, write({**CHAT, "rating": "down"}))
    assert (done.added, done.signals) == (1, 1)
    assert ledger.counts()["interactions"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON at column"),
        ("[]", "line 2: an object is needed"),
        ("[" * 100_000, "line 2: not JSON that can be stored"),
        ('{"messages": [], "messages": []}', "line 2: messages: it stands there twice"),
        ({}, "line 2: messages: it is missing"),
        ({"messages": "x"}, "line 2: messages: a list of objects"),
        ({"messages": [ASKED]}, "line 2: messages: none is the assistant's"),
        ({"messages": [CHAT["messages"][1]]}, "line 2: messages: none before the answer is the user's"),
        ({"messages": [{"role": "boss", "content": "x"}, *CHAT["messages"]]}, "line 2: messages: role 'boss'"),
        ({"messages": [{"content": "x"}, *CHAT["messages"]]}, "line 2: messages: number 1 has no role"),
        ({"messages": [ASKED, {"role": "assistant", "content": " "}]}, "line 2: answer: it is empty"),
        ({"messages": [ASKED, {"role": "assistant", "content": 7}]}, "line 2: answer: content: a list of objects"),
        ({"messages": [ASKED, {"role": "assistant", "content": "a\0"}]}, "line 2: answer: .* NUL"),
        ({"messages": [ASKED, {"role": "assistant", "content": "\ud83d"}]}, "line 2: answer: .* surrogate"),
        ({**CHAT, "rating": "seven"}, "line 2: rating: 'seven'"),
        ({**CHAT, "rating": 4.5}, "line 2: rating: '4.5'"),
        ({**CHAT, "rating": []}, "line 2: rating: a text or a number"),
        ({**CHAT, "rating": "up", "label": True}, "line 2: rating: only one of"),
        ({**CHAT, "correction": "a\0"}, "line 2: correction: .* NUL"),
        ({**CHAT, "time": "yesterday"}, "line 2: time: 'yesterday'"),
        ({**CHAT, "user": 7}, "line 2: user: a text is needed"),
        ({**CHAT, "preferred_output": []}, "line 2: preferred_output: unknown"),
        ({**PREFERENCE, "preferred_output": PREFERENCE["non_preferred_output"]}, "line 2: preferred_output: it is the"),
        ({**PREFERENCE, "preferred_output": []}, "line 2: preferred_output: one message"),
        ({**PREFERENCE, "correction": "c"}, "line 2: correction: preferred_output says"),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, "line 2: input: an object with messages"),
        ({"request": {}}, "line 2: response: it is missing"),
        ({"request": {"messages": [ASKED]}, "response": {"choices": []}}, "line 2: response: choices: it is empty"),
        ({"request": {"messages": [ASKED]}, "response": 7}, "line 2: response: an object with choices"),
    ],
)
def test_a_bad_line_names_line_and_field_and_nothing_is_stored(ledger, write, line, said):
    with pytest.raises(BadRecord, match=f"{said}.*nothing of the file was stored"):
        base.run(OpenAiJsonl(), ledger, write(CHAT, line))
    assert ledger.counts()["interactions"] == 0
    assert Cursors(ledger, "openai") == {}


def test_an_unknown_field_is_named_with_the_nearest_known_one(write):
    with pytest.raises(BadRecord) as caught:
        only(write({**CHAT, "ratng": "up"}))
    assert caught.value.hint == "did you mean rating?"


def test_numbers_are_read_by_what_the_rest_of_the_file_says(write):
    def values(*ratings):
        lines = [{**CHAT, "rating": rating, "id": str(at)} for at, rating in enumerate(ratings)]
        return [turn.reactions[0].value if turn.reactions else None for turn in only(write(*lines)).turns]

    assert values(1, -1, 0) == [1.0, -1.0, None]
    assert values(1, 5, 3.0) == [-1.0, 1.0, 0.0]
    assert values(True, False, "👍🏽", "1/5") == [1.0, -1.0, 1.0, -1.0]
    with pytest.raises(BadRecord, match="line 1: rating: 1 can mean one star or a thumb up"):
        values(1, 0)
    with pytest.raises(BadRecord, match="thumbs and stars"):
        values(-1, 4)


def test_it_finds_its_shapes_and_nothing_else(tmp_path, write):
    assert all(OpenAiJsonl().finds(path) for path in SHAPES.glob("*.jsonl"))
    assert not OpenAiJsonl().finds(write({"prompt": "p", "answer": "a"}))
    assert not OpenAiJsonl().finds(write({**CHAT, "answer": "a"}))
    assert not OpenAiJsonl().finds(write("{"))
    assert not OpenAiJsonl().finds(write(""))
    assert not OpenAiJsonl().finds(tmp_path)
    with pytest.raises(UsageError):
        only(tmp_path / "none.jsonl")
