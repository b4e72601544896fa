"""Takes secrets and structured personal data out of the texts of a row, before anything is stored.

What is found is the table in `scrub_patterns`; names and addresses are not, nor is anything that has neither a shape,
check digits nor a word in front that gives it away. Each thing becomes a placeholder of its type, <EMAIL_1>: the same
value gets the same one in all texts of the row. Scrubbing a scrubbed text changes nothing.

Digits and letters of full width, digits of other scripts, typographic dashes and no-break spaces count as their plain
forms, and invisible characters inside a number (zero-width spaces, direction marks) are looked through. Letters that
merely look alike (a Cyrillic а in a key) are not, and nothing encoded (base64, hex, HTML entities) is decoded.
"""

import re
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import process_time
from types import MappingProxyType

from strop.errors import UsageError
from strop.feedback.scrub_checks import Candidate
from strop.feedback.scrub_patterns import FAMILIES, NEED_NO_DIGIT, PATTERNS, TRIGGERS, Pattern
from strop.feedback.scrub_plain import Plain, plain

# Whose national phone numbers are known. International ones (+82 10 ...) are known for every country.
PHONE_REGIONS = (
    *("US", "GB", "DE", "FR", "KR", "JP", "CN", "IN", "BR"),
    *("ES", "IT", "NL", "BE", "CH", "AT", "PL", "SE", "AU"),
)

_NONE: Mapping[str, str] = MappingProxyType({})
_PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]{0,40})_([0-9]{1,9})>")
_DIGIT = re.compile(r"[0-9]")
_OWN_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,30}")
# A replacement can uncover a neighbour (the second of two numbers that were glued together); so many times at most.
_MOST_PASSES = 12
_MOST_SPREAD = 64


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """The texts in their order without what was found; `found` counts the replacements by type: {"EMAIL": 2}.

    `values` says what each placeholder stands for: for memory alone, never to be stored or shown.
    """

    texts: tuple[str, ...]
    found: Mapping[str, int]
    values: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Given:
    """Placeholders of an earlier text, which a later one about it goes on from.

    `known` gives the placeholder of a value (type, value) that had one, `last` the highest number of each type.
    """

    known: Callable[[str, str], str | None]
    last: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Find:
    start: int
    end: int
    pattern: Pattern


class Scrubber:
    """Scrubs rows. Make it once and keep it; a pattern is compiled when a text first calls for it.

    `own` gives patterns of the user's own, NAME -> regex: {"STUDENT": r"\\bS\\d{8}\\b"} makes <STUDENT_1>. Where a
    regex has a group named `value`, only that goes. They win over the table where both find the same. Their regexes run
    as they are: a slow one makes every row slow. `phone_regions` are two-letter codes of the countries whose national
    phone numbers are looked for. Raises UsageError for a bad name, regex or region.
    """

    def __init__(self, own: Mapping[str, str] = _NONE, *, phone_regions: Sequence[str] = PHONE_REGIONS) -> None:
        self._own = [(_own_pattern(name, regex), _own_regex(name, regex)) for name, regex in own.items()]
        self._regions = PHONE_REGIONS if tuple(phone_regions) == PHONE_REGIONS else _known_regions(phone_regions)
        self._rank = {pattern: rank for rank, pattern in enumerate([*(own for own, _ in self._own), *PATTERNS])}

    def scrub(self, texts: Sequence[str], given: Given | None = None) -> Scrubbed:
        """All texts of one row (prompt, answer, tool calls), scrubbed together.

        `given` are the placeholders of the row that these texts are about (a correction of its answer): the same value
        gets the same one, another value none of them.
        """
        row = _Row(texts, given)
        for _ in range(_MOST_PASSES):
            finds = [list(self._finds(text)) for text in row.texts]
            if any(finds):
                _spread(row.texts, finds)
                finds = [_outside_placeholders(*pair) for pair in zip(row.texts, finds, strict=True)]
            if not any(finds):
                break
            row.replace([self._settled(found) for found in finds])
        return Scrubbed(tuple(row.texts), dict(sorted(row.found.items())), row.values)

    def _finds(self, text: str) -> Iterator[_Find]:
        """Everything that is found in `text`, overlapping or not, placeholders or not."""
        seen = plain(text)
        for pattern in _called_for(seen):
            for span in _matches(pattern, _compiled(pattern), seen.text, self._regions):
                start, end = seen.where(*span)
                yield _Find(start, end, pattern)
        for pattern, regex in self._own:
            for start, end in _matches(pattern, regex, text, ()):
                yield _Find(start, end, pattern)
            if seen.text != text:
                for span in _matches(pattern, regex, seen.text, ()):
                    start, end = seen.where(*span)
                    yield _Find(start, end, pattern)

    def _settled(self, finds: list[_Find]) -> list[_Find]:
        """No two overlapping: those that do become one, which covers all of them and has the type of the longest."""
        settled: list[_Find] = []
        longest = 0
        for find in sorted(finds, key=lambda find: (find.start, -find.end, self._rank[find.pattern])):
            length = find.end - find.start
            if not settled or find.start >= settled[-1].end:
                settled.append(find)
                longest = length
                continue
            last = settled[-1]
            settled[-1] = _Find(last.start, max(last.end, find.end), find.pattern if length > longest else last.pattern)
            longest = max(longest, length)
        return settled


class _Row:
    """The texts of one row while they are scrubbed, and the placeholders given out so far."""

    def __init__(self, texts: Sequence[str], before: Given | None) -> None:
        self.texts = list(texts)
        self.found: Counter[str] = Counter()
        self._before = before
        self._given: dict[str, str] = {}
        self._last: Counter[str] | None = None

    @property
    def values(self) -> dict[str, str]:
        """What each placeholder stands for."""
        return {placeholder: value for value, placeholder in self._given.items()}

    def replace(self, finds: Sequence[Sequence[_Find]]) -> None:
        """Put placeholders where the finds are, numbered from the first text to the last."""
        self.texts = [self._replaced(text, found) for text, found in zip(self.texts, finds, strict=True)]

    def _replaced(self, text: str, finds: Sequence[_Find]) -> str:
        parts, position = [], 0
        for find in finds:
            parts += [text[position : find.start], self._placeholder(text[find.start : find.end], find.pattern)]
            position = find.end
        return "".join([*parts, text[position:]])

    def _placeholder(self, value: str, pattern: Pattern) -> str:
        same = pattern.same(plain(value).text)
        if same not in self._given:
            known = self._before.known(pattern.kind, same) if self._before else None
            self._given[same] = known or f"<{pattern.kind}_{self._next(pattern.kind)}>"
        self.found[_PLACEHOLDER.sub(r"\1", self._given[same])] += 1
        return self._given[same]

    def _next(self, kind: str) -> int:
        """The number after the highest of that kind in the row; the texts' own placeholders count."""
        if self._last is None:
            self._last = Counter(self._before.last if self._before else ())
            for match in (match for text in self.texts for match in _PLACEHOLDER.finditer(text)):
                # More than six digits are not ours, and counting on from them would leave what we recognise.
                if len(match[2]) <= 6:
                    self._last[match[1]] = max(self._last[match[1]], int(match[2]))
        self._last[kind] += 1
        return self._last[kind]


def _called_for(seen: Plain) -> Iterator[Pattern]:
    """The patterns of which the text holds what a match must hold."""
    digit = _DIGIT.search(seen.text) is not None
    for trigger, family in FAMILIES.items():
        if (digit or trigger in NEED_NO_DIGIT) and TRIGGERS[trigger](seen.text):
            for pattern in family:
                if not pattern.hints or _holds_one(pattern.hints, seen.lower if pattern.any_case else seen.text):
                    yield pattern


def _holds_one(hints: tuple[str, ...], text: str) -> bool:
    # A loop, not any(): this is asked of every pattern and text.
    for hint in hints:  # noqa: SIM110
        if hint in text:
            return True
    return False


@cache
def _compiled(pattern: Pattern) -> re.Pattern[str]:
    return re.compile(pattern.regex, re.ASCII | (re.IGNORECASE if pattern.any_case else 0))


def _matches(
    pattern: Pattern, regex: re.Pattern[str], text: str, regions: tuple[str, ...]
) -> Iterator[tuple[int, int]]:
    """The spans of `text` that `pattern` wants gone."""
    group = "value" if "value" in regex.groupindex else 0
    for match in regex.finditer(text):
        span: tuple[int, int] | None = match.span(group)
        if pattern.check and span:
            span = pattern.check(Candidate(text, *span, regions))
        if span and span[0] < span[1]:
            yield span


def _spread(texts: Sequence[str], finds: Sequence[list[_Find]]) -> None:
    """Add to `finds` where else in the row a value stands that only its surroundings gave away.

    Only values that are no word by chance: eight characters with letters and digits, or nine digits.
    """
    values: dict[str, Pattern] = {}
    for text, found in zip(texts, finds, strict=True):
        for find in found:
            value = text[find.start : find.end]
            if find.pattern.spread and len(values) < _MOST_SPREAD and _telling(value):
                values.setdefault(value, find.pattern)
    if not values:
        return
    anywhere = "|".join(re.escape(value) for value in sorted(values, key=lambda value: (-len(value), value)))
    regex = re.compile(rf"(?<![A-Za-z0-9_])(?:{anywhere})(?![A-Za-z0-9_])")
    for text, found in zip(texts, finds, strict=True):
        found += [_Find(match.start(), match.end(), values[match[0]]) for match in regex.finditer(text)]


def _telling(value: str) -> bool:
    digits = sum(map(str.isdecimal, value))
    return (len(value) >= 8 and digits > 0 and any(map(str.isalpha, value))) or digits >= 9


def _outside_placeholders(text: str, finds: list[_Find]) -> list[_Find]:
    """`finds` without those inside a placeholder; one that touches a placeholder takes in the whole of it."""
    spans = [match.span() for match in _PLACEHOLDER.finditer(text)]
    if not spans:
        return finds
    kept = []
    for find in finds:
        start, end = find.start, find.end
        index = bisect_right(spans, start, key=lambda span: span[1])
        if index < len(spans) and spans[index][0] <= start and end <= spans[index][1]:
            continue
        while index < len(spans) and spans[index][0] < end:
            start, end = min(start, spans[index][0]), max(end, spans[index][1])
            index += 1
        kept.append(_Find(start, end, find.pattern))
    return kept


def _own_pattern(name: str, regex: str) -> Pattern:
    if not isinstance(name, str) or not _OWN_NAME.fullmatch(name):
        raise UsageError(
            f"scrub pattern {name!r}: not a name for a placeholder",
            hint="use up to 31 capital letters, digits and underscores, a letter first, such as STUDENT_ID",
        )
    return Pattern(name, name, str(regex), "the user's own")


def _own_regex(name: str, regex: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": how Python may read it one day
            compiled = re.compile(regex)
    except (re.error, OverflowError, RecursionError, TypeError) as error:
        raise UsageError(
            f"scrub pattern {name}: {regex!r} is no regular expression ({error})",
            hint="write it as Python's re module reads it; a backslash in TOML wants single quotes: 'S\\d{8}'",
        ) from None
    if isinstance(compiled.pattern, bytes) or any(
        not match[0] for text in _PROBES for match in compiled.finditer(text)
    ):
        raise UsageError(
            f"scrub pattern {name}: {regex!r} matches the empty text, so it would match everywhere",
            hint="ask for at least one character: + instead of *, {1,8} instead of {0,8}",
        )
    if any(_explodes(compiled, piece) for piece in _SLOW_PIECES):
        raise UsageError(
            f"scrub pattern {name}: {regex!r} takes for ever on some texts, because one repeat stands inside another",
            hint="write (a+)+ as a+, and (\\d+-?)+ as [\\d-]+",
        )
    return compiled


_PROBES = ("", "a", "Word 12, 가나 @x_-\n")
_SLOW_PIECES = ("a", "A", "1", " ", "a1", "A1", "a-", "1-", "1 ", "a ", "가", "_")
_SLOW_S = 0.005


def _explodes(regex: re.Pattern[str], piece: str) -> bool:
    """Whether four more characters take many times as long: a pattern that tries every way to cut a text in pieces."""

    def took_s(length: int) -> float:
        text = (piece * length)[:length] + "!"
        start = process_time()
        regex.search(text)
        return process_time() - start

    longer = took_s(20)
    return longer > _SLOW_S and longer > 6 * took_s(16)


def _known_regions(codes: Sequence[str]) -> tuple[str, ...]:
    from phonenumbers import SUPPORTED_REGIONS

    for code in codes:
        if code not in SUPPORTED_REGIONS:
            raise UsageError(
                f"phone region {code!r} is unknown", hint="use two-letter country codes such as US, GB (not UK) or KR"
            )
    return tuple(codes)
