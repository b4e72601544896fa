"""The whole plan of a run on machines that are handed in: each choice with its reason, and what else there is."""

from dataclasses import replace

import pytest

from strop.trainer import capacity, cloud, memory, sizes
from strop.trainer.capacity import Outlook
from strop.trainer.fitting import room_bytes
from strop.trainer.load import Load
from strop.trainer.machine import Gpu, Machine
from strop.trainer.settings import TrainerSettings
from strop.trainer.speed import Speed

GB = 1_000_000_000
LAPTOP = Machine("A laptop", frozenset({"avx2"}), 8, 16 * GB, 500 * GB)
T4 = replace(LAPTOP, gpus=(Gpu("T4", 16 * GB, (7, 5)),))
A10 = replace(LAPTOP, memory_bytes=64 * GB, gpus=(Gpu("A10", 24 * GB, (8, 6)),))
A100 = replace(LAPTOP, memory_bytes=256 * GB, gpus=(Gpu("A100", 80 * GB, (8, 0)),))
MAC = replace(LAPTOP, gpus=(Gpu("Apple GPU", 12 * GB, None, "mps"),))
SLOW_BF16 = Speed(50e9, 100e9, "a trial")
FAST_BF16 = Speed(400e9, 100e9, "a trial")
LOAD = Load({"sft": 200, "dpo": 200}, 200, 100_000, 1024, 512, 60_000)
SETTINGS = TrainerSettings()


def value(found: Outlook, name: str) -> str:
    return next(choice.value for choice in found.choices if choice.name == name)


def reason(found: Outlook, name: str) -> str:
    return next(choice.reason for choice in found.choices if choice.name == name)


def look(
    model: str, machine: Machine, load: Load = LOAD, speed: Speed = FAST_BF16, settings: TrainerSettings = SETTINGS
) -> Outlook:
    return capacity.outlook(sizes.known(model), machine, load, settings, speed)


@pytest.mark.parametrize("machine", [LAPTOP, T4, A10, A100, MAC])
@pytest.mark.parametrize("model", ["SmolLM2-135M", "Qwen3-4B", "Llama-2-70B"])
def test_every_choice_is_made_and_has_its_reason(machine: Machine, model: str) -> None:
    found = look(model, machine)
    assert [choice.name for choice in found.choices] == [
        *("method", "precision", "replay", "epochs", "bits", "batch", "accumulation", "checkpointing"),
        *("peak", "time", "adapter", "disk", "side by side"),
    ]
    assert all(choice.value and choice.reason for choice in found.choices)
    assert found.fits == (found.peak.total <= room_bytes(machine))
    assert int(value(found, "batch")) * int(value(found, "accumulation")) == SETTINGS.batch_size


def test_bfloat16_follows_the_card_and_else_the_trial() -> None:
    shape = "SmolLM2-135M"
    assert value(look(shape, T4), "precision") == "fp32"
    assert reason(look(shape, T4), "precision") == "T4 has compute capability 7.5, bfloat16 needs 8.0"
    assert value(look(shape, A10, speed=SLOW_BF16), "precision") == "bf16"
    assert value(look(shape, LAPTOP, speed=FAST_BF16), "precision") == "bf16"
    assert value(look(shape, LAPTOP, speed=SLOW_BF16), "precision") == "fp32"
    assert "0.5 times" in reason(look(shape, LAPTOP, speed=SLOW_BF16), "precision")
    assert value(look(shape, MAC), "precision") == "fp32"
    assert value(look(shape, LAPTOP, settings=TrainerSettings(precision="fp32")), "precision") == "fp32"


def test_a_small_model_trains_whole() -> None:
    found = look("SmolLM2-135M", A10)
    assert (value(found, "bits"), value(found, "batch"), value(found, "checkpointing")) == ("16", "8", "off")
    assert found.alternatives == ()


def test_the_batch_gives_way_before_the_bits_do() -> None:
    found = look("Qwen3-4B", A10)
    assert found.fits
    assert (value(found, "bits"), value(found, "checkpointing")) == ("16", "off")
    assert int(value(found, "batch")) < 8


def test_what_does_not_fit_in_16_bits_is_loaded_in_4() -> None:
    found = look("Llama-2-13B", A10)
    assert found.fits
    assert value(found, "bits") == "4"
    assert "in full the run would take" in reason(found, "bits")
    assert found.setting.load_in == "4bit"


def test_a_processor_never_takes_4_bits_by_itself() -> None:
    assert look("Llama-2-13B", LAPTOP).setting.load_in == "16bit"
    assert look("Llama-2-13B", LAPTOP, settings=TrainerSettings(load_in="4bit")).setting.load_in == "4bit"


def test_a_model_that_is_too_big_comes_with_what_would_fit() -> None:
    found = look("Qwen3-8B", LAPTOP)
    assert not found.fits
    assert "does not fit into" in reason(found, "peak")
    here = [one for one in found.alternatives if one.where == "here"]
    there = [one for one in found.alternatives if one.dollars is not None]
    assert [one.what for one in here] == ["Qwen3-8B with --load-in 4bit", "Qwen3-4B", "Qwen3-1.7B"]
    assert all(one.peak_bytes <= room_bytes(LAPTOP) for one in here)
    assert len(there) == 3
    assert [one.dollars for one in there] == sorted(one.dollars or 0 for one in there)
    assert all(one.seconds > 0 for one in found.alternatives)
    card = next(card for card in cloud.CARDS if card.flavour in there[0].where)
    assert there[0].dollars == pytest.approx(there[0].seconds / 3600 * card.dollars_h)


def test_shorter_rows_are_offered_where_they_would_do() -> None:
    shape = sizes.known("Llama-3.2-3B")
    long = replace(LOAD, longest=8192, scored=8000)
    found = capacity.outlook(shape, replace(LAPTOP, memory_bytes=13 * GB), long, SETTINGS, FAST_BF16)
    assert not found.fits
    assert found.alternatives[0].what == "Llama-3.2-3B on rows of up to 256 tokens"


def test_where_nothing_fits_nothing_is_offered() -> None:
    found = look("Llama-3.1-70B", LAPTOP, load=replace(LOAD, longest=1_000_000))
    assert not found.fits
    assert found.alternatives == ()


def test_time_follows_the_work() -> None:
    plain = look("SmolLM2-135M", LAPTOP)
    assert look("SmolLM2-135M", LAPTOP, speed=Speed(800e9, 100e9, "")).seconds == pytest.approx(plain.seconds / 2)
    twice = replace(LOAD, tokens=2 * LOAD.tokens, pair_tokens=2 * LOAD.pair_tokens)
    assert look("SmolLM2-135M", LAPTOP, load=twice).seconds == pytest.approx(2 * plain.seconds)
    assert look("SmolLM2-360M", LAPTOP).seconds > 2 * plain.seconds
    assert reason(plain, "time").startswith("an estimate: 620,000 tokens in all passes at 160 GFLOP/s, 40%")


def test_an_l40s_takes_what_the_published_benchmark_took() -> None:
    # huggingface/peft's: Llama-3.2-3B, 4.2 million tokens, 942 s; the rate was taken from it.
    card = next(card for card in cloud.CARDS if card.gpu.name == "L40S")
    shape = sizes.known("Llama-3.2-3B")
    assert 4 * shape.parameters * 4.2e6 / card.flops == pytest.approx(942, rel=0.05)


def test_two_served_models_need_memory_not_the_card() -> None:
    assert value(look("Qwen3-4B", LAPTOP), "side by side") == "no"
    assert value(look("Qwen3-4B", A10), "side by side") == "yes"
    assert memory.served_bytes(sizes.known("Qwen3-4B"), 0) == pytest.approx(4.02e9 * 34 / 32, rel=0.06)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7200, "2.0 h")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert capacity.duration(seconds) == said
    assert (capacity.size(999_000_000), capacity.size(1.5e9)) == ("999 MB", "1.5 GB")
