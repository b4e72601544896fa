"""A model's server that does what a test tells it: for faults that a real one cannot be made to have."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from strop.deploy.versions import Version
from strop.server.backend import Backend, _client


@dataclass(frozen=True, slots=True)
class Cut:
    """An answer that is cut by its limit."""

    text: str
    tokens: int


@dataclass
class Script:
    """What to do with each request.

    "ok", "error" (of this request alone), "ill" (of every one), "hang", "late" (not before `go` is set), "cut" (a
    stream that breaks off), "wrong" (one that ends in an error that names a file), "mute" (one without a word; "mute:
    REASON" says why where the answer is whole), {"error": REASON}, a `Cut` answer, or a message to give. The next
    `drops` requests have their connection closed: before any answer, or where it is streamed, before its first event.
    While `away`, all have.
    """

    do: Any = "ok"
    asked: list[dict[str, Any]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    cut_off: threading.Event = field(default_factory=threading.Event)
    listening: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    url: str = ""
    drops: int = 0
    away: bool = False

    def stop(self) -> None:
        """Listen no more, and close every connection at its next request."""
        self.away = True
        self.listening.close()

    def start(self, port: int = 0) -> None:
        """Listen, on a free port or on the one that it had."""
        self.away, self.listening = False, contextlib.ExitStack()
        self.url = self.listening.enter_context(_listening(self, port))

    def start_again(self) -> None:
        """Listen where it listened before."""
        self.start(int(self.url.rpartition(":")[2]))


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_GET(self) -> None:
        if self.script.away:
            self.close_connection = True
        else:
            self._send(200, {"version": "0.0.0"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.script.away:
            self.close_connection = True
            return None
        if self.script.do == "ill":
            return self._send(500, {"error": {"message": "broken"}})
        if asked["messages"][0]["content"] == "Hi":  # the warm-up is always answered
            return self._answer({"content": "Hi."})
        self.script.asked.append(asked)
        do = self.script.do
        if self.script.drops:
            self.script.drops -= 1
            self.close_connection = True
            return self._begin_stream() if asked.get("stream") else None
        if do == "error":
            return self._send(500, {"error": {"message": "broken"}})
        if do == "hang":
            return self._hang()
        if do == "late":
            self.script.go.wait(30)
        if isinstance(do, Cut):
            return self._cut(do, bool(asked.get("stream")))
        if isinstance(do, dict) and "error" in do:
            return self._send(500, {"error": {"message": do["error"]}})
        if isinstance(do, str) and do.startswith("mute"):
            return self._mute(do.partition(": ")[2], bool(asked.get("stream")))
        if asked.get("stream"):
            return self._stream(do)
        self._answer({"content": "Fine."} if do == "ok" else do)

    def _answer(self, message: dict[str, Any]) -> None:
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        self._send(200, {"choices": [choice], "usage": {"completion_tokens": 2}})

    def _send(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _stream(self, do: Any) -> None:
        self._begin_stream()
        if isinstance(do, dict):
            for at, call in enumerate(do["tool_calls"]):
                text = call["function"]["arguments"]
                head = {**call, "index": at, "function": {**call["function"], "arguments": text[:3]}}
                self.wfile.write(chunk({"tool_calls": [head]}))
                self.wfile.write(chunk({"tool_calls": [{"index": at, "function": {"arguments": text[3:]}}]}))
            self.wfile.write(chunk({}, "tool_calls") + b"data: [DONE]\n\n")
            return
        self.wfile.write(chunk({"content": "Fi"}))
        self.wfile.flush()
        if do == "cut":
            return
        if do == "wrong":
            self.wfile.write(b'data: {"error": {"message": "decoding /var/lib/strop/x.gguf failed"}}\n\n')
            return
        if do == "stall":
            return self._hang()
        self.wfile.write(chunk({"content": "ne."}) + chunk({}, "stop") + b"data: [DONE]\n\n")

    def _mute(self, reason: str, streamed: bool) -> None:
        if streamed:
            self._begin_stream()
            self.wfile.write(chunk({"role": "assistant", "content": ""}))
        elif reason:
            self._send(500, {"error": {"message": reason}})
        else:
            self._answer({"content": "Fine."})

    def _cut(self, cut: Cut, streamed: bool) -> None:
        used = {"completion_tokens": cut.tokens}
        if not streamed:
            choice = {"index": 0, "message": {"role": "assistant", "content": cut.text}, "finish_reason": "length"}
            return self._send(200, {"choices": [choice], "usage": used})
        self._begin_stream()
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": used}
        self.wfile.write(chunk({"content": cut.text}) + b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")

    def _hang(self) -> None:
        """Wait until the other side hangs up."""
        self.connection.settimeout(30)
        with contextlib.suppress(OSError):
            while self.connection.recv(1024):
                pass
        self.script.cut_off.set()
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def running() -> Iterator[Script]:
    """The server, on a free port."""
    script = Script()
    script.start()
    try:
        yield script
    finally:
        script.listening.close()


@contextlib.contextmanager
def _listening(script: Script, port: int) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Backends:
    """Every version is the scripted server; `late_s` is how long one takes to come up."""

    def __init__(self, script: Script, timeout_s: float = 5.0) -> None:
        self._script, self._timeout_s = script, timeout_s
        self.late_s = 0.0
        self.health: str | None = None  # what it is asked where it is not our own to start

    async def start(self, version: Version) -> Backend:
        await asyncio.sleep(self.late_s)
        client = _client(self._script.url, self._timeout_s, {})
        return Backend(version, version.tag, client, lambda data: data, health=self.health)

    def needs_bytes(self, version: Version) -> int:
        return 0


def until(true: Any, limit_s: float = 20.0) -> None:
    """Wait until a condition holds; fails where it does not in time."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)
