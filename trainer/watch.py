"""When a training run counts as stuck: no step in ten times the median step, and never in under a minute."""

from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic

TIMES_THE_MEDIAN = 10
LEAST_S = 60.0
# Steps that the median is taken over: the last ones say most about the next.
_KEPT = 50


class StuckWatch:
    """Told of each step, knows how much longer the next one may take.

    Only between two steps of one stage is there a limit: loading, measuring and saving take what they take.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, least_s: float | None = None) -> None:
        self._clock = clock
        self._least_s = LEAST_S if least_s is None else least_s
        self._stage = ""
        self._ended = True
        self._last = 0.0
        self._intervals: deque[float] = deque(maxlen=_KEPT)

    def step(self, stage: str, step: int, steps: int) -> None:
        """A step has ended."""
        now = self._clock()
        if stage != self._stage:
            self._intervals.clear()
        elif not self._ended:
            self._intervals.append(now - self._last)
        self._stage, self._ended, self._last = stage, step >= steps, now

    @property
    def limit_s(self) -> float | None:
        """How long a step may take after the one before, None while that is not known."""
        if self._ended or not self._intervals:
            return None
        return max(self._least_s, TIMES_THE_MEDIAN * median(self._intervals))

    @property
    def left_s(self) -> float | None:
        """How much of that is left, at least 0."""
        limit = self.limit_s
        return None if limit is None else max(limit - (self._clock() - self._last), 0.0)

    @property
    def sentence(self) -> str:
        """What happened, once there is nothing left."""
        usual = f"{median(self._intervals):.1f} s" if self._intervals else "nothing yet"
        return f"{self._stage}: no step for {self._clock() - self._last:.0f} s, and a step usually takes {usual}"
