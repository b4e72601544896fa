"""The formats that feedback can be imported from, by name. A format is loaded when it is asked for.

importer = detect(path)
done = base.run(importer, ledger, path)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from strop.errors import UsageError

if TYPE_CHECKING:
    from strop.feedback.importers.base import Importer


def _claudecode(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.claudecode import ClaudeCode

    return ClaudeCode()


def _csv(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.csvfile import Csv

    return Csv(owners)


def _learnings(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.learnings import Learnings

    return Learnings()


def _openai(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.openaijsonl import OpenAiJsonl

    return OpenAiJsonl(owners)


def _openclaw(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.openclaw import OpenClaw

    return OpenClaw()  # OpenClaw says itself who the owner is: a display name in a group can be forged


def _openwebui(owners: Iterable[str]) -> Importer:
    from strop.feedback.importers.openwebui import OpenWebui

    return OpenWebui(owners)


_MAKERS: dict[str, Callable[[Iterable[str]], Importer]] = {
    "claudecode": _claudecode,
    "csv": _csv,
    "learnings": _learnings,
    "openai": _openai,
    "openclaw": _openclaw,
    "openwebui": _openwebui,
}

FORMATS: tuple[str, ...] = tuple(_MAKERS)


def importer(name: str, owners: Iterable[str] = ("owner",)) -> Importer:
    """The importer of a format; `owners` are the users whose reactions train. Raises UsageError for an unknown name."""
    if name not in _MAKERS:
        raise UsageError(f"{name[:80]!r} is no format", hint=f"use one of {', '.join(FORMATS)}")
    return _MAKERS[name](owners)


def detect(path: Path, owners: Iterable[str] = ("owner",)) -> Importer:
    """The one importer that finds its format at `path`. Raises UsageError where none does, or more than one."""
    owners = tuple(owners)
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint="check the path")
    found = [one for one in (importer(name, owners) for name in FORMATS) if one.finds(path)]
    if not found:
        raise UsageError(f"{path} is in none of the known formats", hint=f"name its format: {', '.join(FORMATS)}")
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise UsageError(f"{path} may be several formats: {names}", hint="name the one that it is")
    return found[0]
