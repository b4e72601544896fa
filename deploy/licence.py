"""Under which licence a base model stands, as far as its own files say so. Nothing is fetched for it.

Asked in this order: what is known of a pinned wheel, `general.license` in the base's GGUF, the model card beside it
(README.md), a LICENSE file. Where none says it, it is unknown, and that is what is written.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from strop.deploy import container
from strop.errors import BadGguf
from strop.trainer.models import WHEELS

# The identifiers that the Hub's model cards know, of those that open models are given under.
_KNOWN = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0"),
        *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        *("openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
        *("gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "lfm1.0"),
        *("gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "isc"),
    )
)
_HEADS = {"apache license": "apache-2.0", "mit license": "mit", "the mit license": "mit"}
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_LINE = re.compile(r"^(license|license_name):[ \t]*[\"']?([^\"'\r\n]+?)[\"']?[ \t]*$", re.MULTILINE)
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Licence:
    """`name` as the base gives it, `source` where it stands; `identifier` is the Hub's word, None where it has none."""

    name: str
    source: str
    identifier: str | None = None

    @property
    def sentence(self) -> str:
        """For the card."""
        return f"{self.name} ({self.source})" if self.source else self.name


UNKNOWN = Licence("unknown: check the base", "")


def find(ref: str, folder: Path | None, gguf: Path | None) -> Licence:
    """The licence of the base `ref`; `folder` and `gguf` are its files, None where they are not there."""
    wheel = WHEELS.get(ref.removeprefix("pypi:")) if ref.startswith("pypi:") else None
    if wheel is not None:
        return _named(wheel.licence, f"stated for {wheel.requirement}")
    return _of_gguf(gguf) or _of_card(folder) or _of_file(folder) or UNKNOWN


def _of_gguf(path: Path | None) -> Licence | None:
    if path is None or not path.is_file():
        return None
    try:
        fields = container.read(path).fields
        values = [str(fields[key].value()) for key in ("general.license.name", "general.license") if key in fields]
    except BadGguf:
        return None
    return _named(values[-1], "the base's GGUF, general.license") if values else None


def _of_card(folder: Path | None) -> Licence | None:
    text = _text(folder / "README.md") if folder else ""
    front = _FRONT_MATTER.match(text)
    said = dict(_LINE.findall(front[1])) if front else {}
    name = said.get("license_name") if said.get("license") == "other" else said.get("license")
    return _named(name, "the base's model card") if name else None


def _of_file(folder: Path | None) -> Licence | None:
    found = sorted(folder.glob("LICENSE*")) if folder else []
    lines = [line.strip() for path in found for line in _text(path).splitlines() if line.strip()]
    if not lines:
        return None
    return _named(_HEADS.get(lines[0].lower(), lines[0]), f"the base's {found[0].name}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _named(name: str, source: str) -> Licence:
    name = " ".join(name.split())[:_LONGEST]
    identifier = name.lower()
    return Licence(name, source, identifier if identifier in _KNOWN else None)
