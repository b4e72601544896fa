"""Figures in Trackio: a stand-in records what it is told; the real one is asked where it is installed."""

import importlib.util
import os
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.trainer.tracking import tracked


class Trackio(ModuleType):
    """What Trackio is asked for, in a module that says it."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("trackio")
        self.__spec__ = importlib.util.spec_from_loader("trackio", loader=None)
        self.told: list[Any] = []
        self._fails = fails

    def init(self, **asked: Any) -> "Trackio":
        sys.stdout.write("* Trackio project initialized\n")
        self.told.append(("init", asked, {name: os.environ.get(name) for name in ("TRACKIO_SPACE_ID",)}))
        return self

    def log(self, figures: dict[str, float], step: int) -> None:
        if self._fails:
            raise OSError("the disk is full")
        self.told.append(("log", step, figures))

    def finish(self) -> None:
        self.told.append(("finish",))


@pytest.fixture
def said() -> list[str]:
    return []


def installed(monkeypatch: pytest.MonkeyPatch, **kind: Any) -> Trackio:
    module = Trackio(**kind)
    monkeypatch.setitem(sys.modules, "trackio", module)
    return module


def test_figures_stay_here_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    trackio = installed(monkeypatch)
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/else")
    with tracked("adapter", None, said.append) as track:
        track(1, {"sft/loss": 2.0})
    (_, asked, environment), *rest = trackio.told
    assert (asked["project"], asked["name"], asked["space_id"]) == ("strop", "adapter", None)
    assert environment == {"TRACKIO_SPACE_ID": None}
    assert rest == [("log", 1, {"sft/loss": 2.0}), ("finish",)]
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/else"
    assert capsys.readouterr().out == ""  # stdout is the command's own
    assert said == []


def test_a_space_is_private_and_only_where_it_was_named(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    trackio = installed(monkeypatch)
    with tracked("adapter", "me/strop", said.append):
        pass
    asked = trackio.told[0][1]
    assert (asked["space_id"], asked["private"]) == ("me/strop", True)


def test_a_tracker_that_fails_is_named_once_and_costs_nothing(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    trackio = installed(monkeypatch, fails=True)
    with tracked("adapter", None, said.append) as track:
        track(1, {})
        track(2, {})
    assert said == ["trackio failed, so nothing more is tracked: OSError: the disk is full"]
    assert [what for what, *_ in trackio.told] == ["init"]


def test_without_trackio_nothing_is_said_unless_a_space_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr("strop.trainer.tracking.find_spec", lambda name: None)
    with tracked("adapter", None, said.append) as track:
        track(1, {"loss": 1.0})
    assert said == []
    with tracked("adapter", "me/strop", said.append):
        pass
    assert "pip install trackio" in said[0]


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="Trackio is not installed")
def test_the_real_one_writes_to_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]) -> None:
    import trackio.sqlite_storage as storage

    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path)
    with tracked("adapter", None, said.append) as track:
        track(1, {"sft/loss": 2.5})
    with sqlite3.connect(tmp_path / "strop.db") as found:
        assert "2.5" in str(found.execute("SELECT metrics FROM metrics").fetchall())
    assert said == []
