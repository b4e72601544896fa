"""What `decide` takes and gives, as files: one JSON object a line, so that a verdict can be made again."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from strop.errors import BadResults
from strop.evaluation.error import Test
from strop.evaluation.results import ItemResult, Policy, Verdict
from strop.evaluation.settings import GateSettings

Record = TypeVar("Record", ItemResult, Test)


def read_results(path: Path) -> tuple[ItemResult, ...]:
    """The results in `path`, in its order. Raises BadResults naming the line and the fault.

    A score of NaN or Infinity is read as it is: what to make of it is for `decide` to say.
    """
    return _read(path, ItemResult)


def read_history(path: Path) -> tuple[Test, ...]:
    """The earlier tests in `path`, oldest first. Raises BadResults."""
    return _read(path, Test)


def as_lines(records: Iterable[ItemResult] | Iterable[Test]) -> bytes:
    """The content of a file that `read_results` or `read_history` reads."""
    return "".join(json.dumps(asdict(record)) + "\n" for record in records).encode()


def read_policy(path: Path) -> Policy:
    """What was asked of a candidate, as `as_policy` wrote it. Raises BadResults naming the fault."""
    names = {field.name for field in fields(Policy)}
    hint = f"name a file that a night wrote to reports/; it has {', '.join(sorted(names))}"
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict) or set(found) - names:
            raise BadResults(f"{path} is no policy", hint=hint)
        if missing := {"required", "base_required"} - set(found):
            raise BadResults(f"{path} is no policy: {' and '.join(sorted(missing))} must be said", hint=hint)
        policy: Policy = TypeAdapter(Policy).validate_python(found)
        # Held to the bounds of the settings: a level of 5 or NaN would not be one.
        GateSettings(**{name: value for name, value in asdict(policy).items() if name in GateSettings.model_fields})
        return policy
    except OSError as error:
        raise BadResults(f"{path} cannot be read: {error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise BadResults(f"{path} is no policy: {_fault(error)}", hint=hint) from error


def as_policy(policy: Policy) -> bytes:
    """The content of a file that `read_policy` reads."""
    return (json.dumps(asdict(policy), indent=2) + "\n").encode()


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it: a bound that is infinite is null, `test` is a line of a history."""
    estimates = {
        name: {field: value if isfinite(value) else None for field, value in asdict(estimate).items()}
        for name, estimate in verdict.estimates.items()
    }
    return asdict(verdict) | {"estimates": estimates}


def _read(path: Path, kind: type[Record]) -> tuple[Record, ...]:
    try:
        lines = path.read_bytes().removeprefix(BOM_UTF8).split(b"\n")
    except OSError as error:
        raise BadResults(
            f"{path} cannot be read: {error}", hint="name a file that a night wrote to reports/"
        ) from error
    adapter = TypeAdapter(kind)
    known = {field.name for field in fields(kind)}
    hint = f"a line has the fields {', '.join(field.name for field in fields(kind))}"
    found: list[Record] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            found.append(adapter.validate_json(line, strict=True))
        except ValidationError as error:
            raise BadResults(f"{where}: {_fault(error)}", hint=hint) from error
        if unknown := sorted(set(json.loads(line)) - known):
            raise BadResults(f"{where}: unknown: {', '.join(unknown)}", hint=hint)
    return tuple(found)


def _fault(error: Exception) -> str:
    """The first thing that is wrong, with its name."""
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"
