"""Merging in GGUF space: exact where it merges, a reason where it does not, BadGguf for what is not a whole file."""

import json
import random
import shutil
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file

from strop.deploy import container, convert, gguf, weights
from strop.errors import BadGguf, CannotMerge, DeployError, StropError

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
# Logits of the tiny models have a standard deviation of 2. F32 differs by summing order only, F16 by rounding weights.
F32_TOLERANCE, F16_TOLERANCE = 2e-4, 5e-2
Q8_0, F16, F32, Q4_1 = 8, 1, 0, 3
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama as an F16 GGUF."""
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    convert.convert(tiny_base, path)
    return path


@pytest.fixture(scope="module")
def adapter(tiny_model: ModuleType, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make_adapter(tiny_base, tmp_path_factory.mktemp("adapter"))


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 43).reshape(2, 20) * 7 % 500
    with torch.no_grad():
        return model(ids).logits


def peft_logits(base: Path, folder: Path, adapter: Path) -> torch.Tensor:
    return logits(PeftModel.from_pretrained(weights.load_into(base, folder), adapter))


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def altered(adapter: Path, folder: Path, **changes: object) -> Path:
    """A copy of an adapter with another config."""
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text()) | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_merged_logits_are_the_adapters(
    base: Path, tiny_base: Path, adapter: Path, tmp_path: Path, scale: float
) -> None:
    scaled = altered(adapter, tmp_path / "adapter", lora_alpha=4 * scale)
    wanted = peft_logits(base, tiny_base, scaled)
    for quant, tolerance in (("F32", F32_TOLERANCE), ("F16", F16_TOLERANCE)):
        report = gguf.merge(base, scaled, tmp_path / "merged.gguf", quant=quant)
        assert report.tensors == 14
        merged = logits(weights.load_into(tmp_path / "merged.gguf", tiny_base))
        assert distance(merged, wanted) < tolerance
    unmerged = distance(wanted, logits(weights.load_into(base, tiny_base)))
    assert unmerged == 0.0 if scale == 0.0 else unmerged > 20 * F16_TOLERANCE


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 32, "layers.1.mlp.down_proj": 1}},
        {"rank_pattern": {"v_proj": 2, r".*\.1\.self_attn\.k_proj": 8}},
        {"use_rslora": True, "rank_pattern": {"o_proj": 9}, "alpha_pattern": {"o_proj": 3}},
        {"target_modules": ["q_proj"]},
    ],
)
def test_scale_follows_rslora_and_patterns(
    base: Path, tiny_base: Path, tiny_model: ModuleType, tmp_path: Path, settings: dict[str, object]
) -> None:
    adapter = tiny_model.make_adapter(tiny_base, tmp_path / "adapter", **settings)
    gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="F32")
    merged = logits(weights.load_into(tmp_path / "merged.gguf", tiny_base))
    assert distance(merged, peft_logits(base, tiny_base, adapter)) < F32_TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_merges_exactly(tiny_model: ModuleType, tmp_path: Path, family: str) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family, tie_word_embeddings=False)
    adapter = tiny_model.make_adapter(folder, tmp_path / "adapter", target_modules=["q_proj", "k_proj", "lm_head"])
    convert.convert(folder, tmp_path / "base.gguf")
    gguf.merge(tmp_path / "base.gguf", adapter, tmp_path / "merged.gguf", quant="F32")
    merged = logits(weights.load_into(tmp_path / "merged.gguf", folder))
    assert distance(merged, peft_logits(tmp_path / "base.gguf", folder, adapter)) < F32_TOLERANCE


def test_a_wrong_row_order_would_be_caught(
    base: Path, tiny_base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = peft_logits(base, tiny_base, adapter)
    with monkeypatch.context() as patch:
        patch.setattr(gguf, "permute_rows", lambda rows, heads, undo=False: rows)
        gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="F32")
    assert distance(logits(weights.load_into(tmp_path / "merged.gguf", tiny_base)), wanted) > 100 * F32_TOLERANCE


def test_q8_0_build_is_close_and_holds_llama_cpps_types(
    base: Path, tiny_base: Path, adapter: Path, tmp_path: Path
) -> None:
    report = gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="Q8_0")
    info = container.read(tmp_path / "merged.gguf")
    kinds = {name: tensor.type for name, tensor in info.tensors.items()}
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {Q8_0}
    assert {kind for name, kind in kinds.items() if "norm" in name} == {F32}
    assert (gguf.metadata(info, "general.file_type"), report.quant, report.fallbacks) == (7, "Q8_0", ())
    merged = logits(weights.load_into(tmp_path / "merged.gguf", tiny_base))
    # Random weights spread logits by 2; rounding to 8 bits moves them by a few hundredths.
    assert 0 < float((merged - peft_logits(base, tiny_base, adapter)).abs().mean()) < 0.1


def test_report_states_the_largest_change(base: Path, adapter: Path, tmp_path: Path) -> None:
    report = gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="F32")
    before, after = weights.state_dict(base), weights.state_dict(tmp_path / "merged.gguf")
    largest = max(float(np.abs(after[name] - before[name]).max()) for name in before)
    assert report.max_abs_delta == pytest.approx(largest, rel=1e-5)


def test_equal_inputs_give_equal_bytes(base: Path, adapter: Path, tmp_path: Path) -> None:
    for name in ("first.gguf", "second.gguf"):
        gguf.merge(base, adapter, tmp_path / name, quant="Q8_0")
    assert (tmp_path / "first.gguf").read_bytes() == (tmp_path / "second.gguf").read_bytes()


def test_metadata_is_copied_byte_for_byte(base: Path, adapter: Path, tmp_path: Path) -> None:
    report = gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="Q8_0")
    before, after = container.read(base).fields, container.read(tmp_path / "merged.gguf").fields
    assert list(after) == [*before, gguf.ADAPTER_KEY]
    assert [key for key in before if before[key] != after[key]] == ["general.file_type"]
    assert after[gguf.ADAPTER_KEY].value() == report.adapter_sha256
    assert (after["tokenizer.ggml.eos_token_id"].value(), after["llama.context_length"].value()) == (2, 512)
    assert "<|im_start|>" in after[gguf.TEMPLATE_KEY].value()


def test_nothing_to_merge_gives_the_base(base: Path, tmp_path: Path) -> None:
    report = gguf.merge(base, None, tmp_path / "again.gguf", quant="F16")
    assert (tmp_path / "again.gguf").read_bytes() == base.read_bytes()
    assert (report.tensors, report.max_abs_delta, report.adapter_sha256) == (0, 0.0, None)


def small_file(path: Path, columns: int, kind: int, values: np.ndarray) -> Path:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    data = quantize(values, GGMLQuantizationType(kind))
    vector = np.ones(columns, dtype=np.float16)
    plans = [
        container.Planned("a.weight", kind, values.shape, lambda: [data]),
        container.Planned("a_norm.weight", F16, vector.shape, lambda: [vector]),
    ]
    # An empty string and an empty list are values too, and must survive.
    fields = [
        container.field("general.architecture", "llama", "str"),
        container.field("general.file_type", 3, "u32"),
        container.field("x.empty", "", "str"),
        container.field("x.none", [], "f32[]"),
        container.field("x.flag", True, "bool"),
    ]
    container.write(path, fields, plans)
    return path


def test_unpack_gives_the_dequantised_values(tmp_path: Path) -> None:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    values = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    source = small_file(tmp_path / "q4_1.gguf", 64, Q4_1, values)
    gguf.unpack(source, tmp_path / "f16.gguf")
    file = container.read(tmp_path / "f16.gguf")
    stored = np.concatenate([rows for _, rows in gguf.read_rows(file, file.tensors["a.weight"])])
    q4_1 = GGMLQuantizationType.Q4_1
    np.testing.assert_array_equal(stored, dequantize(quantize(values, q4_1), q4_1).astype(np.float16))
    assert (file.tensors["a.weight"].type, file.tensors["a_norm.weight"].type) == (F16, F32)
    assert [file.fields[key].value() for key in ("x.empty", "x.none", "x.flag", "general.file_type")] == [
        "",
        [],
        True,
        1,
    ]


def test_rows_that_q8_0_cannot_hold_stay_f16_and_are_reported(tmp_path: Path) -> None:
    source = small_file(tmp_path / "f16.gguf", 48, F16, np.ones((4, 48), dtype=np.float32))
    report = gguf.merge(source, None, tmp_path / "q8_0.gguf", quant="Q8_0")
    assert report.fallbacks == ("a.weight",)
    assert container.read(tmp_path / "q8_0.gguf").tensors["a.weight"].type == F16


def test_a_value_too_large_for_f16_is_refused(tmp_path: Path) -> None:
    source = small_file(tmp_path / "f32.gguf", 64, F32, np.full((4, 64), 1e6, dtype=np.float32))
    with pytest.raises(DeployError, match=r"a\.weight: 1000000"):
        gguf.unpack(source, tmp_path / "f16.gguf")
    assert not (tmp_path / "f16.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"trainable_token_indices": [1]}, "token"),
        ({"lora_bias": True}, "biases"),
        ({"target_parameters": ["experts"]}, "parameters"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"r": 8}, "rank 8"),
    ],
)
def test_adapters_that_a_sum_cannot_express_are_refused(
    base: Path, adapter: Path, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(CannotMerge, match=reason) as error:
        gguf.merge(base, altered(adapter, tmp_path / "adapter", **changes), tmp_path / "out.gguf", quant="F16")
    assert "strop" in error.value.hint
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("renamed", "to", "reason"),
    [
        ("layers.0.self_attn.q_proj", "lm_head", "tied"),
        ("layers.0.self_attn.q_proj", "layers.0.self_attn.other_proj", "does not have"),
        ("layers.0.self_attn.q_proj", "layers.9.self_attn.q_proj", "does not have"),
        ("layers.0.self_attn.q_proj", "layers.0.mlp.down_proj.x", "does not have"),
        ("q_proj.lora_A.weight", "q_proj.lora_embedding_A", "not a LoRA factor"),
        ("q_proj.lora_A.weight", "q_proj.lora_magnitude_vector", "not a LoRA factor"),
    ],
)
def test_tensors_without_a_place_in_the_base_are_refused(
    base: Path, tiny_base: Path, tiny_model: ModuleType, tmp_path: Path, renamed: str, to: str, reason: str
) -> None:
    adapter = tiny_model.make_adapter(tiny_base, tmp_path / "adapter", target_modules=["q_proj"])
    path = adapter / "adapter_model.safetensors"
    tensors = {
        name.replace("model." + renamed if to == "lm_head" else renamed, to): value
        for name, value in load_file(path).items()
    }
    save_file(tensors, path)
    with pytest.raises(CannotMerge, match=reason):
        gguf.merge(base, adapter, tmp_path / "out.gguf", quant="F16")


def test_an_adapter_of_another_base_is_refused(base: Path, tiny_model: ModuleType, tmp_path: Path) -> None:
    other = tiny_model.make_base(tmp_path / "other", hidden_size=128)
    adapter = tiny_model.make_adapter(other, tmp_path / "adapter")
    with pytest.raises(CannotMerge, match="the base has"):
        gguf.merge(base, adapter, tmp_path / "out.gguf", quant="F16")


def test_a_pickled_adapter_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    copy = altered(adapter, tmp_path / "adapter")
    (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")
    with pytest.raises(CannotMerge, match=r"adapter_model\.bin.*safetensors"):
        gguf.merge(base, copy, tmp_path / "out.gguf", quant="F16")


def test_nan_in_an_adapter_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    copy = altered(adapter, tmp_path / "adapter")
    tensors = load_file(copy / "adapter_model.safetensors")
    tensors[next(iter(tensors))][0, 0] = np.nan
    save_file(tensors, copy / "adapter_model.safetensors")
    with pytest.raises(CannotMerge, match="NaN"):
        gguf.merge(base, copy, tmp_path / "out.gguf", quant="F16")


def test_a_build_is_no_base(base: Path, adapter: Path, tmp_path: Path) -> None:
    gguf.merge(base, adapter, tmp_path / "merged.gguf", quant="F16")
    with pytest.raises(CannotMerge, match="already holds an adapter"):
        gguf.merge(tmp_path / "merged.gguf", adapter, tmp_path / "twice.gguf", quant="F16")


def test_a_full_disk_is_said_before_anything_is_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "free_bytes", lambda path: 1000)
    with pytest.raises(DeployError, match="MB left"):
        gguf.merge(base, None, tmp_path / "out.gguf", quant="Q8_0")
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_found(base: Path, tmp_path: Path) -> None:
    data = base.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in (*range(0, 200, 7), *range(200, len(data) - 1, 4999), len(data) - 200):
        path.write_bytes(data[:length])
        with pytest.raises(BadGguf):
            gguf.check(path)


@pytest.mark.parametrize(
    ("at", "patch", "reason"),
    [
        (0, b"GGML", "not a GGUF"),
        (4, struct.pack("<I", 99), "version 99"),
        (4, struct.pack(">I", 3), "version"),
        (8, struct.pack("<Q", 1 << 60), "cannot be in"),
        (16, struct.pack("<Q", 1 << 60), "cannot be in"),
        (24, struct.pack("<Q", 1 << 63), "promised"),
    ],
)
def test_damaged_headers_are_named(base: Path, tmp_path: Path, at: int, patch: bytes, reason: str) -> None:
    data = bytearray(base.read_bytes())
    data[at : at + len(patch)] = patch
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(BadGguf, match=reason):
        gguf.check(tmp_path / "bad.gguf")


def test_any_flipped_header_byte_is_refused_or_harmless(base: Path, tmp_path: Path) -> None:
    data = base.read_bytes()
    header = min(tensor.offset for tensor in container.read(base).tensors.values())
    draw = random.Random(5)
    path, refused = tmp_path / "flipped.gguf", 0
    # The tail of the header is the tensor table, where every byte matters; the rest is mostly token texts.
    for place in [*draw.choices(range(header), k=150), *draw.choices(range(header - 1500, header), k=150)]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            gguf.check(path)
            weights.state_dict(path)
        except StropError:
            refused += 1
    assert refused > 50


def test_a_missing_file_and_an_adapter_file_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadGguf, match="does not exist"):
        gguf.check(tmp_path / "absent.gguf")
    vector = np.ones(4, dtype=np.float32)
    plans = [container.Planned("a", F32, (4,), lambda: [vector])]
    facts = {"general.architecture": "llama", "general.type": "adapter"}
    container.write(tmp_path / "lora.gguf", [container.field(k, v, "str") for k, v in facts.items()], plans)
    with pytest.raises(BadGguf, match="adapter, not a model"):
        gguf.check(tmp_path / "lora.gguf")


def test_the_gguf_package_reads_the_same_file(base: Path) -> None:
    from gguf import GGUFReader

    reader, ours = GGUFReader(base), container.read(base)
    assert [(t.name, int(t.tensor_type), t.data_offset, t.n_bytes) for t in reader.tensors] == [
        (t.name, t.type, t.offset, t.n_bytes) for t in ours.tensors.values()
    ]
    for key, field in ours.fields.items():
        assert reader.fields[key].contents() == field.value()
