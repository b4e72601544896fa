"""Where a new model goes: a GGUF file, or a name in Ollama. Both are new (a file is replaced when asked) and whole."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from strop.config import Config
from strop.deploy.build import Build
from strop.deploy.targets.modelfile import modelfile
from strop.deploy.targets.ollama import OllamaTarget
from strop.errors import UsageError
from strop.files import sync_dir, write_bytes
from strop.setup import OnProgress

_TAKEN = "name a new file with --to, or replace it with --force"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the model goes: a new file, or a new name in Ollama. Checked before anything is trained."""

    text: str
    file: Path | None = None
    ollama: OllamaTarget | None = None
    name: str = ""
    modelfile: Path | None = None
    replace: bool = False


def destination(to: str, config: Config, *, with_modelfile: bool = False, force: bool = False) -> Destination:
    """What `to` means; `with_modelfile`: FILE.Modelfile stands beside the file. `force` replaces files that are there.

    Raises UsageError for a form that is none, a folder that is not there and a name that is taken, ConfigError for a
    name that is not plain. A name in Ollama is never replaced.
    """
    kind, colon, name = to.partition(":")
    if colon and kind == "ollama":
        if with_modelfile:
            raise UsageError("--modelfile writes a file beside a file", hint="give it with --to gguf:FILE")
        if force:
            raise UsageError("--force replaces files alone, no name in Ollama", hint=f"ollama rm {name}")
        target = OllamaTarget(config.ollama)
        target.check_new(name)
        return Destination(f"ollama:{name}", ollama=target, name=name)
    path = Path(name if colon and kind == "gguf" else to).expanduser().absolute()
    if path.suffix != ".gguf":
        raise UsageError(
            f"--to {to} is neither ollama:NAME nor a .gguf file", hint="--to ollama:mine or --to mine.gguf"
        )
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}")
    beside = path.with_suffix(".Modelfile") if with_modelfile else None
    for one in filter(None, (path, beside)):
        if one.is_dir() or (one.exists() and not force):
            raise UsageError(f"{one} exists already", hint=_TAKEN)
    return Destination(str(path), file=path, modelfile=beside, replace=force)


def deliver(where: Destination, built: Build, config: Config, on_progress: OnProgress) -> None:
    """Put a build there, whole or not at all. Raises UsageError where the name has been taken meanwhile."""
    on_progress("deliver", None, where.text)
    if where.ollama is not None:
        where.ollama.create_named(where.name, built.gguf, sha256=built.sha256)
    elif where.file is not None:
        _copy(built.gguf, where.file, replace=where.replace)
        if where.modelfile is not None:
            # It shows no more than the file beside it, which is the person's to hand on.
            write_bytes(where.modelfile, modelfile(where.file, config.ollama).encode())
    on_progress("deliver", 1.0, where.text)


def _copy(source: Path, final: Path, *, replace: bool) -> None:
    """Copy, whole or not at all. Raises UsageError where the name has come to exist and is not to be replaced."""
    import shutil

    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if final.exists() and not replace:
            raise UsageError(f"{final} exists already", hint=_TAKEN)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    sync_dir(final.parent)
