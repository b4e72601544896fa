"""The error that a whole life of nights may spend.

Thirty nights without any real difference, each tested at 5 %, ship noise with a chance of 79 %. So test t may only
spend

    alpha_t = level * 6 / (pi^2 t^2),   t = 1, 2, 3, ...

which sums to `level` over all tests there will ever be (Basel's sum; an alpha-spending sequence as in Foster and
Stine, Alpha-investing, 2008): the chance of *ever* promoting a model that is no better stays within `level`, whatever
the order in which nights come and whether or not they depend on each other (a union bound).

The price is that late nights may spend little. The plan is to let promotions earn error back by controlling the false
discovery rate online instead (LORD++, Ramdas et al. 2017; SAFFRON, Ramdas et al. 2018); only this file would change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Test:
    """What one night's test spent: `alpha`, on which wanted `items`, and whether the night was promoted."""

    __test__: ClassVar[bool] = False  # the name is the statistician's; pytest must not collect it

    night: int
    alpha: float
    items: tuple[str, ...]
    promoted: bool
    p_value: float


def alpha_for(history: Sequence[Test], level: float) -> float:
    """What the next test may spend, given the earlier tests: a pure function of how many there were."""
    number = 1 + len(history)
    return level * 6 / (pi * pi * number * number)


def next_night(history: Sequence[Test]) -> int:
    """The number of the test that follows `history`, counted from 1."""
    return 1 + max((test.night for test in history), default=0)
