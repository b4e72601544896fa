"""What a sum cannot express is merged by PEFT: the build answers as the adapter does, or the reason is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from strop.deploy import container, fullmerge, weights
from strop.deploy.base import base_gguf
from strop.deploy.build import Build, build
from strop.deploy.template_guard import plain
from strop.errors import CannotMerge, Missing, StropError
from strop.files import read_manifest
from strop.trainer.models import BaseModel, resolve

pytestmark = [
    # PEFT asks transformers for a property that is on its way out, and says what it saves and which layers are shared.
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]
# F16 rounds weights of logits whose standard deviation is 2; without the adapter they differ by over 1.
F16_TOLERANCE = 5e-2
FULL: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "rslora and dora": {"use_dora": True, "use_rslora": True, "rank_pattern": {"v_proj": 2}},
    "output layer saved": {"modules_to_save": ["lm_head"], "target_modules": ["q_proj", "v_proj"]},
    "embeddings saved": {"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj", "v_proj"]},
    "norms saved": {"modules_to_save": ["norm"], "target_modules": ["q_proj"]},
    "output layer": {"target_modules": ["q_proj", "lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "single tokens": {"trainable_token_indices": [7, 11], "target_modules": ["q_proj"]},
    "pissa": {"init_lora_weights": "pissa", "target_modules": ["q_proj", "v_proj"]},
}


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 43).reshape(2, 20) * 7 % 500
    with torch.no_grad():
        return model(ids).logits


def adapter_of(base: Path, folder: Path, *, more_tokens: int = 0, **settings: Any) -> Path:
    """An adapter whose every trained weight is moved at random (seeded), saved as PEFT saves it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.random.fork_rng():
        torch.manual_seed(23)
        if more_tokens:
            model.resize_token_embeddings(model.config.vocab_size + more_tokens, mean_resizing=False)
        settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
        model = get_peft_model(model, LoraConfig(**settings))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        if more_tokens:
            model.get_input_embeddings().weight.data[-more_tokens:].normal_(std=0.25)
    model.save_pretrained(folder)
    return folder


def served(made: Build, base: Path) -> torch.Tensor:
    return logits(weights.load_into(made.gguf, base))


@pytest.mark.parametrize("name", FULL)
def test_what_peft_merges_is_built_and_answers_as_the_adapter(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path, name: str
) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", **FULL[name])
    made = build(tiny, tiny_f16, adapter, tmp_path / "build", "F16")
    assert made.merged["way"] == "full"
    wanted = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), adapter).eval())
    assert float((served(made, tiny_base) - wanted).abs().max()) < F16_TOLERANCE
    assert float((logits(AutoModelForCausalLM.from_pretrained(tiny_base)) - wanted).abs().max()) > 10 * F16_TOLERANCE


@pytest.mark.parametrize("family", ["qwen2", "gemma3_text"])
def test_other_families_take_the_full_way_too(tiny_model: ModuleType, tmp_path: Path, family: str) -> None:
    folder = tiny_model.make_base(tmp_path / "hf", family)
    base = resolve(str(folder), tmp_path / "models")
    bias = {"bias": "all", "use_dora": False} if family == "qwen2" else {"use_dora": True}
    adapter = adapter_of(folder, tmp_path / "adapter", **bias)
    made = build(base, base_gguf(base, tmp_path / "builds"), adapter, tmp_path / "build", "F16")
    assert (made.merged["way"], "bias" in made.merged["reason"]) == ("full", family == "qwen2")
    wanted = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter).eval())
    assert float((served(made, folder) - wanted).abs().max()) < F16_TOLERANCE


def test_the_metadata_stays_the_bases(tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", use_dora=True)
    made = build(tiny, tiny_f16, adapter, tmp_path / "build", "Q8_0")
    before, after = (container.read(path).fields for path in (tiny_f16, made.gguf))
    assert list(after) == [*before, "strop.adapter_sha256"]
    changed = [key for key in before if before[key] != after[key]]
    assert changed == ["general.file_type", "tokenizer.chat_template"]
    assert plain(after[changed[1]].value()) == before[changed[1]].value()
    merged = read_manifest(made.folder)["merged"]
    assert (merged["way"], merged["reason"]) == (
        "full",
        "a sum cannot express the adapter: use_dora is set, DoRA scales whole rows of the base",
    )


def test_the_manifest_says_what_changed(tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", use_dora=True, target_modules=["q_proj", "v_proj"])
    made = build(tiny, tiny_f16, adapter, tmp_path / "build", "F16")
    before, after = weights.state_dict(tiny_f16), weights.state_dict(made.gguf)
    changes = [float(abs(after[name] - before[name]).max()) for name in before]
    assert made.merged["tensors"] == 4 == sum(change > 0 for change in changes)
    assert made.merged["max_abs_delta"] == max(changes) > 0.01


def test_equal_inputs_give_equal_bytes(tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", use_dora=True)
    first, second = (build(tiny, tiny_f16, adapter, tmp_path / name, "Q8_0") for name in "ab")
    assert first.gguf.read_bytes() == second.gguf.read_bytes()
    assert read_manifest(first.folder) == read_manifest(second.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "adapter", "b"]


def with_tokens(base: Path, adapter: Path, *texts: str) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(list(texts), special_tokens=True)
    tokenizer.save_pretrained(adapter)
    return adapter


def test_new_tokens_come_with_their_rows(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, llama_server: ModuleType, tmp_path: Path
) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", more_tokens=2)
    with_tokens(tiny_base, adapter, "<tool>", "</tool>")
    made = build(tiny, tiny_f16, adapter, tmp_path / "build", "F16")
    assert made.merged["reason"] == "its tokenizer has 2 tokens that the base has not"
    file = container.read(made.gguf)
    assert file.fields["tokenizer.ggml.tokens"].value()[500:] == ["<tool>", "</tool>"]
    assert file.tensors["token_embd.weight"].shape[0] == 502 == file.fields["llama.vocab_size"].value()
    kept = [key for key in container.read(tiny_f16).fields if key.startswith("general.")]
    assert [file.fields[key] for key in kept] == [container.read(tiny_f16).fields[key] for key in kept]
    bigger = AutoModelForCausalLM.from_pretrained(tiny_base)
    bigger.resize_token_embeddings(502, mean_resizing=False)
    wanted = logits(PeftModel.from_pretrained(bigger, adapter).eval())
    assert float((served(made, tiny_base) - wanted).abs().max()) < F16_TOLERANCE
    text = "ask <tool> now </tool>"
    with llama_server.running(made.gguf) as post:
        found = post("/tokenize", {"content": text, "parse_special": True})["tokens"]
    assert found == AutoTokenizer.from_pretrained(adapter)(text)["input_ids"]
    assert {500, 501} <= set(found)


def without(adapter: Path, ending: str) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if not name.endswith(ending)}, path)


def changed(adapter: Path, **settings: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize(
    ("tokens", "spoil", "reason"),
    [
        (2, lambda base, adapter: with_tokens(base, adapter, "<a>", "<b>", "<c>"), "do not agree"),
        (0, lambda base, adapter: with_tokens(base, adapter, "<a>"), "do not agree"),
        (0, lambda base, adapter: changed(adapter, trainable_token_indices=[700]), "not all rows"),
        (0, lambda base, adapter: changed(adapter, use_qalora=True), "QALoRA"),
        (0, lambda base, adapter: changed(adapter, layer_replication=[[0, 2]]), "repeats layers"),
        (0, lambda base, adapter: changed(adapter, use_dora=True, r=9), "PEFT cannot put"),
    ],
)
def test_what_not_even_peft_can_express_is_refused(
    tiny: BaseModel,
    tiny_base: Path,
    tiny_f16: Path,
    tmp_path: Path,
    tokens: int,
    spoil: Callable[[Path, Path], object],
    reason: str,
) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", more_tokens=tokens)
    spoil(tiny_base, adapter)
    with pytest.raises(CannotMerge, match=reason) as error:
        build(tiny, tiny_f16, adapter, tmp_path / "builds" / "one", "F16")
    assert error.value.hint
    assert list((tmp_path / "builds").iterdir()) == []


def test_another_template_beside_the_adapter_is_refused(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path
) -> None:
    adapter = with_tokens(tiny_base, adapter_of(tiny_base, tmp_path / "adapter", more_tokens=1), "<a>")
    (adapter / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    with pytest.raises(CannotMerge, match="another chat template"):
        build(tiny, tiny_f16, adapter, tmp_path / "build", "F16")


def test_a_merge_that_differs_from_its_adapter_is_refused(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", use_dora=True)
    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    with pytest.raises(CannotMerge, match="differs from its adapter"):
        build(tiny, tiny_f16, adapter, tmp_path / "build", "F16")


def test_a_merge_that_the_memory_does_not_hold_is_refused_before_it_is_begun(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(tiny_base, tmp_path / "adapter", use_dora=True)
    needed = fullmerge.needed_bytes(tiny_base, adapter)
    free = psutil.virtual_memory()._replace(available=needed - 1)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: free)
        patch.delattr("strop.deploy.fullmerge.unmerged")
        with pytest.raises(Missing, match=r"about 0.5 GB of memory, and 0.5 GB are free") as error:
            build(tiny, tiny_f16, adapter, tmp_path / "builds" / "one", "F16")
        assert "plain LoRA" in error.value.hint
        assert list((tmp_path / "builds").iterdir()) == []
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free._replace(available=needed))
    assert build(tiny, tiny_f16, adapter, tmp_path / "builds" / "one", "F16").merged["way"] == "full"


def test_the_memory_that_is_asked_for_holds_the_model_and_what_was_trained(tiny_base: Path, tmp_path: Path) -> None:
    few = adapter_of(tiny_base, tmp_path / "few", use_dora=True)
    more = adapter_of(tiny_base, tmp_path / "more", use_dora=True, modules_to_save=["embed_tokens", "lm_head"])
    values = sum(value.numel() for value in load_file(tiny_base / "model.safetensors").values())
    trained = [
        sum(value.numel() for value in load_file(one / "adapter_model.safetensors").values()) for one in (few, more)
    ]
    needed = [fullmerge.needed_bytes(tiny_base, one) for one in (few, more)]
    assert needed[0] > 4 * (values + trained[0])
    assert needed[1] - needed[0] == 8 * (trained[1] - trained[0]) > 0


def test_a_plain_adapter_needs_no_transformers_pass(
    tiny: BaseModel, tiny_f16: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("strop.deploy.fullmerge.unmerged")
    made = build(tiny, tiny_f16, tiny_adapter, tmp_path / "build", "F16")
    assert (made.merged["way"], made.merged["reason"]) == ("gguf", "a sum of weights expresses the adapter")


def test_a_base_of_an_unknown_family_says_what_makes_the_converter(
    tiny: BaseModel, tiny_base: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["MambaForCausalLM"]}))
    base = resolve(str(folder), tmp_path / "models")
    with pytest.raises(StropError, match="MambaForCausalLM") as error:
        base_gguf(base, tmp_path / "builds", tmp_path / "no-converter")
    assert "strop init makes upstream's converter" in error.value.hint
