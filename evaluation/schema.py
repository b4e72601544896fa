"""JSON Schema (2020-12) on an answer. Nothing is fetched: a reference that leads out of the schema fits nothing."""

import json
from functools import lru_cache
from typing import Any


def fits(schema: str, value: Any) -> bool:
    """Whether `value` fits the schema that this JSON text is.

    Raises ValueError for a text that is no schema, ImportError where jsonschema is not installed.
    """
    return bool(_validator(schema).is_valid(value))


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry

    found, registry = json.loads(schema), Registry[Any]()
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as error:
        raise ValueError(error.message) from error
    return Draft202012Validator(found, registry=registry)
