"""Where OpenClaw keeps its sessions: JSONL files up to 2026.7, one SQLite database per agent from 2026.8 on.

Both are only read, and nothing is written beside them: a database that nobody uses is opened as unchanging, one in use
through the `-wal` and `-shm` files that its writer keeps, and one that was left behind with a `-wal` is read as a copy.
What is read of a database is one snapshot. Tables: docs/reference/database-schemas of OpenClaw 2026.9.6, schema 23.
"""

import contextlib
import importlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import BadRecord, UsageError
from strop.feedback import jsonlines
from strop.feedback.importers.openclaw_tree import Record
from strop.feedback.importers.reading import head, unreadable

# The newest agent schema that this reader was tried on.
AGENT_SCHEMA = 23
DATABASE = "openclaw-agent.sqlite"
# How long a database that somebody else holds locked is waited for.
_BUSY_S = 5.0
# OpenClaw compresses events of up to this length.
_LIMIT_EVENT_BYTES = 4 << 20
_NAMES = ("sessions/*.jsonl*", f"agent/{DATABASE}")
_BELOW = ("*.jsonl*", DATABASE, *_NAMES, *(f"agents/*/{name}" for name in _NAMES))
_EVENTS = "SELECT * FROM transcript_events WHERE session_id = ? ORDER BY seq"
_STATES = """SELECT session_id, count(*), max(seq), max(created_at) FROM transcript_events
    GROUP BY session_id ORDER BY min(created_at), session_id"""
# Rewinding copies a session whole, record ids and all: the one that was copied is over.
_COPIED = """WITH ends AS MATERIALIZED
    (SELECT session_id, event_id, max(seq) AS seq FROM transcript_event_identities GROUP BY session_id)
    SELECT one.session_id FROM ends one JOIN {windows} mine ON mine.session_id = one.session_id
    JOIN {windows} other ON other.session_key = mine.session_key AND other.session_id <> mine.session_id
    JOIN ends further ON further.session_id = other.session_id
    JOIN transcript_event_identities again ON again.session_id = other.session_id AND again.event_id = one.event_id
    WHERE again.seq < further.seq"""


class Compressed(Exception):
    """A session that holds compressed records where nothing can open them."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session as it lies in a store. `state` changes whenever it does. `records` reads it, a broken one as None."""

    place: str
    key: str
    state: str
    records: Callable[[], list[Record | None]]


def stores(path: Path) -> list[Path]:
    """The session files and databases at `path`: a state folder, an agent's, one of sessions, or one file.

    Sidecars and what OpenClaw marked as deleted are left out. Raises UsageError where the path cannot be read.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UsageError(f"{path} does not exist", hint="check the path")
        found = {file for pattern in _BELOW for file in path.glob(pattern) if file.is_file()}
    except OSError as error:
        raise unreadable(path, error) from error
    return sorted(file for file in found if file.name == DATABASE or _is_session_name(file.name))


def is_database(file: Path) -> bool:
    """Whether a file is an SQLite database, by its first bytes."""
    return head(file, 16) == b"SQLite format 3\0"


def is_transcript(file: Path) -> bool:
    """Whether a file begins with the header of a session."""
    try:
        first = next(jsonlines.records(file), (0, {}))[1]
    except UsageError:
        return False
    return isinstance(first, dict) and first.get("type") == "session" and isinstance(first.get("id"), str)


def file_session(file: Path) -> Session:
    """The session of one JSONL file; its key stands in `sessions.json` beside it as long as the session is its key's.

    Raises UsageError where the file cannot be read.
    """
    try:
        stat = file.stat()
    except OSError as error:
        raise unreadable(file, error) from error
    place = str(file.resolve())
    return Session(place, _key_of(file), f"{stat.st_size} {stat.st_mtime_ns}", lambda: _file_records(file))


class Database:
    """One agent's database, open for reading. Raises sqlite3.Error where SQLite cannot."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self.schema = int(connection.execute("PRAGMA user_version").fetchone()[0])

    @property
    def has_events(self) -> bool:
        """Whether the tables are such as this reader knows."""
        return {"session_id", "seq", "event_json", "created_at"} <= self._columns("transcript_events")

    def sessions(self) -> list[Session]:
        """All sessions that hold records, the oldest first, but for those that go on in a copy."""
        windows = next((name for name in ("session_windows", "sessions") if self._has_keys(name)), None)
        keys: dict[str, str] = {}
        copied: set[str] = set()
        if windows is not None:
            keys = dict(self._connection.execute(f"SELECT session_id, session_key FROM {windows}"))  # noqa: S608
            if {"session_id", "event_id", "seq"} <= self._columns("transcript_event_identities"):
                copied = {str(row[0]) for row in self._connection.execute(_COPIED.format(windows=windows))}
        found = []
        for session_id, *state in self._connection.execute(_STATES).fetchall():
            if session_id not in copied:
                found.append(self._session(str(session_id), str(keys.get(session_id) or ""), state))
        return found

    def archived(self) -> int:
        """How many sessions were moved to cold storage, which is not read."""
        if not self._columns("session_transcript_cold_archives"):
            return 0
        return int(self._connection.execute("SELECT count(*) FROM session_transcript_cold_archives").fetchone()[0])

    def _session(self, session_id: str, key: str, state: list[Any]) -> Session:
        place = f"{self._path.resolve()}#{session_id}"
        return Session(place, key, " ".join(map(str, state)), lambda: self._records(session_id))

    def _records(self, session_id: str) -> list[Record | None]:
        cursor = self._connection.execute(_EVENTS, (session_id,))
        cursor.row_factory = sqlite3.Row
        return [_event(row) for row in cursor]

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}

    def _has_keys(self, table: str) -> bool:
        return {"session_id", "session_key"} <= self._columns(table)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Database]:
    """A snapshot of the database. Raises sqlite3.Error where SQLite cannot read it, OSError where the system cannot."""
    with contextlib.ExitStack() as stack:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        wal, shm = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        if not wal.exists():
            # Opening it the usual way would make a -wal and a -shm; without a write-ahead log there is no such harm.
            uri += "&immutable=1" if head(path, 20)[18:] == b"\x02\x02" else ""
        elif not shm.exists():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strop-")))
            for file in (path, wal):
                shutil.copyfile(file, folder / file.name)
            uri = f"{(folder / path.name).resolve().as_uri()}?mode=ro"
        connection = stack.enter_context(
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None))
        )
        connection.text_factory = _text
        connection.execute("BEGIN")
        yield Database(path, connection)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _event(row: sqlite3.Row) -> Record | None:
    """The record of one row; None for one that cannot be read. Raises Compressed."""
    text = row["event_json"]
    packed = row["event_zstd"] if "event_zstd" in row.keys() else None  # noqa: SIM118
    try:
        return jsonlines.parse(str(text).encode() if text is not None else _unpacked(packed))
    except BadRecord:
        return None


def _unpacked(packed: object) -> bytes:
    """What a Zstandard frame of at most 4 MiB holds; nothing where it is damaged. Raises Compressed."""
    zstd = _zstd()
    if zstd is None:
        raise Compressed
    if not isinstance(packed, bytes):
        return b""
    try:
        unpacker = zstd.ZstdDecompressor()
        data = bytes(unpacker.decompress(packed, max_length=_LIMIT_EVENT_BYTES))
    except zstd.ZstdError:
        return b""
    return data if unpacker.eof else b""


def _zstd() -> Any:
    """Python 3.14's own module, or its backport; None where there is neither."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


def _file_records(file: Path) -> list[Record | None]:
    return [record if isinstance(record, dict) else None for _, record in jsonlines.records(file)]


def _is_session_name(name: str) -> bool:
    """`<id>.jsonl`, or `<id>.jsonl.reset.<time>`, which is what `/new` makes of it."""
    ended = name.endswith(".jsonl") or ".jsonl.reset." in name
    return ended and ".trajectory" not in name and ".checkpoint." not in name


def _key_of(file: Path) -> str:
    """The key under which `sessions.json` names this file; "" where it does not, as for earlier sessions of a key."""
    try:
        entries = json.loads((file.parent / "sessions.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict):
            named = Path(str(entry.get("sessionFile") or "")).name
            if file.name in (named, f"{entry.get('sessionId')}.jsonl"):
                return str(key)
    return ""
