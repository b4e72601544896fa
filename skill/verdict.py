"""A verdict written down: the report, and beside it what `strop gate decide` makes the same verdict from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.evaluation import ItemResult, Test, Verdict
from strop.evaluation.records import as_lines, read_results
from strop.evaluation.report import markdown
from strop.evaluation.wanted import Detail
from strop.files import sha256_bytes, write_bytes
from strop.steps import Done


@dataclass(frozen=True, slots=True)
class Record:
    """What a verdict was made from and is shown with. `report` is the path of the report, `said` its own facts."""

    report: Path
    results: Sequence[ItemResult]
    earlier: Sequence[Test]
    details: Sequence[Detail]
    said: Mapping[str, object]
    next_steps: Sequence[str] | None = None

    def write(self, verdict: Verdict, facts: Mapping[str, Any]) -> Done:
        """The step that a night keeps of it, `facts` among its own."""
        text = markdown(verdict, self.details, self.said, self.next_steps).encode()
        write_bytes(self.report, text)
        write_bytes(_results_file(self.report), as_lines(self.results))
        write_bytes(self.report.with_suffix(".history.jsonl"), as_lines(self.earlier))
        kept = {
            "outcome": verdict.outcome,
            "reasons": list(verdict.reasons),
            "tested": verdict.test is not None,
            **facts,
        }
        return Done(self.report, sha256_bytes(text), kept, verdict.test)


def recorded(report: Path) -> tuple[ItemResult, ...]:
    """The results behind a report. Raises BadResults."""
    return read_results(_results_file(report))


def _results_file(report: Path) -> Path:
    return report.with_suffix(".results.jsonl")
