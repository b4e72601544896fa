"""Fields of OpenClaw's records, read without trust in their types, and what a session key says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from strop.feedback.importers.openclaw_tree import Record

_GROUPS = {"group", "channel", "room"}
_KINDS = _GROUPS | {"direct", "dm", "thread", "topic"}
_MACHINES = ("cron", "hook", "heartbeat", "subagent")


@dataclass(frozen=True, slots=True)
class Key:
    """What a session key says, like `agent:main:telegram:group:-100`. `machine`: no person talks there."""

    channel: str = ""
    group: bool = False
    machine: str = ""

    @classmethod
    def of(cls, text: str) -> "Key":
        """Read a key; an empty one, which files of earlier sessions have, says nothing."""
        parts = text.casefold().split(":")
        parts = parts[2:] if parts[0] == "agent" else parts
        machine = next((part for part in parts if part in _MACHINES), "")
        channel = parts[0] if parts and parts[0] not in _KINDS and _KINDS & set(parts[1:]) else ""
        return cls(channel, bool(_GROUPS & set(parts)), machine)


def blocks_of(message: Record) -> list[Record]:
    """The content blocks of a message, whose content may also be a plain text."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def text_of(message: Record) -> str:
    """The text blocks of a message; thinking, tool calls and pictures are blocks of their own."""
    return "\n".join(string_of(one, "text") for one in blocks_of(message) if one.get("type") == "text")


def mapping_of(record: Record, name: str) -> Record:
    """The object under `name`, an empty one where there is none."""
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def string_of(record: object, name: str) -> str:
    """The text under `name`, "" where there is none."""
    value = record.get(name) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) else ""


def moment_of(record: Record, message: Record) -> datetime | None:
    """When it happened: the record's ISO 8601 text, else the message's milliseconds."""
    try:
        time = datetime.fromisoformat(string_of(record, "timestamp"))
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except ValueError:
        stamp = message.get("timestamp")
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not 0 < stamp < 1 << 43:
        return None
    return datetime.fromtimestamp(stamp / 1000, UTC)
