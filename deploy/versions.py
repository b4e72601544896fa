"""The versions of a home: what was built, what state it is in, which one is live.

One row a version in `state.db`, never deleted; every change of state is an event with its evidence, along the table in
`strop.deploy.states`.

Version 0 is the untouched base: it goes live from `certified`, with nothing to be judged against. A version goes live
only through `strop.deploy.release`, which moves the target's pointer and this row together.

Covered: a crash at any moment (each change is one transaction, on disk when the call returns), several processes, a
home that was moved (paths below the home are stored relative to it). Not covered: a network file system.
"""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from strop.deploy.state_db import transaction
from strop.deploy.states import GONE, LEFT, NEXT, UNREFUTED, proves
from strop.deploy.tags import parse, tag_for
from strop.errors import DeployError, UnknownVersion
from strop.files import canonical_json

_SHA256 = re.compile(r"[0-9a-f]{64}")


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

        The live version may become `stable` (its probation ended well) and stays live. A rollback passes over what is
        `forgotten` or `pruned`. Raises DeployError for a step that the table does not allow, for the untouched base and
        the live version as one of those two, and for `live`: only a release does that.
        """
        with self.transaction() as db:
            version = self._find(db, which)
            if state == version.state:
                return version
            if state == "live":
                raise DeployError(f"{version.tag} goes live only by a release", hint="strop versions")
            live = _live_row(db)[0]
            if version.number == live and state in ("replaced", "rolled_back", *GONE):
                raise DeployError(f"{version.tag} is live; a rollback moves users first", hint="strop rollback")
            if version.number == 0 and state in GONE:
                said = f"{version.tag} is the untouched base, made of nobody's words: it always stays"
                raise DeployError(said, hint="strop versions")
            _step(db, version, state, evidence or {})
            if state in GONE and live is not None:
                db.execute("UPDATE live SET previous = ?", (_previous_of(db, live),))
            return self._find(db, version.tag)

    def go_live(self, db: sqlite3.Connection, to: Version, evidence: Mapping[str, Any], *, rollback: bool) -> None:
        """Flip the live row to `to` inside the caller's transaction; `strop.deploy.release` calls this and nobody else.

        The version left behind becomes `rolled_back`, for the same reasons, when users go back to an older one; else
        it is `stable` where it ever passed its probation and `replaced` where it did not. What a plain rollback goes
        back to afterwards is the version that `to` was first released over.
        """
        left = self.live_in(db)
        if left is not None and left.number == to.number:
            return
        if left is not None:
            _leave(db, left, to, evidence if rollback and to.number < left.number else None)
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
        with transaction(self.state_db) as db:
            yield db

    def _known(self, db: sqlite3.Connection, sha256: str, folder: Path, number: int | None) -> Version | None:
        by_number = "SELECT * FROM versions WHERE number = ?"
        # What was forgotten may be made again of what is left, and what was pruned too: that is another version.
        by_file = f"SELECT * FROM versions WHERE number > 0 AND state NOT IN {GONE} AND sha256 = ? AND folder = ?"  # noqa: S608 (fixed names)
        found = db.execute(*((by_file, (sha256, self._stored(folder))) if number is None else (by_number, (number,))))
        row = found.fetchone()
        if row is None:
            return None
        version = self._version(row)
        if version.sha256 != sha256:
            raise DeployError(f"{version.tag} is already there, with another base model", hint="strop versions")
        return version

    def _find(self, db: sqlite3.Connection, which: str | int) -> Version:
        column, value = parse(str(which))
        if column == "live":
            column, value = "number", _live_row(db)[0 if value == "live" else 1]
        row = db.execute(f"SELECT * FROM versions WHERE {column} = ?", (value,)).fetchone()  # noqa: S608 (fixed names)
        if row is None:
            raise UnknownVersion(f"no version {which!s} in this home", hint="strop versions")
        return self._version(row)

    def read_live(self, db: sqlite3.Connection) -> Version | None:
        """The live version by one plain read, for `strop.deploy.follow`: takes no lock that a writer would wait for."""
        row = db.execute("SELECT v.* FROM live JOIN versions v USING (number)").fetchone()
        return None if row is None else self._version(row)

    def _version(self, row: tuple[Any, ...]) -> Version:
        number, tag, state, gguf, sha256, folder, base_ref, adapter_sha, quant, created, _ = row
        files = (self._absolute(gguf), sha256, self._absolute(folder))
        return Version(number, tag, state, *files, base_ref, adapter_sha, quant, datetime.fromisoformat(created))

    def _stored(self, path: Path) -> str:
        path, home = path.absolute(), self.state_db.absolute().parent
        return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)

    def _absolute(self, stored: str) -> Path:
        return self.state_db.absolute().parent / stored


def check_can_go_live(version: Version, *, rollback: bool) -> None:
    """Raise DeployError unless this version may be served: judged and accepted, or served before."""
    served_before = version.state in ("live", *LEFT)
    if rollback and not served_before:
        raise DeployError(f"{version.tag} was never live: it is {version.state}", hint="strop versions")
    if not rollback and not (version.state in ("gated", "live", *UNREFUTED) or _is_fresh_base(version)):
        raise DeployError(f"{version.tag} did not pass the gate: it is {version.state}", hint="strop versions")


def evidence_json(evidence: Mapping[str, Any]) -> str:
    """Evidence as the text that is stored. Raises DeployError for what is no JSON (NaN is none)."""
    try:
        return canonical_json(dict(evidence))
    except (TypeError, ValueError) as error:
        raise DeployError(f"evidence that is no JSON: {error}", hint="strop doctor") from error


def _is_fresh_base(version: Version) -> bool:
    return version.number == 0 and version.state == "certified"


def _live_row(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    row = db.execute("SELECT number, previous FROM live").fetchone()
    return (None, None) if row is None else (row[0], row[1])


def _previous_of(db: sqlite3.Connection, number: int) -> int | None:
    """The version that `number` was released over; those that were rolled back or are gone are passed over."""
    seen = {number}
    while True:
        query = "SELECT v.number, v.state FROM versions n JOIN versions v ON v.number = n.released_over"
        row = db.execute(f"{query} WHERE n.number = ?", (number,)).fetchone()
        if row is None or row[0] in seen:
            return None
        number = row[0]
        seen.add(number)
        if row[1] not in ("rolled_back", *GONE):
            return number


def _leave(db: sqlite3.Connection, left: Version, to: Version, why: Mapping[str, Any] | None) -> None:
    """Write down how the live version's time ends; `why` says what sends users back to an older one."""
    facts: dict[str, Any] = {"replaced_by": to.tag}
    if why is not None:
        state, facts = "rolled_back", {**why, **facts}
    elif left.state == "stable" or _was_proven(db, left.number):
        state = "stable"
    else:
        state, facts = "replaced", {"reason": "another version took its place before its probation ended", **facts}
    if left.state != state:
        _step(db, left, state, facts)


def _was_proven(db: sqlite3.Connection, number: int) -> bool:
    """Whether a probation of this version ever ended well."""
    query = "SELECT to_state, evidence FROM version_events WHERE number = ? AND to_state = 'stable'"
    return any(proves(state, json.loads(text)) for state, text in db.execute(query, (number,)))


def _step(db: sqlite3.Connection, version: Version, state: str, evidence: Mapping[str, Any]) -> None:
    allowed = state in NEXT[version.state] or (state == "live" and _is_fresh_base(version))
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
