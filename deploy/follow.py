"""The live version for whoever serves: asked every few milliseconds, read from the disk only when something changed.

SQLite counts the commits that other connections make to a file (`PRAGMA data_version`,
https://sqlite.org/pragma.html#pragma_data_version); asking for that number costs some microseconds, takes no lock that
a writer would wait for, and works across processes. Not covered: a connection must not cross a fork, so a process that
forks follows anew.
"""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from types import TracebackType

from strop.deploy.versions import Version, Versions

# A writer that is just committing makes a reader wait for that long; then the answer is what it was a moment ago.
_BUSY_S = 0.02


class Follower:
    """What is live in one home. Thread-safe; end it with `close` or a `with` block.

    It is never ahead: a version is live here once its release is on disk. A `state.db` that is not there yet, or that
    is replaced by another one, is noticed.
    """

    def __init__(self, state_db: Path) -> None:
        self._versions = Versions(state_db)
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._seen: int | None = None
        self._live: Version | None = None

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def current(self) -> Version | None:
        """The live version, None before the first release; cheap enough for every 50 ms, or for every request.

        Where the file cannot be read just now, the answer is the last that was known.
        """
        with self._lock:
            with contextlib.suppress(sqlite3.Error, FileNotFoundError):
                self._look()
            return self._live

    def close(self) -> None:
        """Close the connection; `current` opens it again."""
        with self._lock:
            self._close()

    def _look(self) -> None:
        stat = os.stat(self._versions.state_db)
        if self._db is None or (stat.st_dev, stat.st_ino) != self._file:
            self._close()
            uri = f"{self._versions.state_db.absolute().as_uri()}?mode=rw"  # rw: a crash's journal may wait for us
            self._db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._file = (stat.st_dev, stat.st_ino)
        # Asked before the row is read: a commit in between is then seen at the next look.
        version = int(self._db.execute("PRAGMA data_version").fetchone()[0])
        if version != self._seen:
            self._live = self._versions.read_live(self._db)
            self._seen = version

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = self._seen = None


def follow(state_db: Path) -> Follower:
    """Follow the live version of the home whose `state.db` this is; nothing is made or changed."""
    return Follower(state_db)
