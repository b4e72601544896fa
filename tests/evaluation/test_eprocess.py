"""The bet that a rate is higher than it was: false alarms are rare however often one looks, and a rise is found."""

import random

import pytest

from strop.errors import EvaluationError
from strop.evaluation.eprocess import RateTest, upper_bound

LIVES, LOOKS = 1000, 400


def alarms(p0: float, rate: float, alpha: float, seed: int) -> int:
    """In how many of 1,000 lives of 400 observations, looked at after each, the test ever rejects."""
    chance = random.Random(seed)
    found = 0
    for _ in range(LIVES):
        test = RateTest(p0)
        for _ in range(LOOKS):
            test = test.observe(chance.random() < rate)
            if test.rejects(alpha):
                found += 1
                break
    return found


@pytest.mark.parametrize(("p0", "seed"), [(0.02, 1), (0.1, 2), (0.5, 3)])
def test_a_rate_that_is_no_higher_raises_an_alarm_no_more_often_than_alpha(p0: float, seed: int) -> None:
    # At 5 %, 66 of 1,000 is what a true 5 % exceeds in one run of a hundred.
    assert alarms(p0, p0, 0.05, seed) <= 66


def test_the_level_holds_where_the_rate_before_was_measured_too() -> None:
    chance = random.Random(4)
    found = 0
    for _ in range(LIVES):
        before = sum(chance.random() < 0.2 for _ in range(60))
        test = RateTest(min(0.95, upper_bound(before, 60, 0.025)))
        found += test.observe_all(chance.random() < 0.2 for _ in range(200)).rejects(0.025)
    assert found <= 66


def test_a_rate_that_is_much_higher_is_found_within_a_probation() -> None:
    chance = random.Random(5)
    found = sum(RateTest(0.1).observe_all(chance.random() < 0.3 for _ in range(200)).rejects(0.01) for _ in range(200))
    assert found >= 190


def test_nothing_but_failures_is_found_in_a_handful() -> None:
    test, seen = RateTest(0.05), 0
    while not test.rejects(0.01):
        test, seen = test.observe(True), seen + 1
    assert seen <= 5


def test_an_alarm_stays_one_and_survives_being_written_down() -> None:
    test = RateTest(0.1).observe_all([True] * 6)
    assert test.rejects(0.01)
    later = test.observe_all([False] * 500)
    assert later.rejects(0.01)
    data = later.as_dict()
    assert RateTest(**{**data, "logs": tuple(data["logs"])}) == later
    assert (later.seen, later.ones) == (506, 6)


def test_the_capital_is_a_fair_game_at_the_limit() -> None:
    p0 = 0.3
    for bets in ([], [True], [False, True]):
        test = RateTest(p0).observe_all(bets)
        capital = [sum(map(_exp, one.logs)) for one in (test, test.observe(True), test.observe(False))]
        assert p0 * capital[1] + (1 - p0) * capital[2] == pytest.approx(capital[0])


def _exp(value: float) -> float:
    import math

    return math.exp(value)


@pytest.mark.parametrize(
    ("k", "n", "delta", "bound"),
    # R: binom.test(k, n, alternative = "less", conf.level = 1 - delta)$conf.int[2]
    [(0, 10, 0.05, 0.2588656), (3, 20, 0.025, 0.3789268), (0, 0, 0.05, 1.0), (5, 5, 0.05, 1.0)],
)
def test_the_bound_is_clopper_and_pearsons(k: int, n: int, delta: float, bound: float) -> None:
    assert upper_bound(k, n, delta) == pytest.approx(bound, abs=1e-6)


def test_a_bound_of_many_observations_lies_just_above_their_rate() -> None:
    assert 0.05 < upper_bound(5_000, 100_000, 0.025) < 0.052


@pytest.mark.parametrize("p0", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_that_cannot_be_bet_against_is_refused(p0: float) -> None:
    with pytest.raises(EvaluationError):
        RateTest(p0)
