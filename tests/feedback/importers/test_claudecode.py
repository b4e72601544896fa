import json
from pathlib import Path

import pytest

from strop.errors import UsageError
from strop.feedback import Ledger, jsonlines
from strop.feedback.cursors import Cursors
from strop.feedback.export import exported
from strop.feedback.importers import base, claudecode
from strop.feedback.importers.claudecode import ClaudeCode
from strop.feedback.verify import problems

CLAUDE = Path(__file__).parent / "claudecode"
(TRANSCRIPT,) = CLAUDE.rglob("*.jsonl")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def write(tmp_path):
    """Write a transcript from short records: ("user", "u1", None, text) or ("assistant", "a1", "u1", text, {...})."""
    path = tmp_path / "s.jsonl"

    def write_records(*records, end="\n"):
        lines = [record if isinstance(record, str) else json.dumps(_record(*record)) for record in records]
        path.write_text("\n".join(lines) + end, encoding="utf-8")
        return path

    return write_records


def _record(kind, uuid, parent, content="", more=None, **message):
    said = {"role": kind, "content": content, **message}
    if kind == "assistant":
        said = {"id": f"msg_{uuid}", "model": "m", "stop_reason": "end_turn", **said}
    head = {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "timestamp": "2026-07-01T10:00:00Z"}
    return {**head, "message": said, **(more or {})}


def turns(path):
    return [turn for batch in ClaudeCode().read(path, {}) for turn in batch.turns]


def skipped(path):
    (batch,) = ClaudeCode().read(path, {})
    return dict(batch.skipped)


def test_a_turn_is_what_was_asked_and_the_last_word_of_the_answer():
    first, second, third = turns(CLAUDE)
    assert first.interaction.prompt == "Why does the checkout test fail?"
    assert first.interaction.answer == "The test asks for a price in cents;\n\nthe code gives euros."
    assert [call["name"] for call in first.interaction.tool_calls] == ["Read"]
    assert first.interaction.model == "claude-sonnet-4-20250514"
    assert first.interaction.channel == "claudecode"
    assert first.next_message == "No, that's wrong. It asks for euros."
    assert first.next_time is not None
    assert first.next_time > first.interaction.time
    assert second.next_message is None, "a slash command came in between"
    assert [(one.role, one.content) for one in third.interaction.messages[-3:]] == [
        ("user", "Rename the fixture."),
        ("assistant", "I will rename it in"),
        ("user", "To `euro_price`, please."),
    ]
    assert [one.interaction.turn for one in (first, second, third)] == [0, 1, 3]
    assert {one.interaction.session for one in (first, second, third)} == {TRANSCRIPT.stem}


def test_what_was_interrupted_or_is_no_question_is_counted():
    assert skipped(TRANSCRIPT) == {"the answer was interrupted": 1, claudecode._PROGRAM: 2}


def test_tools_of_earlier_turns_stay_visible_and_what_they_gave_does_not(ledger):
    base.run(ClaudeCode(), ledger, CLAUDE)
    second = turns(CLAUDE)[1].interaction
    assert ("tool", "Read") in [(one.role, one.content) for one in second.messages]
    assert all("def test_checkout" not in line for line in map(json.dumps, exported(ledger)))


def test_a_second_run_stores_nothing_and_reads_nothing(ledger):
    done = base.run(ClaudeCode(), ledger, CLAUDE)
    assert (done.added, done.known) == (3, 0)
    before = list(exported(ledger))
    assert base.run(ClaudeCode(), ledger, CLAUDE) == base.Imported()
    assert list(ClaudeCode().read(CLAUDE, Cursors(ledger, "claudecode"))) == []
    assert list(exported(ledger)) == before


def test_a_file_read_at_every_length_gives_what_it_gives_at_once(tmp_path, ledger):
    path = tmp_path / "s.jsonl"
    data = TRANSCRIPT.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    counted = dict.fromkeys(skipped(TRANSCRIPT), 0)
    for end in sorted({*ends, *(end - 40 for end in ends)}):
        path.write_bytes(data[:end])
        for reason, count in base.run(ClaudeCode(), ledger, path).skipped.items():
            counted[reason] += count
    with Ledger.open(tmp_path / "once.db") as once:
        base.run(ClaudeCode(), once, TRANSCRIPT)
        assert list(exported(ledger)) == list(exported(once))
    assert counted == skipped(TRANSCRIPT)


def test_the_last_answer_gets_its_reaction_when_the_next_message_comes(ledger, write):
    records = [("user", "u1", None, "What is LoRA?"), ("assistant", "a1", "u1", "A radio protocol.")]
    done = base.run(ClaudeCode(), ledger, write(*records))
    assert (done.added, done.signals) == (1, 0)
    records.append(("user", "u2", "a1", "no, that's wrong"))
    done = base.run(ClaudeCode(), ledger, write(*records))
    assert (done.added, done.signals) == (1, 1)
    ((_, (signal,)),) = ledger.iterate(with_signals=True)
    assert (signal.kind, signal.text, signal.trust) == ("complaint", "no, that's wrong", "owner")
    assert base.run(ClaudeCode(), ledger, write(*records)).signals == 0


def test_an_answer_without_an_end_waits(write):
    records = [("user", "u1", None, "p"), ("assistant", "a1", "u1", "a")]
    open_end = _record(*records[1], stop_reason=None)
    assert turns(write(records[0], json.dumps(open_end))) == []
    assert len(turns(write(records[0], json.dumps(open_end), ("user", "u2", "a1", "next")))) == 1


def test_a_file_that_was_replaced_is_read_from_the_start(ledger, write):
    base.run(ClaudeCode(), ledger, write(*[("user", f"u{n}", None, f"question {n}") for n in range(9)]))
    done = base.run(ClaudeCode(), ledger, write(("user", "x", None, "p"), ("assistant", "a", "x", "a")))
    assert done.added == 1


def test_a_damaged_cursor_is_the_start():
    (batch,) = ClaudeCode().read(TRANSCRIPT, {str(TRANSCRIPT.resolve()): '{"size": "?"}'})
    assert len(batch.turns) == 3


def test_a_rewound_conversation_keeps_its_branches_apart(write):
    path = write(
        ("user", "u1", None, "p1"),
        ("assistant", "a1", "u1", "a1"),
        ("user", "u2", "a1", "p2"),
        ("assistant", "a2", "u2", "a2"),
        ("user", "u3", "a1", "p2, said better"),
        ("assistant", "a3", "u3", "a3"),
    )
    first, second, third = turns(path)
    assert first.next_message == "p2"
    assert second.next_message is None
    assert [one.content for one in third.interaction.messages] == ["p1", "a1", "p2, said better"]


def test_a_fork_brings_only_what_is_new(tmp_path, ledger, write):
    records = [("user", "u1", None, "p1"), ("assistant", "a1", "u1", "a1")]
    base.run(ClaudeCode(), ledger, write(*records))
    copied = [
        {**_record(*one), "sessionId": "fork", "forkedFrom": {"sessionId": "s", "messageUuid": one[1]}}
        for one in records
    ]
    fork = tmp_path / "fork.jsonl"
    new = [_record("user", "u2", "a1", "p2"), _record("assistant", "a2", "u2", "a2")]
    fork.write_text("".join(json.dumps({**one, "sessionId": one.get("sessionId")}) + "\n" for one in copied + new))
    done = base.run(ClaudeCode(), ledger, fork)
    assert (done.added, done.known) == (1, 1)


def test_after_a_compaction_the_earlier_turns_are_gone(write):
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "b", "parentUuid": None, "sessionId": "s"}
    path = write(
        ("user", "u1", None, "p1"),
        ("assistant", "a1", "u1", "a1"),
        json.dumps({**boundary, "logicalParentUuid": "a1"}),
        ("user", "c1", "b", "This session is being continued from ...", {"isCompactSummary": True}),
        ("user", "u2", "c1", "p2"),
        ("assistant", "a2", "u2", "a2"),
    )
    first, second = turns(path)
    assert first.next_message is None
    assert [one.content for one in second.interaction.messages] == ["p2"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([("assistant", "a", "u", "API Error: 529", {"isApiErrorMessage": True})], "the answer failed"),
        (
            [("assistant", "a", "u", "Fine."), _record("assistant", "b", "a", "API Error: 5", model="<synthetic>")],
            "the answer failed",
        ),
        ([_record("assistant", "a", "u", "half", stop_reason="max_tokens")], "the answer was cut off"),
        ([("assistant", "a", "u", [{"type": "tool_use", "id": "t", "name": "Bash"}])], "there is no final answer"),
        ([], "there is no final answer"),
        (
            [{"type": "attachment", "uuid": "q", "parentUuid": "u", "attachment": {"type": "queued_command"}}],
            "the answer was steered while it was given",
        ),
        ([("user", "i", "u", "[Request interrupted by user for tool use]")], "the answer was interrupted"),
        ([("user", "i", "u", "stopped", {"interruptedMessageId": "msg_a"})], "the answer was interrupted"),
    ],
)
def test_what_is_no_whole_answer_is_left_out(write, answer, reason):
    records = [json.dumps(one) if isinstance(one, dict) else one for one in answer]
    path = write(("user", "u", None, "p"), *records, ("user", "n", "u", "next"))
    assert turns(path) == []
    assert skipped(path) == {reason: 1}


def test_an_answer_that_nobody_gave_does_not_replace_the_last_one(write):
    resumed = _record("assistant", "b", "a", "No response requested.", model="<synthetic>", stop_reason="stop_sequence")
    (turn,) = turns(write(("user", "u", None, "p"), ("assistant", "a", "u", "Fine."), json.dumps(resumed)))
    assert turn.interaction.answer == "Fine."


def test_a_question_with_a_picture_is_left_out(write):
    content = [{"type": "image", "source": {}}, {"type": "text", "text": "What is this?"}]
    path = write(("user", "u", None, content), ("assistant", "a", "u", "A razor."), ("user", "n", "a", "next"))
    assert skipped(path) == {"a picture or document is attached": 1}


@pytest.mark.parametrize(
    "more",
    [{"isSidechain": True}, {"isMeta": True}, {"origin": {"kind": "task-notification"}}, {"promptSource": "system"}],
)
def test_what_the_program_wrote_is_nobodys_question(write, more):
    path = write(("user", "u", None, "do it", more), ("assistant", "a", "u", "Done.", more))
    assert turns(path) == []


def test_bad_lines_cost_only_themselves_and_are_counted_once(ledger, write, monkeypatch):
    monkeypatch.setattr(jsonlines, "LIMIT_LINE_BYTES", 200_000)
    bad = ["{", "[" * 50_000, '{"x": "' + "y" * 300_000 + '"}', "[]", '{"uuid": [], "type": {}, "message": 7}']
    nul = ("user", "u0", None, "a\0b")
    half = '{"type": "user", "uuid": "h", "parentUuid": null, "message": {"content": "\\ud83d"}}'
    good = [("user", "u1", "a0", "<|im_start|>p"), ("assistant", "a1", "u1", "a")]
    records = [*bad, nul, ("assistant", "a0", "u0", "a"), half, ("assistant", "ah", "h", "a"), *good]
    done = base.run(ClaudeCode(), ledger, write(*records))
    assert done.added == 1
    assert done.skipped["a line that cannot be read"] == 4
    assert sum(count for reason, count in done.skipped.items() if reason.startswith("refused: ")) == 2
    again = base.run(ClaudeCode(), ledger, write(*records, ("user", "u2", "a1", "next")))
    assert again.skipped == {}
    assert problems(ledger) == ()


def test_a_long_session_keeps_only_the_latest_turns_before_a_question(write):
    records, parent = [], None
    for number in range(60):
        records += [("user", f"u{number}", parent, f"{number}" + "p" * 500)]
        records += [("assistant", f"a{number}", f"u{number}", "a" * 500)]
        parent = f"a{number}"
    last = turns(write(*records))[-1].interaction
    assert sum(len(one.content) for one in last.messages[:-1]) <= claudecode.LIMIT_CONTEXT_BYTES
    assert last.messages[-3].content.startswith("58")
    assert last.messages[0].role == "user"


@pytest.mark.parametrize("part", [".", "projects", "projects/-home-ann-shop"])
def test_every_folder_on_the_way_will_do(part):
    path = CLAUDE / part
    assert ClaudeCode().finds(path)
    assert len(turns(path)) == 3


def test_subagents_are_not_read_and_one_broken_file_does_not_cost_the_others(tmp_path, ledger):
    project = tmp_path / "p"
    (project / "s" / "subagents").mkdir(parents=True)
    for name in ("agent-1.jsonl", "s/subagents/agent-2.jsonl"):
        (project / name).write_bytes(TRANSCRIPT.read_bytes())
    assert not ClaudeCode().finds(project)
    (project / "s.jsonl").write_bytes(TRANSCRIPT.read_bytes())
    (project / "folder.jsonl").mkdir()
    done = base.run(ClaudeCode(), ledger, project)
    assert done.added == 3
    assert done.skipped["a file that cannot be read"] == 1


def test_a_path_without_transcripts_is_a_usage_error(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        assert not ClaudeCode().finds(path)
        with pytest.raises(UsageError):
            list(ClaudeCode().read(path, {}))


def test_other_jsonl_is_not_taken_for_a_transcript(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"type": "session", "id": "1"}\n{"type": "message", "message": {"role": "user"}}\n')
    assert not ClaudeCode().finds(path)
