"""The GGUF in 16 bits that an organisation publishes of its own model: looked for on the Hub when the base is fetched.

In the model's own repository at the same commit, then in ORG/NAME-GGUF: a file whose name says F16 or BF16 and whose
size is that of the weights. It is kept whole, with the hash that the Hub promised, in a folder beside the Hub's cache:

    own-ORG--NAME-COMMIT/       model-f16.gguf or model-bf16.gguf, and a manifest that says where it came from

Whether it is the same model is for `deploy` to say, before it builds on it. Not having one is no error, and no reason
to ask again: without it the base is converted.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import UnknownModel
from strop.files import MANIFEST, free_bytes, sha256_file, whole_folder, write_manifest
from strop.trainer.shape import weight_files

_NAME = re.compile(r"[\w.-]*[._-](?P<kind>b?f(?:p)?16)\.gguf", re.IGNORECASE | re.ASCII)
_A_PART = re.compile(r"mmproj|-of-\d+", re.IGNORECASE)
# Two bytes a weight; vectors are in four, and beside them stand the tokens, their merges and the template.
_LEAST, _MOST, _TABLES_BYTES = 2.0, 2.1, 32_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """A file on the Hub: its repository and commit, and what the Hub says of its size and hash (SHA-256)."""

    repository: str
    commit: str
    name: str
    kind: str
    size_bytes: int
    sha256: str

    @property
    def ref(self) -> str:
        """For people and manifests."""
        return f"hf:{self.repository}@{self.commit}/{self.name}"


def whole_commits(cache: Path, repository: str) -> set[str]:
    """The commits of a repository whose weights are all in the Hub's cache."""
    snapshots = (cache / f"models--{repository.replace('/', '--')}" / "snapshots").glob("*")
    return {folder.name for folder in snapshots if _is_whole(folder)}


def _is_whole(snapshot: Path) -> bool:
    try:
        return (snapshot / "config.json").is_file() and bool(weight_files(snapshot))
    except UnknownModel:
        return False


def folder_of(snapshot: Path, models_dir: Path) -> Path:
    """Where the file of a snapshot of the Hub's cache is kept (models--ORG--NAME/snapshots/COMMIT)."""
    return models_dir / f"own-{snapshot.parents[1].name.removeprefix('models--')}-{snapshot.name[:12]}"


def kept(snapshot: Path, models_dir: Path) -> Path | None:
    """The file that was fetched with a snapshot, None where there was none."""
    folder = folder_of(snapshot, models_dir)
    return next(iter(sorted(folder.glob("*.gguf"))), None) if (folder / MANIFEST).is_file() else None


def fetch(repository: str, snapshot: Path, models_dir: Path, on_note: Callable[[str], None]) -> None:
    """Look for the file, and keep it where there is one; says what came of it. Raises nothing of the Hub's."""
    import httpx2  # what huggingface_hub speaks with
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = next(_fitting(repository, snapshot), None)
        if found is None:
            return
        if free_bytes(models_dir) < 2 * found.size_bytes:
            on_note(f"{found.ref} is not fetched: the disk is too full; the base will be converted")
            return
        on_note(f"fetching {found.ref} ({found.size_bytes / 1e9:.1f} GB)")
        _keep(found, folder_of(snapshot, models_dir), str(snapshot.name))
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        on_note(f"no GGUF of its makers could be fetched ({type(error).__name__}); the base will be converted")


def _fitting(repository: str, snapshot: Path) -> Iterator[Found]:
    """The files that may be the model, by name and size: exact ones (F16) before those with fewer digits."""
    from huggingface_hub import constants

    from strop.trainer.stored import parameters

    if constants.HF_HUB_OFFLINE:
        return
    weights = parameters(weight_files(snapshot))
    for name, commit in ((repository, snapshot.name), (f"{repository}-GGUF", None)):
        named = sorted(_named(name, commit), key=lambda one: (one.kind.startswith("b"), one.name))
        yield from (one for one in named if _LEAST * weights <= one.size_bytes <= _MOST * weights + _TABLES_BYTES)


def _named(repository: str, commit: str | None) -> Iterator[Found]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        about = HfApi().model_info(repository, revision=commit, files_metadata=True)
    except RepositoryNotFoundError:
        return
    for one in about.siblings or []:
        match = _NAME.fullmatch(one.rfilename)
        if match and not _A_PART.search(one.rfilename) and one.size and one.lfs and about.sha:
            kind = "bf16" if match["kind"].lower().startswith("b") else "f16"
            yield Found(repository, about.sha, one.rfilename, kind, one.size, one.lfs.sha256)


def _keep(found: Found, folder: Path, commit: str) -> None:
    """Raises ValueError where what came is not what the Hub said."""
    from huggingface_hub import hf_hub_download

    with whole_folder(folder) as fresh:
        scratch, target = fresh / "download", fresh / f"model-{found.kind}.gguf"
        came: Any = hf_hub_download(found.repository, found.name, revision=found.commit, local_dir=scratch)
        Path(came).replace(target)
        shutil.rmtree(scratch)
        if target.stat().st_size != found.size_bytes or sha256_file(target) != found.sha256:
            raise ValueError(f"{found.ref} is not the file that the Hub promised")
        write_manifest(fresh, {"kind": "own-gguf", "commit": commit, "source": found.ref})
