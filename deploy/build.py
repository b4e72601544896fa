"""A build: base GGUF plus adapter, merged and quantised into the one file that would be served."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from strop.deploy.adapter import adapter_sha256
from strop.deploy.gguf import merge
from strop.errors import Missing
from strop.files import free_bytes, read_manifest, verify_manifest, whole_folder, write_manifest
from strop.trainer.models import BaseModel

MODEL_FILE = "model.gguf"


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build folder. `sha256` is that of the file to be served, `adapter_sha256` None for the bare base."""

    folder: Path
    gguf: Path
    sha256: str
    adapter_sha256: str | None
    quant: str
    merged: dict[str, Any]


def build(base: BaseModel, base_f16: Path, adapter: Path | None, folder: Path, quant: Literal["Q8_0", "F16"]) -> Build:
    """Merge and quantise into `folder`, whole or not at all. Raises CannotMerge, or Missing where the disk is full."""
    needed = base_f16.stat().st_size
    if (free := free_bytes(folder)) < needed:
        raise Missing(
            f"a build needs up to {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB left",
            hint="free some space, or move the home with STROP_HOME",
        )
    with whole_folder(folder) as fresh:
        report = merge(base_f16, adapter, fresh / MODEL_FILE, quant=quant)
        merged = {name: value for name, value in asdict(report).items() if name != "seconds"}
        write_manifest(
            fresh,
            {
                "kind": "build",
                "base": base.facts(),
                "adapter_sha256": adapter_sha256(adapter) if adapter else None,
                "quant": quant,
                "merged": merged,
            },
        )
    return _read(folder, read_manifest(folder))


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
