"""Rows that stand behind one another give what each gives by itself: states, and a whole SFT run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from strop.trainer import attention
from strop.trainer.methods import sft
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, Renderer
from strop.trainer.resume import Place
from strop.trainer.train import Progress, add_lora, load_base, run_sft

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
STAGE = StageRecipe("sft", 2.0, 5e-3, 4)
TEXTS = [
    ("What is bread?", "Flour."),
    ("And what is a list of many things in Paris?", "It is the capital of France."),
    ("Why?", "A razor and a strop, a dog, a fox, and all that they do not mind."),
    ("Milk or bread?", "No."),
    ("Is it?", "Well, the dog does not mind, and the fox does."),
]


def rows(tokenizer: Any) -> list[Example]:
    render = Renderer(tokenizer)
    return [render.example([{"role": "user", "content": question}], answer) for question, answer in TEXTS]


def behind_one_another(examples: list[Example]) -> dict[str, Any]:
    """The batch as TRL's collator makes it."""
    texts = [[*row.prompt_ids, *row.completion_ids] for row in examples]
    bounds = [0]
    for text in texts:
        bounds.append(bounds[-1] + len(text))
    return {
        "input_ids": torch.tensor([[token for text in texts for token in text]]),
        "position_ids": torch.tensor([[place for text in texts for place in range(len(text))]]),
        "cu_seq_lens_q": torch.tensor(bounds, dtype=torch.int32),
        "max_length_q": max(map(len, texts)),
    }


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
def test_every_state_and_gradient_is_what_it_is_in_a_row_of_its_own(tiny_base: Path, device: str) -> None:
    half = device == "cuda"
    model, tokenizer = load_base(tiny_base, "bf16" if half else "fp32")
    model = model.to(device)
    examples = rows(tokenizer)
    weight = model.base_model.layers[0].self_attn.q_proj.weight.requires_grad_()
    one_by_one = []
    for row in examples:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]], device=device)
        one_by_one.append(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0])
    wanted = torch.cat(one_by_one)
    wanted.float().square().mean().backward()
    gradient, weight.grad = weight.grad, None
    batch = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in behind_one_another(examples).items()
    }
    with attention.joined(model):
        found = model.base_model(**batch, use_cache=False).last_hidden_state[0]
        found.float().square().mean().backward()
    assert model.config._attn_implementation == "sdpa"  # as it was
    # bfloat16 keeps 8 bits: two ways to sum the same numbers differ in the last of them.
    near = {"atol": 3e-2, "rtol": 3e-2} if half else {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(found, wanted, **near)
    assert gradient is not None
    assert weight.grad is not None
    apart = (weight.grad - gradient).float().norm() / gradient.float().norm()
    assert apart < (3e-2 if half else 1e-4)


@pytest.mark.parametrize(
    ("family", "layers", "can"),
    [
        ("llama", None, True),
        ("qwen3", ["full_attention"] * 2, True),
        ("qwen2", ["full_attention", "sliding_attention"], False),
        ("gemma3_text", None, False),
        ("mistral", None, False),
    ],
)
def test_only_plain_attention_is_joined_or_shared(family: str, layers: Any, can: bool) -> None:
    text = SimpleNamespace(model_type=family, layer_types=layers)
    assert attention.is_plain(SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))) is can


def test_a_run_of_joined_rows_is_the_run_of_padded_ones(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe((STAGE,), rank=4, alpha=8, max_length=256, precision="fp32")
    plain = sft.arguments
    # The same order for both: padded rows would be grouped by length.
    monkeypatch.setattr(sft, "arguments", lambda *args: plain(*args) | {"train_sampling_strategy": "sequential"})
    monkeypatch.setattr(sft, "GROUPED", {})
    possible = sft.can_join
    curves, weights, read = [], [], []
    for can in (True, False):
        monkeypatch.setattr(sft, "can_join", lambda model, answer=can: answer and possible(model))
        base, tokenizer = load_base(tiny_base, "fp32")
        model = add_lora(base, recipe)
        seen: list[Progress] = []
        place = Place()
        run_sft(model, tokenizer, rows(tokenizer) * 3, STAGE, recipe, tmp_path, seen.append, place)
        curves.append([at.loss for at in seen])
        weights.append({name: value for name, value in model.named_parameters() if ".default." in name})
        read.append(place.tokens)
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert read[0] == read[1] == 2 * 3 * sum(row.tokens for row in rows(tokenizer))
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-4, rtol=1e-3)
