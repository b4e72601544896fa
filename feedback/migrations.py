"""The ledger's schema and how an older one is brought up to date.

The schema's version is SQLite's `user_version`, set in the same transaction as the change. The ledger reads it on
every open and calls `migrate` only where it is behind: sqlite-utils is imported here and nowhere on the hot path.
"""

import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from strop.errors import LedgerError, Locked
from strop.feedback.sketch import sketch
from strop.feedback.stored import mark, review_id

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SCHEMA_VERSION = 3
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

_SECOND = (
    # A prompt's exact hash and its MinHash band keys, written with the interaction: one short row each, so that a bulk
    # import pays for one insert and `pairs` reads them in one pass.
    """CREATE TABLE sketches (
        seq INTEGER PRIMARY KEY REFERENCES interactions (seq),
        exact BLOB NOT NULL,
        chars BLOB,
        words BLOB
    )""",
    "CREATE INDEX interactions_by_session ON interactions (session, turn)",
    # Where each importer stopped in each place that it reads.
    """CREATE TABLE cursors (
        source TEXT NOT NULL,
        place TEXT NOT NULL,
        cursor TEXT NOT NULL,
        time TEXT NOT NULL,
        PRIMARY KEY (source, place)
    ) WITHOUT ROWID""",
    # What the owner made of other people's reactions. The latest decision on a signal counts.
    """CREATE TABLE reviews (
        seq INTEGER PRIMARY KEY,
        signal_id TEXT NOT NULL REFERENCES signals (id),
        decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'edit')),
        text TEXT,
        who TEXT NOT NULL,
        time TEXT NOT NULL
    )""",
    "CREATE INDEX reviews_by_signal ON reviews (signal_id)",
    # The side of an interaction and every change of it, with the reason; the latest row counts.
    """CREATE TABLE places (
        seq INTEGER PRIMARY KEY,
        interaction_id TEXT NOT NULL REFERENCES interactions (id),
        cluster TEXT NOT NULL,
        side TEXT NOT NULL CHECK (side IN ('train', 'gate', 'held')),
        reason TEXT NOT NULL,
        time TEXT NOT NULL
    )""",
    "CREATE INDEX places_by_interaction ON places (interaction_id)",
    """INSERT INTO places (interaction_id, cluster, side, reason, time)
        SELECT interaction_id, cluster, side, 'chosen', time FROM split ORDER BY rowid""",
    "DROP TABLE split",
    # In which of the gate's tests an interaction has served.
    """CREATE TABLE gate_uses (
        interaction_id TEXT NOT NULL REFERENCES interactions (id),
        test TEXT NOT NULL,
        time TEXT NOT NULL,
        PRIMARY KEY (interaction_id, test)
    ) WITHOUT ROWID""",
    # Standing data: files that train every night beside the feedback.
    """CREATE TABLE standing_sets (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        domain TEXT NOT NULL,
        rows INTEGER NOT NULL,
        who TEXT NOT NULL,
        time TEXT NOT NULL
    )""",
    """CREATE TABLE standing_rows (
        set_id TEXT NOT NULL REFERENCES standing_sets (id),
        line INTEGER NOT NULL,
        row TEXT NOT NULL,
        PRIMARY KEY (set_id, line)
    ) WITHOUT ROWID""",
    # A keyed hash of what was forgotten, so that a second import does not bring it back.
    "CREATE TABLE tombstones (mark BLOB NOT NULL PRIMARY KEY, time TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE facts (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "INSERT INTO facts VALUES ('tombstone_key', randomblob(32))",
    # Who did what to the ledger as a whole (forgot, added or removed standing data): for `strop audit`.
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        what TEXT NOT NULL,
        who TEXT NOT NULL,
        detail TEXT NOT NULL,
        time TEXT NOT NULL
    )""",
    # Rows leave only through `forget`, which says so in the same transaction.
    """CREATE TRIGGER interactions_kept BEFORE DELETE ON interactions
        WHEN NOT EXISTS (SELECT 1 FROM facts WHERE name = 'forgetting')
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only; strop feedback forget takes rows out'); END""",
    """CREATE TRIGGER signals_kept BEFORE DELETE ON signals
        WHEN NOT EXISTS (SELECT 1 FROM facts WHERE name = 'forgetting')
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only; strop feedback forget takes rows out'); END""",
    """CREATE TRIGGER reviews_append_only BEFORE UPDATE ON reviews
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER reviews_kept BEFORE DELETE ON reviews
        WHEN NOT EXISTS (SELECT 1 FROM facts WHERE name = 'forgetting')
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only; strop feedback forget takes rows out'); END""",
    "PRAGMA user_version = 2",
)

_THIRD = (
    # What an answer's placeholders stand for, in 8 keyed bits each (`scrubbed`).
    """CREATE TABLE placeholders (
        interaction_id TEXT NOT NULL REFERENCES interactions (id),
        placeholder TEXT NOT NULL,
        print INTEGER NOT NULL CHECK (print BETWEEN 0 AND 255),
        PRIMARY KEY (interaction_id, placeholder)
    ) WITHOUT ROWID""",
    # A review's hash, by which it is verified, and known when it is imported again.
    "ALTER TABLE reviews ADD COLUMN id TEXT NOT NULL DEFAULT ''",
    "DROP TRIGGER reviews_append_only",
    "UPDATE reviews SET id = review_id(signal_id, decision, text, who, time)",
    # The same decision twice within a microsecond says nothing more.
    "INSERT INTO facts VALUES ('forgetting', 1)",
    "DELETE FROM reviews WHERE seq NOT IN (SELECT min(seq) FROM reviews GROUP BY id)",
    "DELETE FROM facts WHERE name = 'forgetting'",
    "CREATE UNIQUE INDEX reviews_by_id ON reviews (id)",
    """CREATE TRIGGER reviews_append_only BEFORE UPDATE ON reviews
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    # Paths and sessions are names: what is kept of them is a keyed hash.
    "UPDATE cursors SET place = place_mark(place)",
    "UPDATE events SET detail = json_remove(detail, '$.name') WHERE what = 'data add'",
    "PRAGMA user_version = 3",
)

# What a migration that was cut short may leave in a file that is otherwise empty.
_MIGRATION_TABLES = {"_sqlite_migrations", "sqlite_sequence"}


def needs_migration(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is behind. Raises LedgerError for a file that is newer or not a ledger at all."""
    # One transaction: between two reads another process may make the ledger.
    connection.execute("BEGIN")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = (
            {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if owner != APPLICATION_ID
            else set()
        )
    finally:
        connection.execute("COMMIT")
    if owner != APPLICATION_ID and (version or owner or tables - _MIGRATION_TABLES):
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
                _back_up(connection, path)
                # sqlite-utils begins its transactions deferred; the outer one takes the write lock at once.
                connection.execute("BEGIN IMMEDIATE")
                _migrations().apply(Database(connection, recursive_triggers=False, execute_plugins=False))
                connection.execute("COMMIT")
            finally:
                connection.close()
    except Timeout:
        raise Locked(f"another process has been changing {path} for a minute", hint="try again later") from None


def backup_file(path: Path, version: int) -> Path:
    """Where the copy lies that is made before a ledger of schema `version` is changed."""
    return path.with_name(f"{path.name}.schema{version}.backup")


def backups(path: Path) -> list[Path]:
    """The copies that earlier migrations of this ledger left."""
    return sorted(path.parent.glob(f"{path.name}.schema*.backup"))


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """A whole copy of an older ledger, private, before the first change to it; an empty file needs none."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    copy = backup_file(path, version)
    if not 0 < version < SCHEMA_VERSION or copy.exists():
        return
    fresh = copy.with_name(copy.name + ".new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection.execute("VACUUM INTO ?", (str(fresh),))
    os.replace(fresh, copy)


def _migrations() -> "Migrations":
    from sqlite_utils import Migrations

    steps = Migrations("strop.feedback")

    @steps(name="0001_interactions_signals_split")
    def first(db: "Database") -> None:
        for statement in _FIRST:
            db.conn.execute(statement)

    @steps(name="0002_sketches_cursors_reviews_places_standing_forget")
    def second(db: "Database") -> None:
        for statement in _SECOND:
            db.conn.execute(statement)
        for seq, messages in db.conn.execute("SELECT seq, messages FROM interactions ORDER BY seq").fetchall():
            asked = "\n".join(turn["content"] for turn in json.loads(messages) if turn["role"] == "user")
            db.conn.execute("INSERT INTO sketches VALUES (?, ?, ?, ?)", (seq, *sketch(asked)))

    @steps(name="0003_placeholders_review_ids")
    def third(db: "Database") -> None:
        (key,) = db.conn.execute("SELECT value FROM facts WHERE name = 'tombstone_key'").fetchone()
        db.conn.create_function("review_id", 5, review_id, deterministic=True)
        db.conn.create_function("place_mark", 1, lambda place: mark(key, "place", place).hex(), deterministic=True)
        for statement in _THIRD:
            db.conn.execute(statement)

    return steps
