"""`state.db` as the versions use it: its tables, and one transaction on it that is on disk when it ends."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from strop.errors import DeployError
from strop.files import private_dir

# Below this release a WAL reset can corrupt the file when two connections write at once.
_SAFE_WAL = (3, 51, 3)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
  number INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE, state TEXT NOT NULL, gguf TEXT NOT NULL, sha256 TEXT NOT NULL,
  folder TEXT NOT NULL, base_ref TEXT NOT NULL, adapter_sha TEXT, quant TEXT NOT NULL, created TEXT NOT NULL,
  released_over INTEGER REFERENCES versions(number)
);
CREATE TABLE IF NOT EXISTS version_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL REFERENCES versions(number),
  from_state TEXT, to_state TEXT NOT NULL, evidence TEXT NOT NULL, time TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS live (
  id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL REFERENCES versions(number),
  previous INTEGER REFERENCES versions(number)
);
CREATE TABLE IF NOT EXISTS intents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, from_number INTEGER REFERENCES versions(number),
  to_number INTEGER NOT NULL REFERENCES versions(number), evidence TEXT NOT NULL, state TEXT NOT NULL,
  started TEXT NOT NULL, ended TEXT, reason TEXT
);
"""


@contextlib.contextmanager
def transaction(state_db: Path) -> Iterator[sqlite3.Connection]:
    """One write transaction: committed and on disk when the block ends, undone when it raises. Makes the file.

    Raises DeployError where the database cannot be used.
    """
    try:
        with contextlib.closing(_connect(state_db)) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise DeployError(f"{state_db} cannot be used: {error}", hint="strop doctor") from error


def _connect(state_db: Path) -> sqlite3.Connection:
    private_dir(state_db.parent)
    # SQLite would make the file readable for others. Only a new file may be opened and closed here: closing one
    # that SQLite holds open elsewhere in this process would drop SQLite's locks on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(state_db, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = sqlite3.connect(state_db, timeout=30.0, isolation_level=None)
    try:
        wal = sqlite3.sqlite_version_info >= _SAFE_WAL
        db.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
        db.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
        db.execute("PRAGMA foreign_keys = ON")
        for statement in _SCHEMA.split(";")[:-1]:
            db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db
