"""The peak of a run, computed: against the usual table, and against what a real run took."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from strop.trainer import memory, sizes
from strop.trainer.alternatives import NOT_RECOMMENDED, usual_table
from strop.trainer.memory import Setting
from strop.trainer.shape import from_folder

GB = 1e9


@pytest.mark.parametrize(
    ("model", "qlora", "lora", "card"),
    [("7B", 12, 20, "T4 16 GB"), ("13B", 18, 32, "A10 24 GB"), ("70B", 60, None, "A100 80 GB")],
)
def test_the_usual_table_comes_out_within_a_fifth(model: str, qlora: float, lora: float | None, card: str) -> None:
    row = next(row for row in usual_table() if row.name == model)
    assert row.qlora_bytes == pytest.approx(qlora * GB, rel=0.2)
    assert row.card == card
    if lora is None:
        assert row.lora_card == NOT_RECOMMENDED
    else:
        assert row.lora_bytes == pytest.approx(lora * GB, rel=0.2)


def test_a_rank_16_adapter_of_a_4b_is_below_100_mb_in_16_bits() -> None:
    shape = sizes.known("Qwen3-4B")
    assert memory.adapter_bytes(shape, 16, "bf16") == 66_060_288
    assert memory.adapter_bytes(shape, 16, "fp32") > 100_000_000


def test_an_adapter_is_as_large_as_the_one_that_was_saved() -> None:
    # .strop-demo's, of a real night: 19,593,064 bytes with the file's header.
    assert memory.adapter_bytes(sizes.known("SmolLM2-135M"), 16, "fp32") == pytest.approx(19_593_064, rel=0.01)


# Peaks of resident memory (VmHWM) of a real SFT run of SmolLM2-135M, rank 16, 25 November 2026, 2 cores, torch's CPU
# build, glibc 2.36: rows a step, tokens a row, tokens learned, precision, checkpointing, bytes.
MEASURED = [
    (1, 128, 64, "fp32", False, 1_625_452_544),
    (2, 128, 64, "fp32", False, 1_963_000_000),
    (4, 256, 128, "fp32", False, 4_021_000_000),
    (4, 256, 128, "fp32", False, 3_944_000_000),
    (4, 256, 192, "fp32", False, 4_198_000_000),
    (8, 128, 64, "fp32", False, 3_989_327_872),
    (1, 512, 256, "fp32", False, 2_617_733_120),
    (4, 128, 64, "bf16", False, 1_734_656_000),
    (4, 256, 128, "fp32", True, 2_615_275_520),
]


@pytest.mark.parametrize(("batch", "length", "scored", "precision", "checkpointing", "measured"), MEASURED)
def test_the_peak_is_within_a_fifth_of_what_was_measured(
    batch: int, length: int, scored: int, precision: memory.Precision, checkpointing: bool, measured: int
) -> None:
    setting = Setting(batch, length, scored, precision=precision, checkpointing=checkpointing)
    assert memory.peak(sizes.known("SmolLM2-135M"), setting).total == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(("precision", "counted"), [("fp32", 40_445), ("bf16", 22_549)])
def test_what_a_layer_saves_is_what_autograd_was_seen_to_save(precision: memory.Precision, counted: int) -> None:
    setting = Setting(1, 64, 64, precision=precision)
    assert memory.saved_bytes(sizes.known("SmolLM2-135M"), setting) == pytest.approx(counted, rel=0.01)


def test_every_lever_moves_the_peak_the_right_way() -> None:
    shape = sizes.known("Qwen3-4B")
    plain = Setting(4, 512, 256, device="cuda")
    most = memory.peak(shape, plain).total
    for changes in (
        {"batch": 2},
        {"length": 256},
        {"rank": 4},
        {"load_in": "8bit"},
        {"checkpointing": True},
    ):
        assert memory.peak(shape, replace(plain, **changes)).total < most, changes  # type: ignore[arg-type]
    assert memory.weights(shape, replace(plain, load_in="4bit")) < memory.weights(shape, replace(plain, load_in="8bit"))
    assert memory.peak(shape, replace(plain, sequences=2)).total > most
    assert memory.peak(shape, replace(plain, precision="fp32")).total > most
    found = memory.peak(shape, plain)
    assert found.as_dict()["total"] == sum(value for name, value in found.as_dict().items() if name != "total")


def test_logits_are_bounded_where_there_would_be_too_many() -> None:
    shape = sizes.known("Qwen3-0.6B")
    few, many = (memory.logits(shape, Setting(8, 1024, scored)) for scored in (100, 1024))
    assert few == pytest.approx(800 * shape.vocabulary * 4 * 4 * 2)
    assert many <= 4096 * 32768 * 4 * 4 * 2


def test_4_bit_weights_cost_half_a_byte_and_their_constants() -> None:
    shape = sizes.known("Llama-2-70B")
    tables = shape.table_parameters * 2
    taken = memory.weights(shape, Setting(1, 1, 1, load_in="4bit", device="cuda"))
    assert (taken - tables) / shape.linear_parameters == pytest.approx(0.516, abs=0.01)


_RUN = """
import json, random, sys, tempfile
from pathlib import Path
from strop.trainer import train
from strop.trainer.measure import peak_bytes
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example
base, batch, length = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
model, tokenizer = train.load_base(base, "fp32")
stage = StageRecipe("sft", 1.0, 1e-4, batch)
recipe = Recipe((stage,), precision="fp32")
lora = train.add_lora(model, recipe)
ids = random.Random(1)
some = lambda count: tuple(ids.randrange(3, 49000) for _ in range(count))
rows = [Example(some(length // 2), some(length // 2)) for _ in range(2 * batch)]
with tempfile.TemporaryDirectory() as scratch:
    train.run_sft(lora, tokenizer, rows, stage, recipe, Path(scratch), lambda at: None)
print(json.dumps(peak_bytes()))
"""


def test_a_peak_is_what_the_process_itself_held() -> None:
    large = bytearray(b"\1") * (1 << 30)  # held by the process that starts the one which measures
    shown = "from strop.trainer.measure import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(large)


# The shape of SmolLM2-135M with random weights: memory does not ask what they say.
_VALUES = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}


@pytest.mark.slow
@pytest.mark.timeout(600)  # a minute on a machine of its own
@pytest.mark.skipif(sys.platform != "linux", reason="the constants for holes are glibc's")
def test_the_peak_of_a_real_run_is_within_a_fifth(tiny_model: ModuleType, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "base", **_VALUES)
    assert from_folder(folder).parameters == sizes.known("SmolLM2-135M").parameters
    for batch, length in ((1, 128), (4, 128)):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _RUN, str(folder), str(batch), str(length)],
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        expected = memory.peak(from_folder(folder), Setting(batch, length, length // 2, precision="fp32")).total
        assert expected == pytest.approx(json.loads(done.stdout.splitlines()[-1]), rel=0.2)
