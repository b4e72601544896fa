"""AdamW that steps in float32 while the model computes in bfloat16.

LoRA matrices in float32 under a bfloat16 base cost two casts of every activation on a CPU; in bfloat16 alone, small
steps are rounded away. So the adapter is bfloat16 where it multiplies and float32 where it learns.
"""

import math
from collections.abc import Iterable
from typing import Any


def master_adamw(parameters: Iterable[Any], learning_rate: float, weight_decay: float = 0.0) -> Any:
    """An AdamW over float32 copies of `parameters`; each step writes the copies back in the parameters' own type.

    The optimizer's own parameter groups are the model's parameters (so that clipping and schedules see them); moments
    and master weights are float32.
    """
    import torch
    from torch.optim.adamw import adamw

    class MasterAdamW(torch.optim.AdamW):
        """AdamW whose step runs on float32 master weights."""

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            loss = None if closure is None else closure()
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._step_one(parameter, group)
            return loss

        def _step_one(self, parameter: Any, group: dict[str, Any]) -> None:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["master"] = parameter.detach().float().clone()
                state["exp_avg"] = torch.zeros_like(state["master"])
                state["exp_avg_sq"] = torch.zeros_like(state["master"])
            gradient = parameter.grad.float()
            adamw(
                [state["master"]],
                [gradient],
                [state["exp_avg"]],
                [state["exp_avg_sq"]],
                [],
                [state["step"]],
                foreach=False,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            parameter.copy_(state["master"])

    return MasterAdamW(list(parameters), lr=learning_rate, weight_decay=weight_decay)


def warm_cosine(optimizer: Any, steps: int, warmup: float) -> Any:
    """A schedule that rises over the first `warmup` (a share) of `steps` and falls along a cosine.

    No step is for nothing: transformers' own begins at a rate of 0, so that the first step teaches nothing and a run
    of one step nothing at all, and any share of a few steps becomes a whole one there.
    """
    from torch.optim.lr_scheduler import LambdaLR

    rising = int(warmup * steps)

    def rate(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        along = (step - rising) / max(steps - rising, 1)
        return max(0.0, 0.5 * (1 + math.cos(math.pi * along)))

    return LambdaLR(optimizer, rate)
