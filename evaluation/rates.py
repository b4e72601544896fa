"""How a model did on suites: each suite's rate with its interval, and the paired difference to another model.

The items of one template move together, so the interval allows for that. Three cases, named in `Rate.interval`:

    wilson      each template has one item, or all templates agree (then each counts as one item, since there is no
                spread to read an error from)
    clustered   the clustered error of `compare.paired_difference`, Student's t, cut to [0, 1]
    none        fewer than two templates: nothing can be said, and the interval is 0 to 1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from strop.evaluation.compare import Paired, paired_difference, proportion_interval
from strop.evaluation.measure import Measured

Interval = Literal["wilson", "clustered", "none"]
ALL = "all"
_TWO_SIDED = 0.975  # a one-sided bound at 97.5 % on each side


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of `items` that passed, between `low` and `high` (95 %); `errors` are items without a score."""

    suite: str
    items: int
    templates: int
    rate: float
    low: float
    high: float
    interval: Interval
    errors: int


class Named(Protocol):
    """Anything that has a score: an item of a suite, a probe."""

    @property
    def id(self) -> str: ...
    @property
    def suite(self) -> str: ...
    @property
    def cluster(self) -> str: ...


def by_suite(items: Sequence[Named], scores: Mapping[str, Measured]) -> list[Rate]:
    """One rate a suite, in the order of the file, and one over all where there are several suites."""
    names = list(dict.fromkeys(item.suite for item in items))
    rates = [rate(name, [item for item in items if item.suite == name], scores) for name in names]
    return [*rates, rate(ALL, items, scores)] if len(names) > 1 else rates


def rate(name: str, items: Sequence[Named], scores: Mapping[str, Measured]) -> Rate:
    """The rate of these items. What has no score is counted under `errors` and nowhere else."""
    values = [(item.cluster, scores[item.id].value) for item in items if _measured(scores, item)]
    errors = len(items) - len(values)
    clusters = len({cluster for cluster, _ in values})
    if clusters < 2:
        mean = sum(value for _, value in values) / len(values) if values else 0.0
        return Rate(name, len(values), clusters, mean, 0.0, 1.0, "none", errors)
    found = paired_difference(values, _TWO_SIDED)
    if clusters == len(values) or found.error == 0:
        low, high = proportion_interval(round(found.mean * clusters), clusters)
        return Rate(name, len(values), clusters, found.mean, low, high, "wilson", errors)
    low, high = max(0.0, found.low), min(1.0, found.high)
    return Rate(name, len(values), clusters, found.mean, low, high, "clustered", errors)


def differences(
    items: Sequence[Named], ours: Mapping[str, Measured], theirs: Mapping[str, Measured]
) -> dict[str, Paired]:
    """For each name of `by_suite` the mean of ours - theirs over items with both scores, with its 95 % interval."""
    both = [item for item in items if _measured(ours, item) and _measured(theirs, item)]
    names = list(dict.fromkeys(item.suite for item in items))
    groups = {name: [item for item in both if item.suite == name] for name in names}
    if len(names) > 1:
        groups[ALL] = both
    return {
        name: paired_difference(
            ((item.cluster, ours[item.id].value - theirs[item.id].value) for item in group), _TWO_SIDED
        )
        for name, group in groups.items()
    }


def _measured(scores: Mapping[str, Measured], item: Named) -> bool:
    return item.id in scores and scores[item.id].error is None
