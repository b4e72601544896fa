"""What a reaction is worth, and what all reactions to one answer that count add up to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from strop.errors import BadRecord
from strop.feedback.records import Kind, Signal, Trust
from strop.feedback.trusted import Counted

# From here up an answer counts as good, from its negative down as bad; three stars say nothing.
GOOD = 0.5
# The reactions that decide by themselves. The other kinds are kept, and are evidence for later methods.
RATINGS = ("thumb", "stars", "reaction")
DECIDING = (*RATINGS, "correction")

# A correction says that the answer was not what was wanted.
CORRECTION_VALUE = -1.0

Rating = str | int


def parse_rating(rating: Rating) -> tuple[Kind, float]:
    """`up`, `down` or 1 to 5 stars as (kind, value). Stars give (stars - 3) / 2. Raises BadRecord."""
    text = str(rating).strip().lower() if not isinstance(rating, bool) else ""
    if text in ("up", "down"):
        return "thumb", 1.0 if text == "up" else -1.0
    if text in ("1", "2", "3", "4", "5"):
        return "stars", (int(text) - 3) / 2
    raise BadRecord(f"rating: {rating!r} is not a rating", hint="use up, down, or 1 to 5")


def trust_of(user: str, owners: Iterable[str] = ("owner",)) -> Trust:
    """Whose word a reaction is when nobody says: the owner's, that of somebody with a name, or nobody's."""
    if user in set(owners):
        return "owner"
    return "known" if user else "anonymous"


State = Literal["corrected", "up", "down", "neutral"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the reactions to one answer come to: `state`, decided by `signal`, which is stored under `signal_id`.

    `corrected` carries the wanted text in `signal.text`. `contradicted` says that an earlier reaction said otherwise;
    `others` that nobody but people other than the owner spoke.
    """

    state: State
    signal: Signal
    signal_id: str
    contradicted: bool
    others: bool = False


def standing(reactions: Iterable[Counted]) -> Standing | None:
    """The latest deciding reaction wins, the owner's own before those that were accepted; None where there is none.

    Reactions count by their time; those of the same moment in the order given. A bad or neutral rating after a
    correction agrees with it, so the correction stands; a good one takes it back.
    """
    result: Standing | None = None
    for one in sorted(reactions, key=lambda one: (not one.others, one.signal.time)):
        signal = one.signal
        if signal.kind not in DECIDING:
            continue
        state = _state(signal)
        if result is None:
            result = Standing(state, signal, one.id, contradicted=False, others=one.others)
        elif result.state != "corrected" or state in ("corrected", "up"):
            turned = "up" in (result.state, state) and {"down", "corrected"} & {result.state, state} != set()
            contradicted = result.contradicted or turned
            result = Standing(state, signal, one.id, contradicted=contradicted, others=one.others)
    return result


def _state(signal: Signal) -> State:
    if signal.kind == "correction":
        return "corrected"
    return "up" if signal.value >= GOOD else "down" if signal.value <= -GOOD else "neutral"
