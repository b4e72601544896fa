"""What a person may set about training; `strop.config` composes it under `[trainer]`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Passes of SFT over a few dozen rows.
MOST_EPOCHS = 6.0
Method = Literal["auto", "sft", "dpo", "kto", "hindsight", "grpo"]


class TrainerSettings(BaseModel):
    """Defaults of a night's training. Learning rates are per optimiser step, lengths are in tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "auto"
    rank: int = Field(default=16, ge=1, le=256)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    sft_epochs: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"  # auto: 6, and fewer where there are many rows
    sft_learning_rate: float = Field(default=3e-4, gt=0)
    dpo_epochs: float = Field(default=2.0, gt=0)
    dpo_learning_rate: float = Field(default=5e-5, gt=0)
    dpo_beta: float = Field(default=0.1, gt=0)
    dpo_sft_weight: float = Field(default=0.2, ge=0.0)  # of the chosen answer's likelihood beside the preference
    rejected_tokens: int = Field(default=40, ge=1)  # how much of a rejected answer DPO reads: its beginning
    dpo_label_smoothing: float = Field(
        default=0.0, ge=0.0, lt=0.5
    )  # the share of pairs that may be the wrong way round
    kto_epochs: float = Field(default=2.0, gt=0)
    kto_learning_rate: float = Field(default=5e-5, gt=0)
    kto_beta: float = Field(default=0.1, gt=0)
    kto_loss: Literal["kto", "apo_zero_unpaired"] = "apo_zero_unpaired"
    hindsight_epochs: float = Field(default=3.0, gt=0)
    hindsight_learning_rate: float = Field(default=1e-4, gt=0)
    grpo_epochs: float = Field(default=3.0, gt=0)
    grpo_learning_rate: float = Field(default=1e-5, gt=0)  # what TRL gives for a LoRA, ten times that of a full run
    generations: int = Field(default=8, ge=2)  # answers that GRPO samples to a task and compares
    answer_tokens: int = Field(default=128, ge=1)  # the longest of them
    warmup: float = Field(default=0.05, ge=0, lt=1)  # the share of the steps in which the learning rate rises
    # the linear layers that the LoRA is on: all but the head, or those whose names end in one of these, with commas
    target_modules: str = Field(default="all-linear", pattern=r"^(all-linear|[A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*)$")
    batch_size: int = Field(default=8, ge=1)
    max_length: int = Field(default=1024, ge=16)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    load_in: Literal["16bit", "8bit", "4bit"] = "16bit"  # the frozen base in memory; fewer bits are slower
    accumulation: int = Field(default=1, ge=1)  # in how many parts a step's batch is read: less memory, same step
    checkpoint_s: float = Field(default=120.0, ge=0)  # seconds between the points from which a cut run goes on
    # answers of the base itself that SFT copies beside each row; auto: by what the feedback is about
    replay: Literal["auto"] | Annotated[float, Field(ge=0, le=4)] = "auto"
    trackio_space: str | None = None  # where Trackio is installed: also send the figures to this (private) Space
    checkpointing: bool = False  # activations are computed again instead of kept: less memory, a quarter more time

    def epochs(self, method: str) -> float:
        """Passes of a method over its rows; those of SFT under `auto` are for few rows."""
        epochs = getattr(self, f"{method}_epochs")
        return MOST_EPOCHS if epochs == "auto" else float(epochs)

    def learning_rate(self, method: str) -> float:
        """A method's peak learning rate."""
        return float(getattr(self, f"{method}_learning_rate"))
