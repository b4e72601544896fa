"""The decision: may the candidate replace the incumbent? A pure function of recorded results.

`decide` reads no clock, no disk and no random number. It says "promote" only where all of this holds:

    measured   no error, no NaN, nothing missing, nothing twice (`Policy.max_error_share` is 0)
    wanted     better at what people asked for, and not by chance, re-use or anybody but the owner (`superiority`)
    skill      not worse at what it could do, than the incumbent and than the base (`noninferiority`)
    never      no veto (`vetoes`)

"keep" means that the evidence is against the candidate: a veto, a loss of skill as large as the margin, or no more
wins than losses. "undecided" means that it is not against it and not enough either: something was not measured, there
are too few items, or a bound was missed that more items could still reach. Both keep the current model.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from strop.evaluation.error import Test
from strop.evaluation.noninferiority import VS_BASE, learned, skill
from strop.evaluation.results import KINDS, REQUIRED_KINDS, ItemResult, Outcome, Policy, Verdict, unusable
from strop.evaluation.superiority import wanted
from strop.evaluation.vetoes import vetoes

_MOST_SHOWN, _MOST_SAID = 20, 200  # characters of a score, and of an error
_SCORE_LIMIT = 1e6  # a wanted score beyond this is no measurement; sums of such scores could overflow


def decide(results: Iterable[ItemResult], policy: Policy, history: Sequence[Test] = ()) -> Verdict:
    """The verdict on one candidate from all its results. Anything that was not measured never promotes."""
    results = tuple(results)
    if unfit := unusable(policy):
        return Verdict("undecided", (unfit,), lacks=("settings",))
    unmeasured = _nameless(results) or _unmeasured(results, policy)
    if unmeasured:
        return Verdict("undecided", tuple(unmeasured), lacks=("measurement",))
    by_kind: dict[str, list[ItemResult]] = defaultdict(list)
    for result in results:
        by_kind[result.kind].append(_lost_where_unmeasured(result))
    better, test = wanted(by_kind["wanted"], policy, history)
    parts = {
        "corrections": [better],
        "skill": [*skill(by_kind["skill"], policy, history), *learned(by_kind["learned"], policy)],
        "probes": vetoes(by_kind["never"], policy),
    }
    findings = [finding for part in parts.values() for finding in part]
    outcome = _worst(finding.outcome for finding in findings)
    lacking = [finding.needed for finding in findings if finding.outcome == outcome]
    estimates = {name: estimate for finding in findings for name, estimate in finding.estimates.items()}
    if test is not None:
        based = estimates.get(VS_BASE)
        test = replace(test, promoted=outcome == "promote", skill_vs_base=based.value if based else None)
    # What decided comes first; the rest follows in the order of the gate.
    reasons = sorted(findings, key=lambda finding: finding.outcome != outcome)
    lacks = [name for name, part in parts.items() if any(finding.outcome == outcome for finding in part)]
    return Verdict(
        outcome,
        tuple(finding.reason for finding in reasons if finding.reason),
        estimates,
        test,
        test.alpha if test else 0.0,
        _needed(lacking),
        tuple(lacks) if outcome == "undecided" else (),
    )


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    found = set(outcomes)
    return "keep" if "keep" in found else "undecided" if "undecided" in found else "promote"


def _needed(lacking: Sequence[int | None]) -> int | None:
    """The most of what is lacking; None where nothing is, or something that no number would make up for."""
    return max(filter(None, lacking)) if all(lacking) else None


def _nameless(results: Sequence[ItemResult]) -> list[str]:
    """Why these cannot even be told apart; empty where they can."""
    for number, result in enumerate(results, start=1):
        for name in ("suite", "item", "cluster", "kind", "source", "trust"):
            if not isinstance(getattr(result, name), str):
                return [f"Result {number} cannot be read: its {name} is {getattr(result, name)!r}, and no text."]
    return []


def _unmeasured(results: Sequence[ItemResult], policy: Policy) -> list[str]:
    """Why these results decide nothing; empty where they do."""
    if not results:
        return ["Nothing was measured: there are no results."]
    reasons = []
    faults = [(result, fault) for result in results if (fault := _fault(result))]
    if faults and not len(faults) <= policy.max_error_share * len(results):  # so that a NaN fails
        first, fault = faults[0]
        more = f"; the first is {first.suite}/{first.item}: {fault}"
        reasons.append(f"{len(faults)} of {len(results)} results could not be measured{more}.")
    unknown = sorted({str(result.kind) for result in results} - set(KINDS))
    if unknown:
        reasons.append(f"Results of unknown kind: {', '.join(unknown)}.")
    counts = Counter((result.kind, result.suite, result.item) for result in results)
    name, times = max(counts.items(), key=lambda entry: entry[1])
    if times > 1:
        reasons.append(f"{name[1]}/{name[2]} was measured {times} times: each item counts once.")
    reasons += _counted_again(results)
    found = {result.kind for result in results} | {f"{result.kind}/{result.suite}" for result in results}
    missing = [name for name in (*REQUIRED_KINDS, *policy.required) if name not in found]
    if missing:
        reasons.append(f"Not measured at all: {', '.join(missing)}.")
    based = [result.base is not None for result in results if result.kind == "skill"]
    if not all(based) and (any(based) or policy.base_required):
        reasons.append(f"The base's score is missing for {based.count(False)} of {len(based)} skill items.")
    return reasons


def _counted_again(results: Sequence[ItemResult]) -> list[str]:
    """Held-out prompts that stand in two suites, or that trained; a test knows what it used by the item alone."""
    suites = defaultdict(set)
    for result in results:
        if result.kind in ("wanted", "learned"):
            suites[result.item].add(f"{result.kind}/{result.suite}")
    twice = [(item, sorted(found)) for item, found in suites.items() if len(found) > 1]
    return [f"{item} stands in {' and in '.join(found)}: what is held out counts once." for item, found in twice[:1]]


def _fault(result: ItemResult) -> str:
    """Why a result is no measurement; empty where it is one."""
    if result.error is not None:
        said = " ".join(str(result.error).split())
        return said[:_MOST_SAID] or "an error without a message"
    scores = [result.candidate, result.incumbent, *([] if result.base is None else [result.base])]
    low, high = (-_SCORE_LIMIT, _SCORE_LIMIT) if result.kind == "wanted" else (0.0, 1.0)
    for score in scores:
        if not isinstance(score, int | float):
            return f"the score is {score!r}"
        if score != score:
            return "the score is no number (NaN)"
        # No isfinite: a whole number may be too large for a float.
        if not low <= score <= high:
            return f"the score {_shown(score)} is outside {low:g} to {high:g}"
    return ""


def _shown(score: float) -> str:
    """A score in a sentence, however long it is."""
    text = f"{score:.6g}" if isinstance(score, float) else hex(score)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}.."


def _lost_where_unmeasured(result: ItemResult) -> ItemResult:
    """Where a policy tolerates a few errors, each counts as lost: what breaks a model must not help it."""
    if not _fault(result):
        return result
    base = None if result.base is None else 1.0
    return replace(result, candidate=0.0, incumbent=1.0, base=base, error=None)
