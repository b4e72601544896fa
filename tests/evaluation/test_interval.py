"""A plot shows what its figures say: where the interval ends, what it is held against, and what has no end."""

from math import inf, nan

from strop.evaluation.compare import Estimate
from strop.evaluation.interval import WIDTH, plots

MIDDLE = WIDTH / 2


def test_a_share_lies_between_nothing_and_all():
    wanted, never = plots({"wanted": Estimate(0.5, 0.25, 1.0, 8), "never/endless": Estimate(0.0, 0.0, 0.1, 60)}, 0.05)
    assert (wanted.point, wanted.start, wanted.end) == (MIDDLE, "0 %", "100 %")
    assert wanted.low < MIDDLE < wanted.high == WIDTH - 14
    assert [(tick.x, tick.kind) for tick in wanted.ticks] == [(MIDDLE, "null")]
    assert never.point == never.low == 14
    assert never.ticks == ()
    assert not any(plot.open_low or plot.open_high for plot in (wanted, never))


def test_differences_of_skill_share_a_scale_around_nothing_with_the_margin_on_it():
    estimates = {
        "skill": Estimate(-0.049, -0.08, -0.018, 824),
        "skill/facts": Estimate(0.0, -0.28, 0.28, 40),
        "wanted_net": Estimate(0.5, 0.2, 0.8, 35),
    }
    skill, facts, net = plots(estimates, 0.05)
    assert (skill.start, skill.end) == (facts.start, facts.end) == ("−30", "+30")
    assert (net.start, net.end) == ("−100", "+100")
    assert [(tick.kind, tick.label) for tick in skill.ticks] == [("null", "0"), ("margin", "−5")]
    assert skill.ticks[1].x < MIDDLE == skill.ticks[0].x
    assert [tick.kind for tick in (*facts.ticks, *net.ticks)] == ["null", "null"]
    assert skill.high < MIDDLE < net.low
    assert skill.text == "−4.9 points (−8.0 to −1.8)"


def test_what_has_no_bound_is_open_to_the_edge():
    (open_,) = plots({"learned": Estimate(0.01, -inf, inf, 1)}, 0.05)
    assert (open_.low, open_.high, open_.open_low, open_.open_high) == (14, WIDTH - 14, True, True)
    assert (open_.start, open_.end) == ("−10", "+10")
    (unknown,) = plots({"learned": Estimate(nan, nan, nan, 0)}, 0.05)
    assert unknown.point is None
    assert (unknown.open_low, unknown.open_high) == (True, True)
    (beyond,) = plots({"skill": Estimate(-0.9, -1.4, -0.4, 3)}, 0.05)
    assert (beyond.low, beyond.open_low, beyond.open_high) == (14, True, False)
    assert [tick.label for tick in beyond.ticks] == ["0", ""], "the margin's label would run into the other"
