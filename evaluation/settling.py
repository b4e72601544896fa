"""What would settle an undecided night: how many more prompts held out would make the next test promote.

The next test is asked the same questions as tonight's, with what will be different then: it has less to spend,
tonight's prompts are fresh no more, those that served in their last test are gone, and the words of a judged sheet are
too. The new prompts are taken to come in tonight's share of wins, losses and ties, and in tonight's mix of sources; and
as the result must stand without what is not the owner's (`superiority`), each part that is looked at there must
promote. Where no number of them would do, because the owner's own share is too close to a draw or the others' losses
outweigh it, what is said is how many of the owner's own would, all of them won.

Shares of whole prompts are rounded against the candidate, once for each mix of sources in a cluster. So as many as are
said do settle it where they come as tonight's did (nearly always where clusters have several items each, of which some
are won and some lost); a few less may.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from operator import add
from typing import NamedTuple

from strop.evaluation import compare
from strop.evaluation.error import TESTS_AN_ITEM, Test, alpha_for
from strop.evaluation.finding import Tally, sign, tally
from strop.evaluation.results import JUDGED, ItemResult, Policy

MOST = 5_000  # more than so many settle nothing that anybody would wait for


class Settling(NamedTuple):
    """`items` more would settle it, `own` of them the owner's: at tonight's share, or else all won and the owner's."""

    items: int
    own: int
    at_this_share: bool


class _Items(NamedTuple):
    """Sums over clusters, of which each has so many items (`size`) and so many more won than lost (`gain`)."""

    clusters: float
    size: float
    gain: float
    size_squared: float
    gain_squared: float
    product: float


class _Part(NamedTuple):
    """What one look at the results sees: tonight's clusters, those that stay, and how many mixes of sources."""

    now: Tally
    stays: Tally
    now_items: _Items
    stay_items: _Items
    mixes: int


def settling(parts: Sequence[Sequence[ItemResult]], policy: Policy, history: Sequence[Test]) -> Settling | None:
    """The fewest more that make every one of `parts` promote next time; None where no number of them would.

    `parts` are tonight's results as they are looked at: all of them, then what is left without those who may not
    decide, the owner's own at last. `history` ends with tonight's test.
    """
    alpha, gone = alpha_for(history, policy.level), _gone(parts[0], history)
    looks = [_part(part, gone) for part in parts]
    of = sum(looks[0].now)

    def at_this_share(more: int) -> bool:
        return all(
            _promotes(look, _grown(look, more, of), [more / of * each for each in look.now_items], policy, alpha)
            for look in looks
        )

    if (items := _fewest(at_this_share)) is not None:
        return Settling(items, -(-items * sum(looks[-1].now) // of), True)
    if len(looks) == 1:
        return None

    def all_won(more: int) -> bool:
        return all(_promotes(look, Tally(more, 0, 0), [more] * len(look.now_items), policy, alpha) for look in looks)

    won = _fewest(all_won)
    return None if won is None else Settling(won, won, False)


def step_reached(net: compare.Paired, step: float) -> bool:
    """Whether a gain is so many standard errors above nothing; a NaN is none."""
    return net.mean > step * net.error


def won_of(results: Iterable[ItemResult]) -> Tally:
    """Clusters won, lost and tied."""
    return tally((r.cluster, r.candidate - r.incumbent) for r in results)


def _gone(results: Sequence[ItemResult], history: Sequence[Test]) -> set[str]:
    """The clusters that will not be held out any more: one of their prompts served in its last test.

    A prompt that served in tests which the history does not know may have served in all but one before.
    """
    items = {r.item for r in results}
    uses = Counter(item for test in history for item in set(test.items) if item in items)
    served = {item for item, times in uses.items() if times >= TESTS_AN_ITEM}
    # Tonight's use is known in any case.
    unknown = {r.item for r in results if r.first_used_night is not None and uses[r.item] < 2}
    return {r.cluster for r in results if r.suite == JUDGED or r.item in served or r.item in unknown}


def _part(results: Sequence[ItemResult], gone: set[str]) -> _Part:
    stay = [r for r in results if r.cluster not in gone]
    sources: dict[str, set[str]] = defaultdict(set)
    for r in results:
        sources[r.cluster].add(r.source)
    mixes = len(set(map(frozenset, sources.values())))
    return _Part(won_of(results), won_of(stay), _items(results), _items(stay), mixes)


def _items(results: Sequence[ItemResult]) -> _Items:
    sizes, gains = Counter(r.cluster for r in results), Counter[str]()
    for r in results:
        gains[r.cluster] += sign(r.candidate - r.incumbent)
    return _Items(
        len(sizes),
        sum(sizes.values()),
        sum(gains.values()),
        sum(size * size for size in sizes.values()),
        sum(gain * gain for gain in gains.values()),
        sum(size * gains[cluster] for cluster, size in sizes.items()),
    )


def _grown(part: _Part, more: int, of: int) -> Tally:
    """What the part would get of `more` new clusters, where tonight's are `of`: few wins, and many losses."""
    rounded = part.mixes - 1
    wins = max(more * part.now.wins // of - rounded, 0)
    losses = -(-more * part.now.losses // of) + (rounded if part.now.losses else 0)
    come = more if sum(part.now) == of else sum(more * each // of for each in part.now)
    return Tally(wins, losses, come - wins - losses)  # what rounding added to the losses is missing from the ties


def _promotes(part: _Part, new: Tally, new_items: Sequence[float], policy: Policy, alpha: float) -> bool:
    """Whether the next test would: the questions of `superiority`, of the clusters that stay and new ones."""
    wins, losses, ties = map(add, part.stays, new)
    every = wins + losses + ties
    if sum(new) < policy.min_fresh_clusters or every < policy.min_wanted_clusters:
        return False
    if new.wins < new.losses and any(part.stays):
        return False
    by_clusters = _Items(every, every, wins - losses, every, wins + losses, wins - losses)
    by_items = _Items(*map(add, part.stay_items, new_items))
    if not (_step(by_clusters, policy.ladder_step) and _step(by_items, policy.ladder_step)):
        return False
    return compare.sign_test(wins, losses) <= alpha


def _step(sums: _Items, step: float) -> bool:
    """Whether the gain would be a step above its clustered error (`compare.paired_difference`)."""
    mean = sums.gain / sums.size
    spread = sums.gain_squared - 2 * mean * sums.product + mean * mean * sums.size_squared
    # Multiplied out, so that one cluster is none; rounding may leave no spread just below nothing.
    return sums.gain * sqrt(sums.clusters - 1) > step * sqrt(abs(spread) * sums.clusters)


def _fewest(settled: Callable[[int], bool]) -> int | None:
    """The fewest that settle it, up to `MOST`. Rounding makes it a saw: a tooth that bisection finds is taken."""
    high = 1
    while not settled(high):
        if high >= MOST:
            return None
        high = min(2 * high, MOST)
    return bisect_left(range(high), True, key=settled)
