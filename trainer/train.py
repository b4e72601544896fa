"""One fresh LoRA from the base, through the stages of a recipe, with TRL's trainers.

Ours is what they are fed: rows rendered to ids, batches sorted by length, precision, which positions are scored.
Files written: only below the `scratch` folder that the caller gives.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import TrainingFailed
from strop.trainer.head import score_completions_only
from strop.trainer.optimizer import master_adamw
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample

ADAPTER = "default"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of training: `loss` is a mean over the answer's tokens (SFT) or over pairs (DPO), in nats."""

    stage: str
    step: int
    steps: int
    loss: float


OnProgress = Callable[[Progress], None]


def load_base(folder: Path, precision: str) -> tuple[Any, Any]:
    """(model, tokenizer) of a base folder, on the best device here, the weights frozen, in the recipe's precision."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device()), tokenizer


def device() -> str:
    """The accelerator that torch sees, else the processor."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def add_lora(model: Any, recipe: Recipe) -> Any:
    """`model` with one new adapter on all its linear layers but the head, seeded, in the model's own precision."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def run_sft(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Example],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
) -> float:
    """Train the adapter of `model` in place on `rows`; the mean loss over all steps. Raises TrainingFailed on NaN."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {
                "input_ids": [*row.prompt_ids, *row.completion_ids],
                "labels": [*[-100] * len(row.prompt_ids), *row.completion_ids],
            }
            for row in rows
        ]
    )
    arguments = SFTConfig(**_arguments(stage, recipe, scratch), max_length=None, packing=False)
    return _fit(SFTTrainer, model, tokenizer, arguments, data, stage, on)


def run_dpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PairExample],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
) -> float:
    """Preference training of the adapter in place; the reference is the adapter as it stood when this was called."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    data = Dataset.from_list(
        [
            {
                "prompt_ids": list(row.prompt_ids),
                "chosen_ids": list(row.chosen_ids),
                "rejected_ids": list(row.rejected_ids),
            }
            for row in rows
        ]
    )
    arguments = DPOConfig(
        **_arguments(stage, recipe, scratch),
        max_length=None,
        beta=stage.beta,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, stage.sft_weight],
    )

    class PairTrainer(DPOTrainer):
        """DPO on rows that are token ids already."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    return _fit(PairTrainer, model, tokenizer, arguments, data, stage, on)


def _arguments(stage: StageRecipe, recipe: Recipe, scratch: Path) -> dict[str, Any]:
    on_cpu = device() == "cpu"
    return {
        "output_dir": str(scratch),
        "use_cpu": on_cpu,
        "bf16": False,
        "per_device_train_batch_size": stage.batch_size,
        "num_train_epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "warmup_steps": stage.warmup,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "activation_checkpointing": False,
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


def _fit(
    trainer_class: Any, model: Any, tokenizer: Any, arguments: Any, data: Any, stage: StageRecipe, on: OnProgress
) -> float:
    parameters = [p for p in model.parameters() if p.requires_grad]
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[_reporter(stage.method, on)],
        optimizers=(master_adamw(parameters, stage.learning_rate), None),
    )
    for name, parameter in model.named_parameters():
        if ".ref." in name:  # TRL's copy comes in float32; it must round as the adapter does, or DPO starts uneven
            parameter.data = parameter.data.to(parameters[0].dtype)
    if device() == "cpu":
        score_completions_only(model.get_base_model())
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
