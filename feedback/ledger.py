"""The ledger: every interaction and every reaction to it, in one SQLite file that is only ever added to.

Covered: a row whose id was returned is on disk and survives `kill -9` and a power cut; two processes or threads may
write at once; storing the same thing twice stores it once.
Not covered: network file systems, and a copy of the file taken while it is in use.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from strop.errors import Forgotten, UnknownInteraction
from strop.feedback.connection import connect
from strop.feedback.database import Database
from strop.feedback.records import KINDS, Interaction, Signal, now, time_text
from strop.feedback.scrub import Given, Scrubbed, Scrubber
from strop.feedback.scrubbed import (
    Prepared,
    Scrub,
    given_before,
    parts_of,
    scrubbed_interaction,
    scrubbed_signal,
    scrubbed_text,
    value_print,
)
from strop.feedback.sketch import sketch, sketches
from strop.feedback.stored import as_interaction, as_signal, interaction_row, mark, signal_row
from strop.files import canonical_json

# From so many texts on, NumPy is worth its import.
_BULK_ROWS = 64
_ADD_INTERACTION = """INSERT INTO interactions
    (seq, id, messages, answer, model, version, domain, channel, user, session, turn, tool_calls, time)
    VALUES (:seq, :id, :messages, :answer, :model, :version, :domain, :channel, :user, :session, :turn, :tool_calls,
        :time)
    ON CONFLICT DO NOTHING"""
_ADD_SKETCH = "INSERT INTO sketches VALUES (?, ?, ?, ?)"
_ADD_SIGNAL = """INSERT INTO signals
    (seq, id, interaction_id, kind, value, text, user, source, source_key, trust, time)
    VALUES (:seq, :id, :interaction_id, :kind, :value, :text, :user, :source, :source_key, :trust, :time)
    ON CONFLICT DO NOTHING"""
_SAME_SIGNAL = """SELECT id FROM signals WHERE source = ? AND source_key = ?
    UNION ALL SELECT id FROM signals WHERE id = ?"""
_NEWEST = """SELECT id FROM interactions WHERE (:session IS NULL OR session = :session)
    AND (:turn IS NULL OR turn = :turn) ORDER BY seq DESC LIMIT 1"""
_NEWEST_OF = {
    "interactions": "SELECT coalesce(max(seq), 0) AS seq FROM interactions",
    "signals": "SELECT coalesce(max(seq), 0) AS seq FROM signals",
}
_NEW_IN = {
    "interactions": "SELECT seq FROM interactions WHERE seq > ?",
    "signals": "SELECT seq FROM signals WHERE seq > ?",
}
_ADD = {"interactions": _ADD_INTERACTION, "signals": _ADD_SIGNAL}
_KNOWN = "SELECT 1 FROM interactions WHERE id = ?"
_OLDEST_FIRST = """SELECT * FROM interactions WHERE seq > ? AND seq <= ?
    AND (? OR EXISTS (SELECT 1 FROM signals WHERE interaction_id = interactions.id)) ORDER BY seq LIMIT ?"""
_NEWEST_FIRST = """SELECT * FROM interactions WHERE seq < ? AND seq <= ?
    AND (? OR EXISTS (SELECT 1 FROM signals WHERE interaction_id = interactions.id)) ORDER BY seq DESC LIMIT ?"""
_SIGNALS_BETWEEN = """SELECT signals.* FROM interactions JOIN signals ON signals.interaction_id = interactions.id
    WHERE interactions.seq BETWEEN ? AND ? ORDER BY signals.seq"""
_STANDARD = Scrubber()


class Ledger(Database):
    """One open ledger; `Ledger.open` makes one. Threads may share it; a forked child gets its own connection.

    Raises LedgerError where the file cannot be used, Locked where another process holds it for half a minute.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, scrubber: Scrubber | None) -> None:
        super().__init__(path, connection)
        self.scrub: Scrub = _unchanged if scrubber is None else scrubber.scrub

    @classmethod
    def open(cls, path: Path | str, *, scrubber: Scrubber | None = _STANDARD) -> Self:
        """Open the ledger at `path`, making it (mode 0600) or bringing it up to date where needed.

        Every text goes through `scrubber` before it is stored; None stores texts as they come.
        """
        return cls(Path(path), connect(Path(path)), scrubber)

    # Writing

    def add_interaction(self, interaction: Interaction) -> str:
        """Store an interaction, scrubbed, and return its id, which is on disk then. The same one twice is one row.

        The id is that of what is stored, so it may differ from `interaction.id`. Raises Forgotten where it was taken
        out by `forget`.
        """
        return self.put_interaction(interaction)[0]

    def add_signal(self, signal: Signal) -> str:
        """Store a reaction, scrubbed, and return its id. The same (source, source_key) again returns the first's id.

        Raises UnknownInteraction when the ledger does not hold the interaction, Forgotten as `add_interaction`.
        """
        return self.put_signal(signal)[0]

    def put_interaction(self, interaction: Interaction) -> tuple[str, bool]:
        """Like `add_interaction`; also says whether the row is new."""
        return self.put_interactions([interaction])[0]

    def put_interactions(self, interactions: Sequence[Interaction]) -> list[tuple[str, bool]]:
        """Like `put_interaction` for each, in order, all of them or none. Many at once cost far less each."""
        return self.put_prepared([self.prepare(interaction) for interaction in interactions])

    def prepare(self, interaction: Interaction) -> Prepared:
        """An interaction as `put_prepared` stores it: scrubbed, so that it may be written down elsewhere before."""
        clean, values = scrubbed_interaction(interaction, self.scrub)
        key = self._key() if values else b""
        return Prepared(clean, {name: value_print(key, parts_of(name)[0], value) for name, value in values.items()})

    def put_prepared(self, prepared: Sequence[Prepared]) -> list[tuple[str, bool]]:
        """Store what `prepare` gave, as `put_interactions` does."""
        asked = [one.interaction.asked for one in prepared]
        sketched = sketches(asked) if len(asked) >= _BULK_ROWS else map(sketch, asked)
        with self.transaction(), self._use() as connection:
            refuse = self._forgotten()
            rows = [interaction_row(one.interaction) for one in prepared]
            if refuse:
                for row in rows:
                    refuse(row["id"])
            new = self._insert(connection, "interactions", rows)
            together = zip(rows, sketched, strict=True)
            connection.executemany(_ADD_SKETCH, ((row["seq"], *of) for row, of in together if row["seq"] in new))
            prints = (
                (row["id"], *pair) for row, one in zip(rows, prepared, strict=True) for pair in one.prints.items()
            )
            connection.executemany("INSERT OR IGNORE INTO placeholders VALUES (?, ?, ?)", prints)
            return [(str(row["id"]), row["seq"] in new) for row in rows]

    def put_signal(self, signal: Signal) -> tuple[str, bool]:
        """Like `add_signal`; also says whether the row is new."""
        return self.put_signals([signal])[0]

    def put_signals(self, signals: Sequence[Signal]) -> list[tuple[str, bool]]:
        """Like `put_signal` for each, in order, all of them or none."""
        stored = [scrubbed_signal(signal, self.scrub, self._given) for signal in signals]
        with self.transaction(), self._use() as connection:
            refuse = self._forgotten()
            rows = [signal_row(one) for one in stored]
            for row in rows:
                if refuse and not self._same(connection, row):
                    refuse(row["id"], row["source"], row["source_key"] or "")
            try:
                new = self._insert(connection, "signals", rows)
            except sqlite3.IntegrityError:
                for signal in stored:
                    if not connection.execute(_KNOWN, (signal.interaction_id,)).fetchone():
                        advice = "record the answer before a reaction to it"
                        raise _unknown(signal.interaction_id, advice) from None
                raise
            return [
                (row["id"], True) if row["seq"] in new else (str(self._same(connection, row)), False) for row in rows
            ]

    def _insert(
        self, connection: sqlite3.Connection, table: Literal["interactions", "signals"], rows: list[dict[str, Any]]
    ) -> set[int]:
        """Give the rows their places (`seq`) and store those that are not there yet; the places of what is new."""
        last = self.newest(table)
        for seq, row in enumerate(rows, last + 1):
            row["seq"] = seq
        connection.executemany(_ADD[table], rows)
        return {seq for (seq,) in connection.execute(_NEW_IN[table], (last,))}

    @staticmethod
    def _same(connection: sqlite3.Connection, row: Mapping[str, Any]) -> str | None:
        """The id under which the same event is stored already."""
        found = connection.execute(_SAME_SIGNAL, (row["source"], row["source_key"], row["id"])).fetchone()
        return None if found is None else str(found["id"])

    def scrubbed(self, text: str, about: str = "") -> str:
        """One text as it may be stored; `about` is the id of the answer that it speaks of."""
        return scrubbed_text(text, self.scrub, lambda: self._given(about) if about else None)

    def record_event(self, what: str, who: str, detail: Mapping[str, Any]) -> None:
        """Write down who did what to the ledger as a whole, for `strop audit`."""
        self.execute(
            "INSERT INTO events (what, who, detail, time) VALUES (?, ?, ?, ?)",
            (what, who, canonical_json(detail), time_text(now())),
        )

    def tombstone(self, *parts: str) -> bytes:
        """The keyed mark that stands for something forgotten: 32 bytes, of no use without this ledger's key."""
        return mark(self._key(), *parts)

    def _key(self) -> bytes:
        return bytes(self.query("SELECT value FROM facts WHERE name = 'tombstone_key'")[0]["value"])

    def _given(self, interaction_id: str) -> Given | None:
        """The placeholders of an answer, from which a text about it goes on."""
        rows = self.query("SELECT placeholder, print FROM placeholders WHERE interaction_id = ?", (interaction_id,))
        return given_before({row["placeholder"]: row["print"] for row in rows}, self._key()) if rows else None

    def _forgotten(self) -> Callable[..., None] | None:
        """What raises Forgotten for a row that was taken out before; None where nothing ever was."""
        if not self.query("SELECT 1 FROM tombstones LIMIT 1"):
            return None

        def refuse(row_id: str, source: str = "", source_key: str = "") -> None:
            marks = [self.tombstone(row_id)] + ([self.tombstone(source, source_key)] if source_key else [])
            if any(self.query("SELECT 1 FROM tombstones WHERE mark = ?", (mark,)) for mark in marks):
                raise Forgotten(f"{row_id[:12]} was forgotten and is not stored again", hint="strop audit")

        return refuse

    # Reading

    def interaction(self, interaction_id: str) -> Interaction:
        """The interaction with this id. Raises UnknownInteraction."""
        rows = self.query("SELECT * FROM interactions WHERE id = ?", (interaction_id,))
        if not rows:
            raise _unknown(interaction_id)
        return as_interaction(rows[0])

    def find(self, session: str | None, turn: int | None = None) -> str:
        """The id of the newest answer of a session (None: of all), or of its turn `turn`. Raises UnknownInteraction."""
        rows = self.query(_NEWEST, {"session": session, "turn": turn})
        if not rows:
            where = "the ledger" if session is None else f"session {session!r}"
            raise UnknownInteraction(
                f"{where} holds no answer{'' if turn is None else f' of turn {turn}'}", hint="strop feedback list"
            )
        return str(rows[0]["id"])

    def complete(self, start: str) -> str:
        """The one interaction id that begins with `start`. Raises UnknownInteraction for none or several."""
        rows = self.query("SELECT id FROM interactions WHERE substr(id, 1, ?) = ? LIMIT 2", (len(start), start))
        if len(rows) != 1 or not start:
            said = "no interaction" if not rows else "more than one interaction"
            raise UnknownInteraction(f"{said} begins with {start!r}", hint="strop feedback list shows the ids")
        return str(rows[0]["id"])

    def signals(self, interaction_id: str) -> tuple[Signal, ...]:
        """The reactions to one interaction, in the order in which they came; none for an unknown id."""
        rows = self.query("SELECT * FROM signals WHERE interaction_id = ? ORDER BY seq", (interaction_id,))
        return tuple(as_signal(row) for row in rows)

    def iterate(
        self, *, with_signals: bool = False, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[tuple[Interaction, tuple[Signal, ...]]]:
        """Each interaction with its signals, both in the order in which they came.

        `with_signals` leaves out those that nobody reacted to. Reads page by page, so that a slow reader never keeps
        a writer waiting, up to what was there at the start.
        """
        statement = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        left, last = (1 << 62) if limit is None else limit, (1 << 62) if newest_first else 0
        newest = self.newest()
        while left > 0:
            rows = self.page(statement, (last, newest, not with_signals, left))
            if not rows:
                return
            last, left = rows[-1]["seq"], left - len(rows)
            signals: dict[str, list[Signal]] = {}
            for row in self.query(_SIGNALS_BETWEEN, tuple(sorted((rows[0]["seq"], last)))):
                signals.setdefault(row["interaction_id"], []).append(as_signal(row))
            for row in rows:
                yield as_interaction(row), tuple(signals.get(row["id"], ()))

    def newest(self, table: Literal["interactions", "signals"] = "interactions") -> int:
        """The place of the newest row: where a long read that starts now ends. 0 in an empty ledger."""
        return int(self.query(_NEWEST_OF[table])[0]["seq"])

    def counts(self) -> dict[str, int]:
        """How many `interactions`, and how many signals of each kind (every kind is named, also at 0)."""
        kinds = {row["kind"]: row["n"] for row in self.query("SELECT kind, count(*) AS n FROM signals GROUP BY kind")}
        interactions = self.query("SELECT count(*) AS n FROM interactions")[0]["n"]
        return {"interactions": interactions, **{kind: kinds.get(kind, 0) for kind in KINDS}}


def _unknown(interaction_id: str, advice: str = "") -> UnknownInteraction:
    hint = "strop feedback list --json shows the ids" + (f"; {advice}" if advice else "")
    return UnknownInteraction(f"the ledger holds no interaction {interaction_id!r}", hint=hint)


def _unchanged(texts: Sequence[str], given: Given | None = None) -> Scrubbed:
    return Scrubbed(tuple(texts), {})
