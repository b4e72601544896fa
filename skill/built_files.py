"""Taking builds out of a home: their folders, the certificates beside them, and how much space that gave back."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from strop.home import Home
from strop.provenance import size_bytes


def take_out(path: Path) -> int:
    """Remove a file or a whole folder; none there is fine too. Returns the bytes that it held."""
    freed = size_bytes(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return freed


def certificate(home: Home, sha256: str) -> Path:
    """Where the certificate of the served file with this SHA-256 is kept."""
    return home.builds / f"certificate-{sha256[:16]}.json"


def remove_builds(home: Home, folders: Iterable[Path], hashes: Iterable[str]) -> int:
    """Remove build folders, and the certificates of the served files with these SHA-256s; returns the bytes freed.

    Safe to repeat. A folder that is not one of the home's builds stays.
    """
    freed = sum(take_out(certificate(home, sha256)) for sha256 in hashes)
    return freed + sum(take_out(folder) for folder in folders if folder.parent == home.builds)
