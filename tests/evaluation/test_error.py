"""The error of a whole life of nights."""

import math

from strop.evaluation import Test
from strop.evaluation.error import alpha_for, next_night


def nights(count):
    return [Test(night, 0.01, (), False, 0.5) for night in range(1, count + 1)]


def test_first_night_may_spend_three_percent():
    assert alpha_for([], 0.05) == 0.05 * 6 / math.pi**2


def test_all_nights_together_spend_no_more_than_the_level():
    spent = sum(0.05 * 6 / (math.pi**2 * t * t) for t in range(1, 100_000))
    assert spent <= 0.05
    assert [alpha_for(nights(t), 0.05) for t in range(4)] == [0.05 * 6 / (math.pi**2 * t * t) for t in range(1, 5)]


def test_next_night_follows_the_latest_in_any_order():
    assert next_night([]) == 1
    assert next_night(list(reversed(nights(4)))) == 5
