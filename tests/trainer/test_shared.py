"""Pairs that share their prompt give what two rows of their own give: states, gradients, and a whole DPO run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from strop.trainer import head, shared
from strop.trainer.measure import answer_logprobs
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample, Renderer
from strop.trainer.train import Progress, add_lora, load_base, run_dpo

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
STAGE = StageRecipe("dpo", 2.0, 5e-3, 4)
RECIPE = Recipe((STAGE,), rank=4, alpha=8, max_length=256, precision="fp32")
TEXTS = [
    ("What is bread?", "Flour.", "Well, the dog does not mind, and the fox does."),
    ("And what is a list of many things in Paris?", "It is the capital of France.", "No."),
    ("Why?", "A razor and a strop.", "Milk."),
]


def pairs(tokenizer: Any) -> list[PairExample]:
    render = Renderer(tokenizer)
    rows = []
    for question, good, bad in TEXTS:
        asked = [{"role": "user", "content": question}]
        one = render.example(asked, good)
        rows.append(PairExample(one.prompt_ids, one.completion_ids, render.completion(asked, one.prompt_ids, bad)))
    return rows


def laid_out(rows: list[PairExample]) -> dict[str, Any]:
    """The batch as TRL's collator makes it."""
    texts = [(row.prompt_ids, row.chosen_ids) for row in rows] + [(row.prompt_ids, row.rejected_ids) for row in rows]
    width = max(len(prompt) + len(answer) for prompt, answer in texts)
    batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, answer in texts:
        rest = width - len(prompt) - len(answer)
        batch["input_ids"].append([*prompt, *answer, *[0] * rest])
        batch["attention_mask"].append([1] * (width - rest) + [0] * rest)
        batch["labels"].append([-100] * len(prompt) + [*answer] + [-100] * rest)
    return {name: torch.tensor(values) for name, values in batch.items()}


def test_every_state_is_what_it_is_in_a_row_of_its_own(tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base, "fp32")
    batch = laid_out(pairs(tokenizer))
    with torch.no_grad():
        alone = model.base_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        wanted = alone.last_hidden_state[:, :-1][batch["labels"][:, 1:] != -100]
        found = shared.scored_hidden(model, batch["input_ids"], batch["attention_mask"], batch["labels"])
    assert found is not None
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_pairs_of_different_prompts_are_left_as_they_are(tiny_base: Path) -> None:
    model, tokenizer = load_base(tiny_base, "fp32")
    batch = laid_out(pairs(tokenizer))
    batch["input_ids"][0, 1] += 1
    assert shared.scored_hidden(model, batch["input_ids"], batch["attention_mask"], batch["labels"]) is None


def test_a_run_with_shared_prompts_is_the_run_without(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves, weights = [], []
    for can in (True, False):
        calls: list[int] = []

        def counted(*args: Any, made: list[int] = calls) -> Any:
            made.append(len(args))
            return shared.scored_hidden(*args)

        monkeypatch.setattr(head, "is_plain", lambda model, answer=can: answer)
        monkeypatch.setattr(head, "scored_hidden", counted)
        base, tokenizer = load_base(tiny_base, "fp32")
        model = add_lora(base, RECIPE)
        seen: list[Progress] = []
        run_dpo(model, tokenizer, pairs(tokenizer) * 3, STAGE, RECIPE, tmp_path, seen.append)
        assert bool(calls) is can
        curves.append([at.loss for at in seen])
        weights.append({name: value for name, value in model.named_parameters() if ".default." in name})
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-4, rtol=1e-3)


def test_the_reference_is_the_model_as_it_stands(tiny_base: Path) -> None:
    base, tokenizer = load_base(tiny_base, "fp32")
    rows = pairs(tokenizer)
    answers = [Example(row.prompt_ids, row.chosen_ids) for row in rows]
    together, alone = answer_logprobs(base, answers), [answer_logprobs(base, [one])[0] for one in answers]
    assert together == pytest.approx(alone, rel=1e-4)
    assert len(set(together)) == 3
