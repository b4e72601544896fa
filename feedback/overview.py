"""What a person asks the ledger: figures, a list, one answer with all that was said and decided about it.

Figures are SQL counts: well under a second on 200,000 answers. Lists are read page by page.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from strop.errors import UnknownInteraction, UsageError
from strop.feedback.ledger import Ledger
from strop.feedback.records import KINDS, TRUSTS, Interaction, Signal, check_label
from strop.feedback.reviews import Review
from strop.feedback.signals import DECIDING, GOOD
from strop.feedback.stored import as_interaction, as_signal
from strop.feedback.trusted import COUNTS

# True for a row of `signals` that the owner has still to look at.
WAITS = "trust != 'owner' AND NOT EXISTS (SELECT 1 FROM reviews WHERE signal_id = signals.id)"

# An id may be given by its beginning, of so many characters at least.
FEWEST_CHARS = 8

_STATES = ("corrected", "up", "down", "neutral")
_SIDES = ("train", "gate")
_DECIDES = f"kind IN {DECIDING}"
_STATE = f"""CASE WHEN kind = 'correction' THEN 'corrected' WHEN value >= {GOOD} THEN 'up'
    WHEN value <= -{GOOD} THEN 'down' ELSE 'neutral' END"""
# One text to group by: three columns take twice as long to sort.
_REACTIONS = f"""SELECT kind || ' ' || trust || ' ' || {_STATE} AS what, count(*) AS n FROM signals NOT INDEXED
    GROUP BY what"""  # noqa: S608 (a condition of ours)
# `signals.standing` in SQL: of the reactions to an answer, the owner's last, the latest decides, unless it is a bad or
# neutral rating and the latest correction or good rating is a correction. Most answers have one reaction and no review,
# and are counted above; here are the others (an index tells which), less what the count above made of them.
_OWNER = f"""WITH several AS MATERIALIZED (
        SELECT interaction_id FROM signals GROUP BY interaction_id HAVING count(*) > 1
        UNION SELECT interaction_id FROM reviews CROSS JOIN signals ON signals.id = signal_id),
    judged AS MATERIALIZED (
        SELECT interaction_id, trust, {COUNTS} AS counts, {_STATE} AS state,
            (trust = 'owner') || time || printf('%019d', seq) AS place
        FROM several CROSS JOIN signals USING (interaction_id) WHERE {_DECIDES}),
    latest AS (
        SELECT substr(max(place || state), :state) AS last,
            substr(max(CASE WHEN state IN ('corrected', 'up') THEN place || state END), :state) AS firm
        FROM judged WHERE counts GROUP BY interaction_id)
    SELECT state, -count(*) AS n FROM judged WHERE trust = 'owner' GROUP BY state
    UNION ALL SELECT CASE firm WHEN 'corrected' THEN firm ELSE last END AS state, count(*) FROM latest
        GROUP BY 1"""  # noqa: S608 (names and conditions of ours)
# Where in `place || state` the state begins: after one digit, a time of 32 characters and 19 digits.
_STATE_AT = 1 + 1 + 32 + 19
# Few answers ever change their side, and an index tells which.
_PLACED = """WITH moved AS MATERIALIZED (SELECT interaction_id FROM places GROUP BY interaction_id HAVING count(*) > 1)
    SELECT side, count(*) AS n FROM places WHERE interaction_id NOT IN moved GROUP BY side
    UNION ALL SELECT side, count(*) FROM places WHERE seq IN
        (SELECT max(seq) FROM places WHERE interaction_id IN moved GROUP BY interaction_id) GROUP BY side"""
# What narrows a list, by the name of the option that does.
_NARROWED = {
    "session": "session = :session",
    "user": "(user = :user OR id IN (SELECT interaction_id FROM signals WHERE user = :user))",
    "waiting": f"id IN (SELECT interaction_id FROM signals WHERE {WAITS})",  # noqa: S608 (a condition of ours)
}
_SIGNALS_OF = "SELECT * FROM signals WHERE interaction_id IN (SELECT value FROM json_each(?)) ORDER BY seq"
_REVIEWS_OF = """SELECT reviews.* FROM reviews JOIN signals ON signals.id = signal_id
    WHERE interaction_id IN (SELECT value FROM json_each(?)) ORDER BY reviews.seq"""
_STARTING = "SELECT id FROM signals WHERE id >= :start AND id < :start || 'g' LIMIT 2"


@dataclass(frozen=True, slots=True)
class Figures:
    """The ledger in figures.

    `counts`: answers (`interactions`) and reactions by kind. `owner`: answers by what the reactions that count come to.
    `trust`: reactions by whose word they are. `waiting`: reactions that the owner has still to look at. `sides`:
    answers by what they are used for. `standing_rows`: rows of standing data.
    """

    counts: dict[str, int]
    owner: dict[str, int]
    trust: dict[str, int]
    waiting: int
    sides: dict[str, int]
    standing_rows: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            "counts": self.counts,
            "owner": self.owner,
            "trust": self.trust,
            "waiting": self.waiting,
            "sides": self.sides,
            "standing_rows": self.standing_rows,
        }


NOTHING = Figures(
    {"interactions": 0, **dict.fromkeys(KINDS, 0)},
    dict.fromkeys(_STATES, 0),
    dict.fromkeys(TRUSTS, 0),
    0,
    dict.fromkeys(_SIDES, 0),
    0,
)


def figures(ledger: Ledger) -> Figures:
    """Count everything."""
    kinds, trusts, owner = (dict.fromkeys(names, 0) for names in (KINDS, TRUSTS, _STATES))
    for row in ledger.query(_REACTIONS):
        kind, trust, state = row["what"].split(" ")
        kinds[kind] += row["n"]
        trusts[trust] += row["n"]
        owner[state] += row["n"] if trust == "owner" and kind in DECIDING else 0
    for row in ledger.query(_OWNER, {"state": _STATE_AT}):
        owner[row["state"]] += row["n"]
    sides = dict.fromkeys(_SIDES, 0)
    for placed in ledger.query(_PLACED):
        # An older Strop wrote `held` for what trains now.
        sides["gate" if placed["side"] == "gate" else "train"] += int(placed["n"])
    return Figures(
        counts={"interactions": _count(ledger, "interactions"), **kinds},
        owner=owner,
        trust=trusts,
        waiting=waiting(ledger),
        sides=sides,
        standing_rows=_count(ledger, "standing_rows"),
    )


@dataclass(frozen=True, slots=True)
class Reaction:
    """One stored reaction, and the decisions on it in order; the last one holds."""

    id: str
    signal: Signal
    reviews: tuple[Review, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether the owner has still to look at it."""
        return self.signal.trust != "owner" and not self.reviews

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON data."""
        decisions = [
            {"decision": one.decision, "text": one.text, "who": one.who, "time": one.time.isoformat()}
            for one in self.reviews
        ]
        return {"id": self.id, **self.signal.as_dict(), "waiting": self.waits, "reviews": decisions}


@dataclass(frozen=True, slots=True)
class Answer:
    """One interaction under the id that it is stored with, and the reactions to it in the order in which they came."""

    id: str
    interaction: Interaction
    reactions: tuple[Reaction, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            "id": self.id,
            **self.interaction.as_dict(),
            "signals": [reaction.as_dict() for reaction in self.reactions],
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer and what it is used for: its cluster and side with the reason (None: it has none yet), and in how many
    of the gate's tests it has served.
    """

    answer: Answer
    cluster: str | None
    side: str | None
    reason: str | None
    tests: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON data."""
        place = {"cluster": self.cluster, "side": self.side, "reason": self.reason, "tests": self.tests}
        return {**self.answer.as_dict(), **place}


def newest(
    ledger: Ledger, limit: int, *, session: str | None = None, user: str | None = None, waiting: bool = False
) -> Iterator[Answer]:
    """The newest answers first, `limit` at the most.

    `session`: of that session. `user`: asked or reacted to by that user. `waiting`: those with a reaction that waits.
    """
    given = {"session": session, "user": user, "waiting": waiting or None}
    for name in ("session", "user"):
        check_label(name, given[name] or "")
    conditions = ["seq < :before", *(_NARROWED[name] for name, value in given.items() if value is not None)]
    statement = f"SELECT * FROM interactions WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :left"  # noqa: S608
    before, left = 1 << 62, min(limit, 1 << 62)
    while left and (rows := ledger.page(statement, {**given, "before": before, "left": left})):
        yield from _answers(ledger, rows)
        before, left = rows[-1]["seq"], left - len(rows)


def show(ledger: Ledger, start: str) -> Shown:
    """The answer whose id begins with `start`. Raises UsageError for too short a beginning, UnknownInteraction."""
    found = answer_id(ledger, start)
    (answer,) = _answers(ledger, ledger.query("SELECT * FROM interactions WHERE id = ?", (found,)))
    placed = ledger.query("SELECT * FROM places WHERE interaction_id = ? ORDER BY seq DESC LIMIT 1", (found,))
    tests = int(ledger.query("SELECT count(*) AS n FROM gate_uses WHERE interaction_id = ?", (found,))[0]["n"])
    cluster, side, reason = (placed[0][name] if placed else None for name in ("cluster", "side", "reason"))
    return Shown(answer, cluster, side, reason, tests)


def answer_id(ledger: Ledger, start: str) -> str:
    """The one answer's id that begins with `start`. Raises as `show`."""
    return ledger.complete(_long_enough(start))


def reaction_id(ledger: Ledger, start: str) -> str:
    """The one reaction's id that begins with `start`. Raises UsageError, UnknownInteraction."""
    rows = ledger.query(_STARTING, {"start": _long_enough(start)})
    if len(rows) != 1:
        said = "more than one reaction begins" if rows else "no reaction begins"
        raise UnknownInteraction(f"{said} with {start!r}", hint="strop feedback review --list shows the ids")
    return str(rows[0]["id"])


def waiting(ledger: Ledger) -> int:
    """How many reactions the owner has still to look at."""
    return _count(ledger, f"signals WHERE {WAITS}")


def _count(ledger: Ledger, what: str) -> int:
    return int(ledger.query(f"SELECT count(*) AS n FROM {what}")[0]["n"])  # noqa: S608 (names and conditions of ours)


def _long_enough(start: str) -> str:
    check_label("id", start)
    if len(start) < FEWEST_CHARS:
        raise UsageError(f"{start!r} is too short for an id", hint=f"give at least its first {FEWEST_CHARS} characters")
    return start


def _answers(ledger: Ledger, rows: Sequence[sqlite3.Row]) -> Iterator[Answer]:
    ids = json.dumps([row["id"] for row in rows])
    reviews: dict[str, list[Review]] = {}
    for row in ledger.query(_REVIEWS_OF, (ids,)):
        time = datetime.fromisoformat(row["time"])
        reviews.setdefault(row["signal_id"], []).append(
            Review(row["signal_id"], row["decision"], row["text"], row["who"], time)
        )
    reactions: dict[str, list[Reaction]] = {}
    for row in ledger.query(_SIGNALS_OF, (ids,)):
        one = Reaction(row["id"], as_signal(row), tuple(reviews.get(row["id"], ())))
        reactions.setdefault(row["interaction_id"], []).append(one)
    for row in rows:
        yield Answer(row["id"], as_interaction(row), tuple(reactions.get(row["id"], ())))
