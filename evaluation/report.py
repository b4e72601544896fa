"""The morning report: what it says, in one dataclass, and the same in Markdown (`page` makes the HTML).

In this order: the verdict, what changed with before and after, the figures, what was learned from, minutes and cost,
what to do next. Answers and reactions are shown as they were given, cut where they are long, and with the characters
that steer a text's direction or a terminal made visible.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite, isnan
from typing import NamedTuple

from strop.evaluation.compare import Estimate
from strop.evaluation.results import Policy, Verdict
from strop.evaluation.wanted import Detail

EXAMPLES = 8
_ANSWER_CHARS = 1_200

_HEADLINES = {
    "promote": "The new model is better than the current one.",
    "keep": "The current model stays: the new one did not prove better.",
    "undecided": "Undecided: the current model stays until there is more to go by.",
}
_NEXT = {
    "promote": ["Try it: `strop chat`", "Go back whenever you like: `strop rollback`"],
    "keep": ["Go on as before: `strop feedback add` after an answer that you would change"],
}
# By what an undecided night lacks.
_MORE = {
    "settings": "Mend the setting in `strop.toml` that the reason names",
    "measurement": "See what failed: `strop doctor`; what was measured is kept",
    "corrections": "Correct more answers: `strop feedback add --correction`",
    "skill": "Where `gate.suite_budget` leaves skill items out, raise it; else the next candidate has to lose less",
    "probes": "Ask more of the suites that have too few: raise `gate.probe_budget`",
}
_CHANCE = (
    "p is the chance of such a result, or a clearer one, if the two models were equally good. A night may spend only "
    "so much of it, or one of many nights would promote by luck."
)
_MEASURED = {
    "wanted": "wanted: share won, of those on which the two models differ",
    "wanted_net": "wanted: won less lost, of all",
    "skill": "skill against the current model",
    "skill_vs_base": "skill against the untouched base",
    "learned": "what earlier nights learned",
}
_LEARNED = {
    "sft": "answers to imitate (SFT)",
    "dpo": "pairs of a wanted and a refused answer (DPO)",
    "kto": "single answers with a thumb (KTO)",
    "hindsight": "answers with what was said next (hindsight)",
    "gate": "corrections held out to judge by: not learned from",
    "held": "rated prompts held out for a person to judge by: not learned from",
}
_LEFT_OUT = {
    "not_owner": "reactions of people whose word does not train (yet)",
    "capped": "beyond the cap of one person, conversation or kind of prompt",
    "trigger": "in quarantine: they look like a planted trigger",
    "contradicted": "taken back by a later reaction",
    "unchanged": "corrections that equal the answer",
    "thumbs_only": "rated down or neutral, with nothing better to set against it",
    "one_class": "ratings that go one way only",
    "gate_side": "good answers on the side that judges",
    "tool_calls": "answers in which tools took part",
    "length_bias": "pairs left out so that length is not preferred as such",
    "no_time": "no time tonight",
    "template_tokens": "with control tokens of a model spelled out",
    "too_long": "too long",
}
# C0 but tab and newline, DEL, C1, what overrides or embeds directions, and lone surrogates, which cannot be encoded.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says. Every renderer takes this and nothing else.

    `learned` and `excluded` are counts by method and by reason, as a dataset has them; `notes` are sentences about the
    feedback. `seconds` is by step, None for one that an earlier run had done; `covers` says which time that is.
    `margin` is what skill may lose, a fraction. `next_steps` replace the usual ones; commands stand in backticks.
    """

    verdict: Verdict
    details: Sequence[Detail] = ()
    run: str = ""
    started: datetime | None = None
    candidate: str = ""
    incumbent: str = ""
    learned: Mapping[str, int] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    covers: str = ""
    cost: str = ""
    next_steps: Sequence[str] | None = None
    margin: float = Policy().skill_margin

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        return _HEADLINES[self.verdict.outcome]

    @property
    def compared(self) -> str:
        """Which two models, and in which night; empty where nothing is known of it."""
        models = f"candidate {self.candidate} against the current model {self.incumbent}" if self.candidate else ""
        night = f"night {self.run}" if self.run else ""
        began = f"begun {self.started:%d %B %Y, %H:%M %Z}" if self.started else ""
        return "; ".join(filter(None, (models, night, began)))

    @property
    def changed(self) -> str:
        """How the answers to held-out prompts moved, in one sentence."""
        if not self.details:
            return "No answers were compared."
        counts = Counter(detail.outcome for detail in self.details)
        said = (
            f"Of {len(self.details)} answers to held-out prompts {counts['win']} came closer to what was asked, "
            f"{counts['loss']} moved away or lost the point, and {counts['tie']} stayed as they were"
        )
        return f"{said}; {counts['error']} could not be measured." if counts["error"] else f"{said}."

    @property
    def examples(self) -> list[str]:
        """The most telling of them, as Markdown."""
        return [_example(one) for one in shown(self.details)]

    @property
    def lessons(self) -> list[tuple[str, int]]:
        """What was learned from, in words, with its count; what is zero is left out."""
        return _worded(self.learned, _LEARNED)

    @property
    def left_out(self) -> list[tuple[str, int]]:
        """Why feedback was left out, in words, with its count."""
        return _worded(self.excluded, _LEFT_OUT)

    @property
    def times(self) -> list[tuple[str, str]]:
        """Each step with the time that it took; their sum comes last."""
        rows = [(name, "done by an earlier run" if s is None else duration(s)) for name, s in self.seconds.items()]
        total = sum(s for s in self.seconds.values() if s is not None)
        return [*rows, ("together", duration(total))] if rows else []

    @property
    def steps(self) -> Sequence[str]:
        """What to do next."""
        if self.next_steps is not None:
            return self.next_steps
        if self.verdict.outcome != "undecided":
            return _NEXT[self.verdict.outcome]
        return [*(step for lack, step in _MORE.items() if lack in self.verdict.lacks), "Then run `strop night` again"]

    @property
    def chance(self) -> str:
        """What p means, where a reason speaks of it."""
        return _CHANCE if any("p = " in reason for reason in self.verdict.reasons) else ""


class Shown(NamedTuple):
    """One item as a report shows it: texts are visible and cut."""

    title: str
    won: bool
    asked: str
    before: str
    after: str
    wanted: str


def telling(details: Sequence[Detail], limit: int = EXAMPLES) -> list[Detail]:
    """The items that moved furthest, wins and losses in the proportion of five to three where there are both."""
    ranked = sorted((d for d in details if d.outcome in ("win", "loss")), key=lambda d: -abs(d.toward))
    wins, losses = ([d for d in ranked if d.outcome == kind] for kind in ("win", "loss"))
    spared = min(len(losses), max(limit - len(wins), limit * 3 // 8))
    return wins[: limit - spared] + losses[:spared]


def shown(details: Sequence[Detail]) -> list[Shown]:
    """The most telling items, ready to be written."""
    found = []
    for detail in telling(details):
        won = detail.outcome == "win"
        texts = (detail.item.messages[-1]["content"], detail.incumbent.text, detail.candidate.text, detail.item.chosen)
        title = "Closer to what was asked" if won else "Not what was asked"
        found.append(Shown(title, won, *(cut(str(text)) for text in texts)))
    return found


def is_share(name: str) -> bool:
    """Whether an estimate is a share between 0 and 1; the others are differences around 0."""
    return name == "wanted" or name.startswith("never/")


def measured(name: str) -> str:
    """What an estimate measures, in words."""
    said = visible(name)
    return f"{said}: share of bad answers" if name.startswith("never/") else _MEASURED.get(name, said)


def figure(name: str, value: float) -> str:
    """A share in per cent, a difference in points with its sign; what has no bound says so."""
    unit = "%" if is_share(name) else "points"
    return f"{bound(name, value)} {unit}" if isfinite(value) else bound(name, value)


def bound(name: str, value: float) -> str:
    """A figure without its unit."""
    if not isfinite(value):
        return "not known" if isnan(value) else "no bound"
    return f"{value * 100:.1f}" if is_share(name) else f"{value * 100:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds below a minute, then minutes with one decimal."""
    return f"{seconds:.0f} s" if seconds < 59.5 else f"{seconds / 60:.1f} minutes"


def visible(text: str) -> str:
    """`text` with the characters that steer direction or terminals as ‹U+202E›; newlines and tabs stay."""
    return _STEERING.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text.replace("\r\n", "\n"))


def markdown(report: Report) -> str:
    """The whole report as Markdown in which no text of a person or a model is markup."""
    verdict = report.verdict
    parts = [f"# {report.headline}", "\n".join(f"- {_line(reason)}" for reason in verdict.reasons)]
    parts.append(report.chance)
    if report.compared:
        parts.append(_line(report.compared))
    parts += ["## What changed", report.changed, *report.examples]
    if verdict.estimates:
        parts += ["## Figures", _figures(verdict.estimates)]
    if report.learned or report.excluded or report.notes:
        parts += ["## What was learned from", _counts(report.lessons) or "Nothing was counted."]
        parts += [f"Left out:\n\n{_counts(report.left_out)}"] if report.left_out else []
        parts += ["About the feedback:", "\n".join(f"- {_line(note)}" for note in report.notes)] if report.notes else []
    if report.seconds or report.cost:
        times = "\n".join(f"- {_line(name)}: {time}" for name, time in report.times)
        cost = f"Cost: {_line(report.cost)}." if report.cost else ""
        parts += ["## Minutes and cost", times, _line(report.covers), cost]
    parts += ["## What to do next", "\n".join(f"- {step}" for step in report.steps)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _worded(counts: Mapping[str, int], words: Mapping[str, str]) -> list[tuple[str, int]]:
    return [(words.get(name, name.replace("_", " ")), count) for name, count in counts.items() if count]


def _figures(estimates: Mapping[str, Estimate]) -> str:
    rows = ["| | value | from | to | items |", "|---|---:|---:|---:|---:|"]
    for name, e in estimates.items():
        value, low, high = (figure(name, one) for one in (e.value, e.low, e.high))
        rows.append(f"| {_line(measured(name))} | {value} | {low} | {high} | {e.n} |")
    return "\n".join(rows)


def _counts(rows: Sequence[tuple[str, int]]) -> str:
    return "\n".join(f"- {count} {_line(what)}" for what, count in rows)


def _example(one: Shown) -> str:
    texts = {"Asked": one.asked, "Before": one.before, "After": one.after, "Wanted": one.wanted}
    return f"### {one.title}\n\n" + "\n\n".join(f"{head}:\n\n{fenced(text)}" for head, text in texts.items())


def cut(text: str) -> str:
    return visible(text if len(text) <= _ANSWER_CHARS else text[:_ANSWER_CHARS] + " …")


def fenced(text: str) -> str:
    """Text in a fence that it cannot close, since the fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _line(value: object) -> str:
    """One line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(visible(str(value)).split()))
