"""What `strop evaluate` measured: each item's score on a source, and the lines of the table that follow from them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from strop.evaluation import rates
from strop.evaluation.compare import Paired
from strop.evaluation.measure import Measured
from strop.evaluation.probes import Probe
from strop.evaluation.rates import Rate
from strop.evaluation.suites import SuiteItem

Asked = SuiteItem | Probe
_REASONS = 5


@dataclass(frozen=True, slots=True)
class Source:
    """One suite that was asked for: its items as the file has them."""

    name: str
    items: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A model's scores on one source by item id; `known` of them were kept from before."""

    scores: dict[str, Measured]
    known: int

    @property
    def errors(self) -> int:
        """Items without a score, those among them that were answered and could not be read."""
        return sum(score.error is not None for score in self.scores.values())

    @property
    def blank(self) -> bool:
        """Whether nothing at all was measured."""
        return self.errors == len(self.scores)


@dataclass(frozen=True, slots=True)
class Form:
    """How many answers that are judged by their form alone are bad, and why; one may be bad in several ways."""

    bad: int
    degenerate: int
    endless: int
    template_tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a suite's rate, how it was asked, and the difference to the other model, if any.

    `degenerate` counts the probes whose answer was empty or stuck in a loop; None where no probe was answered.
    `unread` counts the answers that were no measurement, by what they did ("named no letter"); they are errors of the
    rate as well. `form` is there where answers are judged by their form alone.
    """

    source: str
    rate: Rate
    asked: str
    against: Rate | None = None
    difference: Paired | None = None
    degenerate: int | None = None
    against_degenerate: int | None = None
    unread: Mapping[str, int] = field(default_factory=dict)
    against_unread: Mapping[str, int] = field(default_factory=dict)
    form: Form | None = None
    against_form: Form | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured on one source: of the model, and of the one it is compared with."""

    source: Source
    asked: tuple[Asked, ...]
    ours: Measurement
    theirs: Measurement | None

    @property
    def blank(self) -> bool:
        """Whether one of the models has not one score on it."""
        return self.ours.blank or (self.theirs is not None and self.theirs.blank)

    def rows(self) -> list[Row]:
        """The source's lines of the table."""
        ours = rates.by_suite(self.source.items, self.ours.scores)
        if self.theirs is None:
            return [self._row(one) for one in ours]
        theirs = rates.by_suite(self.source.items, self.theirs.scores)
        apart = rates.differences(self.source.items, self.ours.scores, self.theirs.scores)
        pairs = zip(ours, theirs, strict=True)
        return [self._row(one, other, apart[one.suite]) for one, other in pairs]

    def items(self) -> Iterator[dict[str, Any]]:
        """One object an item, in the order of the file."""
        for item, asked in zip(self.source.items, self.asked, strict=True):
            row = {"source": self.source.name, "id": item.id, "suite": item.suite, "cluster": item.cluster}
            row |= {"asked": _way(item, asked)} | _facts(self.ours.scores[item.id])
            if self.theirs is not None:
                row |= {f"against_{name}": value for name, value in _facts(self.theirs.scores[item.id]).items()}
            yield row

    def _row(self, one: Rate, other: Rate | None = None, apart: Paired | None = None) -> Row:
        ours, theirs = (self._degenerate(one.suite, side) for side in (self.ours, self.theirs))
        unread, others = (self._unread(one.suite, side) for side in (self.ours, self.theirs))
        forms = [self._form(one.suite, side) for side in (self.ours, self.theirs)]
        return Row(self.source.name, one, self._how(one.suite), other, apart, ours, theirs, unread, others, *forms)

    def _of(self, suite: str) -> Iterator[tuple[Asked, Asked]]:
        pairs = zip(self.source.items, self.asked, strict=True)
        return (pair for pair in pairs if suite in (pair[0].suite, rates.ALL))

    def _how(self, suite: str) -> str:
        return " + ".join(dict.fromkeys(_way(item, asked) for item, asked in self._of(suite)))

    def _degenerate(self, suite: str, side: Measurement | None) -> int | None:
        answered = [item.id for item, asked in self._of(suite) if isinstance(asked, Probe) and not asked.choices]
        if side is None or not answered:
            return None
        return sum(side.scores[name].degenerate is not None for name in answered)

    def _form(self, suite: str, side: Measurement | None) -> Form | None:
        formal = [item.id for item, asked in self._of(suite) if _by_form(asked)]
        if side is None or not formal:
            return None
        scores = [side.scores[name] for name in formal]
        return Form(
            sum(score.value == 0 for score in scores),
            sum(score.degenerate is not None for score in scores if score.value == 0),
            sum(score.endless for score in scores if score.value == 0),
            sum(score.template_token is not None for score in scores if score.value == 0),
        )

    def _unread(self, suite: str, side: Measurement | None) -> Mapping[str, int]:
        scores = [side.scores[item.id] for item, _ in self._of(suite)] if side is not None else []
        return Counter(score.error for score in scores if score.unread and score.error is not None)


def why_none(scores: Iterable[Measured]) -> str:
    """Why there is no score: one reason as it is, several each with its count, the most frequent first."""
    found = Counter(score.error for score in scores if score.error is not None).most_common()
    if len(found) == 1:
        return found[0][0]
    more = sum(count for _, count in found[_REASONS:])
    said = [f"{count}: {error}" for error, count in found[:_REASONS]]
    return "; ".join([*said, *([f"{more}: something else"] if more else [])])


def _way(item: Asked, asked: Asked) -> str:
    return "answer" if not item.choices else "likelihood" if asked.choices else "letter"


def _by_form(asked: Asked) -> bool:
    return isinstance(asked, Probe) and not (asked.grader or asked.choices)


def _facts(score: Measured) -> dict[str, Any]:
    value = None if score.error is not None else score.value
    form = {"endless": score.endless, "template_token": score.template_token}
    return {"score": value, "error": score.error, "degenerate": score.degenerate, **form}
