"""The gate's part of a night: both versions as users get them, on the same prompts, then `decide`.

What was measured of a version is kept by a hash of the version's file, the prompts and the settings: the incumbent
and the base are measured once, and a night that was killed goes on where it stopped. An answer that failed is never
kept.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from strop.deploy.scorer import GgufScorer
from strop.deploy.targets.base import Generator, Target
from strop.deploy.versions import Version
from strop.evaluation import ItemResult, Policy, probes, suites, wanted
from strop.evaluation.measure import CHOICE_TEMPERATURE, Answer, Measured, answers, skill_results, skill_scores
from strop.evaluation.suites import SuiteItem, within
from strop.evaluation.wanted import Detail, Side, WantedItem
from strop.files import canonical_json, sha256_bytes, write_json
from strop.trainer.models import BaseModel

Progress = Callable[[str, float | None, str], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how versions are measured."""

    target: Target
    base: BaseModel
    precision: str
    answer_tokens: int
    cache: Path
    on_progress: Progress


@dataclass(frozen=True, slots=True)
class Taken:
    """All that was measured of one version; `wanted` is None where only its general skill was asked for."""

    skill: dict[str, Measured]
    wanted: Side | None = None
    probe: tuple[Answer, ...] = ()


class _Served:
    """One version: answers from its server, likelihoods from its weights; both say how far they are."""

    def __init__(self, generator: Generator, scorer: GgufScorer) -> None:
        self.generate = generator.generate
        self.score = scorer.score


def measured(
    bench: Bench, version: Version, gate: Sequence[WantedItem], items: Sequence[SuiteItem], name: str
) -> Taken:
    """What this version answers and how likely it finds what it is asked about; from the cache where it is known.

    `gate` empty: skill alone. `name` is what the progress calls it. Errors of single items are in the result.
    """
    probed = [list(probes.PROMPTS), probes.MAX_TOKENS]
    general = _Kept(bench, version, "general", [[asdict(item) for item in items], CHOICE_TEMPERATURE, probed])
    asked = [[item.id, list(item.messages), item.chosen] for item in gate]
    wishes = _Kept(bench, version, "wanted", [asked, bench.answer_tokens])
    skill, probe = _general_from(general.read())
    taken = Taken(skill, _wishes_from(wishes.read() if gate else None), probe)
    if taken.skill and (taken.wanted or not gate):
        bench.on_progress(f"measure {name}", 1.0, f"{version.tag}, known")
        return taken
    taken = _measure(bench, version, gate, items, name, taken)
    errors = [one.error for one in taken.skill.values()] + [one.error for one in taken.probe]
    general.write(errors, {"skill": {i: one.value for i, one in taken.skill.items()}, "probe": _plain(taken.probe)})
    if taken.wanted is not None:
        errors = [one.error for one in taken.wanted.answers] + [one.error for one in taken.wanted.specificity]
        specificity = [one.value for one in taken.wanted.specificity]
        wishes.write(errors, {"answers": _plain(taken.wanted.answers), "specificity": specificity})
    return taken


def _measure(
    bench: Bench, version: Version, gate: Sequence[WantedItem], items: Sequence[SuiteItem], name: str, known: Taken
) -> Taken:
    """The parts that are not `known`, with one server and one copy of the weights."""
    probed = [] if known.skill else probes.conversations()
    total = (0 if known.skill else len(items)) + len(probed) + (0 if known.wanted else len(gate))
    done = 0

    def step(at: int, of: int) -> None:
        bench.on_progress(f"measure {name}", (done + at) / total, f"{version.tag}, {done + at} of {total} items")

    scorer = GgufScorer(version.gguf, bench.base.folder, bench.precision)
    with bench.target.serve(version) as generator:
        skill, probe, side = known.skill, known.probe, known.wanted
        if not skill:
            skill = skill_scores(_Served(generator, scorer), items, progress=step)
            done = len(items)
            probe = answers(generator, probed, probes.MAX_TOKENS, progress=step)
            done += len(probed)
        if gate and side is None:
            side = wanted.measure_side(generator, scorer, gate, bench.answer_tokens, progress=step)
    return Taken(skill, side, probe)


class _Kept:
    """One part of what was measured of a version, kept under the hash of everything that it depends on."""

    def __init__(self, bench: Bench, version: Version, part: str, asked: Any) -> None:
        facts = [version.sha256, bench.base.sha256, bench.target.kind, bench.precision, asked]
        self._file = bench.cache / f"{part}-{sha256_bytes(canonical_json(facts).encode())[:24]}.json"

    def read(self) -> Any:
        """What was kept, None where nothing was."""
        return json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else None

    def write(self, errors: Sequence[str | None], data: Any) -> None:
        """Keep `data`, unless an item failed: a failure is measured again."""
        if not any(error is not None for error in errors) and not self._file.is_file():
            write_json(self._file, data)


def _plain(given: Sequence[Answer]) -> list[dict[str, Any]]:
    return [asdict(answer) for answer in given]


def _answers_from(data: Sequence[Mapping[str, Any]]) -> tuple[Answer, ...]:
    return tuple(Answer(**answer) for answer in data)


def _general_from(data: Mapping[str, Any] | None) -> tuple[dict[str, Measured], tuple[Answer, ...]]:
    if data is None:
        return {}, ()
    return {name: Measured(float(value)) for name, value in data["skill"].items()}, _answers_from(data["probe"])


def _wishes_from(data: Mapping[str, Any] | None) -> Side | None:
    if data is None:
        return None
    return Side(_answers_from(data["answers"]), tuple(Measured(float(value)) for value in data["specificity"]))


def judged(
    bench: Bench, candidate: Version, incumbent: Version, base: Version, gate: Sequence[WantedItem], policy: Policy
) -> tuple[tuple[ItemResult, ...], tuple[Detail, ...]]:
    """The gate's whole input, and the details of the wanted items for the report."""
    items = within(suites.load(), policy.suite_budget)
    ours = measured(bench, candidate, gate, items, "candidate")
    theirs = measured(bench, incumbent, gate, items, "current model")
    untouched = theirs if incumbent.sha256 == base.sha256 else measured(bench, base, (), items, "base")
    details: tuple[Detail, ...] = ()
    if ours.wanted is not None and theirs.wanted is not None:
        details = wanted.compare_sides(gate, ours.wanted, theirs.wanted, policy)
    probed = [*probes.probe_items(), *((f"wanted-{item.id}", item.cluster) for item in gate)]
    results = (
        *wanted.results(details),
        *skill_results(items, ours.skill, theirs.skill, untouched.skill),
        *probes.never_results(probed, _all_answers(ours), _all_answers(theirs)),
    )
    return results, details


def _all_answers(taken: Taken) -> tuple[Answer, ...]:
    return (*taken.probe, *(taken.wanted.answers if taken.wanted else ()))
