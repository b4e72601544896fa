"""OpenClaw's conversations: JSONL session files up to 2026.7, and the SQLite database of each agent from 2026.8 on.

Give the state folder (~/.openclaw), an agent's folder, a folder of sessions, one .jsonl or one .sqlite. Both stores
hold the same records, so both give the same turns, and a session that OpenClaw moved from one to the other is known.

A turn is what a person asked and the first final answer. `session` is the id of the first question since the last
`/new`, `turn` counts the person's messages from there. Of earlier turns an interaction keeps the latest 40 or 32 KiB,
tool results cut to 2,000 characters. Direct chats are the owner's; in groups OpenClaw says who is (`senderIsOwner`),
all others are "known" where they have a name. Sessions without a key, as rotated files are, count as groups' from the
first text on that says so.

Reactions are lines that OpenClaw writes into what the model reads (`System: Telegram reaction added: 👍 by Ann on msg
42`). They go to the answer that the message id names, or that lies between two questions' ids, else to the latest
before the line; what a removal leaves standing counts. Only early releases kept these lines in the user's message:
2026.7.1 and 2026.9.6, tried here, show them to the model and store them nowhere, so that there is none to be read.

Left out and counted: answers that failed, were interrupted, cut off or silent (NO_REPLY, HEARTBEAT_OK), messages that
OpenClaw wrote itself, commands, questions with pictures or documents, cron, hook, heartbeat and subagent sessions, and
whatever cannot be read. Rewound branches and deleted sessions are not read.
Not covered: cold storage (`sessions/cold`), answers sent with the `message` tool alone, several messages that were
queued into one, and the results of the tools that the answer itself used, which its `tool_calls` only name.
"""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from strop.errors import UsageError
from strop.feedback.importers.base import Batch, Turn
from strop.feedback.importers.openclaw_fields import Key
from strop.feedback.importers.openclaw_records import Asked, Reader, stored
from strop.feedback.importers.openclaw_stores import (
    AGENT_SCHEMA,
    Compressed,
    Session,
    file_session,
    is_database,
    is_transcript,
    opened,
    stores,
)

_COMPRESSED = "a session with compressed records, which need the package backports.zstd"


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a session was read. `state` is the store's; `after` the last question whose next message is known."""

    state: str = ""
    records: int = 0
    after: str = ""

    @classmethod
    def of(cls, text: str) -> "_Cursor":
        """The cursor that was stored; the start where there is none or it says nothing."""
        try:
            state, records, after = (json.loads(text)[name] for name in ("state", "records", "after"))
            return cls(str(state), int(records), str(after))
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return json.dumps({"state": self.state, "records": self.records, "after": self.after})


class OpenClaw:
    """Reads what lies at a path; what its environment says is not asked."""

    name = "openclaw"

    def finds(self, path: Path) -> bool:
        """Whether one of the first files there begins like a session, or is a database with `transcript_events`."""
        with contextlib.suppress(UsageError):
            return any(_has_events(file) if is_database(file) else is_transcript(file) for file in stores(path)[:3])
        return False

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """One batch for each session that changed. A file that cannot be read is counted, unless it is the only one."""
        files = stores(path)
        if not files:
            raise UsageError(
                f"{path} holds no session", hint="give ~/.openclaw, a folder below it, a .jsonl or .sqlite"
            )
        for file in files:
            try:
                yield from _database(file, cursors) if is_database(file) else _file(file, cursors)
            except (UsageError, sqlite3.Error, OSError) as error:
                if file == path:
                    raise _said(file, error) from error
                place = str(file.resolve())
                yield Batch(place, (), cursors.get(place, ""), {f"a file that cannot be read: {error}": 1})


def _file(file: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
    session = file_session(file)
    if is_transcript(file):
        yield from _batch(session, cursors)
    elif cursors.get(session.place) != session.state:
        yield Batch(session.place, (), session.state, {"a file that begins with no session header": 1})


def _database(file: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
    before = _stamp(file)
    with opened(file) as database:
        if not database.has_events:
            yield _noted(file, cursors, {f"a database of schema {database.schema}, whose tables are not known": 1})
            return
        for session in database.sessions():
            batches = list(_batch(session, cursors))
            if _stamp(file) != before:
                raise OSError("it was opened for writing while it was read")
            yield from batches
        notes = {"a session in cold storage": database.archived()}
        if database.schema > AGENT_SCHEMA:
            notes[f"schema {database.schema} is newer than {AGENT_SCHEMA}, read as far as it is known"] = 1
        yield _noted(file, cursors, notes)


def _stamp(file: Path) -> object:
    """What tells that a writer came while the database was read as one that nobody uses; else always the same."""
    if file.with_name(f"{file.name}-wal").exists():
        return None
    return file.stat().st_mtime_ns


def _noted(file: Path, cursors: Mapping[str, str], notes: Mapping[str, int]) -> Batch:
    """What is said of a database as a whole, said again only when it changes."""
    told = {reason: count for reason, count in notes.items() if count}
    place, cursor = str(file.resolve()), json.dumps(told)
    return Batch(place, (), cursor, told if cursors.get(place) != cursor else {})


def _batch(session: Session, cursors: Mapping[str, str]) -> Iterator[Batch]:
    """What is new in a session, nothing where it did not change. It is read whole: a turn needs those before it."""
    cursor, key = _Cursor.of(cursors.get(session.place, "")), Key.of(session.key)
    if cursor.state == session.state:
        return
    if key.machine:
        yield Batch(
            session.place, (), str(_Cursor(session.state)), {} if cursor.state else {f"a {key.machine} session": 1}
        )
        return
    try:
        records = session.records()
    except Compressed:
        yield Batch(session.place, (), str(cursor), {_COMPRESSED: 1})
        return
    reader = Reader(records, key)
    known = [turn.entry.id for turn in reader.turns]
    start = known.index(cursor.after) + 1 if cursor.after in known else 0
    skipped = Counter(reason for position, reason in reader.skipped if position >= cursor.records)
    turns = _new(reader.turns, key, start, cursor.records, skipped)
    settled = [turn.entry.id for turn in reader.turns if turn.settled]
    after = settled[-1] if settled else ""
    yield Batch(session.place, tuple(turns), str(_Cursor(session.state, len(records), after)), skipped)


def _new(turns: list[Asked], key: Key, start: int, records: int, skipped: Counter[str]) -> list[Turn]:
    """The turns from `start` on, and earlier ones with a reaction that came after `records` records.

    The last one may still go on: it is not counted before something follows it.
    """
    found = []
    for number, turn in enumerate(turns):
        if number < start and all(one.position < records for one in turn.reactions):
            continue
        made = stored(turn, key)
        if made is not None:
            found.append(made)
        elif turn.settled and number >= start:
            skipped[turn.left_out] += 1
    return found


def _has_events(file: Path) -> bool:
    try:
        with opened(file) as database:
            return database.has_events
    except (sqlite3.Error, OSError):
        return False


def _said(file: Path, error: Exception) -> UsageError:
    """The error for the person who gave this one file."""
    if isinstance(error, UsageError):
        return error
    return UsageError(f"{file} cannot be read: {error}", hint="is it OpenClaw's database, and is it in use? Try again")
