"""A run that takes no step in ten times the median is named as stuck, and one that is only slow is left alone."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.errors import Missing, TrainingFailed
from strop.trainer import machine, supervisor, watch
from strop.trainer.watch import StuckWatch
from strop.trainer.work import Job


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_there_is_no_limit_before_two_steps_and_after_the_last() -> None:
    clock = Clock()
    found = StuckWatch(clock)
    assert found.limit_s is None
    found.step("sft", 1, 3)
    assert found.left_s is None
    clock.now += 20
    found.step("sft", 2, 3)
    assert found.limit_s == 200
    clock.now += 20
    found.step("sft", 3, 3)
    assert found.limit_s is None


def test_the_limit_is_ten_medians_and_at_least_a_minute() -> None:
    clock = Clock()
    found = StuckWatch(clock)
    for step, seconds in enumerate((0, 1, 2, 30, 2, 1), 1):
        clock.now += seconds
        found.step("sft", step, 100)
    assert found.limit_s == 60
    for step in range(7, 20):
        clock.now += 9
        found.step("sft", step, 100)
    assert found.limit_s == 90
    clock.now += 100
    assert found.left_s == 0
    assert found.sentence == "sft: no step for 100 s, and a step usually takes 9.0 s"


def test_a_new_stage_begins_anew() -> None:
    clock = Clock()
    found = StuckWatch(clock)
    for step in (1, 2):
        clock.now += 1
        found.step("sft", step, 9)
    found.step("dpo", 1, 9)
    assert found.limit_s is None


@pytest.fixture
def child_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Puts a short Python program in the place of the training child; returns the children that were started."""
    real, started = subprocess.Popen, []

    def put(program: str) -> list[Any]:
        def start(command: list[str], **kwargs: Any) -> Any:
            started.append(real([sys.executable, "-c", "import json, time\n" + program], **kwargs))
            return started[-1]

        monkeypatch.setattr(supervisor.subprocess, "Popen", start)
        return started

    return put


def job(tmp_path: Path, base: Path | None = None) -> Job:
    return Job(str(base or tmp_path / "none"), {}, {}, {"stages": []}, str(tmp_path / "out"))


_STEPS = """
def step(number, steps):
    at = {"stage": "sft", "step": number, "steps": steps, "figures": {"loss": 1.0}}
    print(json.dumps({"progress": at}), flush=True)
"""


def test_a_child_that_stops_stepping_is_ended_and_named(
    monkeypatch: pytest.MonkeyPatch, child_says: Callable[[str], list[Any]], tmp_path: Path
) -> None:
    monkeypatch.setattr(watch, "LEAST_S", 0.3)
    children = child_says(_STEPS + "for number in range(1, 5): step(number, 100)\ntime.sleep(100)\n")
    with pytest.raises(TrainingFailed, match=r"stuck in sft: no step for \d+ s, and a step usually takes") as error:
        supervisor.run_child(job(tmp_path), lambda *at: None)
    assert "strop plan" in error.value.hint
    assert children[0].poll() is not None


def test_a_child_that_saves_for_long_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, child_says: Callable[[str], list[Any]], tmp_path: Path
) -> None:
    monkeypatch.setattr(watch, "LEAST_S", 0.1)
    child_says(_STEPS + "for number in range(1, 5): step(number, 4)\ntime.sleep(1)\nprint(json.dumps({'done': {}}))\n")
    assert supervisor.run_child(job(tmp_path), lambda *at: None) == {}


def test_no_child_is_started_where_the_adapter_would_not_fit(
    monkeypatch: pytest.MonkeyPatch, child_says: Callable[[str], list[Any]], tiny_base: Path, tmp_path: Path
) -> None:
    children = child_says("")
    monkeypatch.setattr(machine, "free_bytes", lambda path: 1000)
    with pytest.raises(Missing, match="of disk are needed"):
        supervisor.run_child(job(tmp_path, tiny_base), lambda *at: None)
    assert children == []
