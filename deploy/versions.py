"""The versions of a home: what was built, what state it is in, which one is live.

One row a version in `state.db`, never deleted; every change of state is an event with its evidence. The states:

    built ──▶ certified ──▶ gated ──▶ live ──▶ stable ──▶ live (again)
      └───────────┴───────────┴──▶ refused        └─────▶ rolled_back ──▶ live (an explicit rollback)

Every one of them but live may become `forgotten`: feedback that it was made of was taken out, and its files with it.

Version 0 is the untouched base: it goes live from `certified`, with nothing to be judged against. A version goes live
only through `strop.deploy.release`, which moves the target's pointer and this row together.

Covered: a crash at any moment (each change is one transaction, on disk when the call returns), several processes, a
home that was moved (paths below the home are stored relative to it). Not covered: a network file system.
"""

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from strop.errors import DeployError, UnknownVersion
from strop.files import canonical_json, private_dir

State = Literal["built", "certified", "gated", "live", "stable", "rolled_back", "refused", "forgotten"]
STATES: tuple[str, ...] = get_args(State)

_NEXT: Mapping[str, frozenset[str]] = {
    "built": frozenset({"certified", "refused", "forgotten"}),
    "certified": frozenset({"gated", "refused", "forgotten"}),
    "gated": frozenset({"live", "refused", "forgotten"}),
    "live": frozenset({"stable", "rolled_back"}),
    "stable": frozenset({"live", "rolled_back", "forgotten"}),
    "rolled_back": frozenset({"live", "forgotten"}),
    "refused": frozenset({"forgotten"}),
    "forgotten": frozenset(),
}

_TAG = re.compile(r"v(?P<number>\d{4,})-(?P<sha>[0-9a-f]{8})")
_NUMBER = re.compile(r"v?(?P<number>\d{1,9})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
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


@dataclass(frozen=True, slots=True)
class Version:
    """One servable model: the GGUF file, its SHA-256 and where it came from.

    `tag` is `v0007-1a2b3c4d`: the number and the first 8 hex digits of the file's SHA-256. `created` is aware UTC.
    """

    number: int
    tag: str
    state: str
    gguf: Path
    sha256: str
    folder: Path
    base_ref: str
    adapter_sha: str | None
    quant: str
    created: datetime


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """One change of state, with what spoke for it. `from_state` is None for the row's beginning."""

    tag: str
    from_state: str | None
    to_state: str
    evidence: dict[str, Any]
    time: datetime


class Versions:
    """The version tables of one `state.db`. Holds no connection open: safe across threads, forks and processes."""

    def __init__(self, state_db: Path) -> None:
        self.state_db = state_db

    def add(
        self,
        *,
        gguf: Path,
        sha256: str,
        folder: Path,
        base_ref: str,
        adapter_sha: str | None,
        quant: str,
        state: str = "built",
        number: int | None = None,
    ) -> Version:
        """Write a new version down under the next number (`number=0`: the untouched base) and return it.

        Adding the same folder and file again returns the row that is there. Raises DeployError for a digest that is
        no SHA-256, a state that a version cannot begin in, or another file under a number that is taken.
        """
        if not _SHA256.fullmatch(sha256):
            raise DeployError(f"not a SHA-256 of 64 lower-case hex digits: {sha256!r}", hint="strop doctor")
        if state not in ("built", "certified") or number not in (None, 0):
            raise DeployError(f"a version cannot begin as {state!r} with number {number}", hint="strop versions")
        with self.transaction() as db:
            known = self._known(db, sha256, folder, number)
            if known is not None:
                return known
            if number is None:
                number = 1 + int(db.execute("SELECT coalesce(max(number), 0) FROM versions").fetchone()[0])
            tag, now = tag_for(number, sha256), _now()
            paths = (self._stored(gguf), sha256, self._stored(folder))
            db.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (number, tag, state, *paths, base_ref, adapter_sha, quant, now),
            )
            _write_event(db, number, None, state, {}, now)
            return self._find(db, tag)

    def get(self, which: str | int) -> Version:
        """The version that `which` names: `7`, `"7"`, `"v7"`, `"v0007"`, a full tag, `"live"` or `"previous"`.

        Raises UnknownVersion where there is none.
        """
        with self.transaction() as db:
            return self._find(db, which)

    def list(self) -> tuple[Version, ...]:
        """All versions, by number."""
        with self.transaction() as db:
            return tuple(self._version(row) for row in db.execute("SELECT * FROM versions ORDER BY number"))

    def live(self) -> Version | None:
        """The version that users get, None before the first release."""
        with self.transaction() as db:
            return self.live_in(db)

    def previous(self) -> Version | None:
        """The version that a plain rollback goes back to, None where there is none."""
        with self.transaction() as db:
            number = _live_row(db)[1]
            return None if number is None else self._find(db, number)

    def events(self, which: str | int | None = None) -> tuple[VersionEvent, ...]:
        """All changes of state, oldest first: of one version, or of all."""
        with self.transaction() as db:
            number = None if which is None else self._find(db, which).number
            rows = db.execute(
                "SELECT tag, from_state, to_state, evidence, time FROM version_events JOIN versions USING (number)"
                " WHERE ?1 IS NULL OR number = ?1 ORDER BY id",
                (number,),
            )
            return tuple(VersionEvent(t, f, to, json.loads(e), datetime.fromisoformat(at)) for t, f, to, e, at in rows)

    def set_state(self, which: str | int, state: str, evidence: Mapping[str, Any] | None = None) -> Version:
        """Move a version along the table of states and write down why; the state it is in already changes nothing.

        A rollback passes over what is `forgotten`. Raises DeployError for a step that the table does not allow, for the
        untouched base as `forgotten`, and for `live`: only a release does that.
        """
        with self.transaction() as db:
            version = self._find(db, which)
            if state == version.state:
                return version
            if state == "live":
                raise DeployError(f"{version.tag} goes live only by a release", hint="strop versions")
            if version.number == _live_row(db)[0] and state == "rolled_back":
                raise DeployError(f"{version.tag} is live; a rollback moves users first", hint="strop rollback")
            if version.number == 0 and state == "forgotten":
                raise DeployError(f"{version.tag} is the untouched base: it was made of nobody's words")
            _step(db, version, state, evidence or {})
            live = _live_row(db)[0]
            if state == "forgotten" and live is not None:
                db.execute("UPDATE live SET previous = ?", (_previous_of(db, live),))
            return self._find(db, version.tag)

    def go_live(self, db: sqlite3.Connection, to: Version, evidence: Mapping[str, Any], *, rollback: bool) -> None:
        """Flip the live row to `to` inside the caller's transaction; `strop.deploy.release` calls this and nobody else.

        The version left behind becomes `rolled_back` when users go back to an older one, else `stable`. What a plain
        rollback goes back to afterwards is the version that `to` was first released over.
        """
        left = self.live_in(db)
        if left is not None and left.number == to.number:
            return
        if left is not None:
            back = rollback and to.number < left.number
            state = "rolled_back" if back else "stable"
            if left.state != state:
                _step(db, left, state, {"replaced_by": to.tag})
            if not rollback:
                db.execute("UPDATE versions SET released_over = ? WHERE number = ?", (left.number, to.number))
        _step(db, self._find(db, to.tag), "live", evidence)
        previous = _previous_of(db, to.number)
        db.execute("INSERT OR REPLACE INTO live (id, number, previous) VALUES (1, ?, ?)", (to.number, previous))

    def live_in(self, db: sqlite3.Connection) -> Version | None:
        """As `live`, inside the caller's transaction."""
        number = _live_row(db)[0]
        return None if number is None else self._find(db, number)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction on `state.db`: committed and on disk when the block ends, undone when it raises."""
        try:
            with contextlib.closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise DeployError(f"{self.state_db} cannot be used: {error}", hint="strop doctor") from error

    def _connect(self) -> sqlite3.Connection:
        private_dir(self.state_db.parent)
        # SQLite would make the file readable for others. Only a new file may be opened and closed here: closing one
        # that SQLite holds open elsewhere in this process would drop SQLite's locks on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.state_db, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.state_db, timeout=30.0, isolation_level=None)
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

    def _known(self, db: sqlite3.Connection, sha256: str, folder: Path, number: int | None) -> Version | None:
        by_number = "SELECT * FROM versions WHERE number = ?"
        # What was forgotten may be made again of what is left: that is another version.
        by_file = "SELECT * FROM versions WHERE number > 0 AND state != 'forgotten' AND sha256 = ? AND folder = ?"
        found = db.execute(*((by_file, (sha256, self._stored(folder))) if number is None else (by_number, (number,))))
        row = found.fetchone()
        if row is None:
            return None
        version = self._version(row)
        if version.sha256 != sha256:
            raise DeployError(f"{version.tag} is already there, with another base model", hint="strop versions")
        return version

    def _find(self, db: sqlite3.Connection, which: str | int) -> Version:
        column, value = _parse(str(which))
        if column == "live":
            column, value = "number", _live_row(db)[0 if value == "live" else 1]
        row = db.execute(f"SELECT * FROM versions WHERE {column} = ?", (value,)).fetchone()  # noqa: S608 (fixed names)
        if row is None:
            raise UnknownVersion(f"no version {which!s} in this home", hint="strop versions")
        return self._version(row)

    def _version(self, row: tuple[Any, ...]) -> Version:
        number, tag, state, gguf, sha256, folder, base_ref, adapter_sha, quant, created, _ = row
        files = (self._absolute(gguf), sha256, self._absolute(folder))
        return Version(number, tag, state, *files, base_ref, adapter_sha, quant, datetime.fromisoformat(created))

    def _stored(self, path: Path) -> str:
        path, home = path.absolute(), self.state_db.absolute().parent
        return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)

    def _absolute(self, stored: str) -> Path:
        return self.state_db.absolute().parent / stored


def tag_for(number: int, sha256: str) -> str:
    """The immutable tag of a version: `v0007-1a2b3c4d`."""
    return f"v{number:04d}-{sha256[:8]}"


def is_tag(text: str) -> bool:
    """Whether `text` has the form of a full version tag."""
    return _TAG.fullmatch(text) is not None


def check_can_go_live(version: Version, *, rollback: bool) -> None:
    """Raise DeployError unless this version may be served: judged and accepted, or served before."""
    served_before = version.state in ("live", "stable", "rolled_back")
    if rollback and not served_before:
        raise DeployError(f"{version.tag} was never live: it is {version.state}", hint="strop versions")
    if not rollback and not (version.state in ("gated", "live", "stable") or _is_fresh_base(version)):
        raise DeployError(f"{version.tag} did not pass the gate: it is {version.state}", hint="strop versions")


def evidence_json(evidence: Mapping[str, Any]) -> str:
    """Evidence as the text that is stored. Raises DeployError for what is no JSON (NaN is none)."""
    try:
        return canonical_json(dict(evidence))
    except (TypeError, ValueError) as error:
        raise DeployError(f"evidence that is no JSON: {error}", hint="strop doctor") from error


def _is_fresh_base(version: Version) -> bool:
    return version.number == 0 and version.state == "certified"


def _parse(which: str) -> tuple[str, str | int | None]:
    """The column that `which` speaks of, and the value in it; `live` stands for the live row's two."""
    if which in ("live", "previous"):
        return "live", which
    if _TAG.fullmatch(which):
        return "tag", which
    if match := _NUMBER.fullmatch(which):
        return "number", int(match["number"])
    raise UnknownVersion(f"not a version: {which!r} (a number, a tag, live or previous)", hint="strop versions")


def _live_row(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    row = db.execute("SELECT number, previous FROM live").fetchone()
    return (None, None) if row is None else (row[0], row[1])


def _previous_of(db: sqlite3.Connection, number: int) -> int | None:
    """The version that `number` was released over; those that were rolled back or forgotten are passed over."""
    seen = {number}
    while True:
        query = "SELECT v.number, v.state FROM versions n JOIN versions v ON v.number = n.released_over"
        row = db.execute(f"{query} WHERE n.number = ?", (number,)).fetchone()
        if row is None or row[0] in seen:
            return None
        number = row[0]
        seen.add(number)
        if row[1] not in ("rolled_back", "forgotten"):
            return number


def _step(db: sqlite3.Connection, version: Version, state: str, evidence: Mapping[str, Any]) -> None:
    allowed = state in _NEXT[version.state] or (state == "live" and _is_fresh_base(version))
    if not allowed:
        raise DeployError(f"{version.tag} cannot go from {version.state} to {state}", hint="strop versions")
    db.execute("UPDATE versions SET state = ? WHERE number = ?", (state, version.number))
    _write_event(db, version.number, version.state, state, evidence, _now())


def _write_event(
    db: sqlite3.Connection, number: int, old: str | None, new: str, evidence: Mapping[str, Any], time: str
) -> None:
    insert = "INSERT INTO version_events (number, from_state, to_state, evidence, time) VALUES (?, ?, ?, ?, ?)"
    db.execute(insert, (number, old, new, evidence_json(evidence), time))


def _now() -> str:
    return datetime.now(UTC).isoformat()
