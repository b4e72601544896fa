"""`POST /v1/chat/completions`: to the live version and back, as it comes.

One request goes to one backend from its first byte to its last. The answer's end waits until the answer is on disk.
A client that hangs up has its request cancelled upstream, and half an answer is not recorded.
"""

import asyncio
import json
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strop.errors import BadRecord, StropError, TargetDown
from strop.server.backend import CHAT, Backend
from strop.server.guard import Gone, Refused, read_json
from strop.server.metrics import Metrics
from strop.server.pointer import Pointer
from strop.server.probation import Outcome, Watch
from strop.server.recording import Name, Recorder, drafted, new_name
from strop.server.refusals import check_readable, explained, plain
from strop.server.settings import ServeSettings
from strop.server.stream import Answer, Events, answer_of, event_data, event_of

if TYPE_CHECKING:
    import httpx2
    from starlette.types import Receive, Scope, Send

_log = logging.getLogger(__name__)
# Of OpenAI's own service, or llama-server's internals: another adapter, another's cache.
_NOT_FORWARDED = frozenset({"user", "metadata", "store", "service_tier", "lora", "id_slot", "max_completion_tokens"})
_ESCAPED = ("messages", "tools")
# An answer that a shorter limit cuts is what the client asked for, and no sign of a model that cannot end.
ENDLESS_FROM_TOKENS = 512


@dataclass(frozen=True, slots=True)
class _Call:
    """One request on its way: what was asked, its name, the backend that has it, and where the answer goes."""

    request: Mapping[str, Any]
    name: Name
    backend: Backend
    send: "Send"
    started: float

    @property
    def endless_from(self) -> int | None:
        """The client's own limit, None where it named none."""
        limit = self.request.get("max_completion_tokens", self.request.get("max_tokens"))
        return limit if isinstance(limit, int) else None


class Forwarder:
    """The endpoint, as an ASGI application."""

    def __init__(
        self, pointer: Pointer, recorder: Recorder, watch: Watch, metrics: Metrics, settings: ServeSettings
    ) -> None:
        self._pointer, self._recorder, self._watch = pointer, recorder, watch
        self._metrics, self._settings = metrics, settings
        self._restarts: set[asyncio.Task[None]] = set()
        self.open = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        self.open += 1
        try:
            await self._handle(scope, receive, send)
        except Refused as refused:
            self._metrics.count("strop_requests_total", version=self._pointer.tag or "none", outcome=refused.code)
            await refused.send(send)
        except Gone:
            self._metrics.count("strop_requests_total", version=self._pointer.tag or "none", outcome="client_gone")
        finally:
            self.open -= 1

    async def _handle(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        started = time.monotonic()
        if self.open > self._settings.max_open:
            raise Refused(503, "too_busy", "too many requests are under way", retry_after_s=1)
        request = checked(await read_json(receive, self._settings.max_body_bytes))
        try:
            name = new_name(_session(scope))
        except BadRecord as error:
            raise Refused(400, "bad_session", str(error)) from None
        async with self._pointer.backend() as backend:
            check_readable(request, backend.able)
            call = _Call(request, name, backend, send, started)
            work = self._streamed(call) if request.get("stream") else self._whole(call)
            await until_gone(receive, work)

    async def _whole(self, call: _Call) -> None:
        response = await self._sent(call)
        try:
            data = json.loads(await self._read(call, response))
        except ValueError:
            raise self._failed(call, 502, "the model's server answered with something that is not JSON") from None
        finally:
            await response.aclose()
        answer = answer_of(data)
        recorded = await self._record(call, answer)
        data["strop"] = _said(call, recorded)
        body = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
        headers = [*_headers(call, recorded), (b"content-length", str(len(body)).encode())]
        self._done(call, answer)
        await call.send({"type": "http.response.start", "status": 200, "headers": headers})
        await call.send({"type": "http.response.body", "body": body})

    async def _streamed(self, call: _Call) -> None:
        import httpx2

        response = await self._sent(call)
        headers = [*_headers(call, True, b"text/event-stream"), (b"cache-control", b"no-store")]
        answer, events = Answer(), Events()
        try:
            await call.send({"type": "http.response.start", "status": 200, "headers": headers})
            async for data in response.aiter_raw():
                if out := await self._passed(call, answer, events, data):
                    await call.send({"type": "http.response.body", "body": out, "more_body": True})
        except httpx2.HTTPError as error:
            _log.warning("%s broke off an answer: %s", call.backend.tag, type(error).__name__)
        finally:
            await response.aclose()
        last = b""
        if answer.finish is None:
            failed = self._failed(call, 502, "the model's server broke off; what came is not the whole answer")
            last = b"" if answer.failed else event_of(json.loads(failed.body()))
            self._metrics.count("strop_requests_total", version=call.backend.tag, outcome=failed.code)
        else:
            self._done(call, answer)
        await call.send({"type": "http.response.body", "body": last})

    async def _passed(self, call: _Call, answer: Answer, events: Events, data: bytes) -> bytes:
        """The events that a piece completes, as they came; the one that ends the answer also says what was recorded."""
        out = []
        for event in events.feed(data):
            chunk = event_data(event)
            if chunk is not None and "error" in chunk:
                event = event_of(_in_our_words(chunk["error"]))
            if chunk is not None and answer.add(chunk):
                recorded = await self._record(call, answer)
                event = event_of({**chunk, "strop": _said(call, recorded)})
            out.append(event)
        return b"".join(out)

    async def _sent(self, call: _Call) -> "httpx2.Response":
        """The backend's response, its body still to come. Raises Refused where it is an error."""
        import httpx2

        backend = call.backend
        body = forwarded(call.request, backend, self._settings.max_tokens)
        content = json.dumps(body).encode()
        if backend.length is not None:
            await backend.length.check(body, len(content))
        headers = {"Content-Type": "application/json"}
        for tries_left in (1, 0):
            request = backend.client.build_request("POST", CHAT, content=content, headers=headers)
            try:
                response = await backend.client.send(request, stream=True)
                break
            except httpx2.TimeoutException:
                raise self._failed(call, 504, "the model's server did not answer in time") from None
            except httpx2.HTTPError as error:
                # A connection that was kept may be closed by the server at the moment in which it is used again.
                stale = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
                if not (tries_left and stale and backend.alive()):
                    raise self._died(call) from None
        if response.status_code != 200:
            text = await self._read(call, response)
            await response.aclose()
            raise await self._refusal(call, response.status_code, text)
        return response

    async def _read(self, call: _Call, response: "httpx2.Response") -> bytes:
        import httpx2

        try:
            return await response.aread()
        except httpx2.TimeoutException:
            raise self._failed(call, 504, "the model's server did not answer in time") from None
        except httpx2.HTTPError:
            raise self._died(call) from None

    async def _refusal(self, call: _Call, status: int, text: bytes) -> Refused:
        """What the backend refused: the client's own mistake goes back to it, everything else is an error of ours.

        llama-server calls some of a client's mistakes errors of its own (an image for a model that sees none, a role
        that is no text). Where it answers a plain question right after, it was the request.
        """
        try:
            error = json.loads(text)["error"]
            message = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            message = f"the model's server answered with HTTP {status}"
        said = explained(message)
        if 400 <= status < 500 and status not in (401, 403, 404, 408):
            return Refused(status, said.code, said.message)
        if status == 500 and (said.code != "refused" or await _sound(call.backend)):
            return Refused(400, said.code, said.message)
        return self._failed(call, 502 if status != 503 else 503, plain(message))

    def _died(self, call: _Call) -> Refused:
        """The answer to a request whose server died under it, which is started again meanwhile."""
        task = asyncio.create_task(self._restart())
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)
        return self._failed(call, 503, "the model's server died; it is being started again")

    async def _restart(self) -> None:
        try:
            await self._pointer.restart()
        except StropError as error:
            self._watch.not_up(self._pointer.tag or "", error)

    def _failed(self, call: _Call, status: int, message: str) -> Refused:
        self._watch.answered(Outcome(call.backend.tag, failed=True))
        return Refused(status, "model_failed", message, retry_after_s=1)

    async def _record(self, call: _Call, answer: Answer) -> bool:
        """Put the answer on disk; returns whether it is one that was kept."""
        calls = [answer.calls[at] for at in sorted(answer.calls)]
        try:
            interaction = drafted(call.request, answer.said, calls, call.name, call.backend.tag)
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

    def _done(self, call: _Call, answer: Answer) -> None:
        tag, seconds = call.backend.tag, time.monotonic() - call.started
        self._metrics.count("strop_requests_total", version=tag, outcome="ok")
        self._metrics.count("strop_answer_tokens_total", answer.tokens, version=tag)
        self._metrics.took(tag, seconds)
        limit = call.endless_from
        endless = answer.finish == "length" and (limit is None or limit >= ENDLESS_FROM_TOKENS)
        self._watch.answered(Outcome(tag, endless=endless, pace_s=seconds / max(16, answer.tokens)))


def checked(request: dict[str, Any]) -> dict[str, Any]:
    """The request, or Refused (400) where it is none that can be forwarded and recorded."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refused(400, "bad_messages", "messages: a list of objects with role and content is needed")
    if request.get("n") not in (None, 1):
        raise Refused(400, "one_choice", "n: one answer is given to a request")
    return request


def forwarded(request: Mapping[str, Any], backend: Backend, max_tokens: int) -> dict[str, Any]:
    """The request as the backend gets it: its own model's name, a limit, and no control token spelled out."""
    body = {key: value for key, value in request.items() if key not in _NOT_FORWARDED}
    body["model"] = backend.model
    if body.get("max_tokens") is None:
        body["max_tokens"] = request.get("max_completion_tokens") or max_tokens
    for key in _ESCAPED:
        if key in body:
            body[key] = backend.escape(body[key])
    return body


def _in_our_words(error: Any) -> dict[str, Any]:
    """An error in the midst of a stream, as the front door says it."""
    said = explained(str(error.get("message", "") if isinstance(error, dict) else error))
    made: dict[str, Any] = json.loads(Refused(502, said.code, said.message).body())
    return made


async def _sound(backend: Backend) -> bool:
    """Whether it answers a plain question."""
    try:
        await backend.warm()
    except TargetDown:
        return False
    return True


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


def _said(call: _Call, recorded: bool) -> dict[str, Any]:
    return {"interaction": call.name.text if recorded else None, "version": call.backend.tag}


def _headers(call: _Call, recorded: bool, kind: bytes = b"application/json") -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", kind), (b"x-strop-version", call.backend.tag.encode())]
    return [*headers, (b"x-strop-interaction", call.name.text.encode())] if recorded else headers


def _session(scope: "Scope") -> str | None:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-strop-session"]
    return found[0] if found else None
