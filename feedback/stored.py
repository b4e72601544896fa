"""How records stand in the ledger's tables, and how they come back out of a row."""

import hmac
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from sys import intern
from typing import Any, TypeVar

from strop.feedback.records import Interaction, Message, Signal
from strop.files import canonical_json, sha256_bytes

_Record = TypeVar("_Record", Interaction, Message, Signal)
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind)) for kind in (Interaction, Message, Signal)
}


def interaction_row(interaction: Interaction) -> dict[str, Any]:
    """The columns of an interaction, but for its place."""
    values = interaction.as_dict()
    values["messages"] = canonical_json(values["messages"])
    values["tool_calls"] = canonical_json(values["tool_calls"]) if values["tool_calls"] else "[]"
    return {**values, "id": interaction.id}


def signal_row(signal: Signal) -> dict[str, Any]:
    """The columns of a signal, but for its place; no `source_key` is NULL, which is unlike every other."""
    values = {**signal.as_dict(), "interaction_id": signal.interaction_id, "id": signal.id}
    return {**values, "source_key": signal.source_key or None}


def as_interaction(row: sqlite3.Row) -> Interaction:
    """The interaction of a row of its table."""
    messages = tuple(_made(Message, (intern(one["role"]), one["content"])) for one in json.loads(row["messages"]))
    calls = row["tool_calls"]
    # Names that stand in every row are one text in memory: with 200,000 answers in it, that is 100 MB.
    names = (intern(row[name]) for name in ("model", "version", "domain", "channel", "user"))
    values = (messages, row["answer"], *names, row["session"], row["turn"])
    made = () if calls == "[]" else tuple(json.loads(calls))
    return _made(Interaction, (*values, made, datetime.fromisoformat(row["time"]), ""))


def as_signal(row: sqlite3.Row, text: str | None = None) -> Signal:
    """The signal of a row of its table; `text` takes the place of its own."""
    said = row["text"] if text is None else text
    who = (intern(row["user"]), intern(row["source"]), row["source_key"] or "", intern(row["trust"]))
    values = (
        row["interaction_id"],
        intern(row["kind"]),
        row["value"],
        said,
        *who,
        datetime.fromisoformat(row["time"]),
        "",
    )
    return _made(Signal, values)


def _made(kind: type[_Record], values: Iterable[Any]) -> _Record:
    """A record without its checks, which it passed before it was stored; `problems` finds rows that were changed."""
    record = object.__new__(kind)
    for field, value in zip(_FIELDS[kind], values, strict=True):
        object.__setattr__(record, field, value)
    return record


def review_id(signal_id: str, decision: str, text: str | None, who: str, time: str) -> str:
    """The id of a review: SHA-256 over all that is stored of it, 64 hex digits."""
    return sha256_bytes(canonical_json([signal_id, decision, text, who, time]).encode())


def mark(key: bytes, *parts: str) -> bytes:
    """A keyed hash that stands for a name or for something forgotten: 32 bytes."""
    return hmac.digest(key, canonical_json(parts).encode(), "sha256")
