"""A person settles what thumbs cannot: prompts on which two models differ, blind, in the same test as everything else.

    a night without enough corrections ──▶ RUN.blind.json: ten prompts or more, both answers, who comes first
    the person ──▶ RUN.blind.answers.jsonl: one word a prompt
    all of them ──▶ the night's own results and these, decided again; then released or refused as by a night

Which prompts are asked, and whose answer stands first, follows from hashes and is on disk before anyone sees it, and
there is one test, when all are answered: nobody can stop while it looks well. What was answered stays answered.
"""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from strop import morning
from strop.config import Config
from strop.deploy.targets.base import Generation
from strop.deploy.versions import Version, Versions
from strop.errors import NothingToDo, UsageError
from strop.evaluation import ItemResult, Verdict
from strop.evaluation.compare import wins_needed
from strop.evaluation.judged import Chosen, Compared, JudgedReport
from strop.evaluation.results import JUDGED
from strop.feedback.rows import HeldPrompt
from strop.files import sha256_bytes, write_json
from strop.home import Home
from strop.journal import Journal, StepRow
from strop.judge import Bench
from strop.setup import OnProgress

if TYPE_CHECKING:
    from strop.pushed import Told

PROMPTS = 10
# So many held-out prompts are answered by both models to find one on which they differ.
TRIED = 4
NEXT = ("Say which answers are better, blind, in two minutes: `strop judge`",)
AGAIN = (
    "Rate or correct more answers: `strop feedback add`",
    "Then run `strop night` again: where the gate cannot tell, `strop judge` may come again with it",
)

Word = Literal["first", "second", "same"]
_SCORES: dict[Word, tuple[float, float]] = {"first": (1.0, 0.0), "second": (0.0, 1.0), "same": (0.5, 0.5)}


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with both answers; `candidate_first` says whose the first one is, and is shown to nobody."""

    id: str
    cluster: str
    messages: tuple[dict[str, str], ...]
    first: str
    second: str
    candidate_first: bool
    interactions: tuple[str, ...]


def sheet_file(report: Path) -> Path:
    """Where the questions of the night with this report lie."""
    return report.with_suffix(".blind.json")


def enough(alpha: float, least: int = PROMPTS) -> int:
    """How many prompts a person is asked: ten, or more where `alpha` is so small that ten could not settle it.

    One of them may be lost. `least` is what the gate's settings ask for.
    """
    return next(n for n in itertools.count(max(PROMPTS, least)) if (wins_needed(n, alpha) or n) < n)


def prepare(
    bench: Bench,
    rivals: tuple[Version, Version],
    held: Sequence[HeldPrompt],
    report: Path,
    wanted: int,
    beside: Sequence[str],
) -> int:
    """Ask both models, and write down `wanted` questions. Returns how many there are, or 0 where too few differ.

    `rivals` are candidate and incumbent; `held` is tried in its order, that of hashes; `report` is the night's;
    `beside` are the interactions of the fresh corrections that the same test will count. Raises what the target raises.
    """
    candidate, incumbent = rivals
    tried = held[: TRIED * wanted]
    if len(tried) < wanted:
        return 0
    ours, theirs = (_answers(bench, version, tried) for version in (candidate, incumbent))
    differing = [
        _question(prompt, one.text.strip(), other.text.strip(), candidate.sha256)
        for prompt, one, other in zip(tried, ours, theirs, strict=True)
        if one.text.strip() != other.text.strip()
    ]
    if len(differing) < wanted:
        return 0
    questions = [asdict(question) for question in differing[:wanted]]
    sheet = {"candidate": candidate.tag, "incumbent": incumbent.tag, "questions": questions, "beside": list(beside)}
    write_json(sheet_file(report), sheet)
    return wanted


def _answers(bench: Bench, version: Version, tried: Sequence[HeldPrompt]) -> Sequence[Generation]:
    bench.on_progress("gate", None, f"{version.tag} answers {len(tried)} prompts for you to compare")
    with bench.target.serve(version) as generator:
        return generator.generate([prompt.messages for prompt in tried], max_tokens=bench.answer_tokens)


def _question(prompt: HeldPrompt, ours: str, theirs: str, candidate_sha256: str) -> Question:
    candidate_first = int(sha256_bytes(f"{prompt.id} {candidate_sha256}".encode())[:2], 16) % 2 == 0
    first, second = (ours, theirs) if candidate_first else (theirs, ours)
    return Question(prompt.id, prompt.cluster, prompt.messages, first, second, candidate_first, prompt.interactions)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The questions of one night and what was answered so far: a word for each of the first questions."""

    report: Path
    candidate: str
    incumbent: str
    questions: tuple[Question, ...]
    words: tuple[Word, ...]
    beside: tuple[str, ...] = ()

    @classmethod
    def read(cls, report: Path) -> Self:
        """From the disk. The file of words may end in a line that a kill cut short; that word is asked again."""
        data = json.loads(sheet_file(report).read_text(encoding="utf-8"))
        questions = tuple(_as_question(row) for row in data["questions"])
        words, beside = _words(report, questions), tuple(data.get("beside", ()))
        return cls(report, data["candidate"], data["incumbent"], questions, words, beside)

    def answered(self, words: Sequence[str]) -> "Sheet":
        """With the words for the next questions, on disk when this returns. Raises UsageError for what is no word."""
        left = len(self.questions) - len(self.words)
        if len(words) > left or any(word not in get_args(Word) for word in words):
            raise UsageError(
                f"expected at most {left} of {', '.join(get_args(Word))}, not {list(words)}", hint="strop judge"
            )
        asked = self.questions[len(self.words) :]
        lines = [json.dumps({"id": question.id, "word": word}) for question, word in zip(asked, words, strict=False)]
        _append(_words_file(self.report), "".join(f"{line}\n" for line in lines))
        return replace(self, words=_words(self.report, self.questions))

    @property
    def whole(self) -> bool:
        """Whether every question was answered."""
        return len(self.words) == len(self.questions)

    def results(self) -> list[ItemResult]:
        """The words as the gate takes them: wanted items of the suite "judged"."""
        found = []
        for question, word in zip(self.questions, self.words, strict=True):
            first, second = _SCORES[word]
            ours, theirs = (first, second) if question.candidate_first else (second, first)
            found.append(ItemResult(JUDGED, f"judged-{question.id}", question.cluster, "wanted", ours, theirs))
        return found

    def pairs(self) -> list[Compared]:
        """The questions with the words, as the report shows them: now it may be said who answered what."""
        found = []
        for question, word in zip(self.questions, self.words, strict=True):
            after, before = question.first, question.second
            if not question.candidate_first:
                after, before = before, after
            chosen: Chosen = "neither"
            if word != "same":
                chosen = "after" if (word == "first") == question.candidate_first else "before"
            found.append(Compared(question.messages[-1]["content"], before, after, chosen))
        return found


def _as_question(row: dict[str, Any]) -> Question:
    return Question(**{**row, "messages": tuple(row["messages"]), "interactions": tuple(row["interactions"])})


def _words_file(report: Path) -> Path:
    return report.with_suffix(".blind.answers.jsonl")


def _words(report: Path, questions: Sequence[Question]) -> tuple[Word, ...]:
    """The words on disk, in the order of the questions, up to the first that is missing."""
    path = _words_file(report)
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    given = {row["id"]: row["word"] for row in map(json.loads, lines)}
    words: list[Word] = []
    for question in questions:
        if given.get(question.id) not in get_args(Word):
            break
        words.append(given[question.id])
    return tuple(words)


def _append(path: Path, text: str) -> None:
    """On disk when this returns. What a killed process left without its end is cut off first."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+") as file:
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        file.truncate()
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def waiting(home: Home) -> Sheet:
    """The questions of the last night that was judged. Raises NothingToDo where it left none, or none any more."""
    with Journal(home.state_db) as journal:
        last, told = journal.last_done("gate"), journal.last_done("report")
    if last is not None and "sheet" in last.facts and told is not None and told.number > last.number:
        raise NothingToDo(f"your answers were counted: {last.facts['outcome']}", hint="strop status")
    # Where a kill came between the verdict and its end, the rest is done now.
    begun = last is not None and "sheet" in last.facts
    report = Path(str(last.facts.get("sheet", last.output))) if last is not None else None
    if last is None or report is None or not (begun or last.facts.get("to_judge")) or not sheet_file(report).is_file():
        raise NothingToDo("the last night left nothing for a person to settle", hint="strop status")
    sheet = Sheet.read(report)
    live = Versions(home.state_db).live()
    if live is None or live.tag not in (sheet.incumbent, *([sheet.candidate] if begun else [])):
        now = live.tag if live else "none"
        raise NothingToDo(f"another model is live since that night: {now}, not {sheet.incumbent}", hint="strop night")
    return sheet


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of it."""

    outcome: str
    reasons: tuple[str, ...]
    candidate: str
    live: str
    report: str
    pushed: "Told | None" = None


def settle(home: Home, config: Config, on_progress: OnProgress) -> Settled:
    """Decide on the night's results and the person's words, and release or refuse the candidate.

    Safe to repeat: the test is made and spent once. Raises Locked while a night runs, NothingToDo as `waiting` does,
    UsageError where questions are left, and what a release raises.
    """
    from strop.night import RUN_STATES, alone

    with alone(home), Journal(home.state_db) as journal:
        sheet = waiting(home)
        if not sheet.whole:
            left = len(sheet.questions) - len(sheet.words)
            raise UsageError(f"{left} of {len(sheet.questions)} questions are left", hint="strop judge")
        run_id = journal.start_run("judge", config.digest())
        try:
            settled = _settled(home, config, journal, run_id, sheet, on_progress)
        except Exception as error:
            journal.finish_run(run_id, "failed", f"{type(error).__name__}: {error}")
            raise
        journal.finish_run(run_id, RUN_STATES[settled.outcome], settled.reasons[0])
        return settled


def _settled(
    home: Home, config: Config, journal: Journal, run_id: str, sheet: Sheet, on_progress: OnProgress
) -> Settled:
    from strop.nightsteps import NightSteps
    from strop.steps import Done, input_hash

    night = NightSteps(home, config, journal, run_id, on_progress)
    night.judged_key = key = input_hash(sheet.candidate, sheet.incumbent, sheet.report.stem, sheet.words)

    def work() -> Done:
        case = morning.recorded(sheet.report, config.gate.policy())
        case = replace(case, results=(*case.results, *sheet.results()), earlier=night.evidence.tests())
        counts = _counts(journal)
        report = replace(_report(sheet, case.verdict(), run_id, counts), margin=config.gate.skill_margin)
        facts = {"incumbent": sheet.incumbent, "sheet": str(sheet.report)}
        return morning.write(home, report, case, {**facts, **counts})

    verdict: StepRow = night.steps.do("gate", key, work, lambda row: row)
    if verdict.facts.get("tested"):
        asked = [one for question in sheet.questions for one in question.interactions]
        night.evidence.use_up([*asked, *sheet.beside], key)
    version = night.versions.get(sheet.candidate)
    if verdict.facts["outcome"] == "promote":
        night.release(version, verdict)
    night.close(version, verdict)
    live = night.versions.live()
    reasons = tuple(map(str, verdict.facts["reasons"]))
    outcome = str(verdict.facts["outcome"])
    return Settled(outcome, reasons, version.tag, live.tag if live else "", verdict.output, night.pushed)


def _report(sheet: Sheet, verdict: Verdict, run_id: str, counts: Mapping[str, Mapping[str, int]]) -> JudgedReport:
    """What the report says. The candidate is that night's, so what it learned from is as well."""
    many, night = len(sheet.questions), sheet.report.stem
    return JudgedReport(
        verdict,
        run=run_id,
        candidate=sheet.candidate,
        incumbent=sheet.incumbent,
        notes=(f"A person judged {many} prompts of the night {night}, blind. What was counted is that night's.",),
        next_steps=AGAIN if verdict.outcome == "undecided" else None,
        pairs=sheet.pairs(),
        learned=counts.get("learned", {}),
        excluded=counts.get("excluded", {}),
    )


def _counts(journal: Journal) -> dict[str, Mapping[str, int]]:
    """The counts of the night that is being settled, for the report. A night of long ago kept none."""
    night = journal.last_done("gate")
    return {name: night.facts[name] for name in morning.COUNTS if night is not None and name in night.facts}
