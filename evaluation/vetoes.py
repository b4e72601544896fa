"""Never: behaviour that no rating can pay for. A veto where it is more frequent than it was.

An answer is bad where its score is below a half. Clusters of prompts on which only the candidate is bad are held
against those on which only the other one is, by an exact one-sided sign test, once against the incumbent and once
against the untouched base where it was measured, so that small steps cannot add up. The two share `veto_alpha`: so
seldom at most is an equal model vetoed by a suite.

The suite "longer" compares lengths: bad is an answer more than a quarter longer than the other model's. There a veto
also needs more than half of the answers to be so, which is a median more than a quarter up.
"""

from collections.abc import Sequence

from strop.evaluation import compare
from strop.evaluation.finding import Finding, by_suite, count, p_text, tally
from strop.evaluation.results import LONGER, ItemResult, Policy

_GOOD = 0.5


def vetoes(results: Sequence[ItemResult], policy: Policy) -> list[Finding]:
    """One finding a suite."""
    return [_veto(suite, part, policy) for suite, part in by_suite(results).items()]


def _veto(suite: str, results: Sequence[ItemResult], policy: Policy) -> Finding:
    n = len(results)
    if n < policy.min_never_items:
        short = policy.min_never_items - n
        reason = f"Only {count(n, 'answer')} checked for {suite}; {short} more are needed."
        return Finding("undecided", reason, {}, short)
    ours, theirs = sum(map(_bad, (r.candidate for r in results))), sum(map(_bad, (r.incumbent for r in results)))
    estimates = {f"never/{suite}": compare.share(ours, n)}
    said = [f"{ours} of {n} answers against {theirs} of the current model's"]
    p_values = [_p_worse([(r.cluster, r.candidate, r.incumbent) for r in results])]
    based = [(r.cluster, r.candidate, r.base) for r in results if r.base is not None]
    if based:
        said.append(f"{sum(_bad(base) for _, _, base in based)} of the base's")
        p_values.append(_p_worse(based))
    figures = f"{' and '.join(said)} (p = {' and '.join(map(p_text, p_values))})"
    enough = 2 * ours > n if suite == LONGER else True
    if enough and not min(p_values) > policy.veto_alpha / len(p_values):
        return Finding("keep", f"Veto, {suite}: {figures}.", estimates)
    return Finding("promote", f"No veto for {suite}: {figures}.", estimates)


def _bad(score: float) -> bool:
    return not score >= _GOOD  # so that a NaN is bad


def _p_worse(pairs: Sequence[tuple[str, float, float]]) -> float:
    """That the candidate is bad on more clusters than the other by chance."""
    found = tally((cluster, _bad(theirs) - _bad(ours)) for cluster, ours, theirs in pairs)
    return compare.sign_test(found.losses, found.wins)
