"""What a training run does, as data: two equal recipes on equal rows and one base give the same adapter."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from strop.errors import UsageError
from strop.trainer.settings import TrainerSettings

Stage = Literal["sft", "dpo", "kto", "hindsight", "grpo"]
LoadIn = Literal["16bit", "8bit", "4bit"]
KtoLoss = Literal["kto", "apo_zero_unpaired"]
Precision = Literal["bf16", "fp32"]
# How all answers are wanted, as far as replay can be made alike.
Manner = Literal["", "shorter", "longer", "other"]


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """One pass of one method. `learning_rate` is the peak, reached after `warmup` (a share of the steps).

    Of DPO alone: `beta`, the weight of the likelihood of the chosen answer beside the preference (`sft_weight`), and
    how many tokens of a rejected answer are read (its beginning says what was wrong; the rest is time), and the share
    of pairs that are taken to be the wrong way round (`label_smoothing`; above 0 the loss is the robust one). Of KTO
    alone: `kto_loss`. Of GRPO alone: how many answers are sampled to a task (`generations`) and their longest
    (`answer_tokens`); its `batch_size` counts answers.
    """

    method: Stage
    epochs: float
    learning_rate: float
    batch_size: int
    warmup: float = 0.05
    beta: float = 0.1
    sft_weight: float = 0.2
    rejected_tokens: int = 40
    label_smoothing: float = 0.0
    kto_loss: KtoLoss = "apo_zero_unpaired"
    generations: int = 8
    answer_tokens: int = 128


@dataclass(frozen=True, slots=True)
class Recipe:
    """A chain of stages on one fresh LoRA. `max_length` is in tokens, prompt and answer.

    It is on the linear layers that `target_modules` names: "all-linear" (all but the head), or ends of their names with
    commas between them.

    `load_in` says in how many bits the frozen base lies in memory (16bit: in the recipe's precision). A step's batch is
    read in `accumulation` parts; with `checkpointing` activations are computed again instead of kept. SFT also
    copies `replay` times as many of the base's own answers to general prompts, made in the wanted `manner`.
    """

    stages: tuple[StageRecipe, ...]
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    max_length: int = 1024
    precision: Precision = "bf16"
    seed: int = 17
    load_in: LoadIn = "16bit"
    accumulation: int = 1
    checkpointing: bool = False
    replay: float = 0.0
    manner: Manner = ""
    target_modules: str = "all-linear"

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
    if settings.accumulation > 1 and settings.batch_size % settings.accumulation:
        raise UsageError(
            f"a batch of {settings.batch_size} rows has no {settings.accumulation} equal parts",
            hint="choose --accumulation so that it divides --batch-size",
        )
    return Recipe(
        stages=tuple(_stage(method, settings) for method in methods),
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=settings.dropout,
        max_length=settings.max_length,
        precision=precision,
        seed=seed,
        load_in=settings.load_in,
        accumulation=settings.accumulation,
        checkpointing=settings.checkpointing,
        target_modules=settings.target_modules,
    )


def _stage(method: Stage, settings: TrainerSettings) -> StageRecipe:
    own: dict[str, Any] = {}
    if method == "dpo":
        own = {
            "beta": settings.dpo_beta,
            "rejected_tokens": settings.rejected_tokens,
            "sft_weight": settings.dpo_sft_weight,
            "label_smoothing": settings.dpo_label_smoothing,
        }
    elif method == "kto":
        own = {"beta": settings.kto_beta, "kto_loss": settings.kto_loss}
    elif method == "grpo":
        own = {"generations": settings.generations, "answer_tokens": settings.answer_tokens}
    epochs, rate = settings.epochs(method), settings.learning_rate(method)
    return StageRecipe(method, epochs, rate, settings.batch_size, settings.warmup, **own)


def with_precision(recipe: Recipe, precision: Precision) -> Recipe:
    """The same recipe in another precision."""
    return replace(recipe, precision=precision)
