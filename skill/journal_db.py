"""The journal's part of `state.db`: opening the file, its tables brought up to date, one write transaction at a time.

Other stages keep tables of their own in the same file; each owner's schema version is a row in `schemas`.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strop.errors import StropError
from strop.files import private_dir

SCHEMA_VERSION = 2
# Below it, WAL with two connections can corrupt the database: https://sqlite.org/wal.html#walresetbug
WAL_SAFE = (3, 51, 3)
_BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, trigger TEXT NOT NULL, config_hash TEXT NOT NULL,
    state TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, attempt INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE steps (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs(id), name TEXT NOT NULL, state TEXT NOT NULL,
    input_hash TEXT NOT NULL, output TEXT NOT NULL DEFAULT '', output_hash TEXT NOT NULL DEFAULT '',
    started TEXT NOT NULL, ended TEXT, seconds REAL, reason TEXT NOT NULL DEFAULT '', facts TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX steps_by_input ON steps(name, input_hash, state);
CREATE TABLE tests (
    night INTEGER PRIMARY KEY, alpha REAL NOT NULL, p_value REAL NOT NULL, promoted INTEGER NOT NULL,
    items TEXT NOT NULL, time TEXT NOT NULL
) STRICT;
"""
# What brings a journal of version N to N + 1, by N.
_LATER = {1: "ALTER TABLE tests ADD COLUMN skill_vs_base REAL"}


def connect(state_db: Path) -> sqlite3.Connection:
    """Open or make the database (mode 0600). Raises StropError when it is damaged or newer than this Strop."""
    private_dir(state_db.parent)
    # Only a new file is opened and closed here: closing one that SQLite holds open elsewhere in this process would
    # drop SQLite's locks on it.
    with suppress(FileExistsError):
        os.close(os.open(state_db, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = sqlite3.connect(state_db, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        _set_pragmas(db)
        _ensure_schema(db, state_db)
    except sqlite3.DatabaseError as error:
        db.close()
        raise StropError(f"{state_db} cannot be used: {error}", hint="strop doctor") from error
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def writing(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One write transaction. IMMEDIATE: a deferred one that starts to write late fails instead of waiting.

    Raises StropError naming the file where it cannot be written.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):  # no space, locked for too long, read-only
            raise StropError(f"{path} cannot be written: {error}", hint="strop doctor") from error
        raise


def _ensure_schema(db: sqlite3.Connection, path: Path) -> None:
    if _schema_version(db) < SCHEMA_VERSION:
        with writing(db, path):
            _migrate(db)
    if (found := _schema_version(db)) > SCHEMA_VERSION:
        raise StropError(
            f"{path} was written by a newer Strop (journal schema {found}, this one knows {SCHEMA_VERSION})",
            hint="pip install --upgrade strop",
        )


def _migrate(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS schemas (owner TEXT PRIMARY KEY, version INTEGER) STRICT")
    if _schema_version(db) == 0:  # nobody was faster
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute("INSERT INTO schemas VALUES ('journal', 1)")
    for version in range(_schema_version(db), SCHEMA_VERSION):
        db.execute(_LATER[version])
        db.execute("UPDATE schemas SET version = ? WHERE owner = 'journal'", (version + 1,))


def _schema_version(db: sqlite3.Connection) -> int:
    known = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schemas'").fetchone()
    row = db.execute("SELECT version FROM schemas WHERE owner = 'journal'").fetchone() if known else None
    return int(row["version"]) if row else 0


def _set_pragmas(db: sqlite3.Connection) -> None:
    """Durable on return with either journal; see WAL_SAFE for the choice."""
    wal = sqlite3.sqlite_version_info >= WAL_SAFE
    db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    db.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
    db.execute("PRAGMA foreign_keys = ON")
