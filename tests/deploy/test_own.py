"""A GGUF in 16 bits of the makers' own: fetched once with the base, taken where it is that model, else passed over."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from strop.deploy import container, convert, gguf, own
from strop.deploy.base import base_gguf
from strop.deploy.container import Container, Planned, field
from strop.files import read_manifest
from strop.trainer import hubgguf, stored
from strop.trainer.models import BaseModel, resolve

BF16 = 30


def rewritten(
    source: Path, out: Path, change: Callable[[str, Any], Any] = lambda name, rows: rows, **fields: Any
) -> Path:
    """A copy of an F16 GGUF with other weights (by tensor name, rows in float32) and with other metadata."""
    file = container.read(source)
    kept = {key.key: key for key in file.fields.values()} | fields

    def plan(tensor: container.Tensor) -> Planned:
        rows = np.concatenate([change(tensor.name, values) for _, values in gguf.read_rows(file, tensor)])
        return Planned(
            tensor.name, tensor.type, tensor.shape, lambda: [rows.astype([np.float32, np.float16][tensor.type])]
        )

    container.write(out, kept.values(), [plan(tensor) for tensor in file.tensors.values()], file.alignment)
    return out


@pytest.fixture
def right(tiny_base: Path, tmp_path: Path) -> Path:
    """The tiny base as its makers would publish it, with a name of their own in the metadata."""
    convert.convert(tiny_base, tmp_path / "plain.gguf")
    return rewritten(
        tmp_path / "plain.gguf", tmp_path / "f16.gguf", **{"general.name": field("general.name", "Tiny", "str")}
    )


Hub = Callable[..., BaseModel]


@pytest.fixture
def hub(stand_in: Any, tiny_base: Path, tmp_path: Path) -> Hub:
    """Puts the tiny base on the Hub as org/tiny, other repositories beside it, and resolves it."""
    noted: list[str] = []

    def made(name: str = "hf:org/tiny", beside: dict[str, bytes] | None = None, **files: dict[str, bytes]) -> BaseModel:
        if not stand_in.repos:
            whole = {path.name: path.read_bytes() for path in tiny_base.iterdir()}
            stand_in.add("org/tiny", private=False, **whole, **(beside or {}))
            for repository, held in files.items():
                stand_in.add(f"org/{repository.replace('_', '-')}", private=False, **held)
        stand_in.calls.clear()
        noted.clear()
        return resolve(name, tmp_path / "models", noted.append)

    made.noted = noted  # type: ignore[attr-defined]
    return made


def made_of(base: BaseModel, builds: Path) -> dict[str, Any]:
    return read_manifest(base_gguf(base, builds).parent)


# On the Hub


@pytest.mark.parametrize("where", ["same repository", "repository of its own"])
def test_it_is_fetched_with_the_base_and_what_the_base_is_made_of(
    where: str, hub: Hub, right: Path, stand_in: Any, tmp_path: Path
) -> None:
    data = right.read_bytes()
    base = hub(beside={"tiny-F16.gguf": data}) if where == "same repository" else hub(tiny_GGUF={"tiny-F16.gguf": data})
    assert base.own_gguf is not None
    assert base.own_gguf.read_bytes() == data
    stand_in.calls.clear()
    path = base_gguf(base, tmp_path / "builds")
    assert read_manifest(path.parent)["converter"] == "unpacked from model-f16.gguf"
    assert container.read(path).fields["general.name"].value() == "Tiny"
    assert stand_in.calls == []  # what is built is built without the Hub
    # Found by its commit it is here already, and nobody is asked for it.
    again = hub(base.ref)
    assert again == base
    assert "file" not in stand_in.calls
    assert not any("GGUF" in call for call in stand_in.calls)


def test_it_goes_with_the_model(hub: Hub, right: Path, tmp_path: Path) -> None:
    base = hub(tiny_GGUF={"tiny-F16.gguf": right.read_bytes()})
    found = stored.find(base.ref, tmp_path / "models")
    assert found is not None
    assert found.size_bytes > 2 * right.stat().st_size
    assert stored.remove(found, tmp_path / "models") > 2 * right.stat().st_size
    assert base.own_gguf is not None
    assert not base.own_gguf.parent.exists()
    assert stored.stored(tmp_path / "models") == []


def test_exact_digits_come_before_fewer_ones_and_parts_are_left(hub: Hub, right: Path) -> None:
    data = right.read_bytes()
    held = {
        name: data for name in ("a-BF16.gguf", "b-f16.gguf", "mmproj-F16.gguf", "c-f16-00001-of-00002.gguf", "f16.bin")
    }
    assert hub(tiny_GGUF=held).own_gguf.name == "model-f16.gguf"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "held",
    [
        {},
        {"tiny-F16.gguf": b"GGUF" * 100},  # too small for the weights
        {"tiny-F16.gguf": b"GGUF" + bytes(40_000_000)},  # too large
        {"tiny-Q8_0.gguf": None},
        {"mmproj-F16.gguf": None},
    ],
)
def test_what_is_none_by_name_or_size_is_not_fetched(
    held: dict[str, bytes | None], hub: Hub, right: Path, tmp_path: Path
) -> None:
    base = hub(tiny_GGUF={name: data or right.read_bytes() for name, data in held.items()})
    assert base.own_gguf is None
    assert list((tmp_path / "models").iterdir()) == [tmp_path / "models" / "hub"]
    assert made_of(base, tmp_path / "builds")["converter"] == "strop"


def test_without_a_repository_of_its_own_nothing_is_said(hub: Any) -> None:
    assert hub().own_gguf is None
    assert [note for note in hub.noted if "GGUF" in note] == []


@pytest.mark.parametrize("code", [500, 403])
def test_a_hub_that_fails_is_no_reason_to_stop(
    code: int, hub: Any, right: Path, stand_in: Any, hubs: ModuleType, tmp_path: Path
) -> None:
    def failing(handler: Any) -> bool:
        return "GGUF" in handler.path and bool(hubs.status(code)(handler))

    stand_in.faults["look"] = failing
    base = hub(tiny_GGUF={"tiny-F16.gguf": right.read_bytes()})
    assert base.own_gguf is None
    assert "no GGUF of its makers could be fetched (HfHubHTTPError); the base will be converted" in hub.noted


def test_another_file_than_was_promised_is_not_kept(
    hub: Any, right: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hubgguf, "sha256_file", lambda path: "0" * 64)
    base = hub(tiny_GGUF={"tiny-F16.gguf": right.read_bytes()})
    assert base.own_gguf is None
    assert "no GGUF of its makers could be fetched (ValueError); the base will be converted" in hub.noted
    assert list((tmp_path / "models").iterdir()) == [tmp_path / "models" / "hub"]


def test_offline_nobody_is_asked(hub: Any, stand_in: Any, monkeypatch: pytest.MonkeyPatch, right: Path) -> None:
    base = hub(tiny_GGUF={})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    stand_in.repos["org/tiny-GGUF"].commit({"tiny-F16.gguf": right.read_bytes()})
    monkeypatch.setattr(hubgguf, "whole_commits", lambda cache, repository: set())  # as if it had just come
    assert hub(base.ref).own_gguf is None
    assert stand_in.calls == []


# Whether it is the model


def moved(tensor: str) -> Callable[[str, Any], Any]:
    return lambda name, rows: rows + np.float32(1 / 64) if name == tensor else rows


def dropped(text: str) -> Callable[[Container], dict[str, Any]]:
    def changed(file: Container) -> dict[str, Any]:
        tokens = file.fields["tokenizer.ggml.tokens"].value()
        tokens[tokens.index(text)] = "<other>"
        return {"tokenizer.ggml.tokens": field("tokenizer.ggml.tokens", tokens, "str[]")}

    return changed


def said(key: str, value: Any, kind: str) -> Callable[[Container], dict[str, Any]]:
    return lambda file: {key: field(key, value, kind)}


@pytest.mark.parametrize(
    ("change", "fields", "reason"),
    [
        (moved("blk.1.ffn_up.weight"), None, "the weights of blk.1.ffn_up.weight are others"),
        (moved("output_norm.weight"), None, "the weights of output_norm.weight are others"),
        (None, dropped("<filename>"), "token 3 is '<other>', the model's '<filename>'"),
        (None, said("llama.rope.freq_base", 5e5, "f32"), "llama.rope.freq_base is 500000.0"),
        (None, said("llama.attention.head_count_kv", 4, "u32"), "llama.attention.head_count_kv is 4"),
        (None, said("tokenizer.chat_template", "{{ x }}", "str"), "another chat template"),
        (None, said("tokenizer.ggml.pre", "gpt-2", "str"), "it splits text as gpt-2, the model as smollm"),
        (None, said("tokenizer.ggml.merges", ["t h"], "str[]"), "the token ids are others"),
    ],
)
def test_another_model_is_passed_over_and_said_so(
    change: Any,
    fields: Any,
    reason: str,
    tiny: BaseModel,
    right: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from dataclasses import replace

    other = fields(container.read(right)) if fields else {}
    wrong = rewritten(right, tmp_path / "wrong-f16.gguf", change or (lambda name, rows: rows), **other)
    with caplog.at_level(logging.WARNING):
        told = made_of(replace(tiny, own_gguf=wrong), tmp_path / "builds")
    assert told["converter"] == "strop"
    assert reason in told["passed_over"]["wrong-f16.gguf"]
    assert reason in caplog.text
    plain = base_gguf(tiny, tmp_path / "plain")
    assert base_gguf(replace(tiny, own_gguf=wrong), tmp_path / "builds").read_bytes() == plain.read_bytes()


def test_a_file_that_is_not_whole_is_passed_over(tiny: BaseModel, right: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    right.write_bytes(right.read_bytes()[:-1000])
    told = made_of(replace(tiny, own_gguf=right), tmp_path / "builds")
    assert (told["converter"], list(told["passed_over"])) == ("strop", ["f16.gguf"])


def test_scaled_rotation_is_compared_as_numbers(tiny_model: ModuleType, tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope |= {"original_max_position_embeddings": 64, "rope_theta": 10000.0}
    folder = tiny_model.make_base(tmp_path / "hf", rope_parameters=rope)
    convert.convert(folder, tmp_path / "right.gguf")
    for factor, taken in ((1 + 1e-6, True), (1.01, False)):
        made = rewritten(
            tmp_path / "right.gguf",
            folder / "model-f16.gguf",
            lambda name, rows, factor=factor: rows * np.float32(factor) if name == "rope_freqs.weight" else rows,
        )
        name, refused = own.take(resolve(str(folder), tmp_path / "models"), tmp_path / "out.gguf")
        assert (name is not None, made.name in refused) == (taken, not taken)


def test_bfloat16_is_taken_where_the_weights_are_of_it(tiny_base: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    values = {name: value.bfloat16() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(values, folder / "model.safetensors", {"format": "pt"})
    convert.convert(folder, tmp_path / "f32.gguf", "F32")
    file = container.read(tmp_path / "f32.gguf")

    def plan(one: container.Tensor) -> Planned:
        rows = np.concatenate([rows for _, rows in gguf.read_rows(file, one)])
        if len(one.shape) == 1:
            return Planned(one.name, one.type, one.shape, lambda: [rows])
        halves = torch.from_numpy(rows).bfloat16().view(torch.int16).numpy()
        return Planned(one.name, BF16, one.shape, lambda: [halves])

    fields = [*(f for f in file.fields.values() if f.key != "general.file_type"), field("general.file_type", 32, "u32")]
    container.write(folder / "m-bf16.gguf", fields, [plan(one) for one in file.tensors.values()])
    assert own.take(resolve(str(folder), tmp_path / "models"), tmp_path / "out.gguf") == ("m-bf16.gguf", {})
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
