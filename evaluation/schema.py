"""JSON Schema (2020-12) on an answer. Nothing is fetched: a reference that leads out of the schema makes it none.

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

    Raises ValueError for a text that is no schema or holds a reference that leads nowhere, TimeoutError where a pattern
    takes too long, ImportError where jsonschema or regex is not installed.
    """
    from referencing.exceptions import Unresolvable

    validator = _validator(schema)
    try:
        return bool(validator.is_valid(value))
    except Unresolvable as error:  # from a place that is not known to hold a schema
        raise _nowhere(error.ref) from None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    found, registry = json.loads(schema), Registry[Any]()
    try:
        Draft202012Validator.check_schema(found, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        raise ValueError(error.message) from error
    _check_references(found)
    limited = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return validators.extend(Draft202012Validator, limited)(found, registry=registry)


def _check_references(schema: Any) -> None:
    """Raise ValueError for a reference that leads nowhere, before an answer is the first to follow it."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.jsonschema import DRAFT202012

    root = DRAFT202012.create_resource(schema)
    _follow(root, REGISTRY.resolver_with_root(root))


def _follow(resource: Any, resolver: Any) -> None:
    from referencing.exceptions import Unresolvable

    contents = resource.contents if isinstance(resource.contents, Mapping) else {}
    for reference in [contents[keyword] for keyword in ("$ref", "$dynamicRef") if keyword in contents]:
        try:
            resolver.lookup(reference)
        except Unresolvable:
            raise _nowhere(reference) from None
    for inner in resource.subresources():
        _follow(inner, resolver.in_subresource(inner))


def _nowhere(reference: str) -> ValueError:
    """In place of referencing's own errors, which are frozen: no `with` block can pass them on."""
    return ValueError(f"its reference {reference!r} leads nowhere; nothing is fetched, so define it under '$defs'")


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
