"""Whose word counts: the owner's, and what the owner accepted of other people's.

A reaction of anybody else is kept and waits until the owner looks at it (`strop feedback review`). The latest decision
on a reaction holds: `accept` and `edit` (accepted with another text) make it count as the owner's word, `reject` makes
it count for nothing, the owner's own included.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Signal
from strop.feedback.stored import as_interaction, as_signal

# True for a row of `signals` that counts. `signals` is in scope; nothing else is.
COUNTS = """coalesce((SELECT decision FROM reviews WHERE signal_id = signals.id ORDER BY reviews.seq DESC LIMIT 1),
    CASE trust WHEN 'owner' THEN 'accept' ELSE 'wait' END) IN ('accept', 'edit')"""

_INTERACTIONS = """SELECT * FROM interactions WHERE seq > ? AND seq <= ?
    AND EXISTS (SELECT 1 FROM signals WHERE interaction_id = interactions.id) ORDER BY seq"""
_SIGNALS = f"""SELECT signals.*, {COUNTS} AS counts,
    (SELECT text FROM reviews WHERE signal_id = signals.id ORDER BY reviews.seq DESC LIMIT 1) AS edited
    FROM interactions JOIN signals ON signals.interaction_id = interactions.id
    WHERE interactions.seq BETWEEN ? AND ? ORDER BY signals.seq"""  # noqa: S608 (a condition of ours)


@dataclass(frozen=True, slots=True)
class Counted:
    """A reaction that counts. `id` is that of the stored one; `signal` has the text that the owner gave it in review.

    `others` says that it is not the owner's own but was accepted.
    """

    id: str
    signal: Signal
    others: bool


@dataclass(frozen=True, slots=True)
class Reacted:
    """An interaction with the reactions to it that count, and how many wait for the owner or were rejected."""

    id: str
    interaction: Interaction
    counted: tuple[Counted, ...]
    left_out: tuple[Signal, ...]


def reacted(ledger: Ledger) -> Iterator[Reacted]:
    """Every interaction that somebody reacted to, oldest first, page by page."""
    last, newest = 0, ledger.newest()
    while rows := ledger.page(_INTERACTIONS, (last, newest)):
        found: dict[str, list[sqlite3.Row]] = {}
        for row in ledger.query(_SIGNALS, (rows[0]["seq"], rows[-1]["seq"])):
            found.setdefault(row["interaction_id"], []).append(row)
        last = rows[-1]["seq"]
        for row in rows:
            yield _reacted(row["id"], as_interaction(row), found.get(row["id"], []))


def _reacted(interaction_id: str, interaction: Interaction, rows: list[sqlite3.Row]) -> Reacted:
    counted = tuple(_counted(row) for row in rows if row["counts"])
    return Reacted(interaction_id, interaction, counted, tuple(as_signal(row) for row in rows if not row["counts"]))


def _counted(row: sqlite3.Row) -> Counted:
    signal = as_signal(row, row["edited"])
    return Counted(row["id"], signal, signal.trust != "owner")
