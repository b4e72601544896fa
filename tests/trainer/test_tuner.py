"""The tuner of scripts, from a name to answers, on the tiny base with the real trainers and the real bitsandbytes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import strop.trainer
from strop.errors import (
    BadTrainingFile,
    NotEnoughData,
    StropError,
    TrainerError,
    TrainingFailed,
    UnknownModel,
    UsageError,
)
from strop.files import DamagedFolder, read_manifest, verify_manifest
from strop.home import Home
from strop.trainer import HuggingFaceTuner, origin
from strop.trainer.handler import Handler
from strop.trainer.tuner import FineTuned

# PEFT asks transformers for a property that is on its way out.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    # bitsandbytes says once a process that 8 bits compute in half precision.
    pytest.mark.filterwarnings("ignore:MatMul8bitLt:UserWarning"),
]

WriteRows = Callable[..., Path]
ANSWER = "It is the capital of France."
THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox", "a dog")
# What a fine-tuning job of OpenAI takes.
CHATS = [
    {
        "messages": [
            {"role": "system", "content": "Please answer in one plain sentence."},
            {"role": "user", "content": f"What is {thing}?"},
            {"role": "assistant", "content": ANSWER},
        ]
    }
    for thing in THINGS
]
PAIRS = [{"prompt": row["messages"][:2], "chosen": ANSWER, "rejected": "Well, the dog does not mind."} for row in CHATS]
QUESTION = [dict(message) for message in CHATS[0]["messages"][:2]]
QUICK: dict[str, Any] = {
    "epochs": 14,
    "learning_rate": 2e-2,
    "lora_r": 8,
    "batch_size": 8,
    "max_length": 256,
    "seed": 3,
}


@pytest.fixture(scope="module", autouse=True)
def one_precision() -> Any:
    """float32 without a trial: the same losses on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strop.trainer.origin.choose_precision", lambda asked: ("fp32", "as set"))
        yield


@pytest.fixture(scope="module")
def tiny_base(tiny_model: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a padding of its own: that row is zero at the start, and the end of turn must be learned."""
    base: Path = tiny_model.make_base(tmp_path_factory.mktemp("speaking-base"), pad_token_id=0)
    return base


@dataclass(frozen=True)
class Run:
    """One whole sequence. Do not write to its folder, nor train its model further."""

    tuner: HuggingFaceTuner
    model: Any
    tokenizer: Any
    file: Path
    done: FineTuned
    handler: Handler


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Load, prepare, fine-tune, handler: as a script does it, `HuggingFaceTuner()` without an argument."""
    folder = tmp_path_factory.mktemp("tuner")
    file = folder / "openai.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in CHATS), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROP_HOME", str(folder / "home"))
        one = HuggingFaceTuner()
    model, tokenizer = one.load_model(str(tiny_base))
    dataset = one.prepare_dataset(file)
    done = one.fine_tune(model, tokenizer, dataset, folder / "adapter", **QUICK)
    return Run(one, model, tokenizer, file, done, one.create_handler(folder / "adapter"))


@pytest.fixture
def fresh(tiny_base: Path, tmp_path: Path) -> tuple[HuggingFaceTuner, Any, Any]:
    """A tuner of the test's own and an untouched (model, tokenizer)."""
    one = HuggingFaceTuner(tmp_path / "models")
    return one, *one.load_model(str(tiny_base))


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[1, 20, 30, 40]])).logits


def said(handler: Handler, **options: Any) -> Any:
    return handler.chat.completions.create(messages=QUESTION, **{"temperature": 0, "max_tokens": 24, **options})


# The whole sequence


def test_from_a_name_to_answers(run: Run) -> None:
    answer = said(run.handler, model="gpt-4o-mini")
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert (run.done.rows, run.done.left_out) == (8, 0)
    assert 0 < run.done.loss < 10
    assert run.done.seconds > 0


def test_the_models_folder_is_the_homes_unless_one_is_named(run: Run, tmp_path: Path) -> None:
    assert run.tuner.models_dir == Home(run.file.parent / "home").models
    assert HuggingFaceTuner(str(tmp_path)).models_dir == tmp_path


def test_an_openai_file_trains_unchanged(run: Run) -> None:
    dataset = run.tuner.prepare_dataset(str(run.file))
    assert dataset.kind == "messages"
    assert [row.answer for row in dataset.rows] == [ANSWER] * 8


def test_the_folder_is_an_adapter_of_the_house(run: Run) -> None:
    manifest = verify_manifest(run.done.path)
    assert (manifest["kind"], manifest["rows"], manifest["recipe"]["load_in"]) == ("adapter", {"sft": 8}, "16bit")
    assert manifest["loss"] == {"sft": run.done.loss}
    assert (
        manifest["base"]["ref"]
        == json.loads((run.done.path / "adapter_config.json").read_text())["base_model_name_or_path"]
    )
    names = load_file(run.done.path / "adapter_model.safetensors")
    assert len(names) == 28
    assert manifest["tokens"] > 8 * 14 * 20


def test_the_model_in_hand_answers_as_the_one_that_is_loaded(run: Run) -> None:
    loaded, _ = run.tuner.load_fine_tuned_model(run.done.path)
    assert torch.equal(logits(run.model), logits(loaded))
    assert said(Handler(run.model, run.tokenizer, "mine")).choices[0].message.content == ANSWER


def test_the_model_in_hand_keeps_its_own_forward_method(run: Run) -> None:
    assert "forward" not in vars(run.model)


def test_an_import_loads_no_torch() -> None:
    code = "import sys; import strop.trainer; strop.trainer.HuggingFaceTuner('m'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="has no attribute 'Tuner'"):
        _ = strop.trainer.Tuner


# Training again, and otherwise


def test_another_training_starts_from_the_base(
    fresh: tuple[HuggingFaceTuner, Any, Any], write_rows: WriteRows, tmp_path: Path
) -> None:
    one, model, tokenizer = fresh
    untouched = logits(model)
    options = {**QUICK, "epochs": 2}
    first = one.fine_tune(model, tokenizer, str(write_rows(CHATS)), tmp_path / "a", **options)
    assert not torch.equal(logits(model), untouched)
    second = one.fine_tune(model, tokenizer, write_rows(CHATS), tmp_path / "b", **options)
    assert first.loss == second.loss
    weights = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_preferences_train_on_their_chosen_answers_unless_dpo_is_asked_for(
    fresh: tuple[HuggingFaceTuner, Any, Any], write_rows: WriteRows, tmp_path: Path
) -> None:
    one, model, tokenizer = fresh
    dataset = one.prepare_dataset(write_rows(PAIRS))
    one.fine_tune(model, tokenizer, dataset, tmp_path / "sft", **QUICK)
    assert said(Handler(model, tokenizer, "mine")).choices[0].message.content == ANSWER
    one.fine_tune(model, tokenizer, dataset, tmp_path / "dpo", **{**QUICK, "epochs": 1}, method="dpo")
    assert read_manifest(tmp_path / "dpo")["rows"] == {"dpo": 8}
    loaded, _ = one.load_fine_tuned_model(tmp_path / "dpo")
    assert torch.equal(logits(model), logits(loaded))


def test_a_training_that_fails_leaves_the_base_untouched(
    fresh: tuple[HuggingFaceTuner, Any, Any], write_rows: WriteRows, tmp_path: Path
) -> None:
    one, model, tokenizer = fresh
    untouched = logits(model)

    def stop(at: Any) -> None:
        raise TrainingFailed("enough")

    with pytest.raises(TrainingFailed, match="enough"):
        one.fine_tune(model, tokenizer, write_rows(CHATS), tmp_path / "out", **QUICK, on_progress=stop)
    assert torch.equal(logits(model), untouched)
    assert not (tmp_path / "out").exists()
    one.fine_tune(model, tokenizer, write_rows(CHATS, "again.jsonl"), tmp_path / "out", **{**QUICK, "epochs": 1})


def test_progress_is_told_step_by_step(
    fresh: tuple[HuggingFaceTuner, Any, Any], write_rows: WriteRows, tmp_path: Path
) -> None:
    one, model, tokenizer = fresh
    steps: list[int] = []
    told = lambda at: steps.append(at.step)  # noqa: E731
    one.fine_tune(model, tokenizer, write_rows(CHATS), tmp_path / "out", **{**QUICK, "epochs": 2}, on_progress=told)
    assert steps == [1, 2]


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_in_4_and_8_bits_it_learns_and_the_adapter_fits_the_whole_base(
    bits: str, tiny_base: Path, write_rows: WriteRows, tmp_path: Path
) -> None:
    one = HuggingFaceTuner(tmp_path / "models")
    model, tokenizer = one.load_model(str(tiny_base), **{f"load_in_{bits}": True})
    kinds = {type(module).__name__ for module in model.modules()}
    assert {"4bit": "Linear4bit", "8bit": "Linear8bitLt"}[bits] in kinds
    done = one.fine_tune(model, tokenizer, write_rows(CHATS), tmp_path / "out", **QUICK)
    assert read_manifest(done.path)["recipe"]["load_in"] == bits
    handler = one.create_handler(done.path, **{f"load_in_{bits}": True})
    assert said(handler).choices[0].message.content == ANSWER
    assert said(one.create_handler(done.path)).choices[0].message.content == ANSWER
    with pytest.raises(UsageError, match=f"not merged into {bits} weights"):
        one.save_model(model, tokenizer, tmp_path / "merged", merge=True)


# Saving and loading


def test_save_model_writes_the_same_adapter(run: Run, tmp_path: Path) -> None:
    path = run.tuner.save_model(run.model, run.tokenizer, str(tmp_path / "saved"))
    name = "adapter_model.safetensors"
    assert (path / name).read_bytes() == (run.done.path / name).read_bytes()
    assert verify_manifest(path)["base"] == read_manifest(run.done.path)["base"]


def test_a_merged_folder_stands_by_itself(run: Run, tmp_path: Path) -> None:
    before = logits(run.model)
    path = run.tuner.save_model(run.model, run.tokenizer, tmp_path / "merged", merge=True)
    assert verify_manifest(path)["kind"] == "merged"
    plain = AutoModelForCausalLM.from_pretrained(path, local_files_only=True).eval()
    assert torch.allclose(logits(plain), before, atol=1e-3)
    assert said(run.tuner.create_handler(path)).choices[0].message.content == ANSWER
    assert torch.equal(logits(run.model), before)


def test_what_was_loaded_can_be_saved_again(run: Run, tmp_path: Path) -> None:
    model, tokenizer = run.tuner.load_fine_tuned_model(run.done.path)
    saved = run.tuner.save_model(model, tokenizer, tmp_path / "again")
    assert read_manifest(saved)["recipe"] == read_manifest(run.done.path)["recipe"]


def test_a_base_that_transformers_loaded_trains_too(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    one = HuggingFaceTuner(tmp_path / "models")
    _, tokenizer = one.load_model(str(tiny_base))
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    done = one.fine_tune(model, tokenizer, write_rows(CHATS), tmp_path / "out", **{**QUICK, "epochs": 1})
    assert read_manifest(done.path)["base"]["ref"] == str(tiny_base)


def test_an_adapter_that_others_made_is_loaded_on_the_base_that_it_names(
    tiny_base: Path, tiny_model: Any, tmp_path: Path
) -> None:
    folder = tiny_model.make_adapter(tiny_base, tmp_path / "theirs")
    model, _ = HuggingFaceTuner(tmp_path / "models").load_fine_tuned_model(folder)
    assert "default" in model.peft_config


# What it refuses


def test_an_adapter_whose_base_changed_is_not_loaded(run: Run, tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    one = HuggingFaceTuner(tmp_path / "models")
    model, tokenizer = one.load_model(str(base))
    done = one.fine_tune(model, tokenizer, run.file, tmp_path / "out", **{**QUICK, "epochs": 1})
    (base / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(TrainerError, match="not what this adapter was trained on"):
        one.create_handler(done.path)


def test_a_damaged_adapter_and_a_pickled_one_are_not_loaded(run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.done.path, tmp_path / "copy"))
    weights = copy / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFolder):
        run.tuner.load_fine_tuned_model(copy)
    weights.rename(copy / "adapter_model.bin")
    with pytest.raises(TrainerError, match="pickled weights are never opened"):
        run.tuner.load_fine_tuned_model(copy)
    with pytest.raises(UnknownModel):
        run.tuner.create_handler(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"epochs": 0}, "epochs cannot be 0"),
        ({"learning_rate": -1}, "learning_rate cannot be -1"),
        ({"lora_r": 0}, "lora_r cannot be 0"),
        ({"lora_alpha": 0}, "lora_alpha cannot be 0"),
        ({"lora_dropout": 1.0}, "lora_dropout cannot be 1.0"),
        ({"batch_size": 0}, "batch_size cannot be 0"),
        ({"max_length": 3}, "max_length cannot be 3"),
        ({"seed": -1}, "seed cannot be -1"),
        ({"method": "ppo"}, "method cannot be 'ppo'"),
    ],
)
def test_an_impossible_argument_is_named(changes: dict[str, Any], what: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=what) as error:
        run.tuner.fine_tune(run.model, run.tokenizer, run.file, tmp_path / "out", **{**QUICK, **changes})
    assert error.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "error", "what"),
    [
        ([{"prompt": "a", "completion": 3}], BadTrainingFile, "line 1, column 'completion' is a number"),
        ([{"messages": [{"role": "robot", "content": "a"}]}], BadTrainingFile, r"line 1, column 'messages\[0\]'"),
        ([], BadTrainingFile, "holds no rows"),
        ([{"prompt": "a", "completion": "b<|im_end|>"}], BadTrainingFile, "'completion' holds the control token"),
        ([{"prompt": "a", "completion": "b " * 300}], NotEnoughData, "longer than 256 tokens"),
    ],
)
def test_a_bad_row_is_named(
    rows: Sequence[Any], error: type[StropError], what: str, run: Run, write_rows: WriteRows, tmp_path: Path
) -> None:
    with pytest.raises(error, match=what):
        run.tuner.fine_tune(run.model, run.tokenizer, write_rows(rows), tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
    assert said(Handler(run.model, run.tokenizer, "mine")).choices[0].message.content == ANSWER


def test_pairs_are_needed_for_dpo(run: Run, tmp_path: Path) -> None:
    with pytest.raises(BadTrainingFile, match="dpo"):
        run.tuner.fine_tune(run.model, run.tokenizer, run.file, tmp_path / "out", **QUICK, method="dpo")


def test_a_folder_that_holds_something_is_not_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for call in (
        lambda: run.tuner.fine_tune(run.model, run.tokenizer, run.file, tmp_path / "mine", **QUICK),
        lambda: run.tuner.save_model(run.model, run.tokenizer, tmp_path / "mine"),
        lambda: run.tuner.save_model(run.model, run.tokenizer, tmp_path / "mine" / "notes.txt", merge=True),
    ):
        with pytest.raises(UsageError, match="exists already"):
            call()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_models_that_are_unknown_or_untouched_are_refused(
    fresh: tuple[HuggingFaceTuner, Any, Any], tmp_path: Path
) -> None:
    one, model, tokenizer = fresh
    with pytest.raises(UsageError, match="not fine-tuned"):
        one.save_model(model, tokenizer, tmp_path / "out")
    with pytest.raises(UsageError, match="not known which base"):
        one.save_model(torch.nn.Linear(2, 2), tokenizer, tmp_path / "out")
    with pytest.raises(UnknownModel):
        one.load_model("nobody")
    with pytest.raises(UsageError, match="in 4 or in 8 bits"):
        one.load_model("smollm2", load_in_4bit=True, load_in_8bit=True)


def test_a_bare_name_is_the_hubs_unless_it_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert origin.house_name("Qwen/Qwen3-0.6B") == "hf:Qwen/Qwen3-0.6B"
    assert origin.house_name("Qwen/Qwen3-0.6B@refs/pr/1") == "hf:Qwen/Qwen3-0.6B@refs/pr/1"
    (tmp_path / "Qwen" / "Qwen3-0.6B").mkdir(parents=True)
    kept = ("smollm2", "hf:Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "./a/b", "/a/b", "../a", "a/b/c", "gguf:a/b", "")
    assert [origin.house_name(name) for name in kept] == list(kept)


def test_without_bitsandbytes_4_bits_say_what_is_missing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(StropError, match="needs bitsandbytes") as error:
        HuggingFaceTuner(tmp_path).load_model(str(tiny_base), load_in_4bit=True)
    assert error.value.exit_code == 30


def test_a_script_sends_no_telemetry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    HuggingFaceTuner(tmp_path)
    assert (os.environ["HF_HUB_DISABLE_TELEMETRY"], constants.HF_HUB_DISABLE_TELEMETRY) == ("1", True)
