"""A small OpenAI-compatible server that answers by a rule and fails on demand."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def say(text: str) -> bytes:
    """A chat completion with this text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 1}}).encode()


class FakeEndpoint(ThreadingHTTPServer):
    """`answer(prompt)` gives the text; `fault(handler, prompt)` may answer instead and says whether it did."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[str], str] = lambda prompt: "A"
        self.fault: Callable[[Any, str], bool] = lambda handler, prompt: False
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeEndpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append({"path": self.path, **body})
        self.server.tokens.append(self.headers.get("Authorization"))
        prompt = body["messages"][-1]["content"]
        if not self.server.fault(self, prompt):
            self.reply(200, say(self.server.answer(prompt)))

    def do_GET(self) -> None:
        self.server.bodies.append({"path": self.path})
        self.reply(404, b"")

    def reply(self, status: int, data: bytes, **headers: str) -> None:
        """Answer with these bytes; a client that has gone is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


def broken(handler: Any, prompt: str) -> bool:
    """HTTP 500, with words of its own."""
    handler.reply(500, b'{"error": {"message": "out of\\u001b[31m memory; your key is sesame"}}')
    return True


def garbage(handler: Any, prompt: str) -> bool:
    """Something that is no JSON."""
    handler.reply(200, b"<html>\xff</html>")
    return True


def other_shape(handler: Any, prompt: str) -> bool:
    """JSON that is no chat completion."""
    handler.reply(200, b'{"choices": [{"message": {"content": ["A"]}}]}')
    return True


def without_content(handler: Any, prompt: str) -> bool:
    """A chat completion whose message holds no text and calls no tool."""
    handler.reply(200, b'{"choices": [{"message": {"role": "assistant", "content": null}, "finish_reason": "stop"}]}')
    return True


def overloaded(handler: Any, prompt: str) -> bool:
    """HTTP 200 around an error, with what steers a terminal in its words, and far too many of them."""
    words = "model overloaded,\x1b[31m\x07\u202e\n try later; your key is sesame" + "!" * 500
    handler.reply(200, json.dumps({"error": {"message": words, "code": 503}}).encode())
    return True


def thinking(handler: Any, prompt: str) -> bool:
    """A model whose thinking took all of max_tokens."""
    message = {"role": "assistant", "content": None, "reasoning_content": "Let me see. First,"}
    handler.reply(200, json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}).encode())
    return True


def endless(handler: Any, prompt: str) -> bool:
    """More than anybody reads."""
    handler.reply(200, b" " * (5 << 20))
    return True


def hanging(handler: Any, prompt: str) -> bool:
    """No answer in time."""
    time.sleep(1.0)
    return True


def dripping(handler: Any, prompt: str) -> bool:
    """A byte now and then, for ever: no single read is late."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    return True


@contextlib.contextmanager
def running() -> Iterator[FakeEndpoint]:
    """A server for the block."""
    with FakeEndpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
