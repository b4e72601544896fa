"""What a machine is and what would stop a run on it, on machines that are handed in."""

from dataclasses import replace
from pathlib import Path

import pytest

from strop.errors import Missing
from strop.trainer import machine
from strop.trainer.machine import Gpu, Machine

LAPTOP = Machine("A laptop", frozenset({"avx2"}), 8, 16_000_000_000, 100_000_000_000)


def test_this_machine_is_seen(tmp_path: Path) -> None:
    found = machine.look(tmp_path)
    assert found.cores >= 1
    assert found.memory_bytes > 1e9
    assert found.disk_bytes > 0
    assert str(found.cores) in found.sentence or found.gpu is not None


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [
        (
            "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n\nprocessor\t: 1\n",
            "Xeon",
            {"avx2", "avx512f", "avx512_bf16", "amx_bf16"},
        ),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 sve\n", "", {"asimd", "bf16", "sve"}),
        ("", "", set()),
        ("nonsense", "", set()),
    ],
)
def test_processor_flags_are_read(text: str, name: str, flags: set[str]) -> None:
    assert machine.read_cpuinfo(text) == (name, frozenset(flags))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version:  gcc 12.3.0",
            "535.183.01",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95  Release", "580.95"),
        ("something else", "unknown"),
        ("", None),
    ],
)
def test_the_driver_is_read(text: str, version: str | None) -> None:
    assert machine.read_driver(text) == version


@pytest.mark.parametrize(
    ("capability", "bf16"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((12, 0), True), (None, False)]
)
def test_bfloat16_needs_ampere(capability: tuple[int, int] | None, bf16: bool) -> None:
    assert Gpu("card", 1, capability).bf16 == bf16


def test_a_run_has_to_fit_the_card_where_there_is_one() -> None:
    assert LAPTOP.room_bytes == LAPTOP.memory_bytes
    with_card = replace(LAPTOP, gpus=(Gpu("T4", 15_000_000_000, (7, 5)),))
    assert with_card.room_bytes == 15_000_000_000
    assert "T4 with 15 GB, compute capability 7.5" in with_card.sentence
    assert "no GPU" in LAPTOP.sentence


@pytest.mark.parametrize(
    ("driver", "torch_cuda", "works", "what", "fix"),
    [
        (
            "535.183.01",
            "13.0",
            False,
            "CUDA 13.0 and cannot use the NVIDIA driver 535.183.01: it needs 580.65",
            "CUDA 12",
        ),
        ("418.87", "12.8", False, "it needs 525.60 or newer", "update the driver to 525.60 or newer"),
        ("580.95", "13.0", False, "cannot use the NVIDIA driver 580.95", "nvidia-smi"),
        ("unknown", "13.0", False, "cannot use the NVIDIA driver unknown", "nvidia-smi"),
        ("580.95", None, False, "built without CUDA", "pip install"),
    ],
)
def test_cuda_that_does_not_match_its_driver_is_named(
    driver: str, torch_cuda: str | None, works: bool, what: str, fix: str
) -> None:
    found = machine.cuda_trouble(replace(LAPTOP, driver=driver, torch_cuda=torch_cuda, cuda_works=works))
    assert found is not None
    assert what in found.what
    assert fix in found.fix


@pytest.mark.parametrize(
    "well",
    [
        LAPTOP,
        replace(LAPTOP, torch_cuda="13.0"),  # PyPI's Linux build on a machine without a card
        replace(LAPTOP, torch_cuda="13.0", driver="580.95", cuda_works=True),
    ],
)
def test_a_machine_that_is_well_has_no_trouble(well: Machine) -> None:
    assert machine.troubles(well, 1_000_000_000) == ()


def test_too_little_disk_is_named_with_both_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (found,) = machine.troubles(replace(LAPTOP, disk_bytes=2_000_000_000), 4_000_000_000)
    assert found.name == "disk"
    assert "4.5 GB of disk are needed and 2.0 GB are free" in found.what
    machine.need_disk(tmp_path, 1)
    monkeypatch.setattr(machine, "free_bytes", lambda path: 400_000_000)
    with pytest.raises(Missing, match=r"0\.6 GB of disk are needed and 0\.4 GB are free") as error:
        machine.need_disk(tmp_path, 100_000_000)
    assert "STROP_HOME" in error.value.hint
