"""SFT and DPO with TRL's real trainers on the tiny model."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from strop.errors import TrainingFailed
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample, Renderer
from strop.trainer.train import Progress, add_lora, load_base, run_dpo, run_sft

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
SFT = StageRecipe("sft", 6.0, 2e-2, 4)
DPO = StageRecipe("dpo", 3.0, 1e-3, 4, sft_weight=0.0)
QUESTIONS = [f"What is {thing}?" for thing in ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox")]


@pytest.fixture(scope="module")
def examples(tokenizer: Any) -> list[Example]:
    render = Renderer(tokenizer)
    return [render.example([{"role": "user", "content": text}], "It is the capital of France.") for text in QUESTIONS]


@pytest.fixture(scope="module")
def pairs(tokenizer: Any, examples: list[Example]) -> list[PairExample]:
    render = Renderer(tokenizer)
    return [
        PairExample(
            one.prompt_ids,
            one.completion_ids,
            render.completion([{"role": "user", "content": text}], one.prompt_ids, "Well, the dog does not mind."),
        )
        for text, one in zip(QUESTIONS, examples, strict=True)
    ]


def fresh(base: BaseModel, precision: str = "fp32", seed: int = 3) -> tuple[Any, Any, Recipe]:
    """(LoRA model, tokenizer, recipe), nothing trained yet."""
    recipe = Recipe((SFT, DPO), rank=4, alpha=8, max_length=256, precision=precision, seed=seed)  # type: ignore[arg-type]
    model, tokenizer = load_base(base.folder, precision)
    return add_lora(model, recipe), tokenizer, recipe


def trainable(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if ".default." in name}


def frozen(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" not in name}


def test_sft_lowers_the_loss_and_reports_each_step(base: BaseModel, examples: list[Example], tmp_path: Path) -> None:
    model, tokenizer, recipe = fresh(base)
    seen: list[Progress] = []
    mean = run_sft(model, tokenizer, examples, SFT, recipe, tmp_path, seen.append)
    assert [at.step for at in seen] == list(range(1, 13))
    assert {(at.stage, at.steps) for at in seen} == {("sft", 12)}
    assert seen[-1].loss < seen[0].loss / 2
    assert mean == pytest.approx(sum(at.loss for at in seen) / 12, rel=1e-3)


def test_the_first_sft_loss_is_the_mean_over_the_answers_tokens(
    base: BaseModel, examples: list[Example], tmp_path: Path
) -> None:
    model, tokenizer, recipe = fresh(base)
    total, tokens = 0.0, 0
    with torch.no_grad():
        for row in examples[:4]:
            ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
            logprobs = model(ids).logits[0, len(row.prompt_ids) - 1 : -1].log_softmax(-1)
            total -= float(logprobs.gather(1, torch.tensor(row.completion_ids)[:, None]).sum())
            tokens += len(row.completion_ids)
    seen: list[Progress] = []
    run_sft(model, tokenizer, examples[:4], SFT, recipe, tmp_path, seen.append)
    assert seen[0].loss == pytest.approx(total / tokens, rel=1e-4)


def test_every_trained_parameter_moves_and_no_other(base: BaseModel, examples: list[Example], tmp_path: Path) -> None:
    model, tokenizer, recipe = fresh(base)
    before, base_before = trainable(model), frozen(model)
    run_sft(model, tokenizer, examples, SFT, recipe, tmp_path, lambda at: None)
    after = trainable(model)
    assert len(before) == 28  # A and B of seven linear layers in two blocks
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert all(torch.equal(value, base_before[name]) for name, value in frozen(model).items())


@pytest.mark.parametrize("rows", [1, 3])
def test_fewer_rows_than_a_batch_train(
    base: BaseModel, examples: list[Example], pairs: list[PairExample], tmp_path: Path, rows: int
) -> None:
    model, tokenizer, recipe = fresh(base)
    before = trainable(model)
    seen: list[Progress] = []
    run_sft(model, tokenizer, examples[:rows], SFT, recipe, tmp_path, seen.append)
    run_dpo(model, tokenizer, pairs[:rows], DPO, recipe, tmp_path, seen.append)
    assert [at.stage for at in seen] == ["sft"] * 6 + ["dpo"] * 3
    assert any(not torch.equal(value, before[name]) for name, value in trainable(model).items())


def test_a_part_of_an_epoch_is_possible(base: BaseModel, examples: list[Example], tmp_path: Path) -> None:
    model, tokenizer, recipe = fresh(base)
    seen: list[Progress] = []
    run_sft(model, tokenizer, examples, StageRecipe("sft", 0.5, 3e-3, 1), recipe, tmp_path, seen.append)
    assert 3 <= len(seen) <= 4


def test_the_reference_of_dpo_is_the_sft_adapter(
    base: BaseModel, examples: list[Example], pairs: list[PairExample], tmp_path: Path
) -> None:
    model, tokenizer, recipe = fresh(base)
    run_sft(model, tokenizer, examples, SFT, recipe, tmp_path, lambda at: None)
    after_sft = trainable(model)
    seen: list[Progress] = []
    run_dpo(model, tokenizer, pairs, DPO, recipe, tmp_path, seen.append)
    # Policy and reference are one model at first, so no margin: -log sigmoid(0). Against the base it would be another.
    assert seen[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert seen[-1].loss < math.log(2) - 0.05
    reference = {name: p for name, p in model.named_parameters() if ".ref." in name}
    assert len(reference) == len(after_sft)
    for name, value in reference.items():
        assert torch.equal(value, after_sft[name.replace(".ref.", ".default.")])


def test_dpo_alone_starts_from_the_base_and_widens_the_margin(
    base: BaseModel, pairs: list[PairExample], tmp_path: Path
) -> None:
    def margin() -> float:
        """How much likelier the chosen answers are than the rejected ones, in nats over all pairs."""
        total = 0.0
        with torch.no_grad():
            for row in pairs:
                for sign, answer in ((1, row.chosen_ids), (-1, row.rejected_ids)):
                    logits = model(torch.tensor([[*row.prompt_ids, *answer]])).logits[0, len(row.prompt_ids) - 1 : -1]
                    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
                    total += sign * float(logprobs.sum())
        return total

    model, tokenizer, recipe = fresh(base)
    before = margin()
    seen: list[Progress] = []
    run_dpo(model, tokenizer, pairs, DPO, recipe, tmp_path, seen.append)
    assert seen[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert margin() > before + 1.0


def test_the_sft_term_of_dpo_counts_as_much_as_the_recipe_says(
    base: BaseModel, pairs: list[PairExample], tmp_path: Path
) -> None:
    firsts = []
    for weight in (0.0, 0.2, 0.4):
        model, tokenizer, recipe = fresh(base)
        seen: list[Progress] = []
        stage = StageRecipe("dpo", 1.0, 1e-3, 8, sft_weight=weight)
        run_dpo(model, tokenizer, pairs, stage, recipe, tmp_path, seen.append)
        firsts.append(seen[0].loss)
    assert firsts[1] - firsts[0] > 0.5
    assert firsts[2] - firsts[1] == pytest.approx(firsts[1] - firsts[0], rel=1e-3)


def test_bfloat16_trains_too_and_stays_bfloat16(
    base: BaseModel, examples: list[Example], pairs: list[PairExample], tmp_path: Path
) -> None:
    model, tokenizer, recipe = fresh(base, "bf16")
    seen: list[Progress] = []
    run_sft(model, tokenizer, examples, SFT, recipe, tmp_path, seen.append)
    run_dpo(model, tokenizer, pairs, DPO, recipe, tmp_path, seen.append)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    sft, dpo = ([at.loss for at in seen if at.stage == stage] for stage in ("sft", "dpo"))
    assert sft[-1] < sft[0] / 2
    # The reference comes from other batches, and bfloat16 keeps 8 bits of a number: sums differ in the third place.
    assert dpo[0] == pytest.approx(math.log(2), abs=2e-3)
    assert dpo[-1] < dpo[0] - 0.05


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_loss_that_is_no_number_fails(
    base: BaseModel, examples: list[Example], pairs: list[PairExample], tmp_path: Path, method: str
) -> None:
    model, tokenizer, recipe = fresh(base)
    rows: Any = examples if method == "sft" else pairs
    run: Any = run_sft if method == "sft" else run_dpo
    wild = StageRecipe(method, 6.0, 1e30, 4)  # type: ignore[arg-type]
    with pytest.raises(TrainingFailed, match=f"the {method} loss became (nan|inf)") as error:
        run(model, tokenizer, rows, wild, recipe, tmp_path, lambda at: None)
    assert "learning rate" in error.value.hint


def test_nothing_is_left_in_the_scratch_folder(base: BaseModel, examples: list[Example], tmp_path: Path) -> None:
    model, tokenizer, recipe = fresh(base)
    run_sft(model, tokenizer, examples[:2], SFT, recipe, tmp_path / "scratch", lambda at: None)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_seed_decides_the_first_weights(base: BaseModel) -> None:
    one, same, other = (trainable(fresh(base, seed=seed)[0]) for seed in (3, 3, 4))
    drawn = [name for name in one if "lora_A" in name]
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in drawn)
    assert all(float(one[name].abs().max()) == 0.0 for name in one if "lora_B" in name)


def test_a_base_without_a_padding_token_gets_one(tiny_base: Path, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(tiny_base, tmp_path / "base")
    config = tmp_path / "base" / "tokenizer_config.json"
    data = json.loads(config.read_text())
    del data["pad_token"]
    config.write_text(json.dumps(data))
    _, tokenizer = load_base(tmp_path / "base", "fp32")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
