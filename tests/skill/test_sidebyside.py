"""Candidate and incumbent side by side: what that needs, what it gives, and what an end in the midst does."""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from strop import judge, sidebyside
from strop.config import load
from strop.deploy.served import scorer_bytes
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.versions import Versions
from strop.errors import TargetError
from strop.home import Home
from strop.setup import OnProgress
from strop.sidebyside import at_once, hold_both
from strop.trainer.models import resolve

from .test_judge import gate_items


def silent(step: str, share: float | None, text: str) -> None:
    pass


def meeting(parties: int) -> Callable[[OnProgress], int]:
    """A work that ends only where so many of it run at the same time."""
    barrier = threading.Barrier(parties)
    return lambda note: barrier.wait(30)


def test_works_run_at_the_same_time_and_what_they_return_is_in_order() -> None:
    together = meeting(2)

    def work(name: str) -> Callable[[OnProgress], str]:
        def run(note: OnProgress) -> str:
            together(note)
            return name

        return run

    assert at_once((work("a"), work("b")), silent) == ["a", "b"]


def test_progress_is_told_in_the_thread_that_asked() -> None:
    told: list[tuple[str, float | None, str]] = []

    def on_progress(step: str, share: float | None, text: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((step, share, text))

    def work(name: str) -> Callable[[OnProgress], None]:
        def run(note: OnProgress) -> None:
            note(name, 0.5, "half")
            note(name, 1.0, "all")

        return run

    at_once((work("a"), work("b")), on_progress)
    assert [one for one in told if one[0] == "a"] == [("a", 0.5, "half"), ("a", 1.0, "all")]
    assert len(told) == 4


def until_ended(begun: threading.Event) -> Callable[[OnProgress], None]:
    """A work that goes on for as long as its progress is taken."""

    def run(note: OnProgress) -> None:
        while True:
            note("other", None, "goes on")
            begun.set()

    return run


def test_where_one_fails_the_other_ends_and_the_error_is_raised() -> None:
    begun = threading.Event()

    def fails(note: OnProgress) -> None:
        assert begun.wait(30)
        raise TargetError("it fell over")

    for works in ((fails, until_ended(begun)), (until_ended(begun), fails)):
        begun.clear()
        with pytest.raises(TargetError, match="it fell over"):
            at_once(works, silent)


def test_an_interruption_ends_both() -> None:
    def stopped(step: str, share: float | None, text: str) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        at_once((until_ended(threading.Event()), until_ended(threading.Event())), stopped)
    assert threading.active_count() == before


@pytest.fixture
def target() -> LlamaCppTarget:
    return LlamaCppTarget(context_tokens=512, slots=2, threads=1)


def test_two_are_measured_together_only_where_memory_holds_both(
    trained: Home, target: LlamaCppTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [Versions(trained.state_db).get(number) for number in (0, 1)]
    scorer = max(scorer_bytes(one.gguf, "fp32") for one in versions)
    assert scorer > 1 << 30
    for room, both in ((4 * scorer, True), (2 * scorer, False)):
        monkeypatch.setattr(sidebyside, "free_memory_bytes", lambda room=room: room)
        assert hold_both(target, versions, "fp32") is both
    assert not hold_both(OllamaTarget(load(trained).ollama), versions, "fp32")


def test_side_by_side_the_results_are_those_of_one_after_the_other(
    trained: Home, target: LlamaCppTarget, nights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = resolve(load(trained).model, trained.models)
    versions, policy = Versions(trained.state_db), load(trained).gate.policy()
    open_servers, most, counting = 0, [0], threading.Lock()
    start = LlamaCppTarget.start

    def started(self: LlamaCppTarget, *args: Any) -> Any:
        nonlocal open_servers
        child = start(self, *args)
        with counting:
            open_servers += 1
            most[0] = max(most[0], open_servers)
        if both:
            together.wait(60)
        close = child.close

        def closed() -> None:
            nonlocal open_servers
            close()
            with counting:
                open_servers -= 1

        child.close = closed  # type: ignore[method-assign]
        return child

    monkeypatch.setattr(LlamaCppTarget, "start", started)
    found = []
    for both in (True, False):
        most[0], together = 0, threading.Barrier(2)
        monkeypatch.setattr(judge, "hold_both", lambda *_, both=both: both)
        bench = judge.Bench(
            target,
            base,
            "fp32",
            8,
            trained.reports / f"measured-{both}",
            nights.Watch(),
            nights.few_items(12),
            nights.few_probes(),
        )
        found.append(judge.judged(bench, versions.get(1), versions.get(0), versions.get(0), gate_items(3), policy))
        assert most[0] == (2 if both else 1)
    assert found[0] == found[1]
