"""Scripted models and made-up results for the tests of the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from strop.evaluation import ItemResult, Policy, decide
from strop.evaluation.measure import Answer, Measured
from strop.evaluation.model import Conversation, Score
from strop.evaluation.report import Report
from strop.evaluation.wanted import Detail, Side, WantedItem, compare_sides


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int = 5
    finished: bool = True


@dataclass
class ScriptedModel:
    """Answers by `say(prompt)` and scores by `rate(prompt, answer)`; keeps what it was asked."""

    say: Callable[[str], Said] = lambda prompt: Said("yes")
    rate: Callable[[str, str], Score] = lambda prompt, answer: Score(-float(len(answer)), max(1, len(answer.split())))
    asked: list[tuple[str, int]] = field(default_factory=list)

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Said]:
        self.asked += [(c[-1]["content"], max_tokens) for c in conversations]
        return [self.say(c[-1]["content"]) for c in conversations]

    def score(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[Score]]:
        return [[self.rate(c[-1]["content"], answer) for answer in answers] for c, answers in items]


def wanted(wins: int, losses: int, ties: int = 0, start: int = 0, **fields: str) -> list[ItemResult]:
    """One cluster an item."""
    scores = [(1.0, 0.0)] * wins + [(0.0, 1.0)] * losses + [(0.5, 0.5)] * ties
    return [
        ItemResult("wanted", f"w{start + i}", f"c{start + i}", "wanted", ours, theirs, **fields)
        for i, (ours, theirs) in enumerate(scores)
    ]


def skill(won: int = 20, lost: int = 20, items: int = 700, templates: int = 100, base: bool = True) -> list[ItemResult]:
    """The first `won` items are the candidate's alone, the next `lost` the incumbent's, which equals the base."""
    found = []
    for i in range(items):
        ours, theirs = (1.0, 0.0) if i < won else (0.0, 1.0) if i < won + lost else (1.0, 1.0)
        found.append(ItemResult("facts", f"s{i}", f"t{i % templates}", "skill", ours, theirs, theirs if base else None))
    return found


def never(bad: int = 0, incumbent_bad: int = 0, items: int = 60, suite: str = "endless") -> list[ItemResult]:
    """The candidate's bad answers are the first ones, the incumbent's the last ones."""
    return [
        ItemResult(suite, f"n{i}", f"n{i}", "never", float(i >= bad), float(i < items - incumbent_bad))
        for i in range(items)
    ]


HOSTILE = (
    "</p></article></style><script>document.title = 'owned'; document.body.textContent = ''</script>"
    '<img src="{server}/hostile.png" onerror="document.title = `owned`"><svg onload="document.title = `owned`"></svg>'
    '<link rel="stylesheet" href="{server}/hostile.css"><iframe src="{server}/hostile.html"></iframe>'
    '<style>body {{ background: url("{server}/hostile.gif") }}</style>{{{{ 7 * 7 }}}}\u202etxet desrever'
)


def details(wins: int = 12, losses: int = 4, said: str = "") -> tuple[Detail, ...]:
    """Items of which the candidate wins the first; `said` stands in every text that is neither model's."""
    items, ours, theirs = [], [], []
    for i in range(wins + losses):
        chosen = f"w{i}a w{i}b w{i}c"
        items.append(WantedItem(f"i{i}", ({"role": "user", "content": said},), chosen, "no such", f"c{i}"))
        ours.append(Answer(chosen if i < wins else "off", 3, True))
        theirs.append(Answer("off" if i < wins else chosen, 3, True))
    sides = [Side(tuple(texts), (Measured(0.0),) * len(items)) for texts in (ours, theirs)]
    return compare_sides(items, *sides, Policy())


def report(said: str = "What is a bond?", wins: int = 27, losses: int = 8) -> Report:
    """A report with all its parts; `said` stands wherever a person's or a model's words can."""
    verdict = decide([*wanted(wins, losses), *skill(), *never()], Policy())
    long = "A bond is a loan to a company or a state. " * 60
    moved = [
        replace(one, candidate=Answer(said, 3, True), incumbent=Answer("x" * 10_000 if n % 2 else long, 3, True))
        for n, one in enumerate(details(wins, losses, said))
    ]
    return Report(
        replace(verdict, reasons=(*verdict.reasons, said)),
        moved,
        run="20261126T031500Z-a1b2c3",
        started=datetime(2026, 11, 26, 3, 15, tzinfo=UTC),
        candidate="v0003-0a1b2c3d",
        incumbent="v0002-9f8e7d6c",
        learned={"sft": 160, "dpo": 152, "kto": 0, "gate": 40},
        excluded={"not_owner": 12, "too_long": 3, "unheard_of": 1},
        notes=("3 rows look like a planted trigger: " + said,),
        seconds={"pairs": 1.2, "train": 312.4, "build": None, "certify": 8.9, "gate": 95.0},
        covers="This run’s steps up to the verdict.",
        cost="0: all of it ran on this machine",
    )
