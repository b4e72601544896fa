"""Feedback from JSONL: one interaction with its reactions a line.

Read: what `export` writes, and the short forms that people have at hand:

    {"prompt": "...", "answer": "...", "rating": "up", "correction": "...", "note": "...", "session": "..."}
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "rating": 4}

Covered: a file is read whole before any of it is stored, and stored in parts, between which others write; reading it
again stores nothing new. An export holds what was decided about other people's reactions, and by whom. A file is
believed in what it says of that, as it is where it says that a reaction is the owner's: import your own, and those of
people whom you would let decide.
"""

import difflib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from strop.errors import BadRecord, Forgotten
from strop.feedback.bulk import without_collector
from strop.feedback.collector import as_messages, part_key
from strop.feedback.jsonlines import lines, parse
from strop.feedback.ledger import Ledger
from strop.feedback.records import (
    TRUSTS,
    Interaction,
    Kind,
    Signal,
    Trust,
    check_label,
    check_size,
    check_text,
    check_time,
    conversation,
    now,
)
from strop.feedback.reviews import DECISIONS, Review, put
from strop.feedback.signals import CORRECTION_VALUE, parse_rating, trust_of
from strop.files import canonical_json, sha256_bytes

# So many lines are stored together: each costs far less than alone, and others wait for some 20 ms. Then nobody has the
# file for longer than it takes them to ask again.
_BATCH_LINES = 200
_PAUSE_S = 0.003
_KEPT_BYTES = 64 << 20
_INTERACTION_KEYS = ("model", "version", "domain", "channel", "user", "session", "turn", "tool_calls")
_REACTION_KEYS = ("rating", "correction", "note", "source", "source_key", "trust")
_KEYS = ("id", "prompt", "system", "messages", "answer", "time", "signals", *_INTERACTION_KEYS, *_REACTION_KEYS)
_SIGNAL_KEYS = ("id", "kind", "value", "text", "user", "source", "source_key", "trust", "time", "reviews")
# What the fields of a line's signals hold that is not handed on to the signal as it stands there.
_OF_THE_LINE = ("id", "time", "trust", "reviews")
_REVIEW_KEYS = ("decision", "text", "who", "time")


# What became of a line, and how many of its reactions are new.
_Outcome = tuple[Literal["new", "known", "forgotten"], int]


class Imported(NamedTuple):
    """Lines that brought something new, that the ledger held already, and that it was told to forget; new reactions."""

    added: int
    known: int
    forgotten: int = 0
    signals: int = 0


def import_file(
    ledger: Ledger, path: Path | str, *, source: str = "import", owners: Iterable[str] = ("owner",)
) -> Imported:
    """Store every line of a JSONL file (UTF-8); what was forgotten before stays forgotten.

    All lines are checked before the first is stored. Then they are stored in parts, so that nobody who adds meanwhile
    waits for long; what is cut short is made whole by reading the file again. `source` names the origin of reactions
    that do not name one themselves. Raises BadRecord naming the line and the field, UsageError where the file cannot
    be read.
    """
    path, whose = Path(path), frozenset(owners)
    outcomes: Counter[str] = Counter()
    with without_collector():
        # A file that fits is read once, as is a pipe; of a larger one, the lines are made twice rather than kept.
        parsed: Iterable[_Line] = _parsed(path, source, whose)
        if not path.is_file() or path.stat().st_size <= _KEPT_BYTES:
            parsed = list(parsed)
        else:
            for _ in parsed:
                pass
            parsed = _parsed(path, source, whose)
        for batch in _batches(parsed):
            for outcome, signals in _store(ledger, batch):
                outcomes[outcome] += 1
                outcomes["signals"] += signals
            time.sleep(_PAUSE_S)
    return Imported(outcomes["new"], outcomes["known"], outcomes["forgotten"], outcomes["signals"])


class _Line(NamedTuple):
    """One line: its interaction as it stands there, and its reactions, which name that interaction's id."""

    number: int
    interaction: Interaction
    signals: tuple[Signal, ...]
    # What was decided about each of them; shorter where nothing was about the last ones.
    reviews: tuple[tuple[Review, ...], ...] = ()


def _parsed(path: Path, source: str, owners: frozenset[str]) -> Iterator[_Line]:
    for number, line in lines(path):
        with _named(number):
            record = parse(line)
            _only(record, _KEYS)
            interaction = _interaction(record)
            if record.get("id") not in (None, interaction.id):
                raise BadRecord(
                    "id: it does not match the line's content",
                    hint="the line was changed after the export; remove its id",
                )
            given = _given(record)
            reactions = (*_signals(given, interaction.id, owners), *_reactions(record, interaction, source, owners))
            reviews = tuple(map(_reviews, given))
        yield _Line(number, interaction, reactions, reviews)


def _batches(parsed: Iterable[_Line]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    for line in parsed:
        batch.append(line)
        if len(batch) == _BATCH_LINES:
            yield batch
            batch = []
    if batch:
        yield batch


def _store(ledger: Ledger, batch: list[_Line]) -> list[_Outcome]:
    """Store a batch at once where nothing stands against it, else line by line, so that the right line is named."""
    try:
        with ledger.transaction():
            stored = ledger.put_interactions([line.interaction for line in batch])
            pairs = zip(batch, stored, strict=True)
            told = iter(
                ledger.put_signals(
                    [_about(signal, stored_id) for line, (stored_id, _) in pairs for signal in line.signals]
                )
            )
            done = [
                _outcome(ledger, line, new, [next(told) for _ in line.signals])
                for line, (_, new) in zip(batch, stored, strict=True)
            ]
    except (BadRecord, Forgotten):
        done = [_store_one(ledger, line) for line in batch]
    return done


def _outcome(ledger: Ledger, line: _Line, new: bool, told: list[tuple[str, bool]]) -> _Outcome:
    """Store what was decided about the reactions, now that they have their ids; say whether anything was new."""
    news = [new, *(fresh for _, fresh in told)]
    for (signal_id, _), reviews in zip(told, line.reviews, strict=False):
        news += [put(ledger, replace(review, signal_id=signal_id)) for review in reviews]
    return "new" if any(news) else "known", sum(fresh for _, fresh in told)


def _store_one(ledger: Ledger, line: _Line) -> _Outcome:
    try:
        with _named(line.number, "; the lines before it are stored"), ledger.transaction():
            stored_id, new = ledger.put_interaction(line.interaction)
            told = ledger.put_signals([_about(signal, stored_id) for signal in line.signals])
            return _outcome(ledger, line, new, told)
    except Forgotten:
        return "forgotten", 0


def _about(signal: Signal, stored_id: str) -> Signal:
    """The reaction under the id of what was stored: scrubbing may have changed it."""
    return signal if signal.interaction_id == stored_id else replace(signal, interaction_id=stored_id)


@contextmanager
def _named(number: int, stored: str = " (nothing of the file was stored)") -> Iterator[None]:
    """Let what is wrong name its line."""
    try:
        yield
    except BadRecord as error:
        hint = error.hint or "mend the line and import the file again"
        raise BadRecord(f"line {number}: {error}{stored}", hint=hint) from error


def _only(record: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in record:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise BadRecord(f"{key[:80]}: unknown field", hint=f"did you mean {near[0]}?" if near else "remove it")


def _interaction(record: dict[str, Any]) -> Interaction:
    messages, answer, prompt = record.get("messages"), record.get("answer"), record.get("prompt")
    if (messages is None) == (prompt is None):
        raise BadRecord("prompt: either prompt or messages is needed, not both")
    if messages is None:
        asked = conversation(*(_text(record, name) for name in ("prompt", "system")))
    elif not isinstance(messages, list) or "system" in record:
        raise BadRecord("messages: a list is needed, with the system prompt as its first message")
    else:
        asked = as_messages(messages)
        if answer is None and asked and asked[-1].role == "assistant":
            answer, asked = asked[-1].content, asked[:-1]
    if answer is None:
        raise BadRecord("answer: it is missing", hint="give answer, or end messages with the assistant's")
    fields = {name: record[name] for name in _INTERACTION_KEYS if record.get(name) is not None}
    return Interaction(asked, answer, time=_time(record), **fields)


def _text(record: dict[str, Any], name: str) -> str:
    text = record.get(name, "")
    if not isinstance(text, str):
        raise BadRecord(f"{name}: a text is needed, not {type(text).__name__}")
    return text


def _time(record: dict[str, Any]) -> datetime:
    text = record.get("time")
    if text is None:
        return now()
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise BadRecord(f"time: {text!r} is not ISO 8601", hint="like 2026-01-31T09:30:00+00:00") from None


def _given(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The `signals` of a line that `export` wrote, or of one in its form."""
    signals = record.get("signals", [])
    if not isinstance(signals, list) or not all(isinstance(signal, dict) for signal in signals):
        raise BadRecord("signals: a list of objects is needed")
    return signals


def _signals(given: list[dict[str, Any]], interaction_id: str, owners: frozenset[str]) -> Iterator[Signal]:
    for number, values in enumerate(given, start=1):
        try:
            _only(values, _SIGNAL_KEYS)
            if "kind" not in values or "value" not in values:
                raise BadRecord("kind, value: both are needed")
            fields = {key: value for key, value in values.items() if key not in _OF_THE_LINE}
            trust = _trust(values, values.get("user", "owner"), owners)
            signal = Signal(interaction_id=interaction_id, time=_time(values), trust=trust, **fields)
            as_written = replace(signal, trust=values.get("trust", trust))
            if values.get("id") not in (None, as_written.id):
                raise BadRecord("id: it does not match the reaction", hint="remove the id of what you changed")
            if not signal.source_key and values.get("id") is None:
                signal = _keyed(signal)
        except BadRecord as error:
            raise BadRecord(f"signals: number {number}: {error}", hint=error.hint) from error
        yield signal


def _reviews(values: dict[str, Any]) -> tuple[Review, ...]:
    """What was decided about a reaction."""
    given = values.get("reviews", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadRecord("reviews: a list of objects is needed")
    found = []
    for one in given:
        _only(one, _REVIEW_KEYS)
        if one.get("decision") not in DECISIONS:
            raise BadRecord(f"reviews: {one.get('decision')!r} is no decision", hint=f"use {', '.join(DECISIONS)}")
        if (one["decision"] == "edit") != (one.get("text") is not None):
            raise BadRecord("reviews: a text belongs to edit, and to nothing else")
        if one.get("text") is not None:
            check_text("reviews: text", one["text"])
            check_size([one["text"]])
        check_label("reviews: who", one.get("who"))
        found.append(Review("", one["decision"], one.get("text"), one["who"], check_time(_time(one))))
    return tuple(found)


def _reactions(record: dict[str, Any], interaction: Interaction, source: str, owners: frozenset[str]) -> list[Signal]:
    """The reactions of a line in the short form: the rating first, so that a correction beside it has the last word."""
    parts: list[tuple[str, Kind, float, str | None]] = []
    rating, correction, note = (record.get(name) for name in ("rating", "correction", "note"))
    if rating is not None:
        parts.append(("", *parse_rating(rating), note))
    if correction is not None:
        parts.append(("correction", "correction", CORRECTION_VALUE, correction))
    if note is not None and rating is None:
        parts.append(("note", "note", 0.0, note))
    origin = record.get("source") or source
    key = record.get("source_key") or ""
    if not isinstance(key, str):
        raise BadRecord(f"source_key: a text is needed, not {type(key).__name__}")
    trust = _trust(record, interaction.user, owners)
    signals = []
    for part, kind, value, text in parts:
        whose = part_key(key, part) if part else key
        signal = Signal(interaction.id, kind, value, text, interaction.user, origin, whose, trust, interaction.time)
        signals.append(signal if key else _keyed(signal))
    return signals


def _trust(values: dict[str, Any], user: Any, owners: frozenset[str]) -> Trust:
    """Whose word it is follows from the user; what a file says of itself may lower it, never raise it."""
    found, said = trust_of(user if isinstance(user, str) else "", owners), values.get("trust")
    if said is None:
        return found
    if said not in TRUSTS:
        raise BadRecord(f"trust: {said!r} is unknown", hint=f"use one of {', '.join(TRUSTS)}")
    return max(found, said, key=TRUSTS.index)


def _keyed(signal: Signal) -> Signal:
    """A reaction without a key gets one from its content, so that the same line again is the same reaction."""
    content = [signal.interaction_id, signal.kind, signal.value, signal.text, signal.user, signal.trust]
    key = "line:" + sha256_bytes(canonical_json(content).encode())
    return Signal(
        signal.interaction_id,
        signal.kind,
        signal.value,
        signal.text,
        signal.user,
        signal.source,
        key,
        signal.trust,
        signal.time,
    )
