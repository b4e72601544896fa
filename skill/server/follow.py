"""Following the live row: whoever moves it, `strop rollback` or the night in another process, moves the pointer.

Every 50 ms one connection that stays open asks `PRAGMA data_version`, which costs some ten microseconds and changes
when another connection has written; only then is the row read.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from strop.deploy.versions import Versions
from strop.errors import StropError
from strop.server.pointer import Pointer

_log = logging.getLogger(__name__)
POLL_S = 0.05
_AGAIN_S = 5.0


class Follower:
    """Keeps a pointer at the live row of a `state.db`. For the event loop's thread alone."""

    def __init__(self, state_db: Path, pointer: Pointer, failed: Callable[[str, StropError], None]) -> None:
        self._versions = Versions(state_db)
        self._db = sqlite3.connect(state_db, timeout=0.0, isolation_level=None)
        self._pointer, self._failed = pointer, failed
        self._seen: int | None = None
        self._wanted: int | None = None
        self._changed = asyncio.Event()

    async def first(self) -> None:
        """Put the pointer at what is live. Raises StropError where that does not come up."""
        live = await asyncio.to_thread(self._versions.live)
        if live is not None:
            self._wanted = live.number
            await self._pointer.swap(live)

    async def watch(self) -> None:
        """Look for changes until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_S)

    def look(self) -> None:
        """One look at the file; a writer that holds it is looked past until the next one."""
        with contextlib.suppress(sqlite3.OperationalError):
            seen = int(self._db.execute("PRAGMA data_version").fetchone()[0])
            if seen == self._seen:
                return
            row = self._db.execute("SELECT number FROM live").fetchone()
            self._seen = seen
            number = None if row is None else int(row[0])
            if number != self._wanted:
                self._wanted = number
                self._changed.set()

    async def move(self) -> None:
        """Move the pointer whenever the row says so, until cancelled."""
        retry_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), retry_s)
            self._changed.clear()
            retry_s = await self._move()

    async def _move(self) -> float | None:
        """Move once; returns after how long to try again, None where there is nothing left to do."""
        wanted, started = self._wanted, time.monotonic()
        if wanted is None:
            return None
        tag = f"v{wanted:04d}"
        try:
            version = await asyncio.to_thread(self._versions.get, wanted)
            tag = version.tag
            await self._pointer.swap(version)
        except StropError as error:
            _log.warning("%s is live and does not come up: %s", tag, error)
            self._failed(tag, error)
            return _AGAIN_S
        _log.info("%s answers now, after %.0f ms", tag, (time.monotonic() - started) * 1000)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
