"""Build the wheel of this checkout and unpack it: `python tests/build_wheel.py FOLDER`.

FOLDER then holds `strop-*.whl` and the package `strop` as users get it. The build runs on a copy of the sources, for
setuptools' own `build/` would bring files back that the tree no longer has, and leave its traces in the checkout.
It needs no network: setuptools is in the environment.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("skill", "feedback", "trainer", "evaluation", "deploy")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def build(folder: Path) -> Path:
    """Build the wheel into `folder`, made anew, with its content unpacked beside it; return the wheel's path.

    Raises `subprocess.CalledProcessError` when the build fails; what pip said is on stderr.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "sources"
        for name in SOURCES:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(ROOT / name, copy / name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*command, "--wheel-dir", str(folder), str(copy)], check=True, stdin=subprocess.DEVNULL)
    (wheel,) = folder.glob("strop-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return wheel


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
