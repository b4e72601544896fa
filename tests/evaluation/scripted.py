"""Scripted models and made-up results for the tests of the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from strop.evaluation import ItemResult
from strop.evaluation.model import Conversation, Score


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
