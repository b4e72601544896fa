"""How records stand in the ledger's tables, and how they come back out of a row."""

import hmac
import json
import sqlite3
from datetime import datetime
from typing import Any

from strop.feedback.records import Interaction, Message, Signal
from strop.files import canonical_json, sha256_bytes


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
    values = {
        name: row[name] for name in ("answer", "model", "version", "domain", "channel", "user", "session", "turn")
    }
    return Interaction(
        messages=tuple(Message(**message) for message in json.loads(row["messages"])),
        tool_calls=json.loads(row["tool_calls"]),
        time=datetime.fromisoformat(row["time"]),
        **values,
    )


def as_signal(row: sqlite3.Row) -> Signal:
    """The signal of a row of its table."""
    values = {name: row[name] for name in ("interaction_id", "kind", "value", "text", "user", "source", "trust")}
    return Signal(source_key=row["source_key"] or "", time=datetime.fromisoformat(row["time"]), **values)


def review_id(signal_id: str, decision: str, text: str | None, who: str, time: str) -> str:
    """The id of a review: SHA-256 over all that is stored of it, 64 hex digits."""
    return sha256_bytes(canonical_json([signal_id, decision, text, who, time]).encode())


def mark(key: bytes, *parts: str) -> bytes:
    """A keyed hash that stands for a name or for something forgotten: 32 bytes."""
    return hmac.digest(key, canonical_json(parts).encode(), "sha256")
