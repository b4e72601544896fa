"""Which type each tensor gets, and the bytes of K-quants: as llama.cpp's own quantiser writes them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.deploy import container, quantise
from strop.deploy.container import Container, Planned, field
from strop.deploy.gguf import merge, read_rows
from strop.errors import DeployError, Missing

NAMES = {0: "F32", 1: "F16", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K"}


def made(path: Path, blocks: int, width: int, inner: int, *, tied: bool = True, **more: int) -> Container:
    """A Llama without layers' norms: four matrices a block and the outer ones, small random values."""
    shapes = {"token_embd.weight": (64, width), "output_norm.weight": (width,)}
    if not tied:
        shapes["output.weight"] = (64, width)
    for block in range(blocks):
        shapes[f"blk.{block}.attn_q.weight"] = shapes[f"blk.{block}.attn_v.weight"] = (32, width)
        shapes |= {f"blk.{block}.ffn_up.weight": (32, width), f"blk.{block}.ffn_down.weight": (32, inner)}
    random = np.random.default_rng(blocks)
    plans = []
    for name, shape in shapes.items():
        values = random.normal(0, 0.05, shape).astype(np.float32)
        plans.append(Planned(name, 0, shape, lambda values=values: iter((values,))))  # type: ignore[misc]
    numbers = {"block_count": blocks, **more}
    fields = [field("general.architecture", "llama", "str"), field("general.file_type", 0, "u32")]
    container.write(path, fields + [field(f"llama.{key}", value, "u32") for key, value in numbers.items()], plans)
    return container.read(path)


def kinds(file: Container, quant: Any) -> dict[str, str]:
    return {name: NAMES[one.type] for name, one in quantise.types(file, quant).items()}


# Expected: what llama.cpp's llama_model_quantize wrote for models of these shapes.


@pytest.mark.parametrize(
    ("blocks", "six_bits"), [(4, {2, 3}), (5, {2, 4}), (16, {0, 1, 4, 7, 10, 13, 14, 15}), (3, {2})]
)
def test_q4_k_m_keeps_the_outer_blocks_and_every_third_in_six_bits(
    blocks: int, six_bits: set[int], tmp_path: Path
) -> None:
    found = kinds(made(tmp_path / "m.gguf", blocks, 256, 512), "Q4_K_M")
    for part in ("attn_v", "ffn_down"):
        of = {block: found[f"blk.{block}.{part}.weight"] for block in range(blocks)}
        assert {block for block, kind in of.items() if kind == "Q6_K"} == six_bits
        assert set(of.values()) == {"Q6_K", "Q4_K"}
    assert {found[f"blk.{block}.attn_q.weight"] for block in range(blocks)} == {"Q4_K"}
    assert (found["token_embd.weight"], found["output_norm.weight"]) == ("Q6_K", "F32")


def test_an_output_layer_of_its_own_takes_the_bits_from_the_embeddings(tmp_path: Path) -> None:
    found = kinds(made(tmp_path / "m.gguf", 2, 256, 256, tied=False), "Q4_K_M")
    assert (found["output.weight"], found["token_embd.weight"]) == ("Q6_K", "Q4_K")


def test_rows_that_no_block_of_256_fills_fall_back_as_in_smollm2(tmp_path: Path) -> None:
    file = made(tmp_path / "m.gguf", 30, 576, 1536)
    four = kinds(file, "Q4_K_M")
    assert four["token_embd.weight"] == "Q8_0"
    assert Counter(kind for name, kind in four.items() if "ffn_down" in name) == {"Q4_K": 16, "Q6_K": 14}
    assert Counter(kind for name, kind in four.items() if "attn_v" in name) == {"Q5_0": 16, "Q8_0": 14}
    assert Counter(kinds(file, "Q6_K").values()) == {"Q8_0": 91, "Q6_K": 30, "F32": 1}
    report = merge(file.path, None, tmp_path / "out.gguf", quant="Q4_K_M")
    assert len(report.fallbacks) == 91


def test_rows_that_no_block_at_all_fills_stay_whole(tmp_path: Path) -> None:
    found = kinds(made(tmp_path / "m.gguf", 1, 40, 256), "Q4_K_M")
    assert (found["blk.0.attn_q.weight"], found["blk.0.ffn_down.weight"]) == ("F16", "Q6_K")


def test_eighty_blocks_share_few_values_and_keep_more_of_them(tmp_path: Path) -> None:
    wide = kinds(made(tmp_path / "m.gguf", 80, 256, 256), "Q4_K_M")
    assert Counter(kind for name, kind in wide.items() if "attn_v" in name) == {"Q5_K": 40, "Q6_K": 40}
    narrow = kinds(made(tmp_path / "n.gguf", 80, 32, 256), "Q4_K_M")
    assert Counter(kind for name, kind in narrow.items() if "attn_v" in name) == {"Q5_1": 40, "Q8_0": 40}


def test_a_mixture_of_experts_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path / "m.gguf", 1, 256, 256, expert_count=8)
    with pytest.raises(DeployError, match="mixture of experts"):
        quantise.types(file, "Q4_K_M")
    assert quantise.types(file, "Q8_0")


# Bytes


@pytest.fixture(scope="module")
def rows() -> "np.ndarray[Any, Any]":
    """Weights of every size, one row of zeros and one with a single large value among them."""
    values = np.random.default_rng(7).normal(0, 1, (600, 512)).astype(np.float32)
    values *= np.geomspace(1e-6, 100, 600, dtype=np.float32)[:, None]
    values[3] = 0
    values[4, 100] = 5000
    return values


@pytest.mark.parametrize("kind", [quantise.Q4_K, quantise.Q5_K, quantise.Q6_K])
def test_both_encoders_write_the_same_bytes(rows: "np.ndarray[Any, Any]", kind: int) -> None:
    pytest.importorskip("libgguf")
    by_llama_cpp = quantise.in_xllamacpp()
    if by_llama_cpp is None:
        pytest.skip("this xllamacpp does not show llama.cpp's encoder")
    assert np.array_equal(quantise.from_libgguf(rows, kind), by_llama_cpp(rows, kind))


@pytest.mark.parametrize("kind", [quantise.Q4_K, quantise.Q5_K, quantise.Q6_K])
@pytest.mark.parametrize("cores", [1, 3, 64])
def test_the_bytes_do_not_depend_on_the_number_of_cores(
    rows: "np.ndarray[Any, Any]", kind: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = np.concatenate([quantise.encode(row[None], kind, "t") for row in rows])
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert np.array_equal(quantise.encode(rows, kind, "t"), one_by_one)


@pytest.mark.parametrize(("kind", "most"), [(quantise.Q4_K, 0.08), (quantise.Q5_K, 0.04), (quantise.Q6_K, 0.02)])
def test_what_is_read_back_is_near_what_was_written(kind: int, most: float) -> None:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    values = np.random.default_rng(1).normal(0, 0.05, (64, 256)).astype(np.float32)
    back = dequantize(quantise.encode(values, kind, "t"), GGMLQuantizationType(kind))
    assert 0 < np.sqrt(((back - values) ** 2).mean() / (values**2).mean()) < most


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e5])
def test_a_value_that_no_type_holds_is_refused(bad: float) -> None:
    values = np.zeros((1, 256), np.float32)
    values[0, 9] = bad
    with pytest.raises(DeployError, match="does not fit"):
        quantise.encode(values, quantise.Q4_K, "t")


def test_without_an_encoder_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantise, "find_spec", lambda name: None)
    quantise._encoder.cache_clear()
    quantise.in_xllamacpp.cache_clear()
    try:
        assert not quantise.available()
        with pytest.raises(Missing, match="libgguf") as told:
            quantise.encode(np.ones((1, 256), np.float32), quantise.Q4_K, "t")
        assert "--quant Q8_0" in told.value.hint
    finally:
        quantise._encoder.cache_clear()
        quantise.in_xllamacpp.cache_clear()


@pytest.mark.parametrize("quant", ["Q4_K_M", "Q6_K"])
def test_a_k_quant_file_is_the_same_each_time_and_says_what_it_is(quant: Any, tmp_path: Path) -> None:
    file = made(tmp_path / "m.gguf", 3, 256, 512)
    for name in "ab":
        merge(file.path, None, tmp_path / name, quant=quant)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    written = container.read(tmp_path / "a")
    assert written.fields["general.file_type"].value() == {"Q4_K_M": 15, "Q6_K": 18}[quant]
    assert written.fields["general.quantization_version"].value() == 2
    assert {name: one.type for name, one in written.tensors.items()} == {
        name: one.type for name, one in quantise.types(file, quant).items()
    }
    for name, tensor in written.tensors.items():
        before = np.concatenate([values for _, values in read_rows(file, file.tensors[name])])
        after = np.concatenate([values for _, values in read_rows(written, tensor)])
        assert np.abs(after - before).max() <= 0.04, name
