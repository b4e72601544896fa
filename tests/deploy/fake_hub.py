"""A small stand-in for the Hugging Face Hub's API, as huggingface_hub 2.4 calls it: repositories with their commits,
LFS uploads in one piece and in parts, downloads, and faults on demand.

`faults` maps the name of a call ("whoami", "look", "tree", "file", "create", "card", "preupload", "batch", "put",
"verify", "commit") to a function that may answer instead and says whether it did. `wire` holds every byte that came in.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_" + "madeUpForTests" * 2  # no real one has this shape
LFS = (".safetensors", ".gguf")

Fault = Callable[["Handler"], bool]


@dataclass
class Repo:
    """One repository: its files (name: bytes) by commit, newest last, and what is in LFS."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes]) -> str:
        """A commit with these files; its name."""
        named = hashlib.sha1(f"{len(self.commits)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[named] = files
        return named


class FakeHub(ThreadingHTTPServer):
    """The stand-in's state. `part_bytes` makes LFS uploads come in parts of this size."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.part_bytes: int | None = None
        self.role = "write"
        self.scoped: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.wire: list[bytes] = []
        self.faults: dict[str, Fault] = {}
        self.closed = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, *, private: bool = True, **files: bytes) -> Repo:
        """A repository that is there already."""
        repo = self.repos[name] = Repo(private)
        repo.commit({".gitattributes": b"*.safetensors filter=lfs\n", **files})
        return repo

    def received(self) -> bytes:
        """All that came in, with what a commit holds in base64 read."""
        seen = b"\n".join(self.wire)
        inner = [base64.b64decode(found) for found in re.findall(rb'"(?:content|sample)": ?"([A-Za-z0-9+/=]+)"', seen)]
        return b"\n".join([seen, *inner])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error."""


_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("whoami", "GET", r"/api/whoami-v2"),
    ("create", "POST", r"/api/repos/create"),
    ("card", "POST", r"/api/validate-yaml"),
    ("preupload", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/main"),
    ("commit", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/main"),
    ("look", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+?)(?:/revision/(?P<revision>[0-9a-f]{40}|main))?"),
    ("tree", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[0-9a-f]{40})"),
    ("file", "HEAD", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[0-9a-f]{40})/(?P<name>[^/]+)"),
    ("file", "GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[0-9a-f]{40})/(?P<name>[^/]+)"),
    ("batch", "POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
    ("put", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?"),
    ("whole", "POST", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    ("verify", "POST", r"/verify"),
)
_OPEN = {"put", "whole"}  # signed addresses: no token is sent there


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: FakeHub
    body: bytes = b""
    named: dict[str, str | None]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def _answer(self) -> None:
        self.body = self._read()
        head = f"{self.command} {self.path}\n{self.headers}"
        self.server.wire += [head.encode(), self.body]
        for name, method, pattern in _ROUTES:
            found = re.fullmatch(pattern, urlsplit(self.path).path)
            if found and method == self.command:
                self.server.calls.append(name)
                self.named = found.groupdict()
                self._routed(name)
                return
        self.server.calls.append(f"unknown {self.command} {self.path}")
        self.reply(404, {"error": "no such page"})

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _routed(self, name: str) -> None:
        fault = self.server.faults.get(name)
        if fault is not None and fault(self):
            return
        if name not in _OPEN and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, {"error": "Invalid credentials in Authorization header"})
            return
        getattr(self, f"on_{name}")()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def repo(self) -> Repo:
        return self.server.repos[str(self.named["repo"])]

    def on_whoami(self) -> None:
        token = {"role": self.server.role, "displayName": "tests"}
        if self.server.role == "fineGrained":
            token["fineGrained"] = {"global": [], "scoped": self.server.scoped}  # type: ignore[assignment]
        orgs = [{"name": "moon"}]
        self.reply(200, {"type": "user", "name": "ann", "orgs": orgs, "auth": {"accessToken": token}})

    def on_create(self) -> None:
        asked = self.json
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repos:
            self.reply(409, {"error": "You already created this model repo", "url": f"{self.server.url}/{name}"})
            return
        self.server.add(name, private=asked["visibility"] == "private")
        self.reply(200, {"url": f"{self.server.url}/{name}"})

    def on_card(self) -> None:
        front = self.json["content"].startswith("---\n")
        self.reply(200 if front else 400, {"errors": [] if front else [{"message": "no metadata"}], "warnings": []})

    def on_look(self) -> None:
        if self.named["repo"] not in self.server.repos:
            self.reply(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound"})
            return
        asked = self.named["revision"] or "main"
        sha = self.repo.head if asked == "main" else asked
        siblings = [_sibling(name, data) for name, data in self.repo.commits[sha].items()]
        facts = {"id": self.named["repo"], "sha": sha, "private": self.repo.private, "siblings": siblings}
        self.reply(200, facts)

    def on_tree(self) -> None:
        files = self.repo.commits[str(self.named["revision"])]
        told = []
        for name, data in files.items():
            oid, size = _oid(name, data), len(data)
            lfs = {"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if name.endswith(LFS) else {}
            told.append({"type": "file", "path": name, "oid": oid[:40], "size": size, **lfs})
        self.reply(200, told)

    def on_file(self) -> None:
        name, sha = str(self.named["name"]), str(self.named["revision"])
        data = self.repo.commits[sha][name]
        self.send_response(200)
        for key, value in (("ETag", f'"{_oid(name, data)}"'), ("X-Repo-Commit", sha), ("Content-Length", len(data))):
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def on_preupload(self) -> None:
        held = self.repo.files
        files = []
        for one in self.json["files"]:
            mode = "lfs" if one["path"].endswith(LFS) else "regular"
            oid = _oid(one["path"], held[one["path"]]) if one["path"] in held else None
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.reply(200, {"files": files})

    def on_batch(self) -> None:
        objects = [self._instruction(one["oid"], one["size"]) for one in self.json["objects"]]
        self.reply(200, {"transfer": "basic", "objects": objects})

    def _instruction(self, oid: str, size: int) -> dict[str, Any]:
        if oid in self.server.blobs:
            return {"oid": oid, "size": size}
        href, header = f"{self.server.url}/lfs/{oid}", {}
        if self.server.part_bytes:
            count = -(-size // self.server.part_bytes)
            header = {f"{part:05d}": f"{href}/{part}" for part in range(1, count + 1)}
            header["chunk_size"] = str(self.server.part_bytes)
        verify = {"href": f"{self.server.url}/verify"}
        return {"oid": oid, "size": size, "actions": {"upload": {"href": href, "header": header}, "verify": verify}}

    def on_put(self) -> None:
        oid, part = str(self.named["oid"]), self.named["part"]
        if part is None:
            self.server.blobs[oid] = self.body
        else:
            self.server.parts.setdefault(oid, {})[int(part)] = self.body
        self.reply(200, {}, ETag=f'"{part}"')

    def on_whole(self) -> None:
        oid = str(self.named["oid"])
        self.server.blobs[oid] = b"".join(data for _, data in sorted(self.server.parts[oid].items()))
        self.reply(200, {})

    def on_verify(self) -> None:
        asked = self.json
        self.reply(200 if len(self.server.blobs[asked["oid"]]) == asked["size"] else 422, {})

    def on_commit(self) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        if lines[0]["value"].get("parentCommit", self.repo.head) != self.repo.head:
            self.reply(412, {"error": "A commit has happened since. Please refresh and try again."})
            return
        files = dict(self.repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            else:
                del files[value["path"]]
        sha = self.repo.commit(files)
        self.reply(200, {"commitUrl": f"{self.server.url}/{self.named['repo']}/commit/{sha}", "commitOid": sha})

    def reply(self, status: int, data: Any, **headers: str) -> None:
        """Answer with JSON."""
        text = json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _oid(name: str, data: bytes) -> str:
    if name.endswith(LFS):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": _oid(name, data)}
    if name.endswith(LFS):
        told["lfs"] = {"sha256": _oid(name, data), "size": len(data), "pointerSize": 134}
    return told


def status(code: int, said: str = "no", **headers: str) -> Fault:
    """Answers with this status."""

    def fault(handler: Handler) -> bool:
        handler.reply(code, {"error": said}, **headers)
        return True

    return fault


def cut(handler: Handler) -> bool:
    """The connection ends without an answer."""
    handler.close_connection = True
    handler.connection.close()
    return True


def spoilt(handler: Handler) -> bool:
    """What was sent is kept with one byte changed."""
    handler.body = bytes([handler.body[0] ^ 1]) + handler.body[1:]
    return False


def times(count: int, fault: Fault) -> Fault:
    """The fault, so often; then none."""
    left = [count]

    def limited(handler: Handler) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fault(handler)

    return limited


@contextlib.contextmanager
def running() -> Iterator[FakeHub]:
    """A server for the block."""
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
