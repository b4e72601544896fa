"""Every answer that somebody judged, and what was made of it: the step between reactions and rows."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction
from strop.feedback.signals import DECIDING, Standing, standing
from strop.feedback.similar import normalised
from strop.feedback.split import Place
from strop.feedback.trusted import Counted, Reacted, reacted
from strop.files import canonical_json, sha256_bytes

# Texts that chat templates turn into control tokens: in a training row they would end or open turns. Only such as
# nobody writes for another reason; what is a token to one base alone (`<filename>`), `Rows.without` takes out.
TEMPLATE_TOKENS = re.compile(
    r"<[|｜][^<>|｜\s]{1,64}[|｜]>"
    r"|</?(?:s|start_of_turn|end_of_turn|start_of_image|end_of_image|bos|eos|pad|unk|mask|sop|eop|unused\d{1,4})>"
    r"|<(?:BOS|EOS|PAD|UNK|SEP|CLS|MASK)_TOKEN>"
    r"|\[\|/?[a-z_]{1,32}\|\]"
    r"|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|IMG|g?MASK)\]"
    r"|<</?SYS>>"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer to one prompt, and what is said about it. Equal answers to equal prompts are one of these.

    `interactions` are the ids of all of them. `key` stands for the whole conversation up to the answer.
    """

    interaction: Interaction
    id: str
    interactions: tuple[str, ...]
    key: str
    place: Place
    standing: Standing

    @property
    def when(self) -> tuple[bool, datetime, str]:
        """What a later word is later by; the owner's own is later than any other's."""
        return not self.standing.others, self.standing.signal.time, self.standing.signal_id

    @property
    def answer(self) -> str:
        """What the model said."""
        return self.interaction.answer.strip()

    @property
    def wanted(self) -> str | None:
        """The text that was asked for: the correction, or the answer itself where it was liked."""
        if self.standing.state == "corrected":
            return (self.standing.signal.text or "").strip()
        return self.answer if self.standing.state == "up" else None

    @property
    def refused(self) -> str | None:
        """The answer, where it was disliked or corrected to something else."""
        bad = self.standing.state == "down" or (self.standing.state == "corrected" and self.wanted != self.answer)
        return self.answer if bad else None


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer that nobody rated, and what the user said next."""

    interaction: Interaction
    place: Place
    message: str
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """All that the ledger holds of judgements."""

    judged: tuple[Judged, ...]
    complaints: tuple[Complaint, ...]


def hear(ledger: Ledger, places: Mapping[str, Place], excluded: Counter[str], *, cap_source_day: int) -> Heard:
    """Every judged answer, equal answers to equal prompts of one side as one; counts what is left out in `excluded`."""
    groups: dict[tuple[str, str, str], list[tuple[Reacted, tuple[Counted, ...]]]] = {}
    complaints: list[Complaint] = []
    caps = _DayCaps(cap_source_day)
    for one in reacted(ledger):
        excluded["not_owner"] += sum(signal.kind in DECIDING for signal in one.left_out)
        counted = caps.within(one.counted)
        excluded["capped"] += len(one.counted) - len(counted)
        place = places.get(one.id)
        if place is None or not counted:
            continue
        if one.interaction.tool_calls or any(message.role == "tool" for message in one.interaction.messages):
            excluded["tool_calls"] += 1
        elif any(reaction.signal.kind in DECIDING for reaction in counted):
            same = (place.side, prompt_key(one.interaction), one.interaction.answer.strip())
            groups.setdefault(same, []).append((one, counted))
        elif (complaint := _complaint(one, place, counted)) is not None:
            complaints.append(complaint)
    judged = [_judged(key, group, places, excluded) for (_, key, _), group in groups.items()]
    return Heard(tuple(sorted(judged, key=lambda entry: entry.id)), tuple(complaints))


def prompt_key(interaction: Interaction) -> str:
    """A hash that equal conversations share, whatever their case, spacing and closing punctuation."""
    turns = [[message.role, normalised(message.content)] for message in interaction.messages]
    return sha256_bytes(canonical_json(turns).encode())


def has_template_tokens(text: str) -> bool:
    """Whether a chat template's control tokens stand in `text`: such a text is stored and never trained on."""
    return TEMPLATE_TOKENS.search(text) is not None


def _judged(
    key: str, group: list[tuple[Reacted, tuple[Counted, ...]]], places: Mapping[str, Place], excluded: Counter[str]
) -> Judged:
    verdict = standing(reaction for _, counted in group for reaction in counted)
    if verdict is None:
        raise AssertionError("a group holds a deciding reaction")  # `hear` puts no other into one
    first = min((one for one, _ in group), key=lambda one: one.id)
    ids = tuple(sorted(one.id for one, _ in group))
    entry = Judged(first.interaction, first.id, ids, key, places[first.id], verdict)
    excluded["contradicted"] += verdict.contradicted
    excluded["unchanged"] += verdict.state == "corrected" and entry.wanted == entry.answer
    return entry


def _complaint(one: Reacted, place: Place, counted: Iterable[Counted]) -> Complaint | None:
    said = [reaction for reaction in counted if reaction.signal.kind == "complaint" and reaction.signal.text]
    if not said:
        return None
    last = max(said, key=lambda reaction: reaction.signal.time)
    return Complaint(one.interaction, place, last.signal.text or "", (last.id,))


class _DayCaps:
    """How many reactions of one person other than the owner count on one day: a few can poison a model.

    0.5 % of the preference data is enough for a backdoor in DPO (arXiv 2406.12091), so this is a count, not a share.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def within(self, reactions: Iterable[Counted]) -> tuple[Counted, ...]:
        return tuple(
            reaction
            for reaction in reactions
            if not reaction.others or reaction.signal.kind not in DECIDING or self._take(reaction)
        )

    def _take(self, reaction: Counted) -> bool:
        signal = reaction.signal
        key = (signal.source, signal.user, signal.time.date().isoformat())
        self._seen[key] += 1
        return self._seen[key] <= self._most
