"""A stream's headers, where its first word is long in coming: a long prompt on a slow machine takes minutes to read.

An error before the first word is an HTTP status, which clients understand best, so headers wait for that word. But many
clients and proxies give up where none come within 30 seconds. So a stream that is silent for `OPENS_AFTER_S` begins
without a word, and an error after that goes as an event, as it does in the midst of an answer.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from strop.server.guard import Refused
from strop.server.stream import event_of

if TYPE_CHECKING:
    from starlette.types import Send

OPENS_AFTER_S = 10.0


class Opening:
    """The way to one client: an ASGI `send` that lets a response begin once, whoever begins it."""

    def __init__(self, send: "Send") -> None:
        self._send, self._begun = send, False

    async def __call__(self, message: Any) -> None:
        """Pass a message on; a second beginning is left out."""
        if message["type"] == "http.response.start":
            if self._begun:
                return
            self._begun = True
        await self._send(message)

    @contextlib.asynccontextmanager
    async def within(self, headers: Iterable[tuple[bytes, bytes]]) -> AsyncIterator[None]:
        """Begin a stream with these headers where the block has not begun one in time."""

        async def later() -> None:
            await asyncio.sleep(OPENS_AFTER_S)
            await self({"type": "http.response.start", "status": 200, "headers": list(headers)})

        waiting = asyncio.create_task(later())
        try:
            yield
        finally:
            waiting.cancel()

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error: an HTTP status, or the last event of a stream that has begun."""
        if self._begun:
            await self._send({"type": "http.response.body", "body": event_of(json.loads(refused.body()))})
        else:
            await refused.send(self)
