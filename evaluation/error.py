"""The error that a whole life of nights may spend: false promotions are kept rare among all promotions.

Thirty nights without any real difference, each tested at 5 %, ship noise with a chance of 79 %. So what a test may
spend follows from what earlier tests spent and won: LORD++ (Ramdas, Yang, Wainwright and Jordan, Online control of the
false discovery rate with decaying memory, NeurIPS 2017, arXiv:1710.00499). With t counting tests, tau_j the number of
the test that made the j-th promotion, and gamma a falling sequence that sums to 1,

    alpha_t = w0 gamma_t + (level - w0) gamma_(t - tau_1) + level (gamma_(t - tau_2) + gamma_(t - tau_3) + ...)

A life starts with w0 to spend, three quarters of the level; every promotion earns error back, the first the last
quarter, each later one the whole level. Of all promotions at most `level` are then not real, on average; and where
there is never anything to learn, the chance of ever promoting is at most w0. There is one history for all domains, and
so one purse.

gamma_j is j^-1.5, scaled: it falls slowly enough that a gain after nine nights without one is still found (in a home
that promotes every tenth night 0.0014 may be spent there after a year, at level 0.05), and fast enough that the first
tests, which a new user waits for, may spend most.

Where the paper's assumptions bend here. Its theorem wants each p-value valid given all promotions before it. A held-out
prompt is used in up to three tests, so a null night's p-value is not independent of the night before: the candidates
are trained on much the same rows and asked the same prompts. Dependence of that kind makes false promotions come
together rather than oftener, but no theorem says so for LORD++. That is why the gate waits for fresh prompts and asks
for a step over noise, and why a thousand null years are played with the re-use that nights make (benchmarks/gate.py).
A test that was blocked by lost skill or a veto counts as no promotion: the event "promoted" lies within "p <= alpha",
so its chance is at most alpha.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import ClassVar

_POWER = 1.5
_SUM = 2.612375348685488  # of j^-1.5 over all j: Riemann's zeta(1.5)
_START = 0.75  # w0 as a share of the level
TESTS_AN_ITEM = 3  # after so many tests a held-out prompt trains (`feedback.split` decides that)


@dataclass(frozen=True, slots=True)
class Test:
    """What one night's test spent: `alpha`, on which wanted `items`, and whether the night was promoted.

    `skill_vs_base` is the measured difference of skill between that night's candidate and the untouched base, as a
    fraction (-0.02 is two points lost); None where it was not measured.
    """

    __test__: ClassVar[bool] = False  # the name is the statistician's; pytest must not collect it

    night: int
    alpha: float
    items: tuple[str, ...]
    promoted: bool
    p_value: float
    skill_vs_base: float | None = None


def alpha_for(history: Sequence[Test], level: float) -> float:
    """What the next test may spend, given the earlier ones in their order: at most `level`."""
    now = len(history) + 1
    promoted = [number for number, test in enumerate(history, start=1) if test.promoted]
    start = _START * level
    earned = chain([level - start], repeat(level))
    return start * _gamma(now) + sum(
        back * _gamma(now - number) for back, number in zip(earned, promoted, strict=False)
    )


def _gamma(tests: int) -> float:
    return float(tests**-_POWER / _SUM)


def fresh_clusters(items: Iterable[tuple[str, str]], history: Sequence[Test]) -> set[str]:
    """Of (item, cluster) pairs the clusters of which no item was used in an earlier test."""
    tested = {item for test in history for item in test.items}
    clusters, used = set(), set()
    for item, cluster in items:
        clusters.add(cluster)
        if item in tested:
            used.add(cluster)
    return clusters - used


def since_promotion(history: Sequence[Test]) -> Sequence[Test]:
    """The tests after the last promotion: those that the incumbent of tonight stood."""
    last = max((place for place, test in enumerate(history, start=1) if test.promoted), default=0)
    return history[last:]


def next_night(history: Sequence[Test]) -> int:
    """The number of the test that follows `history`, counted from 1."""
    return 1 + max((test.night for test in history), default=0)
