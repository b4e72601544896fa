"""Paired statistics of the gate: exact sign test, intervals, clustered means, sample sizes.

Everything is closed form on the standard library, so that a year of nights can be simulated in minutes and the
hot path never loads scipy. The tests hold every function here against scipy.

Sources
    sign test            Conover, Practical Nonparametric Statistics, 3rd ed., section 3.4 (McNemar's exact form)
    Wilson interval      Wilson, JASA 22 (1927); recommended for small n by Brown, Cai and DasGupta (2001)
    clustered error      Miller, Adding Error Bars to Evals (arXiv:2411.00640), with the factor G / (G - 1)
    Student's t          the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import atan2, ceil, cos, inf, pi, sin, sqrt
from statistics import NormalDist
from typing import TypeVar

_NORMAL = NormalDist()

Name = TypeVar("Name", str, tuple[str, str])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval: `value` between `low` and `high`, from `n` items."""

    value: float
    low: float
    high: float
    n: int


@cache
def sign_test(wins: int, losses: int) -> float:
    """Exact one-sided p-value that `wins` against `losses` came from a fair coin. Ties are left out; none decided: 1.

    P(X >= wins) for X ~ Binomial(wins + losses, 1/2), in exact integers, so it neither rounds nor underflows early.
    """
    if wins <= 0 or losses < 0:  # without a win every outcome has at least as many
        return 1.0
    decided = wins + losses
    # At least so many wins are at most so many losses; each term comes from the one before.
    term = total = 1
    for i in range(1, losses + 1):
        term = term * (decided - i + 1) // i
        total += term
    return float(total / 2**decided)  # true division of whole numbers rounds once, however long they are


def wins_needed(decided: int, alpha: float) -> int | None:
    """The fewest wins among `decided` items with sign-test p <= alpha; None where not even all of them would do."""
    wins = range(1, decided + 1)  # the p-value falls as they rise
    place = bisect_left(wins, True, key=lambda won: sign_test(won, decided - won) <= alpha)
    return wins[place] if place < len(wins) else None


def holm(p_values: Mapping[Name, float], level: float) -> list[Name]:
    """The names whose hypotheses fall when all of them together may err with chance `level`, smallest p-value first.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    ordered = sorted(p_values.items(), key=lambda entry: (entry[1], entry[0]))
    fallen = []
    for place, (name, p_value) in enumerate(ordered):
        if not p_value <= level / (len(ordered) - place):  # so that a NaN stops it
            break
        fallen.append(name)
    return fallen


def proportion_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's two-sided interval for a share of `k` in `n`; (0, 1) where n is 0."""
    if not n:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    # The share of the others, seen from its end, has the same interval.
    return _wilson_low(k, n, z), 1 - _wilson_low(n - k, n, z)


def _wilson_low(k: int, n: int, z: float) -> float:
    if not k:
        return 0.0  # exactly, whatever is rounded
    share = k / n
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (share + z * z / (2 * n) - half) / (1 + z * z / n)


def share(k: int, n: int) -> Estimate:
    """`k` of `n` as an estimate with its 95 % Wilson interval."""
    low, high = proportion_interval(k, n)
    return Estimate(k / n if n else 0.0, low, high, n)


@cache
def t_quantile(probability: float, degrees: int) -> float:
    """Student's t quantile, for a probability above a half: where `t_below` reaches it, found by bisection."""
    low = high = _NORMAL.inv_cdf(probability)  # which lies below it: t has the heavier tails
    while t_below(high, degrees) < probability:
        low, high = high, high + high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_below(middle, degrees) < probability else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean paired difference: `error` is its clustered standard error, `low` and `high` its one-sided bounds."""

    mean: float
    error: float
    low: float
    high: float
    items: int
    clusters: int


def paired_difference(differences: Iterable[tuple[Hashable, float]], confidence: float = 0.95) -> Paired:
    """The mean of (cluster, candidate - reference) with an error that allows for items of one cluster moving together.

    Each of `low` and `high` is a one-sided bound at `confidence`, from t with clusters - 1 degrees of freedom. With
    fewer than two clusters there is no error to speak of, and the bounds are infinite.
    """
    totals, counts = defaultdict[Hashable, float](float), Counter[Hashable]()
    for cluster, difference in differences:
        totals[cluster] += difference
        counts[cluster] += 1
    items, clusters = counts.total(), len(counts)
    mean = sum(totals.values()) / items if items else 0.0
    if clusters < 2:
        return Paired(mean, inf, -inf, inf, items, clusters)
    spread = sum((total - mean * counts[cluster]) ** 2 for cluster, total in totals.items())
    error = sqrt(spread * clusters / (clusters - 1)) / items
    reach = t_quantile(confidence, clusters - 1) * error
    return Paired(mean, error, mean - reach, mean + reach, items, clusters)


def interval(difference: Paired, confidence: float = 0.95) -> Estimate:
    """The mean difference with its two-sided interval; infinite with fewer than two clusters."""
    reach = inf
    if difference.clusters > 1:
        reach = t_quantile(0.5 + confidence / 2, difference.clusters - 1) * difference.error
    return Estimate(difference.mean, difference.mean - reach, difference.mean + reach, difference.items)


def fall(difference: Paired, by: float = 0.0) -> float:
    """One-sided p-value that the mean difference is not below -by: small where it surely fell by more than that.

    Student's t with clusters - 1 degrees of freedom; with fewer than two clusters 1. Clusters that all fell alike have
    no spread, which is no proof where they are few: then it is that of a sign test, a half for each of them.
    """
    if difference.clusters < 2:
        return 1.0
    beyond = difference.mean + by
    if not difference.error:
        return 0.5**difference.clusters if beyond < 0 else 1.0
    return t_below(beyond / difference.error, difference.clusters - 1)


def t_below(t: float, degrees: int) -> float:
    """P(T <= t) for Student's t, exact (Abramowitz and Stegun 26.7.3 for odd degrees, 26.7.4 for even ones)."""
    angle = atan2(t, sqrt(degrees))
    cosine = cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    inside = sin(angle) * total
    return 0.5 + (angle + inside) / pi if odd else 0.5 + inside / 2


def items_needed(difference: Paired, margin: float, confidence: float = 0.95) -> int | None:
    """How many more items would put the lower bound above -margin if mean and spread stayed; None where none would.

    The error shrinks with the square root of the items: n (q * error / (mean + margin))^2 items in all.
    """
    room = difference.mean + margin
    if room <= 0 or difference.clusters < 2:
        return None
    reach = t_quantile(confidence, difference.clusters - 1) * difference.error
    return max(0, ceil(difference.items * (reach / room) ** 2) - difference.items)
