"""A small stand-in for an Ollama server that fails on demand, and a GGUF of a few hundred bytes to give it.

It keeps names, digests and templates as a real one of its version does: as 0.34 it answers with the Jinja of the file
that was uploaded, or with the Go template of its `index` whose Jinja is less than 100 edits away, gives some families a
renderer and a parser of its own, and refuses adapters, quantising and safetensors.
`faults` maps `"METHOD /path"`, and `faults_at` the number of a call, to a function that answers instead.
"""

import contextlib
import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from strop.deploy import container
from strop.deploy.gguf import TEMPLATE_KEY, metadata
from strop.errors import BadGguf

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    " }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Answer = Callable[["Handler"], None]
LIMIT = 100
RENDERED = ("gemma4", "laguna", "nemotron_h", "newcomer")


def edits(one: str, other: str) -> int:
    """The Levenshtein distance: insertions, deletions and replacements of single characters."""
    row = np.arange(len(other) + 1)
    codes = np.array([ord(char) for char in other])
    for number, char in enumerate(one, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(char)))
        # Insertions run from left to right: the least of (what came before, less the way from it).
        steps = np.arange(len(other) + 1)
        row = np.minimum.accumulate(np.concatenate(([number], best)) - steps) + steps
    return int(row[-1])


class FakeOllama(ThreadingHTTPServer):
    """The server's state: models by name (their weights' and manifest's digests), uploads, requests and faults."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = "0.34.1"
        self.weights: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.blobs: set[str] = set()
        self.created: dict[str, dict[str, Any]] = {}
        self.loaded: set[str] = set()
        self.calls: list[str] = []
        self.headers_seen: list[dict[str, str]] = []
        self.answer: dict[str, Any] = {"response": "Yes.", "done_reason": "stop", "prompt_eval_count": 9}
        self.faults: dict[str, Answer] = {}
        self.faults_at: Callable[[int], Answer | None] = lambda number: None
        self.index: list[tuple[str, str]] = []
        self.jinjas: dict[str, str] = {}
        self.families: dict[str, str] = {}
        self.templates: dict[str, str] = {}
        self.chat_tokens = 9
        self.hung = threading.Event()

    @property
    def host(self) -> str:
        """The address to call."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def old(self) -> bool:
        """Whether this is a server from before 0.30."""
        return tuple(map(int, self.version.partition("-")[0].split("."))) < (0, 30, 0)

    def add(self, name: str, weights: str, template: str | None = None) -> None:
        """Have a model; its manifest's digest follows from its weights and template."""
        self.weights[name] = weights
        self.digests[name] = hashlib.sha256(f"{weights}{template}".encode()).hexdigest()
        jinja = self.jinjas.get(weights, CHATML)
        own = "{{ .Prompt }}" if self.old else jinja
        self.templates[name] = template or self.nearest(jinja) or own

    def nearest(self, jinja: str) -> str | None:
        """The Go template of the list's nearest Jinja, None where that is 100 edits away or more."""
        found = min(((edits(jinja, known), go) for known, go in self.index), default=(LIMIT, None))
        return found[1] if found[0] < LIMIT else None

    def drop(self, name: str) -> None:
        """Have it no more, nor its weights where no other model uses them."""
        self.digests.pop(name, None)
        self.templates.pop(name, None)
        weights = self.weights.pop(name, None)
        if weights not in self.weights.values():
            self.blobs.discard(str(weights))

    def restart(self) -> None:
        """As after its process ended: nothing is loaded, and uploads that no model uses are gone."""
        self.loaded.clear()
        self.blobs &= set(self.weights.values())


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: FakeOllama
    body: dict[str, Any]
    raw: bytes

    def answer(self) -> None:
        """Note the call, then a fault if one is set, else as Ollama would."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        blob = self.path.startswith("/api/blobs/")
        self.body = json.loads(raw) if raw and not blob else {}
        call = f"{self.command} {'/api/blobs' if blob else self.path}"
        self.server.calls.append(call)
        self.server.headers_seen.append({key.lower(): value for key, value in self.headers.items()})
        fault = self.server.faults_at(len(self.server.calls) - 1) or self.server.faults.get(call)
        self.raw = raw
        (fault or Handler.rightly)(self)

    def rightly(self) -> None:
        """As Ollama would."""
        if self.path.startswith("/api/blobs/"):
            self.blob(hashlib.sha256(self.raw).hexdigest())
        else:
            getattr(self, self.path.rpartition("/")[2])()

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    def blob(self, sha256: str) -> None:
        """HEAD or POST of a file."""
        asked = self.path.rpartition(":")[2]
        if self.command == "HEAD":
            self.send(200 if asked in self.server.blobs else 404)
        elif sha256 != asked:
            self.send(400, {"error": "digest mismatch"})
        else:
            self.server.blobs.add(asked)
            self.look_into(asked)
            self.send(201)

    def look_into(self, sha256: str) -> None:
        """Keep what an uploaded file says about its chat template and family."""
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(self.raw)
            try:
                info = container.read(Path(file.name))
            except BadGguf:  # some tests upload a few bytes
                return
        self.server.jinjas[sha256] = metadata(info, TEMPLATE_KEY, "")
        self.server.families[sha256] = metadata(info, "general.architecture", "")

    def version(self) -> None:
        self.send(200, {"version": self.server.version})

    def tags(self) -> None:
        digests = self.server.digests.items()
        self.send(200, {"models": [{"name": name, "model": name, "digest": digest} for name, digest in digests]})

    def ps(self) -> None:
        self.send(200, {"models": [{"model": name} for name in sorted(self.server.loaded)]})

    def show(self) -> None:
        name = self.body["model"]
        if name not in self.server.weights:
            self.send(404, {"error": f"model '{name}' not found"})
            return
        weights = self.server.weights[name]
        modelfile = f"# made\nFROM /blobs/sha256-{weights}\n"
        if not self.server.old and self.server.families.get(weights, "").startswith(RENDERED):
            modelfile += "RENDERER its-own\nPARSER its-own\n"
        self.send(200, {"modelfile": modelfile, "template": self.server.templates[name], "model_info": {}})

    def create(self) -> None:
        name = self.body["model"]
        refused = {"adapters", "quantize"} & set(self.body) or any(
            file.endswith(".safetensors") for file in self.body["files"]
        )
        if refused and not self.server.old:
            self.send(400, {"error": f"no longer supported: {refused}"})
            return
        weights = next(iter(self.body["files"].values())).partition(":")[2]
        if weights not in self.server.blobs:
            self.send(400, {"error": "no such blob"})
            return
        self.server.add(name, weights, self.body.get("template"))
        self.server.created[name] = self.body
        self.lines({"status": "writing manifest"}, {"status": "success"})

    def copy(self) -> None:
        source, destination = self.body["source"], self.body["destination"]
        if source not in self.server.digests:
            self.send(404, {"error": "no such model"})
            return
        for kept in (self.server.weights, self.server.digests, self.server.templates):
            kept[destination] = kept[source]
        self.send(200)

    def delete(self) -> None:
        known = self.body["model"] in self.server.digests
        self.server.drop(self.body["model"])
        self.send(200 if known else 404)

    def chat(self) -> None:
        said = {"role": "assistant", "content": "Yes."}
        count = self.server.chat_tokens
        self.send(200, {"model": self.body["model"], "done": True, "message": said, "prompt_eval_count": count})

    def generate(self) -> None:
        name = self.body["model"]
        if self.body.get("prompt"):
            self.send(200, {"model": name, "done": True, "eval_count": 2, **self.server.answer})
            return
        unload = self.body.get("keep_alive") == 0
        (self.server.loaded.discard if unload else self.server.loaded.add)(name)
        reason = "unload" if unload else "load"
        self.send(200, {"model": name, "done": True, "done_reason": reason, "response": ""})

    def send(self, status: int, data: object = None) -> None:
        """A whole answer."""
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def lines(self, *parts: object) -> None:
        """A stream of JSON lines under HTTP 200."""
        body = "".join(json.dumps(part) + "\n" for part in parts).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


def failing(status: int, text: str = "it broke") -> Answer:
    """A fault: an HTTP error."""
    return lambda handler: handler.send(status, {"error": text})


def hanging(handler: Handler) -> None:
    """A fault: no answer until the test is over."""
    handler.server.hung.wait(30)
    handler.close_connection = True


@contextlib.contextmanager
def running() -> Iterator[FakeOllama]:
    """A fake server in a thread of its own."""
    server = FakeOllama()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.hung.set()
        server.shutdown()
        thread.join()
        server.server_close()


def tiny_gguf(path: Path, mark: str, template: str | None = CHATML, family: str = "llama") -> Path:
    """A GGUF with one tensor and a chat template; `mark` makes its bytes its own."""
    fields = [
        container.field("general.architecture", family, "str"),
        container.field("general.name", mark, "str"),
        container.field(f"{family}.context_length", 2048, "u32"),
        container.field("tokenizer.ggml.tokens", ["<s>", "<|im_end|>"], "str[]"),
        container.field("tokenizer.ggml.bos_token_id", 0, "u32"),
        container.field("tokenizer.ggml.eos_token_id", 1, "u32"),
    ]
    if template is not None:
        fields.append(container.field("tokenizer.chat_template", template, "str"))
    data = np.zeros((1, 32), np.float32)
    container.write(path, fields, [container.Planned("token_embd.weight", 0, (1, 32), lambda: [data])])
    return path
