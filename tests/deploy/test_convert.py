"""Our conversion, held against transformers and a real llama-server: token ids, greedy answers, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from strop.deploy import container, convert, vocab, weights
from strop.errors import DeployError

# What tokenizers get wrong: runs of spaces before digits, contractions in capitals, several scripts, line ends.
TEXT = (
    "Hello  12 345 world\n\n  café's 日本語 12.5!  \tdef f(x):\n    return 3**2\r\n<|im_start|>user\n"
    "It's 2026-10-11  7  <|im_end|>\n… 😀 I'M we'Ll they'VE   100000 ١٢٣  x\n \n "
)
JSON_EDIT = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("splitter", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
def test_llama_server_splits_text_as_the_tokenizer_does(
    tiny_model: ModuleType, llama_server: ModuleType, tmp_path: Path, splitter: str
) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", splitter=splitter)
    convert.convert(folder, tmp_path / "model.gguf")
    assert container.read(tmp_path / "model.gguf").fields["tokenizer.ggml.pre"].value() == splitter
    wanted = AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    with llama_server.running(tmp_path / "model.gguf") as post:
        found = post("/tokenize", {"content": TEXT, "add_special": True, "parse_special": True})["tokens"]
    assert found == wanted


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        ("qwen2", {}),
        ("qwen3", {"tie_word_embeddings": False}),
        ("gemma3_text", {}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                    "rope_theta": 10000.0,
                }
            },
        ),
    ],
)
def test_llama_server_answers_as_transformers_does(
    tiny_model: ModuleType, llama_server: ModuleType, tmp_path: Path, family: str, changes: dict[str, object]
) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family, **changes)
    convert.convert(folder, tmp_path / "model.gguf")
    model = weights.load_into(tmp_path / "model.gguf", folder)
    agreed = positions = 0
    with llama_server.running(tmp_path / "model.gguf") as post:
        for first in range(10, 14):
            prompt = [(first * place) % 490 + 5 for place in range(1, 40)]
            body = {"prompt": prompt, "n_predict": 60, "temperature": 0, "return_tokens": True, "ignore_eos": True}
            answer = post("/completion", body)["tokens"]
            with torch.no_grad():
                scores = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            # ignore_eos bars every token that ends an answer: <|endoftext|> and <|im_end|>.
            scores[:, [0, 2]] = -torch.inf
            agreed += int((scores.argmax(-1) == torch.tensor(answer)).sum())
            positions += len(answer)
    assert positions == 240
    assert agreed / positions >= 0.99


def test_bf16_shards_convert_like_one_f32_file(tiny_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bf16"
    AutoModelForCausalLM.from_pretrained(tiny_base).to(torch.bfloat16).save_pretrained(copy, max_shard_size="100KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_base / name, copy / name)
    assert len(list(copy.glob("*.safetensors"))) > 1
    convert.convert(copy, tmp_path / "bf16.gguf", "F32")
    whole, found = load_file(tiny_base / "model.safetensors"), weights.state_dict(tmp_path / "bf16.gguf")
    for name, values in whole.items():
        np.testing.assert_array_equal(found[name], torch.from_numpy(values).bfloat16().float().numpy())


def test_metadata_says_what_the_folder_says(tiny_base: Path, tmp_path: Path) -> None:
    convert.convert(tiny_base, tmp_path / "model.gguf")
    fields = {key: field.value() for key, field in container.read(tmp_path / "model.gguf").fields.items()}
    wanted = {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.block_count": 2,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.dimension_count": 16,
        "llama.vocab_size": 500,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": (tiny_base / "chat_template.jinja").read_text(),
    }
    assert {key: fields[key] for key in wanted} == wanted
    assert fields["llama.rope.freq_base"] == AutoConfig.from_pretrained(tiny_base).rope_parameters["rope_theta"]
    assert fields["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]


def test_equal_folders_give_equal_bytes(tiny_base: Path, tmp_path: Path) -> None:
    for name in ("first.gguf", "second.gguf"):
        convert.convert(tiny_base, tmp_path / name)
    assert (tmp_path / "first.gguf").read_bytes() == (tmp_path / "second.gguf").read_bytes()


def test_embeddings_beyond_the_tokenizer_become_unused_tokens(tiny_model: ModuleType, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", vocab_size=512)
    convert.convert(folder, tmp_path / "model.gguf")
    fields = container.read(tmp_path / "model.gguf").fields
    assert fields["tokenizer.ggml.tokens"].value()[500:502] == ["[PAD500]", "[PAD501]"]
    assert fields["tokenizer.ggml.token_type"].value()[499:501] == [1, 5]


def edited(folder: Path, copy: Path, name: str, edit: JSON_EDIT) -> Path:
    """A copy of a model folder with one JSON file changed."""
    shutil.copytree(folder, copy)
    data = json.loads((copy / name).read_text(encoding="utf-8"))
    edit(data)
    (copy / name).write_text(json.dumps(data), encoding="utf-8")
    return copy


def adds_bos(tokenizer: dict[str, Any], token: str) -> None:
    tokenizer["post_processor"]["single"].insert(0, {"SpecialToken": {"id": token, "type_id": 0}})


def test_a_tokenizer_that_begins_with_bos_says_so(tiny_base: Path, tmp_path: Path) -> None:
    folder = edited(tiny_base, tmp_path / "hf", "tokenizer.json", lambda data: adds_bos(data, "<|im_start|>"))
    convert.convert(folder, tmp_path / "model.gguf")
    assert container.read(tmp_path / "model.gguf").fields["tokenizer.ggml.add_bos_token"].value() is True


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data["model"].update(byte_fallback=True), "SentencePiece"),
        (lambda data: data["model"].update(type="Unigram"), "Unigram"),
        (lambda data: data["model"].update(ignore_merges=True), "ignore_merges"),
        (lambda data: data["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
        (lambda data: data.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (lambda data: data.update(pre_tokenizer={"type": "Whitespace"}), "not known here"),
        (lambda data: data["pre_tokenizer"]["pretokenizers"][0].update(individual_digits=False), "not known here"),
        (lambda data: data["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "not known here"),
        (lambda data: adds_bos(data, "<|endoftext|>"), "adds"),
        (lambda data: data["model"]["vocab"].update(extra=700), "embeddings"),
    ],
)
def test_tokenizers_that_llama_cpp_would_read_otherwise_are_refused(
    tiny_base: Path, tmp_path: Path, edit: JSON_EDIT, reason: str
) -> None:
    folder = edited(tiny_base, tmp_path / "hf", "tokenizer.json", edit)
    with pytest.raises(DeployError, match=reason) as error:
        convert.convert(folder, tmp_path / "model.gguf")
    assert "gguf:PATH" in error.value.hint
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data.update(architectures=["MambaForCausalLM"]), "MambaForCausalLM"),
        (lambda data: data.update(rope_parameters={"rope_type": "yarn", "factor": 4.0}), "yarn"),
        (lambda data: data.update(rope_scaling={"type": "dynamic", "factor": 2.0}, rope_parameters=None), "dynamic"),
        (lambda data: data.update(hidden_act="gelu"), "hidden_act"),
        (lambda data: data.update(quantization_config={"bits": 4}), "quantization_config"),
        (lambda data: data.update(num_hidden_layers=3), "model.layers.2"),
        (lambda data: data.update(num_hidden_layers=1), "model.layers.1"),
        (lambda data: data.update(tie_word_embeddings=False), "lm_head"),
        (lambda data: data.update(vocab_size=600), "500 embeddings"),
        (lambda data: data.update(hidden_size=None), "hidden_size"),
    ],
)
def test_configs_that_cannot_be_converted_exactly_are_refused(
    tiny_base: Path, tmp_path: Path, edit: JSON_EDIT, reason: str
) -> None:
    folder = edited(tiny_base, tmp_path / "hf", "config.json", edit)
    with pytest.raises(DeployError, match=reason):
        convert.convert(folder, tmp_path / "model.gguf")


def test_a_sliding_window_bounds_the_context(tiny_model: ModuleType, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", "mistral", sliding_window=128)
    convert.convert(folder, tmp_path / "model.gguf")
    assert container.read(tmp_path / "model.gguf").fields["llama.context_length"].value() == 128


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors"])
def test_a_folder_with_a_file_missing_is_refused(tiny_base: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny_base, tmp_path / "hf")
    (tmp_path / "hf" / name).unlink()
    with pytest.raises(DeployError):
        convert.convert(tmp_path / "hf", tmp_path / "model.gguf")


def test_unreadable_weights_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / "hf")
    path = tmp_path / "hf" / "model.safetensors"
    tensors, data = load_file(path), path.read_bytes()
    for damaged in (data[:-100], data[:5], b"\xff" * 100, data[:8] + b"x" * 500):
        path.write_bytes(damaged)
        with pytest.raises(DeployError):
            convert.convert(tmp_path / "hf", tmp_path / "model.gguf")
    for name, values in (("model.norm.weight", np.ones(64, dtype=np.int8)), ("model.other.weight", np.ones(4))):
        save_file(tensors | {name: values}, path)
        with pytest.raises(DeployError, match=name):
            convert.convert(tmp_path / "hf", tmp_path / "model.gguf")


def test_old_spelling_of_rotary_settings_is_read(tiny_base: Path, tmp_path: Path) -> None:
    def old(data: dict[str, Any]) -> None:
        del data["rope_parameters"]
        data.update(rope_theta=5000.0, rope_scaling={"type": "linear", "factor": 2.0})

    convert.convert(edited(tiny_base, tmp_path / "hf", "config.json", old), tmp_path / "model.gguf")
    fields = container.read(tmp_path / "model.gguf").fields
    values = [fields[f"llama.rope.{key}"].value() for key in ("freq_base", "scaling.type", "scaling.factor")]
    assert values == [5000.0, "linear", 2.0]


def test_a_splitter_is_recognised_by_its_whole_description(tiny_base: Path) -> None:
    tokenizer = json.loads((tiny_base / "tokenizer.json").read_text(encoding="utf-8"))
    assert vocab.recognise(tokenizer) == "smollm"
    tokenizer["pre_tokenizer"]["pretokenizers"].reverse()
    with pytest.raises(DeployError, match="not known here"):
        vocab.recognise(tokenizer)
