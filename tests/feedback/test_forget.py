"""What was forgotten is in no file of the ledger, does not come back, and nothing else is touched."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from strop.errors import BadRecord, Forgotten, LedgerError, Locked, NothingToDo, UnknownInteraction
from strop.feedback import FeedbackCollector, Interaction, Ledger, Message, Signal, pairs, reviews, standing_data
from strop.feedback.export import export_file, exported
from strop.feedback.forget import described, forget, sweep, take_out, was_forgotten
from strop.feedback.jsonl import Imported, import_file
from strop.feedback.selected import Chosen, Selector, select
from strop.feedback.settings import FeedbackSettings
from strop.feedback.split import places, record_test
from strop.feedback.verify import problems

MARK = "Zanzibar-qux-7719"
LONG = "filler " * 3000  # over several pages


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "home" / "ledger.db") as opened:
        yield opened


def asked(prompt: str, answer: str = "A plain answer.", *before: str, **fields: Any) -> Interaction:
    """An interaction; `before` are the earlier turns, user and assistant in turn."""
    roles = ("user", "assistant")
    history = tuple(Message(roles[place % 2], text) for place, text in enumerate(before))
    return Interaction((*history, Message("user", prompt)), answer, **fields)


def files_with(folder: Path, text: str) -> list[str]:
    """The files below `folder` that hold `text`, in whatever case."""
    wanted = text.casefold().encode()
    return [str(path) for path in folder.rglob("*") if path.is_file() and wanted in path.read_bytes().lower()]


def everywhere(ledger: Ledger, tmp_path: Path) -> dict[str, str]:
    """A ledger that holds the mark in every place where a text can stand; returns the interactions by that place."""
    places = {
        "prompt": asked(f"Where is {MARK}? {LONG}"),
        "system": Interaction((Message("system", f"You know {MARK}."), Message("user", "Who?")), "Me."),
        "answer": asked("And now?", f"{LONG} {MARK}."),
        "tool call": asked("Search.", tool_calls=({"name": "find", "arguments": {"q": [f'"{MARK}"\n']}},)),
        "tool name": asked("Call.", tool_calls=({"name": MARK},)),
        "correction": asked("Correct me."),
        "note": asked("Note this."),
        "review": asked("Review this."),
        "nothing": asked("What else?"),
    }
    ids = {name: ledger.add_interaction(one) for name, one in places.items()}
    ledger.add_signal(Signal(ids["correction"], "correction", -0.5, f"It is {MARK.upper()}.", source_key="c"))
    ledger.add_signal(Signal(ids["note"], "note", 0, f"Think of {MARK.lower()}!", source_key="n"))
    ledger.add_signal(Signal(ids["nothing"], "thumb", 1, source_key="t"))
    other = ledger.add_signal(Signal(ids["review"], "correction", -0.5, "Mine.", user="ann", trust="known"))
    reviews.decide(ledger, other, "edit", "owner", f"Better {MARK}.")
    pairs.build(ledger)
    record_test(ledger, [ids["correction"], ids["nothing"]], "a test")
    _add_standing(ledger, tmp_path / "rows.jsonl", f"Say {MARK}", "Plain one", "Plain two")
    return ids


def _add_standing(ledger: Ledger, file: Path, *prompts: str) -> standing_data.StandingSet:
    lines = [json.dumps({"prompt": prompt, "completion": "Yes."}) + "\n" for prompt in prompts]
    file.write_text("".join(lines), encoding="utf-8")
    return standing_data.add(ledger, file, "house")


# What match finds, and that it is gone


def test_no_file_of_the_ledger_holds_a_word_that_was_forgotten(ledger: Ledger, tmp_path: Path) -> None:
    ids = everywhere(ledger, tmp_path)
    folder = ledger.path.parent
    assert files_with(folder, MARK)

    chosen = forget(ledger, Selector("match", (MARK.swapcase(),)))

    assert set(chosen.interactions) == set(ids.values()) - {ids["nothing"]}
    assert files_with(folder, MARK) == []
    assert [one.id for one, _ in ledger.iterate()] == [ids["nothing"]]
    assert (problems(ledger), places(ledger).keys()) == ((), {ids["nothing"]})
    assert [row[0] for row in ledger.query("SELECT interaction_id FROM gate_uses")] == [ids["nothing"]]
    assert ledger.query("PRAGMA freelist_count")[0][0] == 0
    pairs.build(ledger)


def test_a_text_is_found_in_whatever_case_and_spelling_of_its_letters(ledger: Ledger) -> None:
    found = ledger.add_interaction(asked("Wo ist die STRASSE zum Cafe\u0301?"))
    assert select(ledger, Selector("match", ("straße zum CAFÉ",))).interactions == (found,)
    assert not select(ledger, Selector("match", ("owner",)))


def test_names_are_no_texts(ledger: Ledger) -> None:
    ledger.add_interaction(asked("Hello?", user="api", session="general"))
    assert not any(select(ledger, Selector("match", (name,))) for name in ("api", "general"))


def test_free_pages_hold_nothing_even_before_the_sweep(ledger: Ledger, tmp_path: Path) -> None:
    everywhere(ledger, tmp_path)
    selector = Selector("match", (MARK,))
    take_out(ledger, select(ledger, selector), described(ledger, selector))
    assert files_with(ledger.path.parent, MARK) == []


def test_the_copies_of_earlier_schemas_go(ledger: Ledger) -> None:
    folder = ledger.path.parent
    for name in ("ledger.db.schema1.backup", "ledger.db.schema1.backup.new"):
        (folder / name).write_text(MARK, encoding="utf-8")
    ledger.add_interaction(asked("Anything"))
    forget(ledger, Selector("match", (MARK,)))
    assert files_with(folder, MARK) == []
    assert not list(folder.glob("*.backup*"))


def test_a_write_ahead_log_is_emptied(ledger: Ledger) -> None:
    ledger.add_interaction(asked(MARK))
    ledger.query("PRAGMA journal_mode = WAL")
    ledger.add_interaction(asked(f"{MARK} again"))
    wal = ledger.path.with_name("ledger.db-wal")
    assert wal.stat().st_size
    forget(ledger, Selector("match", (MARK,)))
    assert wal.stat().st_size == 0
    assert files_with(ledger.path.parent, MARK) == []
    ledger.query("PRAGMA journal_mode = DELETE")


def test_a_reader_that_does_not_let_go_is_said_and_the_sweep_can_be_repeated(ledger: Ledger) -> None:
    ledger.add_interaction(asked(MARK))
    ledger.query("PRAGMA journal_mode = WAL")
    ledger.query("PRAGMA busy_timeout = 50")
    reader = sqlite3.connect(ledger.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM interactions").fetchone()
    with pytest.raises(Locked):
        forget(ledger, Selector("match", (MARK,)))
    assert not list(ledger.iterate())
    reader.close()
    sweep(ledger)
    assert files_with(ledger.path.parent, MARK) == []
    ledger.query("PRAGMA journal_mode = DELETE")


# A second import


def test_a_second_import_brings_nothing_back(ledger: Ledger, tmp_path: Path) -> None:
    everywhere(ledger, tmp_path)
    file = tmp_path / "export.jsonl"
    export_file(ledger, file)
    chosen = forget(ledger, Selector("match", (MARK,)))
    gone = len(chosen.interactions)
    assert import_file(ledger, file) == Imported(0, 1, gone)
    assert import_file(ledger, file) == Imported(0, 1, gone)
    assert files_with(ledger.path.parent, MARK) == []


def test_what_was_forgotten_is_refused_by_its_id_and_by_its_event(ledger: Ledger) -> None:
    one = asked("Forget me", user="ann")
    kept = ledger.add_interaction(asked("Keep me"))
    first = ledger.add_interaction(one)
    signal = Signal(first, "thumb", 1, source="chat", source_key="7")
    ledger.add_signal(signal)
    forget(ledger, Selector("id", (first[:10],)))
    with pytest.raises(Forgotten):
        ledger.add_interaction(one)
    with pytest.raises(Forgotten):
        ledger.add_signal(Signal(kept, "thumb", -1, source="chat", source_key="7"))
    assert was_forgotten(ledger, first)
    assert was_forgotten(ledger, "chat", "7")
    assert not was_forgotten(ledger, kept)


def test_a_tombstone_says_nothing_without_the_ledgers_key(ledger: Ledger, tmp_path: Path) -> None:
    one = asked("Forget me")
    marks = []
    for number in range(2):
        with Ledger.open(tmp_path / f"{number}.db") as other:
            forget(other, Selector("id", (other.add_interaction(one),)))
            (row,) = other.query("SELECT mark FROM tombstones")
            marks.append(row["mark"])
            assert len(row["mark"]) == 32
            assert files_with(other.path.parent, one.id) == []
    assert marks[0] != marks[1]


# What goes along


def test_a_user_takes_along_what_was_said_about_others(ledger: Ledger) -> None:
    anns = ledger.add_interaction(asked("Ann asks", user="ann"))
    bobs = ledger.add_interaction(asked("Bob asks", user="bob"))
    ledger.add_signal(Signal(anns, "thumb", 1, user="bob"))
    by_ann = ledger.add_signal(Signal(bobs, "note", 0, MARK, user="ann", trust="known"))
    by_bob = ledger.add_signal(Signal(bobs, "thumb", -1, user="bob"))
    reviews.decide(ledger, by_ann, "accept", "owner")
    chosen = forget(ledger, Selector("user", ("ann",)))
    assert chosen.interactions == (anns,)
    assert by_ann in chosen.signals
    assert [(one.id, [s.id for s in signals]) for one, signals in ledger.iterate()] == [(bobs, [by_bob])]
    assert reviews.decided(ledger) == ()
    assert files_with(ledger.path.parent, MARK) == []


def test_later_turns_that_hold_a_forgotten_one_go_with_it(ledger: Ledger) -> None:
    first = asked(f"I live in {MARK}.", "Nice.", session="s", turn=0)
    later = asked("And the weather?", "Sunny.", f"I live in {MARK}.", "Nice.", session="s", turn=1)
    cut = asked("Thanks", "Bye.", "Nice.", session="s", turn=2)
    regenerated = asked(f"I live in {MARK}.", "Lovely.", session="s", turn=0)
    elsewhere = asked("Go on", "Well.", f"I live in {MARK}.", "Nice.", session="another")
    ids = [ledger.add_interaction(one) for one in (first, later, cut, regenerated, elsewhere)]
    kept = ledger.add_interaction(asked("Unrelated", "Nice.", session="s", turn=3))
    same_word = ledger.add_interaction(asked("Hm", "Well.", "Something else.", "Nice.", session="another"))
    complained = ledger.add_signal(Signal(kept, "complaint", -0.5, f"I live in {MARK}."))
    rated = ledger.add_signal(Signal(kept, "thumb", 1))

    chosen = forget(ledger, Selector("id", (first.id,)))

    assert set(chosen.interactions) == set(ids)
    assert chosen.repeats == 4
    assert complained in chosen.signals
    assert {one.id: [s.id for s in signals] for one, signals in ledger.iterate()} == {kept: [rated], same_word: []}
    assert files_with(ledger.path.parent, MARK) == []


def test_without_a_session_only_the_whole_exchange_counts(ledger: Ledger) -> None:
    first = ledger.add_interaction(asked("Yes.", "Good."))
    repeats = ledger.add_interaction(asked("More.", "Well.", "Yes.", "Good."))
    kept = ledger.add_interaction(asked("More.", "Well.", "Yes.", "Bad."))
    assert set(forget(ledger, Selector("id", (first,))).interactions) == {first, repeats}
    assert [one.id for one, _ in ledger.iterate()] == [kept]


def test_the_traces_name_the_reactions_that_a_row_shows_in_place_of_the_forgotten_ones(ledger: Ledger) -> None:
    # Equal answers to equal prompts are one row: its words may be one's, and its reactions the other's.
    ours = ledger.add_interaction(asked("What is IT?", "That.", session="a"))
    theirs = ledger.add_interaction(asked("what is it?", "That.", session="b"))
    other = ledger.add_interaction(asked("what is it?", "This.", session="c"))
    rated = {one: ledger.add_signal(Signal(one, "thumb", 1)) for one in (ours, theirs, other)}
    all_train = FeedbackSettings(gate_prompts=0, gate_one_in=1 << 62)
    (row,) = [row for row in pairs.build(ledger, all_train).sft if row["completion"][0]["content"] == "That."]
    chosen = forget(ledger, Selector("id", (ours,)))
    assert set(chosen.interactions) == {ours}
    assert {rated[ours], rated[theirs]} <= set(chosen.traces)
    assert rated[other] not in chosen.traces
    assert not set(row["signals"]).isdisjoint(chosen.traces)


def test_age_is_the_interactions_own(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    old = ledger.add_interaction(asked("Old", time=now - timedelta(days=31)))
    new = ledger.add_interaction(asked("New", time=now - timedelta(days=29)))
    ledger.add_signal(Signal(old, "thumb", 1))
    chosen = forget(ledger, Selector.before(now - timedelta(days=30)))
    assert chosen.interactions == (old,)
    assert [one.id for one, _ in ledger.iterate()] == [new]


def test_a_session_is_one_conversation(ledger: Ledger) -> None:
    one = ledger.add_interaction(asked("One", session="s"))
    ledger.add_interaction(asked("Two"))
    assert forget(ledger, Selector("session", ("s",))).interactions == (one,)


# Standing data


def test_a_standing_row_leaves_its_set_and_does_not_come_back_with_the_file(ledger: Ledger, tmp_path: Path) -> None:
    before = _add_standing(ledger, tmp_path / "rows.jsonl", f"Say {MARK}", "Plain one", "Plain two")
    chosen = forget(ledger, Selector("match", (MARK,)))
    assert chosen.standing == ((before.id, 1),)
    assert set(chosen.traces) == {f"standing:{before.id}:{line}" for line in (1, 2, 3)}
    (after,) = standing_data.sets(ledger)
    assert (after.rows, after.name) == (2, before.name)
    assert after.id != before.id, "the old id is a hash of what was forgotten"
    assert files_with(ledger.path.parent, before.id) == []
    with pytest.raises(NothingToDo):
        standing_data.add(ledger, tmp_path / "rows.jsonl", "house")
    assert standing_data.add(ledger, tmp_path / "rows.jsonl", "another").rows == 2
    assert files_with(ledger.path.parent, MARK) == []


def test_a_set_that_is_empty_then_goes(ledger: Ledger, tmp_path: Path) -> None:
    before = _add_standing(ledger, tmp_path / "rows.jsonl", f"Say {MARK}")
    forget(ledger, Selector("match", (MARK,)))
    assert standing_data.sets(ledger) == ()
    assert files_with(ledger.path.parent, before.id) == []
    with pytest.raises(Forgotten):
        standing_data.add(ledger, tmp_path / "rows.jsonl", "house")


def test_a_set_that_becomes_the_same_as_another_is_not_kept_twice(ledger: Ledger, tmp_path: Path) -> None:
    other = _add_standing(ledger, tmp_path / "other.jsonl", "Plain one")
    _add_standing(ledger, tmp_path / "rows.jsonl", f"Say {MARK}", "Plain one")
    forget(ledger, Selector("match", (MARK,)))
    assert [one.id for one in standing_data.sets(ledger)] == [other.id]
    assert ledger.query("SELECT count(*) FROM standing_rows")[0][0] == 1


# The event, and repeating


def test_the_event_says_who_when_how_many_and_how_but_not_what(ledger: Ledger) -> None:
    ledger.add_interaction(asked(MARK, user="ann-of-ulm"))
    forget(ledger, Selector("user", ("ann-of-ulm",)), who="kurt")
    (event,) = ledger.query("SELECT what, who, detail FROM events")
    detail = json.loads(event["detail"])
    assert (event["what"], event["who"], detail["by"]) == ("forget", "kurt", "user")
    assert detail["rows"]["interactions"] == 1
    assert detail["marks"] == [ledger.tombstone("selector", "user", "ann-of-ulm").hex()]
    assert files_with(ledger.path.parent, "ann-of-ulm") == []


def test_taking_out_twice_is_one_event(ledger: Ledger) -> None:
    ledger.add_interaction(asked(MARK))
    selector = Selector("match", (MARK,))
    chosen = select(ledger, selector)
    assert Chosen.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen
    assert take_out(ledger, chosen, described(ledger, selector))["interactions"] == 1
    assert not any(take_out(ledger, chosen, described(ledger, selector)).values())
    assert ledger.query("SELECT count(*) FROM events")[0][0] == 1


def test_a_failure_in_the_middle_leaves_every_row(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere(ledger, tmp_path)
    before = list(exported(ledger))
    monkeypatch.setattr(Ledger, "record_event", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forget(ledger, Selector("match", (MARK,)))
    assert list(exported(ledger)) == before
    assert not ledger.query("SELECT 1 FROM facts WHERE name = 'forgetting'")
    with pytest.raises(LedgerError, match="append-only"):
        ledger.execute("DELETE FROM interactions")


def test_wrong_selectors_are_refused(ledger: Ledger) -> None:
    with pytest.raises(BadRecord):
        Selector("match", ("  ",))
    with pytest.raises(BadRecord):
        Selector("user", ())
    with pytest.raises(UnknownInteraction):
        forget(ledger, Selector("id", ("abc",)))


def test_a_collector_goes_on_after_it(ledger: Ledger) -> None:
    with FeedbackCollector(ledger.path) as collector:
        first = collector.record(prompt=MARK, answer="Yes.")
        forget(ledger, Selector("id", (first,)))
        collector.rate(collector.record(prompt="Another", answer="Yes."), "up")
    assert ledger.counts()["interactions"] == 1
