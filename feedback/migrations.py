"""The ledger's schema and how an older one is brought up to date.

The schema's version is SQLite's `user_version`, set in the same transaction as the change. The ledger reads it on
every open and calls `migrate` only where it is behind: sqlite-utils is imported here and nowhere on the hot path.
"""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from strop.errors import LedgerError, Locked

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SCHEMA_VERSION = 1
# "Strp": tells a ledger from any other SQLite file.
APPLICATION_ID = 0x53747270

BUSY_TIMEOUT_MS = 30_000

_FIRST = (
    """CREATE TABLE interactions (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        messages TEXT NOT NULL,
        answer TEXT NOT NULL,
        model TEXT NOT NULL,
        version TEXT NOT NULL,
        domain TEXT NOT NULL,
        channel TEXT NOT NULL,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        turn INTEGER NOT NULL,
        tool_calls TEXT NOT NULL,
        time TEXT NOT NULL
    )""",
    """CREATE TABLE signals (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        interaction_id TEXT NOT NULL REFERENCES interactions (id),
        kind TEXT NOT NULL,
        value REAL NOT NULL CHECK (value BETWEEN -1 AND 1),
        text TEXT,
        user TEXT NOT NULL,
        source TEXT NOT NULL,
        source_key TEXT,
        trust TEXT NOT NULL,
        time TEXT NOT NULL,
        UNIQUE (source, source_key)
    )""",
    "CREATE INDEX signals_by_interaction ON signals (interaction_id)",
    """CREATE TABLE split (
        interaction_id TEXT NOT NULL PRIMARY KEY REFERENCES interactions (id),
        cluster TEXT NOT NULL,
        side TEXT NOT NULL CHECK (side IN ('train', 'gate', 'held')),
        time TEXT NOT NULL
    )""",
    # Append-only is a promise, so the file itself keeps it.
    """CREATE TRIGGER interactions_append_only BEFORE UPDATE ON interactions
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER signals_append_only BEFORE UPDATE ON signals
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
)


# What a migration that was cut short may leave in a file that is otherwise empty.
_MIGRATION_TABLES = {"_sqlite_migrations", "sqlite_sequence"}


def needs_migration(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is behind. Raises LedgerError for a file that is newer or not a ledger at all."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version or owner or tables - _MIGRATION_TABLES:
            raise LedgerError(
                f"{path} is an SQLite database, but not a Strop ledger",
                hint="give the path of a ledger, or of a file that does not exist yet",
            )
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer Strop (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade this Strop: pip install --upgrade strop",
        )
    return bool(version < SCHEMA_VERSION)


def migrate(path: Path) -> None:
    """Bring the ledger at `path` to SCHEMA_VERSION; one process at a time, each step whole or not at all.

    Safe to call again and from many processes at once. Raises Locked when another process holds the lock for a minute.
    """
    from filelock import FileLock, Timeout
    from sqlite_utils import Database

    try:
        with FileLock(path.with_name(path.name + ".lock"), timeout=60, mode=0o600):
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
            try:
                # sqlite-utils begins its transactions deferred; the outer one takes the write lock at once.
                connection.execute("BEGIN IMMEDIATE")
                _migrations().apply(Database(connection, recursive_triggers=False, execute_plugins=False))
                connection.execute("COMMIT")
            finally:
                connection.close()
    except Timeout:
        raise Locked(f"another process has been changing {path} for a minute", hint="try again later") from None


def _migrations() -> "Migrations":
    from sqlite_utils import Migrations

    steps = Migrations("strop.feedback")

    @steps(name="0001_interactions_signals_split")
    def first(db: "Database") -> None:
        for statement in _FIRST:
            db.conn.execute(statement)

    return steps
