"""How many words a text has, also where it is written without spaces. A leaf: imports nothing of Strop's."""

import re

# Scripts that put no space between words: Thai and Lao, Tibetan, Burmese, Khmer, Tai, and Chinese and Japanese with
# their radicals, kana, Bopomofo, Yi, compatibility and half-width forms. Korean is not among them: it has spaces.
_RANGES = (
    "\u0e01-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fdf\u3005-\u3007\u3021-\u303c"
    "\u3041-\u3130\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
# A pattern: letters alone, no digit, no sign, no vowel mark above a letter.
UNSPACED = rf"(?=[^\W\d_])[{_RANGES}]"
_UNSPACED = re.compile(UNSPACED)


def count(text: str) -> int:
    """The words of a text: what stands between spaces, as `str.split` has it; in scripts written without, the letters.

    So a bound in words is one in letters there, which is a tighter one, and twice as long is twice as long. What stands
    among such letters ("用iPhone打") is a word of its own where it has a letter or a digit.
    """
    if text.isascii() or not _UNSPACED.search(text):
        return len(text.split())
    return sum(map(_in_piece, text.split()))


def _in_piece(piece: str) -> int:
    letters = len(_UNSPACED.findall(piece))
    if not letters:
        return 1
    return letters + sum(any(map(str.isalnum, part)) for part in _UNSPACED.split(piece))
