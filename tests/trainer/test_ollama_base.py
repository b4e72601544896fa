"""`ollama:NAME`: from the name to its file in Ollama's folder, or where the server here says that it lies."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.errors import UnknownModel
from strop.trainer import ollama, ollama_server
from strop.trainer.models import resolve

MODEL = "application/vnd.ollama.image.model"
Keep = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "kept"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")  # nobody listens there
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
    assert "no Ollama answers at http://127.0.0.1:9" in str(told.value)
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


# Asked of the server


@pytest.fixture
def elsewhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file named by its hash in a folder that nobody told us of."""
    sha256 = hashlib.sha256(b"weights").hexdigest()
    path = tmp_path / "elsewhere" / "blobs" / f"sha256-{sha256}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def says(folder: Path, fake_ollama: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The server that OLLAMA_HOST names shows every model with this Modelfile."""
    monkeypatch.setenv("OLLAMA_HOST", fake_ollama.host.removeprefix("http://"))

    def told(modelfile: Any) -> None:
        fake_ollama.faults["POST /api/show"] = lambda handler: handler.send(200, {"modelfile": modelfile})

    return told


def test_a_name_in_another_folder_is_found_where_the_server_says(
    elsewhere: Path, says: Callable[[str], None], fake_ollama: Any
) -> None:
    says(f"# Modelfile\nFROM {elsewhere}\nTEMPLATE x\nPARAMETER stop y\n")
    assert ollama.find("mine") == ollama.Blob("ollama:mine:latest", elsewhere, elsewhere.name.removeprefix("sha256-"))
    assert fake_ollama.calls == ["POST /api/show"]


def test_the_server_of_the_settings_is_asked_first(
    elsewhere: Path, says: Callable[[str], None], fake_ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(f"FROM {elsewhere}\n")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert ollama.find("mine", fake_ollama.host).path == elsewhere


def test_what_is_in_a_known_folder_is_not_asked_for(keep: Keep, says: Callable[[str], None], fake_ollama: Any) -> None:
    keep("registry.ollama.ai/library/mine/latest", b"weights")
    says("FROM /nowhere")
    ollama.find("mine")
    assert fake_ollama.calls == []


def test_a_file_that_the_server_keeps_to_itself_says_what_to_do(
    elsewhere: Path, says: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    says(f"FROM {elsewhere}")
    monkeypatch.setattr(ollama, "sha256_file", denied)  # the tests may run as one who can read everything
    with pytest.raises(UnknownModel, match="which this user may not read") as told:
        ollama.find("mine")
    assert str(elsewhere) in str(told.value)
    assert "gguf:PATH" in told.value.hint


def test_a_file_of_a_container_says_what_to_do(says: Callable[[str], None], folder: Path) -> None:
    says(f"FROM /root/.ollama/models/blobs/sha256-{'c' * 64}")
    with pytest.raises(UnknownModel, match="which is not on this disk") as told:
        ollama.find("mine")
    assert "set OLLAMA_MODELS" in told.value.hint


def test_a_server_cannot_pass_off_another_file(elsewhere: Path, says: Callable[[str], None]) -> None:
    elsewhere.write_bytes(b"others!")
    says(f"FROM {elsewhere}")
    with pytest.raises(UnknownModel, match="not the file that its name says"):
        ollama.find("mine")


@pytest.mark.parametrize(
    ("modelfile", "reason"),
    [
        ("FROM /etc/passwd", "not one GGUF file"),
        ("FROM llama3.2", "not one GGUF file"),
        (f"FROM /a/sha256-{'a' * 64}\nFROM /a/sha256-{'b' * 64}", "not one GGUF file"),
        ("", "not one GGUF file"),
        (f"FROM /a/sha256-{'a' * 64}\nADAPTER /a/sha256-{'b' * 64}", "is an adapter"),
        (None, "does not show it as an Ollama does"),
        (["FROM x"], "does not show it as an Ollama does"),
    ],
)
def test_what_no_file_is_made_of_is_refused(
    modelfile: Any, reason: str, folder: Path, says: Callable[[Any], None]
) -> None:
    says(modelfile)
    with pytest.raises(UnknownModel, match=reason):
        ollama.find("mine")


def test_a_server_that_does_not_know_it_and_one_elsewhere_are_said(
    folder: Path, fake_ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "192.0.2.7:11434")
    with pytest.raises(UnknownModel, match=r"does not know it, the Ollama at 192.0.2.7:11434 is not on this machine"):
        ollama.find("mine", fake_ollama.host)


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 (what a server listens on)
        ("http://[::]:80", "http://[::1]:80"),
        (":9", "http://127.0.0.1:9"),
        ("https://localhost", "http://localhost:11434"),
        ("example.com", None),
        ("10.0.0.1:x", None),
    ],
)
def test_only_this_machine_is_called(address: str, called: str | None) -> None:
    assert ollama_server._loopback(address) == called


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
