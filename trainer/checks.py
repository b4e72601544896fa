"""What an answer to a task is worth, from 0 to 1: the built-in checks, and those that other packages bring.

A check takes the answer's text and the row's `expected`:

    exact    "Lisbon" or 8                           the answer, or its last line, is this text, whatever its case; of a
                                                     number: the last number in the answer is this one
    regex    "(?i)dear (sir|madam)"                  the pattern is found somewhere in the answer
    schema   {"type": "object", "required": [...]}   the answer (in a ``` fence or not) is JSON that fits this schema,
                                                     Draft 2020-12; nothing outside the schema is ever looked up
    length   {"min_words": 5, "max_words": 30}       1 within the bounds, less the further outside, 0 for no words

A package adds its own by an entry point of the group `strop.checks`, NAME = "module:function". A check raises
ValueError for an `expected` that it cannot use, whatever the answer: every row's is tried on an empty answer before
anything is trained.
"""

import json
import math
import re
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from strop.errors import Missing, StropError, TrainingFailed, UsageError
from strop.words import count

GROUP = "strop.checks"
_PATTERN_S = 1.0  # a pattern that takes longer than this on one answer will never be done
_NUMBER = re.compile(r"[-−]?\d+(?:,\d{3})*(?:\.\d+)?")
_FENCED = re.compile(r"```(?:json)?[^\S\n]*\n(.*?)\n?```", re.DOTALL)
_BOUNDS = ("min_words", "max_words")


class Check(Protocol):
    """Scores one answer. Raises ValueError where `expected` is nothing that it can check by."""

    def __call__(self, completion: str, expected: Any, /) -> float: ...


def known() -> tuple[str, ...]:
    """The names of all checks that are installed."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


@cache
def load(name: str) -> Check:
    """The check of this name. Raises UsageError where there is none or more than one, Missing where it is broken."""
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise UsageError(f"there is no check {name!r}", hint=f"one of {', '.join(known())}")
    if len({entry.value for entry in found}) > 1:
        raise UsageError(
            f"more than one package has a check {name!r}: {', '.join(map(_from, found))}", hint="rename one"
        )
    try:
        check: Check = found[0].load()
    except Exception as error:  # whatever somebody's module raises when it is imported
        what = f"the check {name!r} of {_from(found[0])} cannot be loaded: {type(error).__name__}: {error}"
        raise Missing(what, hint="mend or remove that package") from error
    return check


def score(name: str, completion: str, expected: Any) -> float:
    """What the check gives an answer, in [0, 1]. Raises TrainingFailed where the check fails or gives anything else."""
    try:
        value = float(load(name)(completion, expected))
    except StropError:
        raise
    except ImportError as error:
        raise Missing(f"the check {name!r} needs {error.name}", hint="pip install 'strop[all]'") from error
    except Exception as error:  # whatever somebody's check raises
        said = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise TrainingFailed(f"the check {name!r} fails: {said}", hint="see what it takes as expected") from error
    if not 0.0 <= value <= 1.0:
        raise TrainingFailed(f"the check {name!r} gave {value}", hint="a check gives a number from 0 to 1")
    return value


def exact(completion: str, expected: Any) -> float:
    """1.0 where the answer or its last line is `expected`; of a number, where the last one stated is it."""
    if isinstance(expected, bool) or not isinstance(expected, str | int | float):
        raise ValueError("a text or a number is compared with the answer")
    if not isinstance(expected, str):
        stated = _NUMBER.findall(completion)
        last = float(stated[-1].replace(",", "").replace("−", "-")) if stated else math.nan
        return 1.0 if math.isclose(last, expected, rel_tol=1e-9) else 0.0
    answer, wanted = completion.strip().casefold(), expected.strip().casefold()
    if not wanted:
        raise ValueError("the text is empty")
    return 1.0 if wanted in (answer, answer.rpartition("\n")[2].strip()) else 0.0


def regex(completion: str, expected: Any) -> float:
    """1.0 where the pattern is found. Raises TrainingFailed where that takes longer than a second."""
    if not isinstance(expected, str):
        raise ValueError("a pattern is a string")
    return 1.0 if _search(expected, completion) else 0.0


def _search(pattern: str, text: str) -> bool:
    import regex

    try:
        return regex.search(pattern, text, timeout=_PATTERN_S) is not None
    except regex.error as error:
        raise ValueError(f"{pattern!r} is no pattern ({error})") from error
    except TimeoutError:
        what = f"the pattern {pattern!r} takes more than {_PATTERN_S:.0f} s on an answer of {len(text)} characters"
        raise TrainingFailed(what, hint="write it without repeats inside repeats") from None


def schema(completion: str, expected: Any) -> float:
    """1.0 where the answer is JSON that fits the schema, with nothing before or after it but a fence."""
    validator = _validator(json.dumps(expected, sort_keys=True))
    fenced = _FENCED.fullmatch(completion.strip())
    try:
        value = json.loads(fenced[1] if fenced else completion, parse_constant=_no_json)
        return 1.0 if validator.is_valid(value) else 0.0
    except (ValueError, RecursionError):
        return 0.0


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@lru_cache(maxsize=1024)
def _validator(text: str) -> Any:
    """The validator of a schema that stands by itself. Raises ValueError for any other."""
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    found = json.loads(text)
    # An empty registry fetches nothing; jsonschema's own default would ask the network for what it does not know.
    registry: Any = Registry()
    try:
        Draft202012Validator.check_schema(found)
        resource = DRAFT202012.create_resource(found)
        _look_up(resource, registry.resolver_with_root(resource))
    except SchemaError as error:
        raise ValueError(f"this is no JSON schema: {error.message}") from error
    except Unresolvable as error:
        raise ValueError(f"the schema refers to {error.ref!r}, which is not inside it") from error
    except RecursionError:
        raise ValueError("the schema is nested too deeply") from None
    return validators.extend(Draft202012Validator, {"pattern": _pattern})(found, registry=registry)


def _look_up(resource: Any, resolver: Any) -> None:
    """Follow every reference once. Raises Unresolvable for one that leads out of the schema, ValueError for a keyword
    whose patterns jsonschema matches itself, without a bound on time.
    """
    contents = resource.contents if isinstance(resource.contents, dict) else {}
    if "patternProperties" in contents:
        raise ValueError("patternProperties cannot be bounded in time: name the properties, or use propertyNames")
    for name in ("$ref", "$dynamicRef"):
        if name in contents:
            resolver.lookup(contents[name])
    for inner in resource.subresources():
        _look_up(inner, resolver.in_subresource(inner))


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    """JSON Schema's `pattern`, with the same bound on time as the check `regex`."""
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _search(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def length(completion: str, expected: Any) -> float:
    """1.0 within the bounds; above, the bound's share of the words; below, the words' share of the bound."""
    given = expected if isinstance(expected, dict) else {}
    if not given or not all(name in _BOUNDS and type(bound) is int and bound > 0 for name, bound in given.items()):
        raise ValueError("min_words, max_words or both are whole numbers above 0")
    words = count(completion)
    least, most = float(given.get("min_words", 1)), float(given.get("max_words", math.inf))
    if least > most:
        raise ValueError("min_words is above max_words")
    return min(words / least, 1.0) if words <= most else most / words


def _from(entry: EntryPoint) -> str:
    return f"{entry.dist.name} ({entry.value})" if entry.dist else entry.value
