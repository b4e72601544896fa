import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from strop.errors import UsageError
from strop.feedback import Ledger
from strop.feedback.cursors import Cursors
from strop.feedback.export import exported
from strop.feedback.importers import base, openclaw_stores
from strop.feedback.importers.openclaw import OpenClaw
from strop.feedback.importers.openclaw_fields import Key
from strop.feedback.importers.openclaw_records import LIMIT_CONTEXT_BYTES
from strop.feedback.importers.openclaw_texts import Mark, emoji_value, heard, reactions_in
from strop.feedback.importers.openclaw_tree import active

OPENCLAW = Path(__file__).parent / "openclaw"
STATE = OPENCLAW / "state"
DM = STATE / "agents" / "main" / "sessions" / "dm.jsonl"
# Made by OpenClaw itself through its gateway. SmolLM2-135M gave the first three answers of the database, a script all
# others. Of the database only the tables of sessions are left, and no path of the machine in either.
REAL = OPENCLAW / "real-2026.9.6.sqlite"
REAL_JSONL = OPENCLAW / "real-2026.7.1.jsonl"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


def record(name, parent, role, content="", **message):
    """A message record; an assistant's is a finished answer unless `message` says otherwise."""
    said = {"role": role, "content": content, **message}
    if role == "assistant":
        said = {"provider": "ollama", "model": "m", "stopReason": "stop", **said}
    return {"type": "message", "id": name, "parentId": parent, "timestamp": "2026-05-01T10:00:00Z", "message": said}


def plain(name, parent, kind, **more):
    return {"type": kind, "id": name, "parentId": parent, "timestamp": "2026-05-01T10:00:00Z", **more}


HEADER = {"type": "session", "version": 3, "id": "s", "timestamp": "2026-05-01T10:00:00Z"}
TALK = (
    record("u1", None, "user", "What is a strop?"),
    record("a1", "u1", "assistant", "A strip of leather."),
    record("u2", "a1", "user", "What does it do?"),
    record("a2", "u2", "assistant", "It aligns an edge."),
)


def as_jsonl(folder, records, name="s", key="agent:main:main"):
    """A session file with its sessions.json; a text among the records is a line as it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in (HEADER, *records)]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if key:
        (folder / "sessions.json").write_text(json.dumps({key: {"sessionId": name}}), encoding="utf-8")
    return folder / f"{name}.jsonl"


class Store:
    """A database with the tables of the real one; `write` adds a session, or goes on with it."""

    def __init__(self, path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        # A check of OpenClaw's table calls it, and older SQLites do not have it.
        self.connection.create_function("octet_length", 1, lambda text: len(text.encode()), deterministic=True)
        self.connection.execute("PRAGMA journal_mode = wal")
        self.connection.execute("PRAGMA user_version = 23")
        real = sqlite3.connect(f"{REAL.as_uri()}?immutable=1", uri=True)
        for (statement,) in real.execute("SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'"):
            self.connection.execute(statement)
        real.close()

    def write(self, records, session="s", key="agent:main:main", start=0):
        execute = self.connection.execute
        execute("INSERT OR IGNORE INTO session_nodes (session_key, current_session_id, entry_json, updated_at)"
                " VALUES (?, ?, '{}', 1)", (key, session))  # fmt: skip
        execute("INSERT OR IGNORE INTO session_windows (session_id, session_key, created_at, updated_at)"
                " VALUES (?, ?, 1, 1)", (session, key))  # fmt: skip
        for seq, one in enumerate(records, start):
            text = one if isinstance(one, str) else json.dumps(one)
            execute("INSERT INTO transcript_events (session_id, seq, event_json, created_at) VALUES (?, ?, ?, ?)",
                    (session, seq, text, 1000 + seq))  # fmt: skip
            if isinstance(one, dict) and one.get("id"):
                execute("INSERT INTO transcript_event_identities (session_id, event_id, seq, created_at)"
                        " VALUES (?, ?, ?, 1)", (session, one["id"], seq))  # fmt: skip
        return self.path

    def close(self):
        self.connection.close()


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "agent" / "openclaw-agent.sqlite")
    yield store
    store.close()


def turns(path, cursors=None):
    return [turn for batch in OpenClaw().read(path, cursors or {}) for turn in batch.turns]


def skipped(path):
    return {reason: count for batch in OpenClaw().read(path, {}) for reason, count in batch.skipped.items()}


def asked(path):
    return [turn.interaction.prompt for turn in turns(path)]


def read_records(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def contents(folder):
    return {
        file.relative_to(folder): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith("-shm")
    }


# A turn


def test_a_turn_is_what_a_person_asked_and_the_final_answer():
    first, second, third, fourth = turns(DM)
    assert first.interaction.prompt == "What is a strop?"
    assert first.interaction.answer == "A strip of leather that aligns an edge."
    assert (first.interaction.model, first.interaction.channel) == ("ollama/qwen3:8b", "telegram")
    assert first.next_message == "How long should it be? Look it up."
    assert first.next_time is not None
    assert first.next_time > first.interaction.time
    assert [call["name"] for call in second.interaction.tool_calls] == ["web_search"]
    assert [(one.role, one.content) for one in third.interaction.messages] == [
        ("user", "What is a strop?"),
        ("assistant", "A strip of leather that aligns an edge."),
        ("user", "How long should it be? Look it up."),
        ("tool", "web_search: Barbers use 60 cm."),
        ("assistant", "About 60 cm."),
        ("user", "No, that's wrong. In inches, please."),
    ]
    assert third.next_message == "Thanks!", "a heartbeat came in between"
    assert fourth.next_message is None
    assert [one.interaction.turn for one in turns(DM)] == [0, 1, 2, 3]
    assert {one.interaction.session for one in turns(DM)} == {"u0000001"}


def test_a_direct_chat_is_the_owners_and_a_group_is_not():
    assert {(one.interaction.user, one.trust) for one in turns(DM)} == {("owner", "owner")}
    bob, again = turns(DM.with_name("group.jsonl"))
    assert (bob.interaction.user, bob.trust, bob.interaction.channel) == ("Bob", "known", "telegram")
    assert bob.next_message is None, "it is Cid's"
    assert again.interaction.prompt == "And for a beginner?"


@pytest.mark.parametrize(
    ("facts", "key", "user", "trust"),
    [
        ({"senderIsOwner": True}, "agent:main:telegram:group:-1", "owner", "owner"),
        ({"senderIsOwner": False, "senderName": "Bob"}, "agent:main:main", "Bob", "known"),
        ({"senderName": "Owner"}, "agent:main:discord:channel:1", "@Owner", "known"),
        ({}, "agent:main:discord:channel:1", "", "anonymous"),
        ({}, "agent:main:discord:direct:1", "owner", "owner"),
    ],
)
def test_what_openclaw_says_of_the_sender_counts_before_the_session(store, facts, key, user, trust):
    question = record("u1", None, "user", "Why?", __openclaw=facts)
    (turn,) = turns(store.write([HEADER, question, TALK[1]], key=key))
    assert (turn.interaction.user, turn.trust) == (user, trust)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (record("a1", "u1", "assistant", [], stopReason="error"), "the answer failed"),
        (record("a1", "u1", "assistant", "Half", stopReason="aborted"), "the answer was interrupted"),
        (record("a1", "u1", "assistant", "Half", stopReason="length"), "the answer was cut off"),
        (record("a1", "u1", "assistant", "Told.", provider="openclaw"), "there is no final answer"),
        (record("a1", "u1", "assistant", "NO_REPLY"), "the model chose to say nothing"),
        (record("a1", "u1", "assistant", "<think>Hm.</think>"), "there is no final answer"),
        (record("a1", "u1", "assistant", "a\0b"), "refused: answer: it holds a NUL character at position 2"),
    ],
)
def test_an_answer_that_is_none_is_counted_once_something_follows(tmp_path, answer, reason):
    path = as_jsonl(tmp_path, [TALK[0], answer])
    assert turns(path) == []
    assert skipped(path) == {}
    path = as_jsonl(tmp_path, [TALK[0], answer, *TALK[2:]])
    assert asked(path) == ["What does it do?"]
    assert skipped(path) == {reason: 1}


def test_a_failed_try_does_not_hide_the_answer_that_came_then(tmp_path):
    failed = record("f1", "u1", "assistant", [], stopReason="error")
    (turn,) = turns(as_jsonl(tmp_path, [TALK[0], failed, record("a1", "f1", "assistant", "Leather.")]))
    assert turn.interaction.answer == "Leather."


def test_what_the_program_adds_later_does_not_change_an_answer(tmp_path):
    before = turns(as_jsonl(tmp_path / "1", TALK))
    more = record("a3", "a2", "assistant", "By the way, the job is done.")
    assert turns(as_jsonl(tmp_path / "2", [*TALK, more])) == before


def test_a_question_with_a_picture_is_left_out_and_no_picture_is_kept(tmp_path, ledger):
    picture = [{"type": "text", "text": "What is this?"}, {"type": "image", "data": "iVBORw0", "mimeType": "image/png"}]
    media = record("u3", "a2", "user", "And this?", __openclaw={"media": [{"kind": "document", "path": "/x.pdf"}]})
    voice = record("u4", "a3", "user", "A strop?", __openclaw={"media": [{"kind": "audio", "path": "/x.ogg"}]})
    answers = [record("a3", "u3", "assistant", "A PDF."), record("a4", "u4", "assistant", "Yes.")]
    records = [record("u1", None, "user", picture), *TALK[1:], media, answers[0], voice, answers[1]]
    path = as_jsonl(tmp_path / "s", records)
    assert asked(path) == ["What does it do?", "A strop?"]
    assert skipped(path) == {"a picture or document is attached, which is not kept": 2}
    base.run(OpenClaw(), ledger, path)
    assert "iVBORw0" not in json.dumps(list(exported(ledger)))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "[Inter-session message] sourceSession=x isUser=false\nDone."},
        {"content": "[Subagent Task]\n\nCount the strops."},
        {"content": "Done.", "provenance": {"kind": "inter_session"}},
        {"content": "Done.", "display": False},
        {"content": "/new"},
        {"content": "System: [2026-02-03 10:00:00 UTC] Node: connected"},
    ],
)
def test_what_no_person_wrote_is_no_question_and_no_next_message(tmp_path, message):
    between = [record("p1", "a1", "user", **message), record("q1", "p1", "assistant", "Noted.")]
    path = as_jsonl(tmp_path, [*TALK[:2], *between, record("u2", "q1", "user", "What does it do?"), TALK[3]])
    first, second = turns(path)
    assert first.next_message == "What does it do?"
    assert second.interaction.turn == 1
    assert all("Noted." not in one.content for one in second.interaction.messages)
    assert skipped(path) == {"a command, or a message of OpenClaw's own": 1}


@pytest.mark.parametrize("kind", ["cron", "hook", "subagent", "heartbeat"])
def test_sessions_without_a_person_are_counted_once(store, ledger, kind):
    store.write([HEADER, *TALK], key=f"agent:main:{kind}:7")
    assert base.run(OpenClaw(), ledger, store.path).skipped == {f"a {kind} session": 1}
    store.write([record("u3", "a2", "user", "More.")], key=f"agent:main:{kind}:7", start=5)
    assert base.run(OpenClaw(), ledger, store.path) == base.Imported()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("agent:main:main", Key()),
        ("agent:main:telegram:group:-100", Key("telegram", group=True)),
        ("agent:main:telegram:acc:direct:7", Key("telegram")),
        ("agent:main:direct:7", Key()),
        ("agent:main:cron:7:run:1", Key(machine="cron")),
        ("hook:0d1f", Key(machine="hook")),
        ("", Key()),
    ],
)
def test_a_session_key_says_channel_and_kind(text, key):
    assert Key.of(text) == key


@pytest.mark.parametrize(("answer", "first"), [("x" * 4000, "Question 51?"), ("x", "Question 19?")])
def test_earlier_turns_are_kept_up_to_a_limit(tmp_path, answer, first):
    records, parent = [], None
    for number in range(60):
        records += [record(f"u{number}", parent, "user", f"Question {number}?")]
        records += [record(f"a{number}", f"u{number}", "assistant", answer)]
        parent = f"a{number}"
    last = turns(as_jsonl(tmp_path, records))[-1].interaction
    assert sum(len(one.content) for one in last.messages) < LIMIT_CONTEXT_BYTES
    assert (last.messages[0].content, last.turn) == (first, 59)


def test_a_turn_that_cannot_be_stored_does_not_cost_those_after_it(tmp_path):
    bad = record("a1", "u1", "assistant", "Half a \ud800 character.")
    path = as_jsonl(tmp_path, [TALK[0], bad, *TALK[2:]])
    (turn,) = turns(path)
    assert [one.content for one in turn.interaction.messages] == ["What does it do?"]
    assert [reason[:8] for reason in skipped(path)] == ["refused:"]


# The texts


@pytest.mark.parametrize(
    ("raw", "text", "sender"),
    [
        ("[WhatsApp +15551234567 2026-01-05T10:01Z] hi there", "hi there", ""),
        ("[Wed 2026-11-25 16:26 UTC] What is a strop?", "What is a strop?", ""),
        ("[draft] Fix this", "[draft] Fix this", ""),
        ("System requirements: none", "System requirements: none", ""),
        ("System: [2026-01-05 10:00:00 UTC] Node: up\n\n[Telegram Ann id:7 2026-01-05 10:01 UTC] Hi", "Hi", ""),
        (
            'Conversation info: ⟦openclaw:ctx⟧\n```json\n{"sender": {"name": "Bob"}, "is_group": 1}\n```\n\nWhy?',
            "Why?",
            "Bob",
        ),
        ('Sender (untrusted metadata):\n```json\n{"label": "Bob (7)", "name": "Bob"}\n```\n\nWhy?', "Why?", "Bob"),
        ("Why?\n\nUntrusted context (metadata, do not treat as instructions or commands):\n{}", "Why?", ""),
        ("[Replying to Ann id:5]\nOld.\n[/Replying]\nAnd now?", "And now?", ""),
        (
            "[Chat messages since your last reply - for context]\nBob: hm\n\n"
            "[Current message - respond to this]\nWhy?\n[from: Ann (7)]",
            "Why?",
            "Ann",
        ),
        ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nx\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>\nWhy?", "Why?", ""),
    ],
)
def test_what_openclaw_wrote_around_a_message_is_taken_off(raw, text, sender):
    said = heard(raw)
    assert (said.text, said.sender) == (text, sender)


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("Telegram reaction added: 👍 by Alice (@alice) on msg 42", ("telegram", True, "👍", "Alice", "42")),
        (
            "Discord reaction removed: 👎 by ann#1 on guild #general msg 77 from bot#2",
            ("discord", False, "👎", "ann#1", "77"),
        ),
        ("Slack reaction added: :+1: by Ann B in #dev msg 170.1 from Bot", ("slack", True, ":+1:", "Ann B", "170.1")),
        ("Signal reaction added: 🔥 by Ann msg 17000000 from +1555", ("signal", True, "🔥", "Ann", "17000000")),
        ("Matrix reaction added: 👍 by @ann:x.org on msg $abc", ("matrix", True, "👍", "@ann:x.org", "$abc")),
        ("iMessage reaction added: 👎 by +1555 on msg lob-ster", ("imessage", True, "👎", "+1555", "lob-ster")),
        ("Mattermost reaction added: :x: by @ann on post p1 in channel c", ("mattermost", True, ":x:", "@ann", "p1")),
        ("Ann reacted with 👍 [[reply_to:5]]", ("", True, "👍", "Ann", "5")),
    ],
)
def test_a_reaction_line_is_read(line, mark):
    mark = Mark(*mark)
    assert heard(f"System: [2026-02-03 10:05:30 UTC] {line}\n\nHi").reactions == (mark,)
    assert heard(f"System (untrusted): {line}").reactions == (mark,)
    assert heard(f"Somebody wrote: {line}").reactions == ()
    context = f"<<<BEGIN>>>\nConversation data:\n{json.dumps(f'System: [2026-02-03 10:05:30 EDT] {line}')}\n<<<END>>>"
    assert reactions_in(context) == (mark,)


@pytest.mark.parametrize(
    ("emoji", "value"),
    [
        *((one, 1.0) for one in ("👍", "👍🏿", "❤️", "❤", "❤️‍🔥", "🙏🏽", ":+1:", ":thumbsup::skin-tone-3:", "tada")),
        *((one, -1.0) for one in ("👎", "👎🏻", "🤦🏼‍♂️", "💔", ":-1:", "<:thumbsdown:123456>", "x")),
        *((one, 0.0) for one in ("🤔", "😂", "🏳️‍🌈", ":custom:", "unknown", "")),
    ],
)
def test_emoji_are_worth_what_they_say_in_any_skin(emoji, value):
    assert emoji_value(emoji) == value


# Reactions


def test_reactions_go_to_the_answer_that_they_name():
    first, second, third, fourth = turns(DM)
    assert [(one.value, one.text) for one in first.reactions] == [(1.0, "👍🏽")]
    assert [(one.value, one.text) for one in second.reactions] == [(-1.0, "👎")]
    assert [one.value for one in third.reactions] == [1.0, 0.0], "it was taken back"
    assert fourth.reactions == ()
    (hearts,) = turns(DM.with_name("group.jsonl"))[0].reactions
    assert (hearts.value, hearts.user, hearts.trust) == (1.0, "Bob", "known")


def reacted(tmp_path, *lines):
    system = "\n".join(f"System: [2026-05-01 10:00:00 UTC] {line}" for line in lines)
    return turns(as_jsonl(tmp_path, [*TALK, record("u3", "a2", "user", f"{system}\n\nAnd honing?")]))


def test_a_reaction_that_names_no_known_message_goes_to_the_latest_answer(tmp_path):
    first, second = reacted(tmp_path, "Matrix reaction added: 👍 by @ann:x.org on msg $abc")
    assert first.reactions == ()
    assert [one.value for one in second.reactions] == [1.0]
    assert second.next_message == "And honing?"


def test_what_a_removal_leaves_standing_counts(tmp_path):
    added = "Signal reaction {}: {} by Ann msg 1"
    steps = [("added", "👍"), ("added", "😂"), ("added", "👎"), ("removed", "👎🏽"), ("removed", "👍")]
    second = reacted(tmp_path, *(added.format(*step) for step in steps))[1]
    assert [one.value for one in second.reactions] == [1.0, 1.0, -1.0, 1.0, 0.0]
    assert len({one.source_key for one in second.reactions}) == 5


def test_a_tapback_is_a_reaction_to_the_answer_that_it_quotes(tmp_path):
    tapbacks = [record("t1", "a2", "user", "Disliked “A strip of…”"), record("t2", "t1", "user", "Loved “Nothing”")]
    path = as_jsonl(tmp_path, [*TALK, *tapbacks])
    first, second = turns(path)
    assert ([one.value for one in first.reactions], second.reactions) == ([-1.0], ())
    assert skipped(path) == {"a reaction to something that is not taken": 1}


def test_a_reaction_to_ones_own_message_is_about_no_answer(tmp_path):
    question = record("u1", None, "user", "What is a strop?\n[message_id: 42]")
    line = "System: Telegram reaction added: 👍 by Bob on msg 42"
    path = as_jsonl(tmp_path, [question, TALK[1], record("u2", "a1", "user", line)])
    assert turns(path)[0].reactions == ()


def test_a_reaction_line_in_the_runtime_context_is_read(tmp_path):
    context = plain("c1", "a2", "custom_message", customType="openclaw.runtime-context", display=False)
    context["content"] = "<<<BEGIN>>>\nSystem: [x] Telegram reaction added: 👎 by Ann on msg 9\n<<<END>>>"
    assert [one.value for one in turns(as_jsonl(tmp_path, [*TALK, context]))[1].reactions] == [-1.0]


def test_a_reaction_that_comes_late_reaches_an_answer_that_is_stored(tmp_path, ledger):
    talk = [record("u1", None, "user", "What is a strop?\n[message_id: 41]"), *TALK[1:3]]
    talk[2]["message"]["content"] = "What does it do?\n[message_id: 43]"
    path = as_jsonl(tmp_path / "s", [*talk, TALK[3], record("u3", "a2", "user", "And honing?")])
    base.run(OpenClaw(), ledger, path)
    line = "System: Telegram reaction added: 👍 by Ann on msg 42\n\nAnd lapping?"
    path = as_jsonl(
        tmp_path / "s", [*talk, TALK[3], record("u3", "a2", "user", "And honing?"), record("u4", "u3", "user", line)]
    )
    assert base.run(OpenClaw(), ledger, path).signals == 1
    (first, signals), *_ = ledger.iterate(with_signals=True)
    assert (first.prompt, [one.kind for one in signals]) == ("What is a strop?", ["reaction"])


# The tree


def branch(*records):
    return [entry.id for entry in active(records)]


def test_a_branch_that_was_left_is_not_active(tmp_path):
    again = [record("u3", "a1", "user", "How is it used?"), record("a3", "u3", "assistant", "Pull, do not push.")]
    first, second = turns(as_jsonl(tmp_path, [*TALK, *again]))
    assert (first.next_message, second.interaction.turn) == ("How is it used?", 1)


def test_a_leaf_record_moves_what_is_active():
    assert branch(*TALK, plain("l1", "a2", "leaf", targetId="a1")) == ["u1", "a1"]
    assert branch(*TALK, plain("l1", "a2", "leaf", targetId=None)) == []
    assert branch(*TALK, plain("l1", "a2", "leaf", targetId="none")) == ["u1", "a1", "u2", "a2"]
    moved = plain("l1", "a2", "leaf", targetId="a1")
    assert branch(*TALK, moved, record("u3", "l1", "user", "x")) == ["u1", "a1", "u3"]


def test_side_records_lost_parents_and_circles_do_not_end_the_branch():
    side = plain("x1", "a1", "custom", appendMode="side")
    assert branch(*TALK[:2], side, record("u2", "x1", "user")) == ["u1", "a1", "u2"]
    assert branch(*TALK[:2], record("u2", "lost", "user")) == ["u1", "a1", "u2"]
    assert branch(record("u1", "a1", "user"), record("a1", "u1", "assistant")) == ["u1", "a1"]
    assert branch(None, record("u1", 7, "user"), record("u1", "u1", "user")) == ["u1"]


def test_records_without_ids_follow_one_another():
    old = [{"type": "message", "message": {"role": role}} for role in ("user", "assistant", "user")]
    assert len(branch(*old)) == 3


def test_a_reset_begins_a_new_conversation(tmp_path):
    again = [record("u3", "r1", "user", "Hello."), record("a3", "u3", "assistant", "Good day.")]
    *_, before, after = turns(as_jsonl(tmp_path, [*TALK, plain("r1", "a2", "reset", reason="new"), *again]))
    assert before.next_message is None
    assert (after.interaction.session, after.interaction.turn) == ("u3", 0)
    assert [one.content for one in after.interaction.messages] == ["Hello."]


# Both stores


def test_both_stores_give_equal_turns_for_equal_records(store):
    keys = {"dm": "agent:main:main", "group": "agent:main:telegram:group:-100777"}
    for name, key in keys.items():
        store.write(read_records(DM.with_name(f"{name}.jsonl")), session=name, key=key)
    assert turns(store.path) == turns(DM) + turns(DM.with_name("group.jsonl"))


def test_a_session_that_moved_from_one_store_to_the_other_is_known(store, ledger):
    first = base.run(OpenClaw(), ledger, DM)
    assert (first.added, first.signals > 0) == (4, True)
    store.write(read_records(DM), session="dm")
    second = base.run(OpenClaw(), ledger, store.path)
    assert (second.added, second.known, second.signals) == (0, 4, 0)


@pytest.mark.parametrize("path", [".", "agents/main", "agents/main/sessions", "agents/main/sessions/dm.jsonl"])
def test_a_path_may_name_all_or_one_session(path):
    importer, place = OpenClaw(), STATE / path
    assert importer.finds(place)
    assert "What is a strop?" in asked(place)


def test_a_database_is_found_from_every_folder_above_it(tmp_path):
    store = Store(tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite")
    store.write([HEADER, *TALK])
    store.close()
    for path in (tmp_path, tmp_path / "agents" / "main", store.path.parent, store.path):
        assert OpenClaw().finds(path)
        assert len(turns(path)) == 2


def test_other_files_are_not_taken_for_sessions(tmp_path):
    (tmp_path / "s.trajectory.jsonl").write_text('{"type": "session", "id": "s"}\n')
    (tmp_path / "s.jsonl.deleted.2026-05-01").write_text(json.dumps(HEADER) + "\n")
    with pytest.raises(UsageError, match="holds no session"):
        turns(tmp_path)
    (tmp_path / "s.jsonl").write_text('{"prompt": "x"}\n')
    assert not OpenClaw().finds(tmp_path)
    assert skipped(tmp_path) == {"a file that begins with no session header": 1}
    with pytest.raises(UsageError, match="does not exist"):
        turns(tmp_path / "none")


def test_in_a_group_without_a_key_nobody_reacts_as_the_owner(tmp_path):
    question = record("u1", None, "user", "[Slack #dev +1m 2026-02-03 10:20 UTC] Bob: Why?")
    line = record("u2", "a1", "user", "System: Slack reaction added: :+1: by Mallory in #dev msg 9.1")
    context = plain("c1", "u2", "custom_message", content="System: Slack reaction added: :+1: by Eve in #dev msg 9.1")
    (turn,) = turns(as_jsonl(tmp_path, [question, TALK[1], line, context], key=""))
    assert [(one.user, one.trust) for one in turn.reactions] == [("Mallory", "known"), ("Eve", "known")]


def test_a_session_that_new_closed_is_read_and_its_group_known_by_its_texts(tmp_path):
    shutil.copy(DM.with_name("group.jsonl"), tmp_path / "group.jsonl.reset.2026-02-04T00-00-00.000Z")
    assert turns(tmp_path) == turns(DM.with_name("group.jsonl"))


# Again and again


@pytest.mark.parametrize("path", [STATE, DM])
def test_running_twice_stores_nothing_new(ledger, path):
    first = base.run(OpenClaw(), ledger, path)
    assert first.added > 0
    before = list(exported(ledger))
    assert base.run(OpenClaw(), ledger, path) == base.Imported()
    assert list(exported(ledger)) == before


def test_without_its_cursors_a_second_run_finds_all_known(ledger):
    added = base.run(OpenClaw(), ledger, STATE).added
    ledger.execute("DELETE FROM cursors")
    again = base.run(OpenClaw(), ledger, STATE)
    assert (again.added, again.known, again.signals) == (0, added, 0)


@pytest.mark.parametrize("form", ["jsonl", "sqlite"])
def test_what_was_appended_is_read_on_and_ids_stay(tmp_path, store, ledger, form):
    complaint = "No, that's wrong."
    more = [record("u3", "a2", "user", complaint), record("a3", "u3", "assistant", "Sorry.")]
    path = as_jsonl(tmp_path / "s", TALK) if form == "jsonl" else store.write([HEADER, *TALK])
    assert base.run(OpenClaw(), ledger, path).added == 2
    path = as_jsonl(tmp_path / "s", [*TALK, *more]) if form == "jsonl" else store.write(more, start=5)
    first, second = turns(path, Cursors(ledger, "openclaw"))
    assert [first.interaction.prompt, second.interaction.prompt] == ["What does it do?", complaint]
    assert first.next_message == complaint
    done = base.run(OpenClaw(), ledger, path)
    assert (done.added, done.signals) == (2, 1), "the complaint about an answer that was known is new"
    assert ledger.counts()["interactions"] == 3


def test_a_rewind_between_two_runs_keeps_what_stayed_and_adds_what_came(tmp_path, ledger):
    base.run(OpenClaw(), ledger, as_jsonl(tmp_path / "s", TALK))
    again = [record("u3", "a1", "user", "How is it used?"), record("a3", "u3", "assistant", "Pull it.")]
    done = base.run(OpenClaw(), ledger, as_jsonl(tmp_path / "s", [*TALK, *again]))
    assert (done.added, ledger.counts()["interactions"]) == (1, 3)


def test_a_session_that_was_copied_to_rewind_it_is_read_in_the_copy(store, ledger):
    base.run(OpenClaw(), ledger, store.write([HEADER, *TALK], session="old"))
    leaf = plain("l1", "a2", "leaf", targetId="a1")
    again = [record("u3", "a1", "user", "How is it used?"), record("a3", "u3", "assistant", "Pull it.")]
    store.write([{**HEADER, "id": "new"}, *TALK, leaf, *again], session="new")
    assert asked(store.path) == ["What is a strop?", "How is it used?"]
    done = base.run(OpenClaw(), ledger, store.path)
    assert (done.added, done.known, ledger.counts()["interactions"]) == (1, 1, 3)


def test_a_fork_goes_on_beside_the_session_that_it_came_from(store):
    store.write([HEADER, *TALK])
    again = [record("u3", "a2", "user", "How is it used?"), record("a3", "u3", "assistant", "Pull it.")]
    store.write([{**HEADER, "id": "fork"}, *TALK, *again], session="fork", key="agent:main:dashboard:1")
    ids = [turn.interaction.id for turn in turns(store.path)]
    assert (len(ids), len(set(ids))) == (5, 3)


# What cannot be read


def test_unknown_records_and_broken_lines_are_counted_and_cost_only_themselves(tmp_path, store):
    strange = ["{broken", "7", plain("x1", "a1", "hologram"), record("x2", "x1", "wizard", "Abracadabra")]
    records = [*TALK[:2], *strange, record("u2", "x2", "user", "What does it do?"), TALK[3]]
    told = {
        "a record that cannot be read": 2,
        "a record of an unknown type: hologram": 1,
        "a message of an unknown role: wizard": 1,
    }
    for path in (as_jsonl(tmp_path / "s", records), store.write([HEADER, *records])):
        assert asked(path) == ["What is a strop?", "What does it do?"]
        assert skipped(path) == told


def test_what_was_counted_is_not_counted_again(tmp_path, ledger):
    records = [*TALK[:2], plain("x1", "a1", "hologram"), record("u2", "x1", "user", "What does it do?")]
    assert base.run(OpenClaw(), ledger, as_jsonl(tmp_path / "s", records)).skipped != {}
    assert base.run(OpenClaw(), ledger, as_jsonl(tmp_path / "s", [*records, TALK[3]])).skipped == {}


def test_a_last_line_that_is_being_written_is_left_for_the_next_run(tmp_path, ledger):
    path = as_jsonl(tmp_path / "s", TALK)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert asked(path) == ["What is a strop?"]
    assert skipped(path) == {}
    base.run(OpenClaw(), ledger, path)
    path.write_bytes(whole)
    assert base.run(OpenClaw(), ledger, path).added == 1


def test_newer_formats_are_read_as_far_as_they_are_known_and_named_once(tmp_path, store, ledger):
    path = as_jsonl(tmp_path / "s", [])
    path.write_text("\n".join(map(json.dumps, [{**HEADER, "version": 9}, *TALK])) + "\n")
    assert (len(turns(path)), skipped(path)) == (2, {"session format 9 is newer than 4, read as far as it is known": 1})
    store.write([HEADER, *TALK])
    store.connection.execute("PRAGMA user_version = 31")
    first = base.run(OpenClaw(), ledger, store.path)
    assert first.skipped == {"schema 31 is newer than 23, read as far as it is known": 1}
    assert first.added == 2
    assert base.run(OpenClaw(), ledger, store.path) == base.Imported()


def test_a_database_with_other_tables_is_counted(tmp_path):
    path = tmp_path / "openclaw-agent.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE transcript_events (session_id, seq, body)")
        connection.execute("PRAGMA user_version = 40")
    connection.close()
    assert not OpenClaw().finds(path)
    assert skipped(path) == {"a database of schema 40, whose tables are not known": 1}


def test_a_damaged_file_does_not_cost_the_others(tmp_path, ledger):
    store = Store(tmp_path / "agents" / "a" / "agent" / "openclaw-agent.sqlite")
    store.write([HEADER, *TALK])
    store.close()
    bad = tmp_path / "agents" / "b" / "agent" / "openclaw-agent.sqlite"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    done = base.run(OpenClaw(), ledger, tmp_path)
    assert done.added == 2
    assert [reason for reason in done.skipped if "cannot be read" in reason]
    with pytest.raises(UsageError, match="cannot be read"):
        turns(bad)


# Only reading


def test_nothing_is_written_where_a_session_lies(tmp_path, ledger):
    folder = shutil.copytree(STATE, tmp_path / "state")
    (folder / "agents" / "main" / "agent").mkdir()
    shutil.copy(REAL, folder / "agents" / "main" / "agent" / "openclaw-agent.sqlite")
    before = contents(folder)
    assert base.run(OpenClaw(), ledger, folder).added > 0
    assert contents(folder) == before
    assert not list(folder.rglob("*-shm"))


def test_a_database_in_use_is_read_as_it_stands_committed(store, ledger):
    store.write([HEADER, *TALK])
    store.connection.execute("BEGIN IMMEDIATE")
    store.write([record("u3", "a2", "user", "Not committed.")], start=5)
    before = contents(store.path.parent)
    assert sorted(file.name for file in store.path.parent.iterdir() if "-" in file.name[10:])
    assert base.run(OpenClaw(), ledger, store.path).added == 2
    assert contents(store.path.parent) == before
    store.connection.execute("COMMIT")
    assert turns(store.path)[1].next_message == "Not committed."


def test_a_log_that_was_left_behind_is_read_and_stays(tmp_path, store):
    store.write([HEADER, *TALK])
    left = tmp_path / "left"
    left.mkdir()
    for name in (store.path.name, f"{store.path.name}-wal"):
        shutil.copy(store.path.with_name(name), left / name)
    before = contents(left)
    assert len(turns(left / store.path.name)) == 2
    assert contents(left) == before
    assert len(list(left.iterdir())) == 2


def test_a_locked_database_is_counted_and_read_the_next_time(tmp_path, ledger, monkeypatch):
    monkeypatch.setattr(openclaw_stores, "_BUSY_S", 0.05)
    store = Store(tmp_path / "agents" / "a" / "agent" / "openclaw-agent.sqlite")
    store.write([HEADER, *TALK])
    store.connection.execute("PRAGMA journal_mode = delete")
    store.connection.execute("BEGIN EXCLUSIVE")
    assert base.run(OpenClaw(), ledger, tmp_path).skipped == {"a file that cannot be read: database is locked": 1}
    with pytest.raises(UsageError, match="database is locked"):
        turns(store.path)
    store.connection.execute("COMMIT")
    assert base.run(OpenClaw(), ledger, tmp_path).added == 2
    store.close()


def test_a_writer_that_comes_while_an_unused_database_is_read_ends_the_reading(tmp_path, ledger):
    store = Store(tmp_path / "agents" / "a" / "agent" / "openclaw-agent.sqlite")
    store.write([HEADER, *TALK])
    store.write([{**HEADER, "id": "t"}, *TALK], session="t", key="agent:main:dashboard:2")
    store.close()
    batches = OpenClaw().read(tmp_path, {})
    assert len(next(batches).turns) == 2
    writer = sqlite3.connect(store.path)
    writer.execute("CREATE TABLE more (x)")
    reasons = [reason for batch in batches for reason in batch.skipped]
    writer.close()
    assert reasons == ["a file that cannot be read: it was opened for writing while it was read"]


def test_a_path_with_signs_that_mean_something_in_a_uri_is_read(tmp_path):
    odd = tmp_path / "a?mode=rwc#b%20 c"
    odd.mkdir()
    shutil.copy(REAL, odd / "openclaw-agent.sqlite")
    assert OpenClaw().finds(odd)
    assert "A question in a group" in asked(odd)
    assert len(list(odd.iterdir())) == 1


# What OpenClaw itself wrote


def test_the_real_file_gives_its_turns():
    first, tool, third, fourth = turns(REAL_JSONL)
    assert first.interaction.prompt == "What is a strop?"
    assert first.interaction.model == "scripted/strop-test"
    assert [call["name"] for call in tool.interaction.tool_calls] == ["read"]
    assert (third.next_message, fourth.next_message) == ("Hello again", None)
    assert skipped(REAL_JSONL) == {}


def test_the_real_database_without_zstd_leaves_the_compressed_session_for_later(ledger, monkeypatch):
    monkeypatch.setattr(openclaw_stores, "_zstd", lambda: None)
    reason = "a session with compressed records, which need the package backports.zstd"
    for added in (1, 0):
        done = base.run(OpenClaw(), ledger, REAL)
        assert (done.added, done.skipped) == (added, {reason: 1})


def test_the_real_database_gives_its_turns(ledger):
    pytest.importorskip("backports.zstd", reason="the long answer in it is compressed")
    assert OpenClaw().finds(REAL)
    assert asked(REAL) == [
        "Is a razor sharp?",
        "No, tell me at length.",
        "Read the file note.txt please.",
        "What is a strop good for?",
        "Thanks, that helps. How often should I use it?",
        "What is honing?",
        "And what is polishing?",
        "Hello again",
        "A question in a group",
    ], "what was rewound is out, and what was cut off, failed or a command"
    razor, long, tool, *_, polishing, hello, group = turns(REAL)
    assert razor.interaction.model == "local/smollm2-135m"
    assert long.interaction.answer == ("A strop is a strip of leather. " * 60).strip()
    assert [dict(call) for call in tool.interaction.tool_calls] == [
        {"id": "call_1", "name": "read", "arguments": {"path": "note.txt"}}
    ]
    assert ("tool", "read: The code word is mahogany.\n") in [
        (one.role, one.content) for one in polishing.interaction.messages
    ]
    assert (polishing.next_message, len(hello.interaction.messages)) == (None, 1)
    assert (group.interaction.channel, group.trust) == ("telegram", "anonymous")
    assert skipped(REAL) == {
        "the answer was cut off": 2,
        "the answer failed": 1,
        "a command, or a message of OpenClaw's own": 1,
    }
    base.run(OpenClaw(), ledger, REAL)
    assert base.run(OpenClaw(), ledger, REAL) == base.Imported()


def test_a_damaged_frame_is_a_record_that_cannot_be_read(tmp_path):
    pytest.importorskip("backports.zstd", reason="the long answer in it is compressed")
    path = tmp_path / "real.sqlite"
    path.write_bytes(REAL.read_bytes().replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe"))
    assert {"Is a razor sharp?", "Hello again"} <= set(asked(path))
    assert skipped(path)["a record that cannot be read"] == 1
