"""A build: base GGUF plus adapter, merged and quantised into the one file that would be served.

Merged in GGUF space where a sum expresses the adapter, else through transformers and PEFT; the manifest says which way
was taken and why. The chat template has a comment before it, for every target alike (`template_guard` says why).
"""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from strop.deploy.adapter import adapter_sha256
from strop.deploy.gguf import MergeReport, merge
from strop.deploy.quantise import Shipped
from strop.errors import Missing, NeedsFullMerge
from strop.files import free_bytes, read_manifest, verify_manifest, whole_folder, write_manifest
from strop.trainer.models import BaseModel

MODEL_FILE = "model.gguf"
# What a full merge takes beside the result: float32 twice, as safetensors and as GGUF.
_FULL_SIZES = 4


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build folder. `sha256` is that of the file to be served, `adapter_sha256` None for the bare base."""

    folder: Path
    gguf: Path
    sha256: str
    adapter_sha256: str | None
    quant: str
    merged: dict[str, Any]


def build(
    base: BaseModel,
    base_f16: Path,
    adapter: Path | None,
    folder: Path,
    quant: Shipped,
    tools: Path | None = None,
) -> Build:
    """Merge and quantise into `folder`, whole or not at all; `tools` is upstream's converter, where it was made.

    Raises CannotMerge, or Missing where the disk is full.
    """
    _need_room(folder, base_f16.stat().st_size)
    with whole_folder(folder) as fresh:
        way, reason, report = _merged(base, base_f16, adapter, fresh / MODEL_FILE, quant, tools)
        merged = {name: value for name, value in asdict(report).items() if name != "seconds"}
        write_manifest(
            fresh,
            {
                "kind": "build",
                "base": base.facts(),
                "adapter_sha256": adapter_sha256(adapter) if adapter else None,
                "quant": quant,
                "merged": {"way": way, "reason": reason, **merged},
            },
        )
    return _read(folder, read_manifest(folder))


def _need_room(folder: Path, needed: int) -> None:
    if (free := free_bytes(folder)) < needed:
        raise Missing(
            f"a build needs up to {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB left",
            hint="free some space, or move the home with STROP_HOME",
        )


def _merged(
    base: BaseModel, base_f16: Path, adapter: Path | None, out: Path, quant: Shipped, tools: Path | None
) -> tuple[str, str, MergeReport]:
    """(way, reason, report): in GGUF space, or through transformers where a sum cannot express the adapter."""
    if adapter is None:
        return "gguf", "there is no adapter to merge", merge(base_f16, None, out, quant=quant, guard=True)
    from strop.deploy.fullmerge import full_merge, new_tokens

    try:
        if added := new_tokens(base.folder, adapter):
            raise NeedsFullMerge(f"its tokenizer has {added} tokens that the base has not")
        return "gguf", "a sum of weights expresses the adapter", merge(base_f16, adapter, out, quant=quant, guard=True)
    except NeedsFullMerge as found:
        _need_room(out.parent, (_FULL_SIZES + 1) * base_f16.stat().st_size)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".full-") as scratch:
            report = full_merge(base, base_f16, adapter, out, quant=quant, scratch=Path(scratch), tools=tools)
        return "full", str(found), report


def read_build(folder: Path) -> Build:
    """A build that is there, its hashes checked. Raises DamagedFolder."""
    return _read(folder, verify_manifest(folder))


def _read(folder: Path, manifest: dict[str, Any]) -> Build:
    file = manifest["files"][MODEL_FILE]
    return Build(
        folder,
        folder / MODEL_FILE,
        str(file["sha256"]),
        manifest["adapter_sha256"],
        str(manifest["quant"]),
        dict(manifest["merged"]),
    )
