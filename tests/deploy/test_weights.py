"""A GGUF read back into transformers gives the model it was made of, to the last bit where nothing was rounded."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from strop.deploy import container, convert, gguf, weights
from strop.errors import BadGguf, DeployError


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 43).reshape(2, 20) * 7 % 500
    with torch.no_grad():
        return model(ids).logits


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    convert.convert(tiny_base, path, "F32")
    return path


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_the_originals(tiny_model: ModuleType, tmp_path: Path, family: str, tied: bool) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family, tie_word_embeddings=tied)
    convert.convert(folder, tmp_path / "model.gguf", "F32")
    model = weights.load_into(tmp_path / "model.gguf", folder)
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(folder).eval()))
    assert not model.training


def test_a_model_that_also_sees_is_read_as_the_part_that_writes(tiny_model: ModuleType, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", "gemma3_text")
    convert.convert(folder, tmp_path / "model.gguf", "F32")
    wanted = logits(AutoModelForCausalLM.from_pretrained(folder).eval())
    config = folder / "config.json"
    both = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}
    config.write_text(json.dumps(both | {"text_config": json.loads(config.read_text())}))
    assert torch.equal(logits(weights.load_into(tmp_path / "model.gguf", folder)), wanted)


def test_state_dict_is_the_checkpoint(base: Path, tiny_base: Path) -> None:
    ours, theirs = weights.state_dict(base), load_file(tiny_base / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values)


def test_a_wrong_row_order_would_be_caught(base: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = logits(weights.load_into(base, tiny_base))
    monkeypatch.setattr(gguf, "permute_rows", lambda rows, heads, undo=False: rows)
    assert float((logits(weights.load_into(base, tiny_base)) - right).abs().max()) > 0.5


def test_dtype_is_the_one_asked_for(base: Path, tiny_base: Path) -> None:
    for dtype in ("bfloat16", torch.bfloat16):
        model = weights.load_into(base, tiny_base, dtype)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_loading_does_not_disturb_the_random_state(base: Path, tiny_base: Path) -> None:
    before = torch.random.get_rng_state()
    weights.load_into(base, tiny_base)
    assert torch.equal(before, torch.random.get_rng_state())


def changed_config(folder: Path, copy: Path, **changes: object) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize(
    "changes", [{"num_hidden_layers": 3}, {"num_hidden_layers": 1}, {"tie_word_embeddings": False}]
)
def test_a_config_of_another_model_is_refused(
    base: Path, tiny_base: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(BadGguf, match="does not fit"):
        weights.load_into(base, changed_config(tiny_base, tmp_path / "other", **changes))


def test_an_output_layer_that_the_config_ties_is_refused(tiny_model: ModuleType, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", tie_word_embeddings=False)
    convert.convert(folder, tmp_path / "model.gguf")
    tied = changed_config(folder, tmp_path / "tied", tie_word_embeddings=True)
    with pytest.raises(BadGguf, match="output layer of its own"):
        weights.load_into(tmp_path / "model.gguf", tied)


def test_an_unknown_family_and_an_unknown_tensor_are_refused(tmp_path: Path) -> None:
    for architecture, error in (("mamba", DeployError), ("llama", BadGguf)):
        fields = [container.field("general.architecture", architecture, "str")]
        row = np.ones(4, dtype=np.float32)
        path = tmp_path / f"{architecture}.gguf"
        container.write(path, fields, [container.Planned("blk.0.ssm_a", 0, (4,), lambda row=row: [row])])
        with pytest.raises(error, match=architecture):
            weights.state_dict(path)


def test_names_go_there_and_back() -> None:
    for name in ("token_embd.weight", "output.weight", "blk.12.attn_k.bias", "blk.0.ffn_down.weight"):
        assert weights.tensor_name(str(weights.hf_name(name))) == name
    assert weights.hf_name("blk.0.attn_sinks.weight") is None
    assert weights.tensor_name("model.layers.0.mlp.gate.weight") is None
