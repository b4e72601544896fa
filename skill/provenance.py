"""What was made of what: from the ids of feedback to the datasets, adapters, builds and versions that hold it.

    signals, interactions ──▶ datasets (their rows name them) ──▶ adapters (dataset_sha256) ──▶ builds and versions
    (adapter_sha256) ──▶ reports (they name the candidate and the current model by tag)

What cannot be shown to be free of it counts as made of it: a folder without a readable manifest, an adapter whose
dataset is gone, a build or version whose adapter is gone. The untouched base is made of nobody's words. Not covered:
what `strop tune` and `strop train` made of a file that somebody exported from the ledger.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from strop.deploy.adapter import CONFIG_FILE, WEIGHTS_FILE
from strop.deploy.versions import Version, Versions
from strop.files import DamagedFolder, canonical_json, read_manifest, sha256_bytes
from strop.home import Home

# A night's warning about rows in quarantine quotes them, and no row of the dataset names their signals.
_QUOTES = "in quarantine"
_TUNE, _BASE = "tune-", "base-"


@dataclass(frozen=True, slots=True)
class Made:
    """Names of folders below the home's `datasets`, `adapters` and `builds`, tags, and names of files in `reports`."""

    datasets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.datasets or self.adapters or self.builds or self.versions or self.reports)

    def as_dict(self) -> dict[str, list[str]]:
        """As JSON data."""
        return {name: list(names) for name, names in asdict(self).items()}

    def with_(self, other: "Made") -> "Made":
        """Both together."""
        mine, theirs = self.as_dict(), other.as_dict()
        return Made.from_dict({name: sorted({*mine[name], *theirs[name]}) for name in mine})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(**{name: tuple(names) for name, names in data.items()})


def made_of(home: Home, traces: Collection[str]) -> Made:
    """Everything in this home that was made of the feedback that `traces` names. Reads every dataset; changes nothing.

    `traces` are ids of signals and interactions, and names of standing rows, as datasets write them.
    """
    names = set(traces)
    if not names:
        return Made()
    datasets = {folder.name: _dataset_free_of(folder, names) for folder in _folders(home.datasets)}
    free_datasets = {sha256 for sha256 in datasets.values() if sha256 is not None}
    night_adapters = [folder for folder in _folders(home.adapters) if not folder.name.startswith(_TUNE)]
    adapters = {folder.name: _adapter_free(folder, free_datasets) for folder in night_adapters}
    free = {None, *(sha256 for sha256 in adapters.values() if sha256 is not None)}
    versions = [version for version in _standing(home) if version.adapter_sha not in free]
    tags = tuple(version.tag for version in versions)
    builds = {folder.name for folder in _folders(home.builds) if _adapter_of(folder) not in free}
    return Made(
        datasets=tuple(sorted(name for name, sha256 in datasets.items() if sha256 is None)),
        adapters=tuple(sorted(name for name, sha256 in adapters.items() if sha256 is None)),
        builds=tuple(sorted(builds | {one.folder.name for one in versions if one.folder.parent == home.builds})),
        versions=tags,
        reports=tuple(
            sorted(
                # The report as Markdown and as a page, and the results that it was made from.
                {
                    part.name
                    for kind in ("*.md", "*.html")
                    for path in home.reports.glob(kind)
                    if _mentions(path, tags)
                    for part in home.reports.glob(f"{path.stem}.*")
                }
            )
        ),
    )


def _folders(parent: Path) -> Iterator[Path]:
    """The finished folders; one that begins with a dot was never finished."""
    if parent.is_dir():
        yield from (path for path in sorted(parent.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _dataset_free_of(folder: Path, names: set[str]) -> str | None:
    """The SHA-256 of a dataset that holds nothing of this, else None."""
    try:
        manifest = read_manifest(folder)
        if any(_QUOTES in warning for warning in manifest.get("warnings", ())):
            return None
        named = (name for path in folder.glob("*.jsonl") for row in _rows(path) for name in _names(row))
        return str(manifest["sha256"]) if names.isdisjoint(named) else None
    except (DamagedFolder, OSError, ValueError, KeyError, TypeError):
        return None


def _rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def _names(row: Mapping[str, Any]) -> list[str]:
    return [*row["signals"], *row.get("interactions", ())]


def _adapter_free(folder: Path, free_datasets: set[str]) -> str | None:
    """The SHA-256 of an adapter that was trained on one of these datasets, or on somebody's own file; else None."""
    try:
        manifest = read_manifest(folder)
        dataset = manifest.get("dataset_sha256")
        return _adapter_sha256(manifest) if dataset is None or dataset in free_datasets else None
    except (DamagedFolder, OSError, KeyError, TypeError):
        return None


def _adapter_sha256(manifest: Mapping[str, Any]) -> str:
    """As `strop.deploy.adapter.adapter_sha256`, from the hashes in the manifest: the weights are not read."""
    files = {name: manifest["files"][name]["sha256"] for name in (CONFIG_FILE, WEIGHTS_FILE)}
    return sha256_bytes(canonical_json(files).encode())


def _adapter_of(folder: Path) -> str | None:
    """The adapter in a build; None for the bare base, "" where the folder does not say."""
    if folder.name.startswith(_BASE):
        return None
    try:
        sha256 = read_manifest(folder).get("adapter_sha256", "")
        return None if sha256 is None else str(sha256)
    except DamagedFolder:
        return ""


def _standing(home: Home) -> tuple[Version, ...]:
    """The versions that may still be served, but the base."""
    if not home.state_db.exists():
        return ()
    return tuple(one for one in Versions(home.state_db).list() if one.number > 0 and one.state != "forgotten")


def _mentions(path: Path, tags: Collection[str]) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(tag in text for tag in tags)


def size_bytes(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; 0 where there is none."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else []
    return sum(file.stat().st_size for file in files)
