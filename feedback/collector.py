"""`FeedbackCollector`: what an agent calls to record its answers and what people said about them.

    with FeedbackCollector("ledger.db") as feedback:
        answer = feedback.record(prompt="What is LoRA?", answer="A way to ...", session="chat-42", turn=3)
        feedback.rate(answer, "down", note="too long")
        feedback.correct(session="chat-42", turn=3, text="Small trainable matrices beside frozen weights.")
        feedback.observe_next(answer, "No. Way too long!")

Every call returns after its row is on disk, which takes some milliseconds. Threads may share one collector, a forked
child may go on with its parent's, and async code calls it in a thread:

    answer = await asyncio.to_thread(feedback.record, prompt="What is LoRA?", answer="A way to ...")
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack, overload

from strop.errors import BadRecord
from strop.feedback.ledger import Ledger
from strop.feedback.records import (
    Interaction,
    InteractionFields,
    Kind,
    Message,
    Signal,
    Trust,
    check_label,
    check_size,
    check_text,
    conversation,
    now,
)
from strop.feedback.scrub import Scrubber
from strop.feedback.signals import CORRECTION_VALUE, Rating, parse_rating, trust_of
from strop.files import sha256_bytes

_STANDARD = Scrubber()
_NEXT = "next"


class ReactionFields(TypedDict, total=False):
    """Who reacted and where: the optional fields of every reaction.

    `source` and `source_key` name the event that it comes from: the same event again returns the first one's id and
    stores nothing. `trust` follows from the user unless it is given.
    """

    user: str
    source: str
    source_key: str
    trust: Trust | None
    time: datetime | None


class FeedbackCollector:
    """Writes to the ledger at `path`, which is made when it is not there.

    `owners` are the users whose reactions train the model; those of others are stored and wait for the owner's review.
    Every text goes through `scrubber` before it is stored; None stores texts as they come.

    A reaction names its answer by the id that `record` returned, or by the `session` and `turn` it was recorded with
    (where several were, the newest of them). Raises BadRecord for both or neither, UnknownInteraction where the ledger
    holds no such answer.
    """

    def __init__(
        self, path: Path | str, *, owners: Iterable[str] = ("owner",), scrubber: Scrubber | None = _STANDARD
    ) -> None:
        self.ledger = Ledger.open(path, scrubber=scrubber)
        self._owners = frozenset(owners)

    def close(self) -> None:
        """Close the ledger; closing twice does nothing."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(
        self,
        interaction: Interaction | None = None,
        *,
        prompt: str | None = None,
        answer: str | None = None,
        system: str = "",
        messages: Sequence[Message | Mapping[str, str]] | None = None,
        **fields: Unpack[InteractionFields],
    ) -> str:
        """Store what the model saw and said; returns the id that reactions name.

        Give an Interaction, or an `answer` with either `prompt` (and `system`) or the whole `messages`, the last of
        them the user's. `fields` are the other fields of Interaction. The id is that of what was stored, which the
        scrubber may have changed. Recording the same again returns the same id. Raises BadRecord, and Forgotten where
        it was taken out by `forget`.
        """
        if interaction is not None:
            if fields or system or (prompt, answer, messages) != (None, None, None):
                raise BadRecord("give an Interaction or its fields, not both")
            return self.ledger.add_interaction(interaction)
        if (prompt is None) == (messages is None) or (messages is not None and system):
            raise BadRecord("give either prompt (and system) or messages")
        if answer is None:
            raise BadRecord("answer: it is missing", hint="give the answer that the model gave")
        asked = conversation(prompt, system) if prompt is not None else as_messages(messages or ())
        return self.ledger.add_interaction(Interaction(asked, answer, **fields))

    @overload
    def rate(
        self, interaction_id: str, rating: Rating, *, note: str | None = None, **fields: Unpack[ReactionFields]
    ) -> str: ...
    @overload
    def rate(
        self, *, session: str, turn: int, rating: Rating, note: str | None = None, **fields: Unpack[ReactionFields]
    ) -> str: ...
    def rate(
        self,
        interaction_id: str | None = None,
        rating: Rating | None = None,
        *,
        session: str | None = None,
        turn: int | None = None,
        note: str | None = None,
        **fields: Unpack[ReactionFields],
    ) -> str:
        """Store a rating, `up`, `down` or 1 to 5 stars, with what the person wrote beside it; returns its id.

        The latest rating counts, earlier ones stay. Raises BadRecord, UnknownInteraction.
        """
        if rating is None:
            raise BadRecord("rating: it is missing", hint="use up, down, or 1 to 5")
        kind, value = parse_rating(rating)
        return self._react(self.find(interaction_id, session=session, turn=turn), kind, value, note, "", **fields)

    @overload
    def correct(self, interaction_id: str, text: str, **fields: Unpack[ReactionFields]) -> str: ...
    @overload
    def correct(self, *, session: str, turn: int, text: str, **fields: Unpack[ReactionFields]) -> str: ...
    def correct(
        self,
        interaction_id: str | None = None,
        text: str | None = None,
        *,
        session: str | None = None,
        turn: int | None = None,
        **fields: Unpack[ReactionFields],
    ) -> str:
        """Store the answer that the person wanted instead; returns the reaction's id.

        The same `source_key` may be given to `rate`, `correct` and `note`: they do not shadow each other.
        """
        found = self.find(interaction_id, session=session, turn=turn)
        return self._react(found, "correction", CORRECTION_VALUE, text, "correction", **fields)

    @overload
    def note(self, interaction_id: str, text: str, **fields: Unpack[ReactionFields]) -> str: ...
    @overload
    def note(self, *, session: str, turn: int, text: str, **fields: Unpack[ReactionFields]) -> str: ...
    def note(
        self,
        interaction_id: str | None = None,
        text: str | None = None,
        *,
        session: str | None = None,
        turn: int | None = None,
        **fields: Unpack[ReactionFields],
    ) -> str:
        """Store a remark that rates nothing; returns the reaction's id."""
        return self._react(self.find(interaction_id, session=session, turn=turn), "note", 0.0, text, "note", **fields)

    def react(self, interaction_id: str, emoji: str, **fields: Unpack[ReactionFields]) -> str:
        """Store an emoji, as a chat shows it under an answer; returns the reaction's id. Any emoji is kept."""
        from strop.feedback.importers.openclaw_texts import emoji_value

        return self._react(interaction_id, "reaction", emoji_value(emoji), emoji, "reaction", **fields)

    def tool_outcome(
        self, interaction_id: str, *, ok: bool, text: str | None = None, **fields: Unpack[ReactionFields]
    ) -> str:
        """Store whether the tools that an answer called did what they were called for; returns the reaction's id.

        It is evidence and decides nothing: a tool may fail for reasons that are not the answer's.
        """
        return self._react(interaction_id, "tool_outcome", 1.0 if ok else -1.0, text, "tool_outcome", **fields)

    @overload
    def observe_next(self, interaction_id: str, message: str, **fields: Unpack[ReactionFields]) -> tuple[str, ...]: ...
    @overload
    def observe_next(
        self, *, session: str, turn: int, message: str, **fields: Unpack[ReactionFields]
    ) -> tuple[str, ...]: ...
    def observe_next(
        self,
        interaction_id: str | None = None,
        message: str | None = None,
        *,
        session: str | None = None,
        turn: int | None = None,
        **fields: Unpack[ReactionFields],
    ) -> tuple[str, ...]:
        """Store what the user's next message says about the answer (`nextmessage`); returns the reactions' ids.

        Mostly it says nothing: then nothing is stored and the result is empty. What it says is worth less than a rating
        and decides nothing by itself. `user` is by default who asked, `source` "next"; the same message after the same
        answer is stored once.
        """
        # Compiling the cues takes longer than all the rest of a command that only rates.
        from strop.feedback.nextmessage import WEIGHTS, implied

        check_text("message", message, blank=True)
        check_size([message or ""])
        found = self.find(interaction_id, session=session, turn=turn)
        asked = self.ledger.interaction(found)
        said = self.ledger.scrubbed(message or "", found)
        fields = {"user": asked.user, "source": _NEXT, **fields}
        fields["source_key"] = fields.get("source_key") or f"{found}#{sha256_bytes(said.encode())}"
        signals = [
            self._signal(found, one.kind, WEIGHTS[one.kind].value * one.confidence, said, one.kind, **fields)
            for one in implied(asked.prompt, asked.answer, said)
        ]
        return tuple(signal_id for signal_id, _ in self.ledger.put_signals(signals)) if signals else ()

    def find(self, interaction_id: str | None = None, *, session: str | None = None, turn: int | None = None) -> str:
        """The id of an answer, named as for `rate`; an id is given back as it is. Raises as `rate`."""
        by_key = (session, turn) != (None, None)
        if (interaction_id is not None) == by_key:
            raise BadRecord("the answer: name it by its id, or by session and turn", hint="record() returns the id")
        if interaction_id is not None:
            return interaction_id
        if not session or turn is None:
            missing = "turn" if session else "session"
            raise BadRecord(f"{missing}: it is missing", hint="session and turn together name an answer")
        check_label("session", session)  # SQLite cannot look for what it cannot store
        if type(turn) is not int or not 0 <= turn < 1 << 63:
            raise BadRecord(f"turn: {turn!r} is not a whole number from 0 up", hint="give what it was recorded with")
        return self.ledger.find(session, turn)

    def _react(
        self,
        interaction_id: str,
        kind: Kind,
        value: float,
        text: str | None,
        part: str,
        **fields: Unpack[ReactionFields],
    ) -> str:
        return self.ledger.add_signal(self._signal(interaction_id, kind, value, text, part, **fields))

    def _signal(
        self,
        interaction_id: str,
        kind: Kind,
        value: float,
        text: str | None,
        part: str,
        *,
        user: str = "owner",
        source: str = "api",
        source_key: str = "",
        trust: Trust | None = None,
        time: datetime | None = None,
    ) -> Signal:
        key = part_key(source_key, part) if part else source_key
        whose = trust or trust_of(user, self._owners)
        return Signal(interaction_id, kind, value, text, user, source, key, whose, time or now())


def as_messages(messages: Sequence[Message | Mapping[str, str]]) -> tuple[Message, ...]:
    """Messages from Message objects or {"role", "content"} mappings. Raises BadRecord naming the bad one."""
    result = []
    for number, message in enumerate(messages, start=1):
        if isinstance(message, Message):
            result.append(message)
        elif isinstance(message, Mapping) and {"role", "content"} <= set(message):
            result.append(Message(message["role"], message["content"]))
        else:
            raise BadRecord(f"messages: number {number} is not an object with role and content")
    return tuple(result)


def part_key(source_key: str, part: str) -> str:
    """The key of one part of an event that rates, corrects and remarks at once; ratings keep the plain key."""
    return f"{source_key}#{part}" if source_key else ""
