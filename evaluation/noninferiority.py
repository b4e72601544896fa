"""Skill: what the models could do, the candidate must still do, against the incumbent and against the untouched base.

A score is between 0 and 1 (a choice's is soft, `measure`), a difference is in points. The pooled mean of the paired
differences, clustered by template, must lie above -margin with 95 % confidence (one-sided, Student's t). No single
suite may fall significantly by more than `suite_fall`: Holm over all suites and both references, so that a loss in one
place is not hidden by a gain in another, nor by being taken in small steps.

Small losses add up in another way too. Where the incumbent has lost some skill already, a candidate that loses more is
asked about night after night, and at 95 % confidence one in twenty of such nights would pass. So the bound against the
base is asked for with more confidence the more often it was asked for in vain: after k tests since the last promotion
whose candidates had lost half the margin or more, it must hold at 1 - 0.05 / (1 + k)^2. All the looks at one incumbent
together then pass a loss of the whole margin with a chance of 0.05 (1 + 1/4 + 1/9 + ..), about 8 %, where one look's
error is below a point; the idea is that of an alpha spending function (Lan and DeMets, Biometrika 70, 1983). The first
look is what it was, and so is one after candidates that lost nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from strop.evaluation import compare
from strop.evaluation.compare import Paired
from strop.evaluation.error import Test, since_promotion
from strop.evaluation.finding import Finding, by_suite, count, p_text, percent, points
from strop.evaluation.results import ItemResult, Policy

VS_BASE = "skill_vs_base"  # the name of the estimate
_CURRENT, _BASE = "the current model", "the untouched base"
_LOST, _KEPT = "The candidate lost", "The candidate kept"
_SETTLING_ITEMS = 2000  # "about 49,162 more items would settle it" helps nobody
_LEVEL = 0.05
_FEW = 10  # templates; fewer cannot be significant when each of them fell
_PASSED = 0.5  # a choice above it is likelier than all others together

# (cluster, the candidate's score, the reference's score)
Pairs = Sequence[tuple[str, float, float]]


def skill(results: Sequence[ItemResult], policy: Policy, history: Sequence[Test] = ()) -> list[Finding]:
    """Pooled against the incumbent, pooled against the base where it was measured, and the suites that fell."""
    clusters = len({result.cluster for result in results})
    if len(results) < policy.min_skill_items or clusters < policy.min_skill_clusters:
        # A template that is missing is an item at least.
        short = max(policy.min_skill_items - len(results), policy.min_skill_clusters - clusters)
        reason = (
            f"Only {count(len(results), 'skill item')} from {count(clusters, 'template')}; the test needs "
            f"{policy.min_skill_items} from {policy.min_skill_clusters}."
        )
        return [Finding("undecided", reason, {}, short)]
    findings = [_non_inferior("skill", _CURRENT, _against_incumbent(results), policy, _LEVEL)]
    if based := _against_base(results):
        findings.append(_non_inferior(VS_BASE, _BASE, based, policy, _base_level(history, policy)))
    found = {
        (suite, reference): _differences(_apart(pairs(part)))
        for suite, part in by_suite(results).items()
        for reference, pairs in _REFERENCES.items()
    }
    suites = {
        f"skill/{suite}": compare.interval(one) for (suite, reference), one in found.items() if reference == _CURRENT
    }
    findings[0] = findings[0]._replace(estimates={**findings[0].estimates, **suites})
    return findings + _fallen(found, policy)


def learned(results: Sequence[ItemResult], policy: Policy) -> list[Finding]:
    """What earlier nights learned, tested apart so that its ties do not hide a loss of skill.

    A handful of items cannot reach a bound: what counts against the candidate is a fall that is significant.
    """
    if not results:
        return []
    found = _differences(_apart(_against_incumbent(results)))
    p_value = compare.fall(found, policy.suite_fall)
    figures = (
        f"what earlier nights learned: {points(found.mean)} points on {count(found.items, 'item')} (p = "
        f"{p_text(p_value)})"
    )
    estimates = {"learned": compare.interval(found)}
    if not p_value > policy.suite_alpha:  # so that a NaN fails
        return [Finding("keep", f"{_LOST} {figures}.", estimates)]
    return [Finding("promote", f"{_KEPT} {figures}.", estimates)]


def _against_incumbent(results: Sequence[ItemResult]) -> Pairs:
    return [(r.cluster, r.candidate, r.incumbent) for r in results]


def _against_base(results: Sequence[ItemResult]) -> Pairs:
    return [(r.cluster, r.candidate, r.base) for r in results if r.base is not None]


def _differences(pairs: Pairs, level: float = _LEVEL) -> Paired:
    return compare.paired_difference(((cluster, ours - theirs) for cluster, ours, theirs in pairs), 1 - level)


def _base_level(history: Sequence[Test], policy: Policy) -> float:
    """The chance with which tonight's bound against the base may err: less after every look that found a loss."""
    found = [test.skill_vs_base for test in since_promotion(history)]
    looks = sum(one is not None and not one > -policy.skill_margin / 2 for one in found)
    return float(_LEVEL / (1 + looks) ** 2)


_REFERENCES: dict[str, Callable[[Sequence[ItemResult]], Pairs]] = {
    _CURRENT: _against_incumbent,
    _BASE: _against_base,
}


def _fallen(found: Mapping[tuple[str, str], Paired], policy: Policy) -> list[Finding]:
    """The suites that fell, of the differences by (suite, reference)."""
    p_values = {name: compare.fall(difference, policy.suite_fall) for name, difference in found.items()}
    findings = []
    for suite, reference in compare.holm(p_values, policy.suite_alpha):
        difference = found[suite, reference]
        reason = (
            f"The suite {suite!r} fell against {reference}: {points(difference.mean)} points on "
            f"{count(difference.items, 'item')} (p = {p_text(p_values[suite, reference])})."
        )
        findings.append(Finding("keep", reason))
    return findings


def _non_inferior(name: str, against: str, pairs: Pairs, policy: Policy, level: float) -> Finding:
    """One-sided lower bound of the mean difference, which errs with a chance of `level`, against -margin."""
    found = _differences(pairs, level)
    won = sum(theirs <= _PASSED < ours for _, ours, theirs in pairs)
    lost = sum(ours <= _PASSED < theirs for _, ours, theirs in pairs)
    ours, theirs = sum(a for _, a, _ in pairs) / len(pairs), sum(b for _, _, b in pairs) / len(pairs)
    figures = (
        f"Skill against {against}: {percent(ours)} against {percent(theirs)} on {len(pairs)} items ({won} won, "
        f"{lost} lost), {points(found.mean)} points, at worst {points(found.low)} with "
        f"{(1 - level) * 100:.4g} % confidence"
    )
    margin = f"{policy.skill_margin * 100:g} points may be lost"
    estimates = {name: compare.interval(found)}
    # Compared so that a NaN fails.
    if found.low > -policy.skill_margin:
        return Finding("promote", f"{figures}; {margin}.", estimates)
    if not found.mean > -policy.skill_margin:
        return Finding("keep", f"{figures}: skill was lost, and at most {margin}.", estimates)
    more = compare.items_needed(found, policy.skill_margin, 1 - level)
    if more is not None and more > _SETTLING_ITEMS:
        more = None
    settle = f"about {more} more items would settle it" if more else "no number of items that there are would settle it"
    return Finding("undecided", f"{figures}: a loss is not ruled out, and at most {margin}; {settle}.", estimates, more)


def _apart(pairs: Pairs) -> Pairs:
    """Items of few templates stand for themselves: else a loss of all of them would never be significant."""
    if len({cluster for cluster, _, _ in pairs}) >= _FEW:
        return pairs
    return [(str(place), ours, theirs) for place, (_, ours, theirs) in enumerate(pairs)]
