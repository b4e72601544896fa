"""The demo's person: one clear taste, held to without exception.

One plain sentence of at most 20 words, no pleasantries, no lists. `likes` says whether an answer meets the taste;
the answers that this person would have given stand in prompts.jsonl.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

MAX_WORDS = 20

_PLEASANTRIES = re.compile(
    r"^\W*(sure|certainly|of course|great question|good question|absolutely|hello|hi|thank|thanks|i hope|as an ai"
    r"|i'm (happy|glad|sorry)|i'd be happy|happy to help)\b",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"(^|\s)([-*•]|\d+[.)])\s")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_MARKUP = re.compile(r"[*_#`]{2,}|^#|```")


@dataclass(frozen=True, slots=True)
class Wish:
    """An everyday prompt and the answer that the person would have given."""

    id: str
    kind: str
    prompt: str
    answer: str


def wishes() -> tuple[Wish, ...]:
    """The prompts that ship with the demo, in their fixed order, the kinds taking turns."""
    lines = (files("strop.demo") / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Wish(**json.loads(line)) for line in lines)


def likes(answer: str) -> bool:
    """Whether an answer is one plain sentence of at most 20 words, without pleasantries, lists or markup."""
    return next(_objections(answer.strip()), None) is None


def objection(answer: str) -> str | None:
    """The first thing that the person dislikes about an answer, None where there is nothing."""
    return next(_objections(answer.strip()), None)


def _objections(text: str) -> Iterator[str]:
    words = text.split()
    if not words:
        yield "it is empty"
    if len(words) > MAX_WORDS:
        yield f"{len(words)} words are more than {MAX_WORDS}"
    if "\n" in text:
        yield "it has several lines"
    if len(_SENTENCE_END.findall(text)) > 1:
        yield "it is more than one sentence"
    if text and text[-1] not in ".!?":
        yield "its sentence has no end"
    if _PLEASANTRIES.search(text):
        yield "it begins with a pleasantry"
    if _LIST_ITEM.search(text) or _MARKUP.search(text):
        yield "it is a list or has markup"


def dealt(answers: Sequence[str], shift: int) -> list[str]:
    """The answers dealt to the wrong prompts: each goes `shift` places on, none stays where it belongs."""
    if not 0 < shift < len(answers):
        raise ValueError(f"a shift of {shift} leaves {len(answers)} answers where they are")
    return [*answers[-shift:], *answers[:-shift]]
