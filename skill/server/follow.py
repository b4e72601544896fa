"""Moving the pointer with the live row, whoever moves that: `strop rollback`, or the night in another process.

The row is looked at ten times a second, which costs some ten microseconds each (`strop.deploy.follow`): a change is
followed within 200 ms, and a server that nobody asks anything lets a laptop sleep.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from strop.deploy.follow import follow
from strop.deploy.versions import Version
from strop.errors import StropError
from strop.server.pointer import Pointer

_log = logging.getLogger(__name__)
POLL_S = 0.1
_AGAIN_S = 5.0


class Follower:
    """Keeps a pointer at the live row of a `state.db`. For the event loop's thread alone."""

    def __init__(self, state_db: Path, pointer: Pointer, failed: Callable[[str, StropError], None]) -> None:
        self._row = follow(state_db)
        self._pointer, self._failed = pointer, failed
        self._wanted: Version | None = None
        self._changed = asyncio.Event()

    async def first(self) -> None:
        """Put the pointer at what is live. Raises StropError where that does not come up."""
        self._wanted = self._row.current()
        if self._wanted is not None:
            await self._pointer.swap(self._wanted)

    async def watch(self) -> None:
        """Look for changes until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_S)

    def look(self) -> None:
        """One look at the row."""
        live, wanted = self._row.current(), self._wanted
        if live is not None and (wanted is None or live.number != wanted.number):
            self._wanted = live
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
        version, started = self._wanted, time.monotonic()
        if version is None:
            return None
        try:
            await self._pointer.swap(version)
        except StropError as error:
            _log.warning("%s is live and does not come up: %s", version.tag, error)
            self._failed(version.tag, error)
            return _AGAIN_S
        _log.info("%s answers now, after %.0f ms", version.tag, (time.monotonic() - started) * 1000)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._row.close()
