"""The space that old versions take: the last few stay, the untouched base always, the rest gives its files back.

Never touched: what is live (in probation or not), what a rollback would go back to, and what is still on its way. One
that was refused does not count and goes once a newer one is there. What goes is the build, its certificate, and its tag
and weights in Ollama; the row stays, says what was removed, and is `pruned`: nothing goes back to it. The adapter
stays, small as it is.

Covered: the row is written first, under the release lock, so that no rollback meets a half-removed version; a kill
anywhere, or an Ollama that is away, is made up for by the next call. The caller holds the night's lock.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from strop.built_files import certificate, remove_builds
from strop.deploy.release import release_lock
from strop.deploy.states import GONE, LEFT
from strop.deploy.targets.base import Target
from strop.deploy.versions import Version, Versions
from strop.errors import StropError
from strop.home import Home
from strop.provenance import size_bytes

KEPT = 5
_ON_ITS_WAY = ("built", "certified", "gated")
_HAD_USERS = ("live", *LEFT)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruned:
    """The versions that gave their files back, the names of the tags that went, and the bytes."""

    versions: tuple[str, ...]
    tags: tuple[str, ...]
    freed_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def due(versions: Versions, keep: int = KEPT) -> tuple[Version, ...]:
    """The versions that would go, by number."""
    standing = [one for one in versions.list() if one.state not in GONE]
    fixed = {0, *(one.number for one in (versions.live(), versions.previous()) if one is not None)}
    latest = max((one.number for one in standing if one.state in _HAD_USERS), default=0)
    fixed |= {one.number for one in standing if one.state in _ON_ITS_WAY and one.number > latest}
    fixed |= {max((one.number for one in standing), default=0)}
    counted = [one.number for one in standing if one.state != "refused" and one.number > 0]
    kept = fixed | set(sorted(counted)[len(counted) - min(keep, len(counted)) :])
    return tuple(one for one in standing if one.number not in kept)


def prune(home: Home, target: Target, keep: int = KEPT) -> Pruned:
    """Keep the last `keep` versions and take the rest out, and whatever an earlier call left to do.

    Raises Locked where a release is under way, and what the target raises; the files are gone then and the tags left.
    """
    versions = Versions(home.state_db)
    with release_lock(home.release_lock):
        going = due(versions, keep)
        for version in going:
            evidence = {"kept": keep, "was": version.state, **_holdings(home, version)}
            versions.set_state(version.tag, "pruned", evidence)
    freed = _remove_files(home, versions.list())
    tags = _remove_tags(target, [one for one in versions.list() if one.state == "pruned"])
    return Pruned(tuple(one.tag for one in going), tags, freed)


def prune_quietly(home: Home, target: Target, keep: int = KEPT) -> None:
    """The same after a night, whose work is done: what cannot be removed now is removed next time."""
    try:
        prune(home, target, keep)
    except (StropError, OSError) as error:
        _log.warning("old versions still take space: %s; later: strop versions prune", error)


def _holdings(home: Home, version: Version) -> dict[str, Any]:
    paths = [version.folder, certificate(home, version.sha256)]
    inside = [path for path in paths if path.parent == home.builds and path.exists()]
    return {"removed": [path.name for path in inside], "bytes": sum(map(size_bytes, inside))}


def _remove_files(home: Home, versions: Sequence[Version]) -> int:
    """Of every pruned version, unless a version that stands shares them."""
    standing = [one for one in versions if one.state not in GONE]
    folders, hashes = {one.folder for one in standing}, {one.sha256 for one in standing}
    gone = [one for one in versions if one.state == "pruned"]
    return remove_builds(
        home,
        (one.folder for one in gone if one.folder not in folders),
        (one.sha256 for one in gone if one.sha256 not in hashes),
    )


def _remove_tags(target: Target, gone: Collection[Version]) -> tuple[str, ...]:
    from strop.deploy.targets.ollama import OllamaTarget

    if not isinstance(target, OllamaTarget) or not gone:
        return ()
    there = target.tags()
    left = [one for one in gone if one.tag in there]
    for version in left:
        target.remove(version)
    return tuple(target.name_of(one) for one in left)
