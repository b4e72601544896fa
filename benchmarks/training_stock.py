"""TRL as it comes, which our training is measured against: nothing of ours but the rows, token ids already."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from strop.trainer.fit import device
from strop.trainer.train import Progress

OnProgress = Callable[[Progress], None]


def arguments(
    batch: int, learning_rate: float, *, checkpointing: bool, order: str, seed: int, autocast: bool
) -> dict[str, Any]:
    """One epoch in TRL's settings; `autocast` computes in bf16 over float32 weights."""
    return {
        "bf16": autocast,  # TRL's own default on a card; a processor computes in the type of the weights
        "use_cpu": device() == "cpu",
        "per_device_train_batch_size": batch,
        "num_train_epochs": 1.0,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
        "max_length": None,
        "gradient_checkpointing": checkpointing,
        "train_sampling_strategy": order,
    }


def train(
    method: str, model: Any, tokenizer: Any, rows: Sequence[Any], told: Mapping[str, Any], on: OnProgress
) -> None:
    """Train the adapter of `model` by `method`, sft or dpo; `told` are `arguments` with an `output_dir`."""
    make = _sft if method == "sft" else _dpo
    trainer = make(rows, told, model=model, processing_class=tokenizer)
    trainer.add_callback(_reporter(method, on))
    trainer.train()


def _reporter(method: str, on: OnProgress) -> Any:
    from transformers import TrainerCallback

    class Seen(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                on(Progress(method, state.global_step, state.max_steps, float(logs["loss"])))

    return Seen()


def _sft(rows: Sequence[Any], told: Mapping[str, Any], **with_model: Any) -> Any:
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
    return SFTTrainer(args=SFTConfig(**told, packing=False), train_dataset=data, **with_model)


def _dpo(rows: Sequence[Any], told: Mapping[str, Any], **with_model: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    data = Dataset.from_list([{name: list(getattr(row, name)) for name in names} for row in rows])

    class Ready(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    return Ready(args=DPOConfig(**told, beta=0.1), train_dataset=data, **with_model)
