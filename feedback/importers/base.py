"""What every importer gives, and how it is stored: in batches, each with its cursor in one transaction.

An importer only reads. It turns one source (a file, a folder, a database) into turns: what was asked and answered,
and how people reacted. Storing is the same for all of them, and so is the promise: safe to run twice, and a second
run reads on where the first one stopped.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from strop.errors import BadRecord, Forgotten
from strop.feedback.cursors import Cursors, set_cursor
from strop.feedback.ledger import Ledger
from strop.feedback.nextmessage import WEIGHTS, implied
from strop.feedback.records import Interaction, Kind, Signal, Trust

# So many turns are stored in one transaction, for which others wait.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Reaction:
    """One reaction that a source holds. `source_key` names the event within the source; the same key is stored once."""

    kind: Kind
    value: float
    source_key: str
    time: datetime
    text: str | None = None
    user: str = "owner"
    trust: Trust = "owner"


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered question. `next_message` is what the same user wrote next, None where that is not known (yet)."""

    interaction: Interaction
    reactions: tuple[Reaction, ...] = ()
    next_message: str | None = None
    next_time: datetime | None = None
    trust: Trust = "owner"


@dataclass(frozen=True, slots=True)
class Batch:
    """Turns that were read together from one `place`, and the cursor from which the next run reads on.

    `place` names what the cursor belongs to (a file, a session, a table). A cursor stands before the last turn whose
    next message is not known yet: it is read again then. `skipped` counts what was not taken, by reason.
    """

    place: str
    turns: tuple[Turn, ...]
    cursor: str
    skipped: Mapping[str, int] = field(default_factory=dict)


class Importer(Protocol):
    """One format. `name` is also the `source` of its signals."""

    name: str

    def finds(self, path: Path) -> bool:
        """Whether what lies at `path` looks like this format. Opens it for reading at the most."""
        ...

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """Everything after the cursors (by place). Raises BadRecord or UsageError naming the place that is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: turns that brought something new, turns that were known, and what was left out and why."""

    added: int = 0
    known: int = 0
    signals: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


def run(importer: Importer, ledger: Ledger, path: Path) -> Imported:
    """Store all that is new at `path`. A crash loses nothing that was stored and reads the rest again."""
    skipped: Counter[str] = Counter()
    added = known = signals = 0
    for batch, turns, last in _parts(importer.read(path, Cursors(ledger, importer.name))):
        with ledger.transaction():
            for turn in turns:
                try:
                    new, told = _store(ledger, importer.name, turn)
                except BadRecord as error:  # one turn that cannot be stored must not cost the others
                    skipped[f"refused: {error}"] += 1
                    continue
                except Forgotten:
                    skipped["forgotten before"] += 1
                    continue
                added, known, signals = added + new, known + (not new), signals + told
            if last:
                set_cursor(ledger, importer.name, batch.place, batch.cursor)
        if last:
            skipped.update(batch.skipped)
    return Imported(added, known, signals, dict(skipped))


def _parts(batches: Iterable[Batch]) -> Iterator[tuple[Batch, tuple[Turn, ...], bool]]:
    """Each batch in parts that are stored in one transaction each, and whether a part is its last one."""
    for batch in batches:
        for start in range(0, max(len(batch.turns), 1), _AT_ONCE):
            yield batch, batch.turns[start : start + _AT_ONCE], start + _AT_ONCE >= len(batch.turns)


def _store(ledger: Ledger, source: str, turn: Turn) -> tuple[bool, int]:
    """(whether the turn brought anything new, how many new signals)."""
    interaction, new = ledger.put_interaction(turn.interaction)
    told = 0
    for signal in (*_explicit(turn, interaction, source), *_implied(turn, interaction, source)):
        told += ledger.put_signal(signal)[1]
    return new or told > 0, told


def _explicit(turn: Turn, interaction: str, source: str) -> Iterable[Signal]:
    for one in turn.reactions:
        yield Signal(interaction, one.kind, one.value, one.text, one.user, source, one.source_key, one.trust, one.time)


def _implied(turn: Turn, interaction: str, source: str) -> Iterable[Signal]:
    if turn.next_message is None:
        return
    asked = turn.interaction
    for one in implied(asked.prompt, asked.answer, turn.next_message):
        value = WEIGHTS[one.kind].value * one.confidence
        when = turn.next_time or asked.time
        key = f"{interaction}#{one.kind}"
        yield Signal(interaction, one.kind, value, turn.next_message, asked.user, source, key, turn.trust, when)
