"""What a training run does, as data: two equal recipes on equal rows and one base give the same adapter."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from strop.errors import UsageError
from strop.trainer.settings import TrainerSettings

Stage = Literal["sft", "dpo"]
Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """One pass of one method. `learning_rate` is the peak, reached after `warmup` (a share of the steps).

    Of DPO alone: `beta`, the weight of the likelihood of the chosen answer beside the preference (`sft_weight`), and
    how many tokens of a rejected answer are read (its beginning says what was wrong; the rest is time).
    """

    method: Stage
    epochs: float
    learning_rate: float
    batch_size: int
    warmup: float = 0.05
    beta: float = 0.1
    sft_weight: float = 0.2
    rejected_tokens: int = 40


@dataclass(frozen=True, slots=True)
class Recipe:
    """A chain of stages on one fresh LoRA over all linear layers. `max_length` is in tokens, prompt and answer."""

    stages: tuple[StageRecipe, ...]
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    max_length: int = 1024
    precision: Precision = "bf16"
    seed: int = 17

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON data, for manifests and for the training child."""
        return asdict(self)


def from_dict(data: dict[str, Any]) -> Recipe:
    """The inverse of `Recipe.as_dict`."""
    stages = tuple(StageRecipe(**stage) for stage in data["stages"])
    return Recipe(**{**data, "stages": stages})


def for_methods(methods: tuple[Stage, ...], settings: TrainerSettings, precision: Precision, seed: int) -> Recipe:
    """The recipe that the settings give for these methods, in this order."""
    if not methods:
        raise UsageError("no training method was chosen", hint="strop train sft --help")
    return Recipe(
        stages=tuple(_stage(method, settings) for method in methods),
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=settings.dropout,
        max_length=settings.max_length,
        precision=precision,
        seed=seed,
    )


def _stage(method: Stage, settings: TrainerSettings) -> StageRecipe:
    if method == "sft":
        return StageRecipe("sft", settings.sft_epochs, settings.sft_learning_rate, settings.batch_size)
    return StageRecipe(
        "dpo",
        settings.dpo_epochs,
        settings.dpo_learning_rate,
        settings.batch_size,
        beta=settings.dpo_beta,
        rejected_tokens=settings.rejected_tokens,
    )


def with_precision(recipe: Recipe, precision: Precision) -> Recipe:
    """The same recipe in another precision."""
    return replace(recipe, precision=precision)
