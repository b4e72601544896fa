"""What must hold of training, shown through the real command line on the tiny model, in float32.

Killed and resumed against uninterrupted stands in test_resume.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from strop.trainer.run import train_file
from strop.trainer.settings import TrainerSettings

from .conftest import WriteRows

THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox", "a quay", "rain", "a loom", "salt", "tin")
PAIRS = [
    {"prompt": f"What is {thing}? " * (1 + number % 3), "chosen": "It is dull.", "rejected": "Well, who knows."}
    for number, thing in enumerate((*THINGS, *(f"{thing} of old" for thing in THINGS[:4])))
]
Train = Callable[..., dict[str, Any]]
# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def train(tiny_base: Path, tmp_path: Path) -> Train:
    """Runs `strop train` in a process of its own and returns what it prints."""
    home = tmp_path / "home"
    home.mkdir()
    settings = '[trainer]\nprecision = "fp32"\nsft_epochs = 2.0\ndpo_epochs = 2.0\n'
    (home / "strop.toml").write_text(settings, encoding="utf-8")

    def run(method: str, data: Path, out: str, *words: str) -> dict[str, Any]:
        asked = ["train", method, "--model", str(tiny_base), "--data", str(data), "--out", str(tmp_path / out), *words]
        return strop(home, *asked)

    return run


def strop(home: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "strop", "--home", str(home), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "adapter_model.safetensors"))


def assert_close(one: Path, other: Path, atol: float, rtol: float) -> None:
    """The tolerance is for sums in another order; what a run learns moves the weights by 1e-2 and more."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=atol, rtol=rtol)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_eight_at_once_are_one_eight_times(method: str, train: Train, write_rows: WriteRows, tmp_path: Path) -> None:
    rows = write_rows(PAIRS)
    whole = train(method, rows, "whole", "--batch-size", "8")
    parts = train(method, rows, "parts", "--batch-size", "8", "--accumulation", "8")
    assert whole["tokens"] == parts["tokens"]
    values = [[point["value"] for point in found["loss"]] for found in (whole, parts)]
    assert values[1] == pytest.approx(values[0], abs=2e-4)
    assert_close(tmp_path / "whole", tmp_path / "parts", atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_order_of_the_rows_is_of_no_account(
    method: str, train: Train, write_rows: WriteRows, tmp_path: Path
) -> None:
    shuffled: Sequence[Any] = random.Random(4).sample(PAIRS, len(PAIRS))
    one = train(method, write_rows(PAIRS, "a.jsonl"), "one")
    other = train(method, write_rows(shuffled, "b.jsonl"), "other")
    assert one["loss"] == other["loss"]
    assert_close(tmp_path / "one", tmp_path / "other", atol=0.0, rtol=0.0)


def test_a_script_trains_what_the_command_line_trains(
    train: Train, write_rows: WriteRows, tiny_base: Path, tmp_path: Path
) -> None:
    rows = write_rows(PAIRS)
    told = train("auto", rows, "cli")
    made = train_file(
        "auto",
        str(tiny_base),
        rows,
        tmp_path / "script",
        {},
        TrainerSettings(precision="fp32", sft_epochs=2.0, dpo_epochs=2.0),
        models_dir=tmp_path / "models",
        on_progress=lambda *at: None,
    )
    assert told["method"] == "+".join(made.manifest["rows"]) == "sft+dpo"
    assert told["loss"] == made.as_dict()["loss"]
    assert_close(tmp_path / "cli", tmp_path / "script", atol=0.0, rtol=0.0)


# transformers dequantises a GGUF to float32; the file holds the merge in float16, 11 bits.
def test_the_merged_model_says_what_the_adapter_says(
    train: Train, write_rows: WriteRows, tiny_base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    train("sft", write_rows(PAIRS), "adapter", "--learning-rate", "2e-2")
    file = tmp_path / "merged.gguf"
    words = ["models", "export", str(tmp_path / "adapter"), "--to", f"gguf:{file}", "--quant", "F16"]
    assert strop(tmp_path / "home", *words)["quant"] == "F16"
    ids = tokenizer("What is a razor of old? It is dull.", return_tensors="pt")["input_ids"]
    plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    with torch.no_grad():
        before = plain(input_ids=ids).logits
        wanted = PeftModel.from_pretrained(plain, tmp_path / "adapter")(input_ids=ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
        found = merged(input_ids=ids).logits
    moved = float((wanted - before).abs().max())
    apart = float((wanted - found).abs().max())
    assert moved > 0.5
    assert apart < 0.01 * moved
