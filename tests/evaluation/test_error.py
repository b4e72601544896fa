"""The error of a whole life of nights."""

import pytest

from strop.evaluation import Test
from strop.evaluation.error import alpha_for, next_night

LEVEL = 0.05
W0 = 0.75 * LEVEL


def nights(count, promoted=()):
    return [Test(night, 0.01, (), night in promoted, 0.5) for night in range(1, count + 1)]


def gamma(tests):
    return tests**-1.5 / 2.612375348685488


def test_gamma_sums_to_one():
    # What is left of the sum beyond N is the integral of x^-1.5 from N on, to the first order.
    count = 100_000
    assert sum(gamma(tests) for tests in range(1, count + 1)) + 2 * count**-0.5 / 2.612375348685488 == pytest.approx(1)


def test_the_first_night_may_spend_the_most_that_a_life_without_promotion_has():
    spent = [alpha_for(nights(done), LEVEL) for done in range(50)]
    assert spent[0] == pytest.approx(W0 * gamma(1)) == pytest.approx(0.01435, abs=1e-4)
    assert spent == sorted(spent, reverse=True)
    assert sum(spent) < W0


def test_promotions_earn_error_back():
    """Worked by hand from the paper's formula."""
    two = nights(9, promoted=(3, 5))
    wanted = W0 * gamma(10) + (LEVEL - W0) * gamma(7) + LEVEL * gamma(5)
    assert alpha_for(two, LEVEL) == pytest.approx(wanted)
    assert alpha_for(nights(9), LEVEL) < alpha_for(nights(9, promoted=(3,)), LEVEL) < alpha_for(two, LEVEL)
    assert all(alpha_for(nights(9, promoted=range(1, count)), LEVEL) <= LEVEL for count in range(10))


def test_what_is_spent_is_never_more_than_what_was_earned():
    """The estimate of the false discovery proportion that LORD++ keeps below the level, at every time."""
    for promoted in ((), (1,), (2, 9), (1, 2, 3, 4), (20, 40, 60)):
        spent = 0.0
        for done in range(80):
            spent += alpha_for(nights(done, promoted), LEVEL)
            discoveries = sum(number <= done + 1 for number in promoted)
            assert spent <= LEVEL * max(1, discoveries)


def test_next_night_follows_the_latest_in_any_order():
    assert next_night([]) == 1
    assert next_night(list(reversed(nights(4)))) == 5
