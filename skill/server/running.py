"""What a running server leaves in the home: its token, and where it can be reached.

The token is made once and stays, so that clients need not be told again. The other file lives as long as the server;
after a crash it is left behind, which is why whoever reads it looks whether that very process still lives.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from strop.errors import Locked, StropError
from strop.files import private_dir, write_bytes, write_json
from strop.home import Home

_HEALTH_S = 2.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server of this home that lives: its address (`http://127.0.0.1:8766`), process, and when that began."""

    url: str
    pid: int
    born: float


def folder(home: Home) -> Path:
    """Where the server keeps its own files; mode 0700."""
    return private_dir(home.path / "serve")


def token_file(home: Home) -> Path:
    """Where the token lies."""
    return home.path / "serve" / "token"


def token(home: Home) -> str:
    """The home's bearer token, made (32 random bytes, mode 0600) where there is none."""
    path = token_file(home)
    with contextlib.suppress(FileNotFoundError):
        found = path.read_text(encoding="ascii").strip()
        if len(found) >= 32:
            return found
        raise StropError(f"{path} holds no token", hint=f"remove {path}; the next strop serve makes another")
    folder(home)
    write_bytes(path, (secrets.token_urlsafe(32) + "\n").encode())
    return path.read_text(encoding="ascii").strip()


@contextlib.contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Hold the home's serve lock. Raises Locked where another server has it."""
    from filelock import FileLock, Timeout

    private_dir(home.locks)
    try:
        lock = FileLock(home.locks / "serve.lock", timeout=0, mode=0o600).acquire()
    except Timeout as error:
        raise Locked("another strop serve runs on this home", hint="strop chat uses it; end it first") from error
    with lock:
        yield


@contextlib.contextmanager
def announced(home: Home, url: str) -> Iterator[None]:
    """Say where the server is for as long as the block lasts."""
    import psutil

    path = folder(home) / "running.json"
    write_json(path, {"url": url, "pid": os.getpid(), "born": psutil.Process().create_time()})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(home: Home) -> Running | None:
    """The server that runs on this home, None where none does. Starts nothing and makes nothing."""
    import psutil

    try:
        data = json.loads((home.path / "serve" / "running.json").read_text(encoding="utf-8"))
        found = Running(str(data["url"]), int(data["pid"]), float(data["born"]))
        alive = abs(psutil.Process(found.pid).create_time() - found.born) < 1
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return found if alive else None


def health(server: Running) -> str:
    """What a running server says of the model behind it: "ok", "starting" or "down"; "silent" where it says nothing."""
    import httpx2

    try:
        with httpx2.Client(base_url=server.url, timeout=_HEALTH_S, trust_env=False) as client:
            return str(client.get("/healthz").json()["status"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return "silent"
