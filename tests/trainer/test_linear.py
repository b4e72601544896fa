"""The fused LoRA layer against PEFT's own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from strop.trainer.linear import fuse_lora
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe
from strop.trainer.train import add_lora, load_base

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def model_of(base: BaseModel, precision: str, **recipe: Any) -> Any:
    model = add_lora(load_base(base.folder, precision)[0], Recipe((), rank=4, seed=3, **recipe))
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    model.train()
    return model


def passed(model: Any) -> tuple[Any, dict[str, Any]]:
    """Logits, and the gradients of all that learns."""
    ids = torch.arange(3, 27).view(2, 12)
    model.zero_grad()
    logits = model(input_ids=ids, use_cache=False).logits.float()
    logits.log_softmax(-1)[..., 7].sum().backward()
    return logits.detach(), {n: p.grad.float().clone() for n, p in model.named_parameters() if p.grad is not None}


def test_values_and_gradients_are_pefts(base: BaseModel) -> None:
    model = model_of(base, "fp32")
    logits, gradients = passed(model)
    assert fuse_lora(model, "default") == len([n for n, _ in model.named_modules() if n.endswith("lora_A")])
    fused_logits, fused = passed(model)
    torch.testing.assert_close(fused_logits, logits, atol=1e-4, rtol=1e-5)
    assert fused.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(fused[name], gradient, atol=1e-5 * float(gradient.abs().max()), rtol=1e-3)


def test_in_bfloat16_it_is_no_further_from_float32_than_pefts_own(base: BaseModel) -> None:
    model = model_of(base, "bf16")
    _, of_peft = passed(model)
    exact = model_of(base, "bf16").float()
    _, wanted = passed(exact)
    fuse_lora(model, "default")
    _, of_fused = passed(model)

    def apart(found: dict[str, Any]) -> float:
        return sum(float((found[name] - value).norm() / value.norm()) for name, value in wanted.items()) / len(wanted)

    assert apart(of_fused) < 1.2 * apart(of_peft) < 0.1


def test_gradients_are_those_of_the_definition() -> None:
    """Double precision, against differences of the values themselves."""
    torch.manual_seed(0)
    model = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh()).double(),
        LoraConfig(r=2, lora_alpha=3, target_modules=["0"]),
        autocast_adapter_dtype=False,
    ).double()
    layer = model.base_model.model[0]
    assert fuse_lora(model, "default") == 1
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    down, up = (
        torch.randn_like(p).requires_grad_() for p in (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
    )

    def through(x: Any, down: Any, up: Any) -> Any:
        state = {"lora_A.default.weight": down, "lora_B.default.weight": up}
        return torch.func.functional_call(layer, state, (x,))

    assert torch.autograd.gradcheck(through, (x, down, up))


@pytest.mark.parametrize("case", ["dropout", "disabled", "another adapter", "merged"])
def test_whatever_else_is_asked_for_is_pefts_own(base: BaseModel, case: str) -> None:
    model = model_of(base, "fp32", dropout=0.5 if case == "dropout" else 0.0)
    if case == "another adapter":
        model.add_adapter("ref", LoraConfig(r=4, target_modules="all-linear"))
        model.set_adapter("ref")
    if case == "merged":
        model.merge_adapter()
    ids = torch.arange(3, 27).view(2, 12)

    def logits() -> Any:
        torch.manual_seed(1)
        with torch.no_grad():
            if case != "disabled":
                return model(input_ids=ids).logits
            with model.disable_adapter():
                return model(input_ids=ids).logits

    before = logits()
    assert fuse_lora(model, "default")
    assert torch.equal(logits(), before)


def test_quantised_layers_stay_as_they_are(base: BaseModel, tmp_path: Path) -> None:
    model = add_lora(load_base(base.folder, "fp32", "4bit")[0], Recipe((), rank=4, seed=3))
    assert fuse_lora(model, "default") == 0
