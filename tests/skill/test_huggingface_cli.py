"""`strop huggingface`: the older commands, each to its end on the tiny base."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.certify import Certificate, Check
from strop.files import verify_manifest
from strop.home import Home

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "openai.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(8)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_fine_tune_then_export(
    home: Home, rows: Path, tiny_base: Path, tmp_path: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    call = ("--model-name", str(tiny_base), "--training-file", str(rows), "--output-dir", str(out))
    told = strop(home, "huggingface", "fine-tune", *call, "--epochs", "2", "--lora-r", "4", "--json")
    assert told.code == 0, told.out
    assert (told.json["rows"], told.json["path"]) == (8, str(out))
    assert f"hint: strop huggingface export-model --model-dir {out}" in told.err
    assert verify_manifest(out)["recipe"]["rank"] == 4

    good = Certificate((Check("top-1 agreement, merge", True, "all agree"),))
    monkeypatch.setattr("strop.export.certified", lambda *args: good)
    told = strop(home, "huggingface", "export-model", "--model-dir", str(out), "--json")
    assert (told.code, told.json["to"]) == (0, str(tmp_path / "out.gguf"))
    named = tmp_path / "named.gguf"
    told = strop(home, "huggingface", "export-model", "--model-dir", str(out), "--to", f"gguf:{named}")
    assert told.code == 0
    assert named.is_file()


def test_the_human_line_and_4_bits(home: Home, rows: Path, tiny_base: Path, tmp_path: Path, strop: Strop) -> None:
    out = tmp_path / "out"
    call = ("--model-name", str(tiny_base), "--training-file", str(rows), "--output-dir", str(out))
    told = strop(home, "huggingface", "fine-tune", *call, "--epochs", "1", "--load-in-4bit")
    assert told.code == 0, told.err
    assert told.out.startswith("trained on 8 rows in ")
    assert len(told.out.splitlines()) == 1
    assert verify_manifest(out)["recipe"]["load_in"] == "4bit"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--load-in-4bit", "--load-in-8bit"), 2, "in 4 or in 8 bits"),
        (("--epochs", "0"), 2, "epochs cannot be 0"),
        (("--training-file", "nowhere.jsonl"), 2, "there is no file"),
        (("--model-name", "nobody"), 30, "no model is called"),
    ],
)
def test_a_wrong_call_is_refused_before_training(
    options: tuple[str, ...],
    code: int,
    said: str,
    home: Home,
    rows: Path,
    tiny_base: Path,
    tmp_path: Path,
    strop: Strop,
) -> None:
    call = ("--model-name", str(tiny_base), "--training-file", str(rows), "--output-dir", str(tmp_path / "out"))
    told = strop(home, "huggingface", "fine-tune", *call, *options)
    assert told.code == code
    assert said in told.err
    assert "hint: " in told.err
    assert not (tmp_path / "out").exists()


def test_list_models_is_models_list(home: Home, strop: Strop) -> None:
    told = strop(home, "huggingface", "list-models", "--json")
    assert (told.code, told.json["models"]) == (0, [])
    assert told.out == strop(home, "models", "list", "--json").out
