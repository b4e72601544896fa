"""Where a new model goes: a GGUF file, or a name in Ollama. Both must be new, and both appear whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path

from strop.config import Config
from strop.deploy.build import Build
from strop.deploy.targets.ollama import OllamaTarget
from strop.errors import UsageError
from strop.files import private_dir, sync_dir
from strop.setup import OnProgress


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the model goes: a new file, or a new name in Ollama. Checked before anything is trained."""

    text: str
    file: Path | None = None
    ollama: OllamaTarget | None = None
    name: str = ""


def destination(to: str, config: Config) -> Destination:
    """What `to` means. Raises UsageError for a form that is none and for a name that is taken."""
    kind, colon, name = to.partition(":")
    if colon and kind == "ollama":
        target = OllamaTarget(config.ollama)
        target.check_new(name)
        return Destination(f"ollama:{name}", ollama=target, name=name)
    path = Path(name if colon and kind == "gguf" else to).expanduser().absolute()
    if path.suffix != ".gguf":
        raise UsageError(
            f"--to {to} is neither ollama:NAME nor a .gguf file", hint="--to ollama:mine or --to mine.gguf"
        )
    if path.exists():
        raise UsageError(f"{path} exists already", hint="name a new file with --to")
    return Destination(str(path), file=path)


def deliver(where: Destination, built: Build, on_progress: OnProgress) -> None:
    """Put a build there, whole or not at all. Raises UsageError where the name has been taken meanwhile."""
    on_progress("deliver", None, where.text)
    if where.ollama is not None:
        where.ollama.create_named(where.name, built.gguf, sha256=built.sha256)
    elif where.file is not None:
        _copy(built.gguf, where.file)
    on_progress("deliver", 1.0, where.text)


def _copy(source: Path, final: Path) -> None:
    """Copy to a name that must not exist, whole or not at all. Raises UsageError where it has come to exist."""
    import shutil

    private_dir(final.parent)
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if final.exists():
            raise UsageError(f"{final} exists already", hint="name a new file with --to")
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    sync_dir(final.parent)
