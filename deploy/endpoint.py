"""A model behind an OpenAI-compatible endpoint: `/v1/chat/completions`, greedy and seeded, and nothing else of it.

What comes back is a stranger's: it is read up to a limit of bytes and seconds, it is text and nothing more, and no
redirect is followed. Proxies and keys of the environment are not used; the token goes to this address alone and is in
no message.
"""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from strop.deploy.targets.base import Conversation, Generation
from strop.errors import OnlyThought, ServerTrouble, TargetDown, TargetError, UsageError

if TYPE_CHECKING:
    import httpx2

SEED = 1
_MAX_BYTES = 4 << 20
_CONNECT_S = 5.0
_SAID = 160  # characters of a server's own words in an error
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_HINT = "check the address, the model's name (--model-name) and the token (--token-env)"
TROUBLE = "that is the server's own message: try again later, or look into its log"
THOUGHT = "raise max_tokens of the items, in a suite of your own, or turn thinking off on the server"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the endpoint is: `base` ends in /v1. `token` is never shown."""

    base: str
    model_name: str
    token: str = field(default="", repr=False)
    timeout_s: float = 120.0


def address(
    url: str, model_name: str, *, token: str = "", allow_remote: bool = False, timeout_s: float = 120.0
) -> Address:
    """The address that a URL with or without /v1 means.

    Raises UsageError for what is no plain address, for another machine unless `allow_remote`, and for a token that
    would cross a network in the clear.
    """
    try:
        parts = urlsplit(url)
        plain = parts.port != 0 and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "the endpoint is no plain http(s) address", hint="http://127.0.0.1:8080/v1; a token goes in --token-env"
        )
    local = parts.hostname == "localhost" or _is_loopback(parts.hostname)
    if not (local or allow_remote):
        raise UsageError(f"{parts.hostname} is not this machine", hint="--allow-remote sends the suite's texts there")
    if token and not local and parts.scheme == "http":
        raise UsageError(f"a token would go to {parts.hostname} in the clear", hint="use https")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return Address(f"{parts.scheme}://{parts.netloc}{path}/v1", model_name, token, timeout_s)


class Endpoint:
    """One endpoint. Thread-safe; end it with `close` or a `with` block."""

    def __init__(self, to: Address) -> None:
        import httpx2

        self._to = to
        headers = {"Authorization": f"Bearer {to.token}"} if to.token else {}
        timeout = httpx2.Timeout(to.timeout_s, connect=min(_CONNECT_S, to.timeout_s))
        self._client = httpx2.Client(headers=headers, timeout=timeout, trust_env=False, follow_redirects=False)

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Generation]:
        """One answer each, in order. Raises TargetDown where nothing answers in time, TargetError for a bad answer."""
        return [self._answer(conversation, max_tokens) for conversation in conversations]

    def _answer(self, conversation: Conversation, max_tokens: int) -> Generation:
        body = {
            "model": self._to.model_name,
            "messages": [dict(message) for message in conversation],
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": SEED,
        }
        said = self._post(body)
        try:
            choice = said["choices"][0]
            text = _said(choice["message"])
            if _only_thought(choice, text):
                raise OnlyThought(f"the model thought until max_tokens ({max_tokens}) and said nothing", hint=THOUGHT)
            tokens = (said.get("usage") or {}).get("completion_tokens") or 0
            if not isinstance(text, str):
                raise TypeError
            return Generation(text, int(tokens), choice.get("finish_reason") == "stop")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if trouble := self._reason(said):
                raise ServerTrouble(f"{self._to.base} answered with an error{trouble}", hint=TROUBLE) from error
            raise TargetError(f"{self._to.base} answered something that is no chat completion", hint=_HINT) from error

    def _post(self, body: Mapping[str, Any]) -> Any:
        import httpx2

        try:
            with self._client.stream("POST", f"{self._to.base}/chat/completions", json=body) as response:
                data = self._read(response, monotonic() + self._to.timeout_s)
        except httpx2.TimeoutException as error:
            raise self._too_slow() from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TargetDown(f"nothing answers at {self._to.base} ({type(error).__name__})", hint=_HINT) from error
        if response.is_redirect:
            raise TargetError(f"{self._to.base} sends elsewhere, which is not followed", hint="name the other address")
        if response.status_code != 200:
            said = f"HTTP {response.status_code}{self._reason(_read_json(data))}"
            raise TargetError(f"{self._to.base} refused: {said}", hint=_HINT)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise TargetError(f"{self._to.base} answered something that is no JSON", hint=_HINT) from error

    def _read(self, response: "httpx2.Response", until: float) -> bytes:
        """The body, up to the limits; a server that drips does not hold us."""
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > _MAX_BYTES:
                raise TargetError(f"{self._to.base} answered more than {_MAX_BYTES >> 20} MB", hint=_HINT)
            if monotonic() > until:
                raise self._too_slow()
        return bytes(data)

    def _too_slow(self) -> TargetDown:
        return TargetDown(
            f"{self._to.base} did not answer in {self._to.timeout_s:.0f} s", hint="--timeout-s waits longer"
        )

    def _reason(self, data: Any) -> str:
        """The server's own words, short, without the token and what steers a terminal; empty where there are none."""
        error = data.get("error") if isinstance(data, dict) else None
        words = error.get("message") if isinstance(error, dict) else error
        if not words:
            return ""
        plain = str(words).replace(self._to.token, "***") if self._to.token else str(words)
        printable = "".join(c if c.isprintable() else " " for c in _ESCAPE.sub("", plain))
        return f": {' '.join(printable.split())[:_SAID]}"


def _read_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _only_thought(choice: Mapping[str, Any], text: object) -> bool:
    """Whether max_tokens ended the thinking, so that no answer came."""
    message = choice["message"]
    thought = message.get("reasoning_content") or message.get("reasoning")
    return not text and bool(thought) and choice.get("finish_reason") == "length"


def _said(message: Mapping[str, Any]) -> Any:
    """The answer's text. None at all is no empty answer, unless tools are called in its place."""
    text = message.get("content")
    return "" if text is None and message.get("tool_calls") else text


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
