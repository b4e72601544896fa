"""Rates of suites: intervals that allow for templates, errors that count nowhere else, differences item by item."""

from collections.abc import Sequence

import pytest

from strop.evaluation.compare import paired_difference, proportion_interval
from strop.evaluation.measure import Measured
from strop.evaluation.rates import by_suite, differences, rate
from strop.evaluation.suites import SuiteItem


def items(*clusters: str, suite: str = "s") -> list[SuiteItem]:
    return [SuiteItem(f"{suite}{n}", suite, cluster, "?") for n, cluster in enumerate(clusters)]


def scored(asked: Sequence[SuiteItem], values: Sequence[float | None]) -> dict[str, Measured]:
    pairs = zip(asked, values, strict=True)
    return {item.id: Measured(error="it fell over") if value is None else Measured(value) for item, value in pairs}


def test_templates_of_one_item_have_wilsons_interval() -> None:
    asked = items(*"abcdefghij")
    found = rate("s", asked, scored(asked, [1.0] * 7 + [0.0] * 3))
    assert (found.rate, found.items, found.templates, found.interval) == (0.7, 10, 10, "wilson")
    assert (found.low, found.high) == proportion_interval(7, 10)


def test_items_of_one_template_do_not_count_as_independent() -> None:
    asked = items(*(letter for letter in "abcdef" for _ in range(10)))
    values = [float(place < 30) for place in range(60)]  # three templates right, three wrong
    found = rate("s", asked, scored(asked, values))
    naive = proportion_interval(30, 60)
    assert found.interval == "clustered"
    assert found.high - found.low > 2 * (naive[1] - naive[0])
    clustered = paired_difference(((item.cluster, value) for item, value in zip(asked, values, strict=True)), 0.975)
    assert (found.low, found.high) == (max(0.0, clustered.low), min(1.0, clustered.high))


def test_all_right_is_not_surely_all_right() -> None:
    asked = items(*"aabbccdd")
    found = rate("s", asked, scored(asked, [1.0] * 8))
    assert (found.rate, found.high) == (1.0, 1.0)
    assert found.low == proportion_interval(4, 4)[0]


@pytest.mark.parametrize("values", [[1.0, 1.0], [None, 0.0], [None, None]])
def test_below_two_templates_nothing_is_said(values: list[float | None]) -> None:
    asked = items("a", "a")
    found = rate("s", asked, scored(asked, values))
    assert (found.low, found.high, found.interval) == (0.0, 1.0, "none")
    assert found.errors == values.count(None)


def test_an_error_is_neither_right_nor_wrong() -> None:
    asked = items(*"abcd")
    found = rate("s", asked, scored(asked, [1.0, None, 0.0, None]))
    assert (found.rate, found.items, found.errors) == (0.5, 2, 2)


def test_several_suites_have_a_row_over_all_and_one_has_none() -> None:
    first, second = items(*"ab", suite="x"), items(*"ab", suite="y")
    both = [*first, *second]
    scores = scored(both, [1.0, 0.0, 1.0, 1.0])
    assert [(one.suite, one.rate) for one in by_suite(both, scores)] == [("x", 0.5), ("y", 1.0), ("all", 0.75)]
    assert [one.suite for one in by_suite(first, scores)] == ["x"]


def test_a_difference_is_taken_where_both_have_a_score() -> None:
    asked = items(*"abcd")
    ours, theirs = scored(asked, [1.0, 1.0, None, 0.0]), scored(asked, [0.0, 1.0, 0.0, 0.0])
    found = differences(asked, ours, theirs)["s"]
    assert (found.mean, found.items) == (pytest.approx(1 / 3), 3)
    assert found.low < 0 < found.high
