"""`POST /v1/chat/completions`: to the live version and back, as it comes.

One request goes to one backend from its first byte to its last. The answer's end waits until the answer is on disk.
Where the backend's server dies before a byte went to the client, the request is sent once more, to its successor.
A client that hangs up has its request cancelled upstream, and half an answer is not recorded.
"""

import asyncio
import contextlib
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.errors import BadRecord, StropError
from strop.server.ending import ending
from strop.server.fields import check_fields
from strop.server.guard import Gone, Refused, read_json
from strop.server.meant import meant
from strop.server.metrics import Metrics
from strop.server.opening import Opening
from strop.server.pointer import Pointer
from strop.server.probation import Outcome, Watch
from strop.server.recording import Recorder, drafted, new_name
from strop.server.refusals import MODELS_OWN, UNKNOWN, check_readable, explained, failure
from strop.server.sending import Asked, Broken, Call, Sender
from strop.server.settings import ServeSettings
from strop.server.stream import Answer, Events, answer_of, event_data, event_of

if TYPE_CHECKING:
    import httpx2
    from starlette.types import Receive, Scope, Send

_log = logging.getLogger(__name__)


class Forwarder:
    """The endpoint, as an ASGI application."""

    def __init__(
        self, pointer: Pointer, recorder: Recorder, watch: Watch, metrics: Metrics, settings: ServeSettings
    ) -> None:
        self._pointer, self._recorder, self._watch = pointer, recorder, watch
        self._metrics, self._settings = metrics, settings
        self._sender = Sender(pointer, watch, settings.max_tokens)
        self.open = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        self.open += 1
        opening = Opening(send)
        try:
            await self._handle(scope, receive, opening)
        except Refused as refused:
            self._metrics.count("strop_requests_total", version=self._pointer.tag or "none", outcome=refused.code)
            await opening.refuse(refused)
        except Gone:
            self._metrics.count("strop_requests_total", version=self._pointer.tag or "none", outcome="client_gone")
        except Exception as error:  # no router stands around this route, whose 500 it could become
            ours = unforeseen(error)
            self._metrics.count("strop_requests_total", version=self._pointer.tag or "none", outcome=ours.code)
            with contextlib.suppress(RuntimeError):  # an answer has begun: it ends here, and the client sees it cut
                await ours.send(send)
        finally:
            self.open -= 1

    async def _handle(self, scope: "Scope", receive: "Receive", send: Opening) -> None:
        started = time.monotonic()
        if self.open > self._settings.max_open:
            raise Refused(503, "too_busy", "too many requests are under way", retry_after_s=1)
        request = checked(await read_json(receive, self._settings.max_body_bytes))
        try:
            name = new_name(_session(scope))
        except BadRecord as error:
            raise Refused(400, "bad_session", str(error)) from None
        await until_gone(receive, self._answered(Asked(request, name, send, started)))

    async def _answered(self, asked: Asked) -> None:
        try:
            await self._once(asked)
        except Broken as broken:
            await self._sender.renewed(broken.backend)
            try:
                await self._once(asked)
            except Broken as again:
                raise await self._sender.given_up(again.backend) from None

    async def _once(self, asked: Asked) -> None:
        async with self._pointer.backend() as backend:
            check_readable(asked.request, backend.able)
            call = Call(asked, backend, time.monotonic())
            if not asked.request.get("stream"):
                return await self._whole(call)
            async with asked.send.within(_stream_headers(call)):
                await self._streamed(call)

    async def _whole(self, call: Call) -> None:
        response = await self._sender.sent(call)
        try:
            data = json.loads(await self._sender.read(call, response))
        except ValueError:
            said = "the model's server answered with something that is not JSON"
            raise self._sender.failed(call.backend, 502, said) from None
        finally:
            await response.aclose()
        answer = answer_of(data)
        recorded = await self._record(call, answer)
        data["strop"] = _said(call, recorded)
        body = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
        headers = [*_headers(call, recorded), (b"content-length", str(len(body)).encode())]
        self._done(call, answer)
        await call.asked.send({"type": "http.response.start", "status": 200, "headers": headers})
        await call.asked.send({"type": "http.response.body", "body": body})

    async def _streamed(self, call: Call) -> None:
        import httpx2

        response = await self._sender.sent(call)
        send, answer, begun = call.asked.send, Answer(), False
        try:
            async for out in self._passed(call, answer, response):
                if not begun:
                    await send({"type": "http.response.start", "status": 200, "headers": _stream_headers(call)})
                begun = True
                await send({"type": "http.response.body", "body": out, "more_body": True})
        except httpx2.HTTPError as error:
            _log.warning("%s broke off an answer: %s", call.backend.tag, type(error).__name__)
            if not begun and isinstance(error, httpx2.TimeoutException):
                raise await self._sender.too_late(call) from None
        finally:
            await response.aclose()
        if not begun and answer.heard and not await call.backend.ended():
            raise await self._sender.silent(call)
        if not begun:
            raise Broken(call.backend)
        last = b"" if answer.finish is not None else await self._cut_off(call, answer)
        if answer.finish is not None:
            self._done(call, answer)
        await send({"type": "http.response.body", "body": last})

    async def _cut_off(self, call: Call, answer: Answer) -> bytes:
        """What ends a stream whose answer is not whole; nothing more where the server has said why already."""
        if answer.refused:
            code = answer.refused
        elif answer.failed:
            code = self._sender.failed(call.backend, 502, "").code
        else:
            failed = await self._sender.given_up(call.backend)
            code = failed.code
        self._metrics.count("strop_requests_total", version=call.backend.tag, outcome=code)
        return b"" if answer.failed else event_of(json.loads(failed.body()))

    async def _passed(self, call: Call, answer: Answer, response: "httpx2.Response") -> AsyncIterator[bytes]:
        """The events that each piece completes, as they came; the one that ends the answer says what was recorded.

        Chunks before the first word are kept back until it comes: where it does not, the request may be sent again, or
        the client be told why with an HTTP status.
        """
        events, out = Events(), list[bytes]()
        async for data in response.aiter_raw():
            out += [await self._event(call, answer, event) for event in events.feed(data)]
            if out and (answer.begun or not answer.heard):
                yield b"".join(out)
                out.clear()

    async def _event(self, call: Call, answer: Answer, event: bytes) -> bytes:
        chunk = event_data(event)
        if chunk is not None and "error" in chunk:
            serving = call.backend.serving
            refused = _in_our_words(chunk["error"], serving is not None and serving.all_known)
            answer.refused = refused.code if refused.status < 500 else ""
            event = event_of(json.loads(refused.body()))
        if chunk is not None and answer.add(chunk):
            recorded = await self._record(call, answer)
            event = event_of({**chunk, "strop": _said(call, recorded)})
        return event

    async def _record(self, call: Call, answer: Answer) -> bool:
        """Put the answer on disk; returns whether it is one that was kept."""
        calls = [answer.calls[at] for at in sorted(answer.calls)]
        try:
            interaction = drafted(call.asked.request, answer.said, calls, call.asked.name, call.backend.tag)
            await self._recorder.record(interaction)
        except BadRecord as error:
            self._metrics.count("strop_unrecorded_total", reason="tool_calls" if calls else "not_storable")
            _log.debug("not recorded: %s", error)
            return False
        except (OSError, StropError) as error:
            self._metrics.count("strop_unrecorded_total", reason="disk")
            _log.error("an answer could not be recorded: %s", error)
            return False
        self._metrics.count("strop_recorded_total")
        return True

    def _done(self, call: Call, answer: Answer) -> None:
        tag, seconds = call.backend.tag, time.monotonic() - call.asked.started
        self._metrics.count("strop_requests_total", version=tag, outcome="ok")
        self._metrics.count("strop_answer_tokens_total", answer.tokens, version=tag)
        self._metrics.took(tag, seconds)
        # What it waited for a server to come up is no slowness of this one.
        pace_s = (time.monotonic() - call.began) / max(16, answer.tokens)
        end = ending(call.asked.request, answer)
        self._watch.answered(Outcome(tag, False, end.endless, pace_s, end.limit_tokens, end.cut))


def checked(request: dict[str, Any]) -> dict[str, Any]:
    """The request as it is meant, or Refused (400) where it is none that can be forwarded and recorded."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refused(400, "bad_messages", "messages: a list of objects with role and content is needed")
    check_fields(request)
    return meant(request)


def unforeseen(error: Exception) -> Refused:
    """The error for what should not have happened. It is logged by kind and place: its words may be a person's."""
    places = traceback.extract_tb(error.__traceback__)[-3:]
    where = ", ".join(f"{Path(one.filename).name}:{one.lineno} in {one.name}" for one in places)
    _log.error("a request failed in strop itself: %s at %s", type(error).__name__, where)
    said = "strop failed at this request, and says why in strop serve's own output: ask again, or report it"
    return Refused(500, "internal_error", said)


def _in_our_words(error: Any, all_known: bool) -> Refused:
    """An error in the midst of a stream, as the front door says it: 502 where it is not the client's own mistake."""
    message = str(error.get("message", "") if isinstance(error, dict) else error)
    said = explained(message, all_known)
    if said.code == UNKNOWN:
        return Refused(502, "model_failed", failure(message))
    return Refused(502 if said.code == MODELS_OWN else 400, said.code, said.message)


async def until_gone(receive: "Receive", work: Coroutine[Any, Any, None]) -> None:
    """Do `work` unless the client hangs up before it is done: then it is cancelled, and Gone raised.

    As in `asyncio.timeout`, this task itself is cancelled, and what is cancelled from elsewhere stays cancelled.
    """
    task, hung_up = asyncio.current_task(), False

    def cancel(_: object) -> None:
        nonlocal hung_up
        if task is not None:
            hung_up = task.cancel()

    gone = asyncio.ensure_future(_hung_up(receive))
    gone.add_done_callback(cancel)
    try:
        await work
    except asyncio.CancelledError:
        if hung_up and task is not None and task.uncancel() == 0:
            raise Gone from None
        raise
    finally:
        gone.remove_done_callback(cancel)
        gone.cancel()


async def _hung_up(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _said(call: Call, recorded: bool) -> dict[str, Any]:
    return {"interaction": call.asked.name.text if recorded else None, "version": call.backend.tag}


def _headers(call: Call, recorded: bool, kind: bytes = b"application/json") -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", kind), (b"x-strop-version", call.backend.tag.encode())]
    return [*headers, (b"x-strop-interaction", call.asked.name.text.encode())] if recorded else headers


def _stream_headers(call: Call) -> list[tuple[bytes, bytes]]:
    return [*_headers(call, True, b"text/event-stream"), (b"cache-control", b"no-store")]


def _session(scope: "Scope") -> str | None:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-strop-session"]
    return found[0] if found else None
