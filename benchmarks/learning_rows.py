"""What `learning.py` trains and judges on: questions, their halves by cluster, and the files for each method.

The reactions are scripted: the demo's person (`strop.demo.person`) corrects, rates and answers back by rule, and on
LegalBench the answer key does. Nobody was asked.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from strop.demo.person import Wish, likes, objection, wishes
from strop.evaluation.graders import grade
from strop.feedback import Interaction, Ledger, Signal
from strop.feedback.records import conversation
from strop.feedback.split import Place, assign

# Which questions are drawn is the same in every run: --seeds are seeds of training.
DRAW = 17
_LEGAL_WORDS = 40
_TOO_LONG = (
    "Shorter, please: one plain sentence of at most 20 words.",
    "That is too long. One short sentence is enough.",
    "No, just one sentence, please, 20 words at most.",
)
_WRONG_FORM = "Only the answer, please, as one plain sentence: no list and no pleasantries."

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One LegalBench question. `labels` are the answers that its task knows."""

    prompt: str
    answer: str
    task: str
    labels: tuple[str, ...]
    cluster: str

    def right(self, text: str) -> bool:
        """Whether `text` states the answer and no other label of the task, in at most 40 words."""
        others = [label for label in self.labels if label != self.answer]
        grader = {"kind": "contains", "value": self.answer, "absent": others, "max_words": _LEGAL_WORDS}
        return bool(grade(grader, text))


@dataclass(frozen=True, slots=True)
class Halves:
    """LegalBench in two halves that share no cluster, and what was drawn from each."""

    train: tuple[Question, ...]
    test: tuple[Question, ...]
    said: str


def places(prompts: Sequence[str]) -> list[Place]:
    """Each prompt's cluster and side, by the house's own split: near-duplicates together, the sides even."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "rows.db", scrubber=None) as ledger:
        stored = ledger.put_interactions([Interaction(conversation(prompt), "An answer.") for prompt in prompts])
        keys = [key for key, _ in stored]
        ledger.put_signals([Signal(key, "correction", -1.0, "Better.", source_key=key) for key in dict.fromkeys(keys)])
        found = assign(ledger, gate_prompts=len(prompts))
        return [found[key] for key in keys]


def legal_halves(data: Path, train: int, test: int) -> Halves:
    """At most so many questions of each half, drawn by chance."""
    lines = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    labels: dict[str, set[str]] = {}
    for line in lines:
        labels.setdefault(line["task"], set()).add(line["answer"])
    sides: dict[str, list[Question]] = {"train": [], "gate": []}
    for line, place in zip(lines, places([line["prompt"] for line in lines]), strict=True):
        known = tuple(sorted(labels[line["task"]]))
        sides[place.side].append(Question(line["prompt"], line["answer"], line["task"], known, place.cluster))
    chosen = [_drawn(sides["train"], train), _drawn(sides["gate"], test)]
    said = "; ".join(
        f"{name} on {len(part)} of {len(whole)} questions ({_clusters(part)} of {_clusters(whole)} clusters)"
        for name, part, whole in zip(("trained", "tested"), chosen, sides.values(), strict=True)
    )
    return Halves(chosen[0], chosen[1], said)


def _drawn(questions: Sequence[Question], count: int) -> tuple[Question, ...]:
    draw = Random(DRAW)  # noqa: S311 (a fixed draw is what is wanted)
    return tuple(draw.sample(questions, min(count, len(questions))))


def _clusters(questions: Sequence[Question]) -> int:
    return len({question.cluster for question in questions})


def legal_pairs(questions: Sequence[Question]) -> list[Row]:
    """The answer key against another answer of the same task, drawn by chance."""
    draw = Random(DRAW)  # noqa: S311
    rows = []
    for one in questions:
        wrong = draw.choice([label for label in one.labels if label != one.answer])
        rows.append({"prompt": one.prompt, "chosen": one.answer, "rejected": wrong})
    return rows


def commonest(train: Sequence[Question], test: Sequence[Question]) -> list[bool]:
    """Who always gives the answer that is most frequent among the task's training questions: right or not."""
    counts: dict[str, Counter[str]] = {}
    for one in train:
        counts.setdefault(one.task, Counter())[one.answer] += 1
    guesses: Mapping[str, str] = {task: found.most_common(1)[0][0] for task, found in counts.items()}
    return [guesses.get(one.task) == one.answer for one in test]


def everyday(held: int) -> tuple[list[Wish], list[Wish], list[str]]:
    """(prompts to react to, held-out prompts, the latter's clusters): the demo's own, its last ones held out.

    No prompt to react to is of a held-out prompt's cluster.
    """
    known = wishes()
    clusters = [place.cluster for place in places([wish.prompt for wish in known])]
    away = set(clusters[-held:])
    reacted = [wish for wish, cluster in zip(known[:-held], clusters, strict=False) if cluster not in away]
    return reacted, list(known[-held:]), clusters[-held:]


def corrections(said: Sequence[tuple[Wish, str]], count: int) -> list[Row]:
    """The first `count` answers that the person did not like, beside what they would have said."""
    disliked = [(wish, text) for wish, text in said if text and not likes(text)]
    return [{"prompt": wish.prompt, "chosen": wish.answer, "rejected": text} for wish, text in disliked[:count]]


def thumbs(said: Sequence[tuple[Wish, str]], count: int) -> list[Row]:
    """One rated answer a prompt: the base's own and, in turn, the one that ships with the demo, as if another model had
    given it. No prompt has both, so nothing is a pair. Of its own answers alone the base would get hardly any thumb up.
    """
    shown = [(wish.prompt, text if number % 2 else wish.answer) for number, (wish, text) in enumerate(said[:count])]
    return [{"prompt": prompt, "completion": text, "label": likes(text)} for prompt, text in shown if text]


def follow_ups(said: Sequence[tuple[Wish, str]], count: int) -> list[Row]:
    """The first `count` answers that the person did not like, and what they said next; no answer was written."""
    rows: list[Row] = []
    for wish, text in said:
        if text and (why := objection(text)) is not None and len(rows) < count:
            feedback = _TOO_LONG[len(rows) % len(_TOO_LONG)] if "more than" in why else _WRONG_FORM
            rows.append({"prompt": wish.prompt, "completion": text, "feedback": feedback})
    return rows
