"""What tests of whole nights share: small homes, a person's corrections, scripted measurements, the program itself."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from strop.config import save
from strop.demo.person import wishes
from strop.evaluation import ItemResult, probes, suites
from strop.evaluation.probes import Probe
from strop.evaluation.suites import SuiteItem
from strop.feedback import FeedbackCollector
from strop.home import Home
from strop.journal import Journal, StepRow
from strop.judge import Judged

# A night's real steps at their smallest: one short pass of each method, a build that is its own exact copy, and as
# few items as the gate's settings allow.
QUICK: dict[str, Any] = {
    "quant": "F16",
    "night.min_rows": 10,
    "trainer.precision": "fp32",
    "trainer.rank": 4,
    "trainer.sft_epochs": 1.0,
    "trainer.dpo_epochs": 1.0,
    "gate.min_wanted_clusters": 6,
    "gate.min_fresh_clusters": 1,
    "gate.min_skill_items": 30,
    "gate.min_skill_clusters": 10,
    "gate.min_never_items": 10,
    "gate.answer_tokens": 16,
}
STEPS = ["pairs", "train", "build", "certify", "gate", "release", "report"]
# One thread for llama-server: idle threads spin, which costs more than a tiny model gains.
_PROGRAM = (
    "from strop.deploy.targets import llamacpp; llamacpp._physical_cores = lambda: 1; "
    "from strop.cli import main; main()"
)
_ANSWER = "Sure! Here are some things that you may want to know about number {}: a list, and then another list."


def settle(home: Home, base: Path, **updates: Any) -> Home:
    """Give a home the quick settings on the base at `base`."""
    save(home.ensure(), {"model": str(base), **QUICK, **updates})
    return home


def correct(home: Home, count: int, start: int = 0) -> None:
    """Correct `count` answers; the questions, and what is wanted instead, are the demo's from number `start` on."""
    with FeedbackCollector(home.ledger_db) as collector, collector.ledger.transaction():
        for number, wish in enumerate(wishes()[start : start + count], start):
            answered = collector.record(prompt=wish.prompt, answer=_ANSWER.format(number))
            collector.rate(answered, "down", source_key=f"test-{number}")
            collector.correct(answered, wish.answer, source_key=f"test-{number}")


def copied(home: Home, to: Path) -> Home:
    """A copy of a home that knows nothing of the first one."""
    shutil.copytree(home.path, to, ignore=shutil.ignore_patterns("*.lock"))
    copy = Home(to).ensure()
    Journal(copy.state_db).close()  # makes its tables where no night has run yet
    db = sqlite3.connect(copy.state_db)
    with db:
        db.execute("UPDATE steps SET output = replace(output, ?, ?)", (str(home.path), str(to)))
    db.close()
    return copy


def program(home: Home, *args: str) -> "subprocess.Popen[str]":
    """`strop --home HOME ARGS` in a process of its own, with pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "--home", str(home.path), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def few_items(count: int = 40) -> tuple[SuiteItem, ...]:
    """The first shipped skill item of each of `count` templates."""
    first = {item.cluster: item for item in reversed(suites.load())}
    return tuple(sorted(first.values(), key=lambda item: item.id))[:count]


def few_probes() -> tuple[Probe, ...]:
    """The plain prompts, and the shortest ten probes of every suite but the tools'."""
    asked = sorted(probes.shipped(), key=lambda probe: sum(len(text) for _, text in probe.messages))
    return probes.within(asked, 10, tools=False)


def shipped(items: int = 40) -> Callable[..., Any]:
    """In place of `judge.shipped`: so few that a tiny model answers them in seconds."""
    return lambda policy, *, tools, triggers: (few_items(items), few_probes())


def scripted(wins: float) -> Callable[..., Any]:
    """In place of `judge.judged`: the candidate wins this share of the wishes; skill and behaviour are equal."""

    def judged(bench: Any, candidate: Any, incumbent: Any, base: Any, gate: Sequence[Any], policy: Any) -> Judged:
        won = round(wins * len(gate))
        wanted = [
            ItemResult("wanted", item.id, item.cluster, "wanted", float(place < won), float(place >= won))
            for place, item in enumerate(gate)
        ]
        skill = [ItemResult("s", f"s{n}", f"template {n % 12}", "skill", 1.0, 1.0, 1.0) for n in range(36)]
        never = [
            ItemResult(suite, f"n{n}", f"n{n}", "never", 1.0, 1.0)
            for suite in ("degenerate", "endless")
            for n in range(24)
        ]
        required = ("never/degenerate", "never/endless", "skill/s")
        return Judged((*wanted, *skill, *never), replace(policy, required=required, base_required=True))

    return judged


class Watch:
    """An OnProgress that remembers: `said[stage]` is the last text of a stage."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def __call__(self, stage: str, share: float | None = None, text: str = "") -> None:
        self.said[stage] = text

    @property
    def skipped(self) -> set[str]:
        """The steps that an earlier night had done."""
        return {stage for stage, text in self.said.items() if text == "done before"}


def steps(home: Home) -> dict[str, StepRow]:
    """The steps of the last run, by name."""
    with Journal(home.state_db) as journal:
        last = journal.last_run()
        return {step.name: step for step in journal.steps(last.id)} if last else {}


def last_state(home: Home) -> str:
    """How the last run ended."""
    with Journal(home.state_db) as journal:
        last = journal.last_run()
        return last.state if last else "none"


def tests_spent(home: Home) -> int:
    """How many tests the gate has made in this home."""
    with Journal(home.state_db) as journal:
        return len(journal.tests())
