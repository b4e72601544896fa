"""Every fault at every call of a release to Ollama: users stay on the old version or are on the new one.

A first release of the base, then the release of the next version with a fault at one of its calls, once or from then
on. The calls are counted on a release that goes well, so a call that is added is tested too.
"""

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy.release import release, repair, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets import ollama_alias
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.versions import Version, Versions
from strop.errors import StropError
from strop.files import sha256_file

Fault = Callable[[Any], None]
TIMEOUT_S = 0.25


def refuse(status: int, text: str) -> Fault:
    return lambda handler: handler.send(status, {"error": text})


def drop(handler: Any) -> None:
    """The connection ends without a word, as when the server is killed."""
    handler.close_connection = True
    handler.connection.shutdown(2)


def hang(handler: Any) -> None:
    handler.server.hung.wait(4 * TIMEOUT_S)
    drop(handler)


def cut_short(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"models": [')
    handler.wfile.flush()
    drop(handler)


def elsewhere(handler: Any) -> None:
    handler.send_response(307)
    handler.send_header("Location", f"{handler.server.host}/api/pull")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def page(handler: Any) -> None:
    handler.send(200, "<html>log in</html>")


def nothing(handler: Any) -> None:
    handler.send(200)


def wrong_digest(handler: Any) -> None:
    """Every model is another one than it was, in this one answer."""
    models = [
        {"name": name, "model": name, "digest": "f" * 63 + str(i)} for i, name in enumerate(handler.server.digests)
    ]
    shown = {"modelfile": f"FROM /blobs/sha256-{'e' * 64}\n", "template": "", "model_info": {}}
    handler.send(200, {"version": handler.server.version, "models": models, **shown})


def no_digest(handler: Any) -> None:
    handler.send(200, {"models": [{"model": "strop:latest", "digest": "../../etc/passwd"}]})


def success_then_error(handler: Any) -> None:
    handler.lines({"status": "success"}, {"error": "prune failed"})


def ends_early(handler: Any) -> None:
    handler.lines({"status": "writing manifest"})


def done_and_lost(handler: Any) -> None:
    """The work is done and the answer is lost: what the client sees is a dropped connection."""
    handler.send = handler.lines = lambda *_: None
    type(handler).rightly(handler)
    drop(handler)


def done_and_500(handler: Any) -> None:
    send = handler.send
    handler.send = handler.lines = lambda *_: None
    type(handler).rightly(handler)
    send(500, {"error": "could not remove unused layers"})


def restarted(handler: Any) -> None:
    handler.server.restart()
    drop(handler)


def tag_missing(handler: Any) -> None:
    """Somebody removed the new tag; then the call is answered rightly."""
    for name in [name for name in handler.server.digests if name.startswith("strop:v0001")]:
        handler.server.drop(name)
    type(handler).rightly(handler)


def weights_replaced(handler: Any) -> None:
    """The new tag holds other weights."""
    for name in [name for name in handler.server.digests if name.startswith("strop:v0001")]:
        handler.server.add(name, "e" * 64)
    type(handler).rightly(handler)


def other_template(handler: Any) -> None:
    """The tag answers with a template that nobody trained with."""
    for name in [name for name in handler.server.templates if name.startswith("strop:v0001")]:
        handler.server.templates[name] = "{{ .Prompt }}"
    handler.server.chat_tokens = 10
    type(handler).rightly(handler)


FAULTS: dict[str, Fault] = {
    "down": drop,
    "hangs": hang,
    "cut short": cut_short,
    "404": refuse(404, "model not found"),
    "500": refuse(500, "unexpected end of JSON input"),
    "503": refuse(503, "server busy, please try again"),
    "disk full": refuse(500, "write /models/blobs: no space left on device"),
    "redirect": elsewhere,
    "a page": page,
    "an empty answer": nothing,
    "wrong digest": wrong_digest,
    "no digest": no_digest,
    "success, then an error": success_then_error,
    "a stream that ends early": ends_early,
    "done, and the answer lost": done_and_lost,
    "done, and 500": done_and_500,
    "restarted": restarted,
    "tag missing": tag_missing,
    "other weights": weights_replaced,
    "other template": other_template,
}
PROBE = "/generate to see that it answers"
PUBLISH = ("/version", "/tags", "HEAD", "POST", "/version 2", "/create", "/version 3", "/show")
# Before 0.30 three conversations are counted, each rendered by us and by the server; from then on /show tells enough.
COUNTS = tuple(f"{path} {number}" for number in (1, 2, 3) for path in ("/generate", "/chat"))
MOVE = ("/tags 3", "/copy", "/tags 4", "/tags 5", "unload")
STEPS = {
    "0.34.1": (*PUBLISH, "/tags 2", "/version 4", "/show 2", "load", PROBE, "/version 5", *MOVE),
    "0.9.3": (
        "/version",
        "/tags",
        "HEAD",
        "POST",
        "/version 2",
        "/create",
        "/tags 2",
        "/version 3",
        "/show",
        "load",
        PROBE,
        "/version 4",
        *COUNTS,
        *MOVE,
    ),
}
CASES = [(version, number, step) for version, steps in STEPS.items() for number, step in enumerate(steps)]
CURRENT = [case for case in CASES if case[0] == "0.34.1"]
# What the older server is asked and the current one is not.
OLDER = [case for case in CASES if case[0] == "0.9.3" and case[2] in COUNTS]


class Home:
    """A home in which the base is live on a fake Ollama, and the next version is ready to be released."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.server, self.lock = server, folder / "release.lock"
        self.versions = Versions(folder / "state.db")

    @property
    def base(self) -> Version:
        return self.versions.get(0)

    @property
    def next(self) -> Version:
        return self.versions.get(1)

    def target(self, timeout_s: float) -> OllamaTarget:
        return OllamaTarget(OllamaSettings(host=self.server.host, allow_vulnerable=True, timeout_s=timeout_s))

    def release(self, timeout_s: float = 5.0) -> None:
        release(self.versions, self.target(timeout_s), self.next.tag, self.lock, {"verdict": "promote"})

    def tried(self, timeout_s: float) -> StropError | None:
        """A release and its error, None where it was acknowledged."""
        try:
            self.release(timeout_s)
        except StropError as error:
            return error
        return None

    def users(self) -> str | None:
        """The version whose weights the alias answers with, read from the server itself."""
        known = {self.base.sha256: self.base.tag, self.next.sha256: self.next.tag}
        return known.get(self.server.weights.get("strop:latest"))

    def live(self) -> str | None:
        live = self.versions.live()
        return live.tag if live else None


@dataclass(frozen=True)
class Prepared:
    """A home and the state of its server, to be copied for each trial."""

    folder: Path
    server: dict[str, Any]

    def again(self, folder: Path, server: Any) -> Home:
        shutil.copytree(self.folder, folder)
        for name, value in copy.deepcopy(self.server).items():
            setattr(server, name, value)
        return Home(folder, server)


KEPT = ("version", "weights", "digests", "templates", "jinjas", "families", "blobs", "loaded")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> dict[str, Prepared]:
    """By the version of the server."""
    made = {}
    for version in STEPS:
        folder = tmp_path_factory.mktemp("prepared") / "home"
        with fakes.running() as server:
            server.version = version
            home = Home(folder, server)
            for number in (0, 1):
                add(home.versions, fakes, folder, number)
            release(home.versions, home.target(5.0), home.base.tag, home.lock)
            for state in ("certified", "gated"):
                home.versions.set_state(1, state)
            made[version] = Prepared(folder, {name: copy.deepcopy(getattr(server, name)) for name in KEPT})
    return made


def add(versions: Versions, fakes: ModuleType, folder: Path, number: int) -> None:
    here = folder / "builds" / str(number)
    here.mkdir(parents=True)
    gguf = fakes.tiny_gguf(here / "model.gguf", f"build {number}")
    facts: dict[str, Any] = {"number": 0, "state": "certified"} if number == 0 else {}
    versions.add(gguf=gguf, sha256=sha256_file(gguf), folder=here, base_ref="x", adapter_sha=None, quant="F32", **facts)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_alias, "_PAUSE_S", 0.0)


@pytest.fixture(autouse=True)
def quiet_server(monkeypatch: pytest.MonkeyPatch, fakes: ModuleType) -> None:
    """A client that gave up breaks the pipe of the fake: nothing for stderr."""
    monkeypatch.setattr(fakes.FakeOllama, "handle_error", lambda *_: None)


@pytest.mark.parametrize("version", STEPS)
def test_the_steps_are_the_calls_of_a_release(
    prepared: dict[str, Prepared], tmp_path: Path, fake_ollama: Any, version: str
) -> None:
    home = prepared[version].again(tmp_path / "home", fake_ollama)
    home.release()
    wanted = [step.split()[0].replace("unload", "/generate").replace("load", "/generate") for step in STEPS[version]]
    assert len(home.server.calls) == len(wanted)
    assert all(step in call for step, call in zip(wanted, home.server.calls, strict=True))
    assert home.users() == home.live() == home.next.tag


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", [*CURRENT, *OLDER], ids=lambda case: f"{case[2]} of {case[0]}")
def test_a_fault_leaves_users_on_the_old_version_or_the_new(
    prepared: dict[str, Prepared], tmp_path: Path, fake_ollama: Any, case: tuple[str, int, str], fault: str
) -> None:
    home = prepared[case[0]].again(tmp_path / "home", fake_ollama)
    fake_ollama.faults_at = lambda number: FAULTS[fault] if number == case[1] else None
    check(home)


@pytest.mark.parametrize("fault", ["down", "hangs", "500", "redirect", "wrong digest", "done, and the answer lost"])
@pytest.mark.parametrize("case", CURRENT, ids=lambda case: case[2])
def test_a_fault_that_stays_leaves_users_on_the_old_version_or_the_new(
    prepared: dict[str, Prepared], tmp_path: Path, fake_ollama: Any, case: tuple[str, int, str], fault: str
) -> None:
    home = prepared[case[0]].again(tmp_path / "home", fake_ollama)
    fake_ollama.faults_at = lambda number: FAULTS[fault] if number >= case[1] else None
    check(home)


def check(home: Home) -> None:
    """A release with the faults that are set; then without: what may be, and what must be again."""
    old, new = home.base.tag, home.next.tag
    error = home.tried(TIMEOUT_S)
    home.server.faults_at = lambda number: None
    home.server.chat_tokens = 9
    # Before any repair: the alias is the one or the other, never none; an error names what to do.
    assert home.users() in (old, new)
    assert home.live() in (old, new)
    assert home.users() == home.live() == new if error is None else error.hint
    if home.server.weights.get(f"strop:{new}", home.next.sha256) != home.next.sha256:
        home.server.drop(f"strop:{new}")  # as every error about it says: ollama rm
    repair(home.versions, home.target(5.0), home.lock)
    assert home.users() == home.live() == home.target(5.0).active()
    # Nothing is lost: what was acknowledged holds, the way back is there, and so is the way on.
    assert error is not None or home.live() == new
    assert f"strop:{old}" in home.server.digests
    assert home.versions.get(new).state == ("live" if home.live() == new else "gated")
    # A tag that answers with another template is taken back by the first try, and made anew by the second.
    assert home.tried(5.0) is None or home.tried(5.0) is None
    assert home.users() == home.live() == new
    rollback(home.versions, home.target(5.0), home.lock)
    assert home.users() == home.live() == old
