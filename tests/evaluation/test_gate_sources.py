"""Nobody but the owner decides: not one foreign source, nor several together, and nothing is spent on what they say."""

from dataclasses import replace

import pytest

from strop.evaluation import Policy, Test, decide

POLICY = Policy()


def used(items):
    return [Test(1, 0.01, tuple(items), False, 0.5)]


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "mallory", "trust": "known"},
        *({"source": "mallory"}, {"source": "zoe"}, {"trust": "anonymous"}, {"trust": "user"}),
    ],
)
def test_one_foreign_source_may_not_decide(night, scripted, fields):
    verdict = decide(night(wanted=scripted.wanted(12, 12) + scripted.wanted(26, 2, start=24, **fields)), POLICY)
    assert verdict.outcome == "undecided"
    name = fields.get("source")
    whose = f"{name!r}, which are not the owner's," if name else "others by the name of 'owner'"
    assert f"without the wishes of {whose} it would be 12 of 24 (p = 0.5806): one foreign" in verdict.reasons[0]


def test_what_a_foreign_source_turns_from_keep_to_undecided_needs_no_hold(night, scripted):
    """Nothing is promoted with them or without them."""
    verdict = decide(night(wanted=scripted.wanted(15, 15) + of(scripted, "ann", 5, 1, 100)), POLICY)
    assert verdict.outcome == "undecided"
    assert "may not decide" not in verdict.reasons[0]


def test_foreign_wishes_that_change_nothing_are_welcome(night, scripted):
    mixed = scripted.wanted(27, 6) + scripted.wanted(6, 2, start=33, source="ann", trust="known")
    assert decide(night(wanted=mixed), POLICY).outcome == "promote"


def of(scripted, name, wins, losses, start):
    return scripted.wanted(wins, losses, start=start, source=name, trust="known")


@pytest.mark.parametrize("names", [("mallory",), ("bob", "mallory"), ("bob", "eve", "mallory", "trudy")])
def test_strangers_do_not_decide_together_either(night, scripted, names):
    """The owner's own wishes say nothing; each stranger could be left out, and the others would carry it."""
    strangers = [r for n, name in enumerate(names) for r in of(scripted, name, 20, 0, 100 + 20 * n)]
    verdict = decide(night(wanted=scripted.wanted(13, 11) + strangers), POLICY)
    assert verdict.outcome == "undecided"
    assert "it would be 13 of 24 (p = 0.4194): one foreign source may not decide, nor several" in verdict.reasons[0]
    several = f"but without the wishes of all {len(names)} sources that are not the owner's it would be"
    assert (several in verdict.reasons[0]) is (len(names) > 1)
    # Where they are owners too, all of them decide alike.
    alike = [replace(r, source="owner", trust="owner") for r in strangers]
    assert decide(night(wanted=scripted.wanted(13, 11) + alike), POLICY).outcome == "promote"


def test_what_the_owner_judged_blind_is_enough_beside_wishes_of_others(night, scripted):
    judged = [replace(r, suite="judged") for r in scripted.wanted(10, 0)]
    assert decide(night(wanted=judged + of(scripted, "ann", 3, 2, 100)), POLICY).outcome == "promote"


def test_each_foreign_source_is_left_out_by_itself(night, scripted):
    """The owner's wishes alone would promote, and so do all; without bob's they would not, against mallory's."""
    owner, bob, mallory = scripted.wanted(25, 3), of(scripted, "bob", 40, 0, 100), of(scripted, "mallory", 0, 30, 200)
    verdict = decide(night(wanted=owner + bob + mallory), POLICY)
    assert verdict.outcome == "undecided"
    assert "without the wishes of 'bob', which are not the owner's, it would be 25 of 58" in verdict.reasons[0]
    assert decide(night(wanted=owner + bob), POLICY).outcome == "promote"


def test_who_only_has_the_owners_name_is_said_not_to_be_the_owner(night, scripted):
    posing = scripted.wanted(30, 0, start=100, trust="known")
    verdict = decide(night(wanted=scripted.wanted(12, 12) + posing), POLICY)
    assert "without the wishes of others by the name of 'owner' it would be 12 of 24" in verdict.reasons[0]


def test_a_foreign_source_that_loses_does_not_decide_either(night, scripted):
    owner, against = scripted.wanted(30, 0), scripted.wanted(0, 31, start=40, source="mallory", trust="known")
    verdict = decide(night(wanted=owner + against), POLICY)
    assert verdict.outcome == "undecided"
    assert "without the wishes of 'mallory', which are not the owner's, it would be 30 of 30" in verdict.reasons[0]


@pytest.mark.parametrize("names", [("ann",), ("ann", "bob")])
def test_a_foreign_source_does_not_say_keep_either(night, scripted, names):
    """The owner's own are more wins than losses, and not enough: what others lost does not end that."""
    own = scripted.wanted(15, 5)
    alone = decide(night(wanted=own), POLICY)
    lost = [r for n, name in enumerate(names) for r in of(scripted, name, 0, 10, 100 + 10 * n)]
    verdict = decide(night(wanted=own + lost), POLICY)
    assert (alone.outcome, verdict.outcome) == ("undecided", "undecided")
    assert "it would be 15 of 20 (p = 0.0207): one foreign source may not decide" in verdict.reasons[0]
    assert verdict.needed is not None


def test_the_owners_own_figures_are_the_ones_that_are_said(night, scripted):
    strangers = of(scripted, "alice", 12, 0, 100) + of(scripted, "bob", 12, 0, 200)
    reason = decide(night(wanted=scripted.wanted(14, 12) + strangers), POLICY).reasons[0]
    assert "without the wishes of all 2 sources that are not the owner's it would be 14 of 26 (p = 0.4225)" in reason


def test_a_foreign_source_does_not_fill_up_what_a_test_needs(night, scripted):
    """Fifteen wishes of the owner's are too few for a test, and five ties of another's do not make them enough."""
    ties = scripted.wanted(0, 0, 5, start=40, source="mallory", trust="known")
    verdict = decide(night(wanted=scripted.wanted(15, 0) + ties), POLICY)
    assert (verdict.outcome, verdict.needed, verdict.test) == ("undecided", 5, None)
    assert verdict.reasons[0] == (
        "Only 15 held-out corrections of your own (near-duplicates count once) and the test needs 20: 5 more of your "
        "own held out would do. What others wished cannot decide alone; people who may are named in feedback.owners."
    )


def test_nothing_is_spent_where_too_few_of_the_owners_own_are_fresh(night, scripted):
    """A test that could not promote would use up prompts and error."""
    own, others = scripted.wanted(30, 0), of(scripted, "ann", 30, 0, 100)
    verdict = decide(night(wanted=own + others), POLICY, used(f"w{n}" for n in range(12)))
    assert (verdict.outcome, verdict.needed, verdict.test) == ("undecided", 2, None)
    assert "Only 18 held-out corrections of your own came since the last test" in verdict.reasons[0]
    assert decide(night(wanted=own + others), POLICY, used(f"w{n}" for n in range(10))).outcome == "promote"
