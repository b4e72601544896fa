"""Where each importer stopped in each place that it reads.

The ledger keeps keyed hashes of the places: paths and sessions are names that it has no need to know.
"""

from collections.abc import Iterator, Mapping

from strop.feedback.ledger import Ledger
from strop.feedback.records import now, time_text

_OF_SOURCE = "SELECT place, cursor FROM cursors WHERE source = ?"
_SET = """INSERT INTO cursors (source, place, cursor, time) VALUES (?, ?, ?, ?)
    ON CONFLICT (source, place) DO UPDATE SET cursor = excluded.cursor, time = excluded.time"""


class Cursors(Mapping[str, str]):
    """The cursors of one importer. They are asked for by the name of a place; going through them gives hashes."""

    def __init__(self, ledger: Ledger, source: str) -> None:
        self._ledger = ledger
        self._by_hash = {row["place"]: row["cursor"] for row in ledger.query(_OF_SOURCE, (source,))}

    def __getitem__(self, place: str) -> str:
        return str(self._by_hash[_hashed(self._ledger, place)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_hash)

    def __len__(self) -> int:
        return len(self._by_hash)


def set_cursor(ledger: Ledger, source: str, place: str, cursor: str) -> None:
    """Write down how far `place` was read; call it in the transaction that stores what was read."""
    ledger.execute(_SET, (source, _hashed(ledger, place), cursor, time_text(now())))


def _hashed(ledger: Ledger, place: str) -> str:
    return ledger.tombstone("place", place).hex()
