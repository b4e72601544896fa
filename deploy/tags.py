"""What versions are called: `v0007-1a2b3c4d` in full, and what a person may type for it."""

import re

from strop.errors import UnknownVersion

_TAG = re.compile(r"v(?P<number>\d{4,})-(?P<sha>[0-9a-f]{8})")
_NUMBER = re.compile(r"v?(?P<number>\d{1,9})")


def tag_for(number: int, sha256: str) -> str:
    """The immutable tag of a version: `v0007-1a2b3c4d`."""
    return f"v{number:04d}-{sha256[:8]}"


def is_tag(text: str) -> bool:
    """Whether `text` has the form of a full version tag."""
    return _TAG.fullmatch(text) is not None


def parse(which: str) -> tuple[str, str | int | None]:
    """The column that `which` speaks of, and the value in it; `live` stands for the live row's two."""
    if which in ("live", "previous"):
        return "live", which
    if _TAG.fullmatch(which):
        return "tag", which
    if match := _NUMBER.fullmatch(which):
        return "number", int(match["number"])
    raise UnknownVersion(f"not a version: {which!r} (a number, a tag, live or previous)", hint="strop versions")
