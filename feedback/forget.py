"""Taking feedback out of the ledger for good, so that neither the file nor a second import holds it.

What goes is chosen in `selected`. An interaction takes along the reactions to it, their reviews, its sketch, its side
and its tests; each leaves a keyed tombstone, by which the ledger refuses it from then on.

Covered: the rows, free pages, the write-ahead log, and the copies that migrations left. Not covered: blocks that the
disk kept of deleted files (the rollback journal, those copies); exports and backups elsewhere; the file's name of
standing data that stays; the names in reviews and events of those who decided; a text that comes back with other words
around it, or under another session, and so under another id.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from strop.errors import Locked
from strop.feedback.ledger import Ledger
from strop.feedback.migrations import backups
from strop.feedback.records import now, time_text
from strop.feedback.selected import Chosen, Selector, among, select
from strop.feedback.standing_data import row_mark, set_id
from strop.files import sync_dir

_IN = "IN (SELECT value FROM json_each(?))"
# In this order: nothing may refer to a row that is gone.
_BY_SIGNAL = (("reviews", "signal_id"),)
_BY_INTERACTION = tuple((table, "interaction_id") for table in ("gate_uses", "places", "placeholders"))


def forget(ledger: Ledger, selector: Selector, who: str = "owner") -> Chosen:
    """Take out what is selected, for good; returns it, with the traces by which what was made of it is found.

    Nothing selected is no error. Raises UnknownInteraction for an id that is not there, Locked where another program
    has the ledger open for reading and does not let go: then the rows are gone, and `sweep` is to be repeated.
    """
    with ledger.transaction():
        chosen = select(ledger, selector)
        take_out(ledger, chosen, described(ledger, selector), who)
    sweep(ledger)
    return chosen


def described(ledger: Ledger, selector: Selector) -> dict[str, Any]:
    """The selector for the event: how it was chosen, and keyed marks in place of what was looked for."""
    if selector.by == "age":
        return {"by": "age", "before": selector.values[0]}
    marks = [ledger.tombstone("selector", selector.by, value).hex() for value in selector.values]
    return {"by": selector.by, "marks": marks}


def take_out(ledger: Ledger, chosen: Chosen, detail: Mapping[str, Any], who: str = "owner") -> dict[str, int]:
    """Take the rows out, leave their tombstones and write the event, all in one transaction; returns counts by table.

    Rows that are gone already are passed over, so it may be repeated. `sweep` does the rest.
    """
    with ledger.transaction():
        # Every page that is given back is filled with zeros.
        ledger.query("PRAGMA secure_delete = ON")
        ledger.query("PRAGMA defer_foreign_keys = ON")
        ledger.execute("INSERT OR REPLACE INTO facts VALUES ('forgetting', 1)")
        _leave_tombstones(ledger, chosen)
        counts = _take_rows(ledger, chosen) | _take_standing(ledger, chosen)
        if any(counts.values()):
            ledger.record_event("forget", who, {**detail, "rows": counts, "repeats": chosen.repeats})
        ledger.execute("DELETE FROM facts WHERE name = 'forgetting'")
    return counts


def sweep(ledger: Ledger) -> None:
    """Write the file anew without free pages, empty the write-ahead log and remove the copies of earlier schemas.

    Safe to repeat. Raises Locked where another program keeps the file open for reading.
    """
    ledger.query("PRAGMA secure_delete = ON")
    ledger.query("VACUUM")
    if ledger.query("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
        raise Locked(f"another program reads {ledger.path}, so its log could not be emptied", hint="try again")
    folder, half = ledger.path.parent, f"{ledger.path.name}.schema*.backup.new"
    for copy in [*backups(ledger.path), *folder.glob(half)]:
        copy.unlink(missing_ok=True)
    sync_dir(folder)


def was_forgotten(ledger: Ledger, *parts: str) -> bool:
    """Whether there is a tombstone for this id, or this (source, source_key)."""
    return bool(ledger.query("SELECT 1 FROM tombstones WHERE mark = ?", (ledger.tombstone(*parts),)))


def _leave_tombstones(ledger: Ledger, chosen: Chosen) -> None:
    marks = [ledger.tombstone(one) for one in (*chosen.interactions, *chosen.signals)]
    events = ledger.query(f"SELECT source, source_key FROM signals WHERE id {_IN}", (among(chosen.signals),))  # noqa: S608
    marks += [ledger.tombstone(row["source"], row["source_key"]) for row in events if row["source_key"]]
    for which, line in chosen.standing:
        rows = ledger.query("SELECT row FROM standing_rows WHERE set_id = ? AND line = ?", (which, line))
        marks += [row_mark(ledger, json.loads(row["row"])) for row in rows]
    time = time_text(now())
    for mark in marks:
        ledger.execute("INSERT OR IGNORE INTO tombstones VALUES (?, ?)", (mark, time))


def _take_rows(ledger: Ledger, chosen: Chosen) -> dict[str, int]:
    interactions, signals = among(chosen.interactions), among(chosen.signals)
    counts: Counter[str] = Counter()

    def delete(table: str, condition: str, ids: str) -> None:
        counts[table] = ledger.execute(f"DELETE FROM {table} WHERE {condition}", (ids,)).rowcount  # noqa: S608

    for table, column in _BY_SIGNAL:
        delete(table, f"{column} {_IN}", signals)
    delete("signals", f"id {_IN}", signals)
    for table, column in _BY_INTERACTION:
        delete(table, f"{column} {_IN}", interactions)
    delete("sketches", f"seq IN (SELECT seq FROM interactions WHERE id {_IN})", interactions)  # noqa: S608
    delete("interactions", f"id {_IN}", interactions)
    return dict(counts)


def _take_standing(ledger: Ledger, chosen: Chosen) -> dict[str, int]:
    """Standing rows go, and their set gets the id that it would have had without them.

    The old id is a plain hash of texts that are forgotten. With the new one, the same file is known when it is added
    again: its forgotten rows are passed over, and what is left is there already.
    """
    rows = 0
    for which, line in chosen.standing:
        statement = "DELETE FROM standing_rows WHERE set_id = ? AND line = ?"
        rows += ledger.execute(statement, (which, line)).rowcount
    sets = sum(_renewed(ledger, which) for which in sorted({which for which, _ in chosen.standing}))
    return {"standing_rows": rows, "standing_sets": sets}


def _renewed(ledger: Ledger, which: str) -> int:
    """Give a set that lost rows its new id and count, or take it out where nothing is left; 1 where it goes."""
    found = ledger.query("SELECT domain FROM standing_sets WHERE id = ?", (which,))
    if not found:
        return 0
    left = ledger.query("SELECT row FROM standing_rows WHERE set_id = ? ORDER BY line", (which,))
    new = set_id(found[0]["domain"], [json.loads(row["row"]) for row in left]) if left else ""
    if new and not ledger.query("SELECT 1 FROM standing_sets WHERE id = ?", (new,)):
        ledger.execute("UPDATE standing_rows SET set_id = ? WHERE set_id = ?", (new, which))
        ledger.execute("UPDATE standing_sets SET id = ?, rows = ? WHERE id = ?", (new, len(left), which))
        _rename_in_events(ledger, which, new)
        return 0
    ledger.execute("DELETE FROM standing_rows WHERE set_id = ?", (which,))
    ledger.execute("DELETE FROM standing_sets WHERE id = ?", (which,))
    _rename_in_events(ledger, which, ledger.tombstone(which).hex())
    return 1


def _rename_in_events(ledger: Ledger, old: str, new: str) -> None:
    ledger.execute("UPDATE events SET detail = replace(detail, ?, ?)", (old, new))
