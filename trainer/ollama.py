"""From a model's name in Ollama to the GGUF file that it stands for, on this disk: nothing is fetched, no server asked.

Ollama keeps a manifest for each name (`manifests/HOST/NAMESPACE/NAME/TAG`, JSON) and the files it lists under their
SHA-256 (`blobs/sha256-HEX`). A name is held against a strict pattern before it becomes part of a path, and the file
against its hash before it is read. Covered: models of one GGUF file. Refused: adapters, and safetensors (MLX) models.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import UnknownModel
from strop.files import sha256_file

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(rf"(?:(?:(?P<host>{_PART}\.{_PART})/)?(?P<space>{_PART})/)?(?P<name>{_PART})(?::(?P<tag>{_PART}))?")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MODEL = "application/vnd.ollama.image.model"
_ADAPTER = "application/vnd.ollama.image.adapter"
_MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """The weights of one name: `ref` spells the name out with its tag, `sha256` is the file's, checked."""

    ref: str
    path: Path
    sha256: str


def models_folders() -> Iterator[Path]:
    """Where Ollama keeps its models: what OLLAMA_MODELS says, else a person's own folder and the Linux service's."""
    named = os.environ.get("OLLAMA_MODELS")
    if named:
        yield Path(named).expanduser()
        return
    yield Path.home() / ".ollama" / "models"
    yield Path("/usr/share/ollama/.ollama/models")


def find(name: str, *, verify: bool = True) -> Blob:
    """The file behind `NAME[:TAG]`. Raises UnknownModel where there is none, or none that can be trained.

    Without `verify` it is not read, and its SHA-256 is what its name says.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UnknownModel(f"{name!r} is not a name that Ollama gives", hint="for example ollama:llama3.2:1b")
    host, space = match["host"] or "registry.ollama.ai", match["space"] or "library"
    tag = match["tag"] or "latest"
    ref = f"ollama:{name}" if match["tag"] else f"ollama:{name}:{tag}"
    looked = list(models_folders())
    for folder in looked:
        manifest = folder / "manifests" / host / space / match["name"] / tag
        if _is_there(manifest):
            return _blob(folder, _read(manifest, ref), ref, verify=verify)
    places = " or ".join(map(str, looked))
    raise UnknownModel(
        f"Ollama has no {ref.removeprefix('ollama:')} in {places}",
        hint="ollama list says what there is; OLLAMA_MODELS says where, if it is elsewhere",
    )


def _is_there(manifest: Path) -> bool:
    try:
        return manifest.is_file()
    except PermissionError as error:
        raise UnknownModel(
            f"{manifest} cannot be read by this user", hint="run as a member of the group ollama, or copy the models"
        ) from error


def _read(manifest: Path, ref: str) -> dict[str, Any]:
    hint = f"ollama pull {ref.removeprefix('ollama:')}"
    try:
        with manifest.open("rb") as file:
            data = json.loads(file.read(_MAX_MANIFEST_BYTES))
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{manifest} cannot be read: {error}", hint=hint) from error
    layers = data.get("layers") if isinstance(data, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise UnknownModel(f"{manifest} is not a model's manifest", hint=hint)
    return dict(data)


def _blob(folder: Path, manifest: dict[str, Any], ref: str, *, verify: bool) -> Blob:
    kinds = [layer.get("mediaType") for layer in manifest["layers"]]
    if _ADAPTER in kinds:
        raise UnknownModel(f"{ref} is an adapter on another model", hint="name the model that it was made from")
    if kinds.count(_MODEL) != 1:
        raise UnknownModel(
            f"{ref} is not one GGUF file ({kinds.count(_MODEL)} of its layers are)",
            hint="use hf:ORG/NAME@REVISION or a model folder",
        )
    digest = _DIGEST.fullmatch(str(manifest["layers"][kinds.index(_MODEL)].get("digest")))
    path = folder / "blobs" / f"sha256-{digest[1]}" if digest else None
    if digest is None or path is None or not path.is_file():
        raise UnknownModel(f"the file of {ref} is not there", hint=f"ollama pull {ref.removeprefix('ollama:')}")
    found = sha256_file(path) if verify else digest[1]
    if found != digest[1]:
        raise UnknownModel(
            f"{path} is not the file that its name says: its SHA-256 is {found[:12]}…",
            hint=f"ollama rm {ref.removeprefix('ollama:')}, then pull it again",
        )
    return Blob(ref, path, found)
