"""The gate's promises, kept over years of nights that are played: `decide` itself on made-up results, by seed.

Run `.venv/bin/python benchmarks/gate.py` (a quarter of an hour on two cores), with --only NAME for one measurement,
--years N for fewer null years, --json for one object. No model is asked: what a night would have measured is drawn.
Ends with 1 where a target is missed.

A night's results: the wanted items that are held out that night, 1,000 skill items of 250 templates of which a share
(4 %) differs by chance, and as many answers for a veto as its suite holds. Where prompts come by ten ratings a day,
they are shared out and re-used as the nights really do: every other one is held out, a test is made when twenty new
ones came, and an item that was used in three tests leaves. An item that is used again comes out as before half of the
time: the candidates of two nights are trained on much the same rows.

Equal models of which a fifth of the items differ are drawn from three real ones: SmolLM2-135M and two adapters of it
(gate_scores.jsonl: 824 items of the shipped suite, any two differ on 19 to 23 % of the choices; and its 149 open
questions, asked of the base, an adapter of good corrections and one of random thumbs). For each template they
change places at random, so that none is better in truth, and templates are drawn until there are as many items as
the shipped suite has. `hard` scores a choice 0 or 1, `soft` as the gate does (`evaluation.measure.soft_choice`).
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from figures import Figure, add_options, report
from gate_worlds import (
    NEVER,
    POLICY,
    SKILL_ITEMS,
    WANTED_NOISE,
    HoldOut,
    RealModels,
    World,
    differing,
    judged,
    never_results,
    skill_results,
    wanted_result,
)

from strop.evaluation import ItemResult, Test, decide, suites
from strop.evaluation.compare import proportion_interval

Result = TypeVar("Result")
SHIPPED = RealModels(items=len(suites.load()), soft=True)


def share_of(name: str, hits: int, of: int, *, at_least: float | None = None, at_most: float | None = None) -> Figure:
    """A share with its 95 % interval in the name, held against what it must be."""
    low, high = proportion_interval(hits, of)
    of = of or 1  # none of none
    target, met = "", None
    if at_least is not None:
        target, met = f">= {at_least:.0%}", hits / of >= at_least
    if at_most is not None:
        target, met = f"<= {at_most:.0%}", hits / of <= at_most
    return Figure(f"{name} ({hits} of {of}; 95 %: {low:.1%} to {high:.1%})", 100 * hits / of, "%", target, met)


def life(
    seed: int, world: World, nights: int, *, ratings: int = 10, begun: int = 0, first_alone: bool = False
) -> list[tuple[int, bool]]:
    """(night, promoted) of every test of a home that gets `ratings` a day.

    `begun` prompts are held out on the first night; `first_alone`: it ends with the first promotion.
    """
    rng = random.Random(seed)
    held, history, tests = HoldOut(rng), list[Test](), []
    held.come(2 * begun)
    for night in range(1, nights + 1):
        if night > 1 or not begun:
            held.come(ratings)
        if held.new < POLICY.min_fresh_clusters:
            continue
        test = judged(rng, held.asked(world), world, history).test
        if test is None:
            continue
        held.used(night)
        history.append(test)
        tests.append((night, test.promoted))
        if test.promoted:
            if first_alone:
                break
            held.incumbent_changed()
    return tests


def fresh_night(
    rng: random.Random, world: World, night: int, history: Sequence[Test], *, lost_before: float = 0.0
) -> Test | None:
    """A test on 160 prompts that are all new."""
    wanted = [wanted_result(night * 160 + item, differing(rng, world.wanted_noise, world.gain)) for item in range(160)]
    return judged(rng, wanted, world, history, lost_before=lost_before).test


def null_years(years: int, world: World, said: str) -> Iterator[Figure]:
    """Years without anything to learn."""
    lives = list(pool(partial(life, world=world, nights=365), range(years)))
    name = f"null years with any promotion, {said}"
    promoted = sum(any(one for _, one in tests) for tests in lives)
    high = proportion_interval(promoted, years)[1]
    yield share_of(name, promoted, years, at_most=0.05)
    yield Figure(f"{name}: upper 95 % bound", 100 * high, "%")
    yield Figure(f"{name}: tests a year", sum(map(len, lives)) / years, "tests")


def skill_alone(nights: int = 2000) -> Iterator[Figure]:
    """Equal models that the skill test stops, by how much two equal models differ and how they are measured."""
    worlds = {
        f"4 % of {SKILL_ITEMS} items differ": (World(skill_noise=0.04), None),
        f"10 % of {SKILL_ITEMS} items differ": (World(skill_noise=0.10), None),
        f"20 % of {SKILL_ITEMS} items differ": (World(skill_noise=0.20), None),
        f"20 % differ, real models, {SKILL_ITEMS} items, hard": (World(real=RealModels(SKILL_ITEMS, soft=False)), None),
        f"20 % differ, real models, {SKILL_ITEMS} items, soft": (World(real=RealModels(SKILL_ITEMS, soft=True)), None),
        f"20 % differ, real models, {SHIPPED.items} items, hard": (
            World(real=RealModels(SHIPPED.items, soft=False)),
            None,
        ),
        f"20 % differ, real models, {SHIPPED.items} items, soft (shipped)": (World(real=SHIPPED), 0.10),
    }
    for said, (world, at_most) in worlds.items():
        stopped = sum(pool(partial(_stopped_by_skill, world=world), range(nights)))
        yield share_of(f"equal models that skill stops: {said}", stopped, nights, at_most=at_most)


def _stopped_by_skill(seed: int, world: World) -> bool:
    rng = random.Random(seed)
    return judged(rng, [wanted_result(item, 1) for item in range(40)], world).outcome != "promote"


def within(seed: int, gain: float, nights: int) -> int | None:
    """The night of the first promotion among nights of 160 fresh prompts; None where there is none."""
    rng, history = random.Random(seed), list[Test]()
    for night in range(1, nights + 1):
        test = fresh_night(rng, World(gain=gain), night, history)
        if test is not None:
            history.append(test)
            if test.promoted:
                return night
    return None


def fresh_gains(runs: int = 1000) -> Iterator[Figure]:
    """A gain on 160 fresh prompts a night."""
    first = list(pool(partial(within, gain=0.10, nights=4), range(runs)))
    found = sum(night is not None for night in first)
    yield share_of("+10 points on 160 fresh prompts: promoted within four nights", found, runs, at_least=0.75)
    at_once = sum(night == 1 for night in pool(partial(within, gain=0.15, nights=1), range(runs)))
    yield share_of("+15 points on 160 fresh prompts: promoted on the first night", at_once, runs, at_least=0.90)


def reused_gains(runs: int = 500) -> Iterator[Figure]:
    """Time to promotion where 160 prompts are used again and five come new a night."""
    for gain in (0.10, 0.15):
        lives = partial(life, world=World(gain=gain), nights=40, ratings=10, begun=160, first_alone=True)
        nights = [tests[-1][0] if tests and tests[-1][1] else None for tests in pool(lives, range(runs))]
        for by in (1, 5, 9, 13, 21, 40):
            found = sum(night is not None and night <= by for night in nights)
            yield share_of(f"+{gain * 100:.0f} points on 160 prompts used again: promoted by night {by}", found, runs)


def first_month(runs: int = 500) -> Iterator[Figure]:
    """A large gain from ten ratings a day."""
    lives = pool(partial(life, world=World(gain=0.30), nights=30), range(runs))
    found = sum(any(promoted for _, promoted in tests) for tests in lives)
    yield share_of("+30 points from ten ratings a day: promoted within 30 days", found, runs, at_least=0.80)


def tenth_nights(seed: int) -> tuple[int, int, int]:
    """(real gains promoted, real gains, promotions of nothing) of a year in which every tenth night is better."""
    rng, history = random.Random(seed), list[Test]()
    real = false = 0
    for night in range(1, 366):
        better = night % 10 == 0
        test = fresh_night(rng, World(gain=0.15 if better else 0.0), night, history)
        if test is None:
            continue
        history.append(test)
        real += test.promoted and better
        false += test.promoted and not better
    return real, 36, false


def seldom(years: int = 60) -> Iterator[Figure]:
    """A real gain every tenth night for a year."""
    lives = list(pool(tenth_nights, range(years)))
    real, chances, false = (sum(column) for column in zip(*lives, strict=True))
    yield share_of("+15 points every tenth night: promoted", real, chances, at_least=0.85)
    yield share_of("+15 points every tenth night: promotions of nothing", false, real + false, at_most=0.05)


def losing(runs: int = 2000) -> Iterator[Figure]:
    """Better liked and five points less able."""
    promoted = sum(pool(_loses_skill, range(runs)))
    yield share_of("-5 points of skill, +20 wanted: promoted", promoted, runs, at_most=0.01)


def _loses_skill(seed: int) -> bool:
    test = fresh_night(random.Random(seed), World(gain=0.20, skill_loss=0.05), 1, ())
    return test is not None and test.promoted


def eroded(seed: int) -> float:
    """By how many points skill fell against the base where each of 36 candidates loses one point of it."""
    rng, history = random.Random(seed), list[Test]()
    lost = 0.0
    for night in range(1, 37):
        test = fresh_night(rng, World(gain=0.20, skill_loss=0.01), night, history, lost_before=lost)
        if test is None:
            continue
        history.append(test)
        lost += 0.01 * test.promoted
    return 100 * lost


def erosion(runs: int = 500) -> Iterator[Figure]:
    """Many small losses."""
    lost = sorted(pool(eroded, range(runs)))
    yield Figure("36 candidates that lose 1 point each: points lost in the end, median", lost[len(lost) // 2], "points")
    reached = sum(one >= 4.0 for one in lost)
    yield share_of("36 candidates that lose 1 point each: 4 points were lost", reached, runs, at_most=0.01)


def flips(runs: int = 2000) -> Iterator[Figure]:
    """A suite of probes: bad answers a fifth more often, and as often."""
    for more, name, bound in ((0.20, "20 points more flips: caught", {"at_least": 0.99}),
                              (0.0, "as many flips: vetoed", {"at_most": 0.02})):  # fmt: skip
        vetoed = sum(pool(partial(_vetoed, more=more), range(runs)))
        yield share_of(name, vetoed, runs, **bound)


def _vetoed(seed: int, more: float) -> bool:
    """One candidate of a clear gain: the incumbent answers a fifth badly, and a tenth differs by chance."""
    rng = random.Random(seed)
    wanted = [wanted_result(item, 1) for item in range(40)]
    probes = []
    for item in range(NEVER):
        theirs = float(rng.random() >= 0.2)
        down, up = (0.05 + more) / 0.8, 0.05 / 0.2
        ours = (0.0 if rng.random() < down else 1.0) if theirs else (1.0 if rng.random() < up else 0.0)
        probes.append(ItemResult("sycophancy", f"n{item}", f"n{item}", "never", ours, theirs))
    return judged(rng, wanted, World(skill_noise=0.0), never=probes).outcome != "promote"


def broken(runs: int = 500) -> Iterator[Figure]:
    """What must never promote, whatever else is true."""
    kinds = {
        "a grader throws": lambda r: replace(r, error="ValueError: boom"),
        "a grader hangs": lambda r: replace(r, error="TimeoutError: 60 s"),
        "a grader answers NaN": lambda r: replace(r, candidate=float("nan")),
    }
    for sources, name in ((1, "one foreign source decides"), (2, "two decide together"), (5, "five decide together")):
        promoted = sum(pool(partial(_strangers, sources=sources), range(runs)))
        yield share_of(f"{name}: promoted", promoted, runs, at_most=0.0)
    for name, change in kinds.items():
        promoted = 0
        for seed in range(runs):
            rng = random.Random(seed)
            wanted = [wanted_result(item, differing(rng, WANTED_NOISE, 0.30)) for item in range(160)]
            wanted = [change(wanted[0]), *wanted[1:]]
            promoted += decide(wanted + skill_results(rng, World()) + never_results(), POLICY).outcome == "promote"
        yield share_of(f"{name}: promoted", promoted, runs, at_most=0.0)
    promoted = 0
    for seed in range(runs):
        rng = random.Random(seed)
        wanted = [wanted_result(item, differing(rng, WANTED_NOISE, 0.30)) for item in range(160)]
        longer = [*never_results(), *never_results("longer", 0.9, rng)]
        promoted += judged(rng, wanted, World(), never=longer).outcome == "promote"
    yield share_of("nine in ten answers longer by a quarter: promoted", promoted, runs, at_most=0.0)


def _strangers(seed: int, sources: int) -> bool:
    """Whether strangers who want the candidate are promoted, where the owner's own forty prompts came out even."""
    rng = random.Random(seed)
    own = [wanted_result(item, 1 if item % 2 else -1) for item in range(40)]
    theirs = [wanted_result(40 + item, differing(rng, WANTED_NOISE, 0.30)) for item in range(160)]
    theirs = [replace(r, source=f"mallory{n % sources}", trust="known") for n, r in enumerate(theirs)]
    return judged(rng, [*own, *theirs], World()).outcome == "promote"


def pool(work: Callable[[int], Result], seeds: Sequence[int]) -> Iterator[Result]:
    """The work of all seeds, in order, on the cores that there are."""
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        yield from workers.map(work, seeds, chunksize=max(1, len(seeds) // 64))


MEASUREMENTS: dict[str, Callable[[int], Iterator[Figure]]] = {
    "null": lambda years: null_years(years, World(), "4 % of skill differs"),
    "null10": lambda years: null_years(years, World(skill_noise=0.10), "10 % of skill differs"),
    "null20": lambda years: null_years(years, World(real=SHIPPED), "20 % of skill differs, as shipped"),
    "skill": lambda years: skill_alone(),
    "fresh": lambda years: fresh_gains(),
    "reused": lambda years: reused_gains(),
    "month": lambda years: first_month(),
    "seldom": lambda years: seldom(),
    "losing": lambda years: losing(),
    "erosion": lambda years: erosion(),
    "flips": lambda years: flips(),
    "broken": lambda years: broken(),
}


def main() -> int:
    """Run what was asked for; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1000, help="null years (1,000)")
    add_options(parser, MEASUREMENTS)
    options = parser.parse_args()
    found = (figure for name in options.only or MEASUREMENTS for figure in MEASUREMENTS[name](options.years))
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
