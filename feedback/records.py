"""The two things the ledger holds: an Interaction (what the model saw and said) and a Signal (one reaction to it).

Both check themselves when they are made, so that whatever exists can be stored: a text that cannot be stored
(empty where there must be one, NUL, lone surrogates, too large) raises BadRecord naming the field.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict, get_args

from strop.errors import BadRecord
from strop.files import canonical_json, sha256_bytes

Kind = Literal[
    "thumb", "stars", "correction", "note", "reask", "praise", "complaint", "reaction", "tool_outcome"
]  # fmt: skip
Trust = Literal["owner", "known", "anonymous"]

KINDS: tuple[str, ...] = get_args(Kind)
TRUSTS: tuple[str, ...] = get_args(Trust)
ROLES = ("system", "user", "assistant", "tool")
# The domain of what nobody gave one.
NO_DOMAIN = "general"

# All texts of one record together, as UTF-8. A larger one is a file that was sent by mistake.
LIMIT_BYTES = 8 << 20
# How deep lists and objects may lie in one another in tool calls; JSON that people write has ten levels.
LIMIT_DEPTH = 100
# Names of models, sessions, users and the like.
LIMIT_LABEL_CHARS = 1024


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: `role` is system, user, assistant or tool."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise BadRecord(f"messages: role {self.role!r} is unknown", hint=f"use one of {', '.join(ROLES)}")
        check_text("messages: content", self.content, blank=True)

    def as_dict(self) -> dict[str, str]:
        """{"role": ..., "content": ...}, as chat templates want it."""
        return {"role": self.role, "content": self.content}


class InteractionFields(TypedDict, total=False):
    """The optional fields of an Interaction, for callers that pass them by name."""

    model: str
    version: str
    domain: str
    channel: str
    user: str
    session: str
    turn: int
    tool_calls: Sequence[Mapping[str, Any]]
    time: datetime


@dataclass(frozen=True, slots=True)
class Interaction:
    """What the model saw and said. The last message is the user's; `answer` is the model's reply to it.

    Two interactions that differ only in `time` have the same `id`: recording one twice stores it once. An empty
    `session` means that the interaction is a conversation of its own. `tool_calls` are the calls that the answer made.
    """

    messages: tuple[Message, ...]
    answer: str
    model: str = ""
    version: str = ""
    domain: str = NO_DOMAIN
    channel: str = "api"
    user: str = "owner"
    session: str = ""
    turn: int = 0
    tool_calls: Sequence[Mapping[str, Any]] = ()
    time: datetime = field(default_factory=now)
    # Made when first asked for: an import asks several times.
    _id: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(self.messages))
        object.__setattr__(self, "tool_calls", _plain_calls(self.tool_calls))
        object.__setattr__(self, "time", check_time(self.time))
        if not self.messages or not all(isinstance(message, Message) for message in self.messages):
            raise BadRecord("messages: at least one Message is needed")
        if self.messages[-1].role != "user":
            raise BadRecord("messages: the last one must be the user's, the one that was answered")
        check_text("prompt", self.prompt)
        check_text("answer", self.answer)
        for name in ("model", "version", "domain", "channel", "user", "session"):
            check_label(name, getattr(self, name))
        if type(self.turn) is not int or not 0 <= self.turn < 1 << 63:
            raise BadRecord(f"turn: {self.turn!r} is not a whole number from 0 up")
        calls = canonical_json(self.tool_calls) if self.tool_calls else ""
        check_size([self.answer, calls, *(message.content for message in self.messages)])

    @property
    def prompt(self) -> str:
        """What the user asked: the content of the last message."""
        return self.messages[-1].content

    @property
    def asked(self) -> str:
        """All that the user said, turn by turn: what makes two conversations near-duplicates or not.

        The user's turns alone: a system prompt that all share would make every question look like every other, and the
        last turn alone would make one of every "yes, go on".
        """
        return "\n".join(message.content for message in self.messages if message.role == "user")

    @property
    def id(self) -> str:
        """SHA-256 over everything that is stored but the time, 64 hex digits."""
        if not self._id:
            object.__setattr__(self, "_id", sha256_bytes(canonical_json(self._content()).encode()))
        return self._id

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON data; `time` is ISO 8601 in UTC."""
        return {**self._content(), "time": time_text(self.time)}

    def _content(self) -> dict[str, Any]:
        return {
            "messages": [message.as_dict() for message in self.messages],
            "answer": self.answer,
            "model": self.model,
            "version": self.version,
            "domain": self.domain,
            "channel": self.channel,
            "user": self.user,
            "session": self.session,
            "turn": self.turn,
            "tool_calls": list(self.tool_calls),
        }


@dataclass(frozen=True, slots=True)
class Signal:
    """One reaction to one answer. `value` runs from -1 (bad) over 0 (says nothing) to 1 (good).

    `text` is the corrected answer of a correction, else what the person wrote with the reaction. `trust` says whose
    word it is: only the owner's trains. `source` and `source_key` name the event where it happened (a chat platform
    and its message id): the same pair is stored once, so that any import can run twice.
    """

    interaction_id: str
    kind: Kind
    value: float
    text: str | None = None
    user: str = "owner"
    source: str = "api"
    source_key: str = ""
    trust: Trust = "owner"
    time: datetime = field(default_factory=now)
    _id: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadRecord(f"kind: {self.kind!r} is unknown", hint=f"use one of {', '.join(KINDS)}")
        if self.trust not in TRUSTS:
            raise BadRecord(f"trust: {self.trust!r} is unknown", hint=f"use one of {', '.join(TRUSTS)}")
        object.__setattr__(self, "value", _check_value(self.value))
        object.__setattr__(self, "time", check_time(self.time))
        for name in ("interaction_id", "user", "source", "source_key"):
            check_label(name, getattr(self, name))
        if self.kind in ("correction", "note") or self.text is not None:
            check_text(self.kind if self.kind in ("correction", "note") else "note", self.text)
            check_size([self.text or ""])

    @property
    def id(self) -> str:
        """SHA-256 over all fields, the time included: the same opinion twice is two reactions. 64 hex digits."""
        if not self._id:
            stored = {"interaction_id": self.interaction_id, **self.as_dict()}
            object.__setattr__(self, "_id", sha256_bytes(canonical_json(stored).encode()))
        return self._id

    def as_dict(self) -> dict[str, Any]:
        """All fields but the interaction's id as JSON data; `time` is ISO 8601 in UTC."""
        return {
            "kind": self.kind,
            "value": self.value,
            "text": self.text,
            "user": self.user,
            "source": self.source,
            "source_key": self.source_key,
            "trust": self.trust,
            "time": time_text(self.time),
        }


def conversation(prompt: str, system: str = "") -> tuple[Message, ...]:
    """The messages of a single question, with a system prompt where one is given."""
    asked = Message("user", prompt)
    return (Message("system", system), asked) if system else (asked,)


def check_text(name: str, text: object, *, blank: bool = False) -> None:
    """Raise BadRecord unless `text` is a string that can be stored and, unless `blank`, says something."""
    if not isinstance(text, str):
        raise BadRecord(f"{name}: a text is needed, not {type(text).__name__}")
    if not blank and not text.strip():
        raise BadRecord(f"{name}: it is empty", hint=f"give a {name.rpartition(': ')[2]} that is not blank")
    if text.isascii() and "\0" not in text:
        return
    if "\0" in text:
        raise BadRecord(f"{name}: it holds a NUL character at position {text.index(chr(0)) + 1}", hint="remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(
            f"{name}: it holds a lone surrogate (half of a character) at position {error.start + 1}",
            hint="the text was cut or decoded wrongly before it came here; send it whole, as UTF-8",
        ) from None


def check_label(name: str, text: object) -> None:
    """Raise BadRecord unless `text` is a storable string of at most 1,024 characters; it may be empty."""
    if type(text) is str and len(text) <= LIMIT_LABEL_CHARS and text.isascii() and "\0" not in text:
        return
    check_text(name, text, blank=True)
    if isinstance(text, str) and len(text) > LIMIT_LABEL_CHARS:
        raise BadRecord(f"{name}: {len(text):,} characters are more than {LIMIT_LABEL_CHARS:,}")


def check_size(texts: Sequence[str]) -> None:
    """Raise BadRecord when the texts of one record are more than 8 MiB together."""
    if 4 * sum(map(len, texts)) <= LIMIT_BYTES:  # no character takes more than four bytes
        return
    size = sum(len(text.encode()) for text in texts)
    if size > LIMIT_BYTES:
        raise BadRecord(
            f"the record holds {size:,} bytes of text, more than {LIMIT_BYTES:,}",
            hint="is a whole file in it by mistake? Leave it out or cut it",
        )


def check_time(time: object) -> datetime:
    """`time` in UTC. Raises BadRecord unless it is a datetime that knows its zone."""
    if not isinstance(time, datetime):
        raise BadRecord(f"time: {time!r} is not a datetime")
    if time.tzinfo is None or time.utcoffset() is None:
        raise BadRecord(f"time: {time.isoformat()} has no zone", hint="use datetime.now(UTC)")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise BadRecord(f"time: {time.isoformat()} is out of range in UTC") from None


def time_text(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds: texts that sort as the times do."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")


def _check_value(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRecord(f"value: {value!r} is not a number")
    if not -1 <= value <= 1:
        raise BadRecord(f"value: {value!r} is not between -1 and 1")
    return float(value) + 0.0  # -0.0 and 0.0 are one value, so they must give one id


def _plain_calls(calls: object) -> tuple[Mapping[str, Any], ...]:
    """A copy as JSON data, which the caller cannot change afterwards."""
    if calls == ():
        return ()
    if isinstance(calls, str | bytes | Mapping) or not isinstance(calls, Sequence):
        raise BadRecord("tool_calls: a list of objects is needed")
    try:
        plain = json.loads(canonical_json(list(calls)).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRecord(f"tool_calls: cannot be stored as JSON ({error})") from None
    if not all(isinstance(call, dict) for call in plain):
        raise BadRecord("tool_calls: every call must be an object")
    _check_depth(plain)
    return tuple(plain)


def _check_depth(data: Any) -> None:
    """Raise BadRecord where lists and objects lie deeper in one another than whoever walks through them can go."""
    level = [data]
    for _ in range(LIMIT_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise BadRecord(f"tool_calls: more than {LIMIT_DEPTH} lists and objects in one another", hint="keep what matters")
