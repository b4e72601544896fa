"""A text as the scrubber's patterns see it: typographic variants as plain ASCII, invisible characters left out."""

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass

# Soft hyphen, zero-width characters, direction marks (contacts copied from a phone carry them), byte order mark.
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]+")
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_DOTS = "\u2024\u3002\uff0e\uff61"


class _PlainForms(dict[int, str]):
    """Character -> plain character, worked out when first asked for; always one for one, so that positions stay."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in _DASHES:
            plain = "-"
        elif character in _DOTS:
            plain = "."
        elif unicodedata.category(character) == "Nd":
            plain = str(unicodedata.decimal(character))
        elif unicodedata.category(character) == "Zs":
            plain = " "
        else:
            plain = chr(code - 0xFEE0) if 0xFF01 <= code <= 0xFF5E else character
        self[code] = plain
        return plain


_FORMS = _PlainForms()


@dataclass(frozen=True, slots=True)
class Plain:
    """A text as patterns see it, and `lower`, the same to look for literals in.

    `gaps` are the places in `text` before which invisible characters were left out, `left_out` how many up to there.
    """

    text: str
    lower: str
    gaps: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    def where(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that `text[start:end]` stands for, with the invisible characters inside."""
        return (self._original(start, after=True), self._original(end, after=False)) if self.gaps else (start, end)

    def _original(self, position: int, *, after: bool) -> int:
        index = bisect_left(self.gaps, position + after)
        return position + (self.left_out[index - 1] if index else 0)


def plain(original: str) -> Plain:
    """The plain form of `original`, of the same length but for invisible characters."""
    if original.isascii():
        return Plain(original, original.lower())
    text = original.translate(_FORMS)
    if not _INVISIBLE.search(text):
        return Plain(text, text.lower())
    gaps, left_out, parts, position, total = [], [], [], 0, 0
    for match in _INVISIBLE.finditer(text):
        parts.append(text[position : match.start()])
        gaps.append(match.start() - total)
        total += match.end() - match.start()
        left_out.append(total)
        position = match.end()
    text = "".join([*parts, text[position:]])
    return Plain(text, text.lower(), tuple(gaps), tuple(left_out))
