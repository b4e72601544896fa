"""A person's reaction to an answer, as `POST /v1/feedback` has it, into the ledger: all of its parts or none.

A client that heard no answer sends the same again. With a `key` it is the same event by its name. Without one it is the
same where it says what that person's newest rating (correction, note) of that answer says already; so up, down and up
again are three reactions and end as up, and up twice is one.

Not covered: a retry that arrives after a later change of mind. Only a `key` can tell that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strop.feedback.collector import FeedbackCollector
from strop.feedback.records import Signal
from strop.feedback.signals import parse_rating
from strop.server.recording import Recorder

_SOURCE = "serve"
_RATINGS = ("thumb", "stars")


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a reaction: the signals' ids by part, the version that answered, and which parts are new."""

    signals: dict[str, str]
    version: str
    new: frozenset[str]


def react(recorder: Recorder, said: Mapping[str, Any]) -> Stored:
    """Store a reaction that was checked. Raises UnknownInteraction, BadRecord, Forgotten and what the ledger raises."""
    collector = recorder.collector
    found = recorder.named(said["interaction"])
    version = collector.ledger.interaction(found).version
    with collector.ledger.transaction():
        before = collector.ledger.signals(found)
        signals = {part: _store(collector, found, part, said, before) for part in _parts(said)}
    known = {one.id for one in before}
    return Stored(signals, version, frozenset(part for part, one in signals.items() if one not in known))


def _parts(said: Mapping[str, Any]) -> list[str]:
    """The parts that are stored each by itself; a note beside a rating is a part of that."""
    given = [part for part in ("rating", "note", "correction") if said.get(part) is not None]
    return [part for part in given if part != "note" or "rating" not in given]


def _store(
    collector: FeedbackCollector, found: str, part: str, said: Mapping[str, Any], before: tuple[Signal, ...]
) -> str:
    user, key, note = said.get("user") or "owner", said.get("key") or "", said.get("note")
    if not key and (again := _said_already(collector, found, part, said, before)):
        return again
    if part == "rating":
        return collector.rate(found, said["rating"], note=note, user=user, source=_SOURCE, source_key=key)
    if part == "note":
        return collector.note(found, said["note"], user=user, source=_SOURCE, source_key=key)
    return collector.correct(found, said["correction"], user=user, source=_SOURCE, source_key=key)


def _said_already(
    collector: FeedbackCollector, found: str, part: str, said: Mapping[str, Any], before: tuple[Signal, ...]
) -> str | None:
    """The id of this person's newest reaction of this kind, where it came from here and says the same."""
    user, kinds = said.get("user") or "owner", _RATINGS if part == "rating" else (part,)
    last = next((one for one in reversed(before) if one.user == user and one.kind in kinds), None)
    if last is None or last.source != _SOURCE:
        return None
    text = said.get("note") if part == "rating" else said[part]
    if part == "rating" and (last.kind, last.value) != parse_rating(said["rating"]):
        return None
    same = last.text == (None if text is None else collector.ledger.scrubbed(text, found))
    return last.id if same else None
