import json
import os
import stat
import threading

import pytest

from strop.errors import BadRecord, UsageError
from strop.feedback import FeedbackCollector, Ledger, jsonl
from strop.feedback.export import export_file, export_lines, exported
from strop.feedback.jsonl import import_file
from strop.feedback.pairs import build
from strop.feedback.reviews import decide, decided
from strop.feedback.verify import problems


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def write(tmp_path):
    def write_lines(*records, name="in.jsonl"):
        path = tmp_path / name
        lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
        path.write_bytes(b"\n".join(lines))
        return path

    return write_lines


def test_what_is_exported_comes_back_with_the_same_ids(tmp_path, ledger):
    with FeedbackCollector(tmp_path / "first.db") as feedback:
        answer = feedback.record(prompt="Ω\u2028?", answer="1\n2", system="s", session="c", tool_calls=[{"a": 1}])
        feedback.rate(answer, 4, source="chat", source_key="7", note="fine")
        feedback.rate(answer, "down", user="bob")
        feedback.correct(answer, "3")
        feedback.record(prompt="nobody reacted", answer="a")
        assert export_file(feedback.ledger, tmp_path / "out.jsonl") == 2
        before = list(exported(feedback.ledger))
    assert import_file(ledger, tmp_path / "out.jsonl")[:3] == (2, 0, 0)
    assert list(exported(ledger)) == before
    assert import_file(ledger, tmp_path / "out.jsonl")[:3] == (0, 2, 0)
    assert list(exported(ledger)) == before
    assert "".join(line + "\n" for line in export_lines(ledger)) == (tmp_path / "out.jsonl").read_text("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_an_export_is_private(tmp_path, ledger):
    export_file(ledger, tmp_path / "out.jsonl")
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600


def test_the_short_form_makes_a_rating_and_a_correction(ledger, write):
    path = write(
        {
            "prompt": "p",
            "answer": "a",
            "rating": "down",
            "correction": "b",
            "note": "n",
            "domain": "code",
            "session": "s",
            "user": "owner",
            "source_key": "k",
            "time": "2026-01-01T00:00:00Z",
        },
        b"",
        {"prompt": "p", "answer": "a2", "rating": 5},
        {"prompt": "p", "answer": "a3", "note": "only a note"},
        {"prompt": "p", "answer": "a4", "correction": "c", "user": "bob"},
    )
    assert import_file(ledger, path)[:3] == (4, 0, 0)
    (first, reactions), *rest = ledger.iterate()
    assert (first.domain, first.session, first.time.isoformat()) == ("code", "s", "2026-01-01T00:00:00+00:00")
    assert [(signal.kind, signal.value, signal.text, signal.source) for signal in reactions] == [
        ("thumb", -1.0, "n", "import"),
        ("correction", -1.0, "b", "import"),
    ]
    assert [(signal.kind, signal.value, signal.trust) for _, signals in rest for signal in signals] == [
        ("stars", 1.0, "owner"),
        ("note", 0.0, "owner"),
        ("correction", -1.0, "known"),
    ]


def test_the_short_form_may_be_read_twice_without_keys(ledger, write):
    path = write({"prompt": "p", "answer": "a", "rating": "down", "correction": "b"}, {"prompt": "q", "answer": "a"})
    assert import_file(ledger, path)[:3] == (2, 0, 0)
    counts = ledger.counts()
    assert import_file(ledger, path)[:3] == (0, 2, 0)
    assert ledger.counts() == counts
    more = write({"prompt": "p", "answer": "a", "rating": "up"}, name="later.jsonl")
    assert import_file(ledger, more)[:3] == (1, 0, 0)
    assert ledger.counts()["thumb"] == 2


def test_a_chat_ends_with_the_answer(ledger, write):
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path = write(
        {"messages": [*turns, {"role": "assistant", "content": "a"}], "rating": "up"},
        {"messages": turns, "answer": "a", "rating": "up"},
    )
    assert import_file(ledger, path)[:3] == (1, 1, 0)
    [(interaction, _)] = ledger.iterate()
    assert (interaction.prompt, interaction.answer, len(interaction.messages)) == ("u", "a", 2)


GOOD = {"prompt": "p", "answer": "a", "rating": "up"}


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (b"{", "not JSON at column"),
        (b'{"prompt": "p", "answer": "a", "rating": NaN}', "NaN"),
        (b'{"prompt": "p", "prompt": "q", "answer": "a"}', "prompt: it stands there twice"),
        (b"[" * 100_000, "not JSON"),
        (b'"text"', "an object is needed"),
        (b'{"prompt": "\xff", "answer": "a"}', "byte 13 is not UTF-8"),
        (b'{"prompt": "p", "answer": "\\ud800"}', "answer: it holds a lone surrogate"),
        (b'{"prompt": "p\\u0000", "answer": "a"}', "content: it holds a NUL|prompt: it holds a NUL"),
        ({"prompt": "p"}, "answer: it is missing"),
        ({"prompt": "", "answer": "a"}, "prompt: it is empty"),
        ({"prompt": ["p"], "answer": "a"}, "prompt: a text is needed, not list"),
        ({"answer": "a"}, "prompt"),
        ({"messages": "p", "answer": "a"}, "messages: a list"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "messages: at least one"),
        ({**GOOD, "rating": "meh"}, "rating: 'meh'"),
        ({**GOOD, "rating": True}, "rating: True"),
        ({**GOOD, "correction": 7}, "correction: a text is needed, not int"),
        ({**GOOD, "correction": ""}, "correction: it is empty"),
        ({**GOOD, "ratng": 1}, "ratng: unknown field"),
        ({**GOOD, "source_key": 7}, "source_key"),
        ({**GOOD, "trust": "boss"}, "trust"),
        ({**GOOD, "time": "yesterday"}, "time: 'yesterday'"),
        ({**GOOD, "time": "2026-01-01T00:00:00"}, "time"),
        ({**GOOD, "turn": "1"}, "turn"),
        ({**GOOD, "id": "0" * 64}, "id: it does not match"),
        ({**GOOD, "signals": [{"kind": "thumb"}]}, "signals: number 1: kind, value"),
        ({**GOOD, "signals": [{"kind": "thumb", "value": 2}]}, "signals: number 1: value"),
        ({**GOOD, "signals": [{"kind": ["thumb"], "value": 1}]}, "signals: number 1: kind"),
        ({**GOOD, "signals": [{"kind": "thumb", "value": 1, "id": "0"}]}, "signals: number 1: id"),
        ({**GOOD, "signals": {}}, "signals: a list"),
    ],
)
def test_a_bad_line_is_named_and_nothing_of_the_file_is_stored(ledger, write, bad, named):
    with pytest.raises(BadRecord, match=f"^line 3: .*({named})") as caught:
        import_file(ledger, write(GOOD, b"", bad, GOOD))
    assert caught.value.hint
    assert sum(ledger.counts().values()) == 0
    assert import_file(ledger, write(GOOD))[:3] == (1, 0, 0)


def test_the_hint_names_the_nearest_field(ledger, write):
    with pytest.raises(BadRecord) as caught:
        import_file(ledger, write({**GOOD, "corection": "b"}))
    assert caught.value.hint == "did you mean correction?"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(ledger, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n")
    assert import_file(ledger, path)[:3] == (1, 0, 0)


def test_an_empty_file_brings_nothing_and_a_missing_one_is_an_error(ledger, write, tmp_path):
    assert import_file(ledger, write())[:3] == (0, 0, 0)
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            import_file(ledger, path)


def test_a_file_cannot_make_somebody_the_owner(ledger, write):
    signal = {"kind": "correction", "value": -1, "text": "b", "user": "mallory"}
    rows = [
        {"prompt": "p1", "answer": "a", "signals": [signal]},
        {"prompt": "p2", "answer": "a", "signals": [{**signal, "trust": "owner"}]},
        {"prompt": "p3", "answer": "a", "user": "mallory", "correction": "b", "trust": "owner"},
        {"prompt": "p4", "answer": "a", "correction": "b", "trust": "known"},
    ]
    path = write(*rows)
    assert import_file(ledger, path)[:3] == (4, 0, 0)
    trusts = [signal.trust for _, signals in ledger.iterate() for signal in signals]
    assert trusts == ["known", "known", "known", "known"]
    assert import_file(ledger, path)[:3] == (0, 4, 0)


# What was decided


def test_decisions_travel_with_an_export(tmp_path, ledger):
    with FeedbackCollector(tmp_path / "first.db") as feedback:
        for number, decision in enumerate(("accept", "reject", "edit")):
            answer = feedback.record(prompt=f"p{number}", answer="a")
            said = feedback.correct(answer, f"b{number}", user="pupil")
            decide(feedback.ledger, said, decision, "owner", "edited" if decision == "edit" else None)
        export_file(feedback.ledger, tmp_path / "out.jsonl")
        rows = build(feedback.ledger)
    assert import_file(ledger, tmp_path / "out.jsonl")[:3] == (3, 0, 0)
    assert [(one.decision, one.text, one.who) for one in decided(ledger)] == [
        ("accept", None, "owner"),
        ("reject", None, "owner"),
        ("edit", "edited", "owner"),
    ]
    assert build(ledger) == rows
    assert import_file(ledger, tmp_path / "out.jsonl")[:3] == (0, 3, 0)
    assert len(decided(ledger)) == 3
    assert problems(ledger) == ()


def review(**values):
    signal = {"kind": "correction", "value": -1, "text": "b", "user": "mallory", "reviews": [values]}
    return {"prompt": "p", "answer": "a", "signals": [signal]}


def test_whoever_decided_travels_with_the_decision(ledger, write):
    path = write(review(decision="accept", who="Ms Moon"))
    assert import_file(ledger, path)[:2] == (1, 0)
    assert [(one.decision, one.who) for one in decided(ledger)] == [("accept", "Ms Moon")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"decision": "approve", "who": "owner"}, "'approve' is no decision"),
        ({"decision": "edit", "who": "owner"}, "a text belongs to edit"),
        ({"decision": "accept", "who": "owner", "text": "x"}, "a text belongs to edit"),
        ({"decision": "edit", "who": "owner", "text": "\0"}, "NUL"),
        ({"decision": "accept", "who": 3}, "who"),
        ({"decision": "accept", "who": "owner", "time": "soon"}, "ISO 8601"),
        ({"decision": "accept", "who": "owner", "by": "me"}, "by: unknown field"),
    ],
)
def test_a_decision_that_cannot_be_stored_names_its_line(ledger, write, values, said):
    with pytest.raises(BadRecord, match=rf"line 1: .*{said}"):
        import_file(ledger, write(review(**values)))
    assert ledger.counts()["interactions"] == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes")
def test_a_pipe_is_read_once(tmp_path, ledger):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(json.dumps(GOOD) + "\n"))
    writer.start()
    assert import_file(ledger, pipe)[:3] == (1, 0, 0)
    writer.join()


def test_a_large_file_is_checked_whole_before_any_of_it_is_stored(ledger, write, monkeypatch):
    monkeypatch.setattr(jsonl, "_KEPT_BYTES", 10)
    rows = [{"prompt": f"p{number}", "answer": "a", "rating": "up"} for number in range(500)]
    with pytest.raises(BadRecord, match="line 501"):
        import_file(ledger, write(*rows, {"prompt": "p"}))
    assert ledger.counts()["interactions"] == 0
    assert import_file(ledger, write(*rows)) == (500, 0, 0, 500)
    assert import_file(ledger, write(*rows)) == (0, 500, 0, 0)


def test_others_write_while_a_file_is_imported(tmp_path, write):
    rows = [{"prompt": f"p{number} " + "word " * 50, "answer": "a", "rating": "up"} for number in range(6_000)]
    path = write(*rows)
    with Ledger.open(tmp_path / "ledger.db") as one, FeedbackCollector(tmp_path / "ledger.db") as other:
        importing = threading.Thread(target=import_file, args=(one, path))
        importing.start()
        beside = 0
        while importing.is_alive():
            other.record(prompt=f"beside {beside}", answer="a")
            beside += one.counts()["interactions"] < 6_000
        importing.join()
        assert beside > 5
        assert one.counts()["interactions"] >= 6_000 + beside
