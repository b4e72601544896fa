"""The base's own answers: what they are, when they train, and how far a model has moved from them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from strop.evaluation import suites
from strop.trainer import plan, rowfile, traits
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe
from strop.trainer.replay import MEASURING, Replay, general
from strop.trainer.settings import TrainerSettings
from strop.trainer.train import add_lora, load_base
from strop.trainer.traits import Traits
from strop.trainer.work import work

from .conftest import TRAINS, MakeJob, WriteRows

pytestmark = TRAINS
ROWS = [{"prompt": f"What is {thing}?", "completion": "It is dull."} for thing in ("a strop", "flour", "milk", "a fox")]


@pytest.fixture
def lora(base: BaseModel) -> tuple[Any, Any]:
    model, tokenizer = load_base(base.folder, "fp32")
    return add_lora(model, Recipe((), rank=4, seed=3)), tokenizer


def moved(model: Any, by: float) -> None:
    """An adapter that does something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=by)


def test_the_prompts_are_many_different_and_of_no_suite() -> None:
    prompts = general()
    assert len(prompts) == len(set(prompts)) == 64
    asked = {item.prompt.casefold() for item in suites.load()}
    assert not asked & {prompt.casefold() for prompt in prompts}


def test_a_base_has_not_moved_from_itself_and_a_trained_model_has(lora: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = lora
    answers = Replay(model, tokenizer, tmp_path, "base")
    still = answers.forgetting()
    assert (still.kl, still.prompts) == (0.0, MEASURING)
    assert still.tokens >= MEASURING
    moved(model, 0.05)
    little = answers.forgetting().kl
    moved(model, 0.5)
    assert 0 < little < answers.forgetting().kl


def test_the_divergence_is_that_of_plain_passes(lora: tuple[Any, Any], tmp_path: Path) -> None:
    """Against one row at a time, unpadded, by the definition."""
    model, tokenizer = lora
    answers = Replay(model, tokenizer, tmp_path, "base")
    moved(model, 0.2)
    found = answers.forgetting()
    total, tokens = 0.0, 0
    for one in answers._answers(general()[:MEASURING], ""):
        ids = torch.tensor([[*one.prompt_ids, *one.completion_ids]])
        with torch.no_grad():
            now = model(input_ids=ids).logits[0, len(one.prompt_ids) - 1 : -1].log_softmax(-1)
            with model.disable_adapter():
                was = model(input_ids=ids).logits[0, len(one.prompt_ids) - 1 : -1].log_softmax(-1)
        total += float((was.exp() * (was - now)).sum())
        tokens += len(one.completion_ids)
    assert found.tokens == tokens
    assert found.kl == pytest.approx(total / tokens, rel=1e-3)


def test_answers_are_the_bases_likeliest_whatever_the_adapter_says(lora: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = lora
    moved(model, 0.5)
    one = Replay(model, tokenizer, tmp_path, "base").to_train(1, "")[0]
    ids = torch.tensor([one.prompt_ids])
    with torch.no_grad(), model.disable_adapter():
        for token in one.completion_ids[:8]:
            expected = int(model(input_ids=ids).logits[0, -1].argmax())
            assert token == expected
            ids = torch.cat((ids, torch.tensor([[token]])), dim=1)


def test_answers_are_made_once_for_each_base(
    lora: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = lora
    first = Replay(model, tokenizer, tmp_path, "base").to_train(5, "")

    def refuse(*of: Any) -> Any:
        raise AssertionError("these were made before")

    made = Replay._generated
    monkeypatch.setattr(Replay, "_generated", refuse)
    assert Replay(model, tokenizer, tmp_path, "base").to_train(5, "") == first
    with pytest.raises(AssertionError, match="made before"):
        Replay(model, tokenizer, tmp_path, "another base").to_train(5, "")
    monkeypatch.setattr(Replay, "_generated", made)
    (file,) = tmp_path.iterdir()
    file.write_text("{", encoding="utf-8")  # a file that a kill cut short
    assert Replay(model, tokenizer, tmp_path, "base").to_train(5, "") == first


def test_what_measures_never_trains_and_a_manner_is_not_in_the_prompt(lora: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = lora
    answers = Replay(model, tokenizer, tmp_path, "base")
    plain, shorter = answers.to_train(100, ""), answers.to_train(100, "shorter")
    assert len(plain) <= len(general()) - MEASURING
    measured = {one.prompt_ids for one in answers._answers(general()[:MEASURING], "")}
    assert not measured & {one.prompt_ids for one in plain}
    assert {one.prompt_ids for one in shorter} <= {one.prompt_ids for one in plain}
    assert "one short sentence" not in tokenizer.decode(shorter[0].prompt_ids)
    assert len(answers.to_train(3, "")) == 3


def test_replay_trains_beside_the_rows_and_forgetting_is_reported(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path
) -> None:
    file = write_rows(ROWS)
    for share in (0.0, 2.0):
        job = make_job(
            {"sft": file},
            f"out{share}",
            replay=share,
            replays=str(tmp_path / "replays"),
            epochs=8.0,
            learning_rate=1e-2,
        )
        manifest = work(job, lambda at: None)
        assert manifest["rows"] == {"sft": 4}
        assert manifest["replayed"] == int(share * 4)
        assert manifest["forgetting"]["prompts"] == MEASURING
        assert manifest["forgetting"]["kl"] > 0


def test_without_a_folder_nothing_is_replayed_or_measured(write_rows: WriteRows, make_job: MakeJob) -> None:
    manifest = work(make_job({"sft": write_rows(ROWS)}, replay=1.0), lambda at: None)
    assert (manifest["replayed"], manifest["forgetting"]) == (0, None)


# What the feedback is about

SHORT = [("Yes.", "Well, that depends on a great many things, of course.")] * 10
LONG = [(refused, wanted) for wanted, refused in SHORT]
ALIKE = [("The fox runs here.", "A fox may well run."), ("It rains today.", "Some rain falls.")] * 5
OPENED = [(f"Note: it is {n} m deep", f"It is {n} metres deep.") for n in range(10)]


@pytest.mark.parametrize(
    ("pairs", "found"), [(SHORT, "shorter"), (LONG, "longer"), (ALIKE, ""), (OPENED, "other"), (SHORT[:7], "")]
)
def test_a_manner_is_what_most_wanted_answers_share(pairs: Any, found: str) -> None:
    assert traits.manner(pairs) == found
    assert traits.manner([*pairs, *[("a b c", "d e f")] * len(pairs)]) == ""


@pytest.mark.parametrize(
    ("about", "ratio", "manner", "word"),
    [
        (Traits(), 0.0, "", "nothing says"),
        (Traits(manner="shorter"), 0.0, "", "pull"),
        (Traits(domain="law"), 2.0, "", "law alone"),
        (Traits("shorter", "law"), 2.0, "shorter", "wanted manner"),
        (Traits("other", "law"), 0.0, "", "could not be made in"),
    ],
)
def test_how_much_is_replayed_follows_from_what_the_feedback_is_about(
    about: Traits, ratio: float, manner: str, word: str
) -> None:
    settings = TrainerSettings(precision="fp32")
    made = plan.make({"sft": 40, "dpo": 40}, settings, seed=1, traits=about)
    assert (made.recipe.replay, made.recipe.manner) == (ratio, manner)
    (choice,) = [one for one in made.choices if one.name == "replay"]
    assert word in choice.reason
    assert (
        plan.make({"sft": 4}, TrainerSettings(precision="fp32", replay=1.5), seed=1, traits=about).recipe.replay == 1.5
    )


def test_a_file_of_pairs_says_how_answers_are_wanted(write_rows: WriteRows) -> None:
    rows = [{"prompt": f"p{n}", "chosen": wanted, "rejected": refused} for n, (wanted, refused) in enumerate(SHORT)]
    assert traits.of_file(rowfile.read(write_rows(rows))) == Traits("shorter")
    assert traits.of_file(rowfile.read(write_rows(ROWS, "plain.jsonl")), "law") == Traits("", "law")
