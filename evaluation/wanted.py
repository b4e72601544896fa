"""What people asked for: does the candidate answer held-out prompts more as they were corrected?

A held-out item is a prompt, the answer that the person wanted (`chosen`) and the one that they corrected (`rejected`).
Both models answer the prompt, and both read how likely they find some corrections. Two questions, per item:

1. *Closer?* With c = closeness (`graders.closeness`, a character F-score that sees manner as well as words):

       toward = c(candidate, chosen) - c(incumbent, chosen)
       away   = c(candidate, rejected) - c(incumbent, rejected)

   Closer where both toward and toward - away exceed epsilon; further where toward < -epsilon; else the same. `toward`
   has to carry it: where the incumbent is the very model that wrote the rejected answer, *any* change moves away from
   it, so a margin alone would call every change an improvement. "Further from the rejected" is read beside that, not
   by itself: it must not come nearer to the rejected answer by as much as to the chosen one. Both answers are about
   one question, so where the incumbent is no longer who wrote the rejected answer, an answer that says more of what
   was asked comes nearer to both. On nine recorded nights of SmolLM2-135M over its base (656 items) `away < -epsilon`
   besides would change no outcome; of two models trained on the same corrections, one of which won 89 to 8 over the
   base on 100 held-out ones and the other drew 47 to 47, the first wins 48 to 26 over the second (p = 0.007), and would
   lose 10 to 25: of its 62 answers closer to the chosen 32 are closer to the rejected as well.

2. *No less specific?* s = how much likelier the item's own correction is under its own prompt than other items'
   corrections are there, and than it is under their prompts (`specificity`). A manner shared by all corrections raises
   all of them alike and leaves s as it was; only a link between this prompt and this answer raises s. Less specific
   where s falls by more than tolerance.

   closer  | no less specific | outcome
   --------|------------------|------------------------------------------------------------------
   closer  | yes              | win
   closer  | no               | loss: the manner moved at the cost of the meaning
   same    | any              | tie
   further | any              | loss

Why this holds where it must. *Corrections dealt to the wrong prompts*: their manner is learned, so nearly every answer
is closer; but own and other corrections say equally little about the prompt, so s rises or falls as a coin does, wins
are at most half of what is decided, and the sign test keeps its level. *A real signal* moves both: on SmolLM2-135M
after 40 corrections, 38 to 40 of 40 answers were closer and s rose on 36. *The right manner with the model's own words*
(its first sentences) is closer and specific: what it costs is skill, which is tested apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from strop.errors import EvaluationError
from strop.evaluation.graders import closeness
from strop.evaluation.measure import BATCH, Answer, Measured, Progress, answers, likelihoods
from strop.evaluation.model import Conversation, Generator, Scorer
from strop.evaluation.results import OWNER, ItemResult, Policy

OTHERS = 8
SUITE = "wanted"
_SCORES: dict[str, tuple[float, float]] = {"win": (1.0, 0.0), "loss": (0.0, 1.0), "tie": (0.5, 0.5)}

Outcome = Literal["win", "loss", "tie", "error"]


class GateItem(Protocol):
    """A held-out correction, as feedback's gate rows have it. `messages` end with the user's."""

    @property
    def id(self) -> str: ...
    @property
    def messages(self) -> Conversation: ...
    @property
    def chosen(self) -> str: ...
    @property
    def rejected(self) -> str: ...
    @property
    def cluster(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def trust(self) -> str: ...


@dataclass(frozen=True, slots=True)
class WantedItem:
    """A `GateItem` read back from a dataset's gate.jsonl."""

    id: str
    messages: tuple[Mapping[str, str], ...]
    chosen: str
    rejected: str
    cluster: str
    source: str = OWNER
    trust: str = OWNER

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "WantedItem":
        """From one JSON object; keys beyond the fields are left out. Raises EvaluationError naming a missing one."""
        try:
            messages = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in row["messages"])
            texts = [str(row[name]) for name in ("id", "chosen", "rejected", "cluster")]
        except (KeyError, TypeError) as error:
            hint = "build the dataset again with `strop night`"
            raise EvaluationError(f"a held-out row cannot be read: {error!r} is missing or wrong", hint=hint) from error
        ident, chosen, rejected, cluster = texts
        source, trust = str(row.get("source", OWNER)), str(row.get("trust", OWNER))
        return cls(ident, messages, chosen, rejected, cluster, source, trust)


@dataclass(frozen=True, slots=True)
class Side:
    """One model on the held-out items, in their order: its answers and how specific it is to each (nats a token)."""

    answers: tuple[Answer, ...]
    specificity: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """One item with all that decided it; the report shows these."""

    item: GateItem
    candidate: Answer
    incumbent: Answer
    toward: float  # gain of closeness to the chosen answer
    away: float  # gain of closeness to the rejected answer
    specificity_gain: float  # nats a token
    outcome: Outcome
    error: str | None = None


def measure_side(
    generator: Generator,
    scorer: Scorer,
    items: Sequence[GateItem],
    max_tokens: int,
    *,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Side:
    """One model's answers to the held-out prompts, and its specificity. `progress` counts the answers."""
    given = answers(generator, [item.messages for item in items], max_tokens, progress=progress, batch=batch)
    return Side(given, specificity(scorer, items, batch=batch))


def specificity_items(items: Sequence[GateItem]) -> list[tuple[Conversation, list[str]]]:
    """For each item (its prompt, [its own correction, up to eight others']), for `Scorer.score`."""
    return [
        (item.messages, [item.chosen, *(items[other].chosen for other in others)])
        for item, others in zip(items, _others(items), strict=True)
    ]


def _others(items: Sequence[GateItem]) -> list[list[int]]:
    """For each item the places of those it is compared with: the next ones, round and round, of another cluster and
    with another text. A near-duplicate's correction would be as right as its own.
    """
    chosen: list[list[int]] = []
    for place, item in enumerate(items):
        texts = {item.chosen}
        others: list[int] = []
        for other in (*range(place + 1, len(items)), *range(place)):
            if len(others) == OTHERS:
                break
            if items[other].cluster != item.cluster and items[other].chosen not in texts:
                texts.add(items[other].chosen)
                others.append(other)
        chosen.append(others)
    return chosen


def specificity(scorer: Scorer, items: Sequence[GateItem], *, batch: int = BATCH) -> tuple[Measured, ...]:
    """How much better each correction fits its own prompt than others do, and its prompt than others fit it.

    log p(own | own prompt) minus half the mean of log p(others | own prompt) and half that of log p(own | others'
    prompts), in nats a token. Subtracting both ways halves what is due to how likely a text is anywhere and how much a
    prompt raises any text, which is where most of the noise is. On one SmolLM2-135M the one-way figure over three
    others rose on 72 % of 40 held-out corrections, this one on 90 %, and both on half of them after training on
    corrections dealt to the wrong prompts.
    """
    asked, others = specificity_items(items), _others(items)
    rows: list[Sequence[float] | Measured] = []
    for start in range(0, len(asked), batch):
        rows += likelihoods(scorer, asked[start : start + batch])
    under: list[list[int]] = [[] for _ in items]  # whose prompts an item's correction was tried under
    for place, chosen in enumerate(others):
        for other in chosen:
            under[other].append(place)
    return tuple(_specific(place, rows, others, under[place]) for place in range(len(items)))


def _specific(
    place: int, rows: Sequence[Sequence[float] | Measured], others: Sequence[Sequence[int]], under: Sequence[int]
) -> Measured:
    own = rows[place]
    if isinstance(own, Measured):
        return own
    if len(own) < 2:
        return Measured(error="no other correction to compare with")
    elsewhere = []
    for prompt in under:
        row = rows[prompt]
        if isinstance(row, Measured):
            return row
        elsewhere.append(row[1 + others[prompt].index(place)])
    around = sum(own[1:]) / (len(own) - 1)
    return Measured(own[0] - (around + sum(elsewhere) / len(elsewhere)) / 2 if elsewhere else own[0] - around)


def compare_sides(items: Sequence[GateItem], candidate: Side, incumbent: Side, policy: Policy) -> tuple[Detail, ...]:
    """Each item's outcome, by the table above. Raises EvaluationError where a side is of another length."""
    lengths = {len(items), *(len(part) for s in (candidate, incumbent) for part in (s.answers, s.specificity))}
    if len(lengths) > 1:
        raise EvaluationError(f"sides of unequal length: {sorted(lengths)}", hint="measure both on the same items")
    ours, theirs = (tuple(zip(side.answers, side.specificity, strict=True)) for side in (candidate, incumbent))
    return tuple(_detail(item, ours[i], theirs[i], policy) for i, item in enumerate(items))


def _detail(
    item: GateItem, candidate: tuple[Answer, Measured], incumbent: tuple[Answer, Measured], policy: Policy
) -> Detail:
    (ours, our_s), (theirs, their_s) = candidate, incumbent
    toward, away = movement(ours.text, theirs.text, item.chosen, item.rejected)
    gain = our_s.value - their_s.value
    error = next((side.error for side in (ours, theirs, our_s, their_s) if side.error is not None), None)
    if error is not None:
        return Detail(item, ours, theirs, toward, away, gain, "error", error)
    moved = closer(toward, away, policy.closeness_epsilon)
    return Detail(item, ours, theirs, toward, away, gain, outcome(moved, gain, policy.specificity_tolerance))


def movement(candidate: str, incumbent: str, chosen: str, rejected: str) -> tuple[float, float]:
    """(toward, away): what the candidate gains in closeness to the chosen and to the rejected answer."""
    toward = closeness(candidate, chosen) - closeness(incumbent, chosen)
    away = closeness(candidate, rejected) - closeness(incumbent, rejected)
    return toward, away


def closer(toward: float, away: float, epsilon: float) -> int:
    """1 closer, -1 further, 0 the same; swapping the models never leaves both closer."""
    if toward > epsilon and toward - away > epsilon:
        return 1
    return -1 if toward < -epsilon else 0


def outcome(moved: int, specificity_gain: float, tolerance: float) -> Outcome:
    """The table in this module's text. A gain that is NaN is a loss of specificity."""
    if moved == 0:
        return "tie"
    return "win" if moved > 0 and specificity_gain >= -tolerance else "loss"


def results(details: Sequence[Detail]) -> tuple[ItemResult, ...]:
    """The wanted part of the gate's input: win 1/0, loss 0/1, tie 0.5/0.5.

    The owner's wishes carry the source "owner" whatever channel they came by; others keep theirs.
    """
    found = []
    for detail in details:
        item = detail.item
        ours, theirs = _SCORES.get(detail.outcome, (float("nan"), float("nan")))
        source = OWNER if item.trust == OWNER else item.source
        if source == OWNER and item.trust != OWNER:
            source = f"{item.trust} user"
        found.append(
            ItemResult(
                SUITE, item.id, item.cluster, "wanted", ours, theirs, None, source, item.trust, error=detail.error
            )
        )
    return tuple(found)


def likelihood_of_answers(
    scorer: Scorer, rated: Sequence[tuple[Conversation, str]], *, batch: int = BATCH
) -> tuple[Measured, ...]:
    """How likely given answers are, in nats a token."""
    found: list[Measured] = []
    for start in range(0, len(rated), batch):
        part = [(conversation, [answer]) for conversation, answer in rated[start : start + batch]]
        found += [one if isinstance(one, Measured) else Measured(one[0]) for one in likelihoods(scorer, part)]
    return tuple(found)


def learned_results(
    items: Sequence[GateItem], candidate: Sequence[Answer], incumbent: Sequence[Answer]
) -> tuple[ItemResult, ...]:
    """Corrections that earlier nights trained on: how close each answer still is to the wanted one, in [0, 1]."""
    found = []
    for item, ours, theirs in zip(items, candidate, incumbent, strict=True):
        error = ours.error if ours.error is not None else theirs.error
        scores = closeness(ours.text, item.chosen), closeness(theirs.text, item.chosen)
        found.append(ItemResult("learned", item.id, item.cluster, "learned", *scores, error=error))
    return tuple(found)
