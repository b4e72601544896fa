"""The morning report of a night: what goes into it, its files in `reports/`, and which one a person asks for.

A night leaves RUN.md, RUN.html (the same on one page), RUN.results.jsonl, RUN.history.jsonl and RUN.policy.json, from
which `strop gate decide` makes the same verdict. They are written when the verdict is there; a push to the Hub that
follows is added to the first two.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.errors import NothingToDo, UsageError
from strop.files import sha256_bytes, write_bytes
from strop.home import Home

if TYPE_CHECKING:
    from strop.config import Config
    from strop.evaluation import ItemResult, Policy, Test, Verdict
    from strop.evaluation.report import Report
    from strop.feedback.dataset import Dataset
    from strop.journal import Journal
    from strop.steps import Done

_BEFORE_THE_GATE = ("pairs", "train", "build", "certify")
_COVERS = "This run’s steps up to the verdict; getting the base model ready comes before them, the release after them."
_NAMED = 5
COUNTS = ("learned", "excluded")  # what the gate's step of a night keeps for the report after `strop judge`


@dataclass(frozen=True, slots=True)
class Written:
    """A report on disk. `html`, `results` and `outcome` are None where this night left none."""

    run: str
    markdown: Path
    html: Path | None
    results: Path | None
    outcome: str | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        paths = {"html": self.html, "markdown": self.markdown, "results": self.results}
        said = {name: str(path) if path else None for name, path in paths.items()}
        return {"run": self.run, "outcome": self.outcome, **said}


@dataclass(frozen=True, slots=True)
class Case:
    """All that a verdict is made of: the results, what was asked of the candidate, and the tests before."""

    results: "tuple[ItemResult, ...]"
    policy: "Policy"
    earlier: "Sequence[Test]" = ()

    def verdict(self) -> "Verdict":
        """What the gate says of it."""
        from strop.evaluation import decide

        return decide(self.results, self.policy, self.earlier)


def about(journal: "Journal", run: str, config: "Config", rows: "Dataset", judging_s: float) -> dict[str, Any]:
    """What a report says of a night beside its verdict: fields of `Report`. `judging_s` is the time of the gate."""
    from strop.trainer import plan

    methods, _ = plan.choose_methods(rows.counts, config.trainer.method)
    taken = {step.name: step.seconds for step in journal.steps(run) if step.state == "done"}
    begun = journal.run(run)
    return {
        "run": run,
        "started": begun.started if begun else None,
        "learned": {name: rows.counts.get(name, 0) for name in (*methods, "gate", "held")},
        "excluded": rows.excluded,
        "notes": rows.warnings,
        "seconds": {**{name: taken.get(name) for name in _BEFORE_THE_GATE}, "gate": judging_s},
        "covers": _COVERS,
        "cost": _cost(config),
        "margin": config.gate.skill_margin,
    }


def _cost(config: "Config") -> str:
    if config.target == "ollama" and config.ollama.allow_remote:
        return f"0: all of it ran on this machine and on the Ollama at {config.ollama.host}, electricity not counted"
    return "0: all of it ran on this machine, electricity not counted"


def path(home: Home, run: str) -> Path:
    """Where the report of a run lies, as Markdown; its other files differ in what follows the name."""
    return home.reports / f"{run}.md"


def write(home: Home, report: "Report", case: Case, facts: Mapping[str, Any]) -> "Done":
    """Write the files of one report; returns the step that a run keeps of its verdict, `facts` among its own."""
    from strop.evaluation.page import page
    from strop.evaluation.records import as_lines, as_policy
    from strop.evaluation.report import markdown
    from strop.steps import Done

    out, text, verdict = path(home, report.run), markdown(report).encode(), report.verdict
    # The Markdown first: it names the versions, by which `forget` finds all files of this report.
    write_bytes(out, text)
    write_bytes(out.with_suffix(".html"), page(report).encode())
    write_bytes(out.with_suffix(".policy.json"), as_policy(case.policy))
    write_bytes(out.with_suffix(".results.jsonl"), as_lines(case.results))
    write_bytes(out.with_suffix(".history.jsonl"), as_lines(case.earlier))
    said = {"outcome": verdict.outcome, "reasons": list(verdict.reasons), "tested": verdict.test is not None}
    return Done(out, sha256_bytes(text), {**said, **facts}, verdict.test)


def add(report: Path, title: str, sentence: str) -> None:
    """Add a section to a report that is there, on both of its pages; one with this title is replaced."""
    from strop.evaluation.report import visible

    said = " ".join(visible(sentence).split())
    before = re.sub(rf"\n## {re.escape(title)}\n\n[^\n]*\n\Z", "", report.read_text(encoding="utf-8"))
    write_bytes(report, f"{before}\n## {title}\n\n{said}\n".encode())
    page = report.with_suffix(".html")
    if page.is_file():
        whole, head = page.read_text(encoding="utf-8"), f"<section>\n<h2>{html.escape(title)}</h2>"
        above, _, below = whole.rpartition("</main>")
        above = above.split(head)[0]
        write_bytes(page, f"{above}{head}\n<p>{html.escape(said)}</p>\n</section>\n</main>{below}".encode())


def recorded(report: Path, policy: "Policy") -> Case:
    """What a report's verdict was made of, but for the tests before it.

    `policy` stands for that of a night of long ago, which wrote none down. Raises BadResults.
    """
    from strop.evaluation.records import read_policy, read_results

    asked = report.with_suffix(".policy.json")
    return Case(read_results(report.with_suffix(".results.jsonl")), read_policy(asked) if asked.is_file() else policy)


def find(home: Home, run: str | None = None) -> Written:
    """The report of this run, or the newest one.

    Raises NothingToDo where there is none yet, UsageError naming the newest ones where this run has none. A run that
    took its verdict over from one that was killed has that one's report.
    """
    known = sorted(path.stem for path in home.reports.glob("*.md") if not path.name.startswith("."))
    if not known:
        raise NothingToDo("no night has left a report in this home", hint="strop night")
    if run is None:
        return _written(home, known[-1])
    # Only a name that was listed becomes a path.
    found = next((name for name in (run, _taken_over(home, run)) if name in known), None)
    if found is None:
        named = ", ".join(reversed(known[-_NAMED:]))
        more = f" and {len(known) - _NAMED} older" if len(known) > _NAMED else ""
        raise UsageError(f"no report is called {run!r}; there are: {named}{more}", hint=f"strop report {known[-1]}")
    return _written(home, found)


def _taken_over(home: Home, run: str) -> str:
    """The name of the report that this run told, empty where it told none."""
    from strop.journal import Journal

    if not home.state_db.exists():
        return ""
    with Journal(home.state_db) as journal:
        told = [step.output for step in journal.steps(run) if step.name == "report" and step.state == "done"]
    return Path(told[-1]).stem if told else ""


def _written(home: Home, run: str) -> Written:
    markdown = home.reports / f"{run}.md"
    html, results = markdown.with_suffix(".html"), markdown.with_suffix(".results.jsonl")
    return Written(
        run,
        markdown,
        html if html.is_file() else None,
        results if results.is_file() else None,
        _outcome(home, run),
    )


def _outcome(home: Home, run: str) -> str | None:
    """What the gate of this run said, from the journal."""
    from strop.journal import Journal

    if not home.state_db.exists():
        return None
    with Journal(home.state_db) as journal:
        judged: Sequence[Any] = [step for step in journal.steps(run) if step.name == "gate" and step.state == "done"]
    return str(judged[-1].facts["outcome"]) if judged else None
