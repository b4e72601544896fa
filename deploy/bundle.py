"""One version in one file, for a stick: a tar of plain blocks, the index first, nothing compressed.

    version.json  ─▶  build/manifest.json  ─▶  build/model.gguf  ─▶  certificate.json  ─▶  adapter/…

The names are a fixed list, so no path ever comes out of a name; `version.json` tells each file's size and SHA-256. Only
the plain header of a regular file is understood (no links, devices, extended headers or sparse files), and it is read
block by block: a hostile file costs no more memory than one block, and no more disk than its index announces.
Any `tar` program can look into it. The same version gives the same bytes.

Not covered: who made the file. The hashes tell a damaged stick, not a forged one.
"""

import contextlib
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from strop.errors import DeployError, Missing
from strop.files import free_bytes, private_dir, replacing, sha256_file

FORMAT = 1
INDEX = "version.json"
GGUF = "build/model.gguf"
BUILD_MANIFEST = "build/manifest.json"
CERTIFICATE = "certificate.json"
ADAPTER = ("manifest.json", "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl")
NAMES = (BUILD_MANIFEST, GGUF, CERTIFICATE, *(f"adapter/{name}" for name in ADAPTER))

_BLOCK = 512
_CHUNK = 1 << 20
_MOST_INDEX_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = "export it again: strop versions export TAG FILE"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle: its size and SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """What a bundle says of itself. `facts` is what the exporting home wrote down about the version."""

    facts: dict[str, Any]
    files: dict[str, Member]


def write(out: Path, facts: Mapping[str, Any], files: Mapping[str, Path]) -> Index:
    """Write a bundle to `out`, whole or not at all; `files` are paths by their names in it (of `NAMES`).

    Raises DeployError where `out` is there, or where it cannot be written.
    """
    members = {name: Member(files[name].stat().st_size, sha256_file(files[name])) for name in NAMES if name in files}
    plain = {name: {"bytes": one.bytes, "sha256": one.sha256} for name, one in members.items()}
    index = json.dumps({"format": FORMAT, "facts": dict(facts), "files": plain}, sort_keys=True, indent=2).encode()
    with _whole_file(out, sum(one.bytes for one in members.values())) as file:
        file.write(_header(INDEX, len(index)) + index + _padding(len(index)))
        for name, member in members.items():
            file.write(_header(name, member.bytes))
            _copy_out(files[name], file, member)
            file.write(_padding(member.bytes))
        file.write(bytes(2 * _BLOCK))
    return Index(dict(facts), members)


def read_index(file: IO[bytes]) -> Index:
    """The index of an open bundle, which is left at the first file. Raises DeployError for what is no bundle."""
    name, size = _next_header(file)
    if name != INDEX or size > _MOST_INDEX_BYTES:
        raise _bad(f"it does not begin with a {INDEX}")
    data = _exactly(file, size + len(_padding(size)))[:size]
    try:
        index = json.loads(data)
        if index["format"] != FORMAT:
            raise _bad(f"its format is {index['format']!r}, and this Strop reads {FORMAT}")
        files = {name: Member(one["bytes"], one["sha256"]) for name, one in index["files"].items()}
        facts = dict(index["facts"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(f"its {INDEX} cannot be read ({type(error).__name__})") from error
    for name, one in files.items():
        if name not in NAMES or type(one.bytes) is not int or one.bytes < 0 or not is_sha256(one.sha256):
            raise _bad(f"its {INDEX} names {name[:80]!r}")
    if not {GGUF, BUILD_MANIFEST} <= set(files):
        raise _bad("it holds no build")
    return Index(facts, files)


def unpack(file: IO[bytes], index: Index, into: Path) -> None:
    """Write the files of a bundle below the empty folder `into`, each checked against its size and hash.

    `file` stands where `read_index` left it. Raises DeployError for anything that the index does not announce, that
    comes twice, or that is not what it says, and Missing where the disk is too small.
    """
    need_room(into, sum(one.bytes for one in index.files.values()))
    wanted = dict(index.files)
    while wanted:
        name, size = _next_header(file)
        member = wanted.pop(name, None)
        if member is None or member.bytes != size:
            raise _bad(f"it holds {name[:80]!r}, which is not announced, comes twice or has another size")
        _copy_in(file, into / name, name, member)
        _exactly(file, len(_padding(size)))
    if _exactly(file, 2 * _BLOCK).strip(b"\0") or file.read(_BLOCK).strip(b"\0"):
        raise _bad("something comes after its end")


def need_room(where: Path, size: int) -> None:
    """Raise Missing where the disk cannot take `size` bytes."""
    if (free := free_bytes(where)) < size:
        said = f"this needs {size / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB left"
        raise Missing(said, hint="free some space")


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)  # for sizes above 8 GiB


def _next_header(file: IO[bytes]) -> tuple[str, int]:
    block = _exactly(file, _BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError) as error:
        raise _bad("it ends too early, or is no tar") from error
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
        raise _bad(f"it holds {info.name[:80]!r}, which is no plain file")
    return info.name, info.size


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _bad("it is cut short")
    return data


def _copy_in(file: IO[bytes], path: Path, name: str, member: Member) -> None:
    private_dir(path.parent)
    digest, left = hashlib.sha256(), member.bytes
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        while left:
            chunk = _exactly(file, min(left, _CHUNK))
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != member.sha256:
        raise _bad(f"{name} is not what was exported: its SHA-256 differs")


def _copy_out(path: Path, out: IO[bytes], member: Member) -> None:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
            size += len(chunk)
    if size != member.bytes or digest.hexdigest() != member.sha256:
        raise DeployError(f"{path} changed while it was exported", hint="run it again")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def is_sha256(text: object) -> bool:
    """Whether this is a SHA-256 as we write them: 64 lower-case hex digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def _bad(why: str) -> DeployError:
    return DeployError(f"no version to import, or a damaged one: {why}", hint=_HINT)


@contextlib.contextmanager
def _whole_file(out: Path, size: int) -> Iterator[IO[bytes]]:
    """A file beside `out` that takes its name when all of it is on disk. A file that is there is never replaced."""
    if out.exists():
        raise DeployError(f"{out} is there already", hint="name another file")
    if not out.parent.is_dir():
        raise DeployError(f"there is no folder {out.parent}", hint=f"mkdir {out.parent}")
    need_room(out.parent, size)
    with replacing(out) as file:
        yield file
