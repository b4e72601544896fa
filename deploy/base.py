"""The base in GGUF, once per base: what every build is merged into."""

from pathlib import Path

from strop.deploy.gguf import unpack
from strop.files import MANIFEST, whole_folder, write_manifest
from strop.trainer.models import BaseModel

CONVERTER = 1


def base_gguf(base: BaseModel, builds: Path) -> Path:
    """The base as F16 GGUF below `builds`, made on the first call.

    A base that came as GGUF is unpacked with its metadata untouched; a model folder is converted
    (`strop.deploy.convert`). Raises DeployError where that family is not known.
    """
    folder = builds / f"base-{base.sha256[:16]}"
    out = folder / "base-f16.gguf"
    if not (folder / MANIFEST).is_file():
        with whole_folder(folder) as fresh:
            if base.gguf is not None:
                unpack(base.gguf, fresh / out.name, "F16")
            else:
                from strop.deploy.convert import convert

                convert(base.folder, fresh / out.name, "F16")
            write_manifest(fresh, {"kind": "base-gguf", "base": base.facts(), "converter": CONVERTER})
    return out
