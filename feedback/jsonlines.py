"""JSON lines as people and programs leave them: numbered, of bounded length, and stricter than Python's json is.

Refused: bytes that are not UTF-8, a key that stands in an object twice, NaN and infinity, nesting without end.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from strop.errors import BadRecord, UsageError

# An 8 MiB record whose every character is escaped is six times as long.
LIMIT_LINE_BYTES = 64 << 20


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file's lines that are not blank, numbered from 1.

    Raises BadRecord for a line of more than 64 MiB, UsageError where the file cannot be read.
    """
    for number, line in _lines(path):
        if line is None:
            raise BadRecord(f"line {number}: {_too_long()}", hint="is it JSONL?")
        yield number, line


def records(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRecord]]:
    """Every line with its object, or with what is wrong with it: for files in which one bad line costs only itself.

    A last line without its end that cannot be read is still being written, and is left for the next time. Raises
    UsageError where the file cannot be read.
    """
    for number, line in _lines(path):
        if line is None:
            yield number, BadRecord(_too_long())
            continue
        try:
            yield number, parse(line)
        except BadRecord as error:
            if line.endswith(b"\n"):
                yield number, error


def parse(line: bytes) -> dict[str, Any]:
    """The object of one line. Raises BadRecord."""
    record = decode(line)
    if not isinstance(record, dict):
        raise BadRecord(f"an object is needed, not {type(record).__name__}")
    return record


def decode(data: bytes) -> Any:
    """Any JSON value. Raises BadRecord."""
    try:
        return _decoder().decode(data.decode())
    except UnicodeDecodeError as error:
        raise BadRecord(f"byte {error.start + 1} is not UTF-8", hint="save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadRecord(f"not JSON at column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON that can be stored: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Lines that are not blank; None for one that is too long, whose rest is passed over."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LIMIT_LINE_BYTES + 1):
                number += 1
                if len(line) > LIMIT_LINE_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(LIMIT_LINE_BYTES)
                    yield number, None
                    continue
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", hint="check the path") from error


def _too_long() -> str:
    return f"longer than {LIMIT_LINE_BYTES >> 20} MiB"


@cache
def _decoder() -> json.JSONDecoder:
    """Made once: `json.loads` with these options makes one a line."""
    return json.JSONDecoder(object_pairs_hook=_no_twice, parse_constant=_no_constant)


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        count = Counter(key for key, _ in pairs)
        twice = next(key for key, _ in pairs if count[key] > 1)
        raise BadRecord(f"{twice}: it stands there twice")
    return record


def _no_constant(name: str) -> float:
    raise BadRecord(f"{name} is not a number in JSON")
