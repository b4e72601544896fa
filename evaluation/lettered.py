"""Choice items for a model whose likelihoods cannot be read: lettered, answered in words, graded by the letter.

That is another measure than likelihood: a small model may know the answer and not keep to letters. Figures of the two
are not compared, so both models of a comparison are asked the same way.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from strop.errors import BadSuite
from strop.evaluation.suites import SuiteItem

ANSWER_TOKENS = 32
_ASK = "Answer with the letter of the right choice and nothing else."


def lettered(items: Sequence[SuiteItem]) -> tuple[SuiteItem, ...]:
    """The items, choice items made graded ones. Raises BadSuite for more choices than there are letters."""
    return tuple(_lettered(item) if item.choices else item for item in items)


def _lettered(item: SuiteItem) -> SuiteItem:
    if len(item.choices) > len(ascii_uppercase):
        raise BadSuite(
            f"item {item.id!r} has {len(item.choices)} choices, more than there are letters",
            hint="measure a model whose likelihoods can be read, or leave the item out",
        )
    lines = [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, item.choices, strict=False)]
    grader = {"kind": "regex", "pattern": _pattern(ascii_uppercase[item.answer], item.choices[item.answer])}
    prompt = "\n".join([item.prompt, *lines, _ASK])
    return replace(item, prompt=prompt, choices=(), answer=-1, grader=grader, max_tokens=ANSWER_TOKENS)


def _pattern(letter: str, choice: str) -> str:
    """The letter alone, in brackets or stars, after "answer:", or with its choice spelled out: "(B) Lisbon."."""
    said = r"\s+".join(re.escape(word) for word in choice.split())
    opening = r"(?:(?:the\s+)?(?:correct\s+|right\s+)?answer(?:\s+is)?:?\s*)?"
    return rf"(?i){opening}[(\[*]*{letter}[)\]*.:]*(?:\s*{said}\**\.?)?"
