"""The spool: answers on their way to the ledger, in a file that is only added to until all of it has arrived.

The ledger's transaction takes tens of milliseconds on a slow disk, too long to keep an answer back for; a line at the
end of a file, forced to disk, takes less than one. Covered: a line whose `write` returned survives `kill -9` and a
power cut, and is read again by the next server. A torn last line was never acknowledged and is left out. Lines hold
what the ledger would hold, scrubbed already; reading one twice stores it once, since its id is its content's hash.
"""

import json
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from strop.errors import BadRecord
from strop.feedback.records import Interaction, Message
from strop.feedback.scrubbed import Prepared
from strop.files import sync_dir


class Spool:
    """The file at `path`, made (mode 0600) where there is none. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        sync_dir(path.parent)
        self._lock = threading.Lock()
        self._written = 0
        self._arrived = 0
        self._path = path

    def left(self) -> list[Prepared]:
        """What an earlier server left behind, oldest first; counts as written."""
        found = []
        for line in self._path.read_bytes().split(b"\n")[:-1]:
            # A line that was cut by a crash may have been gone on from: what stands there was never acknowledged.
            try:
                found.append(_prepared(json.loads(line)))
            except (ValueError, KeyError, TypeError, BadRecord):
                continue
        self._written = len(found)
        if not found:
            os.ftruncate(self._file, 0)
        return found

    def write(self, prepared: Sequence[Prepared]) -> None:
        """Add lines; they are on disk when this returns. Raises OSError, and then none of them counts."""
        data = b"".join(json.dumps(_line(one)).encode() + b"\n" for one in prepared)
        with self._lock:
            size = os.fstat(self._file).st_size
            try:
                # On the same line as a torn one, the first would be torn with it.
                _write_all(self._file, b"\n" + data if size and os.pread(self._file, 1, size - 1) != b"\n" else data)
                _sync(self._file)
            except OSError:
                os.ftruncate(self._file, size)
                raise
            self._written += len(prepared)

    def arrived(self, count: int) -> None:
        """The oldest `count` are in the ledger; once all are, the file is emptied."""
        with self._lock:
            self._arrived += count
            if self._arrived == self._written:  # what may be forgotten is then in the ledger alone
                os.ftruncate(self._file, 0)
                self._arrived = self._written = 0

    @property
    def waiting(self) -> int:
        """How many are not in the ledger yet."""
        return self._written - self._arrived

    def close(self) -> None:
        """Close the file, emptied where everything has arrived."""
        with self._lock:
            if self._arrived == self._written:
                os.ftruncate(self._file, 0)
            os.close(self._file)


def _sync(file: int) -> None:
    # Not on every system; there the file's times are forced to disk as well.
    getattr(os, "fdatasync", os.fsync)(file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _line(one: Prepared) -> dict[str, Any]:
    return {"interaction": one.interaction.as_dict(), "prints": dict(one.prints)}


def _prepared(data: dict[str, Any]) -> Prepared:
    facts = dict(data["interaction"])
    facts["messages"] = tuple(Message(one["role"], one["content"]) for one in facts["messages"])
    facts["time"] = datetime.fromisoformat(facts["time"])
    return Prepared(Interaction(**facts), {str(name): int(value) for name, value in data["prints"].items()})
