"""`strop plan`: what a run would be, without fetching or starting anything."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strop.config import save
from strop.home import Home
from strop.trainer import machine, models, speed
from strop.trainer.machine import Gpu, Machine
from strop.trainer.speed import Speed

LAPTOP = Machine("A laptop", frozenset(), 8, 16_000_000_000, 500_000_000_000)


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """A home with nothing in it."""
    return Home(tmp_path / "bare")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Sixty pairs."""
    path = tmp_path / "rows.jsonl"
    pairs = [{"prompt": f"What is {n}?", "chosen": f"The number {n}.", "rejected": f"Great! {n}!"} for n in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    return path


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Puts the command on a machine: a laptop, unless the test says another. Nothing may be fetched."""

    def put(one: Machine) -> None:
        monkeypatch.setattr(machine, "look", lambda home: one)

    def refuse(*args: Any) -> None:
        raise AssertionError("strop plan fetched a model")

    monkeypatch.setattr(speed, "tried", lambda here: Speed(100e9, 200e9, "a trial"))
    monkeypatch.setattr(models, "resolve", refuse)
    put(LAPTOP)
    return put


def test_a_plan_says_each_choice_and_why(strop: Callable[..., Any], bare: Home, tiny_base: Path, rows: Path) -> None:
    told = strop(bare, "plan", "--model", str(tiny_base), "--data", str(rows))
    assert told.code == 0
    for name in ("method\tsft+dpo", "precision\tfp32", "bits\t32", "batch\t8", "peak\t", "time\t", "adapter\t"):
        assert f"\n{name}" in told.out
    assert f"strop tune {rows} --model {tiny_base} --to model.gguf" in told.err
    assert not (bare.path / "models").exists()


def test_a_plan_as_json(strop: Callable[..., Any], bare: Home, tiny_base: Path, rows: Path) -> None:
    told = strop(
        bare, "plan", "--model", str(tiny_base), "--data", str(rows), "--json", "--rank", "4", "--method", "sft"
    )
    data = told.json
    assert data["fits"] is True
    assert data["rows"] == 60
    assert data["tokens_source"] == "counted by the model's tokenizer"
    assert data["peak_bytes"]["total"] > data["peak_bytes"]["library"] > 0
    assert data["alternatives"] == []
    assert data["troubles"] == []
    choices = {choice["name"]: choice for choice in data["choices"]}
    assert choices["method"]["value"] == "sft"
    assert "rank 4" in choices["adapter"]["reason"]


def test_a_plan_says_whether_two_versions_stay_warm_with_what_is_set_and_free(
    strop: Callable[..., Any], bare: Home, tiny_base: Path, rows: Path, on: Callable[[Machine], None]
) -> None:
    def side_by_side() -> tuple[Any, str]:
        data = strop(bare, "plan", "--model", str(tiny_base), "--data", str(rows), "--json").json
        [found] = [choice["reason"] for choice in data["choices"] if choice["name"] == "side by side"]
        return data["side_by_side"], found

    both, why = side_by_side()
    assert both is True
    assert "two models with 4 x 512 tokens" in why  # all that the tiny model knows
    on(replace(LAPTOP, free_bytes=300_000_000))
    both, why = side_by_side()
    assert both is False
    assert why.endswith("of 300 MB of memory: requests wait while the next version takes over")
    on(LAPTOP)
    save(bare.ensure(), {"serve.slots": 64, "serve.context_tokens": 400_000})
    both, why = side_by_side()
    assert both is False
    assert "64 x 400,000 tokens" in why
    save(bare, {"target": "ollama"})
    assert side_by_side() == (None, "Ollama decides how many models it keeps loaded")


def test_a_model_that_is_too_big_comes_with_what_fits_and_prices(
    strop: Callable[..., Any], bare: Home, rows: Path
) -> None:
    told = strop(bare, "plan", "--model", "hf:Qwen/Qwen3-32B", "--data", str(rows))
    assert told.code == 0
    assert "It does not fit here" in told.out
    assert "Qwen3-1.7B\there" in told.out
    assert "h200" in told.out
    assert "$" in told.out
    assert "prices of August 2026" in told.err
    assert "leaves this machine" in told.err
    assert "strop tune" not in told.err


def test_what_training_needs_set_is_said(
    strop: Callable[..., Any], bare: Home, rows: Path, on: Callable[[Machine], None]
) -> None:
    card = Gpu("A10", 24_000_000_000, (8, 6))
    on(Machine("x", frozenset(), 8, 64_000_000_000, 500_000_000_000, (card,), "580.95", "13.0", True))
    told = strop(bare, "plan", "--model", "Llama-2-13B", "--data", str(rows))
    assert told.code == 0
    assert re.search(r"under \[trainer\] in strop\.toml:.* load_in = \"4bit\"", told.err)
    on(Machine("x", frozenset(), 8, 8_000_000_000, 500_000_000_000))
    told = strop(bare, "plan", "--model", "Qwen3-0.6B", "--data", str(rows), "--batch-size", "512")
    assert re.search(r"under \[trainer\] in strop\.toml:.* accumulation = \d+\n", told.err)


def test_trouble_is_named_with_its_fix(
    strop: Callable[..., Any], bare: Home, rows: Path, on: Callable[[Machine], None]
) -> None:
    on(Machine("x", frozenset(), 8, 16_000_000_000, 600_000_000, (), "535.183", "13.0", False))
    told = strop(bare, "plan", "--model", "smollm2", "--data", str(rows), "--json")
    assert {one["name"] for one in told.json["troubles"]} == {"cuda", "disk"}
    assert "hint: update the driver to 580.65" in told.err


def test_the_usual_table(strop: Callable[..., Any], bare: Home) -> None:
    told = strop(bare, "plan", "--table")
    assert told.code == 0
    assert [line.split("\t")[0] for line in told.out.splitlines()] == ["model", "7B", "13B", "70B"]
    assert "70B\t" in told.out
    assert "not recommended" in told.out
    assert len(strop(bare, "plan", "--table", "--json").json["table"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "a training file is needed"),
        (("--data", "no-such-file"), 2, "there is no file"),
        (("--data", "ROWS", "--model", "hf:nobody/knows"), 30, "not well known"),
        (("--data", "ROWS", "--max-length", "2"), 2, "max-length"),
    ],
)
def test_what_cannot_be_planned_is_said(
    strop: Callable[..., Any], bare: Home, rows: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = strop(bare, "plan", *(str(rows) if word == "ROWS" else word for word in arguments))
    assert told.code == code
    assert said in told.err


def test_rows_that_are_all_too_long_are_not_planned_for(strop: Callable[..., Any], bare: Home, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": "word " * 500}) + "\n")
    told = strop(bare, "plan", "--data", str(path), "--model", "smollm2", "--max-length", "32")
    assert told.code == 11
    assert "longer than 32 tokens" in told.err
