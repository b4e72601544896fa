"""The gate's step of a night: tonight's held-out prompts, both versions measured on them, the verdict, its report.

What is measured, and how, is `strop.judge`'s; what decides is `strop.evaluation`'s.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TypeVar

from strop import blind, judge, morning
from strop.config import Config
from strop.deploy.targets.base import Target
from strop.deploy.versions import Version
from strop.evaluation.error import alpha_for
from strop.evaluation.report import Report
from strop.evaluation.results import Verdict
from strop.evaluation.wanted import WantedItem
from strop.evidence import ADD, Evidence
from strop.feedback.dataset import Dataset
from strop.feedback.rows import HeldPrompt
from strop.home import Home
from strop.journal import Journal
from strop.learned import learned
from strop.setup import Ground, OnProgress
from strop.steps import Done
from strop.target import GATE_CONTEXT_TOKENS
from strop.trainer import plan
from strop.trainer.render import Renderer

MOST_RATED = 60

Asked = TypeVar("Asked", WantedItem, HeldPrompt)


@dataclass(frozen=True, slots=True)
class GateStep:
    """What the gate of one run goes by, whatever it judges. `measured` is the folder that keeps measurements."""

    home: Home
    config: Config
    journal: Journal
    run_id: str
    target: Target
    evidence: Evidence
    measured: Path
    on_progress: OnProgress

    def work(self, candidate: Version, incumbent: Version, rows: Dataset, ground: Ground) -> Done:
        """Judge the candidate and write the report; where the gate cannot tell, prepare what a person may settle."""
        began = monotonic()
        render = _renderer(ground)
        gate, held = self._gate_items(rows, render), self._fitting(rows.held(), render)
        bench = self._bench(incumbent, rows, ground, held, render)
        found = judge.judged(bench, candidate, incumbent, ground.version, gate, self.config.gate.policy())
        spent = self.evidence.used()
        again = {row.id for row in rows.gate() if spent.intersection(row.interactions)}
        results = tuple(replace(r, first_used_night=0) if r.item in again else r for r in found.results)
        case = morning.Case(results, found.policy, self.evidence.tests())
        verdict = case.verdict()
        asked = 0
        if verdict.outcome == "undecided" and not self.evidence.settled_by_gate(rows.gate()):
            unused = [one for one in held if not spent.intersection(one.interactions)]
            beside = [one for row in rows.gate() if row.id not in again for one in row.interactions]
            asked = self._ask_a_person(bench, (candidate, incumbent), case, unused, beside)
        said = morning.about(self.journal, self.run_id, self.config, rows, monotonic() - began)
        report = Report(verdict, found.details, candidate=candidate.tag, incumbent=incumbent.tag, **said)
        report = replace(report, notes=(*report.notes, *found.notes))
        report = replace(report, next_steps=blind.NEXT if asked else self._next(verdict))
        items = dict(Counter(detail.outcome for detail in found.details))
        facts = {"incumbent": incumbent.tag, "items": items, "to_judge": asked}
        counts = {name: dict(said[name]) for name in morning.COUNTS}
        return morning.write(self.home, report, case, {**facts, **counts})

    def _next(self, verdict: Verdict) -> list[str] | None:
        """What to do next where so many corrections would settle it, since not all of them are held out."""
        if verdict.lacks != ("corrections",) or not verdict.needed:
            return None
        asked = self.evidence.wanted(verdict.needed)
        return [f"{asked[0].upper()}{asked[1:]}: `{ADD}`", "Then run `strop night` again"]

    def _bench(
        self, incumbent: Version, rows: Dataset, ground: Ground, held: Sequence[HeldPrompt], render: Renderer
    ) -> judge.Bench:
        """Where and by what both versions are measured, beside the held-out corrections."""
        policy = self.config.gate.policy()
        items, probes = judge.shipped(policy, tools="tool_calls" in rows.excluded, triggers=rows.triggers)
        return judge.Bench(
            target=self.target,
            base=ground.base,
            precision=plan.choose_precision(self.config.trainer.precision)[0],
            answer_tokens=self.config.gate.answer_tokens,
            cache=self.measured,
            on_progress=self.on_progress,
            items=items,
            probes=probes,
            learned=self._fitting(learned(self.home, incumbent, rows), render),
            rated=held[:MOST_RATED],
        )

    def _ask_a_person(
        self,
        bench: judge.Bench,
        rivals: tuple[Version, Version],
        case: morning.Case,
        unused: Sequence[HeldPrompt],
        beside: Sequence[str],
    ) -> int:
        """Prepare pairs of answers to judge blind (`strop judge`), as many as settle it; how many there are.

        `unused` are the prompts that no test has used, `beside` the interactions that this test spends with them.
        """
        policy = self.config.gate.policy()
        many = blind.enough(alpha_for(case.earlier, policy.level), policy.min_judged_clusters)
        return blind.prepare(bench, rivals, unused, morning.path(self.home, self.run_id), many, beside)

    def _gate_items(self, rows: Dataset, render: Renderer) -> list[WantedItem]:
        """The held-out items that fit into the server's context; the others are left out and said."""
        items = [WantedItem.from_row(row.as_dict()) for row in rows.gate()]
        fitting = self._fitting(items, render)
        if len(fitting) < len(items):
            self.on_progress(
                "gate",
                None,
                f"{len(items) - len(fitting)} held-out prompts are longer than the {GATE_CONTEXT_TOKENS} "
                "tokens of the gate's context",
            )
        return fitting

    def _fitting(self, items: Sequence[Asked], render: Renderer) -> list[Asked]:
        """Those whose prompt leaves room for an answer."""
        room = GATE_CONTEXT_TOKENS - self.config.gate.answer_tokens
        return [item for item in items if len(render.prompt(item.messages)) <= room]


def _renderer(ground: Ground) -> Renderer:
    from transformers import AutoTokenizer

    return Renderer(AutoTokenizer.from_pretrained(ground.base.folder, local_files_only=True))
