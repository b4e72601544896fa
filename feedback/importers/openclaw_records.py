"""OpenClaw's session records, of either store, as turns: questions, answers and the reactions to them.

`/new` writes a `reset` record: a new conversation begins. A session that was rewound or forked is copied, record ids
and all, under another session id; so a conversation is named by the id of its first question, the same in both copies.
Shapes: src/config/sessions/session-entry-codec.ts and src/sessions/user-turn-transcript.*.ts of OpenClaw 2026.9.6.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from strop.errors import BadRecord
from strop.feedback.importers.base import Reaction, Turn
from strop.feedback.importers.openclaw_fields import Key, blocks_of, mapping_of, moment_of, string_of, text_of
from strop.feedback.importers.openclaw_texts import Heard, Mark, emoji_value, heard, plain_emoji, reactions_in
from strop.feedback.importers.openclaw_tree import KNOWN, Entry, Record, active
from strop.feedback.records import Interaction, Message, Trust, now

# All that an interaction keeps of the turns before it, and of one tool result among them.
LIMIT_CONTEXT_BYTES = 32 << 10
LIMIT_CONTEXT_TURNS = 40
LIMIT_RESULT_CHARS = 2_000
# The newest `version` of a session header that this reader was tried on.
SESSION_VERSION = 4

_ROLES = ("user", "assistant", "toolResult", "bashExecution", "custom", "hookMessage")
_UNFINISHED = "there is no final answer"
_FAILED = {"error": "the answer failed", "aborted": "the answer was interrupted", "length": "the answer was cut off"}
_SILENT = re.compile(r"[\s*`_\"]*(?:NO_REPLY|HEARTBEAT_OK)[\s*`_\".]*")
_THOUGHT = re.compile(r"<(think|thinking|thought)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_DIRECTIVE = re.compile(r"\[\[\s*(?:reply_to_current|reply_to:[^\]\n]*|audio_as_voice)\s*\]\]|</?final>")
_SENT_ID = re.compile(r'"messageId"\s*:\s*"?([^"\s,}]+)')
_NUMBER = re.compile(r"(\d{1,24})(?:\.(\d{1,9}))?")
_LIMIT_NAME_CHARS = 200


@dataclass(slots=True, eq=False)
class Asked:
    """A message with its answer while the records are read. `prompt` is None where no person asked.

    `reason` says why it is left out, `failed` why it has no answer (yet). `settled`: what follows it is known.
    """

    entry: Entry
    said: Heard
    before: "Asked | None" = None
    prompt: str | None = None
    user: str = "owner"
    trust: Trust = "owner"
    time: datetime | None = None
    message_number: tuple[int, int] | None = None
    session: str = ""
    number: int = 0
    reason: str = ""
    failed: str = _UNFINISHED
    answer: str = ""
    answered_at: int = -1
    answer_time: datetime | None = None
    model: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    sent_ids: set[str] = field(default_factory=set)
    reactions: list["Reacted"] = field(default_factory=list)
    after: "Asked | None" = None
    settled: bool = False

    @property
    def left_out(self) -> str:
        """Why nothing of it is stored; "" where it is a question with its answer."""
        return self.reason or self.failed


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction line, where it stood, and whose it is taken to be: the owner's in a session that is one person's."""

    mark: Mark
    key: str
    position: int
    time: datetime
    user: str
    trust: Trust


class Reader:
    """Puts the records of one session into turns: `turns` holds what persons asked on the active branch, in order.

    `skipped` are (position, reason) of all that was not taken but turns, which say so themselves.
    """

    def __init__(self, records: Sequence[Record | None], key: Key) -> None:
        self.turns: list[Asked] = []
        self.skipped = list(_strange(records))
        self._key = key
        # A session without a key is a group's from the first text on that says so.
        self._group = key.group
        self._reacted: list[Reacted] = []
        self._here: Asked | None = None
        for entry in active(records):
            self._take(entry)
        self._own = {turn.said.message_id for turn in self.turns}
        for turn in self.turns:
            self._check(turn)
        for one in self._reacted:
            self._react(one)

    def _take(self, entry: Entry) -> None:
        kind, message = entry.record.get("type"), mapping_of(entry.record, "message")
        role = message.get("role") if kind == "message" else None
        if kind == "reset":
            self._here = None
            if self.turns:
                self.turns[-1].settled = True
        elif kind == "custom_message" or role == "custom":
            marks = reactions_in(text_of(message if role else entry.record))
            owner = not self._group and (self._here is None or self._here.trust == "owner")
            self._reacted += _reacted(marks, entry, owner=owner)
        elif role == "user":
            self._ask(entry, message)
        elif role == "assistant" and self._here is not None:
            _answer(self._here, entry, message)
        elif role == "toolResult" and self._here is not None:
            _result(self._here, message)

    def _ask(self, entry: Entry, message: Record) -> None:
        facts = mapping_of(message, "__openclaw")
        said = heard(text_of(message), group=self._group)
        self._group = said.group
        turn = self._here = Asked(entry, said, before=self._here, time=moment_of(entry.record, message))
        turn.message_number = _as_number(said.message_id)
        turn.user, turn.trust = _whose(facts, said)
        owner = not said.group and facts.get("senderIsOwner") is not False
        self._reacted += _reacted(said.reactions, entry, owner=owner)
        attached = said.attached or _pictures(message, facts)
        by_program = _internal(message) or said.by_program
        if by_program or not (said.text or attached):
            if by_program or not said.reactions:
                self.skipped.append((entry.position, "a command, or a message of OpenClaw's own"))
            return
        turn.prompt = said.text
        turn.reason = "a picture or document is attached, which is not kept" if attached else ""
        self._number(turn)

    def _number(self, turn: Asked) -> None:
        """Give a person's message its place in the conversation; OpenClaw's own messages have none."""
        before = next((one for one in _back(turn) if one.session), None)
        turn.session, turn.number = turn.entry.id, 0
        if before is not None:
            turn.session, turn.number = before.session, before.number + 1
            before.after, before.settled = turn, True
        self.turns.append(turn)

    def _check(self, turn: Asked) -> None:
        """Leave out a turn that cannot be stored, so that the turns after it do without it."""
        try:
            if not turn.left_out:
                _interaction(turn, self._key, ())
        except BadRecord as error:
            turn.reason = f"refused: {error}"

    def _react(self, one: Reacted) -> None:
        own = one.mark.target in self._own and one.mark.target != ""
        turn = None if own else _meant(one, self.turns)
        if turn is None or turn.left_out:
            self.skipped.append((one.position, "a reaction to something that is not taken"))
        else:
            turn.reactions.append(one)


def stored(turn: Asked, key: Key) -> Turn | None:
    """The turn for the ledger; None, with the reason in it, where it is left out."""
    if turn.left_out:
        return None
    try:
        asked = _interaction(turn, key, _context(turn))
    except BadRecord as error:
        turn.reason = f"refused: {error}"
        return None
    # In a group the next message is mostly somebody else's, and says nothing about this answer.
    after = turn.after if turn.after is not None and turn.after.user == turn.user != "" else None
    said = after.prompt or None if after else None
    return Turn(asked, tuple(_reactions(turn)), said, after.time if after and said else None, turn.trust)


def _interaction(turn: Asked, key: Key, context: Sequence[Message]) -> Interaction:
    """What was asked and answered. Raises BadRecord where a text of it cannot be stored."""
    return Interaction(
        messages=(*context, Message("user", turn.prompt or "")),
        answer=turn.answer,
        model=turn.model,
        channel=key.channel or turn.said.channel or "openclaw",
        user=turn.user,
        session=turn.session,
        turn=turn.number,
        tool_calls=turn.calls,
        time=turn.answer_time or turn.time or now(),
    )


def _reactions(turn: Asked) -> Iterator[Reaction]:
    """Each is worth what the person's emoji come to by then: the latest that says anything and was not taken back."""
    there: dict[str, list[str]] = {}
    for one in turn.reactions:
        emoji = plain_emoji(one.mark.emoji)
        standing = [other for other in there.get(one.user, []) if other != emoji]
        there[one.user] = [*standing, emoji] if one.mark.added else standing
        value = next((value for other in reversed(there[one.user]) if (value := emoji_value(other))), 0.0)
        text = one.mark.emoji if one.mark.added else f"{one.mark.emoji} (removed)"
        yield Reaction("reaction", value, f"{turn.session}:{one.key}", one.time, text, one.user, one.trust)


def _answer(turn: Asked, entry: Entry, message: Record) -> None:
    """One assistant message. The first that ends is the answer: what the program adds later must not change it."""
    if message.get("provider") == "openclaw" or turn.answered_at >= 0:
        return
    stop = string_of(message, "stopReason")
    turn.failed = _FAILED.get(stop, "")
    if turn.failed and stop != "length":
        return
    turn.model = "/".join(filter(None, (string_of(message, "provider"), string_of(message, "model"))))
    called = [one for one in blocks_of(message) if one.get("type") in ("toolCall", "toolUse", "functionCall")]
    for one in called:
        arguments = one.get("arguments", one.get("input"))
        turn.calls.append({"id": string_of(one, "id"), "name": string_of(one, "name"), "arguments": arguments})
    if called or stop == "toolUse":
        turn.failed = _UNFINISHED
        return
    turn.answer, turn.answer_time = _visible(text_of(message)), moment_of(entry.record, message)
    if _SILENT.fullmatch(turn.answer):
        turn.answer, turn.failed = "", "the model chose to say nothing"
    elif not turn.answer:
        turn.failed = turn.failed or _UNFINISHED
    if not turn.failed:
        turn.answered_at = entry.position


def _visible(text: str) -> str:
    """An answer as people saw it, without thoughts and without what tells OpenClaw how to send it."""
    return _DIRECTIVE.sub("", _THOUGHT.sub("", text)).strip()


def _result(turn: Asked, message: Record) -> None:
    text, name = text_of(message).replace("\0", "").encode(errors="replace").decode(), string_of(message, "toolName")
    more = f" ... ({len(text):,} characters)" if len(text) > LIMIT_RESULT_CHARS else ""
    turn.results.append(f"{name}: {text[:LIMIT_RESULT_CHARS]}{more}")
    if name == "message":
        turn.sent_ids.update(_SENT_ID.findall(text))


def _context(turn: Asked) -> list[Message]:
    """What was said before in this conversation, whole turns, the latest that fit. A cut-off answer was said too."""
    messages: list[Message] = []
    left, turns = LIMIT_CONTEXT_BYTES, LIMIT_CONTEXT_TURNS
    for one in _back(turn):
        if one.prompt is None or not one.answer or one.reason:
            continue
        turns -= 1
        texts = (one.prompt, *one.results, one.answer)
        left -= sum(len(text.encode(errors="replace")) for text in texts)
        if left < 0 or turns < 0:
            break
        tools = [Message("tool", text) for text in one.results]
        messages[:0] = [Message("user", one.prompt), *tools, Message("assistant", one.answer)]
    return messages


def _back(turn: Asked) -> Iterator[Asked]:
    """The messages before this one in its conversation, the latest first."""
    before = turn.before
    while before is not None:
        yield before
        before = before.before


def _reacted(marks: Iterable[Mark], entry: Entry, *, owner: bool) -> Iterator[Reacted]:
    time = moment_of(entry.record, mapping_of(entry.record, "message")) or now()
    for number, mark in enumerate(marks):
        user = "owner" if owner else _named(mark.user)
        trust: Trust = "owner" if owner else "known" if user else "anonymous"
        yield Reacted(mark, f"{entry.id}#{number}", entry.position, time, user, trust)


def _meant(one: Reacted, turns: Sequence[Asked]) -> Asked | None:
    """The turn whose answer a reaction is about, the latest where nothing says which; None where it is about none."""
    answered = [turn for turn in turns if 0 <= turn.answered_at < one.position]
    mark = one.mark
    if mark.quoted:
        return next((turn for turn in reversed(answered) if turn.answer.startswith(mark.quoted.rstrip(". "))), None)
    named = next((turn for turn in answered if mark.target in turn.sent_ids), None)
    if named is None and (before := _numbered_before(mark, turns)):
        return before if before in answered else None
    return named or (answered[-1] if answered else None)


def _numbered_before(mark: Mark, turns: Sequence[Asked]) -> Asked | None:
    """Message ids of Telegram, Discord, Slack and Signal grow: an answer's lies between those of two questions."""
    target = _as_number(mark.target)
    if target is None:
        return None
    for turn in reversed(turns):
        if turn.message_number and turn.message_number < target and turn.said.channel in ("", mark.channel):
            return turn
    return None


def _as_number(text: str) -> tuple[int, int] | None:
    found = _NUMBER.fullmatch(text)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _whose(facts: Record, said: Heard) -> tuple[str, Trust]:
    """(user, trust) of a message. What OpenClaw itself says of the sender counts before what the session is."""
    if facts.get("senderIsOwner") is True or (facts.get("senderIsOwner") is None and not said.group):
        return "owner", "owner"
    told = (string_of(facts, name) for name in ("senderUsername", "senderName", "senderId"))
    user = _named(next(filter(None, told), said.sender))
    return user, "known" if user else "anonymous"


def _named(name: str) -> str:
    """A name as it may stand beside the owner's: nobody becomes the owner by calling themselves so."""
    name = name.strip()[:_LIMIT_NAME_CHARS]
    return f"@{name}" if name.casefold() == "owner" else name


def _internal(message: Record) -> bool:
    kind = mapping_of(message, "provenance").get("kind", "external_user")
    return kind != "external_user" or message.get("display") is False


def _pictures(message: Record, facts: Record) -> bool:
    """Whether more than words was sent; of a voice message OpenClaw keeps the words."""
    media = facts.get("media")
    kinds = (
        [string_of(one, "kind") or string_of(one, "contentType") for one in media] if isinstance(media, list) else []
    )
    blocks = any(one.get("type") != "text" for one in blocks_of(message))
    return blocks or any(not kind.startswith("audio") for kind in kinds)


def _strange(records: Sequence[Record | None]) -> Iterator[tuple[int, str]]:
    for position, record in enumerate(records):
        if record is None:
            yield position, "a record that cannot be read"
            continue
        kind, role = record.get("type"), mapping_of(record, "message").get("role")
        version = record.get("version")
        if kind not in KNOWN:
            yield position, f"a record of an unknown type: {str(kind)[:40]}"
        elif kind == "message" and role not in _ROLES:
            yield position, f"a message of an unknown role: {str(role)[:40]}"
        elif kind == "session" and isinstance(version, int) and version > SESSION_VERSION:
            yield position, f"session format {version} is newer than {SESSION_VERSION}, read as far as it is known"
