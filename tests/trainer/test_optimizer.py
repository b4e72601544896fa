"""AdamW on float32 masters: torch's own AdamW in float32, and no step lost to rounding in bfloat16."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from strop.trainer.optimizer import master_adamw, warm_cosine

RATE, DECAY = 1e-2, 0.1


def started(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(1)
    # Values that bfloat16 holds exactly, so that both precisions start at one point.
    values = [torch.randn(6, 4, generator=draw).bfloat16() for _ in range(3)]
    return [torch.nn.Parameter(value.to(dtype)) for value in values]


def walked(
    parameters: list[torch.nn.Parameter], optimizer: Any, steps: int = 30, rate: Callable[[int], float] | None = None
) -> list[list[torch.Tensor]]:
    """The parameters after each step; gradients depend on the step alone, the third parameter has one now and then."""
    draw, path = torch.Generator().manual_seed(2), []
    for step in range(steps):
        if rate:
            optimizer.param_groups[0]["lr"] = rate(step)
        for place, parameter in enumerate(parameters):
            gradient = torch.randn(parameter.shape, generator=draw).bfloat16().to(parameter.dtype)
            parameter.grad = gradient if place < 2 or step % 3 == 0 else None
        optimizer.step()
        optimizer.zero_grad()
        path.append([parameter.detach().float().clone() for parameter in parameters])
    return path


def distance(first: list[list[torch.Tensor]], second: list[list[torch.Tensor]]) -> float:
    return max(
        float((a - b).abs().max())
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def cooling(step: int) -> float:
    return RATE * (1 - step / 30)


def test_in_float32_it_is_torchs_adamw_to_the_bit() -> None:
    ours, theirs = started(torch.float32), started(torch.float32)
    first = walked(ours, master_adamw(ours, RATE, DECAY), rate=cooling)
    second = walked(theirs, torch.optim.AdamW(theirs, lr=RATE, weight_decay=DECAY, foreach=False), rate=cooling)
    assert distance(first, second) == 0.0
    assert distance(first[:1], first[-1:]) > 5 * RATE


def test_in_bfloat16_only_the_last_rounding_differs() -> None:
    ours, theirs = started(torch.bfloat16), started(torch.float32)
    first = walked(ours, master_adamw(ours, RATE, DECAY))
    second = walked(theirs, torch.optim.AdamW(theirs, lr=RATE, weight_decay=DECAY))
    for one, other in zip(first[-1], second[-1], strict=True):
        # bfloat16 keeps 8 bits: half a unit in the last place, nothing accumulated.
        assert torch.all((one - other).abs() <= other.abs() * 2**-8 + 1e-6)


def test_its_state_is_float32_whatever_the_parameters_are() -> None:
    parameters = started(torch.bfloat16)
    optimizer = master_adamw(parameters, RATE)
    walked(parameters, optimizer, steps=2)
    assert all(parameter.dtype == torch.bfloat16 for parameter in parameters)
    for state in optimizer.state.values():
        assert {name: value.dtype for name, value in state.items()} == dict.fromkeys(
            ("step", "master", "exp_avg", "exp_avg_sq"), torch.float32
        )


def test_steps_too_small_for_bfloat16_add_up() -> None:
    def moved(make: Callable[[list[torch.nn.Parameter]], Any]) -> float:
        parameter = torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
        optimizer = make([parameter])
        for _ in range(100):
            parameter.grad = torch.ones_like(parameter)
            optimizer.step()
        return float((1 - parameter.detach().float()).max())

    # 1e-3 is below half a unit of bfloat16 at 1.0: by itself no step is seen, a hundred of them are 0.1.
    assert moved(lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)) == 0.0
    assert 0.09 < moved(lambda parameters: master_adamw(parameters, 1e-3)) < 0.11


def test_a_closure_is_called_once_and_its_loss_returned() -> None:
    (parameter, *_) = started(torch.float32)
    calls: list[int] = []
    optimizer = master_adamw([parameter], RATE)
    assert optimizer.step(lambda: calls.append(1) or 2.5) == 2.5
    assert calls == [1]


@pytest.mark.parametrize(
    ("steps", "warmup", "rates"),
    [
        (1, 0.05, [1.0]),
        (4, 0.05, [1.0, 0.853553, 0.5, 0.146447]),
        (4, 0.5, [1 / 3, 2 / 3, 1.0, 0.5]),
        (20, 0.05, None),
    ],
)
def test_every_step_has_a_rate_that_rises_and_falls(steps: int, warmup: float, rates: list[float] | None) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule, seen = warm_cosine(optimizer, steps, warmup), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"] / RATE)
        optimizer.step()
        schedule.step()
    assert all(rate > 0 for rate in seen)
    assert max(seen) == 1
    top = seen.index(1)
    assert seen[: top + 1] == sorted(seen[: top + 1])
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert top == int(warmup * steps)
    if rates:
        assert seen == pytest.approx(rates, abs=1e-6)
