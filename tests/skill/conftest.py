"""Fixtures for the tests of the loop: homes that stand on the tiny base, and a night that was killed in its gate."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from strop.cli.app import run
from strop.config import load
from strop.deploy.targets import llamacpp
from strop.home import Home
from strop.setup import prepare
from strop.target import open_target


@dataclass(frozen=True)
class Told:
    """What a command printed, and the code it left with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Killed:
    """A home in which a night was killed, and what became of the processes that it had started."""

    home: Home
    left_running: list[str]
    said: list[str]


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nights() -> ModuleType:
    """The module tests/skill/nights.py."""
    return _module("strop_tests_nights", Path(__file__).with_name("nights.py"))


@pytest.fixture(scope="session")
def ollama_server() -> ModuleType:
    """The module tests/ollama/server.py: a real Ollama for tests."""
    return _module("strop_tests_ollama_server", Path(__file__).parent.parent / "ollama" / "server.py")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama-server with one thread: idle threads spin, which costs more than a tiny model gains."""
    monkeypatch.setattr(llamacpp, "_physical_cores", lambda: 1)


@pytest.fixture(scope="session")
def standing(nights: ModuleType, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home on the tiny base, which is certified and live as version 0. Do not write to it: copy it."""
    home: Home = nights.settle(Home(tmp_path_factory.mktemp("standing") / "home"), tiny_base)
    config = load(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp, "_physical_cores", lambda: 1)
        prepare(home, config, open_target(home, config), nights.Watch())
    return home


@pytest.fixture(scope="session")
def killed(nights: ModuleType, standing: Home, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """A real night of the real program, killed by SIGKILL while it judged. Do not write to its home: copy it."""
    home: Home = nights.copied(standing, tmp_path_factory.mktemp("killed") / "home")
    nights.correct(home, 60)
    said: list[str] = []
    with nights.program(home, "night") as child:
        assert child.stderr is not None
        for line in child.stderr:
            said.append(line.strip())
            if line.startswith("measure candidate"):
                break
        family = psutil.Process(child.pid).children(recursive=True)
        child.kill()
        child.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    return Killed(home, [" ".join(process.cmdline()) for process in alive], said)


@pytest.fixture
def home(nights: ModuleType, standing: Home, tmp_path: Path, one_thread: None) -> Home:
    """A home of the test's own on the tiny base, with an empty ledger."""
    copy: Home = nights.copied(standing, tmp_path / "home")
    return copy


@pytest.fixture
def trained(nights: ModuleType, killed: Killed, tmp_path: Path, one_thread: None) -> Home:
    """A home of the test's own whose night was killed after its training, with 60 corrections."""
    copy: Home = nights.copied(killed.home, tmp_path / "home")
    return copy


@pytest.fixture
def strop(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs `strop --home HOME ARGS` in this process."""

    def call(home: Home, *args: str) -> Told:
        capsys.readouterr()
        code = run(["--home", str(home.path), *args])
        return Told(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module tests/skill/fake_endpoint.py."""
    return _module("strop_tests_endpoint", Path(__file__).with_name("fake_endpoint.py"))


@pytest.fixture
def endpoint(fake: ModuleType) -> Iterator[Any]:
    with fake.running() as server:
        yield server


@pytest.fixture(scope="session")
def adapter(tiny_model: ModuleType, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tiny_model.make_adapter(tiny_base, tmp_path_factory.mktemp("adapter") / "mine")
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """A home in which nothing is set up."""
    return Home(tmp_path / "bare")


@pytest.fixture(scope="session")
def released() -> ModuleType:
    """The module tests/skill/released.py: homes with versions of a few hundred bytes."""
    return _module("strop_tests_released", Path(__file__).with_name("released.py"))


@pytest.fixture
def strop_run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """The program on a home: what it printed and its exit code."""

    def call(home: Home, *args: str) -> Told:
        capsys.readouterr()
        code = run(["--home", str(home.path), *args])
        return Told(code, *capsys.readouterr())

    return call
