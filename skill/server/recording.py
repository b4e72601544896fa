"""Every answer to the ledger, off the event loop; nothing that was acknowledged is lost.

    record() ─▶ one thread: scrub, spool, fdatasync ─▶ the response may end
                      └──▶ another thread: many at once into the ledger

A response carries its interaction's id and ends only after the answer is on disk in the spool. The id is known before
the answer is, so that it fits into a header: it is the session and turn under which the ledger keeps the answer.

What can be rated is recorded: an answer in words to a user's message. A response that only calls tools is a step on the
way to one; its calls are recorded with the answer that they lead to.
"""

import asyncio
import contextlib
import logging
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strop.errors import BadRecord, Forgotten, StropError, UnknownInteraction
from strop.feedback import FeedbackCollector
from strop.feedback.records import Interaction, Message
from strop.feedback.scrubbed import Prepared
from strop.server.spool import Spool

_log = logging.getLogger(__name__)
_BATCH = 256
# A transaction forces the disk several times, which answers that are being spooled meanwhile have to wait for.
_GATHER_S = 1.0
_AGAIN_S = 1.0
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,48}")
_OURS = re.compile(r"(?P<session>[A-Za-z0-9_-]{1,48})(?:\.(?P<turn>\d{1,19}))?")
_LEDGERS = re.compile(r"[0-9a-f]{64}")
# A stream's headers go out before it is known what its answer will be.
_NOT_KEPT = (
    "interaction: no answer is recorded as {}: it was empty, held only tool calls, broke off or was forgotten, or the "
    "id is no answer's; what can be rated has its id in strop.interaction of its body, or of a stream's last chunk"
)


@dataclass(frozen=True, slots=True)
class Name:
    """The name of one interaction: `text` for the client, `session` and `turn` in the ledger."""

    session: str
    turn: int

    @property
    def text(self) -> str:
        """As headers and bodies have it."""
        return f"{self.session}.{self.turn}" if self.turn else self.session


def new_name(session: str | None) -> Name:
    """A name that no other interaction has; turns of a session of the client's rise with time. Raises BadRecord."""
    if session is None:
        return Name(secrets.token_hex(16), 0)
    if not _SESSION.fullmatch(session):
        raise BadRecord("X-Strop-Session: 1 to 48 letters, digits, '_' and '-' are needed")
    return Name(session, time.time_ns())


def drafted(request: Mapping[str, Any], answer: str, calls: Sequence[Any], name: Name, version: str) -> Interaction:
    """The interaction that a request and its answer make. Raises BadRecord where they make none that can be kept."""
    said = request["messages"]
    asked = max((at for at, one in enumerate(said) if _role(one) == "user"), default=None)
    if asked is None:
        raise BadRecord("no message of a user's")
    before = [call for one in said[asked + 1 :] if isinstance(one, dict) for call in one.get("tool_calls") or ()]
    user = request.get("user")
    return Interaction(
        tuple(Message(_role(one), _text(one)) for one in said[: asked + 1]),
        answer,
        model=version,
        version=version,
        channel="serve",
        user=user if isinstance(user, str) and user else "owner",
        session=name.session,
        turn=name.turn,
        tool_calls=[*before, *calls],
    )


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    return {"developer": "system", "function": "tool"}.get(str(role), str(role))


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


class Recorder:
    """Owns the spool and the collector of one home. Start it before use, close it to wait for everything to arrive."""

    def __init__(self, collector: FeedbackCollector, spool: Spool) -> None:
        self.collector = collector
        self.spool = spool
        self._drafts: queue.SimpleQueue[tuple[Interaction, Callable[[BaseException | None], None]] | None]
        self._drafts = queue.SimpleQueue()
        self._spooled: queue.SimpleQueue[list[Prepared] | threading.Event | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._to_spool, name="strop-spool", daemon=True),
            threading.Thread(target=self._to_ledger, name="strop-ledger", daemon=True),
        ]
        self._closing = threading.Event()
        self._hurry = threading.Event()

    def start(self) -> None:
        """Take up what an earlier server left in the spool, and begin."""
        if left := self.spool.left():
            self._spooled.put(left)
        for thread in self._threads:
            thread.start()

    async def record(self, interaction: Interaction) -> None:
        """Return when it is on disk. Raises OSError where it cannot be written, and what the scrubber raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            def settle() -> None:
                if not done.done():
                    done.set_exception(error) if error else done.set_result(None)

            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle)

        self._drafts.put((interaction, tell))
        await done

    async def flush(self) -> None:
        """Return when everything that was recorded so far is in the ledger, so that reactions find it."""
        if self.spool.waiting:
            event = threading.Event()
            self._spooled.put(event)
            self._hurry.set()
            await asyncio.to_thread(event.wait, 60.0)

    def named(self, text: str) -> str:
        """The ledger's id of an interaction, by the name that its response had or the ledger's own id.

        Raises UnknownInteraction and BadRecord. Reads the ledger: not for the event loop.
        """
        if _LEDGERS.fullmatch(text):
            return text
        if not (match := _OURS.fullmatch(text)):
            raise BadRecord("interaction: give the id that X-Strop-Interaction said")
        try:
            return self.collector.find(session=match["session"], turn=int(match["turn"] or 0))
        except UnknownInteraction:
            raise UnknownInteraction(_NOT_KEPT.format(text), hint="strop feedback list") from None

    def close(self) -> None:
        """Wait until both threads have done what was given to them, then close ledger and spool."""
        self._closing.set()
        self._hurry.set()
        self._drafts.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self.spool.close()
        self.collector.close()

    def _to_spool(self) -> None:
        going = True
        while going:
            batch = [self._drafts.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._drafts.get_nowait())
            going = None not in batch
            self._spool_batch([one for one in batch if one is not None])
        self._spooled.put(None)

    def _spool_batch(self, batch: "list[tuple[Interaction, Callable[[BaseException | None], None]]]") -> None:
        prepared, tells = [], []
        for interaction, tell in batch:
            try:
                prepared.append(self.collector.ledger.prepare(interaction))
                tells.append(tell)
            except Exception as error:  # whatever it is, the request that waits is told
                tell(error)
        problem: OSError | None = None
        try:
            if prepared:
                self.spool.write(prepared)
                self._spooled.put(prepared)
        except OSError as error:
            problem = error
        for tell in tells:
            tell(problem)

    def _to_ledger(self) -> None:
        going = True
        while going:
            batch, waiting = [], []
            item = self._spooled.get()
            if isinstance(item, list) and not self._closing.is_set():
                self._hurry.wait(_GATHER_S)  # more come meanwhile, and many at once cost little more than one
            if not self._closing.is_set():
                self._hurry.clear()
            while True:
                if isinstance(item, list):
                    batch += item
                elif item is None:
                    going = False
                else:
                    waiting.append(item)
                try:
                    item = self._spooled.get_nowait()
                except queue.Empty:
                    break
            self._store(batch)
            for event in waiting:
                event.set()

    def _store(self, batch: list[Prepared]) -> None:
        """Put a batch into the ledger, however long another program holds it; what cannot be kept is left out."""
        for start in range(0, len(batch), _BATCH):
            part = batch[start : start + _BATCH]
            while not self._stored(part):
                if self._closing.wait(_AGAIN_S):
                    _log.warning("%d answers stay in the spool; the next strop serve stores them", len(batch) - start)
                    return
            self.spool.arrived(len(part))

    def _stored(self, part: list[Prepared]) -> bool:
        try:
            self.collector.ledger.put_prepared(part)
        except Forgotten:
            if len(part) > 1:
                return all([self._stored([one]) for one in part])
        except StropError as error:
            _log.warning("the ledger cannot be written, and will be tried again: %s", error)
            return False
        return True
