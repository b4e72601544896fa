"""Training in a process of its own: `python -m strop.trainer.child`.

Reads one JSON job from stdin, writes one JSON line an event to stdout: `{"progress": ...}`, then `{"done": ...}` or
`{"error": ...}`. When the process ends, all memory comes back, whatever the libraries kept.
"""

import json
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable
from time import monotonic

from strop.errors import StropError
from strop.trainer.train import Progress


class Pace:
    """Tokens a second over the last steps of one stage."""

    _STEPS = 20

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._seen: deque[tuple[float, int]] = deque(maxlen=self._STEPS)

    def of(self, stage: str, tokens: int) -> float:
        """The pace now that the run has read `tokens`; 0 while it is not known."""
        if stage != self._stage:
            self._stage = stage
            self._seen.clear()
        self._seen.append((self._clock(), tokens))
        (first, least), (last, most) = self._seen[0], self._seen[-1]
        return (most - least) / (last - first) if last > first else 0.0


# How torch on a processor says it; the last is oneDNN's, which bfloat16 goes through.
_NO_MEMORY = ("DefaultCPUAllocator", "alloc_cpu", "could not create a primitive")


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory could not be had: torch has a class for it on accelerators alone."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_MEMORY)


def main() -> None:
    """Run the job; exit code 0 where an adapter was written."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**event: object) -> None:
        answer.write(json.dumps(event) + "\n")
        answer.flush()

    pace = Pace()

    def on_progress(at: Progress) -> None:
        tokens_per_s = pace.of(at.stage, at.tokens)
        figures = {**at.metrics, "loss": at.loss, "tokens": at.tokens, "tokens_per_s": tokens_per_s}
        say(progress={"stage": at.stage, "step": at.step, "steps": at.steps, "figures": figures})

    from strop.trainer.work import Job, work

    try:
        say(done=work(Job.from_json(sys.stdin.read()), on_progress))
    except StropError as error:
        say(error={"type": type(error).__name__, "message": str(error), "hint": error.hint})
        sys.exit(1)
    except Exception as error:  # whatever a library raises: its words go to the parent, its traceback to the log
        traceback.print_exc()
        if out_of_memory(error):
            say(error={"type": "OutOfMemory", "message": "memory ran out", "hint": None})
            sys.exit(1)
        message = f"training stopped: {type(error).__name__}: {error}"
        say(error={"type": "TrainingFailed", "message": message, "hint": "the traceback is in the home's train.log"})
        sys.exit(1)


if __name__ == "__main__":
    main()
