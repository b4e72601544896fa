"""Choice items for a model whose likelihoods cannot be read: lettered, answered in words, read by the letter.

That is another measure than likelihood: a small model may know the answer and not keep to letters. Figures of the two
are not compared, so both models of a comparison are asked the same way.

An answer that names no letter has chosen nothing: it is unread and no wrong answer (`probes.replies.score`).

Which choice gets which letter is drawn by the item's id, the same every time: where the right one stands first in a
file, a model that always says "A" is right by chance only.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from strop.errors import BadSuite
from strop.evaluation.probes.graders import LETTER
from strop.evaluation.probes.items import Messages, Probe, asked
from strop.evaluation.suites import SuiteItem
from strop.files import sha256_bytes

ANSWER_TOKENS = 32
_ASK = "Answer with the letter of the right choice and nothing else."


def lettered(items: Sequence[SuiteItem]) -> tuple[SuiteItem | Probe, ...]:
    """The items, choice items made probes. Raises BadSuite for more choices than there are letters."""
    return tuple(_item(item) if item.choices else item for item in items)


def lettered_probe(probe: Probe) -> Probe:
    """The probe, one by likelihood made one that is answered, with the same letters where an opinion is pressed.

    Raises BadSuite for more choices than there are letters.
    """
    if not probe.choices:
        return probe
    lines, expected = _asked(probe.id, probe.choices, probe.answer)
    plain, pressed = (_with(messages, lines) for messages in (probe.messages, probe.pressed))
    told = replace(probe, messages=plain, pressed=pressed, choices=(), answer=-1)
    return replace(told, grader=LETTER, expected=expected, max_tokens=ANSWER_TOKENS)


def _item(item: SuiteItem) -> Probe:
    return lettered_probe(
        Probe(item.suite, item.id, item.cluster, asked(item.prompt), choices=item.choices, answer=item.answer)
    )


def _asked(name: str, choices: Sequence[str], answer: int) -> tuple[str, str]:
    """What follows the question, and what is expected: the right letter, and the pattern of naming any."""
    if len(choices) > len(ascii_uppercase):
        raise BadSuite(
            f"item {name!r} has {len(choices)} choices, more than there are letters",
            hint="measure a model whose likelihoods can be read, or leave the item out",
        )
    order = sorted(range(len(choices)), key=lambda place: sha256_bytes(f"{name}\n{place}".encode()))
    lines = [f"{letter}. {choices[place]}" for letter, place in zip(ascii_uppercase, order, strict=False)]
    named = "|".join(_pattern(letter, choices[place]) for letter, place in zip(ascii_uppercase, order, strict=False))
    return "\n".join([*lines, _ASK]), f"{ascii_uppercase[order.index(answer)]}\n(?i){named}"


def _with(messages: Messages, lines: str) -> Messages:
    """The conversation with these lines below its last message; none stays none."""
    return (*messages[:-1], (messages[-1][0], f"{messages[-1][1]}\n{lines}")) if messages else ()


def _pattern(letter: str, choice: str) -> str:
    """The letter alone, in brackets or stars, after "answer:", or with its choice spelled out: "(B) Lisbon."."""
    said = r"\s+".join(re.escape(word) for word in choice.split())
    opening = r"(?:(?:the\s+)?(?:correct\s+|right\s+)?answer(?:\s+is)?:?\s*)?"
    return rf"(?P<{letter}>{opening}[(\[*]*{letter}[)\]*.:]*(?:\s*{said}\**\.?)?)"
