"""Whether the ledger is what was stored: SQLite's own checks, and every hash derived again from what stands there."""

import json
import sqlite3
from collections.abc import Callable, Iterator

from strop.errors import BadRecord
from strop.feedback.ledger import Ledger
from strop.feedback.sketch import sketches
from strop.feedback.standing_data import set_id, sets
from strop.feedback.stored import as_interaction, as_signal, review_id

_SKETCHED = """SELECT interactions.*, exact, chars, words FROM interactions LEFT JOIN sketches USING (seq)
    WHERE interactions.seq > ? ORDER BY interactions.seq"""
_HASHED: tuple[tuple[str, str, Callable[[sqlite3.Row], str]], ...] = (
    ("row", "SELECT * FROM interactions WHERE seq > ? ORDER BY seq", lambda row: as_interaction(row).id),
    ("row", "SELECT * FROM signals WHERE seq > ? ORDER BY seq", lambda row: as_signal(row).id),
    (
        "review",
        "SELECT * FROM reviews WHERE seq > ? ORDER BY seq",
        lambda row: review_id(*(row[name] for name in ("signal_id", "decision", "text", "who", "time"))),
    ),
)


def problems(ledger: Ledger) -> tuple[str, ...]:
    """What is wrong with the ledger, as sentences: pages, references, and rows that no longer match their id."""
    return tuple(_problems(ledger))


def _problems(ledger: Ledger) -> Iterator[str]:
    yield from (str(row[0]) for row in ledger.query("PRAGMA integrity_check") if row[0] != "ok")
    for row in ledger.query("PRAGMA foreign_key_check"):
        yield f"{row[0]}: row {row[1]} refers to a missing {row[2]}"
    for what, statement, derived in _HASHED:
        last = 0
        while rows := ledger.page(statement, (last,)):
            yield from (f"{what} {row['id']} is not what was stored" for row in rows if not _matches(row, derived))
            last = rows[-1]["seq"]
    yield from _sketches(ledger)
    for one in sets(ledger):
        found = ledger.query("SELECT row FROM standing_rows WHERE set_id = ? ORDER BY line", (one.id,))
        try:
            same = set_id(one.domain, [json.loads(row["row"]) for row in found]) == one.id
        except ValueError:
            same = False
        if not same:
            yield f"standing data {one.id} is not what was stored"


def _sketches(ledger: Ledger) -> Iterator[str]:
    """Sketches that are not those of their texts: by them near-duplicates are kept on one side."""
    last = 0
    while rows := ledger.page(_SKETCHED, (last,)):
        last = rows[-1]["seq"]
        made = sketches([as_interaction(row).asked for row in rows])
        for row, found in zip(rows, made, strict=True):
            if (row["exact"], row["chars"], row["words"]) != found:
                yield f"the sketch of {row['id']} is not that of its text"


def _matches(row: sqlite3.Row, derived: Callable[[sqlite3.Row], str]) -> bool:
    try:
        return bool(derived(row) == row["id"])
    except (BadRecord, ValueError, TypeError, KeyError):
        return False
