"""Ratings, corrections and notes as people write them into files by hand: spelled in many ways, and easily misread.

A lone `1` is one star to some and a thumb up to others. It is read by what the rest of the file says, and refused
where that does not say either.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from strop.errors import BadRecord
from strop.feedback.importers.base import Reaction
from strop.feedback.records import Interaction, Kind, Signal
from strop.feedback.signals import CORRECTION_VALUE, parse_rating, trust_of
from strop.files import canonical_json, sha256_bytes

Scale = Literal["stars", "thumbs", "unclear"]

_THUMBS = {"up": 1.0, "👍": 1.0, "true": 1.0, "+1": 1.0, "down": -1.0, "👎": -1.0, "false": -1.0, "-1": -1.0}
_STARS = re.compile(r"([1-5])(/5)?")
# Skin tones and the sign that asks for a coloured emoji.
_EMOJI_DRESS = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True, slots=True)
class Said:
    """What one row says about its answer, as it was written; empty where it says nothing."""

    rating: str = ""
    correction: str = ""
    note: str = ""
    event: str = ""


def plain(rating: object) -> str:
    """A rating as text: `1.0`, which spreadsheets make of 1, is `1`; True is `true`."""
    text = _EMOJI_DRESS.sub("", str(rating).strip().lower())
    float_like = _WHOLE_FLOAT.fullmatch(text)
    return float_like[1] if float_like else text


def scale_of(ratings: Iterable[str]) -> Scale:
    """Whether the numbers of a file are stars or thumbs. Raises BadRecord where they are both."""
    found = set(ratings)
    thumbs, stars = found & {"+1", "-1"}, found & {"2", "3", "4", "5"}
    if thumbs and stars:
        raise BadRecord(
            f"rating: {min(thumbs)} and {min(stars)} in one file, thumbs and stars",
            hint="write thumbs as up and down, or stars as 1/5 to 5/5",
        )
    return "thumbs" if thumbs else "stars" if stars else "unclear"


def read_rating(text: str, scale: Scale) -> tuple[Kind, float] | None:
    """A rating's kind and value; None for `0` and for nothing. Raises BadRecord."""
    if text in ("", "0"):
        return None
    if text == "1" and scale == "unclear":
        raise BadRecord(
            "rating: 1 can mean one star or a thumb up, and nothing else in the file says which",
            hint="write up for the thumb, 1/5 for the star",
        )
    if text in _THUMBS or (text == "1" and scale == "thumbs"):
        return "thumb", _THUMBS.get(text, 1.0)
    if stars := _STARS.fullmatch(text):
        return parse_rating(stars[1])
    raise BadRecord(f"rating: {text[:40]!r} is not a rating", hint="use up, down, 1 to 5, +1, -1, true, false or 0")


def reactions(asked: Interaction, said: Said, scale: Scale, owners: frozenset[str]) -> tuple[Reaction, ...]:
    """The rating first, so that a correction beside it has the last word. Raises BadRecord for what cannot be stored.

    The key of each is made from all that it says, with `event` where the row names one: the same row again is the
    same reaction, a changed one is a new one. A correction that repeats the answer corrects nothing.
    """
    parts: list[tuple[Kind, float, str | None]] = []
    rating = read_rating(said.rating, scale)
    if rating is not None:
        parts.append((*rating, said.note or None))
    elif said.note:
        parts.append(("note", 0.0, said.note))
    if said.correction and said.correction.strip() != asked.answer.strip():
        parts.append(("correction", CORRECTION_VALUE, said.correction))
    return tuple(_reaction(asked, *part, said.event, owners) for part in parts)


def _reaction(
    asked: Interaction, kind: Kind, value: float, text: str | None, event: str, owners: frozenset[str]
) -> Reaction:
    trust = trust_of(asked.user, owners)
    content = canonical_json([event, asked.id, kind, value, text, asked.user, trust])
    signal = Signal(asked.id, kind, value, text, asked.user, "", f"row:{sha256_bytes(content.encode())}", trust)
    return Reaction(signal.kind, signal.value, signal.source_key, asked.time, signal.text, signal.user, signal.trust)


def moment(text: str) -> datetime:
    """An ISO 8601 time; one without a zone is taken as UTC. Raises BadRecord."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecord(f"time: {text[:40]!r} is not ISO 8601", hint="like 2026-01-31T09:30:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def unknown(name: str, known: Iterable[str]) -> BadRecord:
    """The error for a field or column that nobody knows; its hint names the nearest that is known."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return BadRecord(f"{name[:80]}: unknown", hint=f"did you mean {near[0]}?" if near else "remove it")
