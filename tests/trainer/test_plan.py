"""What is trained with, and why: each choice carries its reason."""

from time import perf_counter

import pytest
import torch

from strop.errors import NotEnoughData
from strop.trainer import plan
from strop.trainer.settings import TrainerSettings


@pytest.mark.parametrize(
    ("sft", "dpo", "asked", "stages", "reason"),
    [
        (44, 40, "auto", ("sft", "dpo"), "44 answers to learn, then 40 pairs"),
        (44, 16, "auto", ("sft", "dpo"), "16 pairs"),
        (44, 15, "auto", ("sft",), "15 pairs are fewer than the 16"),
        (44, 0, "auto", ("sft",), "0 pairs are fewer than the 16"),
        (0, 40, "auto", ("dpo",), "40 pairs and no answers"),
        (0, 3, "auto", ("dpo",), "3 pairs and no answers"),
        (44, 40, "sft", ("sft",), "44 answers to learn"),
        (44, 40, "dpo", ("dpo",), "40 pairs, as asked"),
        (44, 3, "dpo", ("dpo",), "3 pairs, as asked"),
    ],
)
def test_methods_follow_from_the_rows(sft: int, dpo: int, asked: str, stages: tuple[str, ...], reason: str) -> None:
    found, why = plan.choose_methods({"sft": sft, "dpo": dpo}, asked)  # type: ignore[arg-type]
    assert found == stages
    assert reason in why


def test_an_absent_kind_counts_as_none() -> None:
    assert plan.choose_methods({"sft": 5}, "auto")[0] == ("sft",)
    assert plan.choose_methods({"dpo": 5}, "auto")[0] == ("dpo",)


@pytest.mark.parametrize(
    ("slow", "fast", "precision", "figure"),
    [(100.0, 420.0, "bf16", "4.2 times"), (100.0, 105.0, "fp32", "1.1 times"), (100.0, 20.0, "fp32", "0.2 times")],
)
def test_bfloat16_is_taken_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, slow: float, fast: float, precision: str, figure: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(plan, "_products_per_s", {torch.float32: slow, torch.bfloat16: fast}.__getitem__)
    chosen, reason = plan.choose_precision("auto")
    assert chosen == precision
    assert figure in reason


def test_the_real_trial_takes_about_a_second_and_gives_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(plan, "_TRIAL_S", 0.05)
    started = perf_counter()
    chosen, reason = plan.choose_precision("auto")
    assert perf_counter() - started < 5
    assert chosen in ("bf16", "fp32")
    assert reason.startswith("a trial of 0.1 s: bfloat16 runs ")


@pytest.mark.parametrize(("known", "precision"), [(True, "bf16"), (False, "fp32")])
def test_an_accelerator_is_named(monkeypatch: pytest.MonkeyPatch, known: bool, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: known)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some Card")
    chosen, reason = plan.choose_precision("auto")
    assert chosen == precision
    assert reason.startswith("Some Card")


def test_what_was_set_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(plan, "_products_per_s")
    made = plan.make({"sft": 3}, TrainerSettings(precision="fp32", rank=2), seed=4)
    assert (made.recipe.precision, made.recipe.rank, made.recipe.seed) == ("fp32", 2, 4)
    chosen = [(choice.name, choice.value) for choice in made.choices]
    assert chosen == [("method", "sft"), ("precision", "fp32"), ("replay", "0"), ("epochs", "6")]
    assert all(choice.reason for choice in made.choices)


@pytest.mark.parametrize(("rows", "epochs"), [(1, 6.0), (40, 6.0), (48, 6.0), (64, 4.5), (97, 3.0), (5000, 3.0)])
def test_the_more_answers_the_fewer_passes(rows: int, epochs: float) -> None:
    made = plan.make({"sft": rows, "dpo": 40}, TrainerSettings(precision="fp32"), seed=4)
    assert [(stage.method, stage.epochs) for stage in made.recipe.stages] == [("sft", epochs), ("dpo", 2.0)]
    (choice,) = (one for one in made.choices if one.name == "epochs")
    assert (choice.value, str(rows) in choice.reason) == (f"{epochs:g}", True)


def test_passes_that_were_set_are_kept() -> None:
    made = plan.make({"sft": 500}, TrainerSettings(precision="fp32", sft_epochs=7), seed=4)
    assert made.recipe.stages[0].epochs == 7.0
    assert all(choice.name != "epochs" for choice in made.choices)


def test_one_thread_a_physical_core(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for physical, logical, wanted in ((3, 6, 3), (None, 6, 6), (None, None, 1)):
        monkeypatch.setattr(psutil, "cpu_count", lambda logical=True, found=physical: None if logical else found)
        assert plan.set_threads(lambda found=logical: found) == wanted
    assert asked == [3, 6, 1]


@pytest.mark.parametrize(
    ("up", "down", "words"),
    [
        (4, 4, "8 thumbs are fewer than the 16 that kto needs, so the 4 down are left out"),
        (4, 0, "all 4 ratings are thumbs up, so there is nothing to set them against"),
    ],
)
def test_few_thumbs_are_said_to_be_thumbs(up: int, down: int, words: str) -> None:
    counts = {"kto": up + down, "sft": up, "thumbs_up": up, "thumbs_down": down}
    stages, reason = plan.choose_methods(counts, "auto")
    assert stages == ("sft",)
    assert reason == f"{up} answers to learn; {words}"


def test_thumbs_down_alone_teach_nothing() -> None:
    with pytest.raises(NotEnoughData, match="all 8 ratings say that an answer was not liked"):
        plan.choose_methods({"kto": 8, "sft": 0, "thumbs_up": 0, "thumbs_down": 8}, "auto")
