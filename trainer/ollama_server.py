"""What the Ollama that runs on this machine says of a name: asked only where its file was not found on the disk.

One question (`POST /api/show`), to a loopback address alone, without proxies, keys and redirects. Nothing is changed,
loaded or fetched by it.
"""

import ipaddress
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_USUAL = "127.0.0.1:11434"
_PORT = 11434
_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 64 << 20  # the answer holds the vocabulary in some versions


@dataclass(frozen=True, slots=True)
class Told:
    """The Modelfile of a name as a server at `host` tells it; None, and why, where none does."""

    host: str
    modelfile: str | None
    reason: str


def show(name: str, host: str | None = None) -> Told:
    """Ask the server at `host`, then the one that OLLAMA_HOST names (else the usual one); the first that knows it."""
    addresses = dict.fromkeys([*([host] if host else []), os.environ.get("OLLAMA_HOST") or _USUAL])
    told = [_asked(address, name) for address in addresses]
    reasons = ", ".join(dict.fromkeys(one.reason for one in told))
    return next((one for one in told if one.modelfile is not None), Told(told[-1].host, None, reasons))


def _asked(address: str, name: str) -> Told:
    import httpx2

    url = _loopback(address)
    if url is None:
        return Told(address, None, f"the Ollama at {address} is not on this machine")
    try:
        with (
            httpx2.Client(trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S) as http,
            http.stream("POST", f"{url}/api/show", json={"model": name}) as response,
        ):
            if response.status_code == 404:
                return Told(url, None, f"the Ollama at {url} does not know it")
            return _read(url, response.status_code, response)
    except httpx2.HTTPError:
        return Told(url, None, f"no Ollama answers at {url}")


def _read(url: str, status: int, response: Any) -> Told:
    import json

    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            break
    try:
        modelfile = json.loads(body)["modelfile"] if status == 200 else None
    except (ValueError, TypeError, LookupError):
        modelfile = None
    if not isinstance(modelfile, str):
        return Told(url, None, f"what answers at {url} does not show it as an Ollama does (HTTP {status})")
    return Told(url, modelfile, "")


def _loopback(address: str) -> str | None:
    """`http://ADDRESS:PORT` for what OLLAMA_HOST may hold, None where that is another machine or no address.

    Where a server listens on all addresses (`0.0.0.0`, `::`), the loopback one is called.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        name, port = parts.hostname or "127.0.0.1", parts.port or _PORT
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104 (compared, not bound)
        loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return None
    return f"http://{f'[{name}]' if ':' in name else name}:{port}" if loopback else None
