"""`ollama:NAME`: from the name to its file in Ollama's folder, and never anywhere else."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.errors import UnknownModel
from strop.trainer import ollama
from strop.trainer.models import resolve

MODEL = "application/vnd.ollama.image.model"
Keep = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def keep(folder: Path) -> Keep:
    """Puts a file under a name as Ollama does; returns its hash."""

    def kept(name: str, data: bytes, kind: str = MODEL, **layer: Any) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        (folder / "blobs" / f"sha256-{sha256}").write_bytes(data)
        manifest = folder / "manifests" / name
        manifest.parent.mkdir(parents=True, exist_ok=True)
        licence = {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'0' * 64}"}
        layers = [licence, {"mediaType": kind, "digest": f"sha256:{sha256}", **layer}]
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
        return sha256

    return kept


@pytest.mark.parametrize(
    ("name", "place", "ref"),
    [
        ("llama3.2:1b", "registry.ollama.ai/library/llama3.2/1b", "ollama:llama3.2:1b"),
        ("llama3.2", "registry.ollama.ai/library/llama3.2/latest", "ollama:llama3.2:latest"),
        ("someone/tuned:v2", "registry.ollama.ai/someone/tuned/v2", "ollama:someone/tuned:v2"),
        ("hf.co/Org/Name-GGUF:Q4_K_M", "hf.co/Org/Name-GGUF/Q4_K_M", "ollama:hf.co/Org/Name-GGUF:Q4_K_M"),
    ],
)
def test_a_name_is_found_where_ollama_keeps_it(name: str, place: str, ref: str, folder: Path, keep: Keep) -> None:
    sha256 = keep(place, b"weights")
    assert ollama.find(name) == ollama.Blob(ref, folder / "blobs" / f"sha256-{sha256}", sha256)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../b", "/etc/passwd", "a/b/c/d", "a:b:c", "a:../b", "..", "a\\b", "~/a"]
)
def test_a_name_that_could_be_a_path_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(UnknownModel, match="not a name that Ollama gives"):
        ollama.find(name)


def test_a_name_that_is_not_there_says_where_was_looked(folder: Path) -> None:
    with pytest.raises(UnknownModel, match=f"no mine:latest in {folder}") as told:
        ollama.find("mine")
    assert "ollama list" in told.value.hint


def test_without_a_variable_the_person_s_own_folder_is_looked_into(
    folder: Path, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("registry.ollama.ai/library/mine/latest", b"weights")
    monkeypatch.delenv("OLLAMA_MODELS")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".ollama").mkdir()
    folder.rename(tmp_path / ".ollama" / "models")
    assert ollama.find("mine").path.is_relative_to(tmp_path / ".ollama" / "models")


def test_a_file_that_changed_since_is_refused(folder: Path, keep: Keep) -> None:
    sha256 = keep("registry.ollama.ai/library/mine/latest", b"weights")
    (folder / "blobs" / f"sha256-{sha256}").write_bytes(b"others!")
    with pytest.raises(UnknownModel, match="not the file that its name says"):
        ollama.find("mine")


@pytest.mark.parametrize(
    "digest", ["sha256:../../etc/passwd", "md5:abc", "", f"sha256:{'a' * 63}", f"sha256:{'b' * 64}"]
)
def test_a_digest_that_is_none_or_of_no_file_is_refused(digest: str, keep: Keep) -> None:
    keep("registry.ollama.ai/library/mine/latest", b"weights", digest=digest)
    with pytest.raises(UnknownModel, match="is not there"):
        ollama.find("mine")


def test_an_adapter_and_what_is_no_gguf_are_refused(folder: Path, keep: Keep) -> None:
    place = "registry.ollama.ai/library/mine/latest"
    keep(place, b"x", "application/vnd.ollama.image.adapter")
    with pytest.raises(UnknownModel, match="is an adapter"):
        ollama.find("mine")
    keep(place, b"x", "application/vnd.ollama.image.tensor")
    with pytest.raises(UnknownModel, match="not one GGUF file"):
        ollama.find("mine")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"layers": 3}', '{"layers": ["a"]}', '{"layers": null}'])
def test_a_damaged_manifest_is_refused(text: str, folder: Path, keep: Keep) -> None:
    keep("registry.ollama.ai/library/mine/latest", b"x")
    (folder / "manifests/registry.ollama.ai/library/mine/latest").write_text(text)
    with pytest.raises(UnknownModel, match="manifest|cannot be read"):
        ollama.find("mine")


def test_the_model_is_unpacked_for_training_and_merged_back_onto_its_own_file(
    tiny_base: Path, keep: Keep, tmp_path: Path
) -> None:
    from strop.deploy import container
    from strop.deploy.base import base_gguf
    from strop.deploy.gguf import merge

    whole = resolve(str(tiny_base), tmp_path / "models")
    merge(base_gguf(whole, tmp_path / "builds"), None, tmp_path / "four.gguf", quant="Q4_K_M")
    sha256 = keep("registry.ollama.ai/library/mine/latest", (tmp_path / "four.gguf").read_bytes())
    base = resolve("ollama:mine", tmp_path / "models")
    assert (base.ref, base.sha256) == ("ollama:mine:latest", sha256)
    assert base.template_sha256 == whole.template_sha256
    assert base.gguf is not None
    before, after = (container.read(one).fields for one in (base.gguf, base_gguf(base, tmp_path / "builds")))
    assert {key for key in before if before[key] != after[key]} == {"general.file_type"}
