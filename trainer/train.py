"""One fresh LoRA from the base, through the stages of a recipe, with TRL's trainers.

Ours is what they are fed: rows rendered to ids and laid behind one another, precision, which positions are scored.
Files written: only below the `scratch` folder that the caller gives.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from strop.errors import Missing, UsageError
from strop.trainer.fit import OnProgress, Progress, device
from strop.trainer.methods.dpo import run_dpo
from strop.trainer.methods.grpo import run_grpo
from strop.trainer.methods.hindsight import run_hindsight
from strop.trainer.methods.kto import run_kto
from strop.trainer.methods.sft import run_sft
from strop.trainer.recipe import LoadIn, Recipe, Stage, StageRecipe
from strop.trainer.resume import Place

__all__ = ["ADAPTER", "OnProgress", "Progress", "add_lora", "load_base", "run_dpo", "run_sft", "run_stage"]

ADAPTER = "default"

_METHODS: Mapping[Stage, Callable[..., float]] = {
    "sft": run_sft,
    "dpo": run_dpo,
    "kto": run_kto,
    "hindsight": run_hindsight,
    "grpo": run_grpo,
}


def run_stage(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Any],
    stage: StageRecipe,
    recipe: Recipe,
    scratch: Path,
    on: OnProgress,
    place: Place | None = None,
) -> float:
    """One stage of a recipe, on rows of the kind that its method takes; the mean loss over the steps that were made.

    `place` says where its checkpoints go, and from which of them it goes on.
    """
    return _METHODS[stage.method](model, tokenizer, rows, stage, recipe, scratch, on, place)


def load_base(folder: Path, precision: str, load_in: LoadIn = "16bit") -> tuple[Any, Any]:
    """(model, tokenizer) of a base folder, on the best device here, the weights frozen, in the recipe's precision.

    `load_in` 8bit or 4bit (NF4, its constants quantised too) leaves the linear layers in fewer bits (QLoRA). Raises
    Missing where bitsandbytes is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # Without safetensors transformers would open a pickle.
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    if load_in != "16bit":
        local |= {"quantization_config": _quantised(load_in, dtype), "device_map": {"": device()}}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **local)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if load_in == "4bit":
        _keep_differentiable(model)
    return model if load_in != "16bit" else model.to(device()), tokenizer


def _keep_differentiable(model: Any) -> None:
    """On a processor with bfloat16, bitsandbytes packs 4-bit weights anew when they are first asked without training.

    What is packed has no gradient to what comes before it, and a layer whose width is no multiple of 64 cannot be
    packed at all (bitsandbytes 0.50): a model that is to be trained stays as it was loaded.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _quantised(load_in: LoadIn, dtype: Any) -> Any:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise Missing(f"a base in {load_in} needs bitsandbytes", hint="pip install 'strop[all]'")
    if load_in == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def add_lora(model: Any, recipe: Recipe) -> Any:
    """`model` with one new adapter on the recipe's layers, seeded, in the model's own precision.

    Raises UsageError where no layer has such a name.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=_named_layers(model, recipe.target_modules),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def _named_layers(model: Any, asked: str) -> str | list[str]:
    """What PEFT takes for the layers that were asked for. Raises UsageError for a name that no linear layer ends in."""
    from torch import nn

    if asked == "all-linear":
        return asked
    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    for one in asked.split(","):
        if not any(name == one or name.endswith(f".{one}") for name in linear):
            known = sorted({name.rpartition(".")[2] for name in linear})
            raise UsageError(
                f"no linear layer of this model is called {one!r}",
                hint=f"--target-modules all-linear, or some of {','.join(known)}",
            )
    return asked.split(",")
