"""What this machine is, as plain data, and what is wrong with it for training: the disk, and CUDA against its driver.

Every question to the system is asked in `look`; all else takes a Machine, so that any machine can be handed in.
"""

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop.errors import Missing
from strop.files import free_bytes

# What bfloat16 needs to be faster than float32 on a processor, and in hardware on an NVIDIA card (Ampere).
BF16_FLAGS = ("amx_bf16", "avx512_bf16")
BF16_CAPABILITY = (8, 0)
_FLAGS = (*BF16_FLAGS, "avx512f", "avx2", "asimd", "sve", "bf16")
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_CPUINFO = Path("/proc/cpuinfo")
# The oldest Linux driver for each major version of CUDA:
# https://docs.nvidia.com/deploy/cuda-compatibility/ (minor version compatibility).
_LEAST_DRIVER = {11: (450, 80), 12: (525, 60), 13: (580, 65)}
# Left free beside what a run writes: journals, logs and the rest of the system go on writing.
_SPARE_DISK_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator. `capability` is CUDA's compute capability, None for another maker's."""

    name: str
    memory_bytes: int
    capability: tuple[int, int] | None = None
    kind: Literal["cuda", "mps"] = "cuda"

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bfloat16 in hardware."""
        return self.capability is not None and self.capability >= BF16_CAPABILITY


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as training sees it.

    `driver` is the NVIDIA driver's version where its kernel module is loaded; `torch_cuda` the CUDA version that torch
    was built for; `cuda_works` whether the two get on. `memory_bytes` is all there is, `disk_bytes` what is free where
    the home lies, `free_bytes` the memory that is free now, None where that is not known.
    """

    processor: str
    flags: frozenset[str]
    cores: int
    memory_bytes: int
    disk_bytes: int
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    torch_cuda: str | None = None
    cuda_works: bool = False
    free_bytes: int | None = None

    @property
    def gpu(self) -> Gpu | None:
        """The one that training uses: a run uses one."""
        return self.gpus[0] if self.gpus else None

    @property
    def room_bytes(self) -> int:
        """The memory that a run has to fit into: the card's, else the machine's."""
        return self.gpu.memory_bytes if self.gpu else self.memory_bytes

    @property
    def sentence(self) -> str:
        """What a person would call it."""
        memory = f"{self.memory_bytes / 1e9:.0f} GB of memory"
        if self.gpu is None:
            named = ", ".join(flag for flag in BF16_FLAGS if flag in self.flags) or "no bfloat16 instructions"
            return f"{self.cores} cores ({named}), {memory}, no GPU"
        capability = f", compute capability {'.'.join(map(str, self.gpu.capability))}" if self.gpu.capability else ""
        return f"{self.gpu.name} with {self.gpu.memory_bytes / 1e9:.0f} GB{capability}, {memory}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that would stop a run: what it is, and the step that ends it."""

    name: str
    what: str
    fix: str


def look(home: Path) -> Machine:
    """This machine; `home` says which disk is meant. Torch is asked for its GPUs where it can be imported."""
    import psutil

    try:
        import torch
    except ImportError:
        torch = None  # type: ignore[assignment] # then there is no accelerator that training could use
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.is_file() else ""
    driver = _DRIVER_FILE.read_text(encoding="utf-8", errors="replace") if _DRIVER_FILE.is_file() else ""
    processor, flags = read_cpuinfo(text)
    return Machine(
        processor=processor or platform.processor() or platform.machine(),
        flags=flags,
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        disk_bytes=free_bytes(home),
        gpus=_gpus(torch) if torch else (),
        driver=read_driver(driver),
        torch_cuda=torch.version.cuda if torch else None,
        cuda_works=bool(torch and torch.cuda.is_available()),
        free_bytes=psutil.virtual_memory().available,
    )


def read_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """(processor's name, flags that matter to us) from the text of /proc/cpuinfo, x86 or ARM."""
    fields = [line.partition(":") for line in text.splitlines()]
    first = {name.strip().lower(): value.strip() for name, _, value in reversed(fields)}
    found = set(first.get("flags", first.get("features", "")).split())
    return first.get("model name", ""), frozenset(found & set(_FLAGS))


def read_driver(text: str) -> str | None:
    """The driver's version from the text of /proc/driver/nvidia/version, None where there is no text."""
    if not text.strip():
        return None
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text)
    return found.group(1) if found else "unknown"


def _gpus(torch: Any) -> tuple[Gpu, ...]:
    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return tuple(Gpu(one.name, one.total_memory, (one.major, one.minor)) for one in found)
    if torch.backends.mps.is_available():
        return (Gpu("Apple GPU", torch.mps.recommended_max_memory(), None, "mps"),)
    return ()


def troubles(machine: Machine, needed_bytes: int) -> tuple[Trouble, ...]:
    """All that would stop a run which writes `needed_bytes`, or leave the card idle."""
    found: Iterable[Trouble | None] = (cuda_trouble(machine), disk_trouble(machine.disk_bytes, needed_bytes))
    return tuple(one for one in found if one is not None)


def cuda_trouble(machine: Machine) -> Trouble | None:
    """A card whose driver is there and that torch cannot use, with the reason; None where all is well."""
    if machine.driver is None or machine.cuda_works:
        return None
    if machine.torch_cuda is None:
        what = f"there is an NVIDIA card (driver {machine.driver}), and this torch was built without CUDA"
        return Trouble("cuda", what, "pip install --force-reinstall torch (PyPI's Linux build has CUDA)")
    what = f"torch was built for CUDA {machine.torch_cuda} and cannot use the NVIDIA driver {machine.driver}"
    least = _LEAST_DRIVER.get(int(machine.torch_cuda.partition(".")[0]))
    have = tuple(int(part) for part in machine.driver.split(".")[:2]) if machine.driver != "unknown" else None
    if least and have and have < least:
        needed = ".".join(map(str, least))
        newest = max((major for major, driver in _LEAST_DRIVER.items() if have >= driver), default=None)
        other = f", or install a torch for CUDA {newest} from https://download.pytorch.org/whl/" if newest else ""
        return Trouble("cuda", f"{what}: it needs {needed} or newer", f"update the driver to {needed} or newer{other}")
    fix = "nvidia-smi says what the driver sees; in a container start it with --gpus all; check CUDA_VISIBLE_DEVICES"
    return Trouble("cuda", what, fix)


def disk_trouble(free: int, needed_bytes: int) -> Trouble | None:
    """Too little disk for what a run writes and a little beside it; None where there is enough."""
    wanted = needed_bytes + _SPARE_DISK_BYTES
    if free >= wanted:
        return None
    what = f"{wanted / 1e9:.1f} GB of disk are needed and {free / 1e9:.1f} GB are free"
    return Trouble("disk", what, "free some space, or move the home with STROP_HOME or --home")


def need_disk(where: Path, needed_bytes: int) -> None:
    """Raise Missing where the disk of `where` cannot take `needed_bytes`."""
    trouble = disk_trouble(free_bytes(where), needed_bytes)
    if trouble:
        raise Missing(f"training stopped before it began: {trouble.what}", hint=trouble.fix)
