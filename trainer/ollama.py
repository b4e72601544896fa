"""From a model's name in Ollama to the GGUF file that it stands for, on this disk: nothing is fetched.

Ollama keeps a manifest for each name (`manifests/HOST/NAMESPACE/NAME/TAG`, JSON) and the files it lists under their
SHA-256 (`blobs/sha256-HEX`). A name is held against a strict pattern before it becomes part of a path, and the file
against its hash before it is read. A name that is in none of the folders known here is asked of the server on this
machine (`ollama_server`), which may keep its models anywhere. Covered: models of one GGUF file. Refused: adapters, and
safetensors (MLX) models.
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
from strop.trainer import ollama_server

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(rf"(?:(?:(?P<host>{_PART}\.{_PART})/)?(?P<space>{_PART})/)?(?P<name>{_PART})(?::(?P<tag>{_PART}))?")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MODEL = "application/vnd.ollama.image.model"
_ADAPTER = "application/vnd.ollama.image.adapter"
_FROM_LINE = re.compile(r"^FROM +(.+?)\s*$", re.MULTILINE)
_ADAPTER_LINE = re.compile(r"^ADAPTER ", re.MULTILINE)
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


def find(name: str, server: str | None = None, *, verify: bool = True) -> Blob:
    """The file behind `NAME[:TAG]`; `server` is the address of one to ask before the one that OLLAMA_HOST names.

    Raises UnknownModel where there is none, or none that can be trained. Without `verify` it is not read, and its
    SHA-256 is what its name says.
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
    told = ollama_server.show(ref.removeprefix("ollama:"), server)
    if told.modelfile is not None:
        return _told_blob(told.modelfile, told.host, ref, verify=verify)
    places = " or ".join(map(str, looked))
    raise UnknownModel(
        f"Ollama has no {ref.removeprefix('ollama:')} in {places}, and {told.reason}",
        hint="ollama list says what there is; OLLAMA_MODELS says where, if it is elsewhere",
    )


def _told_blob(modelfile: str, host: str, ref: str, *, verify: bool) -> Blob:
    """The file that a server's Modelfile names. It is taken for its hash, wherever it lies."""
    if _ADAPTER_LINE.search(modelfile):
        raise _is_adapter(ref)
    lines = [Path(found[1].strip('"')) for found in _FROM_LINE.finditer(modelfile)]
    named = [(path, digest) for path in lines if (digest := _DIGEST.fullmatch(path.name))]
    if len(lines) != 1 or not named:
        raise UnknownModel(
            f"{ref} is not one GGUF file, by what Ollama at {host} says of it",
            hint="use hf:ORG/NAME@REVISION or a model folder",
        )
    path, digest = named[0]
    try:
        return _checked(path, digest[1], ref, verify=verify)
    except PermissionError as error:
        raise UnknownModel(
            f"Ollama at {host} keeps {ref} in {path}, which this user may not read",
            hint=f"run as a member of the group that may, or copy the file and name it: gguf:PATH (sudo cp {path} .)",
        ) from error
    except OSError as error:
        raise UnknownModel(
            f"Ollama at {host} keeps {ref} in {path}, which is not on this disk ({type(error).__name__})",
            hint="where it runs in a container, set OLLAMA_MODELS to its models folder as this machine sees it",
        ) from error


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
        raise _is_adapter(ref)
    if kinds.count(_MODEL) != 1:
        raise UnknownModel(
            f"{ref} is not one GGUF file ({kinds.count(_MODEL)} of its layers are)",
            hint="use hf:ORG/NAME@REVISION or a model folder",
        )
    digest = _DIGEST.fullmatch(str(manifest["layers"][kinds.index(_MODEL)].get("digest")))
    path = folder / "blobs" / f"sha256-{digest[1]}" if digest else None
    if digest is None or path is None or not path.is_file():
        raise UnknownModel(f"the file of {ref} is not there", hint=f"ollama pull {ref.removeprefix('ollama:')}")
    return _checked(path, digest[1], ref, verify=verify)


def _is_adapter(ref: str) -> UnknownModel:
    return UnknownModel(f"{ref} is an adapter on another model", hint="name the model that it was made from")


def _checked(path: Path, sha256: str, ref: str, *, verify: bool) -> Blob:
    """Raises OSError where the file cannot be read, UnknownModel where it is another than its name says."""
    if not verify:
        with path.open("rb"):
            return Blob(ref, path, sha256)
    found = sha256_file(path)
    if found != sha256:
        raise UnknownModel(
            f"{path} is not the file that its name says: its SHA-256 is {found[:12]}…",
            hint=f"ollama rm {ref.removeprefix('ollama:')}, then pull it again",
        )
    return Blob(ref, path, found)
