"""JSON Schema (2020-12) on an answer. Nothing is fetched: a reference that leads out of the schema fits nothing.

The patterns of a schema are a user's, and one that tries every way to fail hangs `re` for ever: they are matched by
`regex`, for so long at most. ("unevaluatedProperties" beside "patternProperties" is the one place left to `re`.)
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

MATCH_S = 2.0


def fits(schema: str, value: Any) -> bool:
    """Whether `value` fits the schema that this JSON text is.

    Raises ValueError for a text that is no schema, TimeoutError where a pattern takes too long, ImportError where
    jsonschema or regex is not installed.
    """
    return bool(_validator(schema).is_valid(value))


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    found, registry = json.loads(schema), Registry[Any]()
    try:
        Draft202012Validator.check_schema(found, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        raise ValueError(error.message) from error
    limited = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return validators.extend(Draft202012Validator, limited)(found, registry=registry)


def _matches(pattern: str, text: str) -> bool:
    import regex

    return regex.search(pattern, text, timeout=MATCH_S) is not None


def _pattern(validator: Any, pattern: str, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield _error(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for pattern, inner in patterns.items():
            for name in [name for name in value if _matches(pattern, name)]:
                yield from validator.descend(value[name], inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(value, dict):
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name in value:
            if name not in known and not any(_matches(pattern, name) for pattern in patterns):
                yield from validator.descend(value[name], inner, path=name)


def _error(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)
