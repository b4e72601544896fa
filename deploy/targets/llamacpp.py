"""The embedded target: llama-server from `xllamacpp`, one child process a version.

The live version is the row in `state.db` and nothing else, so `publish` and `activate` have nothing to move: whoever
answers starts the server of the version that the row names. A server lives as long as the `serve` block that started
it, listens on loopback only, and asks for a random key.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.deploy.versions import Version
from strop.errors import Missing, TargetDown, TargetError

_START_S = 120.0
_STOP_S = 10.0
_END_S = 1.0
# For how many turns an idle thread of libgomp's spins: its own 300,000 are lost where another program wants the core
# (`trainer/supervisor.py` has figures).
_THREADS = {"GOMP_SPINCOUNT": "5000"}


class LlamaChild:
    """One llama-server process: where it answers, and the key that it asks for."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, key: str) -> None:
        self._process = process
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def said_of_its_end(self) -> TargetError | None:
        """The error that says so where the process has ended by itself; None where it still runs.

        Its connections close a moment before it can be seen to have ended.
        """
        try:
            code = self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return TargetError(
            f"llama-server {how} before its answer was whole; where memory is short, the system does that",
            hint="the same command again; STROP_LLAMA_LOG=1 before it shows what llama-server says",
        )

    def close(self) -> None:
        """End the process, whatever it is doing; it takes ten seconds at most. Safe to repeat."""
        _stop(self._process)


class LlamaCppTarget:
    """Serves versions from child processes of this one. `context_tokens` is for each of the `slots`."""

    kind = "llamacpp"

    def __init__(self, *, context_tokens: int = 2048, slots: int = 8, threads: int | None = None) -> None:
        self.context_tokens = context_tokens
        self.slots = slots
        self._threads = threads or _physical_cores()

    @contextmanager
    def serve(self, version: Version) -> Iterator[LlamaServer]:
        """A server for exactly this version; its process ends with the block."""
        with self.serve_file(version.gguf) as server:
            yield server

    @contextmanager
    def serve_file(self, gguf: Path) -> Iterator[LlamaServer]:
        """The same for a file that is no version yet. Raises TargetDown where the server does not come up."""
        import httpx2

        child = self.start(gguf)
        try:
            with httpx2.Client(base_url=child.url, headers=child.headers, timeout=600.0, trust_env=False) as client:
                yield LlamaServer(client, self.slots)
        except TargetError as error:
            if error.__cause__ is None:  # it answered, with a no
                raise
            raise (child.said_of_its_end() or error) from error.__cause__
        finally:
            child.close()

    def start(self, gguf: Path, alias: str | None = None) -> LlamaChild:
        """A server of `gguf` that lives until it is closed; it calls its model `alias`, else by the file's path.

        Raises TargetDown where the server does not come up.
        """
        if not gguf.is_file():
            raise TargetDown(f"there is no file {gguf}", hint="strop versions")
        key = secrets.token_urlsafe(24)
        process = self._start()
        try:
            return LlamaChild(process, self._hand_over(process, gguf, key, alias), key)
        except BaseException:
            _stop(process)
            raise

    def publish(self, version: Version) -> None:
        """Only see that the file is there: every server of it reads it in its place. Raises TargetDown."""
        if not version.gguf.is_file():
            raise TargetDown(f"the file of {version.tag} is gone: {version.gguf}", hint="strop versions")

    def activate(self, version: Version) -> None:
        """Nothing to do: the row in `state.db` is the pointer."""

    def active(self) -> str | None:
        """None: this target keeps no pointer of its own."""
        return None

    def _start(self) -> "subprocess.Popen[str]":
        if find_spec("xllamacpp") is None:
            raise Missing("xllamacpp (the embedded llama-server) is not installed", hint="pip install 'strop[serve]'")
        quiet: Any = None if os.environ.get("STROP_LLAMA_LOG") else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", "strop.deploy.llama_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=quiet,
            env={**_THREADS, **os.environ},
            text=True,
            encoding="utf-8",
        )

    def _hand_over(self, child: "subprocess.Popen[str]", gguf: Path, key: str, alias: str | None) -> str:
        job = {
            "gguf": str(gguf.absolute()),
            "context_tokens": self.context_tokens,
            "slots": self.slots,
            "threads": self._threads,
            "api_key": key,
            "alias": alias,
        }
        if child.stdin is None or child.stdout is None:
            raise TargetDown("llama-server's process has no pipes", hint="strop doctor")
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(child.stdout.readline)
                try:
                    line = answer.result(timeout=_START_S)
                except TimeoutError:
                    child.kill()
                    raise TargetDown(f"llama-server was not up in {_START_S:.0f} s", hint="strop doctor") from None
        except OSError as error:
            raise TargetDown(f"llama-server's process ended at once: {error}", hint="strop doctor") from error
        said = json.loads(line) if line else {"error": "the process ended without a word"}
        if "url" not in said:
            raise TargetDown(f"llama-server could not load {gguf.name}: {said['error']}", hint="strop doctor")
        return str(said["url"])


def _stop(child: "subprocess.Popen[str]") -> None:
    """Close stdin, which ends the child; kill it where that does not."""
    if child.stdin is not None:
        try:
            child.stdin.close()
        except OSError:
            child.kill()
    try:
        child.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _physical_cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or os.cpu_count() or 1
