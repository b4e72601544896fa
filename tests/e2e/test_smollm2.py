"""The real small model once through the real program: fetched, tuned on eight rows, built, certified, and answering."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.files import sha256_file

# A minute and a half on two idle cores without bfloat16; a busy machine takes several times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = (
    ("What is a strop?", "A strop is a strip of leather that keeps a razor keen."),
    ("Why does ice float?", "Ice floats because water is less dense when it freezes."),
    ("What do bees make?", "Bees make honey and wax."),
    ("How many days has a leap year?", "A leap year has 366 days."),
    ("Where do penguins live?", "Penguins live mostly in the Southern Hemisphere."),
    ("What is bread made of?", "Bread is made of flour, water, salt and yeast."),
    ("Why do we sleep?", "We sleep so that body and mind can recover."),
    ("What does a compass show?", "A compass shows where north is."),
)


@dataclass(frozen=True)
class Tuned:
    """The file that `strop tune` made, and what it said about it."""

    file: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Skips with the reason where the model cannot be fetched."""
    folder = tmp_path_factory.mktemp("smollm2")
    rows, file = folder / "rows.jsonl", folder / "mine.gguf"
    lines = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in ROWS]
    rows.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "strop", "--home", str(folder / "home"), "tune", str(rows), "--model", "smollm2"]
    done = subprocess.run(
        [*command, "--to", str(file), "--rank", "8", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("STROP_")},
    )
    said = json.loads(done.stdout) if done.stdout else {}
    if "could not be fetched" in said.get("error", {}).get("message", ""):
        pytest.skip(said["error"]["message"])
    assert done.returncode == 0, done.stdout + done.stderr
    return Tuned(file, said)


def test_eight_rows_become_a_certified_model_with_less_held_out_loss(tuned: Tuned) -> None:
    assert tuned.said["sha256"] == sha256_file(tuned.file)
    assert tuned.said["judged"] == "not judged against a live model"
    assert all(check["ok"] for check in tuned.said["certificate"])
    held = tuned.said["held_out"]
    assert held["rows"] + tuned.said["training"]["rows"]["sft"] == 8
    assert held["loss_after"] < held["loss_before"]


def test_the_file_alone_answers_questions(tuned: Tuned) -> None:
    questions = ("What is the capital of France?", "What do bees make?")
    with LlamaCppTarget(context_tokens=256, slots=2).serve_file(tuned.file) as server:
        france, bees = server.generate([[{"role": "user", "content": one}] for one in questions], max_tokens=48)
    assert "Paris" in france.text
    assert "honey" in bees.text.lower()
