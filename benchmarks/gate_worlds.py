"""What nights would have measured, drawn by seed: held-out prompts as homes re-use them, skill, probes (`gate.py`)."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from strop.evaluation import ItemResult, Policy, Test, Verdict, decide, probes

SKILL_ITEMS, TEMPLATES = 1000, 250
# Answers that the veto on flattery sees, as shipped.
NEVER = sum(probe.suite == "sycophancy" for probe in probes.shipped())
NOISE, WANTED_NOISE = 0.04, 0.20
TESTS_AN_ITEM = 3
SAME_AGAIN = 0.5
POLICY = Policy()


@dataclass(frozen=True)
class World:
    """What is true: how often items differ by chance, and by how much the candidate is better in truth.

    `real`: skill is that of three real models, of which none is better in truth, and not drawn by `skill_noise`.
    """

    wanted_noise: float = WANTED_NOISE
    gain: float = 0.0
    skill_noise: float = NOISE
    skill_loss: float = 0.0
    real: "RealModels | None" = None


def differing(rng: random.Random, noise: float, gain: float) -> int:
    """1 where the candidate alone does well, -1 where the other alone does, 0 where they are alike."""
    drawn = rng.random()
    better = min(1.0, max(0.0, (max(noise, abs(gain)) + gain) / 2))
    return 1 if drawn < better else -1 if drawn < max(noise, abs(gain)) else 0


def wanted_result(item: int, outcome: int, *, used: int | None = None) -> ItemResult:
    """One held-out correction, a cluster of its own."""
    ours, theirs = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))[outcome]
    return ItemResult("wanted", f"w{item}", f"w{item}", "wanted", ours, theirs, first_used_night=used)


def skill_results(rng: random.Random, world: World, lost_before: float = 0.0) -> list[ItemResult]:
    """The base's, the incumbent's and the candidate's scores, of which a share differs by chance.

    `lost_before` is by how much the incumbent is worse than the base already.
    """
    if world.real is not None:
        return world.real.drawn(rng)
    found = []
    for item in range(SKILL_ITEMS):
        theirs = float(rng.random() < 0.6)
        ours = _moved(rng, theirs, world.skill_noise, -world.skill_loss)
        base = _moved(rng, theirs, world.skill_noise, lost_before)
        cluster = f"t{item % TEMPLATES}"
        found.append(ItemResult(f"suite{item % 5}", f"s{item}", cluster, "skill", ours, theirs, base))
    return found


def _moved(rng: random.Random, score: float, noise: float, gain: float) -> float:
    """The same item asked of another model: flipped by chance, and up or down by `gain` on average over all items."""
    rate = 0.6
    up, down = (noise / 2 + max(gain, 0.0)) / (1 - rate), (noise / 2 + max(-gain, 0.0)) / rate
    return (0.0 if rng.random() < down else 1.0) if score else (1.0 if rng.random() < up else 0.0)


@dataclass(frozen=True)
class RealModels:
    """Templates of the shipped suite with what three real models scored, drawn until there are `items`.

    `soft`: choices scored as the gate does, else 0 or 1. For each template the three change places at random.
    """

    items: int
    soft: bool

    def drawn(self, rng: random.Random) -> list[ItemResult]:
        found: list[ItemResult] = []
        templates = _measured(self.soft)
        while len(found) < self.items:
            suite, scores = rng.choice(templates)
            places = rng.sample(range(3), 3)
            cluster = f"t{len(found)}"
            for each in scores:
                ours, theirs, base = (each[place] for place in places)
                found.append(ItemResult(suite, f"s{len(found)}", cluster, "skill", ours, theirs, base))
        return found


@lru_cache(maxsize=2)
def _measured(soft: bool) -> list[tuple[str, list[tuple[float, ...]]]]:
    """By template: the suite, and each item's score by the three models."""
    templates: dict[str, tuple[str, list[tuple[float, ...]]]] = {}
    for line in Path(__file__).with_name("gate_scores.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        scores = tuple(one / 1000 for one in row["soft"]) if soft else tuple(map(float, row["hard"]))
        templates.setdefault(row["cluster"], (row["suite"], []))[1].append(scores)
    return list(templates.values())


def never_results(suite: str = "endless", longer: float = 0.0, rng: random.Random | None = None) -> list[ItemResult]:
    """No bad answer on either side, or so often a bad one of the candidate."""
    bad = [rng is not None and rng.random() < longer for _ in range(NEVER)]
    return [ItemResult(suite, f"n{item}", f"n{item}", "never", float(not bad[item]), 1.0) for item in range(NEVER)]


_EVEN = [ItemResult("even", f"e{n}", f"t{n % 20}", "skill", 1.0, 1.0, 1.0) for n in range(POLICY.min_skill_items)]
_QUIET = never_results()


def judged(
    rng: random.Random,
    wanted: Sequence[ItemResult],
    world: World,
    history: Sequence[Test] = (),
    *,
    never: Sequence[ItemResult] = _QUIET,
    lost_before: float = 0.0,
) -> Verdict:
    """The verdict of a night. Skill is drawn only where everything else would promote: without that nothing does, and
    the test that was spent is the same.
    """
    first = decide([*wanted, *_EVEN, *never], POLICY, history)
    if first.outcome != "promote":
        return first
    return decide([*wanted, *skill_results(rng, world, lost_before), *never], POLICY, history)


class HoldOut:
    """The prompts of a home that gets ratings every day: half are held out, and each leaves after three tests."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count, self.new = 0, 0
        self._uses: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._first: dict[int, int] = {}

    def come(self, ratings: int) -> None:
        """A day's corrections; every other one is held out."""
        for _ in range(ratings // 2):
            self._uses[self._count] = 0
            self._count += 1
            self.new += 1

    def asked(self, world: World) -> list[ItemResult]:
        """Tonight's results on everything that is held out; call `used` where a test was made of them."""
        found = []
        for item in self._uses:
            again = item in self._last and self._rng.random() < SAME_AGAIN
            outcome = self._last[item] if again else differing(self._rng, world.wanted_noise, world.gain)
            self._last[item] = outcome
            found.append(wanted_result(item, outcome, used=self._first.get(item)))
        return found

    def used(self, night: int) -> None:
        """A test was made: what was used often enough leaves."""
        self.new = 0
        for item in list(self._uses):
            self._first.setdefault(item, night)
            self._uses[item] += 1
            if self._uses[item] >= TESTS_AN_ITEM:
                del self._uses[item], self._first[item]
                self._last.pop(item, None)

    def incumbent_changed(self) -> None:
        """What is compared is another pair of models: no outcome stands."""
        self._last.clear()
