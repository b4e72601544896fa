"""Opening the ledger's file: private, brought up to date, and with every pragma that its promise rests on.

SQLite below 3.51.3 can damage a write-ahead log when two connections write and checkpoint at once, so there the
ledger uses a rollback journal with synchronous=EXTRA; from 3.51.3 on a write-ahead log with synchronous=FULL.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from strop.errors import LedgerError, Locked
from strop.feedback.migrations import BUSY_TIMEOUT_MS, migrate, needs_migration
from strop.files import private_dir, sync_dir

_WAL_IS_SOUND = sqlite3.sqlite_version_info >= (3, 51, 3)
JOURNAL_MODE = "wal" if _WAL_IS_SOUND else "delete"
# As SQLite counts them: 2 is FULL, 3 is EXTRA (also syncs the folder after the journal is removed).
SYNCHRONOUS = 2 if _WAL_IS_SOUND else 3
_ASK_AGAIN_S = 0.001


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the ledger at `path`, made or migrated where needed. Raises LedgerError and Locked."""
    try:
        _private_file(path)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened: {error.strerror or error}", hint="check that the path is a file you may write"
        ) from error
    with explained(path):
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


def in_turn(connection: sqlite3.Connection, statement: str) -> None:
    """Run BEGIN IMMEDIATE or COMMIT as soon as no other holds the file, asking every millisecond for half a minute.

    SQLite's own waiting asks ever more seldom, in the end every 100 ms, and so may never meet the short gaps of
    somebody who writes one part after another.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(_ASK_AGAIN_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


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
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says inside the block into errors that name the next step."""
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
