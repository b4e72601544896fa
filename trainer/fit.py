"""What all methods share: the arguments of TRL's trainers, the run itself, what it reports and where it goes on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.errors import TrainingFailed
from strop.trainer.head import score_completions_only
from strop.trainer.linear import fuse_lora
from strop.trainer.optimizer import master_adamw
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.resume import Place, resumable


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of training: `loss` is a mean over the answer's tokens (SFT) or over rows, in nats.

    `tokens` are the stage's non-padding input tokens so far, `metrics` what else the trainer says of the step.
    """

    stage: str
    step: int
    steps: int
    loss: float
    tokens: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


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
    parts = min(recipe.accumulation, stage.batch_size)
    return {
        "output_dir": str(scratch),
        "use_cpu": on_cpu,
        "bf16": False,
        "per_device_train_batch_size": stage.batch_size // parts,
        "gradient_accumulation_steps": parts,
        "num_train_epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "warmup_steps": stage.warmup,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "activation_checkpointing": recipe.checkpointing,
        "train_sampling_strategy": "random",
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
    place: Place | None = None,
) -> float:
    """Train the adapter of `model` in place; the mean loss over the steps made. Raises TrainingFailed where it is NaN.

    Where `place` holds a checkpoint of this stage, the run goes on from it.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trainer = resumable(trainer_class)(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        optimizers=(master_adamw(named.values(), stage.learning_rate), None),
        data_collator=collator,
    )
    trainer.place, trainer.learned = place or Place(), named
    trainer.add_callback(_reporter(trainer, stage.method, on))
    for name, parameter in model.named_parameters():
        if ".ref." in name:  # TRL's copy comes in float32; it must round as the adapter does, or DPO starts uneven
            parameter.data = parameter.data.to(next(iter(named.values())).dtype)
    if device() == "cpu":
        score_completions_only(model.get_base_model(), pairs=stage.method == "dpo")
        fuse_lora(model, "default")
    found = trainer.place.checkpoint
    result = trainer.train(resume_from_checkpoint=str(found.folder) if found else None)
    if not math.isfinite(result.training_loss):
        raise _diverged(stage.method, result.training_loss)
    return float(result.training_loss)


def _diverged(stage: str, loss: float) -> TrainingFailed:
    return TrainingFailed(f"the {stage} loss became {loss}", hint="lower the learning rate and train again")


def _reporter(trainer: Any, stage: str, on: OnProgress) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Hands each logged step to the caller, and asks for a checkpoint where one is due."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
                loss = numbers.pop("loss")
                if not math.isfinite(loss):
                    raise _diverged(stage, loss)
                on(Progress(stage, state.global_step, state.max_steps, loss, trainer.tokens, numbers))

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_save = trainer.place.due and state.global_step < state.max_steps
            return control

    return Reporter()
