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
        # Nights that could never be decided.
        *({"suite_budget": 599}, {"probe_budget": 19}, {"probe_budget": 24, "min_never_items": 100}),
    ],
)
def test_what_cannot_be_right_is_refused(fields):
    with pytest.raises(ValidationError):
        GateSettings(**fields)
