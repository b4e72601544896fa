"""Files that are whole or absent: a leaf that imports only `strop.errors` and that every stage may import.

Covered: a crash at any moment leaves the old file or the new one, never half of one; a folder with a manifest is
complete, and `verify_manifest` says whether it is still what was written.
Not covered: an attacker who may write to the home, and disks that lie about fsync.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from strop.errors import StropError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
# Made once: `json.dumps` with these options makes one a call.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class DamagedFolder(StropError):
    """A folder whose manifest is absent, unreadable, or does not match its files."""

    code = "damaged_folder"


def private_dir(path: Path) -> Path:
    """Make `path` (and its parents) with mode 0700 where the system knows modes; return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of `data`, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spare spaces: equal data gives equal text. NaN and infinity are refused."""
    return _encode(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, mode 0600, that becomes `path` in one rename when the block ends well, and vanishes when it does not.

    It is on disk when the block has ended. The folder must be there.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_dir(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step, mode 0600, on disk when this returns."""
    private_dir(path.parent)
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, data: Any) -> None:
    """Replace `path` by `data` as indented JSON with sorted keys, in one step."""
    text = json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def sync_dir(path: Path) -> None:
    """Make a rename inside `path` survive a power cut, where the system can (Windows cannot open a folder)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder beside `final`; on success it becomes `final` in one rename, on an error it is removed.

    A `final` that already exists is replaced: it is moved aside first and removed afterwards.
    """
    private_dir(final.parent)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        yield temporary
        _sync_tree(temporary)
        aside = temporary.with_name(temporary.name + ".old")
        if final.exists():
            os.replace(final, aside)
        os.replace(temporary, final)
        sync_dir(final.parent)
        shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write `manifest.json`, last: `facts` plus the size and SHA-256 of every other file below `folder`."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {**facts, "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of `folder`. Raises DamagedFolder where there is none: then the folder is not whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedFolder(f"{folder} has no {MANIFEST}: it was never finished") from None
    except ValueError as error:
        raise DamagedFolder(f"{folder / MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise DamagedFolder(f"{folder / MANIFEST} is not an object")
    return manifest


def verify_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest and compare every file's hash; returns it. Raises DamagedFolder naming the first difference."""
    manifest = read_manifest(folder)
    for name, facts in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != facts["sha256"]:
            raise DamagedFolder(f"{path} is missing or not what the manifest says", hint="strop doctor")
    return manifest


def free_bytes(path: Path) -> int:
    """The bytes that this user may still write where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
