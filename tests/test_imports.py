"""Importing Strop is cheap: the package imports nothing by itself, and no module loads what only some commands need."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# These stay inside the functions that need them.
HEAVY = (
    *("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes"),
    *("gguf", "scipy", "datasketch", "xllamacpp", "ollama", "sqlite_utils", "pandas"),
)

_IMPORT_ALL = """
import importlib, json, sys
heavy, names = json.loads(sys.argv[1]), json.loads(sys.argv[2])
found = {}
for name in names:
    importlib.import_module(name)
    loaded = [package for package in heavy if package in sys.modules]
    if loaded:
        found[name] = loaded
        break
print(json.dumps(found))
"""

_RUN_COMMAND = """
import json, sys
from strop.cli.app import run
code = run(json.loads(sys.argv[2]))
loaded = [package for package in json.loads(sys.argv[1]) if package in sys.modules]
print(json.dumps({"code": code, "loaded": loaded}), file=sys.stderr)
"""


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


def module_names() -> list[str]:
    """The import names of all modules in the five folders, as pyproject.toml maps them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        folders = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    names = []
    for package, folder in folders.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names.append(".".join((package, *(part for part in parts if part != "__init__"))))
    return [name for name in names if not name.endswith("__main__")]


def test_importing_strop_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import strop; print(*sorted(set(sys.modules) - before))"
    assert _python(code).stdout.split() == ["strop"]


def test_no_module_loads_a_heavy_package_when_imported() -> None:
    names = module_names()
    assert {"strop", "strop.errors", "strop.feedback", "strop.deploy.targets"} <= set(names)
    found = json.loads(_python(_IMPORT_ALL, json.dumps(HEAVY), json.dumps(names)).stdout)
    assert found == {}, "the first module after whose import a heavy package is loaded"


def test_no_stage_is_importable_by_its_folder_name() -> None:
    code = (
        "import importlib.util as u; print([n for n in ('skill', 'feedback', 'trainer', 'deploy') if u.find_spec(n)])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    result = _python(_RUN_COMMAND, json.dumps([*HEAVY, "numpy"]), json.dumps(["--help"]))
    assert json.loads(result.stderr.splitlines()[-1]) == {"code": 0, "loaded": []}


def test_recording_a_reaction_loads_nothing_heavy_once_the_ledger_is_there(tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    call = [*home, "feedback", "add", "--prompt", "Hi", "--answer", "Hello!", "--rating", "up"]
    _python(_RUN_COMMAND, "[]", json.dumps(call))  # makes the ledger, where sqlite_utils may migrate
    result = _python(_RUN_COMMAND, json.dumps([*HEAVY, "numpy"]), json.dumps(call))
    assert json.loads(result.stderr.splitlines()[-1]) == {"code": 0, "loaded": []}
