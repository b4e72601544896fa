"""uvicorn as the front door runs it: how it is set up, what is done once it answers, and what ends it."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from strop.server.protocol import protocol

if TYPE_CHECKING:
    import uvicorn

_TICK_S = 1.0


def uvicorn_server(app: Any, ending: asyncio.Event, drain_s: float) -> "uvicorn.Server":
    """The server of the application. It ends where `should_exit` is set, and sees that at once with `ending`."""
    import uvicorn

    class Server(uvicorn.Server):
        async def main_loop(self) -> None:
            """Once a second, for the date that answers carry, and at once at the end; uvicorn's own wakes ten times."""
            while not await self.on_tick(0):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), _TICK_S)

        def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
            """Left to us: uvicorn would raise the signal again and end the process before everything is closed."""
            return contextlib.nullcontext()

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=protocol(),
        ws="none",
        timeout_keep_alive=60,
        timeout_graceful_shutdown=round(drain_s),
        proxy_headers=False,
    )
    return Server(config)


@contextlib.contextmanager
def ended_by(server: "uvicorn.Server", ending: asyncio.Event, stop: threading.Event | None) -> Iterator[None]:
    """SIGINT and SIGTERM end the server in good order, and so does `stop`."""
    loop = asyncio.get_running_loop()

    def end(*_: object) -> None:
        server.should_exit = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
            loop.call_soon_threadsafe(ending.set)

    if threading.current_thread() is threading.main_thread():
        before = {which: signal.signal(which, end) for which in (signal.SIGINT, signal.SIGTERM)}
    else:
        before = {}
    if stop is not None:
        told = stop

        def wait() -> None:
            told.wait()
            end()

        threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


async def tell(server: "uvicorn.Server", then: Callable[[], None]) -> None:
    """Wait until it answers, then do `then`; nothing where it ends before."""
    while not (server.started or server.should_exit):
        await asyncio.sleep(0.01)
    if server.started:
        then()
