"""What one part of the gate says, and the words and tallies that the parts share."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple

from strop.evaluation.compare import Estimate
from strop.evaluation.results import ItemResult, Outcome


class Finding(NamedTuple):
    """One part's outcome, with its sentence; the worst outcome of all parts is the verdict."""

    outcome: Outcome
    reason: str
    estimates: Mapping[str, Estimate] = {}
    needed: int | None = None


class Tally(NamedTuple):
    """Clusters won, lost and tied."""

    wins: int
    losses: int
    ties: int


def tally(differences: Iterable[tuple[str, float]]) -> Tally:
    """Of (cluster, candidate - reference): a cluster goes to whom the most of its items went."""
    net: dict[str, int] = defaultdict(int)
    for cluster, difference in differences:
        net[cluster] += sign(difference)
    wins, losses = sum(n > 0 for n in net.values()), sum(n < 0 for n in net.values())
    return Tally(wins, losses, len(net) - wins - losses)


def by_suite(results: Iterable[ItemResult]) -> dict[str, list[ItemResult]]:
    """The results of each suite, suites by name."""
    found: dict[str, list[ItemResult]] = defaultdict(list)
    for result in results:
        found[result.suite].append(result)
    return dict(sorted(found.items()))


def sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


def p_text(value: float) -> str:
    return f"{value:.4f}" if value >= 0.00005 else f"{value:.1e}"


def percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def points(value: float) -> str:
    return f"{value * 100:+.1f}".replace("-", "−") if isfinite(value) else "unknown"


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
