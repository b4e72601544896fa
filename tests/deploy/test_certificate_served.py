"""Faults that only a running server shows: ids, prompts, beginnings, ends, and answers that are not the adapter's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from transformers import AutoTokenizer

from strop.deploy import gguf, q8_0
from strop.deploy.certificate import tokens
from strop.deploy.certificate.form import EFFECT, MERGE, QUANTISED
from strop.deploy.certificate.tokens import BEGINNING, ENDING, IDS, PROMPTS
from strop.deploy.certify import Certificate, Check, Served
from strop.deploy.container import field
from strop.deploy.convert import convert
from strop.deploy.gguf import merge
from strop.errors import TrainerError
from strop.trainer.models import resolve

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.ok}


def answers_of(certificate: Certificate) -> set[str]:
    return failed(list(certificate.checks))


@pytest.fixture
def said(embedded: Any, conversations: list[Any]) -> Callable[[Path, Path], dict[str, Check]]:
    """The checks of what a served file makes of text, beside the tokenizer of a folder."""

    def ask(served: Path, folder: Path) -> dict[str, Check]:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with embedded.serve_file(served) as server:
            return {check.name: check for check in tokens.token_checks(server, tokenizer, conversations)}

    return ask


Said = Callable[[Path, Path], dict[str, Check]]


# Text


def test_another_way_to_cut_words(
    said: Said, tiny_model: ModuleType, tiny_base: Path, planted: ModuleType, tmp_path: Path
) -> None:
    tiny_model.make_tokenizer(tmp_path / "qwen2", "qwen2")
    cut = json.loads((tmp_path / "qwen2" / "tokenizer.json").read_text(encoding="utf-8"))
    # The same vocabulary, but text is cut as Qwen does it: a mark that stands before letters stays with them.
    parts = {"pre_tokenizer": cut["pre_tokenizer"], "normalizer": cut["normalizer"]}
    other = planted.folder(tiny_base, tmp_path / "hf", "tokenizer.json", lambda data: data | parts)
    convert(other, tmp_path / "base.gguf")
    checks = said(tmp_path / "base.gguf", tiny_base)
    assert IDS in failed(list(checks.values()))
    assert "different from id" in checks[IDS].figure


def test_a_tokenizer_file_that_changed_after_the_base_was_converted(
    said: Said, tiny_base: Path, tiny_f16: Path, planted: ModuleType, tmp_path: Path
) -> None:
    def forget(data: dict[str, Any]) -> dict[str, Any]:
        return data | {"model": data["model"] | {"merges": data["model"]["merges"][:-60]}}

    other = planted.folder(tiny_base, tmp_path / "hf", "tokenizer.json", forget)
    checks = said(tiny_f16, other)
    assert {IDS, PROMPTS} <= failed(list(checks.values()))
    # A home that stands on that base says so first: its hash is another.
    models = tmp_path / "models"
    assert resolve(str(other), models).sha256 != resolve(str(tiny_base), models).sha256


@pytest.mark.parametrize("change", [("<|im_start|>", "<|endoftext|>"), ("message['role'] + '\n'", "message['role']")])
def test_another_chat_template(
    said: Said, tiny_base: Path, planted: ModuleType, tmp_path: Path, change: tuple[str, str]
) -> None:
    other = planted.folder(tiny_base, tmp_path / "hf", "chat_template.jinja", lambda text: text.replace(*change))
    convert(other, tmp_path / "base.gguf")
    checks = said(tmp_path / "base.gguf", tiny_base)
    assert PROMPTS in failed(list(checks.values()))
    assert IDS not in failed(list(checks.values()))
    assert checks[PROMPTS].figure == "8 of 8 differ from the training template"


def test_a_beginning_that_the_template_writes_twice(
    said: Said, tiny_base: Path, planted: ModuleType, tmp_path: Path
) -> None:
    # As the training renders it too, so that no comparison with the training would show it.
    other = planted.folder(
        tiny_base, tmp_path / "hf", "chat_template.jinja", lambda text: "<|im_start|><|im_start|>" + text
    )
    convert(other, tmp_path / "base.gguf")
    checks = said(tmp_path / "base.gguf", other)
    assert failed(list(checks.values())) == {BEGINNING}
    assert checks[BEGINNING].figure.startswith("at most 3 in front of 8 prompts")


def test_a_beginning_that_the_server_puts_before_every_prompt(
    said: Said, tiny_base: Path, tiny_f16: Path, planted: ModuleType, tmp_path: Path
) -> None:
    adds = [field("tokenizer.ggml.add_bos_token", True, "bool"), field("tokenizer.ggml.bos_token_id", 0, "u32")]
    wrong = planted.with_fields(tiny_f16, tmp_path / "base.gguf", *adds)
    checks = said(wrong, tiny_base)
    assert failed(list(checks.values())) == {PROMPTS, BEGINNING}
    assert "8 chats of another length than in training" in checks[BEGINNING].figure
    # The template begins with that very token: llama-server takes one away for the one that it adds.
    same = planted.with_fields(tiny_f16, tmp_path / "same.gguf", adds[0])
    assert failed(list(said(same, tiny_base).values())) == set()


def test_an_end_of_turn_at_which_llama_cpp_goes_on(
    said: Said, tiny_base: Path, tiny_f16: Path, planted: ModuleType, tmp_path: Path
) -> None:
    # Trained to end with a word that the file does not know as an end: such answers never end.
    end = planted.folder(
        tiny_base, tmp_path / "hf", "chat_template.jinja", lambda text: text.replace("<|im_end|>", "<filename>")
    )
    settings = json.loads((end / "tokenizer_config.json").read_text())
    (end / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<filename>"}))
    convert(end, tmp_path / "right.gguf")
    assert said(tmp_path / "right.gguf", end)[ENDING].ok
    wrong = planted.with_fields(
        tmp_path / "right.gguf", tmp_path / "wrong.gguf", field("tokenizer.ggml.eos_token_id", 2, "u32")
    )
    checks = said(wrong, end)
    assert failed(list(checks.values())) == {ENDING}
    assert "goes on after token 3" in checks[ENDING].figure
    assert "8 of 8 chats went on" in checks[ENDING].figure


def test_a_template_without_the_end_of_turn_is_refused_before(
    said: Said, tiny_base: Path, tiny_f16: Path, planted: ModuleType, tmp_path: Path
) -> None:
    other = planted.folder(
        tiny_base, tmp_path / "hf", "chat_template.jinja", lambda text: text.replace("<|im_end|>", "<filename>")
    )
    with pytest.raises(TrainerError, match="without the end-of-turn token"):
        said(tiny_f16, other)


# Answers


def test_no_adapter_in_the_file(asked: Any, tiny_f16: Path) -> None:
    assert answers_of(asked.served(tiny_f16)) == {MERGE, EFFECT}


def test_an_adapter_of_nothing(asked: Any, tiny_f16: Path, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    nil = Path(shutil.copytree(trained, tmp_path / "adapter"))
    factors = load_file(nil / "adapter_model.safetensors")
    zeroed = {name: values * 0 if "lora_B" in name else values for name, values in factors.items()}
    save_file(zeroed, nil / "adapter_model.safetensors", metadata={"format": "pt"})
    merge(tiny_f16, nil, tmp_path / "nil.gguf", quant="F16")
    assert answers_of(asked.served(tmp_path / "nil.gguf", adapter=nil)) == {EFFECT}


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": 32},
        {"use_rslora": True},
        {"alpha_pattern": {"down_proj": 64, "up_proj": 64}},
    ],
)
def test_a_wrong_scale(
    asked: Any, merged: Any, trained: Path, planted: ModuleType, tmp_path: Path, config: dict[str, Any]
) -> None:
    # The adapter says another scale than the file was merged with.
    meant = planted.folder(trained, tmp_path / "adapter", "adapter_config.json", lambda data: data | config)
    assert MERGE in answers_of(asked.served(merged.gguf, adapter=meant))


def test_rows_in_the_wrong_order(
    asked: Any, tiny_f16: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gguf, "permute_rows", lambda rows, heads, undo=False: rows)
        merge(tiny_f16, trained, tmp_path / "wrong.gguf", quant="F16")
    assert MERGE in answers_of(asked.served(tmp_path / "wrong.gguf"))


def test_data_that_was_damaged_before_it_was_hashed(
    asked: Any, merged: Any, planted: ModuleType, tmp_path: Path
) -> None:
    wrong = planted.with_tensor(merged.gguf, tmp_path / "wrong.gguf", "blk.1.ffn_down.weight", lambda rows: rows[::-1])
    assert asked.file(wrong).ok
    assert MERGE in answers_of(asked.served(wrong))


def test_a_quantised_file_without_the_adapter_beside_a_right_merge(
    asked: Any, exact: Served, tiny_f16: Path, tmp_path: Path
) -> None:
    merge(tiny_f16, None, tmp_path / "other.gguf", quant="Q8_0")
    assert answers_of(asked.served(tmp_path / "other.gguf", beside=exact)) == {QUANTISED, EFFECT}


def test_a_quantisation_that_leaves_three_values_a_row(
    asked: Any, exact: Served, tiny_f16: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    whole = q8_0.encode

    def coarse(data: Any) -> Any:
        size = np.abs(data).mean(axis=-1, keepdims=True)
        return whole((np.sign(data) * (np.abs(data) > size / 2) * size).astype(data.dtype))

    with monkeypatch.context() as patch:
        patch.setattr(q8_0, "encode", coarse)
        merge(tiny_f16, trained, tmp_path / "coarse.gguf", quant="Q8_0")
    assert QUANTISED in answers_of(asked.served(tmp_path / "coarse.gguf", beside=exact))
