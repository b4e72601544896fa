"""The pointer: which backend a request goes to. Swap, rollback and restart move it, and no request notices.

A request takes the backend that the pointer is at and keeps it to its last byte, so no answer is of two versions. A new
version's server is started and has answered once before the pointer moves; requests on the old one run to their end.
Where memory does not hold two servers the gate is closed, requests wait, and the old one ends first.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from strop.deploy.versions import Version
from strop.errors import StropError
from strop.server.backend import Backend, Backends
from strop.server.guard import Refused
from strop.server.metrics import Metrics
from strop.server.room import free_memory_bytes
from strop.trainer.serving import hold

_log = logging.getLogger(__name__)
# How often a death is looked for that no request has met; one that has is told at once.
_LOOK_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Pointer:
    """At one backend, with at most one more kept warm. For the event loop's thread alone."""

    def __init__(
        self,
        backends: Backends,
        metrics: Metrics,
        hold_s: float,
        drain_s: float,
        died: Callable[[str], None] = lambda tag: None,
    ) -> None:
        self._backends, self._metrics = backends, metrics
        self._hold_s, self._drain_s = hold_s, drain_s
        self._died = died
        self._mourned: Backend | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._moving = asyncio.Lock()
        self._gate = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self.current: Backend | None = None
        self.kept: Backend | None = None
        self.moved = time.monotonic()

    @property
    def tag(self) -> str | None:
        """The version that answers now."""
        return self.current.tag if self.current else None

    @contextlib.asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        """The backend for one request. Raises Refused (503) where none comes up while a request may wait."""
        if not self._gate.is_set():
            self._metrics.count("strop_held_total")
            try:
                await asyncio.wait_for(self._gate.wait(), self._hold_s)
            except TimeoutError:
                raise Refused(503, "no_model", "no model is up to answer yet", retry_after_s=5) from None
        backend = self.current
        if backend is None:  # between the gate's opening and this task's turn it was closed again
            raise Refused(503, "no_model", "no model is up to answer yet", retry_after_s=1)
        async with backend.used():
            yield backend

    async def swap(self, version: Version) -> None:
        """Answer with `version` from now on. On an error (StropError) requests go where they went before."""
        async with self._moving:
            old = self.current
            if old is not None and old.tag == version.tag:
                return
            new = self._take_kept(version) or await self._started(version, old)
            self._flip(new)
            self._metrics.count("strop_swaps_total")
            if old is not None and old is not self.kept:
                self._keep(old)

    def _take_kept(self, version: Version) -> Backend | None:
        kept = self.kept
        if kept is None or kept.tag != version.tag or not kept.alive():
            return None
        self.kept = None
        return kept

    async def _started(self, version: Version, old: Backend | None) -> Backend:
        if self.kept is not None:
            self.release_kept()
        if old is None or hold(1, await asyncio.to_thread(self._backends.needs_bytes, version), free_memory_bytes()):
            return await self._backends.start(version)
        _log.warning(
            "memory does not hold two servers: requests wait while %s takes over from %s", version.tag, old.tag
        )
        self._gate.clear()
        await old.drained(self._drain_s)
        await old.close()
        self.current = None
        try:
            return await self._backends.start(version)
        except StropError:
            self._flip(await self._backends.start(old.version))
            raise

    def _flip(self, new: Backend) -> None:
        self.current, self.moved = new, time.monotonic()
        self._gate.set()

    def _keep(self, old: Backend) -> None:
        """Keep the version before warm, for a rollback in no time; whatever was kept before goes."""
        if self.current is not None and not old.client.is_closed:
            self.release_kept()
            self.kept = old

    async def keep(self, version: Version) -> None:
        """Start `version` beside the current one and keep it warm, where memory holds two. Raises StropError.

        A swap that is asked for meanwhile waits: memory holds two, and not a third.
        """
        async with self._moving:
            if self.current is None or self.kept is not None or self.current.tag == version.tag:
                return
            needs_bytes = await asyncio.to_thread(self._backends.needs_bytes, version)
            if not hold(1, needs_bytes, free_memory_bytes()):
                _log.info("memory does not hold two servers: a rollback to %s would start it first", version.tag)
                return
            self.kept = await self._backends.start(version)
            _log.info("%s is kept warm for a rollback", version.tag)

    def release_kept(self) -> None:
        """End the server that is kept warm, once its last request is done."""
        if self.kept is not None:
            kept, self.kept = self.kept, None
            task = asyncio.create_task(self._end(kept))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, backend: Backend) -> None:
        await backend.drained(self._drain_s)
        await backend.close()

    async def keep_alive(self, failed: Callable[[str, StropError], None]) -> None:
        """Start the current version's server again whenever it has died; `failed` is told where that does not work."""
        pause_s = _LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _LOOK_S
            if self.kept is not None and not self.kept.alive():
                self.release_kept()
            if self.current is None or self.current.alive():
                continue
            try:
                await self.restart()
            except StropError as error:
                failed(self.tag or "", error)
                pause_s = min(_LONGEST_PAUSE_S, 5.0)

    async def restart(self) -> None:
        """Where the current server is dead, start it again, once for all who ask meanwhile; requests wait.

        `died` is told once of each death. Raises StropError where it does not come up.
        """
        dead = self.current
        if dead is None or dead.alive():
            return
        if self._restarting is None:
            self._gate.clear()
            self._restarting = asyncio.create_task(self._restart(dead))
            self._restarting.add_done_callback(self._restarted)
            if dead is not self._mourned:
                self._mourned = dead
                self._died(dead.tag)
        await asyncio.shield(self._restarting)

    async def _restart(self, dead: Backend) -> None:
        async with self._moving:
            if self.current is not dead:
                return
            self._metrics.count("strop_restarts_total", version=dead.tag)
            _log.warning("the server of %s died and is started again", dead.tag)
            new = await self._backends.start(dead.version)
            self._flip(new)
        await dead.close()

    def _restarted(self, task: "asyncio.Task[None]") -> None:
        self._restarting = None
        if not task.cancelled():
            task.exception()  # whoever waits raises it; nobody may be left who does

    async def close(self) -> None:
        """Let requests end, then end every server."""
        self._gate.clear()
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        self.release_kept()
        if self.current is not None:
            await self.current.drained(self._drain_s)
            await self.current.close()
            self.current = None
        await asyncio.gather(*self._ending, return_exceptions=True)
