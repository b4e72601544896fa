"""The gate's part of a night: both versions as users get them, on the same prompts, then `decide`.

What was measured of a version is kept by a hash of the version's file, the prompts and the settings: the incumbent
and the base are measured once, and a night that was killed goes on where it stopped. An answer that failed is never
kept.

Candidate and incumbent are measured side by side where memory holds both, else one after the other; the base, which
is asked less and in most nights nothing, comes last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from strop.deploy.served import served_model
from strop.deploy.targets.base import Target
from strop.deploy.versions import Version
from strop.evaluation import ItemResult, Policy, probes, suites, wanted
from strop.evaluation.measure import CHOICE_TEMPERATURE, Answer, Measured, answers, skill_results, skill_scores
from strop.evaluation.probes import Probe, Replies
from strop.evaluation.results import LONGER, LONGER_THAN_BASE
from strop.evaluation.suites import SuiteItem
from strop.evaluation.wanted import Detail, Side, WantedItem
from strop.feedback.rows import HeldPrompt
from strop.kept import Kept
from strop.setup import OnProgress
from strop.sidebyside import at_once, hold_both
from strop.trainer.models import BaseModel


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how versions are measured, and by what beside the held-out corrections.

    `learned` are corrections that the incumbent was trained on, `rated` held-out prompts with a lone thumb.
    """

    target: Target
    base: BaseModel
    precision: str
    answer_tokens: int
    cache: Path
    on_progress: OnProgress
    items: Sequence[SuiteItem]
    probes: Sequence[Probe]
    learned: Sequence[WantedItem] = ()
    rated: Sequence[HeldPrompt] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """All that was measured of one version; `wanted` is None where it was not asked for.

    `learned` are the answers to the bench's `learned` prompts, `rated` says how likely the rated answers are (nats a
    token): none where that was not asked for.
    """

    skill: Mapping[str, Measured]
    replies: Replies
    wanted: Side | None = None
    learned: tuple[Answer, ...] = ()
    rated: tuple[Measured, ...] = ()


def shipped(
    policy: Policy, *, tools: bool, triggers: Sequence[tuple[str, str]]
) -> tuple[tuple[SuiteItem, ...], tuple[Probe, ...]]:
    """The skill items and the probes that the policy has room for.

    `tools`: whether users' turns call any. `triggers`: words that the rows are suspected of, with what they call.
    """
    asked = probes.within(probes.shipped(), policy.probe_budget, tools=tools)
    return suites.within(suites.load(), policy.suite_budget), (*asked, *probes.triggered(triggers))


def _demanding(policy: Policy, bench: Bench, lengths: Sequence[str]) -> Policy:
    """The policy that also demands every suite that is asked, those of length among them, and the base's skill."""
    never = [*probes.vetoing(bench.probes), *lengths]
    required = {f"never/{suite}" for suite in never} | {f"skill/{item.suite}" for item in bench.items}
    required |= {"learned/learned"} if bench.learned else set()
    return replace(policy, required=tuple(sorted(required)), base_required=True)


def measured(bench: Bench, version: Version, gate: Sequence[WantedItem], name: str, *, mine: bool = True) -> Taken:
    """What this version answers and how likely it finds what it is asked about; from the cache where it is known.

    Not `mine`: skill and probes alone. `name` is what the progress calls it. Errors of single items are in the result.
    """
    skill = _kept(bench, version, "skill", [[asdict(item) for item in bench.items], CHOICE_TEMPERATURE])
    replies = _kept(bench, version, "probes", [asdict(probe) for probe in bench.probes])
    asked = [[item.id, list(item.messages), item.chosen] for item in gate]
    wishes = _kept(bench, version, "wanted", [asked, bench.answer_tokens])
    again = _kept(bench, version, "learned", [[list(item.messages) for item in bench.learned], bench.answer_tokens])
    thumbs = _kept(bench, version, "rated", [[list(one.messages), one.answer] for one in bench.rated])
    known = Taken(
        {name: Measured(float(value)) for name, value in (skill.read() or {}).items()},
        probes.restored(replies.read() or {}),
        _wishes_from(wishes.read() if gate and mine else None),
        tuple(Answer(**answer) for answer in again.read() or ()),
        tuple(Measured(float(value)) for value in thumbs.read() or ()),
    )
    if not _missing(bench, gate, known, mine):
        bench.on_progress(f"measure {name}", 1.0, f"{version.tag}, known")
        return known
    taken = _measure(bench, version, gate, name, known, _missing(bench, gate, known, mine))
    skill.write([one.error for one in taken.skill.values()], {name: one.value for name, one in taken.skill.items()})
    replies.write([one.error for one in taken.replies.values()], probes.plain(taken.replies))
    if taken.wanted is not None:
        errors = [one.error for one in taken.wanted.answers] + [one.error for one in taken.wanted.specificity]
        specificity = [one.value for one in taken.wanted.specificity]
        wishes.write(errors, {"answers": [asdict(one) for one in taken.wanted.answers], "specificity": specificity})
    if taken.rated:
        thumbs.write([one.error for one in taken.rated], [one.value for one in taken.rated])
    if taken.learned:
        again.write([one.error for one in taken.learned], [asdict(one) for one in taken.learned])
    return taken


def _missing(bench: Bench, gate: Sequence[WantedItem], known: Taken, mine: bool) -> dict[str, int]:
    """How many items each part has that is still to be measured; the base is not asked what only the rivals are."""
    parts = {"skill": len(bench.items), "replies": len(bench.probes)}
    if mine:
        parts |= {"wanted": len(gate), "learned": len(bench.learned), "rated": len(bench.rated)}
    return {part: count for part, count in parts.items() if count and not getattr(known, part)}


def _measure(
    bench: Bench, version: Version, gate: Sequence[WantedItem], name: str, known: Taken, parts: Mapping[str, int]
) -> Taken:
    """The parts that are missing, with one server and one copy of the weights at most."""
    total, done = sum(parts.values()), 0

    def step(at: int, of: int) -> None:
        bench.on_progress(f"measure {name}", (done + at) / total, f"{version.tag}, {done + at} of {total} items")

    with served_model(bench.target, version, bench.base.folder, bench.precision) as model:
        measures: dict[str, Callable[[], Any]] = {
            "skill": lambda: skill_scores(model, bench.items, progress=step),
            "replies": lambda: probes.measure(model, bench.probes, progress=step),
            "wanted": lambda: wanted.measure_side(model, model, gate, bench.answer_tokens, progress=step),
            "learned": lambda: answers(
                model, [item.messages for item in bench.learned], bench.answer_tokens, progress=step
            ),
            "rated": lambda: wanted.likelihood_of_answers(model, [(one.messages, one.answer) for one in bench.rated]),
        }
        found = {}
        for part, count in parts.items():
            found[part] = measures[part]()
            done += count
    return replace(known, **found)


def _kept(bench: Bench, version: Version, part: str, asked: Any) -> Kept:
    return Kept(bench.cache, part, [version.sha256, bench.base.sha256, bench.target.kind, bench.precision, asked])


def _wishes_from(data: Mapping[str, Any] | None) -> Side | None:
    if data is None:
        return None
    answers = tuple(Answer(**answer) for answer in data["answers"])
    return Side(answers, tuple(Measured(float(value)) for value in data["specificity"]))


@dataclass(frozen=True, slots=True)
class Judged:
    """The gate's whole input, the details of the wanted items for the report, and what is said there beside it.

    `policy` is the night's, which now demands every suite that was asked.
    """

    results: tuple[ItemResult, ...]
    policy: Policy
    details: tuple[Detail, ...] = ()
    notes: tuple[str, ...] = ()


def judged(
    bench: Bench, candidate: Version, incumbent: Version, base: Version, gate: Sequence[WantedItem], policy: Policy
) -> Judged:
    """Measure what is not known yet, and join it."""
    ours, theirs = _rivals(bench, candidate, incumbent, gate)
    first = incumbent.sha256 == base.sha256
    untouched = theirs if first else measured(bench, base, (), "base", mine=False)
    details: tuple[Detail, ...] = ()
    if ours.wanted is not None and theirs.wanted is not None:
        details = wanted.compare_sides(gate, ours.wanted, theirs.wanted, policy)
    lengths = _lengths(gate, first=first)
    results = (
        *wanted.results(details),
        *skill_results(bench.items, ours.skill, theirs.skill, untouched.skill),
        *probes.results(bench.probes, ours.replies, theirs.replies, None if first else untouched.replies),
        *_form_of_wishes(gate, ours, theirs),
        *_grown(bench, gate, (ours, theirs, untouched), lengths),
        *wanted.learned_results(bench.learned, ours.learned, theirs.learned),
    )
    return Judged(
        results,
        _demanding(policy, bench, lengths),
        details,
        _of_thumbs(bench.rated, ours.rated, theirs.rated),
    )


def _rivals(bench: Bench, candidate: Version, incumbent: Version, gate: Sequence[WantedItem]) -> list[Taken]:
    """What was measured of both."""

    def work(version: Version, name: str) -> Callable[[OnProgress], Taken]:
        return lambda note: measured(replace(bench, on_progress=note), version, gate, name)

    works = work(candidate, "candidate"), work(incumbent, "current model")
    if hold_both(bench.target, (candidate, incumbent), bench.precision):
        return at_once(works, bench.on_progress)
    return [one(bench.on_progress) for one in works]


def _of_thumbs(rated: Sequence[HeldPrompt], ours: Sequence[Measured], theirs: Sequence[Measured]) -> tuple[str, ...]:
    """How the rated answers fare, in a sentence: shown, and counted by nothing."""
    told = []
    for liked, what in ((True, "liked"), (False, "disliked")):
        moved = [
            mine.value > other.value
            for one, mine, other in zip(rated, ours, theirs, strict=True)
            if one.liked is liked and mine.error is None and other.error is None
        ]
        if moved:
            told.append(f"{sum(moved)} of {len(moved)} {what} answers")
    return (f"Thumbs (shown, not counted): {' and '.join(told)} became likelier.",) if told else ()


def _form_of_wishes(gate: Sequence[WantedItem], ours: Taken, theirs: Taken) -> tuple[ItemResult, ...]:
    """The form of the answers to held-out prompts."""
    items = [(f"wanted-{item.id}", item.cluster) for item in gate]
    return probes.never_results(items, _wishes(ours), _wishes(theirs))


def _grown(
    bench: Bench, gate: Sequence[WantedItem], taken: tuple[Taken, Taken, Taken], lengths: Sequence[str]
) -> tuple[ItemResult, ...]:
    """How long answers became: to the held-out and the plain prompts, and since the base to the plain ones.

    `taken` are candidate, incumbent and base, `lengths` the suites that are asked for.
    """
    plain = [probe for probe in bench.probes if probe.suite == "form"]
    items = [(probe.id, probe.cluster) for probe in plain]
    ours, theirs, first = (probes.answers_to(plain, one.replies) for one in taken)
    found: tuple[ItemResult, ...] = ()
    if LONGER in lengths:
        every = [*((f"wanted-{item.id}", item.cluster) for item in gate), *items]
        mine, others = [*_wishes(taken[0]), *ours], [*_wishes(taken[1]), *theirs]
        found += probes.longer_results(every, mine, others, wanted=False)
    if LONGER_THAN_BASE in lengths:
        found += probes.crept_results(items, ours, theirs, first)
    return found


def _wishes(taken: Taken) -> tuple[Answer, ...]:
    return taken.wanted.answers if taken.wanted else ()


def _lengths(gate: Sequence[WantedItem], *, first: bool) -> tuple[str, ...]:
    """The suites of length that are asked for: none where the corrections are longer; `first`: the base serves."""
    if probes.wants_longer([item.chosen for item in gate], [item.rejected for item in gate]):
        return ()
    return (LONGER,) if first else (LONGER, LONGER_THAN_BASE)
