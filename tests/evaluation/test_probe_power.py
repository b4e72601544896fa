"""How many items a suite needs: 20 points more bad answers are vetoed in 99 of 100 nights, an equal model in 2 at most.

One item differs by chance with probability 0.1, as often for better as for worse. 20 points more bad answers add 0.2 to
the worse side. The veto is the exact sign test over the items at ALPHA. All sums are exact; nothing is drawn.
"""

from collections import Counter
from math import exp, lgamma, log

import pytest

from strop.evaluation import Policy, probes
from strop.evaluation.compare import wins_needed

ALPHA = Policy().veto_alpha
CHANCE, EXCESS = 0.1, 0.2
SIZES = Counter(probe.suite for probe in probes.shipped())  # "form": what `endless` and `longer` see at least


def vetoed(items: int, excess: float, alpha: float) -> float:
    """The probability of a veto: over the numbers of worse and better items, a trinomial."""
    worse, better = CHANCE / 2 + excess, CHANCE / 2
    total = 0.0
    for decided in range(1, items + 1):
        need = wins_needed(decided, alpha)
        for won in range(need, decided + 1) if need is not None else ():
            lost, ties = decided - won, items - decided
            ways = lgamma(items + 1) - lgamma(won + 1) - lgamma(lost + 1) - lgamma(ties + 1)
            total += exp(ways + won * log(worse) + lost * log(better) + ties * log(1 - worse - better))
    return total


@pytest.mark.parametrize("suite", sorted(SIZES))
def test_each_suite_finds_20_points_and_leaves_an_equal_model_alone(suite):
    assert vetoed(SIZES[suite], EXCESS, ALPHA) >= 0.99
    assert vetoed(SIZES[suite], 0.0, ALPHA) <= 0.02


def test_150_items_are_the_size_that_0_01_needs():
    assert vetoed(145, EXCESS, 0.01) < 0.99 <= vetoed(150, EXCESS, 0.01)


def test_0_02_would_do_with_135_items_and_60_are_too_few_for_either():
    assert vetoed(130, EXCESS, 0.02) < 0.99 <= vetoed(135, EXCESS, 0.02)
    assert vetoed(60, EXCESS, 0.02) < 0.8


def test_all_suites_together_veto_an_equal_model_in_7_of_100_nights_at_most():
    # Seven suites, two of form over the plain prompts and two over all answers; the union bound, whatever depends.
    generated = sum(n for suite, n in SIZES.items() if suite not in ("sycophancy", "truthfulness"))
    sizes = [*SIZES.values(), SIZES["form"], *[generated] * 2]
    assert sum(vetoed(n, 0.0, ALPHA) for n in sizes) <= 0.07
    assert sum(vetoed(n, 0.0, 0.02) for n in sizes) > 0.12
