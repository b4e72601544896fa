"""More rows than a night has hours for: which of them train tonight, and what is said of the others.

Corrections come before everything else, because somebody wrote them. Among equals every domain gives its turn after
the other, however many rows it has, and so does every cluster of near-duplicate prompts; a reaction counts half as
much after each half-life. What is left out tonight stays in the ledger and may come tomorrow.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from strop.feedback.rows import METHODS, Merit, Row, Rows

# What one row of a method costs, in seconds.
Cost = Callable[[str, Row], float]
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The seconds that training may take, what a row costs of them, and after how many days a word counts half."""

    seconds: float
    cost: Cost
    half_life_days: float


@dataclass(frozen=True, slots=True)
class _Unit:
    """The rows of one or two reactions, which train together or not at all: an answer to copy and its pair."""

    rows: tuple[tuple[str, Row], ...]
    merit: Merit
    name: tuple[str, ...]
    standing: bool


def rationed(rows: Rows, methods: Sequence[str], budget: Budget) -> Rows:
    """The rows of `methods` that fit into the budget, in the order they had; all of them where they fit.

    A row of standing data has no reaction and counts as old as the oldest. What is left out is counted as `no_time` and
    said in a warning.
    """
    merits = rows.merits
    given = [(method, row) for method in methods for row in getattr(rows, method)]
    costs = {id(row): budget.cost(method, row) for method, row in given}
    whole = sum(costs.values())
    if whole <= budget.seconds:
        return rows
    newest = max((one.time for one in merits.values()), default=None)
    left, taken = budget.seconds, set()
    for unit in _in_order(_units(given, merits), newest, budget.half_life_days):
        cost = sum(costs[id(row)] for _, row in unit.rows)
        if cost <= left:
            left -= cost
            taken |= {id(row) for _, row in unit.rows}
    kept = {name: getattr(rows, name) for name in METHODS}
    kept |= {name: tuple(row for row in kept[name] if id(row) in taken) for name in methods}
    missing = len(given) - len(taken)
    excluded = {**rows.excluded, "no_time": missing}
    figure = f"{missing} of {len(given)} rows are left for another night: all would take {_hours(whole)}, "
    figure += f"and there are {_hours(budget.seconds)}; corrections come first, then what is recent."
    return replace(
        rows,
        **kept,
        excluded=dict(sorted(excluded.items())),
        standing=sum("standing:" in row["signals"][0] for name in methods for row in kept[name]),
        warnings=(*rows.warnings, figure),
    )


def _units(given: Iterable[tuple[str, Row]], merits: Mapping[str, Merit]) -> list[_Unit]:
    groups: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for method, row in given:
        groups.setdefault(tuple(row["signals"]), []).append((method, row))
    oldest = min((one.time for one in merits.values()), default=datetime.min.replace(tzinfo=UTC))
    standing = Merit("", "", oldest, False)
    units = []
    for name, members in groups.items():
        known = [merits[signal] for signal in name if signal in merits]
        merit = max(known, key=lambda one: (one.corrected, one.time)) if known else replace(standing, cluster=name[0])
        units.append(_Unit(tuple(members), merit, name, not known))
    return units


def _in_order(units: list[_Unit], newest: datetime | None, half_life_days: float) -> list[_Unit]:
    """Corrections first; then domain by domain in turn, and within each the best worth first."""
    worths = {}
    in_cluster: Counter[tuple[bool, str, str]] = Counter()
    for unit in sorted(units, key=lambda one: (one.merit.time, one.name), reverse=True):
        merit = unit.merit
        age_days = (newest - merit.time).total_seconds() / _DAY_S if newest else 0.0
        place = merit.corrected, merit.domain, merit.cluster
        in_cluster[place] += 1
        worths[unit.name] = 0.5 ** (age_days / half_life_days) / in_cluster[place]
    turns: dict[tuple[str, ...], int] = {}
    in_domain: Counter[tuple[bool, str]] = Counter()
    for unit in sorted(units, key=lambda one: (-worths[one.name], one.standing, one.name)):
        turns[unit.name] = in_domain[unit.merit.corrected, unit.merit.domain]
        in_domain[unit.merit.corrected, unit.merit.domain] += 1
    return sorted(
        units, key=lambda one: (not one.merit.corrected, turns[one.name], -worths[one.name], one.standing, one.name)
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
