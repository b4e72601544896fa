"""Who may come in: the token, the names that the server may be called by, and how much a request may hold.

A browser page of somebody else can send requests to loopback. It cannot know the token; after DNS rebinding it calls us
by its own name, which the Host check refuses; and no CORS header ever tells it that it may read an answer.
"""

import asyncio
import hmac
import ipaddress
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_OPEN = frozenset({"/healthz"})
_BODY_S = 30.0
# Deeper than what anybody sends, and far from where whatever walks a request, here and in a server, would fail.
_DEEPEST = 100
_DIGITS = 300  # a whole number of more of them is read as infinity where numbers have 64 bits


class Refused(Exception):
    """A request that gets an error: HTTP status, code, and words for the client."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s

    def body(self) -> bytes:
        """The error in the form that OpenAI's clients read."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()

    async def send(self, send: "Send") -> None:
        """Answer with it."""
        headers = [(b"content-type", b"application/json")]
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.retry_after_s is not None:
            headers.append((b"retry-after", str(self.retry_after_s).encode()))
        body = self.body()
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Guard:
    """Lets through what may pass and answers the rest itself."""

    def __init__(self, app: "ASGIApp", token: str, names: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        try:
            self._check(scope["path"], scope["method"], headers)
        except Refused as refused:
            await refused.send(send)
            return
        await self._app(scope, receive, send)

    def _check(self, path: str, method: str, headers: dict[bytes, list[bytes]]) -> None:
        hosts = headers.get(b"host", [])
        if len(hosts) != 1:
            raise Refused(400, "bad_host", "one Host header is needed")
        if host_name(hosts[0].decode("latin-1")) not in self._names:
            raise Refused(403, "host_not_allowed", "not called by a name of this server (see serve.hosts)")
        for origin in headers.get(b"origin", []):
            if _origin_host(origin.decode("latin-1")) != hosts[0].decode("latin-1").lower():
                raise Refused(403, "origin_not_allowed", "no page of another origin may call this server")
        if path in _OPEN and method in ("GET", "HEAD"):
            return
        given = headers.get(b"authorization", [])
        kind, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise Refused(401, "invalid_api_key", "the bearer token is missing or wrong: strop serve --show-token")
        if method == "POST" and not _is_json(headers.get(b"content-type", [])):
            raise Refused(415, "not_json", "Content-Type must be application/json")


def host_name(host: str) -> str:
    """The name in a Host header, without its port, lower case; empty for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    plain = parts.netloc == host and not parts.username and "/" not in host
    return (parts.hostname or "") if plain else ""


def _origin_host(origin: str) -> str | None:
    """The host and port of an Origin header, lower case; None for what is none, and for what is no web page's."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None


def names_of(host: str, more: Iterable[str]) -> set[str]:
    """The names that a server listening on `host` may be called by: loopback's, its own, and `more`."""
    return {"localhost", "127.0.0.1", "::1", host.strip("[]").lower(), *more}


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def read_json(receive: "Receive", limit_bytes: int) -> dict[str, Any]:
    """The request's body, one JSON object of at most `limit_bytes`. Raises Refused (400, 408, 413)."""
    try:
        async with asyncio.timeout(_BODY_S):
            body = await _read(receive, limit_bytes)
    except TimeoutError:
        raise Refused(408, "too_slow", f"the request did not arrive within {_BODY_S:.0f} s") from None
    try:
        data = parsed(body)
    except ValueError:
        raise Refused(400, "not_json", "the request is not JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "not_an_object", "the request must be a JSON object")
    return data


def parsed(text: str | bytes) -> Any:
    """What JSON says. Raises ValueError where it is none, and Refused (400) for what no server reads as it is meant:
    values in more than `_DEEPEST` others, and numbers that have become infinite.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise _too_deep() from None
    inside = [data]
    for _ in range(_DEEPEST + 1):
        holders = (one.values() if isinstance(one, dict) else one for one in inside if isinstance(one, dict | list))
        inside = [one for held in holders for one in held]
    if inside:
        raise _too_deep()
    return data


def _too_deep() -> Refused:
    said = f"lists and objects lie more than {_DEEPEST} deep in each other: make it flatter, a tool's schema with $ref"
    return Refused(400, "too_deep", said)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _too_large(digits)
    return number


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _too_large(digits)
    return int(digits)


def _too_large(digits: str) -> Refused:
    shown = digits if len(digits) <= 20 else digits[:20] + "…"
    return Refused(400, "number_too_large", f"{shown} is larger than any number that is read here: send a smaller one")


async def _read(receive: "Receive", limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise Refused(413, "too_large", f"the request is larger than {limit_bytes:,} bytes")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


class Gone(Exception):
    """The client hung up: nobody is there to be answered."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _is_json(given: list[bytes]) -> bool:
    return len(given) == 1 and given[0].split(b";")[0].strip().lower() == b"application/json"
