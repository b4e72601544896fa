"""The ledger: every interaction and every reaction to it, in one SQLite file that is only ever added to.

Covered: a row whose id was returned is on disk and survives `kill -9` and a power cut; two processes or threads may
write at once; storing the same thing twice stores it once.
Not covered: network file systems, and a copy of the file taken while it is in use.

SQLite below 3.51.3 can damage a write-ahead log when two connections write and checkpoint at once, so there the
ledger uses a rollback journal with synchronous=EXTRA; from 3.51.3 on a write-ahead log with synchronous=FULL.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from strop.errors import BadRecord, LedgerError, Locked, UnknownInteraction
from strop.feedback.migrations import BUSY_TIMEOUT_MS, migrate, needs_migration
from strop.feedback.records import KINDS, Interaction, Message, Signal
from strop.files import canonical_json, private_dir, sync_dir

_WAL_IS_SOUND = sqlite3.sqlite_version_info >= (3, 51, 3)
JOURNAL_MODE = "wal" if _WAL_IS_SOUND else "delete"
# As SQLite counts them: 2 is FULL, 3 is EXTRA (also syncs the folder after the journal is removed).
SYNCHRONOUS = 2 if _WAL_IS_SOUND else 3

_BATCH_ROWS = 100
_ADD_INTERACTION = """INSERT INTO interactions
    (id, messages, answer, model, version, domain, channel, user, session, turn, tool_calls, time)
    VALUES (:id, :messages, :answer, :model, :version, :domain, :channel, :user, :session, :turn, :tool_calls, :time)
    ON CONFLICT DO NOTHING"""
_ADD_SIGNAL = """INSERT INTO signals
    (id, interaction_id, kind, value, text, user, source, source_key, trust, time)
    VALUES (:id, :interaction_id, :kind, :value, :text, :user, :source, :source_key, :trust, :time)
    ON CONFLICT DO NOTHING"""
_ADD_SPLIT = """INSERT INTO split (interaction_id, cluster, side, time)
    VALUES (:interaction_id, :cluster, :side, :time) ON CONFLICT DO NOTHING"""
_OLDEST_FIRST = """SELECT * FROM interactions WHERE seq > ?
    AND (? OR EXISTS (SELECT 1 FROM signals WHERE interaction_id = interactions.id)) ORDER BY seq LIMIT ?"""
_NEWEST_FIRST = """SELECT * FROM interactions WHERE seq < ?
    AND (? OR EXISTS (SELECT 1 FROM signals WHERE interaction_id = interactions.id)) ORDER BY seq DESC LIMIT ?"""
_SIGNALS_BETWEEN = """SELECT signals.* FROM interactions JOIN signals ON signals.interaction_id = interactions.id
    WHERE interactions.seq BETWEEN ? AND ? ORDER BY signals.seq"""
_ALL_INTERACTIONS = "SELECT * FROM interactions WHERE seq > ? ORDER BY seq LIMIT ?"
_ALL_SIGNALS = "SELECT * FROM signals WHERE seq > ? ORDER BY seq LIMIT ?"


class Ledger:
    """One open ledger; `Ledger.open` makes one. Threads may share it; a forked child gets its own connection.

    Raises LedgerError where the file cannot be used, Locked where another process holds it for half a minute.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._inherited: list[sqlite3.Connection] = []

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the ledger at `path`, making it (mode 0600) or bringing it up to date where needed."""
        return cls(Path(path), _connect(Path(path)))

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything added inside is stored together when the block ends, or not at all when it raises."""
        with self._use() as connection:
            if connection.in_transaction:
                yield
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def add_interaction(self, interaction: Interaction) -> str:
        """Store an interaction and return its id, which is on disk then. The same one twice is one row."""
        return self.put_interaction(interaction)[0]

    def add_signal(self, signal: Signal) -> str:
        """Store a reaction and return its id. The same (source, source_key) again returns the first one's id.

        Raises UnknownInteraction when the ledger does not hold the interaction.
        """
        return self.put_signal(signal)[0]

    def put_interaction(self, interaction: Interaction) -> tuple[str, bool]:
        """Like `add_interaction`; also says whether the row is new."""
        stored = interaction.as_dict()
        stored["messages"] = canonical_json(stored["messages"])
        stored["tool_calls"] = canonical_json(stored["tool_calls"])
        row = {"id": interaction.id, **stored}
        with self.transaction():
            return row["id"], self._insert(_ADD_INTERACTION, row)

    def put_signal(self, signal: Signal) -> tuple[str, bool]:
        """Like `add_signal`; also says whether the row is new."""
        key = signal.source_key or None
        row = {"id": signal.id, "interaction_id": signal.interaction_id, **signal.as_dict(), "source_key": key}
        with self.transaction():
            found = self._query(
                "SELECT id FROM signals WHERE (source = ? AND source_key = ?) OR id = ?",
                (signal.source, key, row["id"]),
            )
            if found:
                return str(found[0]["id"]), False
            if not self._query("SELECT 1 FROM interactions WHERE id = ?", (signal.interaction_id,)):
                raise UnknownInteraction(
                    f"the ledger holds no interaction {signal.interaction_id!r}",
                    hint="strop feedback list --json shows the ids; record the answer before a reaction to it",
                )
            return row["id"], self._insert(_ADD_SIGNAL, row)

    def _insert(self, statement: str, row: dict[str, Any]) -> bool:
        with self._use() as connection:
            return connection.execute(statement, row).rowcount == 1

    # Reading

    def interaction(self, interaction_id: str) -> Interaction:
        """The interaction with this id. Raises UnknownInteraction."""
        rows = self._query("SELECT * FROM interactions WHERE id = ?", (interaction_id,))
        if not rows:
            raise UnknownInteraction(
                f"the ledger holds no interaction {interaction_id!r}", hint="strop feedback list --json shows the ids"
            )
        return _interaction(rows[0])

    def signals(self, interaction_id: str) -> tuple[Signal, ...]:
        """The reactions to one interaction, in the order in which they came; none for an unknown id."""
        rows = self._query("SELECT * FROM signals WHERE interaction_id = ? ORDER BY seq", (interaction_id,))
        return tuple(_signal(row) for row in rows)

    def iterate(
        self, *, with_signals: bool = False, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[tuple[Interaction, tuple[Signal, ...]]]:
        """Each interaction with its signals, both in the order in which they came.

        `with_signals` leaves out those that nobody reacted to. Reads a hundred at a time, so that a slow reader
        never keeps a writer waiting.
        """
        statement = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        last, left = (1 << 62) if newest_first else 0, (1 << 62) if limit is None else limit
        while left > 0:
            rows = self._query(statement, (last, not with_signals, min(left, _BATCH_ROWS)))
            if not rows:
                return
            last, left = rows[-1]["seq"], left - len(rows)
            signals: dict[str, list[Signal]] = {}
            for row in self._query(_SIGNALS_BETWEEN, tuple(sorted((rows[0]["seq"], last)))):
                signals.setdefault(row["interaction_id"], []).append(_signal(row))
            for row in rows:
                yield _interaction(row), tuple(signals.get(row["id"], ()))

    def counts(self) -> dict[str, int]:
        """How many `interactions`, and how many signals of each kind (every kind is named, also at 0)."""
        kinds = {row["kind"]: row["n"] for row in self._query("SELECT kind, count(*) AS n FROM signals GROUP BY kind")}
        interactions = self._query("SELECT count(*) AS n FROM interactions")[0]["n"]
        return {"interactions": interactions, **{kind: kinds.get(kind, 0) for kind in KINDS}}

    def export(self) -> Iterator[dict[str, Any]]:
        """Everything as one object per interaction, its signals inside; `jsonl.import_file` reads it back."""
        for interaction, signals in self.iterate():
            reactions = [{"id": signal.id, **signal.as_dict()} for signal in signals]
            yield {"id": interaction.id, **interaction.as_dict(), "signals": reactions}

    def verify(self) -> tuple[str, ...]:
        """What is wrong with the file, as sentences: pages, references, and rows that no longer match their id."""
        found = [str(row[0]) for row in self._query("PRAGMA integrity_check") if row[0] != "ok"]
        found += [
            f"{row[0]}: row {row[1]} refers to a missing {row[2]}" for row in self._query("PRAGMA foreign_key_check")
        ]
        for statement, made in ((_ALL_INTERACTIONS, _interaction), (_ALL_SIGNALS, _signal)):
            last = 0
            while rows := self._query(statement, (last, _BATCH_ROWS)):
                found += [f"row {row['id']} is not what was stored" for row in rows if not _matches(row, made)]
                last = rows[-1]["seq"]
        return tuple(found)

    # What split.py keeps here

    def split(self) -> dict[str, tuple[str, str]]:
        """The written choice: interaction id -> (cluster, side)."""
        rows = self._query("SELECT interaction_id, cluster, side FROM split")
        return {row["interaction_id"]: (row["cluster"], row["side"]) for row in rows}

    def add_split(self, interaction_id: str, cluster: str, side: str, time: str) -> None:
        """Write down the side of an interaction that has none yet; a choice that stands is left alone."""
        with self.transaction():
            self._insert(_ADD_SPLIT, {"interaction_id": interaction_id, "cluster": cluster, "side": side, "time": time})

    # The connection

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process:
            self._reopen_in_child()
        with self._lock, _explained(self.path):
            if self._connection is None:
                raise LedgerError(f"the ledger {self.path} is closed", hint="open it again with Ledger.open")
            yield self._connection

    def _reopen_in_child(self) -> None:
        """A connection must not be used across a fork. The parent's is kept unused: closing it could drop its locks."""
        if self._connection is not None:
            self._inherited.append(self._connection)
            self._connection = _connect(self.path)
        self._lock, self._process = threading.RLock(), os.getpid()

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        with self._use() as connection:
            return connection.execute(sql, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        _private_file(path)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened: {error.strerror or error}", hint="check that the path is a file you may write"
        ) from error
    with _explained(path):
        return _ready_connection(path)


def _ready_connection(path: Path) -> sqlite3.Connection:
    """A connection with an up-to-date schema and every pragma set and read back."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if needs_migration(connection, path):
            migrate(path)
            needs_migration(connection, path)
        connection.execute("PRAGMA foreign_keys = ON")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != JOURNAL_MODE:
            connection.execute(f"PRAGMA journal_mode = {JOURNAL_MODE}")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        _check_pragmas(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _private_file(path: Path) -> None:
    """Make the file with mode 0600 before SQLite does: its journals take the same mode. Narrow one that is wider."""
    private_dir(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        sync_dir(path.parent)
    except FileExistsError:
        if os.name != "nt" and path.is_file() and path.stat().st_mode & 0o077:
            with contextlib.suppress(PermissionError):
                path.chmod(0o600)


def _check_pragmas(connection: sqlite3.Connection, path: Path) -> None:
    """A pragma that cannot be set is ignored in silence; without these a returned id would promise too much."""
    wanted = {"journal_mode": JOURNAL_MODE, "synchronous": SYNCHRONOUS, "foreign_keys": 1}
    for name, value in wanted.items():
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != value:
            raise LedgerError(
                f"{path}: SQLite keeps {name} at {found!r}, where {value!r} is needed",
                hint="close other programs that have the ledger open, and try again",
            )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says into errors that name the next step."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise Locked(f"another program has held {path} for too long", hint="try again; see strop doctor") from error
        if "not a database" in text or "malformed" in text:
            raise LedgerError(
                f"{path} is not an SQLite database, or is damaged ({text})",
                hint="give the path of a ledger, or put the file back from a copy",
            ) from error
        if "full" in text:
            raise LedgerError(
                f"{path} cannot grow: {text}", hint="free some space; everything stored before is still there"
            ) from error
        hint = "check that the path is a file you may write" if "open" in text or "readonly" in text else "strop doctor"
        raise LedgerError(f"{path}: {text}", hint=hint) from error


def _interaction(row: sqlite3.Row) -> Interaction:
    values = {
        name: row[name] for name in ("answer", "model", "version", "domain", "channel", "user", "session", "turn")
    }
    return Interaction(
        messages=tuple(Message(**message) for message in json.loads(row["messages"])),
        tool_calls=json.loads(row["tool_calls"]),
        time=datetime.fromisoformat(row["time"]),
        **values,
    )


def _signal(row: sqlite3.Row) -> Signal:
    values = {name: row[name] for name in ("interaction_id", "kind", "value", "text", "user", "source", "trust")}
    return Signal(source_key=row["source_key"] or "", time=datetime.fromisoformat(row["time"]), **values)


def _matches(row: sqlite3.Row, made: Any) -> bool:
    try:
        return bool(made(row).id == row["id"])
    except (BadRecord, ValueError, TypeError, KeyError):
        return False
