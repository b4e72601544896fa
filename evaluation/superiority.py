"""Wanted: is the candidate better at what people asked for? An exact sign test over held-out clusters of prompts.

A test is made where enough prompts are held out, and enough of them fresh (no earlier test used them). What a night may
spend follows from what earlier nights spent and won (`error`). Fresh prompts are counted first: where they speak
against the candidate, what re-used ones say does not promote. Then the gain must be a standard error above nothing
(the step of Blum and Hardt's Ladder, 2015, arXiv:1502.04585; at the shipped level the sign test asks for more), and it
must stand without any single source that is not the owner.

Prompts that a person settled blind (the suite "judged") are held-out prompts like others; ten of them are enough.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from strop.evaluation import compare
from strop.evaluation.error import Test, alpha_for, fresh_clusters, next_night
from strop.evaluation.finding import Finding, Tally, count, p_text, sign, tally
from strop.evaluation.results import JUDGED, OWNER, ItemResult, Outcome, Policy

_SETTLING = 5_000  # more than so many settle nothing that anybody would wait for
_NO_STEP = "the gain is no step above its noise"


def wanted(results: Sequence[ItemResult], policy: Policy, history: Sequence[Test]) -> tuple[Finding, Test | None]:
    """The finding, and what was spent where a test was made."""
    counted, short = _counted(results, policy, history)
    sums = _summed(counted, history)
    won = sums.won
    estimates = {
        "wanted": compare.share(won.wins, won.wins + won.losses),
        "wanted_net": compare.interval(sums.net),
    }
    if short is not None:
        return short._replace(estimates=estimates), None
    alpha = alpha_for(history, policy.level)
    p_value = compare.sign_test(won.wins, won.losses)
    test = Test(next_night(history), alpha, tuple(sorted(r.item for r in counted)), False, p_value)
    # Words on a sheet are counted once, with that sheet.
    later = alpha_for((*history, test), policy.level) if counted is results else None
    spend = _Spend(alpha, later)
    found = _tested(sums, policy, spend)
    found = _held(counted, policy, history, spend, found) or found
    return found._replace(estimates=estimates), test


@dataclass(frozen=True, slots=True)
class _Spend:
    """What this test may spend, and what the next one may where this one does not promote.

    None where the next one will not count what this one counts.
    """

    now: float
    next: float | None


@dataclass(frozen=True, slots=True)
class _Sums:
    """What is counted of some results: all clusters, the fresh ones, the net gain, and the fresh ones judged blind."""

    won: Tally
    fresh: Tally
    net: compare.Paired
    judged: int


def _summed(results: Sequence[ItemResult], history: Sequence[Test]) -> _Sums:
    net = compare.paired_difference((r.cluster, sign(r.candidate - r.incumbent)) for r in results)
    fresh = _fresh(results, history)
    judged = len({r.cluster for r in fresh if r.suite == JUDGED})
    return _Sums(_won(results), _won(fresh), net, judged)


def _counted(
    results: Sequence[ItemResult], policy: Policy, history: Sequence[Test]
) -> tuple[Sequence[ItemResult], Finding | None]:
    """The results that a test is made of, or all of them and why none is made.

    Where prompts judged blind are all that makes a test possible, it is one of what is fresh.
    """
    sums = _summed(results, history)
    short = _too_few(sum(sums.won), sum(sums.fresh), policy, bool(history))
    if short is not None and sums.judged >= policy.min_judged_clusters:
        return _fresh(results, history), None
    return results, short


def _too_few(clusters: int, fresh: int, policy: Policy, tested: bool) -> Finding | None:
    """Why no test is made; None where one is."""
    few, stale = policy.min_wanted_clusters - clusters, policy.min_fresh_clusters - fresh
    if max(few, stale) <= 0:
        return None
    more = f"{max(few, stale)} more held out would do."
    if few > 0:
        said = f"Only {count(clusters, 'held-out correction')} (near-duplicates count once) and the test needs"
        return Finding("undecided", f"{said} {policy.min_wanted_clusters}: {more}", needed=max(few, stale))
    came = "came since the last test" if tested else "are new"
    said = f"Only {count(fresh, 'held-out correction')} {came}, and the next test needs {policy.min_fresh_clusters}"
    return Finding("undecided", f"{said}: {more}", needed=stale)


def _tested(sums: _Sums, policy: Policy, spend: _Spend) -> Finding:
    """What the sign test says, whoever's wishes they are.

    What would settle it is what a next test needs, which has less to spend and wants fresh prompts of its own.
    """
    won, fresh, net, alpha = sums.won, sums.fresh, sums.net, spend.now
    decided, p_value = won.wins + won.losses, compare.sign_test(won.wins, won.losses)
    what = "held-out prompts" if sums.judged else "held-out corrections"
    figures = (
        f"{won.wins} of {decided} {what} on which the two models differ moved closer to what was asked "
        f"({count(won.ties, 'tie')}), p = {p_text(p_value)} against the {p_text(alpha)} this night may spend"
    )
    if fresh.wins < fresh.losses and sum(fresh) < sum(won):
        against = f"of those that no earlier test used {fresh.wins} were won and {fresh.losses} lost"
        outcome: Outcome = "keep" if won.wins <= won.losses else "undecided"
        more = _again(_to_settle(won, spend.next), policy) if outcome == "undecided" else None
        return Finding(outcome, f"{figures}; but {against}: fresh ones come first.", needed=more)
    if p_value <= alpha:
        if net.mean > policy.ladder_step * net.error:  # so that a NaN is none
            return Finding("promote", f"{figures}.")
        more = _again(_to_step(net, policy.ladder_step), policy)
        return Finding("undecided", f"{figures}; but {_NO_STEP}.", needed=more)
    if won.wins <= won.losses:
        return Finding("keep", f"{figures}: no sign that it is better.")
    if spend.next is None:
        return Finding(
            "undecided", f"{figures}: more wins than losses, not enough to be sure; another night asks anew."
        )
    more = _again(_to_settle(won, spend.next), policy)
    if more is None:
        return Finding("undecided", f"{figures}: too close to a draw to settle.")
    reason = (
        f"{figures}: more wins than losses, not enough to be sure; about {more} more held out would settle it at this "
        "share."
    )
    return Finding("undecided", reason, needed=more)


def _again(more: int | None, policy: Policy) -> int | None:
    """`more`, and as many as a next test needs at least."""
    return None if more is None else max(more, policy.min_fresh_clusters)


def _to_settle(won: Tally, alpha: float | None) -> int | None:
    """How many more prompts would settle it at the share that these have; None where no number would."""
    if alpha is None:
        return None
    more = compare.ratings_needed(won.wins, won.losses, alpha)
    # Ties will come along in the same share.
    return None if more is None else -(-more * sum(won) // (won.wins + won.losses))


def _to_outweigh(won: Tally, alpha: float | None) -> int | None:
    """How many more prompts would settle it by themselves if all of them were won."""
    if alpha is None:
        return None
    more = range(1, _SETTLING)
    return 1 + bisect_left(more, True, key=lambda n: compare.sign_test(won.wins + n, won.losses) <= alpha)


def _to_step(net: compare.Paired, step: float) -> int | None:
    """How many more prompts would put the gain `step` standard errors above nothing, if mean and spread stayed."""
    if not net.mean > 0 or net.clusters < 2:
        return None
    items = net.items * (step * net.error / net.mean) ** 2
    return max(ceil(items) - net.items, 1) if isfinite(items) else None


def _fresh(results: Sequence[ItemResult], history: Sequence[Test]) -> list[ItemResult]:
    """The results of the clusters of which no item was used in a test before."""
    fresh = fresh_clusters(((r.item, r.cluster) for r in results), history)
    fresh -= {r.cluster for r in results if r.first_used_night is not None}
    return [r for r in results if r.cluster in fresh]


def _held(
    results: Sequence[ItemResult], policy: Policy, history: Sequence[Test], spend: _Spend, found: Finding
) -> Finding | None:
    """Holds a result that one source which is not the owner decides, to either side; None where none does."""
    for source in sorted({r.source for r in results if r.source != OWNER or r.trust != OWNER}):
        kept = [r for r in results if r.source != source or (r.source == OWNER and r.trust == OWNER)]
        counted, short = _counted(kept, policy, history)
        sums = _summed(counted, history)
        won = sums.won
        other = short or _tested(sums, policy, spend)
        if (other.outcome == "promote") != (found.outcome == "promote"):
            reason = (
                f"{found.reason.rstrip('.')}; but without the wishes of {source!r}, who is not the owner, it would be "
                f"{won.wins} of {won.wins + won.losses}: one foreign source may not decide, so this is held until more "
                "of your own corrections decide it."
            )
            against = won if found.outcome == "promote" else _won(results)
            return Finding(
                "undecided", reason, needed=_again(other.needed or _to_outweigh(against, spend.next), policy)
            )
    return None


def _won(results: Iterable[ItemResult]) -> Tally:
    return tally((r.cluster, r.candidate - r.incumbent) for r in results)
