"""`FeedbackCollector`: what an agent calls to record its answers and what people said about them.

    with FeedbackCollector("ledger.db") as feedback:
        answer = feedback.record(prompt="What is LoRA?", answer="A way to ...")
        feedback.rate(answer, "down", note="too long")
        feedback.correct(answer, "Small trainable matrices beside frozen weights.")

Every call returns after its row is on disk. Threads may share one collector.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from strop.errors import BadRecord
from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, InteractionFields, Kind, Message, Signal, Trust, conversation, now
from strop.feedback.signals import CORRECTION_VALUE, Rating, parse_rating, trust_of


class FeedbackCollector:
    """Writes to the ledger at `path`, which is made when it is not there.

    `owners` are the users whose reactions train the model; those of others are stored and left out of training.
    """

    def __init__(self, path: Path | str, *, owners: Iterable[str] = ("owner",)) -> None:
        self.ledger = Ledger.open(path)
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
        them the user's. `fields` are the other fields of Interaction. Raises BadRecord.
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

    def rate(
        self,
        interaction_id: str,
        rating: Rating,
        *,
        user: str = "owner",
        source: str = "api",
        source_key: str = "",
        note: str | None = None,
        trust: Trust | None = None,
        time: datetime | None = None,
    ) -> str:
        """Store a rating, `up`, `down` or 1 to 5 stars, with what the person wrote beside it; returns its id.

        The latest rating counts, earlier ones stay. `source` and `source_key` name the event that it comes from: the
        same event again returns the first one's id and stores nothing. Raises BadRecord, UnknownInteraction.
        """
        kind, value = parse_rating(rating)
        return self._react(interaction_id, kind, value, note, user, source, source_key, trust, time)

    def correct(
        self,
        interaction_id: str,
        text: str,
        *,
        user: str = "owner",
        source: str = "api",
        source_key: str = "",
        trust: Trust | None = None,
        time: datetime | None = None,
    ) -> str:
        """Store the answer that the person wanted instead; returns the reaction's id.

        The same `source_key` may be given to `rate`, `correct` and `note`: they do not shadow each other.
        """
        key = part_key(source_key, "correction")
        return self._react(interaction_id, "correction", CORRECTION_VALUE, text, user, source, key, trust, time)

    def note(
        self,
        interaction_id: str,
        text: str,
        *,
        user: str = "owner",
        source: str = "api",
        source_key: str = "",
        trust: Trust | None = None,
        time: datetime | None = None,
    ) -> str:
        """Store a remark that rates nothing; returns the reaction's id."""
        key = part_key(source_key, "note")
        return self._react(interaction_id, "note", 0.0, text, user, source, key, trust, time)

    def _react(
        self,
        interaction_id: str,
        kind: Kind,
        value: float,
        text: str | None,
        user: str,
        source: str,
        source_key: str,
        trust: Trust | None,
        time: datetime | None,
    ) -> str:
        whose = trust or trust_of(user, self._owners)
        signal = Signal(interaction_id, kind, value, text, user, source, source_key, whose, time or now())
        return self.ledger.add_signal(signal)


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
