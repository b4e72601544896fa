"""Ollama's copy of a version's tag onto the alias, which counts only where the digests say that it was made.

The copy is not atomic: for an instant the alias may be unreadable (500) or absent (404). Its answer may be lost too,
and not the copy.
"""

import time

from strop.deploy.targets.ollama_api import OllamaApi, Refused
from strop.errors import StropError, TargetError

_TRIES = 3
_PAUSE_S = 0.2


def copy_proven(api: OllamaApi, name: str, alias: str, digest: str) -> None:
    """Copy the tag `name`, whose digest is `digest`, onto `alias`. Raises TargetError where the alias is not at it."""
    for left in reversed(range(_TRIES)):
        try:
            if _copied(api, name, alias, digest):
                return
        except Refused as refused:
            if refused.status not in (404, 500) or not left:
                raise
        if left:
            time.sleep(_PAUSE_S)
    raise TargetError(f"{alias} is not {name} after the copy", hint="strop doctor")


def _copied(api: OllamaApi, name: str, alias: str, digest: str) -> bool:
    try:
        api.copy(name, alias)
    except StropError:
        if api.digests().get(alias) == digest:
            return True
        raise
    return api.digests().get(alias) == digest
