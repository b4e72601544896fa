"""Who approved, reviewed, forgot and released what: one list in the order of time, without any text.

From the ledger: reviews, and what was done to it as a whole (forget, standing data in and out). From the versions:
every change of state, with the gate's reasons. `who` is a person's name, or `night RUN` for what a night did.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from strop.deploy.states import LEFT
from strop.deploy.versions import VersionEvent, Versions
from strop.feedback import Ledger, reviews
from strop.home import Home

_ACTS = {"gated": "approve", "refused": "refuse", "forgotten": "forget version", "pruned": "prune version"}
# What of a change's evidence says who and why; the rest is figures of certificates.
_EVIDENCE = ("run", "report", "reasons", "reason", "outcome", "replaced_by")


@dataclass(frozen=True, slots=True)
class Entry:
    """One act: when, who, what was done to what. `detail` is plain JSON."""

    time: datetime
    who: str
    what: str
    about: str
    detail: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "time": self.time.isoformat()}


def entries(home: Home, limit: int | None = None) -> tuple[Entry, ...]:
    """All acts, oldest first; with `limit` only the newest so many."""
    found = sorted([*_ledger(home), *_versions(home)], key=lambda entry: entry.time)
    return tuple(found if limit is None else found[len(found) - min(limit, len(found)) :])


def _ledger(home: Home) -> Iterator[Entry]:
    if not home.ledger_db.exists():
        return
    with Ledger.open(home.ledger_db) as ledger:
        for review in reviews.decided(ledger):
            yield Entry(review.time, review.who, f"review {review.decision}", review.signal_id, {})
        for row in ledger.query("SELECT what, who, detail, time FROM events ORDER BY seq"):
            detail = json.loads(row["detail"])
            about = str(detail.get("set") or detail.get("by") or "")
            yield Entry(datetime.fromisoformat(row["time"]), row["who"], row["what"], about, detail)


def _versions(home: Home) -> Iterator[Entry]:
    if not home.state_db.exists():
        return
    for event in Versions(home.state_db).events():
        detail = {name: event.evidence[name] for name in _EVIDENCE if name in event.evidence}
        yield Entry(event.time, _who(event), _what(event), event.tag, detail)


def _what(event: VersionEvent) -> str:
    """A change of state as an act: users who go to an older version again were rolled back."""
    if event.to_state == "live":
        return "rollback" if event.from_state in LEFT else "release"
    return _ACTS.get(event.to_state, event.to_state)


def _who(event: VersionEvent) -> str:
    evidence = event.evidence
    if "who" in evidence:
        return str(evidence["who"])
    if "run" in evidence:
        return f"night {evidence['run']}"
    return "owner" if _what(event) == "rollback" else "strop"
