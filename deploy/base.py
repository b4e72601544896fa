"""The base in GGUF, once per base: what every build is merged into."""

from pathlib import Path

from strop.deploy import converter, own
from strop.deploy.gguf import unpack
from strop.files import MANIFEST, whole_folder, write_manifest
from strop.trainer.models import BaseModel


def base_gguf(base: BaseModel, builds: Path, tools: Path | None = None) -> Path:
    """The base as F16 GGUF below `builds`, made on the first call.

    A base that came as GGUF is unpacked with its metadata untouched, and so is one in 16 bits that its makers publish,
    where it is the same model (`own`); any other model folder is converted (`converter`, which lies in `tools` where it
    was made).
    Raises DeployError where that family is not known.
    """
    folder = builds / f"base-{base.sha256[:16]}"
    out = folder / "base-f16.gguf"
    if not (folder / MANIFEST).is_file():
        with whole_folder(folder) as fresh:
            made_by, refused = _make(base, fresh / out.name, tools)
            facts = {"kind": "base-gguf", "base": base.facts(), "converter": made_by}
            write_manifest(fresh, facts | ({"passed_over": refused} if refused else {}))
    return out


def _make(base: BaseModel, out: Path, tools: Path | None) -> tuple[str, dict[str, str]]:
    """Write `out`; returns what it was made by or of, and which files of the makers were passed over, and why."""
    if base.gguf is not None:
        unpack(base.gguf, out, "F16")
        return f"unpacked from {base.gguf.name}", {}
    name, refused = own.take(base, out)
    if name is not None:
        return f"unpacked from {name}", refused
    return converter.convert(base.folder, out, "F16", tools), refused
