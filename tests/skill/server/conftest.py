"""Fixtures for the front door: a home with three real tiny versions, and a real `strop serve` on it in a thread."""

import contextlib
import importlib.util
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from strop.config import load, save
from strop.deploy.base import base_gguf
from strop.deploy.build import build
from strop.deploy.convert import convert
from strop.deploy.release import release, rollback
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Versions
from strop.home import Home
from strop.server import running
from strop.server import serve as serving_module
from strop.server.serve import Started, serve
from strop.trainer.models import resolve

QUICK = {"serve.port": 0, "serve.slots": 2, "serve.context_tokens": 512, "serve.max_tokens": 16}


@dataclass
class Door:
    """A running server, and a client that has its token."""

    home: Home
    url: str
    http: httpx2.Client

    def chat(self, text: str = "What is a strop?", **fields: Any) -> httpx2.Response:
        """One question."""
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0, **fields}
        return self.http.post("/v1/chat/completions", json=body)

    @property
    def versions(self) -> Versions:
        return Versions(self.home.state_db)

    def release(self, number: int) -> str:
        """Make a version live, as a night in another process would."""
        kept = self.versions
        target = LlamaCppTarget()
        if kept.get(number).state in ("gated", "stable", "replaced"):
            return release(kept, target, kept.get(number).tag, self.home.release_lock)[1]
        return rollback(kept, target, self.home.release_lock, to=kept.get(number).tag)[1]


@pytest.fixture(scope="session")
def three(tiny_model: ModuleType, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the tiny base (live) and two adapters on it, gated. Do not write to it: copy it."""
    home = Home(tmp_path_factory.mktemp("three") / "home").ensure()
    save(home, {"model": str(tiny_base), "quant": "F16", **QUICK})
    base = resolve(str(tiny_base), home.models)
    f16 = base_gguf(base, home.builds)
    versions = Versions(home.state_db)
    for number, alpha in enumerate((None, 8, 24)):
        folder = home.adapters / f"alpha-{alpha}"
        adapter = tiny_model.make_adapter(tiny_base, folder, lora_alpha=alpha) if alpha else None
        built = build(base, f16, adapter, home.builds / f"build-{number}", "F16")
        made = versions.add(
            gguf=built.gguf,
            sha256=built.sha256,
            folder=built.folder,
            base_ref=base.ref,
            adapter_sha=None,
            quant="F16",
            state="certified",
            number=None if number else 0,
        )
        if number:
            versions.set_state(made.tag, "gated")
        else:
            release(versions, LlamaCppTarget(), made.tag, home.release_lock)
    return home


@pytest.fixture
def home(three: Home, tmp_path: Path, one_thread: None) -> Home:
    """A home of the test's own with three versions, 0 live."""
    shutil.copytree(three.path, tmp_path / "home", ignore=shutil.ignore_patterns("*.lock"))
    return Home(tmp_path / "home")


Serving = Callable[..., contextlib.AbstractContextManager[Door]]


@contextlib.contextmanager
def _serving(home: Home, **settings: Any) -> Iterator[Door]:
    if settings:
        save(home, settings)
    told: list[Started] = []
    up, stop, errors = threading.Event(), threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            serve(home, load(home), on_start=lambda now: (told.append(now), up.set()), stop=stop)
        except BaseException as error:  # the test is told, whatever it is
            errors.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert up.wait(60)
        if errors:
            raise errors[0]
        headers = {"Authorization": f"Bearer {running.token(home)}"}
        with httpx2.Client(base_url=told[0].url, headers=headers, timeout=60, trust_env=False) as http:
            yield Door(home, told[0].url, http)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.fixture
def serving() -> Serving:
    """Runs `strop serve` on a home for a block: `with serving(home, **settings) as door`."""
    return _serving


@pytest.fixture
def door(home: Home) -> Iterator[Door]:
    """A server on a home of the test's own."""
    with _serving(home) as running_door:
        yield running_door


@pytest.fixture(scope="session")
def with_tools(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """with_tools(family) -> the tiny base as GGUF with that family's chat template, which shows tools and calls."""
    import trl

    def made(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        shutil.copytree(tiny_base, folder / "base")
        template = Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja"
        shutil.copyfile(template, folder / "base" / "chat_template.jinja")
        convert(folder / "base", folder / "served.gguf")
        return folder / "served.gguf"

    return made


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module tests/skill/server/scripted.py."""
    spec = importlib.util.spec_from_file_location("strop_tests_scripted", Path(__file__).with_name("scripted.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(scripted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A scripted server behind the door, in place of llama-server."""
    with scripted.running() as running_script:
        monkeypatch.setattr(serving_module, "backends", lambda config, target: scripted.Backends(running_script, 1.5))
        yield running_script


@pytest.fixture
def ollama_like(scripted: ModuleType, script: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The scripted server as one that `strop serve` does not start, and has to ask whether it is there."""
    made = scripted.Backends(script, 1.5)
    made.health = "/api/version"
    monkeypatch.setattr(serving_module, "backends", lambda config, target: made)
    return script


@pytest.fixture
def ollama_door(
    home: Home, serving: Any, ollama_server: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The front door of `home` before a real Ollama of its own. Skips with the reason where there can be none."""
    with contextlib.ExitStack() as stack:
        try:
            program = ollama_server.program(ollama_server.cache_folder())
            host = stack.enter_context(ollama_server.serving(program, tmp_path_factory.mktemp("ollama")))
        except ollama_server.Unavailable as error:
            pytest.skip(str(error))
        settings = {"target": "ollama", "ollama.host": host, "ollama.num_thread": 1, "ollama.allow_vulnerable": True}
        yield stack.enter_context(serving(home, **settings, **{"ollama.num_ctx": 512}))
