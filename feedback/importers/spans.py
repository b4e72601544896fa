"""Marked stretches of a text, found in time that grows with its length, whatever somebody wrote into it.

A pattern of the form `<a>.*?</a>` looks through the whole rest again for every `<a>` that is never closed.
"""

import re
from collections.abc import Callable


def cut_spans(
    text: str, opening: re.Pattern[str], closing: Callable[[re.Match[str]], str]
) -> tuple[str, list[re.Match[str]]]:
    """`text` without the stretches from each `opening` to the end that `closing` names for it, and their openings.

    A stretch takes the whitespace behind it along. An opening whose end never comes is text like any other. `opening`
    must take linear time itself.
    """
    kept: list[str] = []
    found: list[re.Match[str]] = []
    never: set[str] = set()
    at = 0
    start = opening.search(text)
    while start is not None:
        close = closing(start)
        end = -1 if close in never else text.find(close, start.end())
        if end < 0:
            never.add(close)
            start = opening.search(text, start.end())
            continue
        found.append(start)
        kept.append(text[at : start.start()])
        at = skip_blanks(text, end + len(close))
        start = opening.search(text, at)
    return "".join((*kept, text[at:])), found


def skip_blanks(text: str, at: int) -> int:
    """The first place from `at` on where no whitespace stands."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at
