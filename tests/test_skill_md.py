"""SKILL.md is a skill that any AgentSkills client can load, and says what the code does."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import strictyaml

from strop import errors

ROOT = Path(__file__).resolve().parent.parent
SKILL = ROOT / "SKILL.md"
EXIT_CODES = {0, 1, 2, 10, 11, 20, 21, 30, 40, 124, 130}


@pytest.fixture(scope="module")
def parts() -> tuple[dict[str, Any], str]:
    """(front matter, body) as the reference parser splits them, all values as text."""
    _, front, body = SKILL.read_text(encoding="utf-8").split("---\n", 2)
    return strictyaml.load(front).data, body


def _skills_ref(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skills_ref.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)


def test_the_reference_validator_accepts_a_copy_in_a_folder_named_strop(tmp_path: Path) -> None:
    folder = tmp_path / "strop"
    folder.mkdir()
    shutil.copy(SKILL, folder)
    result = _skills_ref("validate", str(folder))
    assert result.returncode == 0, result.stderr


def test_the_reference_validator_would_refuse_another_folder_name(tmp_path: Path) -> None:
    folder = tmp_path / "skill"
    folder.mkdir()
    shutil.copy(SKILL, folder)
    assert _skills_ref("validate", str(folder)).returncode == 1


def test_the_description_says_what_and_when_in_the_allowed_length(parts: tuple[dict[str, Any], str]) -> None:
    front, _ = parts
    description = front["description"]
    assert front["name"] == "strop"
    assert len(description) <= 1024
    assert not set(description) & set("<>")
    assert "Use when" in description
    # Clients cut long lists of descriptions: the words that people say come first.
    assert re.match(r"Fine-tune .*feedback", description[:160])


def test_openclaw_finds_its_keys_in_block_form(parts: tuple[dict[str, Any], str]) -> None:
    openclaw = parts[0]["metadata"]["openclaw"]
    assert openclaw["requires"]["bins"] == ["strop"]
    assert "env" not in openclaw["requires"], "a required variable would hide the skill from who needs none"
    assert "always" not in openclaw
    assert {variable["name"]: variable["required"] for variable in openclaw["envVars"]} == {
        "STROP_HOME": "false",
        "HF_TOKEN": "false",
    }


def test_the_version_is_the_packages_version(parts: tuple[dict[str, Any], str]) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{parts[0]["metadata"]["version"]}"\n' in pyproject


def test_the_body_is_short_enough_to_be_read_whole(parts: tuple[dict[str, Any], str]) -> None:
    assert len(parts[1].splitlines()) < 300


def test_the_exit_code_table_is_the_one_of_the_code(parts: tuple[dict[str, Any], str]) -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", parts[1], re.MULTILINE)}
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert documented == EXIT_CODES
    assert raised <= documented
