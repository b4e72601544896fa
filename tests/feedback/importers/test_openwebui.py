import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strop.errors import BadRecord, UsageError
from strop.feedback import Ledger
from strop.feedback.export import exported
from strop.feedback.importers import base, reading
from strop.feedback.importers.openwebui import OpenWebui
from strop.feedback.verify import problems

(EXPORT,) = (Path(__file__).parent / "openwebui").glob("*.json")
ANN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def entries():
    return json.loads(EXPORT.read_text("utf-8"))


@pytest.fixture
def write(tmp_path):
    def write_entries(entries, name="export.json"):
        path = tmp_path / name
        path.write_text(json.dumps(entries), encoding="utf-8")
        return path

    return write_entries


def only(path, owners=("owner",)):
    (batch,) = OpenWebui(owners).read(path, {})
    return batch


def test_each_rating_comes_with_the_conversation_that_leads_to_it():
    first, second, third = only(EXPORT).turns
    assert [(one.role, one.content) for one in first.interaction.messages] == [
        ("system", "Be brief."),
        ("user", "What is LoRA?"),
    ]
    assert first.interaction.answer == "A radio protocol.", "without the reasoning"
    assert second.interaction.answer == "Small trainable matrices beside frozen weights."
    assert [one.content for one in third.interaction.messages[1:]] == [
        "What is LoRA?",
        "Small trainable matrices beside frozen weights.",
        "How is the weather in Lisbon?",
    ]
    assert third.interaction.answer == "It is 21 degrees."
    assert third.interaction.tool_calls == ({"name": "get_weather", "arguments": '{"city": "Lisbon"}'},)
    assert (third.interaction.turn, third.interaction.model) == (1, "llama3.2:3b")
    assert third.interaction.time == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_thumb_with_points_is_worth_more_than_one_without():
    down, up, thumb = (turn.reactions[0] for turn in only(EXPORT).turns)
    assert (down.kind, down.value, down.text) == ("stars", -0.875, "not_factually_correct: the other LoRA")
    assert (up.kind, up.value, up.text) == ("stars", 1.0, "accurate_information: Exactly.")
    assert (thumb.kind, thumb.value, thumb.text) == ("thumb", 1.0, None)


@pytest.mark.parametrize(
    ("rating", "points", "value"),
    [(1, 6, 0.5), (-1, 5, -0.5), (-1, 1, -1.0), ("1", None, 1.0), (-1, 9, -1.0), (None, 8, 0.75), (1, True, 1.0)],
)
def test_the_thumb_decides_the_side_and_the_points_how_far(entries, write, rating, points, value):
    entries[0]["data"] |= {"rating": rating, "details": {"rating": points}}
    assert only(write(entries[:1])).turns[0].reactions[0].value == value


def test_only_named_owners_train():
    assert {turn.reactions[0].trust for turn in only(EXPORT).turns} == {"known"}
    assert {turn.reactions[0].trust for turn in only(EXPORT, [ANN]).turns} == {"owner"}


def test_a_second_run_stores_nothing(ledger):
    assert base.run(OpenWebui(), ledger, EXPORT).added == 3
    before = list(exported(ledger))
    assert base.run(OpenWebui(), ledger, EXPORT) == base.Imported()
    assert list(exported(ledger)) == before


def test_a_copy_of_the_export_brings_nothing_new(ledger, write, entries):
    base.run(OpenWebui(), ledger, EXPORT)
    done = base.run(OpenWebui(), ledger, write(entries))
    assert (done.added, done.known) == (0, 3)


def test_a_changed_rating_is_a_new_reaction_with_the_last_word(ledger, write, entries):
    base.run(OpenWebui([ANN]), ledger, EXPORT)
    changed = copy.deepcopy(entries[0])
    changed["data"]["rating"] = -1
    changed["updated_at"] += 60
    changed["snapshot"]["chat"]["updated_at"] += 60
    done = base.run(OpenWebui([ANN]), ledger, write([changed, *entries[1:]]))
    assert (done.added, done.known, done.signals) == (1, 2, 1)
    assert ledger.counts()["interactions"] == 3
    *_, (_, signals) = ledger.iterate()
    assert [signal.value for signal in signals] == [1.0, -1.0]
    assert signals[1].time > signals[0].time


def test_naming_the_owner_later_makes_the_ratings_count(ledger):
    base.run(OpenWebui(), ledger, EXPORT)
    done = base.run(OpenWebui([ANN]), ledger, EXPORT)
    assert (done.added, done.signals) == (3, 3)
    assert [[signal.trust for signal in signals] for _, signals in ledger.iterate()] == [["known", "owner"]] * 3


def _no_snapshot(entry):
    entry["snapshot"] = None


def _other_message(entry):
    entry["meta"]["message_id"] = "gone"


def _circle(entry):
    _messages(entry)["u1"]["parentId"] = "a2"


def _failed(entry):
    _messages(entry)["a2"]["error"] = {"content": "out of memory"}


def _file(entry):
    _messages(entry)["u1"]["files"] = [{"type": "image", "url": "data:"}]


def _no_rating(entry):
    entry["data"]["rating"] = None


def _other_type(entry):
    entry["type"] = "comment"


def _messages(entry):
    return entry["snapshot"]["chat"]["chat"]["history"]["messages"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_no_snapshot, "it has no snapshot of the chat"),
        (_other_message, "the rated message is not in the snapshot"),
        (_circle, "its chat runs in a circle"),
        (_failed, "the rated message is an error"),
        (_file, "files are attached to the chat"),
        (_no_rating, "it says neither good nor bad"),
        (_other_type, "it is no rating"),
    ],
)
def test_an_entry_without_a_rated_answer_is_counted(entries, write, change, reason):
    change(entries[0])
    batch = only(write(entries[:2]))
    assert (len(batch.turns), batch.skipped) == (1, {reason: 1})


@pytest.mark.parametrize(
    "broken",
    [
        7,
        {},
        {"type": "rating", "data": [], "meta": {}},
        {"type": "rating", "id": "x", "data": {"rating": 1}, "meta": {"message_id": {}}, "snapshot": {"chat": 1}},
        {"type": "rating", "id": 7, "data": {"rating": 1}, "user_id": 3, "created_at": "x", "updated_at": [1e400]},
    ],
)
def test_a_broken_entry_costs_only_itself(entries, write, broken):
    path = write([broken, entries[0]])
    path.write_text(path.read_text().replace("Infinity", "null"))
    batch = only(path)
    assert (len(batch.turns), sum(batch.skipped.values())) == (1, 1)


def test_texts_that_cannot_be_stored_are_refused_and_template_tokens_are_not(ledger, entries, write):
    _messages(entries[0])["u2"]["content"] = "a\0b"
    _messages(entries[1])["a1b"]["content"] = "<|im_start|>system"
    _messages(entries[2])["a1"]["content"] = "half \ud83d"
    done = base.run(OpenWebui(), ledger, write(entries[:3]))
    assert done.added == 1
    assert sorted(done.skipped.values()) == [1, 1]
    assert problems(ledger) == ()


def test_older_exports_hold_the_messages_as_a_list_and_times_in_milliseconds(entries, write):
    history = entries[0]["snapshot"]["chat"]["chat"]["history"]
    history["messages"] = list(history["messages"].values())
    entries[0]["updated_at"] *= 1000
    (turn,) = only(write(entries[:1])).turns
    assert turn.reactions[0].time == datetime(2026, 1, 1, 1, 1, 40, tzinfo=UTC)


def test_what_is_no_export_is_refused(tmp_path, write, monkeypatch):
    with pytest.raises(BadRecord, match="a list of ratings"):
        only(write({"items": []}))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(BadRecord):
        only(tmp_path / "deep.json")
    monkeypatch.setattr(reading, "LIMIT_FILE_BYTES", 10)
    with pytest.raises(UsageError, match="larger"):
        only(EXPORT)
    with pytest.raises(UsageError, match="not a file"):
        only(tmp_path)


def test_it_finds_exports_and_nothing_else(tmp_path, write, entries):
    assert OpenWebui().finds(EXPORT)
    assert not OpenWebui().finds(write([], "empty.json"))
    assert not OpenWebui().finds(write(entries[0], "one.json"))
    assert not OpenWebui().finds(write(entries, "export.txt"))
    assert not OpenWebui().finds(tmp_path)
