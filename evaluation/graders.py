"""Deterministic graders for generated answers, and the text similarity that the wanted test rests on.

A grader says 1.0 or 0.0. None may be pleased by an answer that hedges: repeating the question's options, listing many
numbers or rambling on does not pass, or a long-winded model would look four points better than it is. Words are
counted as `strop.words` has it: in Chinese, Japanese and Thai each letter is one.

    number    {"value": 8, "tolerance": 0}            the last number stated, of at most three, in a short answer
    exact     {"value": "lisbon" or [..]}             the whole answer, without case and outer punctuation
    contains  {"value": [any of], "absent": [none]}   whole words, in a short answer
    regex     {"pattern": "(?i)yes[.!]?"}             the whole stripped answer
    json      {"keys": ["name", "age"]}               one JSON object with exactly these keys, and nothing else
    schema    {"schema": {"type": "object", ..}}      one JSON value that fits this JSON Schema, and nothing else
    length    {"min_words": 3, "max_words": 20}       as many words; one of the two may be left out
    language  {"value": "ko"}                         written in this language (ISO 639-1)

`schema` and `language` need packages of the extra `train` and raise ImportError without them; a `regex` that takes
longer than two seconds raises TimeoutError. Neither is a score.
"""

import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from strop.errors import BadSuite
from strop.evaluation.schema import fits
from strop.words import count

Grader = Mapping[str, Any]

MATCH_S = 2.0  # a pattern that tries every way to fail gives no score, and hangs nothing
MAX_NUMBERS = 3  # "2 + 7 = 9" states three; more is a list to pick from
MAX_WORDS = 40  # a grader may set its own "max_words"

# Told apart by `language`; among all that py3langid knows, short texts would often pass for a rare one.
LANGUAGES = (
    *("ar", "bg", "bn", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it"),
    *("ja", "ko", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "th", "tr", "uk", "vi", "zh"),
)

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?")
_OUTER = " \t\r\n.,;:!?\"'`*_()[]{}<>“”‘’«»。、！？"
_HINT = "see the graders in the documentation of strop.evaluation.graders"


def grade(grader: Grader, answer: str) -> float:
    """1.0 where `answer` passes `grader`, else 0.0. Raises BadSuite for a grader that is unknown or incomplete."""
    check(grader)
    return 1.0 if _GRADERS[grader["kind"]][0](grader, answer) else 0.0


def check(grader: Grader) -> None:
    """Raises BadSuite, naming what is wrong, for a grader that could not be applied."""
    kind = grader.get("kind")
    if not isinstance(kind, str) or kind not in _GRADERS:
        raise BadSuite(f"unknown grader {kind!r}; known: {', '.join(_GRADERS)}", hint=_HINT)
    unknown = set(grader) - {"kind"} - _GRADERS[kind][2]
    if unknown:
        raise BadSuite(f"grader {kind!r} has unknown keys: {', '.join(sorted(unknown))}", hint=_HINT)
    try:
        fault = _GRADERS[kind][1](grader)
    except Exception as error:  # whatever a user's grader does to a library, it is the grader that is wrong
        raise BadSuite(f"grader {kind!r} cannot be applied ({type(error).__name__}: {error})", hint=_HINT) from error
    if fault:
        raise BadSuite(f"grader {kind!r}: {fault}", hint=_HINT)


def _number(grader: Grader, answer: str) -> bool:
    stated = [float(text.replace(",", "").replace("−", "-")) for text in _NUMBER.findall(answer)]
    if not 1 <= len(stated) <= MAX_NUMBERS or _too_long(grader, answer):
        return False
    return abs(stated[-1] - float(grader["value"])) <= float(grader.get("tolerance", 0)) + 1e-9


def _exact(grader: Grader, answer: str) -> bool:
    return _bare(answer) in {_bare(value) for value in _texts(grader["value"])}


def _contains(grader: Grader, answer: str) -> bool:
    if _too_long(grader, answer) or any(_has_word(answer, word) for word in _texts(grader.get("absent", []))):
        return False
    return any(_has_word(answer, word) for word in _texts(grader["value"]))


def _regex(grader: Grader, answer: str) -> bool:
    try:
        import regex
    except ImportError:  # no limit on time without it
        return re.fullmatch(grader["pattern"], answer.strip()) is not None
    return regex.fullmatch(grader["pattern"], answer.strip(), timeout=MATCH_S) is not None


def _json(grader: Grader, answer: str) -> bool:
    try:
        value = json.loads(_unfenced(answer), object_pairs_hook=list, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    # Objects arrive as lists of pairs, so that a key given twice is seen.
    if not (isinstance(value, list) and value and all(isinstance(pair, tuple) for pair in value)):
        return False
    return sorted(key for key, _ in value) == sorted(grader["keys"])


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # Python reads NaN and Infinity, other programs do not


def _unfenced(answer: str) -> str:
    """What stands in a code fence, where the whole answer is one."""
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?```", answer.strip(), re.DOTALL)
    return fenced[1] if fenced else answer


def _schema(grader: Grader, answer: str) -> bool:
    try:
        value = json.loads(_unfenced(answer), parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    return fits(json.dumps(grader["schema"], sort_keys=True), value)


def _length(grader: Grader, answer: str) -> bool:
    return int(grader.get("min_words", 1)) <= count(answer) <= int(grader.get("max_words", sys.maxsize))


def _language(grader: Grader, answer: str) -> bool:
    return bool(answer.strip()) and _identifier().classify(answer)[0] == grader["value"]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """What tells the common languages apart (py3langid; its model is an array file, nothing is unpickled)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE)
    found.set_languages(list(LANGUAGES))
    return found


def _number_fault(grader: Grader) -> str:
    if not _is_number(grader.get("value")):
        return "'value' must be a number"
    tolerance = grader.get("tolerance", 0)
    if not (_is_number(tolerance) and tolerance >= 0):
        return "'tolerance' must be a number of at least 0"
    return _max_words_fault(grader)


def _texts_fault(grader: Grader) -> str:
    for name in ("value", "absent"):
        values = _texts(grader.get(name, [] if name == "absent" else None))
        if not values and name == "value":
            return "'value' must be a text or a list of texts"
        if any(not isinstance(value, str) or not _bare(value) for value in values):
            return f"'{name}' holds something that is no text or only punctuation"
    return _max_words_fault(grader)


def _max_words_fault(grader: Grader) -> str:
    found = grader.get("max_words", MAX_WORDS)
    return "" if type(found) is int and found > 0 else "'max_words' must be a whole number above 0"


def _regex_fault(grader: Grader) -> str:
    try:
        re.compile(grader["pattern"])
    except (KeyError, TypeError, re.error) as error:
        return f"'pattern' is no regular expression ({error})"
    return "an empty answer would pass" if re.fullmatch(grader["pattern"], "") else ""


def _json_fault(grader: Grader) -> str:
    keys = grader.get("keys")
    good = isinstance(keys, list) and keys and all(isinstance(key, str) for key in keys)
    return "" if good else "'keys' must be a list of texts"


def _schema_fault(grader: Grader) -> str:
    if not isinstance(grader.get("schema"), dict):
        return "'schema' must be an object"
    try:
        text = json.dumps(grader["schema"], sort_keys=True)
        return "an empty object would pass" if fits(text, {}) else ""
    except ValueError as error:
        return f"'schema' is no JSON Schema that can be checked ({error})"
    except RecursionError:
        return "'schema' is no JSON Schema that can be checked (its references go round in a circle)"


def _length_fault(grader: Grader) -> str:
    bounds = [grader[name] for name in ("min_words", "max_words") if name in grader]
    if not bounds or any(type(bound) is not int or bound < 1 for bound in bounds):
        return "'min_words' or 'max_words' must be a whole number above 0"
    return "'min_words' is above 'max_words'" if bounds != sorted(bounds) else ""


def _language_fault(grader: Grader) -> str:
    return "" if grader.get("value") in LANGUAGES else f"'value' must be one of {', '.join(LANGUAGES)}"


# kind -> (passes, what is wrong with the grader itself, the keys it may have)
_GRADERS: dict[str, tuple[Callable[[Grader, str], bool], Callable[[Grader], str], set[str]]] = {
    "number": (_number, _number_fault, {"value", "tolerance", "max_words"}),
    "exact": (_exact, _texts_fault, {"value"}),
    "contains": (_contains, _texts_fault, {"value", "absent", "max_words"}),
    "regex": (_regex, _regex_fault, {"pattern"}),
    "json": (_json, _json_fault, {"keys"}),
    "schema": (_schema, _schema_fault, {"schema"}),
    "length": (_length, _length_fault, {"min_words", "max_words"}),
    "language": (_language, _language_fault, {"value"}),
}


_LARGEST = 1e300  # a whole number beyond it is no float


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _texts(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _bare(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_OUTER).split())


def _has_word(text: str, word: str) -> bool:
    pattern = r"(?<!\w)" + r"\s+".join(re.escape(part) for part in _bare(word).split()) + r"(?!\w)"
    return re.search(pattern, unicodedata.normalize("NFKC", text).casefold()) is not None


def _too_long(grader: Grader, answer: str) -> bool:
    return count(answer) > int(grader.get("max_words", MAX_WORDS))


_CHRF_ORDER = 6  # character n-grams of one to six, as chrF has them


def closeness(answer: str, reference: str) -> float:
    """How alike two texts are, in [0, 1]: symmetric, deterministic, 1.0 for equal texts.

    chrF with beta 1 (Popovic 2015): the mean over character n-grams of one to six of the F1 of their counts, case and
    spacing folded. It sees manner as well as words (a rambling answer is not close to a short one, nor the other way
    round: F1 punishes what is missing and what is surplus alike) and needs no word boundaries, so Korean is read like
    English. That two short sentences are alike for being short is what the wanted test's specificity is there for.
    """
    first, second = _folded(answer), _folded(reference)
    scores = []
    for order in range(1, _CHRF_ORDER + 1):
        ours, theirs = _grams(first, order), _grams(second, order)
        total = ours.total() + theirs.total()
        if total:
            scores.append(2 * (ours & theirs).total() / total)
    return sum(scores) / len(scores) if scores else 1.0


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _grams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
