"""Which digits are a phone number: the shape proposes, the plans in `phonenumbers` decide.

International numbers (+ or 00) are found for every country. National ones are found for the regions of the scrubber:
with their leading 0, in a shape that only phone numbers have there, or behind a word such as "phone" or "전화".
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from strop.feedback.scrub_checks import Candidate, Span, goes_on, named_otherwise

MOST_DIGITS = 15

_GROUP = re.compile(r"([ ./()·\-]{0,3})([0-9]{1,15})")
_EXTENSION = re.compile(
    r"[ ,;]{0,2}(?:x|ext\.?|extension|durchwahl|내선)[ :.]{0,2}[0-9]{1,6}(?![0-9A-Za-z])", re.IGNORECASE
)
_DAY_MONTH = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"\(?(?:{_DAY_MONTH}([-./ ]){_DAY_MONTH}\1(?:(?:19|20)\d\d|\d\d(?![-./ ]?\d))(?![0-9])"
    rf"|\d{{4}}([-./ ]){_DAY_MONTH}\2{_DAY_MONTH}(?![-./ ]?[0-9]))"
)
# All digits in a row, US zip codes, Korean business numbers, chemicals (CAS), serials in fours (but 050x-xxxx-xxxx is
# a Korean number that follows a person).
_OTHER = re.compile(
    r"\(?(?:0123456789|\d{5}-\d{4}|\d{3}-\d\d-\d{5}|\d{5,7}-\d\d-\d|(?!050)\d{4}-\d{4}-\d{4})(?![0-9]|[-./][0-9])"
)
# Shapes without a leading 0 that are hardly anything but a phone number of that region.
_SHAPES = (
    ("US", re.compile(r"(?:1[-. ]?)?(?:\([2-9]\d\d\)|[2-9]\d\d)[-. /]{0,3}\d{3}[-. ]{1,3}\d{4}")),
    ("CA", re.compile(r"(?:1[-. ]?)?(?:\([2-9]\d\d\)|[2-9]\d\d)[-. /]{0,3}\d{3}[-. ]{1,3}\d{4}")),
    ("IN", re.compile(r"[6-9]\d{4}[- ]\d{5}")),
    ("CN", re.compile(r"1[3-9]\d[- ]\d{4}[- ]\d{4}")),
    ("BR", re.compile(r"(?:\(\d\d\) ?|\d\d )9?\d{4}-\d{4}")),
    ("ES", re.compile(r"[6789]\d\d([- .])\d\d\1\d\d\1\d\d")),
    ("IT", re.compile(r"3\d\d[-. /]\d{3}[-. ]?\d{4}")),
)


def international(candidate: Candidate) -> Span | None:
    """A number that begins with + or 00 and a country code: valid in the plan of that country."""
    return _span(candidate, _international(_ahead(candidate)))


def trunk(candidate: Candidate) -> Span | None:
    """A number of one of the regions, written in groups or not, with the leading 0 that its plan wants."""
    ahead = _ahead(candidate)
    if goes_on(Candidate(candidate.text, candidate.start, candidate.start + 12)) or _OTHER.match(ahead):
        return None
    length = _national(ahead, candidate.regions, fewest=8, most=13)
    return _span(candidate, length) if length and not named_otherwise(candidate) else None


def shaped(candidate: Candidate) -> Span | None:
    """A number without a leading 0 that has its region's own shape, such as (415) 555-2671."""
    if " " in candidate.value and re.search(r"\d $", candidate.before(2)):
        return None
    if "." in candidate.value and re.search(r"[ /-]", candidate.value) and "(" not in candidate.value:
        return None  # 206.766 9896 is a measurement
    for region, shape in _SHAPES:
        if region in candidate.regions and shape.fullmatch(candidate.value) and _valid(candidate.value, region):
            return _span(candidate, len(candidate.value))
    return None


def labelled(candidate: Candidate) -> Span | None:
    """A number behind a word such as "phone": any grouping, with or without the leading 0."""
    return _span(candidate, _national(_ahead(candidate), candidate.regions, fewest=8, most=MOST_DIGITS))


def _ahead(candidate: Candidate) -> str:
    return candidate.text[candidate.start : candidate.start + 48]


def _span(candidate: Candidate, length: int) -> Span | None:
    """The number of that length, with the extension that follows; None for no length."""
    if not length:
        return None
    start, end = candidate.start, candidate.start + length
    if candidate.text[start] == "(" and ")" not in candidate.text[start:end]:
        start += 1
    extension = _EXTENSION.match(candidate.text, end)
    return start, extension.end() if extension else end


# Both are asked again and again about the same text where a text repeats itself.
@lru_cache(maxsize=4096)
def _international(text: str) -> int:
    """The length of the international number that `text` begins with, or 0."""
    for end in _ends(text, 7, MOST_DIGITS + 2):
        if _valid(re.sub(r"^\(?(?:00|\+)[) ]{0,2}", "+", text[:end]), None):
            return end
    return 0


@lru_cache(maxsize=4096)
def _national(text: str, regions: tuple[str, ...], *, fewest: int, most: int) -> int:
    """The length of the number of one of `regions` that `text` begins with, or 0."""
    if _DATE.match(text):
        return 0
    for end in _ends(text, fewest, most):
        if any(_valid(text[:end], region) for region in regions):
            return end
    return 0


def _ends(text: str, fewest: int, most: int) -> Iterator[int]:
    """Where a number of `fewest` to `most` digits at the start of `text` may end, the farthest first.

    It ends before a space, never inside a group or a chain like 0123-4567-89ab; and not where groups of one size go
    on (01 02 03 04 05 06 07 08 is no French number with something behind it).
    """
    position = len(text) - len(text.lstrip("(+) "))
    groups: list[tuple[str, int, int]] = []
    digits = 0
    while digits <= most and (group := _GROUP.match(text, position)):
        if "(" in group[1] and groups and (len(groups) > 1 or groups[0][1] > 3):
            break  # a year in brackets, not an area code
        position = group.end()
        digits += len(group[2])
        groups.append((group[1], len(group[2]), position))
    for index in reversed(range(len(groups))):
        if fewest <= digits <= most and _may_end(text, groups, index):
            yield groups[index][2]
        digits -= groups[index][1]


def _may_end(text: str, groups: list[tuple[str, int, int]], index: int) -> bool:
    end = groups[index][2]
    if re.match(r"[\w@]|[-./]\w|:\d|\*{1,2}\w", text[end : end + 3], re.ASCII):
        return False
    if index + 1 == len(groups):
        return True
    separator, size, _ = groups[index + 1]
    return separator[:1] in (" ", "(") and (separator, size) != groups[index][:2]


@lru_cache(maxsize=8192)
def _valid(number: str, region: str | None) -> bool:
    from phonenumbers import NumberParseException, is_valid_number, parse

    try:
        return is_valid_number(parse(number, region))
    except NumberParseException:
        return False
