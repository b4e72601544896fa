"""A release and a rollback, killed with SIGKILL at every step: users are on the old version or the new, never on none.

On the embedded target, on a fake Ollama of today, and on a real Ollama. Each trial is a process of its own.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy.release import release, repair, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.base import Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.targets.ollama_api import OllamaApi
from strop.deploy.versions import Versions
from strop.files import sha256_file

CHILD = Path(__file__).with_name("swap_child.py")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")]


@dataclass(frozen=True)
class Ground:
    """A home in which the base is live and version 1 may be released; it is copied for each trial."""

    folder: Path
    target: Callable[[], Target]
    ollama: dict[str, Any] | None
    reset: Callable[[Versions], None]
    users: Callable[[Versions], str | None]


def ground(folder: Path, ggufs: tuple[Path, Path]) -> Versions:
    """Rows for the two files; nothing is live yet."""
    versions = Versions(folder / "state.db")
    for number, gguf in enumerate(ggufs):
        facts: dict[str, Any] = {"number": 0, "state": "certified"} if number == 0 else {}
        versions.add(
            gguf=gguf,
            sha256=sha256_file(gguf),
            folder=gguf.parent,
            base_ref="x",
            adapter_sha=None,
            quant="F16",
            **facts,
        )
    for state in ("certified", "gated"):
        versions.set_state(1, state)
    return versions


def lock_of(versions: Versions) -> Path:
    return versions.state_db.parent / "locks" / "release.lock"


def run(made: Ground, home: Path, kind: str, kill_at: int | None) -> tuple[int, list[str]]:
    """The child's exit code and the steps that it took."""
    job = {"state_db": str(home / "state.db"), "kind": kind, "tag": "1", "kill_at": kill_at}
    if made.ollama is not None:
        job["ollama"] = made.ollama
    child = [sys.executable, str(CHILD), json.dumps(job)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.splitlines()


def trial(made: Ground, home: Path, kind: str, kill_at: int | None) -> list[str]:
    """One kill in a fresh copy of the home, and what must hold after it and after the repair."""
    shutil.copytree(made.folder, home)
    versions = Versions(home / "state.db")
    made.reset(versions)
    old, new = versions.get(0).tag, versions.get(1).tag
    if kind == "rollback":
        release(versions, made.target(), new, lock_of(versions))
    code, steps = run(made, home, kind, kill_at)
    assert code == (0 if kill_at is None else -signal.SIGKILL)
    live = versions.live()
    assert live is not None
    assert live.tag in (old, new)
    assert made.users(versions) in (old, new)
    repair(versions, made.target(), lock_of(versions))
    live = versions.live()
    assert live is not None
    assert made.users(versions) == live.tag
    with versions.transaction() as db:
        assert db.execute("SELECT count(*) FROM intents WHERE state = 'open'").fetchone() == (0,)
    if live.tag == (old if kind == "release" else new):  # undone: it can be done now
        if kind == "release":
            release(versions, made.target(), new, lock_of(versions))
        else:
            rollback(versions, made.target(), lock_of(versions))
    after = versions.live()
    assert after is not None
    assert made.users(versions) == after.tag == (new if kind == "release" else old)
    return steps


def every_step(made: Ground, folder: Path, kind: str) -> list[str]:
    """A run to the end, then one killed at each of its steps."""
    steps = trial(made, folder / "whole", kind, None)
    for number in range(len(steps)):
        taken = trial(made, folder / f"killed-{number}", kind, number)
        assert taken == steps[: number + 1]
    return steps


@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_the_embedded_target(tiny_f16: Path, tmp_path: Path, kind: str) -> None:
    """The row is the pointer: what it names is a file that a server can be started on."""
    folder = tmp_path / "home"
    ggufs = (folder / "0" / "model.gguf", folder / "1" / "model.gguf")
    for path in ggufs:
        path.parent.mkdir(parents=True)
        shutil.copyfile(tiny_f16, path)
    versions = ground(folder, ggufs)
    release(versions, LlamaCppTarget(), versions.get(0).tag, lock_of(versions))
    served: set[str] = set()

    def users(kept: Versions) -> str | None:
        live = kept.live()
        if live is None or not live.gguf.is_file():
            return None
        if live.tag not in served:
            with LlamaCppTarget(context_tokens=128, slots=1, threads=1).serve(live) as server:
                server.generate([[{"role": "user", "content": "Hi"}]], max_tokens=1)
            served.add(live.tag)
        return live.tag

    steps = every_step(Ground(folder, LlamaCppTarget, None, lambda _: None, users), tmp_path, kind)
    assert {"before activate", "in transaction", "in lock", "end"} <= set(steps)


def on_ollama(folder: Path, settings: OllamaSettings, ggufs: tuple[Path, Path]) -> Ground:
    """The base live on a server; between trials version 1 has no tag and the alias is at the base."""
    versions = ground(folder, ggufs)
    release(versions, OllamaTarget(settings), versions.get(0).tag, lock_of(versions))
    api = OllamaApi(settings)

    def reset(kept: Versions) -> None:
        target = OllamaTarget(settings)
        target.activate(kept.get(0))
        target.remove(kept.get(1))

    def users(kept: Versions) -> str | None:
        digests = api.digests()
        tags = [one.tag for one in kept.list() if digests.get(f"{settings.alias}:{one.tag}") is not None]
        at = [tag for tag in tags if digests[f"{settings.alias}:{tag}"] == digests.get(f"{settings.alias}:latest")]
        return at[0] if len(at) == 1 else None

    return Ground(folder, lambda: OllamaTarget(settings), settings.model_dump(), reset, users)


@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_a_fake_ollama(fakes: ModuleType, fake_ollama: Any, tmp_path: Path, kind: str) -> None:
    ggufs = tuple(fakes.tiny_gguf(tmp_path / f"{number}.gguf", f"build {number}") for number in (0, 1))
    settings = OllamaSettings(host=fake_ollama.host, timeout_s=10)
    steps = every_step(on_ollama(tmp_path / "home", settings, (ggufs[0], ggufs[1])), tmp_path, kind)
    assert {"before copy", "before digests", "in transaction", "before load", "end"} <= set(steps)


@pytest.mark.ollama
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_a_real_ollama(real_ollama: str, tiny_f16: Path, tmp_path: Path, kind: str) -> None:
    base, other = tmp_path / "base.gguf", tmp_path / "other.gguf"
    base.write_bytes(tiny_f16.read_bytes())
    other.write_bytes(tiny_f16.read_bytes()[:-1] + b"\1")
    assert base.read_bytes() != other.read_bytes()
    settings = OllamaSettings(
        host=real_ollama, alias=f"killed-{kind}", allow_vulnerable=True, num_ctx=256, num_thread=1, timeout_s=120
    )
    made = on_ollama(tmp_path / "home", settings, (base, other))
    try:
        every_step(made, tmp_path, kind)
    finally:
        api = OllamaApi(settings)
        for name in [name for name in api.digests() if name.startswith(f"{settings.alias}:")]:
            api.load(name, 0)
            api.delete(name)
