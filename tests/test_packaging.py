"""The wheel holds what the tree holds, installs without torch, and nothing that gets installed goes unpinned."""

import fnmatch
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
STAGES = {"skill", "feedback", "trainer", "evaluation", "deploy"}
TOP_LEVEL = {
    *STAGES,
    *("tests", "SKILL.md", "README.md", "pyproject.toml"),
    *("LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt"),
}
OPTIONAL_TOP_LEVEL = {"benchmarks"}
# torch pins these by itself, and only in its CUDA builds.
_WITH_TORCH = re.compile(r"(nvidia|cuda|triton)(-|$)")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """pyproject.toml, read."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built once for the module, without network."""
    folder = tmp_path_factory.mktemp("wheel") / "built"
    command = [sys.executable, str(ROOT / "tests" / "build_wheel.py"), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("strop-*.whl"))


def _sources(folders: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """(path inside the wheel, path in the tree) of every file of the five folders."""
    for package, folder in folders.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}", path


def test_the_wheel_holds_every_file_of_the_five_folders_and_nothing_else(
    wheel: Path, pyproject: dict[str, Any]
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        expected = dict(_sources(pyproject["tool"]["setuptools"]["package-dir"]))
        assert packed == set(expected)
        differing = [name for name, path in expected.items() if archive.read(name) != path.read_bytes()]
    assert differing == []


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist() if ".dist-info/" in name}
    assert b"strop = strop.cli:main" in texts["entry_points.txt"]
    assert b"License-Expression: Apache-2.0" in texts["METADATA"]
    assert "licenses/LICENSE" in texts
    needed = re.findall(r"^Requires-Dist: ([^\n;]*)$", texts["METADATA"].decode(), re.MULTILINE)
    names = {canonicalize_name(Requirement(requirement).name) for requirement in needed}
    assert "sqlite-utils" in names
    assert not names & {"torch", "transformers", "trl", "numpy", "xllamacpp"}, "the base install is light"


def test_the_top_level_is_the_one_of_the_design() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    names = {path.name for path in ROOT.iterdir() if not any(fnmatch.fnmatch(path.name, rule) for rule in ignored)}
    assert {name for name in names if not name.startswith(".")} - OPTIONAL_TOP_LEVEL == TOP_LEVEL
    assert {".ci", ".gitignore"} <= names


def test_the_changelog_has_the_packages_version(pyproject: dict[str, Any]) -> None:
    assert f"\n## [{pyproject['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _pins() -> dict[str, str]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for pin in pins:
        assert re.fullmatch(r"==[0-9][^,*+]*", str(pin.specifier)), f"{pin} is no exact, portable pin"
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}


def _installed_requirements(pyproject: dict[str, Any]) -> set[str]:
    """The names of all distributions that `make install` brings to this machine, found by following metadata."""
    project, extras = pyproject["project"], pyproject["project"]["optional-dependencies"]
    first = [*project["dependencies"], *extras["train"], *extras["serve"], *pyproject["dependency-groups"]["dev"]]
    waiting, seen = [Requirement(text) for text in first], set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in seen or not _applies(requirement, "") or key[0] == "strop":
                continue
            seen.add(key)
            waiting += [child for child in _children(key[0]) if _applies(child, extra)]
    return {name for name, _ in seen if not _WITH_TORCH.match(name)}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _children(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:
        return []


def test_everything_that_gets_installed_is_pinned(pyproject: dict[str, Any]) -> None:
    assert _installed_requirements(pyproject) - set(_pins()) == set()


def test_the_pins_satisfy_what_pyproject_asks_for(pyproject: dict[str, Any]) -> None:
    pins, extras = _pins(), pyproject["project"]["optional-dependencies"]
    asked = [*pyproject["project"]["dependencies"], *extras["train"], *extras["serve"]]
    asked += [*pyproject["dependency-groups"]["dev"], *pyproject["build-system"]["requires"]]
    requirements = [Requirement(text) for text in asked if not text.startswith("strop[")]
    pinned = {str(requirement): pins[canonicalize_name(requirement.name)] for requirement in requirements}
    assert [text for text, version in pinned.items() if version not in Requirement(text).specifier] == []


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a new environment with the wheel and its base dependencies. Needs package installs."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", str(CONSTRAINTS), str(wheel)], check=True, stdin=subprocess.DEVNULL)
    return scripts


def _strop(scripts: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [str(scripts / "strop"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "STROP_HOME": str(home)},
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


@pytest.mark.slow
def test_the_bare_wheel_brings_no_torch(bare: Path) -> None:
    code = (
        "import importlib.util as u; print([n for n in ('torch', 'transformers', 'trl', 'pandas') if u.find_spec(n)])"
    )
    result = subprocess.run([str(bare / "python"), "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_bare_wheel_records_feedback(bare: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "feedback" in _strop(bare, home, "--help").stdout
    added = _strop(bare, home, "feedback", "add", "--prompt", "Hi", "--answer", "Hello!", "--rating", "up", "--json")
    assert added.returncode == 0, added.stderr
    assert isinstance(json.loads(added.stdout), dict)
    assert (home / "ledger.db").is_file()
    assert "Hello!" in _strop(bare, home, "feedback", "list", "--json").stdout


@pytest.mark.slow
def test_the_bare_wheel_says_what_it_lacks_and_how_to_get_it(bare: Path, tmp_path: Path) -> None:
    doctor = _strop(bare, tmp_path / "home", "doctor")
    assert doctor.returncode in (0, 30), doctor.stderr
    assert "torch" in doctor.stdout
    assert "strop[" in doctor.stdout + doctor.stderr
    train = ["train", "sft", "--model", "smollm2", "--data", "none.jsonl", "--out", "out"]
    assert _strop(bare, tmp_path / "home", *train).returncode in (2, 30)
