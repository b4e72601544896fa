"""What stands exactly on a limit of the gate: on which side it falls, and what is said of it."""

import math
from dataclasses import replace

import pytest

from strop.evaluation import ItemResult, Policy, Test, decide
from strop.evaluation.error import alpha_for

POLICY = Policy()


# What is no measurement


@pytest.mark.parametrize(("digits", "shown"), [(6, "0x1000000"), (17, "0x1" + 17 * "0"), (18, "0x1" + 17 * "0" + "..")])
def test_a_whole_number_is_shown_whole_up_to_twenty_characters(digits, shown):
    reason = decide([ItemResult("s", "i", "c", "wanted", 16**digits, 0.0)], POLICY).reasons[0]
    assert reason == f"1 of 1 results could not be measured; the first is s/i: the score {shown} is outside " + (
        "-1e+06 to 1e+06."
    )


def test_two_hundred_characters_of_an_error_are_said(night):
    results = night()
    verdict = decide([replace(results[0], error="x" * 199 + "yz"), *results[1:]], POLICY)
    assert verdict.reasons[0].endswith(f": {'x' * 199}y.")


def test_an_item_measured_thrice_is_named_by_suite_and_item(night):
    results = night()
    verdict = decide([*results, *[r for r in results if r.item == "s7"] * 2], POLICY)
    assert verdict.reasons == ("facts/s7 was measured 3 times: each item counts once.",)


@pytest.mark.parametrize(("faults", "tolerated"), [(50, True), (51, False)])
def test_as_many_errors_as_the_policy_tolerates_are_tolerated(night, scripted, faults, tolerated):
    skill = [replace(r, error="boom") if n < faults else r for n, r in enumerate(scripted.skill())]
    results = night(wanted=scripted.wanted(40, 0), skill=skill)
    verdict = decide(results, Policy(max_error_share=50 / len(results)))
    assert (verdict.test is not None) is tolerated
    assert any("51 of 800 results could not be measured" in reason for reason in verdict.reasons) is not tolerated


def test_a_tolerated_error_is_one_item_lost(night, scripted):
    failing = [replace(r, error="boom") if n < 30 else r for n, r in enumerate(scripted.skill(won=0, lost=0))]
    verdict = decide(night(skill=failing), Policy(max_error_share=0.1))
    assert verdict.estimates["skill"].value == pytest.approx(-30 / 700)


# Wanted


def spending(alpha, history=()):
    """A policy under which the night after `history` may spend exactly so much."""
    level = alpha / alpha_for(history, 1.0)
    near = [level, math.nextafter(level, 0), math.nextafter(level, 1)]
    return Policy(level=next(one for one in near if alpha_for(history, one) == alpha))


def test_a_result_at_exactly_what_the_night_may_spend_is_promoted(night, scripted):
    """Ten of ten, p = 1/1024."""
    results = night(wanted=scripted.wanted(10, 0, 10))
    exactly = spending(0.5**10)
    assert decide(results, exactly).outcome == "promote"
    assert decide(results, replace(exactly, level=0.999 * exactly.level)).outcome == "undecided"


def test_what_would_settle_it_counts_a_next_night_at_exactly_what_it_may_spend(night, scripted):
    """Of twenty more at this share nine are won: eighteen of eighteen."""
    exactly = replace(spending(0.5**18, [Test(1, 0.01, (), False, 0.5)]), min_fresh_clusters=1)
    less = replace(exactly, level=0.999 * exactly.level)
    results = night(wanted=scripted.wanted(9, 0, 11))
    assert [decide(results, policy).needed for policy in (exactly, less)] == [20, 23]


@pytest.mark.parametrize(("held_out", "needed"), [(19, 1), (1, 19)])
def test_too_few_corrections_say_how_many_there_are_and_how_many_more_would_do(night, scripted, held_out, needed):
    verdict = decide(night(wanted=scripted.wanted(held_out, 0)), POLICY)
    there = "1 held-out correction" if held_out == 1 else f"{held_out} held-out corrections"
    assert verdict.reasons[0] == (
        f"Only {there} (near-duplicates count once) and the test needs 20: {needed} more held out would do."
    )


@pytest.mark.parametrize("judged", [10, 11, 19])
def test_ten_prompts_judged_blind_are_enough_and_so_are_more(night, scripted, judged):
    sheet = [replace(r, suite="judged") for r in scripted.wanted(judged, 0)]
    assert decide(night(wanted=sheet), POLICY).outcome == "promote"


def test_where_all_are_fresh_none_of_them_come_first(night, scripted):
    verdict = decide(night(wanted=scripted.wanted(10, 20)), POLICY)
    assert verdict.outcome == "keep"
    assert verdict.reasons[0].endswith("this night may spend: no sign that it is better.")


def test_a_draw_with_fresh_ones_against_it_keeps_the_current_model(night, scripted):
    results = night(wanted=scripted.wanted(16, 14) + scripted.wanted(11, 13, start=30))
    verdict = decide(results, POLICY, [Test(1, 0.01, tuple(f"w{n}" for n in range(30)), False, 0.5)])
    assert verdict.outcome == "keep"
    assert "of those that no earlier test used 11 were won and 13 lost" in verdict.reasons[0]


def test_a_gain_of_exactly_the_step_is_no_step(night, scripted):
    """Seven won and one tied: a gain of seven eighths, with an error of one eighth."""
    policy = Policy(min_wanted_clusters=8, min_fresh_clusters=8, ladder_step=7.0)
    verdict = decide(night(wanted=scripted.wanted(7, 0, 1)), policy)
    assert "no step above its noise" in verdict.reasons[0]
    assert decide(night(wanted=scripted.wanted(7, 0, 1)), replace(policy, ladder_step=6.99)).outcome == "promote"


def test_a_night_that_is_vetoed_was_no_promotion(night, scripted):
    vetoed = decide(night(never=scripted.never(30)), POLICY)
    assert (vetoed.outcome, vetoed.test.promoted) == ("keep", False)


# Skill


@pytest.mark.parametrize(
    ("won", "lost", "needed", "settles"),
    [(116, 124, 2000, "about 2000 more items"), (81, 91, None, "no number of items that there are")],
)
def test_more_than_two_thousand_items_are_not_asked_for(night, scripted, won, lost, needed, settles):
    """The second night would take 2001."""
    verdict = decide(night(skill=scripted.skill(won=won, lost=lost, templates=700, base=False)), POLICY)
    assert (verdict.outcome, verdict.needed) == ("undecided", needed)
    assert verdict.reasons[0].endswith(f", and at most 3 points may be lost; {settles} would settle it.")


def test_what_lacks_items_and_templates_is_told_the_more_of_them(night, scripted):
    verdict = decide(night(skill=scripted.skill(items=590, templates=5)), POLICY)
    assert verdict.needed == 15


@pytest.mark.parametrize(("every", "by"), [(1, 1 / 16), (16, 1.0)])
def test_a_loss_of_exactly_the_margin_is_a_loss(night, every, by):
    """Each item by a sixteenth, so that the bound is at the margin, or one item in sixteen whole: only the mean is."""
    scores = [1.0 - by * (n % every == 0) for n in range(640)]
    skill = [ItemResult("facts", f"s{n}", f"s{n}", "skill", score, 1.0) for n, score in enumerate(scores)]
    verdict = decide(night(skill=skill), Policy(skill_margin=1 / 16, suite_fall=0.25))
    assert verdict.outcome == "keep"
    assert verdict.reasons[0].endswith("skill was lost, and at most 6.25 points may be lost.")


@pytest.mark.parametrize(("templates", "outcome"), [(9, "keep"), (10, "promote")])
def test_from_ten_templates_on_a_fall_must_be_seen_in_more_than_one_of_them(night, scripted, templates, outcome):
    solo = [
        ItemResult("law", f"law{n}", f"law{n % templates}", "skill", float(n % templates > 0), 1.0, 1.0)
        for n in range(12 * templates)
    ]
    verdict = decide(night(skill=scripted.skill(won=0, lost=0, items=1500) + solo), POLICY)
    assert verdict.outcome == outcome


def test_what_a_suite_is_said_to_have_changed_by_is_against_the_current_model(night, scripted):
    skill = [replace(r, base=0.0) for r in scripted.skill(won=0, lost=7)]
    verdict = decide(night(skill=skill), POLICY)
    assert verdict.estimates["skill/facts"].value == pytest.approx(-0.01)
    assert verdict.estimates["skill_vs_base"].value == pytest.approx(693 / 700)


@pytest.mark.parametrize(("lost", "outcome"), [(10, "keep"), (9, "promote")])
def test_what_was_learned_is_lost_at_exactly_the_level(night, lost, outcome):
    """Where all items fell alike the p-value is a half for each."""
    learned = [ItemResult("learned", f"l{n}", f"l{n}", "learned", 0.0, 1.0) for n in range(lost)]
    assert decide([*night(), *learned], Policy(suite_alpha=0.5**10)).outcome == outcome


# Never


@pytest.mark.parametrize(("bad", "outcome"), [(7, "keep"), (6, "promote")])
def test_a_veto_falls_at_exactly_its_level(night, scripted, bad, outcome):
    assert decide(night(never=scripted.never(bad)), Policy(veto_alpha=0.5**7)).outcome == outcome


@pytest.mark.parametrize(("answers", "needed"), [(20, None), (19, 1), (1, 19)])
def test_twenty_answers_of_a_suite_are_enough_for_a_veto(night, scripted, answers, needed):
    verdict = decide(night(never=scripted.never(items=answers)), POLICY)
    assert verdict.needed == needed
    there = "1 answer" if answers == 1 else f"{answers} answers"
    assert (f"Only {there} checked for endless; {needed} more are needed." in verdict.reasons) is (needed is not None)
