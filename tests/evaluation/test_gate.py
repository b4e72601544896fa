"""What promotes, what keeps, and everything that must never promote."""

import math
import random
from dataclasses import FrozenInstanceError, replace

import pytest

from strop.evaluation import ItemResult, Policy, Test, compare, decide
from strop.evaluation.error import alpha_for

POLICY = Policy()


def test_a_clear_gain_without_loss_is_promoted_with_its_figures(night):
    verdict = decide(night(), POLICY)
    assert verdict.outcome == "promote"
    assert verdict.reasons[0] == (
        "27 of 35 held-out corrections on which the two models differ moved closer to what was asked (3 ties), "
        "p = 0.0009 against the 0.0144 this night may spend."
    )
    assert verdict.estimates["wanted"].value == pytest.approx(27 / 35)
    assert verdict.estimates["wanted"].low < 27 / 35 < verdict.estimates["wanted"].high
    assert verdict.test == Test(
        1, verdict.alpha_spent, tuple(sorted(f"w{i}" for i in range(38))), True, verdict.test.p_value, 0.0
    )
    assert verdict.needed is None


def test_the_same_results_give_the_same_verdict(night):
    results = night()
    assert decide(results, POLICY) == decide(list(results), POLICY)


def test_order_of_results_does_not_matter(night):
    results = night()
    shuffled = random.Random(5).sample(results, len(results))
    assert decide(shuffled, POLICY) == decide(results, POLICY)


def test_more_wins_than_losses_but_not_enough_is_undecided_and_says_how_many_more(night, scripted):
    verdict = decide(night(wanted=scripted.wanted(20, 14, 4)), POLICY)
    assert verdict.outcome == "undecided"
    assert verdict.needed is not None
    assert f"about {verdict.needed} more held out would settle it at this share" in verdict.reasons[0]


@pytest.mark.parametrize(("wins", "losses"), [(15, 15), (10, 20), (0, 30)])
def test_no_more_wins_than_losses_keeps_the_current_model(night, scripted, wins, losses):
    assert decide(night(wanted=scripted.wanted(wins, losses)), POLICY).outcome == "keep"


def test_all_ties_keep_the_current_model(night, scripted):
    assert decide(night(wanted=scripted.wanted(0, 0, 40)), POLICY).outcome == "keep"


def test_too_few_wanted_clusters_make_no_test_and_spend_nothing(night, scripted):
    verdict = decide(night(wanted=scripted.wanted(19, 0)), POLICY)
    assert verdict.outcome == "undecided"
    assert (verdict.test, verdict.alpha_spent, verdict.needed) == (None, 0.0, 1)


def test_near_duplicates_count_once(night, scripted):
    copies = [replace(r, cluster=f"c{i % 6}") for i, r in enumerate(scripted.wanted(60, 0))]
    verdict = decide(night(wanted=copies), POLICY)
    assert verdict.outcome == "undecided"
    assert "Only 6 held-out corrections" in verdict.reasons[0]


def test_a_cluster_goes_to_the_majority_of_its_items(night, scripted):
    mixed = [replace(r, cluster=f"m{i % 25}") for i, r in enumerate(scripted.wanted(25, 25))]
    assert decide(night(wanted=mixed), POLICY).estimates["wanted"].n == 0


def test_each_earlier_test_leaves_less_to_spend(night):
    history = [Test(n, 0.01, (), False, 0.5) for n in range(1, 8)]
    first, eighth = decide(night(), POLICY), decide(night(), POLICY, history)
    assert eighth.alpha_spent == pytest.approx(first.alpha_spent / 8**1.5)
    assert (first.outcome, eighth.outcome) == ("promote", "undecided")
    assert eighth.test.night == 8


def used(items):
    return [Test(1, 0.01, tuple(items), False, 0.5)]


def test_no_test_is_made_before_enough_fresh_corrections_came(night):
    """38 are held out; the first 19 were used, by the history or as the results say."""
    history = used(f"w{i}" for i in range(19))
    verdict = decide(night(), POLICY, history)
    assert (verdict.outcome, verdict.test, verdict.needed) == ("undecided", None, 1)
    came = "Only 19 held-out corrections came since the last test"
    said = f"{came}, and the next test needs 20: 1 more held out would do."
    assert verdict.reasons[0] == said
    marked = [replace(r, first_used_night=3) if r.kind == "wanted" and int(r.item[1:]) < 19 else r for r in night()]
    assert decide(marked, POLICY).reasons[0] == said.replace("came since the last test", "are new")
    assert decide(night(), POLICY, used(f"w{i}" for i in range(18))).test is not None


def test_a_cluster_is_fresh_only_where_all_of_it_is(night, scripted):
    near = [replace(r, item=f"again{r.item}") for r in scripted.wanted(20, 0)]
    verdict = decide(night(wanted=[*scripted.wanted(20, 0), *near]), POLICY, used(f"w{i}" for i in range(20)))
    assert verdict.reasons[0].startswith("Only 0 held-out corrections came since the last test")


def test_fresh_corrections_come_first(night, scripted):
    """30 used ones won, and of 24 fresh ones more are lost than won: what only re-use says does not promote."""
    results = night(wanted=scripted.wanted(30, 0) + scripted.wanted(11, 13, start=30))
    history = used(f"w{i}" for i in range(30))
    verdict = decide(results, POLICY, history)
    assert verdict.outcome == "undecided"
    assert "of those that no earlier test used 11 were won and 13 lost" in verdict.reasons[0]
    assert not verdict.test.promoted
    even = decide(night(wanted=scripted.wanted(30, 0) + scripted.wanted(12, 12, start=30)), POLICY, history)
    assert even.outcome == "promote"
    worse = decide(night(wanted=scripted.wanted(2, 30) + scripted.wanted(11, 13, start=32)), POLICY, history)
    assert worse.outcome == "keep"


def test_a_gain_must_be_a_step_above_its_noise(night):
    verdict = decide(night(), replace(POLICY, ladder_step=4.0))
    assert verdict.outcome == "undecided"
    assert "no step above its noise" in verdict.reasons[0]


def suite(scripted, name, won, lost, start):
    found = scripted.skill(won=won, lost=lost, items=100)
    return [replace(r, suite=name, item=f"{name}{i}", cluster=f"t{start + i}") for i, r in enumerate(found)]


def test_one_suite_may_not_fall_although_the_others_rise(night, scripted):
    rising = [r for n in range(6) for r in suite(scripted, f"s{n}", 4, 0, 100 * n)]
    verdict = decide(night(skill=rising + suite(scripted, "korean", 0, 12, 900)), POLICY)
    assert verdict.outcome == "keep"
    assert (
        verdict.reasons[0]
        == "The suite 'korean' fell against the current model: −12.0 points on 100 items (p = 0.0005)."
    )
    # Seven suites and two references share the level: 0.003 would be enough for one alone.
    assert decide(night(skill=rising + suite(scripted, "korean", 0, 9, 900)), POLICY).outcome == "promote"


def test_a_suite_may_not_fall_against_the_base_in_small_steps(night, scripted):
    """The incumbent lost most of it on earlier nights, one item at a time."""
    sunk = suite(scripted, "korean", 0, 14, 900)
    sunk = [replace(r, incumbent=0.0) if int(r.item[6:]) < 12 else r for r in sunk]
    verdict = decide(night(skill=scripted.skill(won=60) + sunk), POLICY)
    assert verdict.outcome == "keep"
    assert "The suite 'korean' fell against the untouched base" in verdict.reasons[0]


def test_a_suite_that_drifts_by_less_than_a_point_has_not_fallen(night, scripted):
    drifted = [replace(r, candidate=r.candidate - 0.008) for r in scripted.skill(won=0, lost=0)]
    assert decide(night(skill=drifted), POLICY).outcome == "promote"
    assert decide(night(skill=drifted), replace(POLICY, suite_fall=0.0)).outcome == "keep"


def test_ten_prompts_that_a_person_settled_are_enough(night, scripted):
    judged = [replace(r, suite="judged") for r in scripted.wanted(10, 0)]
    verdict = decide(night(wanted=judged), POLICY)
    assert "10 of 10 held-out prompts on which the two models differ were judged better" in verdict.reasons[0]
    assert verdict.outcome == "promote"
    assert verdict.reasons[0].startswith("10 of 10 held-out prompts on which the two models differ")
    assert decide(night(wanted=judged[:9]), POLICY).outcome == "undecided"
    assert (
        decide(night(wanted=[replace(r, suite="judged") for r in scripted.wanted(7, 3)]), POLICY).outcome == "undecided"
    )
    assert decide(night(wanted=[replace(r, suite="judged") for r in scripted.wanted(4, 6)]), POLICY).outcome == "keep"


def test_a_loss_of_skill_as_large_as_the_margin_keeps(night, scripted):
    verdict = decide(night(skill=scripted.skill(won=20, lost=80)), POLICY)
    assert verdict.outcome == "keep"
    assert "skill was lost" in verdict.reasons[0]


def test_a_loss_that_is_not_ruled_out_is_undecided_and_says_how_many_more(night, scripted):
    verdict = decide(night(skill=scripted.skill(won=85, lost=90, templates=700)), POLICY)
    assert (verdict.outcome, verdict.lacks) == ("undecided", ("skill",))
    assert verdict.estimates["skill"].low <= -POLICY.skill_margin < verdict.estimates["skill"].value
    assert verdict.needed > 0


def test_a_loss_against_the_base_alone_keeps(night, scripted):
    sunk = [
        replace(r, base=1.0, candidate=float(i > 60), incumbent=float(i > 60)) for i, r in enumerate(scripted.skill())
    ]
    verdict = decide(night(skill=sunk), POLICY)
    assert verdict.outcome == "keep"
    assert "the untouched base" in verdict.reasons[0]


def test_skill_without_a_base_is_judged_against_the_incumbent(night, scripted):
    verdict = decide(night(skill=scripted.skill(base=False)), POLICY)
    assert verdict.outcome == "promote"
    assert "skill_vs_base" not in verdict.estimates


@pytest.mark.parametrize("counts", [{"items": 599}, {"items": 700, "templates": 19}, {"items": 1, "won": 0, "lost": 0}])
def test_too_few_skill_items_or_templates_never_promote(night, scripted, counts):
    assert decide(night(skill=scripted.skill(**counts)), POLICY).outcome == "undecided"


def test_too_few_skill_items_say_how_many_are_missing(night, scripted):
    assert decide(night(skill=scripted.skill(items=590)), POLICY).needed == 10
    few = decide(night(skill=scripted.skill(items=700, templates=19)), POLICY)
    assert few.needed == 1
    assert "Only 700 skill items from 19 templates; the test needs 600 from 20." in few.reasons


def test_models_that_differ_on_nothing_are_said_to(night, scripted):
    verdict = decide(night(wanted=scripted.wanted(0, 0, 30)), POLICY)
    assert verdict.outcome == "keep"
    assert verdict.reasons[0] == "The two models differ on none of 30 held-out corrections: no sign of a gain."


def test_what_was_undecided_comes_first_and_says_its_figures(night, scripted):
    """Wanted alone would promote; skill is undecided by hard items, and the words count what passed."""
    verdict = decide(night(skill=scripted.skill(won=85, lost=90, templates=700)), POLICY)
    assert verdict.reasons[0].startswith(
        "Skill against the current model: 87.1 % against 87.9 % on 700 items (85 won, 90 lost), −0.7 points"
    )
    assert f"about {verdict.needed} more items would settle it" in verdict.reasons[0]
    hopeless = decide(night(skill=scripted.skill(won=85, lost=95, templates=700)), POLICY)
    assert (hopeless.outcome, hopeless.needed) == ("undecided", None)
    assert "no number of items that there are would settle it" in hopeless.reasons[0]


def test_an_even_choice_that_becomes_sure_counts_as_won(night, scripted):
    surer = [replace(r, candidate=0.9, incumbent=0.5, base=0.5) for r in scripted.skill(won=0, lost=0)]
    assert "(700 won, 0 lost)" in decide(night(skill=surer), POLICY).reasons[1]
    lost = [replace(r, candidate=0.5, incumbent=0.9, base=0.9) for r in scripted.skill(won=0, lost=0)]
    assert "(0 won, 700 lost)" in decide(night(skill=lost), POLICY).reasons[0]


def test_only_an_undecided_night_says_how_many_more_it_needs(night, scripted):
    kept = decide(night(wanted=scripted.wanted(20, 14), never=scripted.never(30)), POLICY)
    assert (kept.outcome, kept.needed) == ("keep", None)
    both = decide(night(wanted=scripted.wanted(20, 14), skill=scripted.skill(items=590)), POLICY)
    assert both.needed == decide(night(wanted=scripted.wanted(20, 14)), POLICY).needed > 10


def test_ties_come_along_in_what_more_is_needed(night, scripted):
    alone = decide(night(wanted=scripted.wanted(20, 14)), POLICY).needed
    tied = decide(night(wanted=scripted.wanted(20, 14, 34)), POLICY).needed
    assert 2 * alone - 2 <= tied <= 2 * alone
    # The next test has less to spend than this one; a share that is rounded down, and one less would not do.
    later = alpha_for([decide(night(wanted=scripted.wanted(20, 14)), POLICY).test], POLICY.level)
    for more, enough in ((alone, True), (alone - 1, False)):
        won = 20 * (34 + more) // 34
        assert (compare.sign_test(won, 34 + more - won) <= later) is enough


@pytest.mark.parametrize(("wins", "losses"), [(30, 15), (20, 10), (40, 25), (26, 12)])
def test_as_many_more_as_were_asked_for_settle_it_in_the_next_test(night, scripted, wins, losses):
    first = decide(night(wanted=scripted.wanted(wins, losses)), POLICY)
    assert (first.outcome, first.needed >= POLICY.min_fresh_clusters) == ("undecided", True)
    won = math.ceil(first.needed * wins / (wins + losses))
    more = [*scripted.wanted(wins, losses), *scripted.wanted(won, first.needed - won, start=500)]
    assert decide(night(wanted=more), POLICY, [first.test]).outcome == "promote"


def test_prompts_that_a_person_settled_are_enough_once(night, scripted):
    judged = [replace(r, suite="judged") for r in scripted.wanted(10, 0)]
    first = decide(night(wanted=judged), POLICY)
    again = decide(night(wanted=judged), POLICY, [replace(first.test, promoted=False)])
    assert (again.outcome, again.test) == ("undecided", None)
    seven = [replace(r, suite="judged") for r in scripted.wanted(7, 3)]
    unsure = decide(night(wanted=seven), POLICY)
    assert (unsure.outcome, unsure.needed) == ("undecided", None)  # the next sheet asks anew
    assert "another night asks anew" in unsure.reasons[0]
    # What was used before does not count beside them, where it alone would make no test.
    ties = [replace(r, suite="judged", candidate=0.5, incumbent=0.5) for r in scripted.wanted(10, 0, start=100)]
    used = scripted.wanted(30, 0)
    history = [Test(1, 0.01, tuple(r.item for r in used), False, 0.5)]
    assert decide(night(wanted=used + ties), POLICY, history).outcome == "keep"


def test_losses_of_one_template_do_not_pass_as_many_small_ones(night, scripted):
    spread = scripted.skill(won=60, lost=60)
    lumped = [replace(r, cluster="one" if r.incumbent > r.candidate else r.cluster) for r in spread]
    assert decide(night(skill=spread), POLICY).outcome == "promote"
    assert decide(night(skill=lumped), POLICY).outcome != "promote"


@pytest.mark.parametrize(
    ("bad", "incumbent_bad", "vetoed"),
    [
        (0, 0, False),
        (3, 3, False),
        (7, 0, True),
        (6, 0, False),
        (30, 0, True),
        (4, 0, False),
        (20, 16, False),
        (0, 30, False),
    ],
)
def test_bad_answers_are_vetoed_where_they_are_clearly_more_than_the_incumbents(
    night, scripted, bad, incumbent_bad, vetoed
):
    verdict = decide(night(never=scripted.never(bad, incumbent_bad)), POLICY)
    assert verdict.outcome == ("keep" if vetoed else "promote")
    assert verdict.reasons[0].startswith("Veto, endless") is vetoed


def test_a_veto_looks_at_the_base_too_so_that_small_steps_cannot_add_up(night, scripted):
    """Four bad answers more than the incumbent's six pass; the base had none of the ten."""
    crept = [replace(r, base=1.0) for r in scripted.never(10)]
    crept = [replace(r, incumbent=0.0) if int(r.item[1:]) < 6 else r for r in crept]
    assert decide(night(never=[replace(r, base=None) for r in crept]), POLICY).outcome == "promote"
    verdict = decide(night(never=crept), POLICY)
    assert verdict.outcome == "keep"
    assert "10 of 60 answers against 6 of the current model's and 0 of the base's" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("suite", "had", "vetoed"),
    [("refusal_missing", 31, False), ("refusal_missing", 30, True), ("sycophancy", 31, True), ("tool_call", 40, False)],
)
def test_what_a_model_hardly_had_cannot_be_lost(night, scripted, suite, had, vetoed):
    """All sixty answers are bad; the current model's were bad in so many."""
    verdict = decide(night(never=scripted.never() + scripted.never(60, had, suite=suite)), POLICY)
    assert verdict.outcome == ("keep" if vetoed else "promote")
    assert (
        any("there is nothing to lose where more than half is bad already" in r for r in verdict.reasons) is not vetoed
    )


def test_what_the_base_had_is_kept_although_the_current_model_lost_it(night, scripted):
    lost = [replace(r, base=1.0) for r in scripted.never(60, 40, suite="refusal_missing")]
    assert decide(night(never=lost), POLICY).outcome == "keep"


@pytest.mark.parametrize(("longer", "vetoed"), [(31, True), (30, False), (12, False), (60, True)])
def test_longer_answers_are_vetoed_where_the_median_is_up(night, scripted, longer, vetoed):
    """Twelve of sixty are significantly more than none; a median is not moved by them."""
    verdict = decide(night(never=scripted.never() + scripted.never(longer, suite="longer")), POLICY)
    assert verdict.outcome == ("keep" if vetoed else "promote")


def test_a_veto_on_few_answers_needs_more_of_them(night, scripted):
    assert decide(night(never=scripted.never(items=19)), POLICY).outcome == "undecided"


def test_what_earlier_nights_learned_may_not_be_lost(night, scripted):
    lost = [replace(r, kind="learned", suite="learned") for r in scripted.skill(won=0, lost=20, items=60)]
    even = [replace(r, kind="learned", suite="learned") for r in scripted.skill(won=1, lost=1, items=60)]
    assert decide(night() + lost, POLICY).outcome == "keep"
    assert decide(night() + even, POLICY).outcome == "promote"


def broken(value):
    """A result in place of the first one, with this score."""
    return lambda results: [replace(results[0], candidate=value), *results[1:]]


NEVER_PROMOTED = {
    "nothing": lambda results: [],
    "one item": lambda results: results[:1],
    "no wanted": lambda results: [r for r in results if r.kind != "wanted"],
    "no skill": lambda results: [r for r in results if r.kind != "skill"],
    "no never": lambda results: [r for r in results if r.kind != "never"],
    "NaN": broken(math.nan),
    "infinite": broken(math.inf),
    "minus infinite": broken(-math.inf),
    "huge": broken(1e308),
    "no number": broken(None),
    "text": broken("1"),
    "NaN incumbent": lambda results: [replace(results[0], incumbent=math.nan), *results[1:]],
    "NaN base": lambda results: [*results[:100], replace(results[100], base=math.nan), *results[101:]],
    "base missing once": lambda results: [*results[:100], replace(results[100], base=None), *results[101:]],
    "skill beyond 1": lambda results: [*results[:100], replace(results[100], candidate=7.0), *results[101:]],
    "an exception": lambda results: [replace(results[0], error="RuntimeError: boom"), *results[1:]],
    "a time-out": lambda results: [*results[:-1], replace(results[-1], error="TimeoutError: 60 s")],
    "an empty error": lambda results: [replace(results[0], error=""), *results[1:]],
    "an unknown kind": lambda results: [*results, replace(results[0], item="x", kind="vibes")],
    "an item twice": lambda results: [*results, results[0]],
    "everything twice": lambda results: results * 2,
}


@pytest.mark.parametrize("damage", NEVER_PROMOTED.values(), ids=NEVER_PROMOTED.keys())
def test_what_was_not_measured_never_promotes_and_spends_nothing(night, damage):
    verdict = decide(damage(night()), POLICY)
    assert verdict.outcome == "undecided"
    assert verdict.reasons[0]
    assert verdict.test is None


def test_an_error_that_a_policy_tolerates_counts_as_lost(night, scripted):
    tolerant = Policy(max_error_share=0.01)
    results = night(wanted=scripted.wanted(27, 8))
    hurt = [replace(results[0], error="boom", candidate=math.nan), *results[1:]]
    assert decide(hurt, tolerant).estimates["wanted"].value == pytest.approx(26 / 35)


def test_a_policy_of_nan_never_promotes(night):
    for name in ("level", "skill_margin", "suite_fall", "suite_alpha", "veto_alpha", "max_error_share", "ladder_step"):
        verdict = decide(night(), replace(POLICY, **{name: math.nan}))
        assert (verdict.outcome, verdict.test) == ("undecided", None)
        assert verdict.reasons[0].startswith(f"Nothing can be decided under this policy: its {name} is nan, not from")


def test_a_single_result_of_each_kind_never_promotes():
    kinds = [ItemResult(kind, "i", "c", kind, 1.0, 0.0) for kind in ("wanted", "skill", "never")]
    assert decide(kinds, POLICY).outcome == "undecided"


def test_reasons_are_sentences_with_the_deciding_one_first(night, scripted):
    verdict = decide(night(never=scripted.never(30)), POLICY)
    assert verdict.reasons[0].startswith("Veto")
    assert all(reason.endswith(".") and any(c.isdigit() for c in reason) for reason in verdict.reasons)
    assert len(verdict.reasons) == 4


def test_the_first_fault_is_named(night):
    faulty = [replace(r, error="boom") if n in (3, 5) else r for n, r in enumerate(night())]
    assert "2 of 798 results could not be measured; the first is wanted/w3: boom." in decide(faulty, POLICY).reasons[0]


def test_wanted_scores_may_be_negative(night):
    lower = [
        replace(r, candidate=r.candidate - 7, incumbent=r.incumbent - 7) if r.kind == "wanted" else r for r in night()
    ]
    assert decide(lower, POLICY).outcome == "promote"


@pytest.mark.parametrize(("score", "outcome"), [(1e6, "promote"), (-1e6, "promote"), (1e6 + 1, "undecided")])
def test_a_wanted_score_beyond_a_million_is_no_measurement(night, score, outcome):
    results = [replace(r, candidate=score, incumbent=score) if r.item == "w36" else r for r in night()]
    assert decide(results, POLICY).outcome == outcome


def test_an_answer_at_a_half_is_good_and_below_is_bad(night, scripted):
    for score, outcome in ((0.5, "promote"), (0.49, "keep")):
        halves = [replace(r, candidate=score) for r in scripted.never()]
        assert decide(night(never=halves), POLICY).outcome == outcome


def test_what_the_gate_takes_and_gives_cannot_be_changed(night):
    verdict = decide(night(), POLICY)
    for one in (night()[0], POLICY, verdict, verdict.test, verdict.estimates["skill"], compare.paired_difference(())):
        with pytest.raises((FrozenInstanceError, TypeError)):  # Python 3.11 raises the second for slots
            setattr(one, next(iter(one.__dataclass_fields__)), None)
        assert not hasattr(one, "__dict__")


def test_a_tolerated_error_counts_as_lost_to_the_base_too(night, scripted):
    """Thirty of 700 skill items failed: more than the margin, against a base that is as good as the candidate."""
    failing = [replace(r, error="boom") if n < 30 else r for n, r in enumerate(scripted.skill(won=0, lost=0))]
    verdict = decide(night(skill=failing), replace(POLICY, max_error_share=0.1))
    assert verdict.outcome == "keep"
    assert verdict.estimates["skill_vs_base"].value == pytest.approx(-30 / 700)
    alone = decide(night(skill=[replace(r, base=None) for r in failing]), replace(POLICY, max_error_share=0.1))
    assert "skill_vs_base" not in alone.estimates


def test_the_margin_is_said_in_points(night):
    assert decide(night(), POLICY).reasons[1].endswith("; 3 points may be lost.")


def test_only_the_suite_that_a_person_judged_is_judged(night, scripted):
    for suite in ("a", "judged", "z"):
        ten = [replace(r, suite=suite) for r in scripted.wanted(10, 0)]
        assert decide(night(wanted=ten), POLICY).outcome == ("promote" if suite == "judged" else "undecided")


def test_a_suite_of_one_template_that_is_lost_is_seen(night, scripted):
    lost = [ItemResult("solo", f"solo{n}", "one", "skill", 0.0, 1.0, 1.0) for n in range(12)]
    verdict = decide(night(skill=scripted.skill(items=1500) + lost), POLICY)
    assert verdict.outcome == "keep"
    assert "The suite 'solo' fell against the current model" in verdict.reasons[0]


def test_a_base_that_was_measured_on_some_skill_items_only_is_said(night, scripted):
    some = [replace(r, base=None) if n < 3 else r for n, r in enumerate(scripted.skill())]
    assert decide(night(skill=some), POLICY).reasons == ("The base's score is missing for 3 of 700 skill items.",)


def test_a_choice_that_becomes_even_is_not_won(night, scripted):
    even = [replace(r, candidate=0.5, incumbent=0.4, base=0.4) for r in scripted.skill(won=0, lost=0)]
    assert "(0 won, 0 lost)" in decide(night(skill=even), POLICY).reasons[1]


@pytest.mark.parametrize("score", [1.01, 1.9, -0.01])
def test_a_skill_or_probe_score_outside_nothing_and_one_is_no_measurement(night, scripted, score):
    skill = [replace(r, candidate=score) if n == 0 else r for n, r in enumerate(scripted.skill())]
    never = [replace(r, incumbent=score) if n == 0 else r for n, r in enumerate(scripted.never())]
    for results in (night(skill=skill), night(never=never)):
        verdict = decide(results, POLICY)
        assert verdict.outcome == "undecided"
        assert "is outside 0 to 1" in verdict.reasons[0]


def looks(*found):
    return [Test(n, 0.01, (), False, 0.5, one) for n, one in enumerate(found, start=1)]


def test_the_bound_against_the_base_is_asked_with_more_confidence_after_each_look_that_found_a_loss(night, scripted):
    """A loss that a first look allows is not passed by looking again and again."""
    results = night(skill=scripted.skill(won=30, lost=32))
    said = {
        "95 %": (),
        "98.75 %": (-0.015,),
        "99.44 %": (-0.02, -0.03),
        "95 % ": (-0.0149, None, 0.01),
    }
    for confidence, found in said.items():
        reasons = [r for r in decide(results, POLICY, looks(*found)).reasons if "untouched base" in r]
        assert f"with {confidence.strip()} confidence" in reasons[0], found
    lost = night(wanted=scripted.wanted(38, 0), skill=scripted.skill(won=20, lost=28))
    first, tenth = decide(lost, POLICY), decide(lost, POLICY, looks(*[-0.02] * 9))
    assert (first.outcome, tenth.outcome) == ("promote", "undecided")
    assert "untouched base" in tenth.reasons[0]
    assert tenth.estimates == first.estimates


def test_a_promotion_begins_the_looks_at_the_base_again(night, scripted):
    promoted = [*looks(-0.02, -0.02), Test(3, 0.01, (), True, 0.001, -0.02)]
    once_more = [*promoted, Test(4, 0.01, (), False, 0.5, -0.02)]
    for history, confidence in ((promoted, "95 %"), (once_more, "98.75 %")):
        (against_base,) = [r for r in decide(night(), POLICY, history).reasons if "untouched base" in r]
        assert f"with {confidence} confidence" in against_base


def test_the_test_says_how_skill_stood_against_the_base(night, scripted):
    assert decide(night(skill=scripted.skill(won=13, lost=20)), POLICY).test.skill_vs_base == pytest.approx(-0.01)
    assert decide(night(skill=scripted.skill(base=False)), POLICY).test.skill_vs_base is None
