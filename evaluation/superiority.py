"""Wanted: is the candidate better at what people asked for? An exact sign test over held-out clusters of prompts.

A test is made where enough prompts are held out, and enough of them fresh (no earlier test used them). What a night may
spend follows from what earlier nights spent and won (`error`). Fresh prompts are counted first: where they speak
against the candidate, what re-used ones say does not promote. Then the gain must be a standard error above nothing
(the step of Blum and Hardt's Ladder, 2015, arXiv:1502.04585; at the shipped level the sign test asks for more).

The owner's own wishes must say so alone. Wishes of others train, once the owner accepted them, and stand in the
figures; but the result must be the same without each of their sources, and without all of them together. To leave out
one at a time is not enough: two accounts of one stranger would carry each other. Nor is a name that is known
(trust "known") a reason to count more: anybody can have one. Where many people are to decide alike (a school, an
office), they are all named as owners (`feedback.owners`), and nothing of theirs is left out. Where the owner's own are
too few for a test none is made, so that nothing is spent on one that could not promote.

Prompts that a person settled blind (the suite "judged") are held-out prompts like others; ten of them are enough.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from strop.evaluation import compare
from strop.evaluation.error import Test, alpha_for, fresh_clusters, next_night
from strop.evaluation.finding import Finding, Tally, count, p_text, sign
from strop.evaluation.results import JUDGED, OWNER, ItemResult, Outcome, Policy
from strop.evaluation.settling import MOST, Settling, settling, step_reached, won_of

_NO_STEP = "the gain is no step above its noise"
_NONE = f"no number up to {MOST:,} would settle it at this share"


def wanted(results: Sequence[ItemResult], policy: Policy, history: Sequence[Test]) -> tuple[Finding, Test | None]:
    """The finding, and what was spent where a test was made."""
    counted, short = _counted(results, policy, history)
    sums = _summed(counted, history)
    estimates = {
        "wanted": compare.share(sums.won.wins, sums.won.wins + sums.won.losses),
        "wanted_net": compare.interval(sums.net),
    }
    short = short or _own_too_few(results, policy, history)
    if short is not None:
        return short._replace(estimates=estimates), None
    alpha = alpha_for(history, policy.level)
    p_value = compare.sign_test(sums.won.wins, sums.won.losses)
    test = Test(next_night(history), alpha, tuple(sorted(r.item for r in counted)), False, p_value)
    found = _tested(sums, policy, alpha)
    found = _held(counted, policy, history, alpha, found) or found
    if found.outcome == "undecided":
        # Words on a sheet are counted once, with that sheet.
        again = counted is results
        found = _to_settle(found, counted, policy, (*history, test)) if again else _asked_anew(found)
    return found._replace(estimates=estimates), test


class _Sums(NamedTuple):
    """What is counted of some results: all clusters, the fresh ones, the net gain, and the fresh ones judged blind."""

    won: Tally
    fresh: Tally
    net: compare.Paired
    judged: int


def _summed(results: Sequence[ItemResult], history: Sequence[Test]) -> _Sums:
    net = compare.paired_difference((r.cluster, sign(r.candidate - r.incumbent)) for r in results)
    fresh = _fresh(results, history)
    judged = len({r.cluster for r in fresh if r.suite == JUDGED})
    return _Sums(won_of(results), won_of(fresh), net, judged)


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


def _own_too_few(results: Sequence[ItemResult], policy: Policy, history: Sequence[Test]) -> Finding | None:
    """Why the owner's own wishes make no test; None where they do."""
    own = [r for r in results if _own(r)]
    if all(map(_own, results)) or _counted(own, policy, history)[1] is None:
        return None
    sums = _summed(own, history)
    return _too_few(sum(sums.won), sum(sums.fresh), policy, bool(history), " of your own")


def _too_few(clusters: int, fresh: int, policy: Policy, tested: bool, whose: str = "") -> Finding | None:
    """Why no test is made; None where one is. `whose`: " of your own" where others' are there and do not count."""
    few, stale = policy.min_wanted_clusters - clusters, policy.min_fresh_clusters - fresh
    if max(few, stale) <= 0:
        return None
    more = f"{max(few, stale)} more{whose} held out would do."
    if whose:
        more += " What others wished cannot decide alone; people who may are named in feedback.owners."
    if few > 0:
        said = f"Only {count(clusters, 'held-out correction')}{whose} (near-duplicates count once) and the test needs"
        return Finding("undecided", f"{said} {policy.min_wanted_clusters}: {more}", needed=max(few, stale))
    came = "came since the last test" if tested else "are new"
    said = (
        f"Only {count(fresh, 'held-out correction')}{whose} {came}, and the next test needs {policy.min_fresh_clusters}"
    )
    return Finding("undecided", f"{said}: {more}", needed=stale)


def _tested(sums: _Sums, policy: Policy, alpha: float) -> Finding:
    """What the sign test says, whoever's wishes they are."""
    won, fresh = sums.won, sums.fresh
    decided, p_value = won.wins + won.losses, compare.sign_test(won.wins, won.losses)
    what = "held-out prompts" if sums.judged else "held-out corrections"
    moved = "were judged better or moved closer to what was asked" if sums.judged else "moved closer to what was asked"
    figures = (
        f"{won.wins} of {decided} {what} on which the two models differ {moved} "
        f"({count(won.ties, 'tie')}), p = {p_text(p_value)} against the {p_text(alpha)} this night may spend"
    )
    if not decided:
        return Finding("keep", f"The two models differ on none of {count(sum(won), what[:-1])}: no sign of a gain.")
    if fresh.wins < fresh.losses and sum(fresh) < sum(won):
        against = f"of those that no earlier test used {fresh.wins} were won and {fresh.losses} lost"
        outcome: Outcome = "keep" if won.wins <= won.losses else "undecided"
        return Finding(outcome, f"{figures}; but {against}: fresh ones come first.")
    if p_value <= alpha:
        if step_reached(sums.net, policy.ladder_step):
            return Finding("promote", f"{figures}.")
        return Finding("undecided", f"{figures}; but {_NO_STEP}.")
    if won.wins <= won.losses:
        return Finding("keep", f"{figures}: no sign that it is better.")
    return Finding("undecided", f"{figures}: more wins than losses, not enough to be sure.")


def _own(result: ItemResult) -> bool:
    return result.source == OWNER and result.trust == OWNER


def _without(results: Sequence[ItemResult]) -> Iterator[tuple[str, list[ItemResult]]]:
    """What must not decide, in words, with the results without it: each foreign source, and all of them together."""
    sources = sorted({r.source for r in results if not _own(r)})
    for source in sources:
        whose = f"{source!r}, which are not the owner's," if source != OWNER else "others by the name of 'owner'"
        yield f"the wishes of {whose}", [r for r in results if r.source != source or _own(r)]
    if len(sources) > 1:
        yield f"the wishes of all {len(sources)} sources that are not the owner's", [r for r in results if _own(r)]


def _fresh(results: Sequence[ItemResult], history: Sequence[Test]) -> list[ItemResult]:
    """The results of the clusters of which no item was used in a test before."""
    fresh = fresh_clusters(((r.item, r.cluster) for r in results), history)
    fresh -= {r.cluster for r in results if r.first_used_night is not None}
    return [r for r in results if r.cluster in fresh]


def _held(
    results: Sequence[ItemResult], policy: Policy, history: Sequence[Test], alpha: float, found: Finding
) -> Finding | None:
    """Holds a result that those who are not the owner decide, to either side; None where they do not.

    The owner's own alone are looked at first: they are what has to say so in the end.
    """
    for what, kept in reversed(list(_without(results))):
        counted, short = _counted(kept, policy, history)
        sums = _summed(counted, history)
        other = short or _tested(sums, policy, alpha)
        if other.outcome not in (found.outcome, "keep" if found.outcome == "undecided" else ""):
            wins, decided = sums.won.wins, sums.won.wins + sums.won.losses
            p_value = p_text(compare.sign_test(wins, sums.won.losses))
            return Finding(
                "undecided",
                f"{found.reason.rstrip('.')}; but without {what} it would be {wins} of {decided} (p = {p_value}): one "
                "foreign source may not decide, nor several together: held until it comes out the same without them.",
            )
    return None


def _to_settle(found: Finding, results: Sequence[ItemResult], policy: Policy, history: Sequence[Test]) -> Finding:
    """The finding with what would settle it; `history` ends with tonight's test."""
    parts = [results, *(kept for _, kept in _without(results))]
    more = settling(parts, policy, history)
    if more is None:
        return found._replace(reason=f"{found.reason.rstrip('.')}; {_NONE}.")
    return found._replace(reason=f"{found.reason.rstrip('.')}; {_said(more, len(parts) > 1)}.", needed=more.items)


def _said(more: Settling, others: bool) -> str:
    if not more.at_this_share:
        return f"{_NONE}, but about {more.items} more of your own would if all of them moved closer"
    own = f", {more.own} of them your own," if others else ""
    return f"about {more.items} more held out{own} would settle it at this share"


def _asked_anew(found: Finding) -> Finding:
    return found._replace(reason=f"{found.reason.rstrip('.')}; another night asks anew.")
