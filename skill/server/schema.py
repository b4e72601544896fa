"""JSON schemas that Ollama does not survive: it makes a grammar of them in its own process, which then ends or hangs.

Seen on 0.9.3: a group that begins with `(?`, a quantifier with nothing before it, and a POSIX class in a `pattern` end
the server or stop it for good, for everybody; so does a repetition of a billion. llama-server refuses such schemas, or
takes them. Of a tool Ollama makes no grammar: its template shows the schema to the model as text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from strop.server.guard import Refused

_DEADLY = re.compile(r"\(\?|\[\[|(?:^\^?|[(|])[*+?{]")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_MOST = 10_000


def check_schemas(request: Mapping[str, Any]) -> None:
    """Raise Refused (400) where a schema of the request would take an Ollama with it."""
    for what in _deadly(request.get("response_format")):
        raise Refused(
            400, "invalid_schema", f"response_format: {what}; make the schema simpler, or check the answer yourself"
        )


def _deadly(value: Any) -> Iterator[str]:
    """What in a schema, however deep, is not to be sent."""
    if isinstance(value, list):
        for one in value:
            yield from _deadly(one)
    if not isinstance(value, dict):
        return
    pattern = value.get("pattern")
    if isinstance(pattern, str) and _DEADLY.search(pattern):
        yield f"Ollama does not survive the pattern {pattern[:60]!r}"
    for name in _COUNTS:
        count = value.get(name)
        if isinstance(count, int | float) and count > _MOST:
            yield f"Ollama does not survive a {name} above {_MOST:,}"
    for one in value.values():
        yield from _deadly(one)
