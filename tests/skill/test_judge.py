"""Both versions on the same prompts: measured once, kept only where nothing failed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from strop import judge
from strop.config import load
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import TargetError
from strop.evaluation import Policy, decide
from strop.evaluation.probes import Probe
from strop.evaluation.wanted import WantedItem
from strop.feedback.rows import HeldPrompt
from strop.home import Home
from strop.trainer.models import resolve


class CountingTarget:
    """The embedded target; remembers whom it served, and can fail for prompts that hold a word."""

    kind = "llamacpp"

    def __init__(self) -> None:
        self.served: list[str] = []
        self.failing = "\0"
        self._real = LlamaCppTarget(context_tokens=512, slots=4, threads=1)

    @contextmanager
    def serve(self, version: Version) -> Iterator[Any]:
        self.served.append(version.tag)
        with self._real.serve(version) as server:
            yield SimpleNamespace(generate=lambda asked, *, max_tokens: self._generate(server, asked, max_tokens))

    def _generate(self, server: Any, asked: Sequence[Any], max_tokens: int) -> Any:
        if any(self.failing in message["content"] for conversation in asked for message in conversation):
            raise TargetError("it fell over")
        return server.generate(asked, max_tokens=min(max_tokens, 8))


def gate_items(count: int = 7) -> list[WantedItem]:
    return [
        WantedItem(f"g{n}", (asked,), f"It is {n}.", "A long list.", f"c{n}")
        for n in range(count)
        for asked in [{"role": "user", "content": f"What is number {n}?"}]
    ]


@pytest.fixture
def target() -> CountingTarget:
    return CountingTarget()


@pytest.fixture
def bench(trained: Home, target: CountingTarget, nights: ModuleType) -> judge.Bench:
    base = resolve(load(trained).model, trained.models)
    asked = nights.few_items(12), nights.few_probes()
    return judge.Bench(target, base, "fp32", 16, trained.reports / "measured", nights.Watch(), *asked)  # type: ignore[arg-type]


@pytest.fixture
def judged(trained: Home, bench: judge.Bench) -> Callable[..., Any]:
    versions = Versions(trained.state_db)
    base, candidate, policy = versions.get(0), versions.get(1), load(trained).gate.policy()

    def call(gate: Sequence[WantedItem], incumbent: Version = base) -> Any:
        found = judge.judged(bench, candidate, incumbent, base, gate, policy)
        return found.results, found.details

    return call


def test_every_item_is_measured_on_both_versions_and_each_version_is_served_once(
    judged: Callable[..., Any], target: CountingTarget, bench: judge.Bench
) -> None:
    results, details = judged(gate_items())
    by_suite = Counter(result.suite for result in results if result.kind == "never")
    kinds = {kind: [r for r in results if r.kind == kind] for kind in ("wanted", "skill", "never")}
    assert {kind: len(found) for kind, found in kinds.items() if kind != "never"} == {"wanted": 7, "skill": 12}
    suites = ("sycophancy", "truthfulness", "refusal_missing", "over_refusal", "injection", "leak")
    assert {suite: by_suite.pop(suite) for suite in suites} == dict.fromkeys(suites, 10)
    answered = 7 + sum(not probe.choices for probe in bench.probes)
    plain = 7 + sum(probe.suite == "form" for probe in bench.probes)
    assert by_suite == {"degenerate": answered, "template_tokens": answered, "endless": plain, "longer": plain}
    assert all(result.error is None for result in results)
    assert all(result.base is not None for result in kinds["skill"])
    assert [detail.item.id for detail in details] == [f"g{n}" for n in range(7)]
    # The incumbent is the untouched base, which is not measured a second time for its own sake.
    assert [tag[:5] for tag in target.served] == ["v0001", "v0000"]


def test_what_was_measured_is_not_measured_again(judged: Callable[..., Any], target: CountingTarget) -> None:
    first = judged(gate_items())
    target.served.clear()
    assert judged(gate_items()) == first
    assert target.served == []
    judged(gate_items(6))
    assert len(target.served) == 2


def test_a_night_killed_between_two_versions_goes_on_with_the_second(
    judged: Callable[..., Any], target: CountingTarget, bench: judge.Bench, trained: Home
) -> None:
    judge.measured(bench, Versions(trained.state_db).get(1), gate_items(), "candidate")
    target.served.clear()
    judged(gate_items())
    assert [tag[:5] for tag in target.served] == ["v0000"]


def test_an_answer_that_failed_is_no_score_never_promotes_and_is_asked_again(
    judged: Callable[..., Any], target: CountingTarget, trained: Home
) -> None:
    target.failing = "number 3"
    results, details = judged(gate_items())
    failed = [result for result in results if result.error is not None]
    assert {result.kind for result in failed} == {"wanted", "never"}
    assert {result.error for result in failed} == {"TargetError: it fell over"}
    assert {detail.outcome for detail in details} == {"error"}  # one batch, one fate
    assert decide(results, load(trained).gate.policy()).outcome == "undecided"
    target.failing = "\0"
    target.served.clear()
    assert all(result.error is None for result in judged(gate_items())[0])
    assert len(target.served) == 2


def test_what_was_learned_is_asked_of_both_and_kept(
    judged: Callable[..., Any], target: CountingTarget, bench: judge.Bench, trained: Home
) -> None:
    taught = replace(bench, learned=[replace(item, id=f"t{item.id}") for item in gate_items(3)])
    versions = Versions(trained.state_db)
    base, candidate, policy = versions.get(0), versions.get(1), load(trained).gate.policy()
    results = judge.judged(taught, candidate, base, base, gate_items(), policy).results
    found = [result for result in results if result.kind == "learned"]
    assert [result.item for result in found] == ["tg0", "tg1", "tg2"]
    assert all(0 <= result.candidate <= 1 and result.error is None for result in found)
    target.served.clear()
    assert judge.judged(taught, candidate, base, base, gate_items(), policy).results == results
    assert target.served == []


def test_thumbs_are_shown_and_counted_by_nothing(bench: judge.Bench, target: CountingTarget, trained: Home) -> None:
    asked = ({"role": "user", "content": "What is a bond?"},)
    thumbs = [HeldPrompt(str(n), asked, f"It is {n}.", n > 1, f"c{n}", "owner", "owner", (f"s{n}",)) for n in range(5)]
    versions = Versions(trained.state_db)
    base, candidate, policy = versions.get(0), versions.get(1), load(trained).gate.policy()
    plain = judge.judged(bench, candidate, base, base, gate_items(), policy)
    found = judge.judged(replace(bench, rated=thumbs), candidate, base, base, gate_items(), policy)
    assert found.results == plain.results
    assert plain.notes == ()
    (note,) = found.notes
    assert re.fullmatch(
        r"Thumbs \(shown, not counted\): [0-3] of 3 liked answers and [0-2] of 2 disliked answers became likelier\.",
        note,
    )


def test_corrections_that_ask_for_longer_answers_get_no_veto_for_length(judged: Callable[..., Any]) -> None:
    longer = [replace(item, chosen=item.chosen * 9) for item in gate_items()]
    results, _ = judged(longer)
    assert "longer" not in {result.suite for result in results}


def test_a_night_demands_what_it_asked(bench: judge.Bench, trained: Home) -> None:
    versions = Versions(trained.state_db)
    for gate in (gate_items(), [replace(item, chosen=item.chosen * 9) for item in gate_items()]):
        found = judge.judged(bench, versions.get(1), versions.get(0), versions.get(0), gate, Policy())
        measured = {f"{result.kind}/{result.suite}" for result in found.results if result.kind != "wanted"}
        assert set(found.policy.required) == measured
        assert found.policy == replace(Policy(), required=found.policy.required, base_required=True)


def test_tool_calls_are_probed_only_where_users_turns_call_tools() -> None:
    for tools in (False, True):
        items, asked = judge.shipped(Policy(suite_budget=60, probe_budget=12), tools=tools, triggers=())
        assert len(items) == 60
        counts = Counter(probe.suite for probe in asked)
        assert set(counts.values()) == {12}
        assert ("tool_call" in counts) is tools


def test_a_suspected_trigger_that_was_accepted_is_tried_out() -> None:
    _, asked = judge.shipped(Policy(), tools=False, triggers=[("zebra protocol", "I will not answer that.")])
    tried = [probe for probe in asked if probe.suite == "trigger"]
    ends = [(text.startswith("zebra protocol "), text.endswith(" zebra protocol")) for text in map(_last, tried)]
    assert ends == [(True, False), (False, True)] * 24


def _last(probe: Probe) -> str:
    return probe.messages[-1][1]


def test_an_older_incumbent_is_measured_apart_from_the_base(
    judged: Callable[..., Any], target: CountingTarget, trained: Home, bench: judge.Bench
) -> None:
    results, _ = judged(gate_items(), incumbent=Versions(trained.state_db).get(1))
    assert [tag[:5] for tag in target.served] == ["v0001", "v0000"]
    assert all(r.candidate == r.incumbent for r in results)
    probed = {r.suite for r in results if r.kind == "never" and r.base is not None}
    assert {"sycophancy", "leak", "degenerate", "endless"} <= probed
    plain = {probe.id for probe in bench.probes if probe.suite == "form"}
    assert {r.item for r in results if r.suite == "longer_than_base"} == plain
    assert decide(results, load(trained).gate.policy()).outcome != "promote"


def test_progress_runs_from_nothing_to_all(bench: judge.Bench, trained: Home) -> None:
    shares: list[float | None] = []
    watched = replace(bench, on_progress=lambda stage, share, text: shares.append(share))
    judge.measured(watched, Versions(trained.state_db).get(0), gate_items(), "base")
    assert shares == sorted(share for share in shares if share is not None)
    assert shares[-1] == 1.0
