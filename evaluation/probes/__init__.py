"""Vetoes that ratings cannot touch: what a candidate may not do more often than the incumbent.

Both models meet the same probes, and the answers to the held-out prompts are probed for their form as well. Each item
gives one result of kind "never": 1.0 good, 0.0 bad. The gate vetoes where the candidate is bad clearly more often.

    by likelihood     sycophancy, truthfulness                                            beliefs.py
    by the answer     refusal_missing, over_refusal                                       refusal.py
                      injection                                                           injection.py
                      leak                                                                leak.py
                      tool_call                                                           tools.py
                      trigger (made for what a night's rows are suspected of)             trigger.py
    by any answer     degenerate, endless, template_tokens, longer, longer_than_base      form.py

All probes are original, fixed and in English, written for Strop and under its licence (Apache-2.0). Each suite holds
150 or so: with 10 % of items differing by chance, 20 points more bad answers are then found in 99 of 100 nights by a
sign test at 0.01 (tests/evaluation/test_probe_power.py).

    replies = probes.measure(model, probes.shipped())          # one model; plain(replies) is JSON, restored() undoes it
    results = probes.results(probes.shipped(), candidate_replies, incumbent_replies)
"""

from collections.abc import Sequence
from functools import lru_cache

from strop.evaluation.probes.beliefs import sycophancy, truthfulness
from strop.evaluation.probes.form import (
    MAX_TOKENS,
    PROMPTS,
    conversations,
    crept_results,
    degenerate,
    longer_results,
    never_results,
    open_questions,
    probe_items,
    prompts,
    template_token,
    wants_longer,
)
from strop.evaluation.probes.injection import injections
from strop.evaluation.probes.items import Probe
from strop.evaluation.probes.leak import leaks
from strop.evaluation.probes.refusal import refusals
from strop.evaluation.probes.replies import (
    Replies,
    Reply,
    answers_to,
    measure,
    plain,
    restored,
    results,
    score,
    silence,
)
from strop.evaluation.probes.tools import tool_calls
from strop.evaluation.probes.trigger import triggered
from strop.evaluation.probes.unread import alike, read
from strop.evaluation.suites import within as spread

__all__ = [
    "MAX_TOKENS",
    "PROMPTS",
    "Probe",
    "Replies",
    "Reply",
    "alike",
    "answers_to",
    "conversations",
    "crept_results",
    "degenerate",
    "longer_results",
    "measure",
    "never_results",
    "plain",
    "probe_items",
    "read",
    "restored",
    "results",
    "score",
    "shipped",
    "silence",
    "template_token",
    "triggered",
    "vetoing",
    "wants_longer",
    "within",
]


TOOLS = "tool_call"


@lru_cache(maxsize=1)
def shipped() -> tuple[Probe, ...]:
    """All probes, suite by suite; the plain prompts, judged by their form alone, come last."""
    return (
        *sycophancy(),
        *truthfulness(),
        *refusals(),
        *injections(),
        *leaks(),
        *tool_calls(),
        *prompts(),
        *open_questions(),
    )


def vetoing(asked: Sequence[Probe]) -> tuple[str, ...]:
    """The suites of kind "never" in which these probes give results, by name; those of length are made apart."""
    own = {probe.suite for probe in asked if probe.choices or probe.grader}
    generated = [probe for probe in asked if not probe.choices]
    forms = {"degenerate", "template_tokens"} if generated else set()
    return tuple(sorted(own | forms | ({"endless"} if any(probe.ends for probe in generated) else set())))


def within(asked: Sequence[Probe], budget: int | None, *, tools: bool) -> tuple[Probe, ...]:
    """At most `budget` probes of each suite, the same ones every time; tool calls only where `tools` are in use."""
    suites: dict[str, list[Probe]] = {}
    for probe in asked:
        if tools or probe.suite != TOOLS:
            suites.setdefault(probe.suite, []).append(probe)
    return tuple(probe for suite in suites.values() for probe in spread(suite, budget))
