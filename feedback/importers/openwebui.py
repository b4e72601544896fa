"""The feedback export of Open WebUI (Admin Panel > Evaluations > Feedback > Export): a JSON list of ratings.

Each entry holds what was rated (`meta.message_id`), the rating (`data.rating` 1 or -1, often with `data.details.rating`
from 1 to 10, a reason and a comment) and the whole chat as it then was (`snapshot`). The conversation is what leads to
the rated message by `parentId`. Shapes: github.com/open-webui/open-webui, backend/open_webui/models/feedbacks.py, and
`feedbackHandler` in src/lib/components/chat/Messages/ResponseMessage.svelte for what fills them.

Covered: a rating that was changed is a new reaction, which has the last word; reasoning and tool calls, which Open
WebUI writes into the text of answers, are taken out of it. Users are Open WebUI's ids: name your own among `owners`,
or your ratings wait for review like anybody's.
Left out and counted: entries without a snapshot (exports of old versions), answers that are errors, questions about
attached files, whose content the export does not hold. Not covered: the CSV export, which has no texts; comparisons in
the arena, beyond the rating itself.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from strop.errors import BadRecord
from strop.feedback import jsonlines
from strop.feedback.importers.base import Batch, Reaction, Turn
from strop.feedback.importers.reading import head, whole
from strop.feedback.importers.spans import cut_spans
from strop.feedback.records import Interaction, Kind, Message, now
from strop.feedback.signals import trust_of
from strop.files import canonical_json, sha256_bytes

_LOOKS_RIGHT = re.compile(rb'\s*\[\s*\{(?=.*"user_id"\s*:)(?=.*"type"\s*:\s*"rating")', re.DOTALL)
# What the chat page folds away: <details type="tool_calls" name="..." arguments="...">...</details>
_FOLDED = re.compile(r'<details\s{1,9}type="(reasoning|tool_calls|code_interpreter)"([^<>]*)>')
_ATTRIBUTE = re.compile(r'(?<![\w-])([\w-]+)="([^"]*)"')
# The latest second that is read as seconds; what is larger counts milli-, micro- or nanoseconds.
_LAST_SECOND = 1 << 33


class _LeftOut(Exception):
    """An entry that holds no rating of an answer that we could store; its text says why."""


@dataclass(frozen=True, slots=True)
class _Message:
    """One message of the chat, without what is folded away, and the tools that it called."""

    role: str
    text: str
    calls: tuple[Mapping[str, Any], ...]
    given: Mapping[str, Any]


class OpenWebui:
    """Reads the export. `owners` are the ids of the users whose ratings train the model."""

    name = "openwebui"

    def __init__(self, owners: Iterable[str] = ("owner",)) -> None:
        self._owners = frozenset(owners)

    def finds(self, path: Path) -> bool:
        """A .json file that begins like a list of ratings."""
        return path.suffix.lower() == ".json" and _LOOKS_RIGHT.match(head(path)) is not None

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """The whole export as one batch; nothing where this very file was read before, for the same owners."""
        data, place = whole(path), str(path.resolve())
        cursor = sha256_bytes(canonical_json([sha256_bytes(data), sorted(self._owners)]).encode())
        if cursors.get(place) == cursor:
            return
        entries = jsonlines.decode(data.removeprefix(b"\xef\xbb\xbf"))
        if not isinstance(entries, list):
            raise BadRecord(f"a list of ratings is needed, not {type(entries).__name__}", hint="is it the right file?")
        turns: list[Turn] = []
        skipped: Counter[str] = Counter()
        # The export has the newest rating first. Oldest first, so that the last word is also stored last.
        for entry in reversed(entries):
            try:
                turns.append(_turn(_object(entry, "the entry"), self._owners))
            except _LeftOut as reason:
                skipped[str(reason)] += 1
            except BadRecord as error:
                skipped[f"refused: {error}"] += 1
        yield Batch(place, tuple(turns), cursor, skipped)


def _turn(entry: Mapping[str, Any], owners: frozenset[str]) -> Turn:
    data, meta = _part(entry, "data"), _part(entry, "meta")
    if entry.get("type") != "rating":
        raise _LeftOut("it is no rating")
    if not _label(entry, "id"):
        raise BadRecord("id: it is missing")
    kind, value = _rating(data)
    chat = _chat(entry)
    path = _path(chat, meta.get("message_id"))
    user, created = _label(entry, "user_id"), _moment(entry.get("created_at")) or now()
    asked = Interaction(
        messages=_asked(chat, path[:-1]),
        answer=path[-1].text,
        model=_label(data, "model_id") or _label(meta, "model_id"),
        channel="openwebui",
        user=user,
        session=_label(meta, "chat_id"),
        turn=sum(one.role == "assistant" for one in path[:-1]),
        tool_calls=path[-1].calls,
        time=_moment(path[-1].given.get("timestamp")) or created,
    )
    trust = trust_of(user, owners)
    # The same rating read again once the owner is known as such must not be taken for the one that waits.
    key = f"{_label(entry, 'id')}@{entry.get('updated_at')}{'' if trust == 'owner' else f'#{trust}'}"
    time = _moment(entry.get("updated_at")) or created
    return Turn(asked, (Reaction(kind, value, key, time, _said(data), user, trust),), trust=trust)


def _rating(data: Mapping[str, Any]) -> tuple[Kind, float]:
    """The thumb says good or bad; of 1 to 10 points, 6 to 10 are given beside a thumb up and say how good."""
    thumb = {"1": 1.0, "-1": -1.0}.get(str(data.get("rating")))
    details = data.get("details")
    points = details.get("rating") if isinstance(details, dict) else None
    if type(points) is int and 1 <= points <= 10 and thumb in (None, 1.0 if points > 5 else -1.0):
        return "stars", 0.5 + (points - 6) / 8 if points > 5 else -0.5 - (5 - points) / 8
    if thumb is None:
        raise _LeftOut("it says neither good nor bad")
    return "thumb", thumb


def _said(data: Mapping[str, Any]) -> str | None:
    parts = [data.get(name) for name in ("reason", "comment")]
    return ": ".join(part.strip() for part in parts if isinstance(part, str) and part.strip()) or None


def _chat(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The chat itself, which the snapshot holds inside of its row in the database."""
    row = _part(_part(entry, "snapshot"), "chat")
    if not row:
        raise _LeftOut("it has no snapshot of the chat")
    return _part(row, "chat") or row


def _path(chat: Mapping[str, Any], message_id: object) -> list[_Message]:
    """The messages from the first one to the rated one."""
    messages = _part(chat, "history").get("messages")
    if isinstance(messages, list):
        messages = {one.get("id"): one for one in messages if isinstance(one, dict)}
    path: list[_Message] = []
    while isinstance(messages, dict) and isinstance(message_id, str) and isinstance(messages.get(message_id), dict):
        if len(path) > len(messages):
            raise _LeftOut("its chat runs in a circle")
        path.insert(0, _message(messages[message_id]))
        message_id = messages[message_id].get("parentId")
    if not path or path[-1].role != "assistant":
        raise _LeftOut("the rated message is not in the snapshot")
    if path[-1].given.get("error"):
        raise _LeftOut("the rated message is an error")
    if any(one.given.get("files") for one in path):
        raise _LeftOut("files are attached to the chat")
    return path


def _message(given: Mapping[str, Any]) -> _Message:
    role, text = given.get("role"), given.get("content")
    if not isinstance(role, str) or not isinstance(text, str):
        raise BadRecord("messages: role and content must be texts")
    if role != "assistant":
        return _Message(role, text, (), given)
    calls = []
    text, folded = cut_spans(text, _FOLDED, lambda opening: "</details>")
    for kind, attributes in (opening.groups() for opening in folded):
        if kind != "reasoning":
            values = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(attributes)}
            calls.append({"name": values.get("name", kind), "arguments": values.get("arguments", "")})
    return _Message(role, text.strip(), tuple(calls), given)


def _asked(chat: Mapping[str, Any], path: list[_Message]) -> tuple[Message, ...]:
    """The conversation for the ledger. That tools took part in it stays visible; what they gave is not kept."""
    system = _part(chat, "params").get("system")
    messages = [Message("system", system)] if isinstance(system, str) and system.strip() else []
    for one in path:
        if one.calls:
            messages.append(Message("tool", "\n".join(call["name"] for call in one.calls)))
        if one.text.strip():
            messages.append(Message(one.role, one.text))
    return tuple(messages)


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under `name`, an empty one where there is none."""
    part = value.get(name)
    return {} if part is None else _object(part, name)


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRecord(f"{name}: an object is needed, not {type(value).__name__}")
    return value


def _label(value: Mapping[str, Any], name: str) -> str:
    label = value.get(name)
    if label is not None and not isinstance(label, str):
        raise BadRecord(f"{name}: a text is needed, not {type(label).__name__}")
    return label or ""


def _moment(value: object) -> datetime | None:
    """A Unix time in seconds, or in thousandths, millionths or billionths of one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LAST_SECOND * 10**9:
        return None
    seconds = float(value)
    while seconds >= _LAST_SECOND:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC)
