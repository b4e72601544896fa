"""One request to the model's server and its answer's beginning; what is said, and counted, where that goes wrong.

Only what a version did is held against it. A death of its server is one failure, however many requests it broke off,
and the pointer counts it (`Pointer.restart`); a server that is away for every version alike (Ollama, stopped) is none.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from strop.errors import StropError, TargetDown
from strop.server.backend import CHAT, Backend
from strop.server.fields import broken_text
from strop.server.guard import Refused
from strop.server.opening import Opening
from strop.server.pointer import Pointer
from strop.server.probation import Outcome, Watch
from strop.server.recording import Name
from strop.server.refusals import MODELS_OWN, UNKNOWN, died, explained, failure
from strop.server.schema import check_schemas

if TYPE_CHECKING:
    import httpx2

_log = logging.getLogger(__name__)
# llama-server takes n_predict over max_tokens, so one limit is sent, in one name.
_LIMITS = ("max_tokens", "max_completion_tokens", "n_predict")
# Of OpenAI's own service; or llama-server's internals: another adapter, another's cache, what is no part of an answer.
_OPENAIS = ("user", "metadata", "store", "service_tier", "n")
_LLAMA_SERVERS = ("n_cmpl", "lora", "id_slot", "return_progress", "verbose")
_NOT_FORWARDED = frozenset({*_OPENAIS, *_LLAMA_SERVERS, *_LIMITS})
_ESCAPED = ("messages", "tools")
_MOST_TOKENS = (1 << 31) - 1  # the largest number that llama-server reads there


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what was asked, its name, where its answer goes, and when it came (monotonic seconds)."""

    request: Mapping[str, Any]
    name: Name
    send: Opening
    started: float


@dataclass(frozen=True, slots=True)
class Call:
    """A request at the backend that has it, since when (monotonic seconds)."""

    asked: Asked
    backend: Backend
    began: float


class Broken(Exception):
    """The connection to a backend broke before a byte of the answer had gone to the client."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.tag)
        self.backend = backend


class Sender:
    """Sends requests to backends, and says what became of those that failed."""

    def __init__(self, pointer: Pointer, watch: Watch, max_tokens: int) -> None:
        self._pointer, self._watch, self._max_tokens = pointer, watch, max_tokens

    async def sent(self, call: Call) -> "httpx2.Response":
        """The backend's response, its body still to come. Raises Refused where it is an error, and Broken."""
        body = forwarded(call.asked.request, call.backend, self._max_tokens)
        content = _encoded(body)
        if call.backend.child is None:  # Ollama, which would not live to refuse them
            check_schemas(body)
        if call.backend.length is not None:
            await call.backend.length.check(body, len(content))
        response = await self._response(call, content)
        if response.status_code != 200:
            text = await self.read(call, response)
            await response.aclose()
            raise await self._refusal(call, response.status_code, text)
        return response

    async def _response(self, call: Call, content: bytes) -> "httpx2.Response":
        import httpx2

        backend, stale = call.backend, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
        headers = {"Content-Type": "application/json"}
        # A connection that was kept may be closed by the server at the moment in which it is used again.
        for tries_left in (True, False):
            request = backend.client.build_request("POST", CHAT, content=content, headers=headers)
            try:
                return await backend.client.send(request, stream=True)
            except httpx2.TimeoutException:
                raise await self.too_late(call) from None
            except httpx2.HTTPError as error:
                if not (tries_left and isinstance(error, stale) and backend.alive()):
                    break
            except RuntimeError:
                if not backend.client.is_closed:  # its server died, and another has taken its place
                    raise
                break
        raise Broken(backend)

    async def read(self, call: Call, response: "httpx2.Response") -> bytes:
        """The response's body. Raises Refused where it does not come in time, and Broken."""
        import httpx2

        try:
            return await response.aread()
        except httpx2.TimeoutException:
            raise await self.too_late(call) from None
        except httpx2.HTTPError:
            raise Broken(call.backend) from None

    async def renewed(self, backend: Backend) -> None:
        """Return where a broken request may be sent once more. Raises Refused where nothing is there to send it to."""
        if await backend.ended():
            try:
                await self._pointer.restart()
            except StropError:
                said = "the model's server died and does not come up again; strop status says why"
                raise Refused(503, "model_failed", said, retry_after_s=5) from None
        elif not await backend.up():
            raise _away()

    async def given_up(self, backend: Backend) -> Refused:
        """The error for a request that broke off and is not sent again."""
        if await backend.ended():
            said = "the model's server died under this request; it is being started again"
            return Refused(503, "model_failed", said, retry_after_s=1)
        if not await backend.up():
            return _away()
        return self.failed(backend, 502, "the model's server broke off; what came is not the whole answer")

    async def too_late(self, call: Call) -> Refused:
        """The error for a request whose answer, or the rest of it, did not come in time."""
        if not await call.backend.up():
            return _away()
        return self.failed(call.backend, 504, "the model's server did not answer in time")

    async def silent(self, call: Call) -> Refused:
        """The error for a stream that ended before its first word. May raise Broken.

        Ollama ends one so whose request it cannot use, and says why only where the answer is not streamed.
        """
        told = {key: value for key, value in call.asked.request.items() if key not in ("stream", "stream_options")}
        asked = replace(call.asked, request={**told, "max_tokens": 1})
        try:
            await (await self.sent(replace(call, asked=asked))).aclose()
        except Refused as refused:
            return refused
        return self.failed(call.backend, 502, "the model's server ended its answer before the first word: ask again")

    def failed(self, backend: Backend, status: int, message: str, code: str = "model_failed") -> Refused:
        """An error that is held against the version."""
        self._watch.answered(Outcome(backend.tag, failed=True))
        return Refused(status, code, message, retry_after_s=1)

    async def _refusal(self, call: Call, status: int, text: bytes) -> Refused:
        """What the backend refused: the client's own mistake goes back to it, everything else is an error of ours.

        llama-server calls some of a client's mistakes errors of its own (an image for a model that sees none, a role
        that is no text). Where it answers a plain question right after, it was the request; not so where Ollama says
        that its runner died, since it starts another to answer that question.
        """
        try:
            error = json.loads(text)["error"]
            message = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            message = f"the model's server answered with HTTP {status}"
        serving = call.backend.serving
        said = explained(message, serving is not None and serving.all_known)
        if said.code == MODELS_OWN:
            return self.failed(call.backend, 502, said.message, said.code)
        if 400 <= status < 500 and status not in (401, 403, 404, 408):
            return Refused(status, said.code, said.message)
        if status == 500 and (said.code != UNKNOWN or (not died(message) and await _sound(call.backend))):
            return Refused(400, said.code, said.message)
        return self.failed(call.backend, 502 if status != 503 else 503, failure(message))


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise broken_text(body) from None


def forwarded(request: Mapping[str, Any], backend: Backend, max_tokens: int) -> dict[str, Any]:
    """The request as the backend gets it: its own model's name, one limit, and no control token spelled out."""
    body = {key: value for key, value in request.items() if key not in _NOT_FORWARDED}
    body["model"] = backend.model
    body["max_tokens"] = named_limit(request) or max_tokens
    for key in _ESCAPED:
        if key in body:
            body[key] = backend.escape(body[key])
    return body


def named_limit(request: Mapping[str, Any]) -> int | None:
    """The shortest limit that the client named; a negative one is "none" to both servers, and so is 0 to Ollama."""
    named = [int(request[name]) for name in _LIMITS if request.get(name) is not None]
    return min((min(max(1, one), _MOST_TOKENS) for one in named if one >= 0), default=None)


def _away() -> Refused:
    said = "Ollama does not answer, and strop does not start it: run ollama serve on its machine, then ask again"
    return Refused(503, "model_away", said, retry_after_s=5)


async def _sound(backend: Backend) -> bool:
    """Whether it answers a plain question."""
    try:
        await backend.warm()
    except TargetDown:
        return False
    return True
