"""The report of a night that a person settled: the pairs that they compared, before and after, and what they chose.

It is the morning report but for what changed. The pairs are shown in the order in which they were asked, all of them:
there are ten or a few more, and no figure says which of them tell most.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from strop.evaluation.report import Report, cut, fenced

Chosen = Literal["after", "before", "neither"]
_TITLES: dict[Chosen, str] = {
    "after": "The new answer was chosen",
    "before": "The answer before was chosen",
    "neither": "No difference was seen",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One prompt with the current model's answer, the candidate's, and which of them a person chose, blind."""

    asked: str
    before: str
    after: str
    chosen: Chosen

    @property
    def title(self) -> str:
        """What the person chose, in words."""
        return _TITLES[self.chosen]

    def shown(self) -> "Compared":
        """With its texts visible and cut, ready to be written."""
        return Compared(cut(self.asked), cut(self.before), cut(self.after), self.chosen)


@dataclass(frozen=True, slots=True)
class JudgedReport(Report):
    """A report whose answers a person compared; `pairs` are all of them."""

    pairs: Sequence[Compared] = ()

    @property
    def changed(self) -> str:
        """What the person chose, in one sentence."""
        counts = Counter(pair.chosen for pair in self.pairs)
        return (
            f"A person compared {len(self.pairs)} pairs of answers, blind: of {counts['after']} they chose the new "
            f"answer, of {counts['before']} the answer before, and in {counts['neither']} they saw no difference."
        )

    @property
    def examples(self) -> list[str]:
        """The pairs, as Markdown."""
        return [_pair(pair.shown()) for pair in self.pairs]


def _pair(pair: Compared) -> str:
    texts = {"Asked": pair.asked, "Before": pair.before, "After": pair.after}
    return f"### {pair.title}\n\n" + "\n\n".join(f"{head}:\n\n{fenced(text)}" for head, text in texts.items())
