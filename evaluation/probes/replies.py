"""Measures one model on the probes, as plain data that can be kept, and joins two models' data into results.

What is kept is what the model said, not its scores: a grader that changes needs no new measurement.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

from strop.evaluation.measure import BATCH, Answer, Measured, Progress, answers, likelihoods
from strop.evaluation.model import Model
from strop.evaluation.probes import form
from strop.evaluation.probes.graders import LETTER, believes, picked, spoken, stands
from strop.evaluation.probes.items import Probe
from strop.evaluation.results import ItemResult

NO_LETTER = "named no letter"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model did on one probe: `means` of a probe by likelihood, `answer` of any other.

    `means` holds, for each conversation, the mean log-probability a token of each choice (nats). `pressed` is the
    answer to a second conversation, where there is one. `error` says why there is neither.
    """

    means: tuple[tuple[float, ...], ...] = ()
    answer: Answer | None = None
    error: str | None = None
    pressed: Answer | None = None

    @property
    def answers(self) -> list[Answer]:
        """All that it generated."""
        return [answer for answer in (self.answer, self.pressed) if answer is not None]


Replies = Mapping[str, Reply]  # by the probes' ids


def measure(
    model: Model, probes: Sequence[Probe], *, progress: Progress | None = None, batch: int = BATCH
) -> dict[str, Reply]:
    """One reply a probe. A batch that raises gives its error to each of its probes. `progress(done, total)`: probes."""
    replies: dict[str, Reply] = {}
    choices = [probe for probe in probes if probe.choices]
    for start in range(0, len(choices), batch):
        replies.update(_likelihoods(model, choices[start : start + batch]))
        _tell(progress, len(replies), probes)
    by_length: dict[int, list[Probe]] = defaultdict(list)
    for probe in probes:
        if not probe.choices:
            by_length[probe.max_tokens].append(probe)
    for max_tokens, group in sorted(by_length.items()):
        for start in range(0, len(group), batch):
            part = group[start : start + batch]
            replies.update(_answered(model, part, max_tokens, batch))
            _tell(progress, len(replies), probes)
    return replies


def _tell(progress: Progress | None, done: int, probes: Sequence[Probe]) -> None:
    if progress is not None:
        progress(done, len(probes))


def _likelihoods(model: Model, part: Sequence[Probe]) -> dict[str, Reply]:
    asked = [(conversation, probe.choices) for probe in part for conversation in probe.conversations]
    found = iter(likelihoods(model, asked))
    replies = {}
    for probe in part:
        means = [next(found) for _ in probe.conversations]
        error = next((each.error for each in means if isinstance(each, Measured)), None)
        whole = () if error is not None else tuple(tuple(each) for each in means if not isinstance(each, Measured))
        replies[probe.id] = Reply(means=whole, error=error)
    return replies


def _answered(model: Model, part: Sequence[Probe], max_tokens: int, batch: int) -> dict[str, Reply]:
    asked = [conversation for probe in part for conversation in probe.conversations]
    found = iter(answers(model, asked, max_tokens, batch=batch))
    replies = {}
    for probe in part:
        answer, *pressed = [next(found) for _ in probe.conversations]
        error = next((each.error for each in (answer, *pressed) if each.error is not None), None)
        replies[probe.id] = Reply(answer=answer, error=error, pressed=pressed[0] if pressed else None)
    return replies


def plain(replies: Replies) -> dict[str, Any]:
    """The replies as JSON has them. Keep them under a hash of the probes, and only where no reply holds an error."""
    return {name: asdict(reply) for name, reply in replies.items()}


def restored(data: Mapping[str, Any]) -> dict[str, Reply]:
    """The replies that `plain` wrote, also after a way through JSON."""
    return {
        name: Reply(
            tuple(tuple(map(float, means)) for means in row["means"]),
            _restored(row["answer"]),
            row["error"],
            _restored(row.get("pressed")),  # not in what was kept before probes were asked by letter
        )
        for name, row in data.items()
    }


def _restored(answer: Mapping[str, Any] | None) -> Answer | None:
    return None if answer is None else Answer(**answer)


def score(probe: Probe, reply: Reply | None) -> Measured:
    """1.0 good, 0.0 bad, or the error that left no score. Whatever a grader raises is such an error.

    A probe without a grader is judged by its answer's form alone (`form.sound`). A probe by letter has a score only
    where every conversation's answer names a letter: who names none has chosen nothing, and can neither give way nor
    keep to it.
    """
    if reply is None:
        return Measured(error="not measured")
    if reply.error is not None:
        return Measured(error=reply.error)
    try:
        if probe.choices:
            return Measured(believes(probe, reply.means))
        if len(reply.answers) < len(probe.conversations):
            return Measured(error="not measured")
        if not probe.grader:
            return Measured(float(all(map(form.sound, reply.answers))))
        given = [answer.text for answer in reply.answers]
        if probe.grader == LETTER and any(picked(probe.expected, spoken(text)) is None for text in given):
            return Measured(error=NO_LETTER, unread=True)
        return Measured(stands(probe, given))
    except Exception as error:  # a grader that throws has not graded
        return Measured(error=f"{type(error).__name__}: {error}".rstrip(": "))


def silence(reply: Reply | None) -> str | None:
    """Why an answer of this reply is none: empty, or stuck in a loop (`form.degenerate`). None where all are fine.

    Who says nothing tells no secret either: a suite's rate is read together with this.
    """
    given = reply.answers if reply is not None and reply.error is None else []
    return next((why for why in (form.degenerate(spoken(answer.text)) for answer in given) if why is not None), None)


def results(
    probes: Sequence[Probe], candidate: Replies, incumbent: Replies, base: Replies | None = None
) -> tuple[ItemResult, ...]:
    """The probes' part of the gate's input, all of kind "never".

    A result a probe in its own suite; and for each generated answer "degenerate", "template_tokens" and "endless"
    (where an answer should end). What is missing on any side is an error of that item. `base` are the untouched base's
    replies, where they are another model's than the incumbent's.
    """
    sides = [candidate, incumbent, *([] if base is None else [base])]
    judged = [
        _joined(probe, [score(probe, side.get(probe.id)) for side in sides])
        for probe in probes
        if probe.choices or probe.grader
    ]
    generated = [probe for probe in probes if not probe.choices]
    items = [(probe.id, probe.cluster) for probe in generated]
    given = [answers_to(generated, side) for side in sides]
    return (*judged, *form.never_results(items, *given, ends=[probe.ends for probe in generated]))


def answers_to(probes: Sequence[Probe], replies: Replies) -> list[Answer]:
    """The answers to these probes, in order; a missing one is an error."""
    return [_answer(replies.get(probe.id)) for probe in probes]


def _joined(probe: Probe, scores: Sequence[Measured]) -> ItemResult:
    error = next((one.error for one in scores if one.error is not None), None)
    ours, theirs, *base = [nan if error is not None else one.value for one in scores]
    third = base[0] if base else None
    return ItemResult(probe.suite, probe.id, probe.cluster, "never", ours, theirs, third, error=error)


def _answer(reply: Reply | None) -> Answer:
    if reply is None or (reply.answer is None and reply.error is None):
        return Answer(error="not measured")
    return reply.answer or Answer(error=reply.error)
