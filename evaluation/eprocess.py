"""Is a rate higher than it was? A test that may be looked at after every observation.

A gambler bets against "the rate is at most p0": after each observation x (1 or 0) the capital is multiplied by

    1 + lambda (x - p0),   0 <= lambda < 1 / p0,

which has an expectation of at most 1 under that hypothesis, whatever lambda was chosen from earlier observations. The
capital is therefore a test supermartingale, and by Ville's inequality it ever reaches 1 / alpha with probability at
most alpha: stopping early, late, or for a reason is all allowed. Source: Waudby-Smith and Ramdas, Estimating means of
bounded random variables by betting, JRSS B 86(1), 2024, arXiv:2010.09686; Shafer, Testing by betting, JRSS A 184(2),
2021. The bet is theirs in spirit: an equal mixture of fixed lambdas, itself such a martingale, which needs no tuning.

Where p0 is itself measured, `upper_bound` gives one that the old rate exceeds with probability at most delta
(Clopper and Pearson, 1934); a false alarm then has probability at most alpha + delta.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp, log, log1p
from typing import Any, Self

from strop.errors import EvaluationError

# Shares of the largest bet. Small ones find small rises, large ones large rises soon.
_BETS = (0.05, 0.1, 0.2, 0.4, 0.7)


@dataclass(frozen=True, slots=True)
class RateTest:
    """A bet against "the rate is at most `p0`", 0 < p0 < 1. `logs` holds the capital of each bet, as logarithms."""

    p0: float
    seen: int = 0
    ones: int = 0
    logs: tuple[float, ...] = (0.0,) * len(_BETS)
    highest: float = 0.0  # the logarithm of the most that the capital ever was

    def __post_init__(self) -> None:
        if not 0 < self.p0 < 1:
            raise EvaluationError(f"p0 must lie between 0 and 1, not at {self.p0}", hint="strop doctor")

    def observe(self, one: bool) -> Self:
        """The test after one more observation."""
        step = (1.0 if one else 0.0) - self.p0
        logs = tuple(held + log1p(share / self.p0 * step) for held, share in zip(self.logs, _BETS, strict=True))
        highest = max(self.highest, _log_mean(logs))
        return replace(self, seen=self.seen + 1, ones=self.ones + one, logs=logs, highest=highest)

    def observe_all(self, observations: Iterable[bool]) -> Self:
        """The test after several more."""
        test = self
        for one in observations:
            test = test.observe(one)
        return test

    @property
    def evidence(self) -> float:
        """The most that the capital ever was: 20 speaks against the hypothesis as p = 0.05 does, at any time."""
        return exp(min(self.highest, 700.0))

    def rejects(self, alpha: float) -> bool:
        """Whether the rate is higher than p0, with a chance of at most `alpha` of saying so wrongly, ever."""
        return self.highest >= -log(alpha)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `RateTest(**data)` with `logs` as a tuple reads it back."""
        return {
            "p0": self.p0,
            "seen": self.seen,
            "ones": self.ones,
            "logs": list(self.logs),
            "highest": self.highest,
        }


def upper_bound(k: int, n: int, delta: float) -> float:
    """The rate that `k` of `n` exceed only with probability `delta`: Clopper and Pearson's one-sided bound.

    1.0 where nothing was seen or all were ones. Found by bisection on the binomial distribution, to 1e-9.
    """
    if n <= 0 or k >= n:
        return 1.0
    low, high = k / n, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(k, n, middle) > delta else (low, middle)
    return high


def _at_most(k: int, n: int, p: float) -> float:
    """The chance of at most `k` ones among `n` at rate `p`, 0 < p < 1."""
    term = n * log1p(-p)
    total = exp(term)
    odds = log(p) - log1p(-p)
    for i in range(k):
        term += log(n - i) - log(i + 1) + odds
        total += exp(term)
    return min(1.0, total)


def _log_mean(logs: tuple[float, ...]) -> float:
    most = max(logs)
    return most + log(sum(exp(held - most) for held in logs) / len(logs))
