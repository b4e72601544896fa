"""Which of a session's records are active: the way back from the last leaf, which leaves rewound branches out.

Records form a tree by `parentId`. The leaf is the newest record of a known kind, unless a `leaf` record moved it, which
is how a rewind is written; after a `reset` nothing before it can become the leaf again. Rules:
src/config/sessions/transcript-tree.ts of OpenClaw 2026.9.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Record = Mapping[str, Any]

CANONICAL = (
    *("message", "thinking_level_change", "model_change", "compaction", "reset", "branch_summary"),
    *("custom", "custom_message", "label", "session_info"),
)
KNOWN = ("session", "leaf", *CANONICAL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its id, and its position among all records of the session."""

    id: str
    position: int
    record: Record


@dataclass(slots=True)
class _Tree:
    """The tree while it grows. `leaf` is what is active, `hung` what the next record would hang on."""

    parents: dict[str, str | None] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    leaf: str | None = None
    hung: str | None = None
    since_reset: set[str] | None = None

    def add(self, entry: Entry, *, named: bool) -> None:
        """Hang a record where it belongs. One without an id follows the leaf, as in the oldest files."""
        record, kind = entry.record, entry.record.get("type")
        if kind == "leaf":
            self._move(record)
            self.parents[entry.id] = self.leaf
            return
        parent = _reference(record, "parentId", self.leaf) if named else self.leaf
        if kind in CANONICAL and record.get("appendMode") != "side":
            parent = self._logical(parent)
            self.leaf = entry.id
        self.parents[entry.id], self.entries[entry.id], self.hung = parent, entry, entry.id
        if kind == "reset":
            self.since_reset = {entry.id}
        elif self.since_reset is not None and parent in self.since_reset:
            self.since_reset.add(entry.id)

    def _logical(self, parent: str | None) -> str | None:
        """What hangs on a record that is not active, is lost or lies before the reset goes on from the leaf instead."""
        outside = self.since_reset is not None and parent not in self.since_reset
        lost = parent is not None and parent not in self.parents
        return self.leaf if self.leaf is not None and (outside or lost or parent == self.hung) else parent

    def _move(self, record: Record) -> None:
        target = _reference(record, "targetId", self.leaf)
        known = target is None or target in self.parents
        if known and (self.since_reset is None or target in self.since_reset):
            self.leaf, self.hung = target, _reference(record, "appendParentId", target)

    def way_back(self) -> list[Entry]:
        """From the root to the leaf."""
        way: list[Entry] = []
        one, seen = self.leaf, set[str]()
        while one is not None and one not in seen:
            seen.add(one)
            if one in self.entries:
                way.append(self.entries[one])
            one = self.parents.get(one)
        return way[::-1]


def active(records: Sequence[Record | None]) -> list[Entry]:
    """The active branch, from its root on. None stands for a record that cannot be read."""
    tree = _Tree()
    for position, record in enumerate(records):
        if record is None or record.get("type") in (None, "session"):
            continue
        one = _reference(record, "id", None)
        entry = Entry(one or f"record {position}", position, record)
        if entry.id not in tree.parents:
            tree.add(entry, named=bool(one))
    return tree.way_back()


def _reference(record: Record, name: str, unsaid: str | None) -> str | None:
    value = record.get(name, unsaid)
    return value if isinstance(value, str) else None
