"""`strop serve`: every part of the front door put together, for as long as the process is to run."""

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strop.config import Config
from strop.deploy.release import repair, rollback
from strop.deploy.states import proves
from strop.deploy.targets.base import Target
from strop.deploy.versions import Versions
from strop.errors import Missing, StropError, UnknownVersion, UsageError
from strop.files import write_json
from strop.home import Home
from strop.ledger import open_collector
from strop.schedule import night_running
from strop.server import running
from strop.server.app import FrontDoor
from strop.server.backend import backends
from strop.server.follow import Follower
from strop.server.guard import is_loopback, names_of
from strop.server.metrics import Metrics
from strop.server.pointer import Pointer
from strop.server.probation import Subject, Watch
from strop.server.recording import Recorder
from strop.server.room import write_down
from strop.server.spool import Spool
from strop.server.web import ended_by, tell, uvicorn_server
from strop.setup import OnProgress, prepare
from strop.target import open_target

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger(__name__)
_DRAIN_S = 30.0
_TEND_S = 1.0
# After so long what probation could not do is tried again.
_AGAIN_S = 5.0
# After a swap the version before stays warm at least so long, on probation or not.
_KEEP_S = 600.0
# Threads that scrub and store hold Python's lock for at most so long while a request waits.
_SWITCH_S = 0.0001


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers: its address and the live version."""

    url: str
    version: str


def serve(
    home: Home,
    config: Config,
    *,
    host: str | None = None,
    port: int | None = None,
    on_progress: OnProgress = lambda stage, share, text: None,
    on_start: Callable[[Started], None] = lambda started: None,
    stop: threading.Event | None = None,
) -> None:
    """Answer until SIGINT or SIGTERM, or until `stop` is set. On a fresh home the untouched base is made ready first.

    Raises Locked where another server runs on this home, UsageError for an address that cannot be listened on, Missing
    without the extra, and what the target raises.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise Missing(f"serving needs {error.name}", hint="pip install 'strop[serve]'") from error
    home.ensure()
    with (
        running.only_one(home),
        _listening(host or config.serve.host, config.serve.port if port is None else port) as (
            sock,
            url,
        ),
    ):
        target, versions = open_target(home, config), Versions(home.state_db)
        if versions.live() is None:
            prepare(home, config, target, on_progress)
        repair(versions, target, home.release_lock)
        sys.setswitchinterval(_SWITCH_S)
        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(_Service(home, config, target).run(sock, url, on_start, stop))


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop, which takes less time for a request; None (Python's own) where there is none."""
    try:
        import uvloop
    except ModuleNotFoundError:  # Windows
        return None
    return uvloop.new_event_loop


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    name = host.strip("[]")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageError(
            f"{host} is no address of this machine: {error}", hint="strop serve --host 127.0.0.1"
        ) from None
    with sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be listened on: {error.strerror}", hint="strop serve --port 0"
            ) from error
        if not is_loopback(name):
            _log.warning("%s is not loopback: whoever reaches it and has the token can use the model", host)
        shown = f"[{name}]" if ":" in name else name
        yield sock, f"http://{shown}:{sock.getsockname()[1]}"


class _Service:
    """One run of the server on one event loop."""

    def __init__(self, home: Home, config: Config, target: Target) -> None:
        self._home, self._config, self._target = home, config, target
        self._versions = Versions(home.state_db)
        self._night = False
        self._jobs: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._begun: tuple[str, float] | None = None

    async def run(
        self, sock: socket.socket, url: str, on_start: Callable[[Started], None], stop: threading.Event | None
    ) -> None:
        """Start everything, answer, and end everything in the other order."""
        home, serve = self._home, self._config.serve
        folder = running.folder(home)
        metrics = Metrics()
        async with contextlib.AsyncExitStack() as stack:
            recorder = Recorder(open_collector(home), Spool(folder / "spool.jsonl"))
            stack.push_async_callback(asyncio.to_thread, recorder.close)
            recorder.start()
            self._record = folder / "probation.json"
            self._watch = Watch(self._record, serve, self._send_back, self._pass, loaded=lambda: self._night)
            stack.push_async_callback(self._save)
            started = backends(self._config, self._target)
            self._pointer = Pointer(started, metrics, serve.hold_s, _DRAIN_S, self._watch.died)
            stack.push_async_callback(self._pointer.close)
            follower = Follower(home.state_db, self._pointer, self._watch.not_up)
            stack.callback(follower.close)
            await follower.first()
            await self._subject()
            door = FrontDoor(self._pointer, recorder, self._watch, metrics, serve)
            host = url.removeprefix("http://").rpartition(":")[0]
            ending = asyncio.Event()
            server = uvicorn_server(door.app(running.token(home), names_of(host, serve.hosts)), ending, _DRAIN_S)
            sock.listen()  # whoever reads the address may connect at once
            stack.enter_context(running.announced(home, url))
            tasks = (follower.watch(), follower.move(), self._pointer.keep_alive(self._watch.not_up), self._tend())
            async with _beside(*tasks, self._warm_before(server)):
                told = asyncio.create_task(tell(server, lambda: on_start(Started(url, self._pointer.tag or ""))))
                with ended_by(server, ending, stop):
                    await server.serve(sockets=[sock])
                await told

    async def _tend(self) -> None:
        """Once a second: who is on probation, is a night running, what was seen, is the warm server still needed."""
        while True:
            await asyncio.sleep(_TEND_S)
            self._night = await asyncio.to_thread(night_running, self._home)
            await self._subject()
            self._watch.look()
            await self._save()
            settled = asyncio.get_running_loop().time() - self._pointer.moved > _KEEP_S
            if settled and not self._watch.on_probation:
                self._pointer.release_kept()

    async def _warm_before(self, server: "uvicorn.Server") -> None:
        """Once, when the live version answers: the version before it too, as it was before this server was restarted.

        Ollama decides by itself what it keeps loaded.
        """
        await tell(server, lambda: None)
        if server.should_exit or self._config.target != "llamacpp" or not self._watch.on_probation:
            return
        try:
            before = await asyncio.to_thread(self._versions.previous)
            if before is not None:
                await self._pointer.keep(before)
        except (StropError, OSError) as error:
            _log.warning("the version before is not kept warm: %s", error)

    async def _subject(self) -> None:
        tag, moved = self._pointer.tag, self._pointer.moved
        if tag is not None and (tag, moved) != self._begun:
            self._begun = tag, moved
            self._watch.begin(await asyncio.to_thread(subject_of, self._versions, tag))
            current = self._pointer.current
            if current is not None and current.tag == tag:
                await asyncio.to_thread(write_down, self._home, tag, current.serving)

    async def _save(self) -> None:
        if self._watch.changed:
            facts = self._watch.facts()
            await asyncio.to_thread(write_json, self._record, facts)

    def _send_back(self, tag: str, evidence: dict[str, Any]) -> None:
        def said(error: StropError | None) -> None:
            self._watch.held_up(tag, evidence, error)

        self._job("rollback", tag, lambda: self._roll_back(tag, evidence), said)

    def _pass(self, tag: str, evidence: dict[str, Any]) -> None:
        self._job("stable", tag, lambda: self._stable(tag, evidence), lambda error: None)

    def _roll_back(self, tag: str, evidence: dict[str, Any]) -> None:
        live = self._versions.live()
        if live is not None and live.tag == tag:
            rollback(self._versions, self._target, self._home.release_lock, evidence=evidence)

    def _stable(self, tag: str, evidence: dict[str, Any]) -> None:
        live = self._versions.live()
        if live is not None and live.tag == tag:
            self._versions.set_state(tag, "stable", evidence)

    def _job(self, what: str, tag: str, work: Callable[[], object], said: Callable[[StropError | None], None]) -> None:
        """Do `work` beside everything else, again and again until it can be done; once at a time for each version."""

        async def done() -> None:
            while True:
                try:
                    await asyncio.to_thread(work)
                    return said(None)
                except UnknownVersion as error:  # there is nothing to go back to, and there never will be
                    _log.error("probation cannot act: %s", error)
                    return said(None)
                except StropError as error:
                    _log.error("probation could not act, and tries again: %s", error)
                    said(error)
                await asyncio.sleep(_AGAIN_S)

        if (what, tag) not in self._jobs:
            self._jobs[what, tag] = task = asyncio.create_task(done())
            task.add_done_callback(lambda _: self._jobs.pop((what, tag)))


def subject_of(versions: Versions, tag: str) -> Subject:
    """What probation has to know of a live version. It is watched until it has passed, however often it comes back."""
    version, before, events = versions.get(tag), versions.previous(), versions.events(tag)
    lives = [at for at, event in enumerate(events) if event.to_state == "live"]
    since, returned, anew = version.created, False, False
    if lives:
        last, left = events[lives[-1]], events[lives[-1] - 1]
        since, returned = last.time, last.evidence.get("by") == "probation"
        anew = left.to_state == "rolled_back" and left.evidence.get("by") == "probation"
    proven = any(proves(one.to_state, one.evidence) for one in events)
    held = before.tag if before else None
    return Subject(tag, held, version.state == "live", since, returned, anew, proven and not anew)


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` for as long as the block lasts; an error in it ends the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
