"""The home: found by one variable, made for its owner alone."""

import os
import stat
from pathlib import Path

import pytest

from strop.home import Home


def test_strop_home_is_taken_where_it_is_set(tmp_path: Path) -> None:
    assert Home.locate({"STROP_HOME": str(tmp_path / "mine")}).path == tmp_path / "mine"


def test_a_relative_strop_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.locate({"STROP_HOME": "here"}).path == tmp_path / "here"


@pytest.mark.parametrize("env", [{}, {"STROP_HOME": ""}])
def test_without_strop_home_the_systems_data_folder_is_taken(env: dict[str, str]) -> None:
    found = Home.locate(env).path
    assert found.name == "strop"
    assert found.is_absolute()


def test_locating_a_home_makes_nothing(tmp_path: Path) -> None:
    Home.locate({"STROP_HOME": str(tmp_path / "mine")})
    assert list(tmp_path.iterdir()) == []


def test_ensure_makes_every_folder_and_can_be_repeated(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure().ensure()
    made = {path.name for path in home.path.iterdir()}
    assert made == {"models", "datasets", "adapters", "runs", "replays", "builds", "reports", "jobs", "locks"}
    assert home.night_lock.parent.is_dir()


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX thing")
def test_the_folders_are_the_owners_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home.path, *home.path.iterdir())}
    assert modes == {0o700}
