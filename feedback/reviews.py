"""What waits for the owner's look, and what the owner decided: who, when, and with which text.

Waiting are the reactions of everybody but the owner, and rows that look like a planted trigger (`triggers`). A decision
is a row of its own; the latest one on a reaction holds, and earlier ones stay readable.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from strop.errors import BadRecord, UnknownInteraction
from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Signal, check_size, check_text, now, time_text
from strop.feedback.stored import as_interaction, as_signal, review_id

Decision = Literal["accept", "reject", "edit"]
DECISIONS: tuple[str, ...] = get_args(Decision)

_WAITING = """SELECT signals.* FROM signals
    WHERE seq > ? AND trust != 'owner' AND NOT EXISTS (SELECT 1 FROM reviews WHERE signal_id = signals.id)
    ORDER BY seq"""
_ADD = """INSERT INTO reviews (signal_id, decision, text, who, time, id) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""
_DECIDED = "SELECT signal_id, decision, text, who, time FROM reviews ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One reaction that waits, with the answer that it is about. `why` says what it waits for."""

    signal_id: str
    signal: Signal
    interaction_id: str
    interaction: Interaction
    why: str


@dataclass(frozen=True, slots=True)
class Review:
    """One decision. `text` is the reaction's text as the owner edited it."""

    signal_id: str
    decision: Decision
    text: str | None
    who: str
    time: datetime


def waiting(ledger: Ledger, suspicious: dict[str, str] | None = None) -> Iterator[Waiting]:
    """Everything that waits, oldest first. `suspicious` maps further signal ids (of triggers) to their reason."""
    last = 0
    while rows := ledger.page(_WAITING, (last,)):
        last = rows[-1]["seq"]
        for row in rows:
            signal = as_signal(row)
            yield _waiting(ledger, row["id"], signal, f"it is the word of {signal.user or 'somebody'} ({signal.trust})")
    for signal_id, why in sorted((suspicious or {}).items()):
        found = ledger.query("SELECT * FROM signals WHERE id = ?", (signal_id,))
        if found:
            yield _waiting(ledger, signal_id, as_signal(found[0]), why)


def decide(ledger: Ledger, signal_id: str, decision: Decision, who: str, text: str | None = None) -> None:
    """Write down a decision. `text`: what an edited reaction says from now on (scrubbed like all texts).

    Raises UnknownInteraction for a reaction that is not there, BadRecord for an edit without a text or of a reaction
    that has none.
    """
    rows = ledger.query("SELECT * FROM signals WHERE id = ?", (signal_id,))
    if not rows:
        raise UnknownInteraction(f"the ledger holds no reaction {signal_id!r}", hint="strop feedback review --list")
    if (decision == "edit") != (text is not None):
        raise BadRecord("a text belongs to edit, and to nothing else", hint="strop feedback review --help")
    if text is not None:
        if rows[0]["text"] is None:
            raise BadRecord("this reaction has no text to edit", hint="accept or reject it")
        check_text("text", text)
        check_size([text])
    put(ledger, Review(signal_id, decision, text, who, now()))


def put(ledger: Ledger, review: Review) -> bool:
    """Store a decision, its text scrubbed; whether it is new. The same one twice is one row."""
    text = None
    if review.text is not None:
        about = ledger.query("SELECT interaction_id FROM signals WHERE id = ?", (review.signal_id,))
        text = ledger.scrubbed(review.text, about[0]["interaction_id"])
    row = (review.signal_id, review.decision, text, review.who, time_text(review.time))
    return ledger.execute(_ADD, (*row, review_id(*row))).rowcount == 1


def decided(ledger: Ledger) -> tuple[Review, ...]:
    """Every decision, in order."""
    return tuple(
        Review(row["signal_id"], row["decision"], row["text"], row["who"], datetime.fromisoformat(row["time"]))
        for row in ledger.query(_DECIDED)
    )


def _waiting(ledger: Ledger, signal_id: str, signal: Signal, why: str) -> Waiting:
    row = ledger.query("SELECT * FROM interactions WHERE id = ?", (signal.interaction_id,))[0]
    return Waiting(signal_id, signal, row["id"], as_interaction(row), why)
