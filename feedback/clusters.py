"""Which prompts must not be separated: those of one conversation, and those that are the same or nearly so.

Near-duplicates are pairs with a Jaccard similarity of at least 0.8 over five-character shingles. The sketches that the
ledger holds say which pairs are worth a look; each of those is then compared exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from strop.feedback.candidates import candidates
from strop.feedback.ledger import Ledger
from strop.feedback.similar import SIMILAR, Shingles, normalised, shingles, similarity
from strop.feedback.stored import as_interaction

_CACHED_TEXTS = 20_000


@dataclass(frozen=True, slots=True)
class Item:
    """One interaction, as clusters see it: its place in the ledger (`seq`) and its sketch."""

    seq: int
    id: str
    session: str
    corrected: int
    exact: bytes
    chars: bytes | None
    words: bytes | None


def clusters(items: Sequence[Item], ledger: Ledger) -> list[list[Item]]:
    """`items` in groups that must not be separated, each in the order given."""
    union = _Union(len(items))
    first_with: dict[tuple[str, str | bytes], int] = {}
    for index, item in enumerate(items):
        for key in (("session", item.session), ("text", item.exact)):
            if key[1]:
                union.join(index, first_with.setdefault(key, index))
    distinct = [index for (kind, _), index in first_with.items() if kind == "text"]
    read = _shingles_of(ledger)
    for kind in ("chars", "words"):
        sketched = {index: minima for index in distinct if (minima := getattr(items[index], kind)) is not None}
        _join_near(sketched, items, union, read)
    groups: dict[int, list[Item]] = {}
    for index, item in enumerate(items):
        groups.setdefault(union.root(index), []).append(item)
    return list(groups.values())


class _Union:
    """Sets of indices that grow together (union-find with path halving)."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def root(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def join(self, one: int, other: int) -> None:
        self._parents[self.root(one)] = self.root(other)


def _join_near(
    minima: Mapping[int, bytes], items: Sequence[Item], union: _Union, shingles_of: Callable[[int], Shingles]
) -> None:
    """Join every pair of near-duplicates among the texts with these `minima` (by index; the texts all differ)."""
    for one, other in candidates(minima):
        if union.root(one) != union.root(other) and (
            similarity(shingles_of(items[one].seq), shingles_of(items[other].seq)) >= SIMILAR
        ):
            union.join(one, other)


def _shingles_of(ledger: Ledger) -> Callable[[int], Shingles]:
    @lru_cache(maxsize=_CACHED_TEXTS)
    def read(seq: int) -> Shingles:
        row = ledger.query("SELECT * FROM interactions WHERE seq = ?", (seq,))[0]
        return shingles(normalised(as_interaction(row).asked))

    return read
