"""A liked answer to one prompt set against a disliked one to a near-duplicate of it."""

import re
from collections.abc import Mapping, Sequence

from strop.feedback.judged import Judged
from strop.feedback.similar import SIMILAR, normalised, shingles, similarity

_NUMBERS = re.compile(r"\d+")

Texts = Mapping[str, Judged]


def near_pairs(groups: Sequence[tuple[Texts, Texts]]) -> dict[tuple[str, str], Judged]:
    """For refused texts on prompts where nothing was asked for: whose answer was liked on a near-duplicate prompt.

    `groups` are (wanted, refused) texts by prompt. The result maps (refused text, its interaction) to the liked
    answer. Only answers as the model gave them are carried over, never corrections, and only where both prompts hold
    the same numbers: "in 2023" and "in 2024" are near-duplicates with different answers.
    """
    liked: dict[tuple[str, str], list[Judged]] = {}
    for wanted, _ in groups:
        for entry in wanted.values():
            if entry.standing.state == "up":
                liked.setdefault((entry.place.side, entry.place.cluster), []).append(entry)
    found: dict[tuple[str, str], Judged] = {}
    for wanted, refused in groups:
        if wanted:
            continue
        for text, entry in refused.items():
            others = liked.get((entry.place.side, entry.place.cluster), [])
            near = [other for other in others if other.answer != text and _near(entry, other)]
            if near:
                found[text, entry.id] = max(near, key=lambda other: other.when)
    return found


def _near(one: Judged, other: Judged) -> bool:
    """Whether two conversations are near-duplicates, turn by turn."""
    ours, theirs = one.interaction.messages, other.interaction.messages
    return [message.role for message in ours] == [message.role for message in theirs] and all(
        _alike(normalised(a.content), normalised(b.content)) for a, b in zip(ours, theirs, strict=True)
    )


def _alike(one: str, other: str) -> bool:
    return _NUMBERS.findall(one) == _NUMBERS.findall(other) and similarity(shingles(one), shingles(other)) >= SIMILAR
