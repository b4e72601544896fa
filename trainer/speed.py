"""How many products this machine makes in a second, tried for under a second."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from strop.trainer.machine import Machine
from strop.trainer.plan import set_threads

_TRIAL_S = 0.4
# One product of a small model's layer on a processor, of a large one's on an accelerator: (rows, inputs, outputs).
_ON_CPU, _ON_GPU = (256, 576, 1536), (4096, 4096, 4096)


@dataclass(frozen=True, slots=True)
class Speed:
    """Floating-point operations a second (a multiply-add is two) by precision, and where the figure is from."""

    bf16: float
    fp32: float
    source: str


def tried(machine: Machine) -> Speed:
    """This machine's speed, measured where torch can be imported, else what a core does by rule of thumb."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        rough = 30e9 * machine.cores  # AVX2 in float32, half of what a core at 2 GHz does at its best
        return Speed(rough, rough, "torch is not installed: by rule of thumb")
    import torch

    device = machine.gpu.kind if machine.gpu else "cpu"
    if device == "cpu":
        set_threads()
    bf16, fp32 = (_flops(dtype, device) for dtype in (torch.bfloat16, torch.float32))
    return Speed(bf16, fp32, f"tried for {2 * _TRIAL_S:.1f} s")


def _flops(dtype: Any, device: str) -> float:
    """The best of several short runs."""
    import torch

    rows, inputs, outputs = _ON_CPU if device == "cpu" else _ON_GPU
    left, right = (torch.ones(*shape, dtype=dtype, device=device) for shape in ((rows, inputs), (inputs, outputs)))
    torch.mm(left, right)
    best, end = 0.0, perf_counter() + _TRIAL_S
    while perf_counter() < end:
        start = perf_counter()
        for _ in range(8):
            product = torch.mm(left, right)
        product[0, 0].item()  # an accelerator has finished when a value is back
        best = max(best, 8 / (perf_counter() - start))
    return best * 2 * rows * inputs * outputs
