"""What all methods share: the arguments of TRL's trainers, the run itself, and what a run reports."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import TrainingFailed
from strop.trainer.head import score_completions_only
from strop.trainer.optimizer import master_adamw
from strop.trainer.recipe import Recipe, StageRecipe


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of training: `loss` is a mean over the answer's tokens (SFT) or over rows, in nats."""

    stage: str
    step: int
    steps: int
    loss: float


OnProgress = Callable[[Progress], None]


def device() -> str:
    """The accelerator that torch sees, else the processor."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def labelled(prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> dict[str, list[int]]:
    """A row as TRL's SFT takes it: only the answer has labels."""
    return {
        "input_ids": [*prompt_ids, *completion_ids],
        "labels": [*[-100] * len(prompt_ids), *completion_ids],
    }


class TokenRows:
    """For a trainer of TRL's whose rows are token ids already: nothing is left to prepare."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def arguments(stage: StageRecipe, recipe: Recipe, scratch: Path) -> dict[str, Any]:
    """What every trainer is told. Nothing is saved, sent or drawn by the library: that is ours."""
    on_cpu = device() == "cpu"
    return {
        "output_dir": str(scratch),
        "use_cpu": on_cpu,
        "bf16": False,
        "per_device_train_batch_size": max(1, stage.batch_size // recipe.accumulation),
        "gradient_accumulation_steps": recipe.accumulation,
        "num_train_epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "warmup_steps": stage.warmup,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "activation_checkpointing": recipe.checkpointing,
        "train_sampling_strategy": "group_by_length" if stage.method == "sft" else "random",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number must be seen
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
    }


def fit(
    trainer_class: Any,
    model: Any,
    tokenizer: Any,
    arguments: Any,
    data: Any,
    stage: StageRecipe,
    on: OnProgress,
    *,
    collator: Any = None,
) -> float:
    """Train the adapter of `model` in place; the mean loss over all steps. Raises TrainingFailed where it is NaN."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[_reporter(stage.method, on)],
        optimizers=(master_adamw(parameters, stage.learning_rate), None),
        data_collator=collator,
    )
    for name, parameter in model.named_parameters():
        if ".ref." in name:  # TRL's copy comes in float32; it must round as the adapter does, or DPO starts uneven
            parameter.data = parameter.data.to(parameters[0].dtype)
    if device() == "cpu":
        score_completions_only(model.get_base_model(), pairs=stage.method == "dpo")
    result = trainer.train()
    if not math.isfinite(result.training_loss):
        what = f"the {stage.method} loss became {result.training_loss}"
        raise TrainingFailed(what, hint="lower the learning rate and train again")
    return float(result.training_loss)


def _reporter(stage: str, on: OnProgress) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Hands each logged step to the caller."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                on(Progress(stage, state.global_step, state.max_steps, float(logs["loss"])))

    return Reporter()
