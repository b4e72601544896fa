"""One door for everything that can be imported: Strop's own JSONL, and the formats of `importers`.

    read = reader(Path("~/.claude"), user="ann", owners=("ann",))
    done = read(ledger)

A file whose first line holds an `answer` or `signals` is Strop's own, and so is any .jsonl that no other format knows:
then its first bad line is named.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from strop.errors import BadRecord, UsageError
from strop.feedback import importers, jsonl, jsonlines
from strop.feedback.importers.base import Batch, Imported, Importer, Reaction, Turn, run
from strop.feedback.importers.reading import head
from strop.feedback.ledger import Ledger
from strop.feedback.records import TRUSTS, Trust
from strop.feedback.signals import trust_of
from strop.files import sha256_bytes

OWN = "strop"
FORMATS = (OWN, *importers.FORMATS)
# Whose feedback a source takes for the owner's, where it names nobody.
_OWNER = "owner"

Read = Callable[[Ledger], Imported]


def reader(path: Path, name: str | None = None, *, user: str | None = None, owners: Iterable[str] = ("owner",)) -> Read:
    """What stores all that is new at `path` in a ledger.

    `name` is the format, one of FORMATS; without it the format is found out. `user`: whose feedback it is, where the
    source names nobody and so takes it for the owner's; whether it trains follows from `owners`. Raises UsageError for
    an unknown format, a path that is in none or in several, and a `user` beside Strop's own JSONL, which names its own.
    """
    owners = tuple(owners)
    # What a source takes for the owner's comes out of it as the owner's, before it becomes the user's.
    found = _importer(path, name, owners if user is None else (*owners, _OWNER))
    if found is None:
        if user is not None:
            raise UsageError(
                "Strop's own JSONL says itself whose feedback it is",
                hint='write "user" into its lines; those without one are the owner\'s',
            )
        return lambda ledger: _own(ledger, path, owners)
    source = found if user is None else _Renamed(found, user, trust_of(user, owners))
    return lambda ledger: run(source, ledger, path)


def _importer(path: Path, name: str | None, owners: tuple[str, ...]) -> Importer | None:
    """The importer to use; None for Strop's own JSONL."""
    if name is not None and name not in FORMATS:
        raise UsageError(f"{name[:80]!r} is no format", hint=f"use one of {', '.join(FORMATS)}")
    if name == OWN or (name is None and _is_own(path)):
        return None
    if name is not None:
        return importers.importer(name, owners)
    try:
        return importers.detect(path, owners)
    except UsageError as error:
        if path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson") and not _claimed(path, owners):
            return None
        raise UsageError(str(error), hint=f"{error.hint}: strop feedback import --from {'|'.join(FORMATS)}") from error


def _claimed(path: Path, owners: tuple[str, ...]) -> bool:
    return any(importers.importer(name, owners).finds(path) for name in importers.FORMATS)


def _is_own(path: Path) -> bool:
    """Whether the first line is one that only Strop writes."""
    try:
        if not head(path, 1):
            return False
        _, line = next(jsonlines.lines(path))
        return not {"answer", "signals"}.isdisjoint(jsonlines.parse(line))
    except (StopIteration, BadRecord, UsageError):
        return False


def _own(ledger: Ledger, path: Path, owners: tuple[str, ...]) -> Imported:
    done = jsonl.import_file(ledger, path, owners=owners)
    skipped = {"forgotten before": done.forgotten} if done.forgotten else {}
    return Imported(done.added, done.known, done.signals, skipped)


class _Renamed:
    """An importer whose owner is somebody by name: `user`, whose word has this `trust` at the most."""

    def __init__(self, source: Importer, user: str, trust: Trust) -> None:
        self.name = source.name
        self.finds = source.finds
        self._source, self._user, self._trust = source, user, trust

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        for batch in self._source.read(path, cursors):
            yield replace(batch, turns=tuple(self._turn(turn) for turn in batch.turns))

    def _turn(self, turn: Turn) -> Turn:
        asked, trust = turn.interaction, turn.trust
        reactions = tuple(self._theirs(one) if one.user == _OWNER else one for one in turn.reactions)
        if asked.user == _OWNER:
            asked, trust = replace(asked, user=self._user), _lower(trust, self._trust)
        return replace(turn, interaction=asked, reactions=reactions, trust=trust)

    def _theirs(self, one: Reaction) -> Reaction:
        # Under a key of its own: the same file may come again as somebody else's, or as the owner's.
        key = f"{one.source_key}@{sha256_bytes(self._user.encode())[:12]}" if one.source_key else ""
        return replace(one, user=self._user, trust=_lower(one.trust, self._trust), source_key=key)


def _lower(one: Trust, other: Trust) -> Trust:
    return max(one, other, key=TRUSTS.index)
