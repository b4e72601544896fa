"""What `decide` makes of results that are odd, or not all there, and what it says would settle an undecided night."""

from dataclasses import replace
from decimal import Decimal

import pytest

from strop.evaluation import ItemResult, Policy, decide
from strop.evaluation.error import Test

REQUIRED = Policy(required=("never/endless", "skill/facts"), base_required=True)


@pytest.fixture
def good(scripted):
    """Results that promote: 27 to 8 wanted, even skill, no bad answers."""
    return [*scripted.wanted(27, 8, 3), *scripted.skill(), *scripted.never(), *scripted.never(suite="leak")]


def test_results_may_come_one_by_one(good):
    assert decide((one for one in good), REQUIRED) == decide(good, REQUIRED)
    assert decide(iter(good), REQUIRED).outcome == "promote"
    assert decide(iter(()), REQUIRED).reasons == ("Nothing was measured: there are no results.",)


@pytest.mark.parametrize("score", [2**2000, -(2**2000), 10**400, None, "1", Decimal(1), 1j, [1], float("nan")])
@pytest.mark.parametrize("kind", ["wanted", "skill", "never"])
def test_a_score_that_is_no_score_never_promotes_and_breaks_nothing(good, kind, score):
    at = next(place for place, one in enumerate(good) if one.kind == kind)
    verdict = decide([*good[:at], replace(good[at], candidate=score), *good[at + 1 :]], REQUIRED)
    assert verdict.outcome == "undecided"
    assert "1 of 858 results could not be measured" in verdict.reasons[0]
    assert len(verdict.reasons[0]) < 200


@pytest.mark.parametrize("name", ["suite", "item", "cluster", "kind", "source", "trust"])
@pytest.mark.parametrize("value", [["a"], None, 3, {}])
def test_a_name_that_is_no_text_is_said_with_its_place(good, name, value):
    verdict = decide([*good[:2], replace(good[2], **{name: value}), *good[3:]], REQUIRED)
    assert verdict.outcome == "undecided"
    assert verdict.reasons == (f"Result 3 cannot be read: its {name} is {value!r}, and no text.",)


@pytest.mark.parametrize("suite", ["never/leak", "never/endless", "skill/facts"])
def test_a_suite_that_is_required_and_not_there_promotes_nothing(good, suite):
    policy = Policy(required=("never/endless", "never/leak", "skill/facts"))
    assert decide(good, policy).outcome == "promote"
    # Something else of its kind stays, so that only the suite is missing.
    more = [replace(one, suite="more") for one in good if one.kind == "skill"]
    verdict = decide([*[one for one in good if f"{one.kind}/{one.suite}" != suite], *more], policy)
    assert (verdict.outcome, verdict.reasons) == ("undecided", (f"Not measured at all: {suite}.",))


def test_where_the_base_is_required_it_is_required_for_all_skill_items(good):
    without = [replace(one, base=None) for one in good]
    assert decide(without, Policy()).outcome == "promote"
    verdict = decide(without, REQUIRED)
    assert (verdict.outcome, verdict.reasons) == (
        "undecided",
        ("The base's score is missing for 700 of 700 skill items.",),
    )


def test_a_night_held_for_a_foreign_source_says_how_many_of_the_owners_would_settle_it(scripted):
    rest = [*scripted.skill(), *scripted.never()]
    own, foreign = scripted.wanted(14, 8), scripted.wanted(14, 0, start=100, source="pupil", trust="user")
    verdict = decide([*own, *foreign, *rest], Policy())
    assert verdict.outcome == "undecided"
    own_of_them = -(-verdict.needed * 22 // 36)
    settles = f"about {verdict.needed} more held out, {own_of_them} of them your own, would settle it at this share."
    assert verdict.reasons[0].endswith(settles)
    share = scripted.wanted(round(verdict.needed * 14 / 22) + 1, round(verdict.needed * 8 / 22), start=200)
    assert decide([*own, *share, *foreign, *rest], Policy(), [verdict.test]).outcome == "promote"


@pytest.mark.parametrize(
    ("own", "foreign"),
    [((11, 12), (20, 0)), ((24, 6), (0, 20))],  # a foreign source carries it; a foreign source alone is against it
)
def test_where_no_share_would_settle_it_the_fewest_of_the_owners_that_would_are_said(scripted, own, foreign):
    rest = [*scripted.skill(), *scripted.never()]
    said = [*scripted.wanted(*own), *scripted.wanted(*foreign, start=100, source="pupil", trust="user"), *rest]
    verdict = decide(said, Policy())
    assert verdict.outcome == "undecided"
    assert verdict.needed is not None
    assert verdict.reasons[0].endswith(
        f"no number up to 5,000 would settle it at this share, but about {verdict.needed} more of your own "
        "would if all of them moved closer."
    )
    for more, outcome in ((verdict.needed, "promote"), (verdict.needed - 1, "undecided")):
        again = [*said, *scripted.wanted(more, 0, start=200)]
        assert decide(again, Policy(), [verdict.test]).outcome == outcome


def test_fresh_prompts_that_speak_against_it_say_how_many_would_turn_that(scripted):
    used, fresh = scripted.wanted(40, 6), scripted.wanted(9, 11, start=100)
    history = [Test(1, 0.01, tuple(one.item for one in used), False, 0.5)]
    rest = [*scripted.skill(), *scripted.never()]
    verdict = decide([*used, *fresh, *rest], Policy(), history)
    assert verdict.outcome == "undecided"
    assert "fresh ones come first" in verdict.reasons[0]
    assert verdict.needed == 20  # as many as a next test needs: at this share it would promote
    more = scripted.wanted(15, 5, start=200)
    assert decide([*used, *fresh, *more, *rest], Policy(), [*history, verdict.test]).outcome == "promote"


def test_a_gain_within_its_noise_says_how_many_more_would_lift_it_out(scripted):
    policy = Policy(ladder_step=5.0)
    rest = [*scripted.skill(), *scripted.never()]
    verdict = decide([*scripted.wanted(27, 8, 3), *rest], policy)
    assert "no step above its noise" in verdict.reasons[0]
    assert verdict.needed is not None
    times = (38 + verdict.needed) / 38
    more = scripted.wanted(round(27 * times) + 1, round(8 * times), round(3 * times))
    assert decide([*more, *rest], policy, [replace(verdict.test, items=())]).outcome == "promote"


def test_both_shortages_are_counted_in_what_is_asked_for(scripted):
    wanted = scripted.wanted(15, 0)
    history = [Test(1, 0.01, tuple(one.item for one in wanted[:12]), False, 0.5)]
    verdict = decide([*wanted, *scripted.skill(), *scripted.never()], Policy(), history)
    assert verdict.needed == 17  # 3 are fresh, and 20 must be
    assert "17 more held out would do" in verdict.reasons[0]
    again = [*wanted, *scripted.wanted(17, 0, start=100), *scripted.skill(), *scripted.never()]
    assert decide(again, Policy(), history).test is not None


def test_scores_of_numpy_are_scores(scripted):
    numpy = pytest.importorskip("numpy")
    results = [*scripted.wanted(27, 8, 3), *scripted.skill(), *scripted.never()]
    scored = [replace(r, candidate=numpy.float64(r.candidate), incumbent=numpy.float64(r.incumbent)) for r in results]
    assert decide(scored, Policy()).outcome == decide(results, Policy()).outcome == "promote"


def test_a_step_that_is_no_number_promotes_nothing(scripted):
    results = [*scripted.wanted(27, 8, 3), *scripted.skill(), *scripted.never()]
    assert decide(results, Policy(ladder_step=float("nan"))).outcome == "undecided"


def test_a_reason_names_a_long_score_shortly():
    result = ItemResult("s", "i", "c", "wanted", 2**4000, 0.0)
    assert len(decide([result], Policy()).reasons[0]) < 120


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("veto_alpha", value) for value in (-1.0, 0.0, 0.9, float("inf"))),
        *(("suite_alpha", value) for value in (-1.0, 0.0, float("inf"))),
        *(("skill_margin", value) for value in (-0.01, 0.6, float("inf"))),
        *(("suite_fall", value) for value in (-0.01, 1.0, float("inf"))),
        *(("level", value) for value in (-1.0, 0.0, 2.0, float("inf"))),
        *(("max_error_share", value) for value in (-0.1, 1.0, float("inf"))),
        *(("ladder_step", value) for value in (-1.0, float("-inf"))),
        *(("min_skill_items", value) for value in (0, -5, float("nan"), None, "600")),
        *(("min_never_items", value) for value in (0, float("nan"))),
        ("min_fresh_clusters", float("nan")),
    ],
)
def test_a_policy_that_would_wave_things_through_decides_nothing(good, scripted, name, value):
    """Sycophancy in every answer, under a veto at a level that no p-value is below, say."""
    bad = scripted.never(60, suite="sycophancy") if name == "veto_alpha" else []
    verdict = decide([*good, *bad], replace(Policy(), **{name: value}))
    assert (verdict.outcome, verdict.test) == ("undecided", None)
    assert f"its {name} is {value}, not from" in verdict.reasons[0]


def test_a_held_out_prompt_does_not_count_in_two_suites(good):
    """Twelve wins, each also in a second suite and with another cluster there, are no twenty-four."""
    few = [replace(r, candidate=1.0, incumbent=0.0) for r in good if r.kind == "wanted"][:12]
    again = [replace(r, suite="again", cluster=f"other{r.cluster}") for r in few]
    rest = [r for r in good if r.kind != "wanted"]
    verdict = decide([*few, *again, *rest], Policy())
    assert (verdict.outcome, verdict.test) == ("undecided", None)
    assert verdict.reasons == ("w0 stands in wanted/again and in wanted/wanted: what is held out counts once.",)


def test_a_prompt_that_trained_is_not_held_out(good):
    trained = [replace(r, kind="learned", suite="learned", candidate=1.0, incumbent=1.0) for r in good[:1]]
    verdict = decide([*good, *trained], Policy())
    assert verdict.outcome == "undecided"
    assert verdict.reasons == ("w0 stands in learned/learned and in wanted/wanted: what is held out counts once.",)


@pytest.mark.parametrize("templates", [2, 3, 9])
def test_a_suite_of_few_templates_that_is_lost_whole_is_seen(scripted, templates):
    """As many templates as that, all of which fell, are never significant by themselves; their items are."""
    lost = [ItemResult("law", f"law{n}", f"law{n % templates}", "skill", 0.0, 1.0, 1.0) for n in range(27)]
    verdict = decide([*scripted.wanted(27, 8), *scripted.skill(0, 0, items=1500), *lost, *scripted.never()], Policy())
    assert verdict.outcome == "keep"
    assert "The suite 'law' fell against the current model: −100.0 points on 27 items" in " ".join(verdict.reasons)


def test_what_no_number_settles_is_not_settled_by_a_number_of_something_else(scripted):
    """Ten skill items are missing; but wanted is as good as a draw, and ten items more would change nothing of that."""
    wanted, skill = scripted.wanted(101, 100), scripted.skill(items=590)
    verdict = decide([*wanted, *skill, *scripted.never()], Policy())
    assert (verdict.outcome, verdict.needed) == ("undecided", None)
    assert any("no number up to 5,000 would settle it at this share" in reason for reason in verdict.reasons)


def test_an_error_is_one_short_line_in_the_reason(good):
    verdict = decide([replace(good[0], error="boom\n\n" + "x" * 5000), *good[1:]], Policy())
    assert "\n" not in verdict.reasons[0]
    assert "boom x" in verdict.reasons[0]
    assert len(verdict.reasons[0]) < 300
