"""Where the parts of a small plot of an estimate lie: its interval, its point, and the lines that it is held against.

Shares lie between 0 and 1. Differences lie around 0, and all of skill on one scale, so that rows can be compared. A
bound that is infinite, or beyond the scale, is open: drawn to the edge with an arrow.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, isfinite

from strop.evaluation.compare import Estimate
from strop.evaluation.report import bound, figure, is_share, measured

# The units of the drawing, which CSS scales.
WIDTH, HEIGHT = 240, 44
_EDGE = 14
_LABEL = 16  # between the middles of two labels
_STEP = 0.05  # a scale ends at a multiple of this
_EVEN = 0.5  # as many won as lost
_HELD_TO_MARGIN = ("skill", "skill_vs_base")


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the plot, its label (may be empty), and its kind: "null" (no difference) or "margin"."""

    x: float
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One estimate, drawn. `low` and `high` are where the interval ends, `point` is None where there is no value."""

    name: str
    text: str
    items: int
    low: float
    high: float
    point: float | None
    open_low: bool
    open_high: bool
    ticks: tuple[Tick, ...]
    start: str
    end: str


def plots(estimates: Mapping[str, Estimate], margin: float) -> list[Plot]:
    """A plot for each estimate, in their order. `margin` is what skill may lose, a fraction."""
    skill = [e for name, e in estimates.items() if not is_share(name) and name != "wanted_net"]
    reach = _reach(skill, margin)
    return [_plot(name, e, 1.0 if name == "wanted_net" else reach, margin) for name, e in estimates.items()]


def _reach(estimates: Iterable[Estimate], margin: float) -> float:
    """How far the scale of differences goes to either side: what is finite fits, within -1 and 1."""
    ends = [abs(end) for e in estimates for end in (e.value, e.low, e.high) if isfinite(end)]
    widest = max([*ends, 2 * margin, _STEP])
    return min(1.0, ceil(widest / _STEP - 1e-9) * _STEP)


def _plot(name: str, e: Estimate, reach: float, margin: float) -> Plot:
    start, end = (0.0, 1.0) if is_share(name) else (-reach, reach)

    def x(value: float) -> float:
        inside = min(max(value, start), end)
        return round(_EDGE + (inside - start) / (end - start) * (WIDTH - 2 * _EDGE), 1)

    # A bound that is no number bounds nothing.
    low, high = (e.low if e.low == e.low else start - 1), (e.high if e.high == e.high else end + 1)
    return Plot(
        measured(name),
        f"{figure(name, e.value)} ({bound(name, e.low)} to {bound(name, e.high)})",
        e.n,
        x(low),
        x(high),
        x(e.value) if isfinite(e.value) else None,
        low < start,
        high > end,
        tuple(_ticks(name, x, margin)),
        _tick(name, start),
        _tick(name, end),
    )


def _ticks(name: str, x: Callable[[float], float], margin: float) -> Iterator[Tick]:
    """The lines; a label that would run into the one in the middle or at the start is left out."""
    for value, kind in _lines(name, margin):
        at = x(value)
        clear = kind == "null" or min(WIDTH / 2 - at, at) >= _LABEL
        yield Tick(at, _tick(name, value) if clear else "", kind)


def _lines(name: str, margin: float) -> list[tuple[float, str]]:
    if name == "wanted":
        return [(_EVEN, "null")]
    if is_share(name):
        return []
    return [(0.0, "null"), *([(-margin, "margin")] if name in _HELD_TO_MARGIN else [])]


def _tick(name: str, value: float) -> str:
    if is_share(name):
        return f"{value * 100:.0f} %"
    return f"{value * 100:+.0f}".replace("-", "−") if value else "0"
