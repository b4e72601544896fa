"""The gate's settings are the shipped policy, and what cannot be right is refused."""

import math

import pytest
from pydantic import ValidationError

from strop.evaluation import Policy
from strop.evaluation.settings import GateSettings


def test_defaults_are_the_shipped_policy():
    assert GateSettings().policy() == Policy()


def test_every_field_of_the_policy_can_be_set():
    by_a_night = {"required", "base_required"}  # follow from what is asked
    assert set(GateSettings.model_fields) - {"answer_tokens"} == set(Policy.__dataclass_fields__) - by_a_night
    assert GateSettings(skill_margin=0.03).policy().skill_margin == 0.03


@pytest.mark.parametrize(
    "fields",
    [
        *({"skil_margin": 0.1}, {"level": 0}, {"level": math.nan}, {"max_error_share": 0.5}, {"min_skill_items": 1}),
    ],
)
def test_what_cannot_be_right_is_refused(fields):
    with pytest.raises(ValidationError):
        GateSettings(**fields)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"suite_budget": 599}, "gate.suite_budget = 599 is below gate.min_skill_items = 600"),
        ({"probe_budget": 19}, "gate.probe_budget = 19 is below"),
        ({"probe_budget": 24, "min_never_items": 100}, "gate.probe_budget = 24 is below"),
        ({"min_skill_items": 5000}, "gate.min_skill_items = 5000 is more than a night asks"),
        ({"min_skill_clusters": 5000}, "gate.min_skill_clusters = 5000 is more than a night asks"),
        ({"suite_budget": 30, "min_skill_items": 30, "min_skill_clusters": 200}, "gate.min_skill_clusters = 200"),
        ({"min_never_items": 160}, "gate.min_never_items = 160 is more than a night asks"),
    ],
)
def test_settings_under_which_no_night_could_be_decided_are_read_and_named(fields, named):
    assert named in GateSettings(**fields).unreachable()


@pytest.mark.parametrize("fields", [{}, {"suite_budget": 824, "probe_budget": 24}, {"min_never_items": 150}])
def test_settings_under_which_a_night_can_be_decided_are_fine(fields):
    assert GateSettings(**fields).unreachable() == ""
