"""Release, rollback and repair: moving users from one version to another.

Two things move: the target's own pointer (an Ollama alias) and the live row. No transaction spans both, so the intent
is written down first:

    publish (long, no lock) ─▶ lock ─▶ intent ─▶ activate ─▶ flip the live row and close the intent (one transaction)

Covered: an error leaves the live row as it was and puts the target's pointer back; after a crash anywhere `repair`,
run on every start, finishes the move if the pointer had arrived and else puts it back. Not covered: somebody who moves
the alias by hand between two repairs.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from strop.deploy.targets.base import Target
from strop.deploy.versions import Version, Versions, check_can_go_live, evidence_json
from strop.errors import Locked, NothingToDo, StropError, UnknownVersion
from strop.files import private_dir

LOCK_TIMEOUT_S = 10.0

Kind = Literal["release", "rollback"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What `repair` did: `"none"`, `"finished"` or `"reverted"` an unfinished move, or `"realigned"` the pointer.

    `tag` is the version that is live afterwards, None before the first release.
    """

    action: Literal["none", "finished", "reverted", "realigned"]
    tag: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Intent:
    id: int
    kind: str
    to: str
    evidence: dict[str, Any]


def release(
    versions: Versions, target: Target, tag: str, lock_path: Path, evidence: Mapping[str, Any] | None = None
) -> tuple[str | None, str]:
    """Make a version live that passed the gate (or the untouched base); returns (tag before, tag now). Safe to repeat.

    Raises DeployError where the version's state does not allow it, Locked where another release holds the lock for
    10 s, and what the target raises; after any of them users are where they were.
    """
    version = versions.get(tag)
    check_can_go_live(version, rollback=False)
    # May upload gigabytes and load them: before the lock, which is held for the flip alone.
    target.publish(version)
    with release_lock(lock_path):
        _settle(versions, target)
        return _move(versions, target, version, "release", evidence or {})


def rollback(
    versions: Versions,
    target: Target,
    lock_path: Path,
    to: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> tuple[str, str]:
    """Go back to the previous version, or to `to`, which was live before; returns (tag before, tag now).

    Raises UnknownVersion where there is no earlier version, NothingToDo where `to` is live already, DeployError where
    `to` never was live, and as `release`.
    """
    with release_lock(lock_path):
        _settle(versions, target)
    live = versions.live()
    version = versions.get(to) if to is not None else versions.previous()
    if live is None or version is None:
        raise UnknownVersion("there is no earlier version to go back to", hint="strop versions")
    if version.number == live.number:
        raise NothingToDo(f"{version.tag} is live already", hint="strop versions")
    check_can_go_live(version, rollback=True)
    target.publish(version)
    with release_lock(lock_path):
        before, now = _move(versions, target, version, "rollback", evidence or {})
        return before or live.tag, now


def repair(versions: Versions, target: Target, lock_path: Path | None = None) -> Repair:
    """Bring row and pointer together again: run it on every start, before anything is served.

    An unfinished move is finished where the target's pointer had arrived and else undone; with none unfinished, a
    pointer that is not at the live version is put there. `lock_path` is by default the home's own release lock.
    """
    with release_lock(lock_path or versions.state_db.parent / "locks" / "release.lock"):
        done = _settle(versions, target)
        live = versions.live()
        if done.action != "none" or live is None or target.active() == live.tag:
            return done
        target.publish(live)
        target.activate(live)
        if target.active() is None:
            return done  # a target without a pointer of its own: there was nothing to repair
        return Repair("realigned", live.tag, f"the target was not at {live.tag}")


@contextlib.contextmanager
def release_lock(path: Path) -> Iterator[None]:
    """Hold the release lock of a home. Raises Locked after 10 s."""
    from filelock import FileLock, Timeout

    private_dir(path.parent)
    try:
        lock = FileLock(path, timeout=LOCK_TIMEOUT_S, mode=0o600).acquire()
    except Timeout as error:
        raise Locked("another release or rollback is under way", hint="strop status") from error
    with lock:
        yield


def _move(
    versions: Versions, target: Target, version: Version, kind: Kind, evidence: Mapping[str, Any]
) -> tuple[str | None, str]:
    with versions.transaction() as db:
        old = versions.live_in(db)
        if old is None or old.number != version.number:
            intent = _open(db, kind, old, version, evidence)
    if old is not None and old.number == version.number:
        if target.active() != version.tag:
            target.activate(version)
        return old.tag, version.tag
    try:
        target.activate(version)
        _flip(versions, intent, version)
    except Exception as error:
        _undo(versions, target, intent, old, error)
        raise
    return (None if old is None else old.tag), version.tag


def _settle(versions: Versions, target: Target) -> Repair:
    """Finish or undo the unfinished move, if there is one. The caller holds the release lock."""
    with versions.transaction() as db:
        intent, live = _unfinished(db), versions.live_in(db)
    live_tag = None if live is None else live.tag
    if intent is None:
        return Repair("none", live_tag, "no move was left unfinished")
    if target.active() == intent.to:
        _flip(versions, intent, versions.get(intent.to))
        return Repair("finished", intent.to, f"an interrupted {intent.kind} had already reached users")
    if live is not None:
        target.publish(live)
        target.activate(live)
    reason = f"an interrupted {intent.kind} to {intent.to} had not reached users"
    with versions.transaction() as db:
        _close(db, intent.id, "reverted", reason)
    return Repair("reverted", live_tag, reason)


def _undo(versions: Versions, target: Target, intent: _Intent, old: Version | None, error: Exception) -> None:
    """Put the pointer back after a failed move; where that cannot be done, the intent stays open for `repair`."""
    try:
        if old is not None:
            target.activate(old)
        elif target.active() == intent.to:
            error.add_note("there is no older version to put back; the next start finishes the move")
            return
        with versions.transaction() as db:
            _close(db, intent.id, "reverted", str(error))
    except StropError as second:
        error.add_note(f"and putting the old version back failed: {second}; the next start repairs it")


def _flip(versions: Versions, intent: _Intent, version: Version) -> None:
    with versions.transaction() as db:
        versions.go_live(db, version, intent.evidence, rollback=intent.kind == "rollback")
        _close(db, intent.id, "done", None)


def _open(
    db: sqlite3.Connection, kind: Kind, old: Version | None, version: Version, evidence: Mapping[str, Any]
) -> _Intent:
    # The evidence is kept with the intent, so that a repair can write the same event.
    text = evidence_json(evidence)
    number = None if old is None else old.number
    cursor = db.execute(
        "INSERT INTO intents (kind, from_number, to_number, evidence, state, started) VALUES (?, ?, ?, ?, 'open', ?)",
        (kind, number, version.number, text, _now()),
    )
    return _Intent(int(cursor.lastrowid or 0), kind, version.tag, json.loads(text))


def _unfinished(db: sqlite3.Connection) -> _Intent | None:
    query = (
        "SELECT id, kind, tag, evidence FROM intents JOIN versions ON number = to_number WHERE intents.state = 'open'"
    )
    row = db.execute(query + " ORDER BY id DESC").fetchone()
    return None if row is None else _Intent(row[0], row[1], row[2], json.loads(row[3]))


def _close(db: sqlite3.Connection, intent_id: int, state: str, reason: str | None) -> None:
    # Every older one as well: the newest says where users are.
    update = "UPDATE intents SET state = ?, ended = ?, reason = ? WHERE state = 'open' AND id <= ?"
    db.execute(update, (state, _now(), reason, intent_id))


def _now() -> str:
    return datetime.now(UTC).isoformat()
