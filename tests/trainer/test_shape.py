"""A model's shape from its config and the headers of its weights: the same as the loaded model's, and never guessed."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.errors import UnknownModel
from strop.trainer import shape, sizes


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], int]], *, data: bool = True) -> None:
    """Write a file of zeros: name to (type, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (kind, dimensions, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(dimensions), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (b"\0" * offset if data else b""))


CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 10,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of one linear layer and an embedding, in one file."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    write_safetensors(
        tmp_path / "model.safetensors",
        {
            "model.embed_tokens.weight": ("BF16", (10, 8), 160),
            "model.layers.0.mlp.up_proj.weight": ("BF16", (12, 8), 192),
            "model.norm.weight": ("BF16", (8,), 16),
        },
    )
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks for it
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_the_header_says_what_the_loaded_model_says(tiny_model: ModuleType, tmp_path: Path, architecture: str) -> None:
    from transformers import AutoModelForCausalLM

    from strop.trainer.recipe import Recipe, StageRecipe
    from strop.trainer.train import add_lora

    base = tiny_model.make_base(tmp_path / "base", architecture)
    found = shape.from_folder(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    assert found.parameters == model.num_parameters()
    lora = add_lora(model, Recipe((StageRecipe("sft", 1.0, 1e-4, 1),), rank=4, precision="fp32"))
    assert found.adapter_parameters(4) == sum(p.numel() for p in lora.parameters() if p.requires_grad)
    width = 128 if architecture == "qwen3" else 16  # Qwen3's heads are as wide as they are, whatever the model's width
    assert (found.hidden, found.layers, found.intermediate) == (64, 2, 96)
    assert (found.query, found.key_value) == (4 * width, 2 * width)
    assert found.head_norms == (architecture == "qwen3")
    assert found.disk_bytes == (base / "model.safetensors").stat().st_size


def test_an_untied_head_is_no_layer_of_the_trunk(tiny_model: ModuleType, tmp_path: Path) -> None:
    tied = shape.from_folder(tiny_model.make_base(tmp_path / "tied"))
    untied = shape.from_folder(tiny_model.make_base(tmp_path / "untied", tie_word_embeddings=False))
    assert untied.linear == tied.linear
    assert untied.table_parameters == 2 * tied.table_parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("SmolLM2-135M", 134_515_008),
        ("Qwen3-0.6B", 596_049_920),
        ("Qwen3-4B", 4_022_468_096),
        ("Llama-2-7B", 6_738_415_616),
        ("Llama-2-13B", 13_015_864_320),
        ("Llama-2-70B", 68_976_648_192),
        ("Llama-3.2-3B", 3_212_749_824),
        ("Llama-3.1-8B", 8_030_261_248),
    ],
)
def test_shapes_from_values_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert sizes.known(name).parameters == parameters


@pytest.mark.parametrize("name", sizes.names())
def test_a_known_model_has_about_the_parameters_of_its_name(name: str) -> None:
    billions = float(name.rpartition("-")[2].rstrip("MB")) / (1000 if name.endswith("M") else 1)
    assert sizes.known(name).parameters == pytest.approx(billions * 1e9, rel=0.25)


def test_smaller_siblings_are_of_the_same_family_the_largest_first() -> None:
    assert [one.name for one in sizes.smaller(sizes.known("Qwen3-8B"))] == ["Qwen3-4B", "Qwen3-1.7B", "Qwen3-0.6B"]
    assert sizes.smaller(sizes.known("SmolLM2-135M")) == ()


def test_shards_are_those_that_the_index_names(folder: Path) -> None:
    whole = shape.from_folder(folder)
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "a.safetensors", {"model.embed_tokens.weight": ("BF16", (10, 8), 160)})
    write_safetensors(folder / "b.safetensors", {"model.layers.0.mlp.up_proj.weight": ("BF16", (12, 8), 192)})
    write_safetensors(folder / "other.safetensors", {"left.over.weight": ("BF16", (12, 8), 192)})
    index = {"weight_map": {"model.embed_tokens.weight": "a.safetensors", "up": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = shape.from_folder(folder)
    assert (found.linear, found.table_parameters) == (whole.linear, whole.table_parameters)
    (folder / "b.safetensors").unlink()
    with pytest.raises(UnknownModel, match=r"lacks b\.safetensors"):
        shape.from_folder(folder)


def test_an_index_cannot_name_a_file_elsewhere(folder: Path) -> None:
    index = {"weight_map": {"one": "../other/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnknownModel, match="lacks"):
        shape.from_folder(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: (1 << 60).to_bytes(8, "little") + data[8:],
        lambda data: data[:-1],
        lambda data: (5).to_bytes(8, "little") + b"[1,2]" + bytes(50),
        lambda data: (4).to_bytes(8, "little") + b"null" + bytes(50),
        lambda data: (20).to_bytes(8, "little") + b'{"a": {"dtype": "x"}' + bytes(50),
        lambda data: (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_named(folder: Path, damage: Any) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnknownModel, match=r"model\.safetensors cannot be read"):
        shape.from_folder(folder)


@pytest.mark.parametrize("value", [None, 0, -1, "8", True, 1.5])
def test_a_config_without_its_counts_is_named(folder: Path, value: object) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "hidden_size": value}))
    with pytest.raises(UnknownModel, match="hidden_size"):
        shape.from_folder(folder)


def test_what_is_not_covered_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    write_safetensors(path, {"model.layers.0.mlp.up_proj.weight": ("U8", (48, 1), 48)})
    with pytest.raises(UnknownModel, match="quantised already"):
        shape.from_folder(folder)
    write_safetensors(path, {"model.layers.0.mlp.experts.0.up_proj.weight": ("BF16", (12, 8), 192)})
    with pytest.raises(UnknownModel, match="mixture of experts"):
        shape.from_folder(folder)
    path.unlink()
    with pytest.raises(UnknownModel, match="no \\*.safetensors"):
        shape.from_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UnknownModel, match=r"no config\.json"):
        shape.from_folder(folder)
