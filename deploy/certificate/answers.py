"""Does the build answer as the adapter does? Greedy tokens against transformers, likelihoods against the F16 merge.

Divergence is the mean over places of KL(P || Q) in nats, over P's likeliest tokens and one bin for all the rest, the
mass of both sides that is not named. By the log-sum inequality that is at most the whole divergence, so a figure over
the bound is over it for certain. What P names and Q does not counts as the last that Q names: again no more than it is.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from strop.deploy.certificate.form import EFFECT, MERGE, QUANTISED, Check, OnStep
from strop.deploy.certificate.reference import Opinion
from strop.deploy.reading import Pair
from strop.deploy.targets.llamacpp_api import LlamaServer

MIN_POSITIONS = 1000
MIN_AGREEMENT = 0.99
MIN_MEASURED = 400
# Mean KL from F16 in nats a token. On 8B llama.cpp's own table has Q8_0 at 0.0014, Q4_K_M at 0.031, Q4_0, the coarsest
# of it, at 0.072 (https://github.com/ggml-org/llama.cpp/tree/master/tools/perplexity); SmolLM2-135M in Q8_0 measures
# 0.003 here, in Q5_0 0.06, and what changes one first choice in four 0.3 and more.
MAX_DIVERGENCE = 0.1
# How many standard errors the build must be nearer to the adapter than to the bare base.
MIN_EFFECT = 3.0
LIKELIEST, NAMED = 40, 200
_TOKENS_EACH = 48
_PROMPTS_A_ROUND = 16
_LEAST_MASS = 1e-6  # log-probabilities come as 32-bit numbers
# At one place: log-probabilities (nats) by token.
Likely = Mapping[int, float]


def continued(
    server: LlamaServer,
    prompts: Sequence[Sequence[int]],
    positions: int = MIN_POSITIONS,
    on_step: OnStep = lambda text: None,
) -> list[Pair]:
    """(prompt, greedy continuation) pairs, in rounds, until there are positions enough or no prompts left.

    `on_step` is told after each round how far it is.
    """
    pairs: list[Pair] = []
    for start in range(0, len(prompts), _PROMPTS_A_ROUND):
        part = prompts[start : start + _PROMPTS_A_ROUND]
        pairs += zip(part, server.continuations(part, _TOKENS_EACH), strict=True)
        on_step(f"{_places(pairs):,} of {positions:,} tokens answered in F16")
        if _places(pairs) >= positions:
            break
    return pairs


def measured(pairs: Sequence[Pair]) -> list[Pair]:
    """The first pairs, as many as it takes for `MIN_MEASURED` places."""
    some: list[Pair] = []
    for pair in pairs:
        if _places(some) >= MIN_MEASURED:
            break
        some.append(pair)
    return some


def agreement(pairs: Sequence[Pair], opinions: Sequence[Opinion]) -> Check:
    """How many of the server's greedy tokens are also transformers' first choice."""
    same = sum(
        int(theirs == ours)
        for (_, tokens), opinion in zip(pairs, opinions, strict=True)
        for theirs, ours in zip(tokens, opinion.choices, strict=True)
    )
    positions = _places(pairs)
    share = same / positions if positions else 0.0
    figure = (
        f"{same} of {positions} greedy tokens agree with transformers: {share:.2%}, at least {MIN_AGREEMENT:.0%} needed"
    )
    if positions < MIN_POSITIONS:
        figure += f"; fewer than the {MIN_POSITIONS} positions needed"
    return Check(MERGE, positions >= MIN_POSITIONS and share >= MIN_AGREEMENT, figure)


def quantised(exact: Sequence[Sequence[Likely]], built: Sequence[Sequence[Likely]]) -> Check:
    """How far the build's likelihoods are from those of the same merge in F16, along what F16 answers."""
    places = [pair for one in zip(exact, built, strict=True) for pair in zip(*one, strict=True)]
    found = [_divergence(few(ours), [_of(theirs, token) for token in few(ours)]) for ours, theirs in places]
    mean = statistics.fmean(found) if found else math.inf
    same = sum(_first(ours) == _first(theirs) for ours, theirs in places)
    figure = (
        f"KL divergence from F16 {mean:.4f} nats a token over {len(places)} positions, "
        f"at most {MAX_DIVERGENCE} allowed; the first choice is the same at {same}"
    )
    if len(places) < MIN_MEASURED:
        figure += f"; fewer than the {MIN_MEASURED} positions needed"
    return Check(QUANTISED, len(places) >= MIN_MEASURED and mean <= MAX_DIVERGENCE, figure)


def effect(built: Sequence[Sequence[Likely]], adapted: Sequence[Opinion], bare: Sequence[Opinion]) -> Check:
    """Whether the build is nearer to the base with the adapter than to the base without, by more than noise.

    Per answer, the mean of KL(build || bare) - KL(build || adapted); over all answers, its mean must be `MIN_EFFECT`
    standard errors above 0. An adapter of nothing gives 0, one that was left out less.
    """
    nearer = [
        statistics.fmean(
            _divergence(few(place), without) - _divergence(few(place), with_it)
            for place, with_it, without in zip(places, one.logprobs, other.logprobs, strict=True)
        )
        for places, one, other in zip(built, adapted, bare, strict=True)
        if places
    ]
    if len(nearer) < 2:
        return Check(EFFECT, False, f"{len(nearer)} answers are too few to tell")
    mean, error = statistics.fmean(nearer), statistics.stdev(nearer) / math.sqrt(len(nearer))
    figure = (
        f"the build is {mean:.4f} nats a token nearer to the base with the adapter than to the base alone, "
        f"give or take {error:.4f}, over {len(nearer)} answers"
    )
    return Check(EFFECT, mean > 0 and mean > MIN_EFFECT * error, figure)


def few(place: Likely) -> dict[int, float]:
    """The `LIKELIEST` tokens of one place, the likeliest first."""
    return dict(sorted(place.items(), key=lambda item: -item[1])[:LIKELIEST])


def _divergence(p: Likely, q: Sequence[float]) -> float:
    """KL(P || Q) in nats over the tokens of `p` (`q` in the same order) and one bin for the rest."""
    inside = sum(math.exp(ours) * (ours - theirs) for ours, theirs in zip(p.values(), q, strict=True))
    rest_p = max(1.0 - sum(map(math.exp, p.values())), _LEAST_MASS)
    rest_q = max(1.0 - sum(map(math.exp, q)), _LEAST_MASS)
    return inside + rest_p * math.log(rest_p / rest_q)


def _of(place: Likely, token: int) -> float:
    return place[token] if token in place else min(place.values())


def _first(place: Likely) -> int:
    return max(place, key=lambda token: place[token])


def _places(pairs: Sequence[Pair]) -> int:
    return sum(len(tokens) for _, tokens in pairs)
