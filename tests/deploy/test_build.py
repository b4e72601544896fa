"""The base in GGUF, made once, and the build: one file with its manifest, whole or not there."""

import json
import shutil
from pathlib import Path

import pytest

from strop.deploy import base as bases
from strop.deploy import build as builds
from strop.deploy import container
from strop.deploy.adapter import adapter_sha256
from strop.deploy.base import base_gguf
from strop.deploy.build import build, read_build
from strop.deploy.gguf import ADAPTER_KEY, TEMPLATE_KEY, merge, metadata
from strop.deploy.template_guard import GUARD
from strop.errors import CannotMerge, Missing
from strop.files import DamagedFolder, read_manifest, sha256_file, verify_manifest
from strop.trainer.models import BaseModel, resolve

# The base


def test_a_model_folder_is_converted_once(tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = base_gguf(tiny, tmp_path)
    assert metadata(container.read(path), "general.architecture") == "llama"
    assert verify_manifest(path.parent)["base"] == tiny.facts()
    monkeypatch.delattr(bases, "whole_folder")
    assert base_gguf(tiny, tmp_path) == path


def test_a_base_that_came_as_gguf_keeps_its_own_metadata(tiny_f16: Path, tmp_path: Path) -> None:
    merge(tiny_f16, None, tmp_path / "q8.gguf", quant="Q8_0")
    base = resolve(f"gguf:{tmp_path / 'q8.gguf'}", tmp_path / "models")
    path = base_gguf(base, tmp_path / "builds")
    before, after = (container.read(one).fields for one in (tmp_path / "q8.gguf", path))
    assert [key for key in before if before[key] != after[key]] == ["general.file_type"]
    assert {tensor.type for name, tensor in container.read(path).tensors.items() if "norm" not in name} == {1}


def test_two_bases_have_two_folders(tiny: BaseModel, tiny_f16: Path, tmp_path: Path) -> None:
    other = resolve(f"gguf:{tiny_f16}", tmp_path / "models")
    assert base_gguf(tiny, tmp_path / "builds").parent != base_gguf(other, tmp_path / "builds").parent


def test_a_base_that_was_never_finished_is_made_again(tiny: BaseModel, tmp_path: Path) -> None:
    path = base_gguf(tiny, tmp_path)
    whole = path.read_bytes()
    (path.parent / "manifest.json").unlink()
    path.write_bytes(whole[:1000])
    assert base_gguf(tiny, tmp_path).read_bytes() == whole


# Builds


@pytest.mark.parametrize(("quant", "file_type"), [("F16", 1), ("Q8_0", 7)])
def test_a_build_says_what_is_in_it(
    tiny: BaseModel, tiny_f16: Path, tiny_adapter: Path, tmp_path: Path, quant: str, file_type: int
) -> None:
    made = build(tiny, tiny_f16, tiny_adapter, tmp_path / "build", quant)  # type: ignore[arg-type]
    assert made == read_build(tmp_path / "build")
    assert (made.folder, made.gguf, made.quant) == (tmp_path / "build", tmp_path / "build" / "model.gguf", quant)
    assert made.sha256 == sha256_file(made.gguf)
    file = container.read(made.gguf)
    assert made.adapter_sha256 == adapter_sha256(tiny_adapter) == metadata(file, ADAPTER_KEY)
    assert (made.merged["tensors"], made.merged["fallbacks"]) == (14, [])
    assert 0.01 < made.merged["max_abs_delta"] < 1
    assert metadata(file, "general.file_type") == file_type
    assert sorted(path.name for path in made.folder.iterdir()) == ["manifest.json", "model.gguf"]
    assert read_manifest(made.folder)["base"] == tiny.facts()


def test_equal_inputs_give_an_equal_file_and_manifest(
    tiny: BaseModel, tiny_f16: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    first, second = (build(tiny, tiny_f16, tiny_adapter, tmp_path / name, "Q8_0") for name in "ab")
    assert first.sha256 == second.sha256
    assert read_manifest(first.folder) == read_manifest(second.folder)


def test_the_bare_base_is_a_build_too(tiny: BaseModel, tiny_f16: Path, tmp_path: Path) -> None:
    made = build(tiny, tiny_f16, None, tmp_path / "build", "F16")
    assert made.adapter_sha256 is None
    assert made.merged["tensors"] == 0
    merge(tiny_f16, None, tmp_path / "same.gguf", quant="F16", guard=True)
    assert made.gguf.read_bytes() == (tmp_path / "same.gguf").read_bytes()


def test_a_build_differs_from_its_base_by_the_comment_before_the_template(
    tiny: BaseModel, tiny_f16: Path, tmp_path: Path
) -> None:
    made = build(tiny, tiny_f16, None, tmp_path / "build", "F16")
    before, after = container.read(tiny_f16).fields, container.read(made.gguf).fields
    assert [*before] == [*after]
    assert [key for key in before if before[key] != after[key]] == [TEMPLATE_KEY]
    assert after[TEMPLATE_KEY].value() == GUARD + before[TEMPLATE_KEY].value()


def test_an_adapter_that_cannot_be_merged_leaves_nothing(
    tiny: BaseModel, tiny_f16: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(CannotMerge, match=r"adapter_model\.safetensors lacks .*lora_magnitude_vector"):
        build(tiny, tiny_f16, adapter, tmp_path / "builds" / "one", "Q8_0")
    assert list((tmp_path / "builds").iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_written(
    tiny: BaseModel, tiny_f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "free_bytes", lambda path: 1000)
    with pytest.raises(Missing, match=r"needs up to 0\.0 GB and the disk has 0\.0 GB left") as error:
        build(tiny, tiny_f16, None, tmp_path / "build", "F16")
    assert (error.value.exit_code, list(tmp_path.iterdir())) == (30, [])
    assert "STROP_HOME" in error.value.hint


def test_a_build_that_changed_is_not_read(tiny: BaseModel, tiny_f16: Path, tmp_path: Path) -> None:
    made = build(tiny, tiny_f16, None, tmp_path / "build", "F16")
    data = bytearray(made.gguf.read_bytes())
    data[-1] ^= 1
    made.gguf.write_bytes(data)
    with pytest.raises(DamagedFolder, match=r"model\.gguf is missing or not what the manifest says"):
        read_build(made.folder)
    with pytest.raises(DamagedFolder, match="never finished"):
        read_build(tmp_path)


def test_a_build_again_replaces_the_old_one_whole(
    tiny: BaseModel, tiny_f16: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    build(tiny, tiny_f16, None, tmp_path / "build", "F16")
    made = build(tiny, tiny_f16, tiny_adapter, tmp_path / "build", "Q8_0")
    assert read_build(tmp_path / "build") == made
    assert [path.name for path in tmp_path.iterdir()] == ["build"]
