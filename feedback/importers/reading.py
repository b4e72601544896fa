"""Files that importers read in one piece, and a look at how a file begins."""

from pathlib import Path

from strop.errors import UsageError

# What is larger is no file of ratings; parsed, it takes several times its size in memory.
LIMIT_FILE_BYTES = 512 << 20


def whole(path: Path) -> bytes:
    """All bytes of a file. Raises UsageError where it cannot be read or is larger than 512 MiB."""
    try:
        if not path.is_file():
            raise UsageError(f"{path} is not a file", hint="check the path")
        with path.open("rb") as file:
            data = file.read(LIMIT_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > LIMIT_FILE_BYTES:
        raise UsageError(f"{path} is larger than {LIMIT_FILE_BYTES >> 20} MiB", hint="export or save it in parts")
    return data


def head(path: Path, size_bytes: int = 1 << 16) -> bytes:
    """The first bytes of a file, without a byte order mark; none where it is no file or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(size_bytes).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return b""


def unreadable(path: Path, error: OSError) -> UsageError:
    """The error that says which path cannot be read and why."""
    return UsageError(f"{path} cannot be read: {error.strerror or error}", hint="check the path")
