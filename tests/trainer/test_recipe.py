"""A recipe is plain data: it survives JSON, and it follows from the settings."""

import json

import pytest

from strop.errors import UsageError
from strop.trainer.recipe import Recipe, StageRecipe, for_methods, from_dict, with_precision
from strop.trainer.settings import TrainerSettings


def test_a_recipe_survives_json() -> None:
    recipe = Recipe((StageRecipe("sft", 6.0, 3e-4, 8), StageRecipe("dpo", 0.5, 5e-5, 2, beta=0.3)), rank=4, seed=9)
    assert from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_settings_reach_the_stage_that_they_name() -> None:
    settings = TrainerSettings(
        rank=2,
        alpha=6,
        dropout=0.1,
        sft_epochs=5,
        sft_learning_rate=1e-3,
        dpo_epochs=2,
        dpo_learning_rate=1e-5,
        dpo_beta=0.4,
        batch_size=3,
        max_length=99,
    )
    recipe = for_methods(("sft", "dpo"), settings, "fp32", 5)
    sft, dpo = recipe.stages
    assert (sft.method, sft.epochs, sft.learning_rate, sft.batch_size) == ("sft", 5, 1e-3, 3)
    assert (dpo.method, dpo.epochs, dpo.learning_rate, dpo.batch_size, dpo.beta) == ("dpo", 2, 1e-5, 3, 0.4)
    shape = (recipe.rank, recipe.alpha, recipe.dropout, recipe.max_length, recipe.precision, recipe.seed)
    assert shape == (2, 6, 0.1, 99, "fp32", 5)


def test_no_method_is_no_recipe() -> None:
    with pytest.raises(UsageError, match="no training method"):
        for_methods((), TrainerSettings(), "fp32", 1)


def test_another_precision_changes_nothing_else() -> None:
    recipe = for_methods(("sft",), TrainerSettings(), "fp32", 1)
    other = with_precision(recipe, "bf16")
    assert other.precision == "bf16"
    assert with_precision(other, "fp32") == recipe
