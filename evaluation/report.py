"""The morning report in Markdown: the verdict in one sentence, the figures, before and after, what to do next."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite

from strop.evaluation.compare import Estimate
from strop.evaluation.results import Verdict
from strop.evaluation.wanted import Detail

EXAMPLES = 8
_ANSWER_CHARS = 1_200

_HEADLINES = {
    "promote": "The new model is better: it may be released.",
    "keep": "The current model stays: the new one did not prove better.",
    "undecided": "Undecided: the current model stays until there is more to go by.",
}
_NEXT = {
    "promote": ["Try it: `strop chat`", "Go back whenever you like: `strop rollback`"],
    "keep": ["Go on as before: `strop feedback add` after an answer that you would change"],
    "undecided": ["Correct more answers: `strop feedback add --correction`", "Then run `strop night` again"],
}


def markdown(
    verdict: Verdict,
    details: Sequence[Detail] = (),
    facts: Mapping[str, object] | None = None,
    next_steps: Sequence[str] | None = None,
) -> str:
    """The whole report. `facts` are shown as they are, name and value; `next_steps` replace the usual ones."""
    parts = [f"# {_HEADLINES[verdict.outcome]}", "\n".join(f"- {_line(reason)}" for reason in verdict.reasons)]
    if verdict.needed:
        parts.append(f"About {verdict.needed} more would settle it.")
    if verdict.estimates:
        parts.append("## Figures\n\n" + _figures(verdict.estimates))
    shown = telling(details)
    if shown:
        parts.append("## Before and after\n\n" + "\n\n".join(_example(detail) for detail in shown))
    if facts:
        parts.append("## This night\n\n" + "\n".join(f"- {_line(name)}: {_line(facts[name])}" for name in facts))
    steps = _NEXT[verdict.outcome] if next_steps is None else next_steps
    parts.append("## What to do next\n\n" + "\n".join(f"- {step}" for step in steps))
    return "\n\n".join(parts) + "\n"


def telling(details: Sequence[Detail], limit: int = EXAMPLES) -> list[Detail]:
    """The items that moved furthest, wins and losses in the proportion of five to three where there are both."""
    ranked = sorted((d for d in details if d.outcome in ("win", "loss")), key=lambda d: -abs(d.toward))
    wins, losses = ([d for d in ranked if d.outcome == kind] for kind in ("win", "loss"))
    spared = min(len(losses), max(limit - len(wins), limit * 3 // 8))
    return wins[: limit - spared] + losses[:spared]


def _figures(estimates: Mapping[str, Estimate]) -> str:
    rows = ["| | value | from | to | items |", "|---|---:|---:|---:|---:|"]
    for name, e in estimates.items():
        rows.append(f"| {_line(name)} | {_figure(e.value)} | {_figure(e.low)} | {_figure(e.high)} | {e.n} |")
    return "\n".join(rows)


def _figure(value: float) -> str:
    return f"{value * 100:.1f} %".replace("-", "−") if isfinite(value) else "?"


def _example(detail: Detail) -> str:
    prompt = str(detail.item.messages[-1]["content"])
    heads = ("Asked", "Before", "After", "Wanted")
    texts = (prompt, detail.incumbent.text, detail.candidate.text, detail.item.chosen)
    title = "Closer to what was asked" if detail.outcome == "win" else "Not what was asked"
    return f"### {title}\n\n" + "\n\n".join(
        f"{head}:\n\n{_fenced(text)}" for head, text in zip(heads, texts, strict=True)
    )


def _fenced(text: str) -> str:
    """Text in a fence that it cannot close, since the fence is longer than any run of backticks in it."""
    if len(text) > _ANSWER_CHARS:
        text = text[:_ANSWER_CHARS] + " …"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _line(value: object) -> str:
    """One line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))
