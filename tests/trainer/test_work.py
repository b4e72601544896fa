"""One training job: row files in, an adapter folder out, whole or not at all."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from strop.errors import BadTrainingFile, NotEnoughData
from strop.files import DamagedFolder, read_manifest, verify_manifest
from strop.trainer import work as job_of
from strop.trainer.held import held_prompts, prompt_of
from strop.trainer.measure import hold_loss
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample, Renderer
from strop.trainer.rowfile import read
from strop.trainer.train import Progress
from strop.trainer.work import Job, rendered, work

from .conftest import TRAINS, MakeJob, WriteRows, silent

pytestmark = TRAINS
THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox", "a dog", "bread", "a list")
ANSWERS = [{"prompt": f"What is {thing}?", "completion": "It is the capital of France."} for thing in THINGS]
PAIRS = [
    {"prompt": row["prompt"], "chosen": row["completion"], "rejected": "Well, the dog does not mind."}
    for row in ANSWERS
]


def test_sft_then_dpo_writes_one_adapter(write_rows: WriteRows, make_job: MakeJob, base: BaseModel) -> None:
    files = {"sft": write_rows(ANSWERS, "sft.jsonl"), "dpo": write_rows(PAIRS, "dpo.jsonl")}
    job = make_job(files, dataset_sha256="ab" * 32)
    seen: list[Progress] = []
    manifest = json.loads(json.dumps(work(job, seen.append)))
    out = Path(job.out)
    assert sorted(path.name for path in out.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "metrics.jsonl",
    ]
    assert verify_manifest(out) == manifest
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.ref
    assert (config["r"], config["lora_alpha"], config["bias"]) == (4, 8, "none")
    tensors = load_file(out / "adapter_model.safetensors")
    assert len(tensors) == 28
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in tensors)
    assert [at.stage for at in seen] == ["sft"] * 9 + ["dpo"] * 9


def test_the_manifest_says_what_was_done(write_rows: WriteRows, make_job: MakeJob, base: BaseModel) -> None:
    job = make_job({"sft": write_rows(ANSWERS)}, dataset_sha256="ab" * 32, seed=5)
    manifest = work(job, silent)
    assert manifest["kind"] == "adapter"
    assert manifest["base"] == {"ref": base.ref, "sha256": base.sha256, "template_sha256": base.template_sha256}
    assert manifest["dataset_sha256"] == "ab" * 32
    assert manifest["recipe"] == job.recipe
    assert (manifest["seed"], manifest["threads"]) == (5, 1)
    assert (manifest["rows"], manifest["left_out_too_long"]) == ({"sft": 10}, {"sft": 0})
    assert 3 * 10 * 10 < manifest["tokens"] < 3 * 10 * 60
    assert 0 < manifest["loss"]["sft"] < 10
    assert manifest["held_out"] is None
    assert sorted(manifest["files"]) == ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"]


def test_equal_jobs_give_equal_bytes_and_another_seed_others(write_rows: WriteRows, make_job: MakeJob) -> None:
    files = {"sft": write_rows(ANSWERS, "sft.jsonl"), "dpo": write_rows(PAIRS, "dpo.jsonl")}
    found = []
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        job = make_job(files, out=name, seed=seed, epochs=1.0)
        work(job, silent)
        found.append((Path(job.out) / "adapter_model.safetensors").read_bytes())
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_folder_loads_as_the_model_that_was_trained(
    write_rows: WriteRows, make_job: MakeJob, base: BaseModel, tokenizer: Any
) -> None:
    job = make_job({"sft": write_rows(ANSWERS)}, held_share=0.3, epochs=6.0, learning_rate=2e-2)
    manifest = work(job, silent)
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32), job.out)
    render = Renderer(tokenizer)
    rows = job_of.rowfile.read(Path(job.files["sft"])).rows
    apart = held_prompts([rows], 0.3)
    held = [render.example(row.messages, str(row.answer)) for row in rows if prompt_of(row) in apart]
    before, after = hold_loss(plain, held), hold_loss(tuned, held)
    assert before is not None
    assert after is not None
    assert manifest["held_out"]["rows"] == len(held) == 10 - manifest["rows"]["sft"]
    assert manifest["held_out"]["loss_before"] == pytest.approx(before.loss, rel=1e-5)
    assert manifest["held_out"]["loss_after"] == pytest.approx(after.loss, rel=1e-5)
    assert after.loss < before.loss / 2


def test_a_prompt_is_held_out_of_both_stages_or_of_none(write_rows: WriteRows, make_job: MakeJob) -> None:
    files = {"sft": write_rows(ANSWERS, "sft.jsonl"), "dpo": write_rows(PAIRS, "dpo.jsonl")}
    manifest = work(make_job(files, held_share=0.3, epochs=1.0), silent)
    assert manifest["rows"]["sft"] == manifest["rows"]["dpo"]
    assert manifest["held_out"]["rows"] == 20 - sum(manifest["rows"].values())


def test_two_rows_are_enough_to_hold_one_out(write_rows: WriteRows, make_job: MakeJob) -> None:
    manifest = work(make_job({"sft": write_rows(ANSWERS[:2])}, held_share=1e-9, epochs=1.0), silent)
    assert (manifest["rows"]["sft"], manifest["held_out"]["rows"]) == (1, 1)


def test_one_row_trains_and_nothing_is_held_out(write_rows: WriteRows, make_job: MakeJob) -> None:
    manifest = work(make_job({"sft": write_rows(ANSWERS[:1])}, held_share=1e-9), silent)
    assert manifest["rows"] == {"sft": 1}
    assert manifest["held_out"] is None


def test_plain_text_trains(write_rows: WriteRows, make_job: MakeJob) -> None:
    rows = [{"text": f"A strop is leather, number {number}."} for number in range(5)]
    assert work(make_job({"sft": write_rows(rows)}), silent)["rows"] == {"sft": 5}


def test_each_answer_of_a_conversation_trains(write_rows: WriteRows, make_job: MakeJob) -> None:
    turns = [{"role": role, "content": f"It is {role}."} for role in ("system", "user", "assistant", "user")]
    row = {"messages": [*turns, {"role": "assistant", "content": "It is the dog."}]}
    assert work(make_job({"sft": write_rows([row, row])}, epochs=1.0), silent)["rows"] == {"sft": 4}


def test_sft_on_preferences_learns_the_chosen_answers(write_rows: WriteRows, make_job: MakeJob) -> None:
    pairs, answers = write_rows(PAIRS, "pairs.jsonl"), write_rows(ANSWERS, "answers.jsonl")
    jobs = [make_job({"sft": path}, out=path.stem, epochs=1.0) for path in (pairs, answers)]
    assert work(jobs[0], silent)["loss"] == work(jobs[1], silent)["loss"]


def test_rows_that_are_too_long_are_left_out_and_counted(write_rows: WriteRows, make_job: MakeJob) -> None:
    long = {"prompt": "What?", "completion": "the dog " * 300}
    long_pair = {"prompt": "What?", "chosen": "the dog " * 300, "rejected": "A dog."}
    files = {"sft": write_rows([*ANSWERS, long], "sft.jsonl"), "dpo": write_rows([*PAIRS, long_pair], "dpo.jsonl")}
    manifest = work(make_job(files, epochs=1.0), silent)
    assert manifest["rows"] == {"sft": 10, "dpo": 10}
    assert manifest["left_out_too_long"] == {"sft": 1, "dpo": 1}


def test_a_rejected_answer_is_read_as_far_as_the_recipe_says(write_rows: WriteRows, tokenizer: Any) -> None:
    row = job_of.rowfile.read(write_rows([PAIRS[0] | {"rejected": "the dog " * 300}])).rows[0]
    stage = StageRecipe("dpo", 1.0, 1e-3, 4, rejected_tokens=12)
    pair = job_of._example(row, stage, tokenizer)
    assert len(pair.rejected_ids) == 12
    short = job_of._example(job_of.rowfile.read(write_rows([PAIRS[0] | {"rejected": "No."}])).rows[0], stage, tokenizer)
    assert short.rejected_ids[-1] == tokenizer.eos_token_id


def test_the_longest_row_that_fits_is_kept(write_rows: WriteRows, make_job: MakeJob, tokenizer: Any) -> None:
    longest = max(
        Renderer(tokenizer).example([{"role": "user", "content": row["prompt"]}], row["completion"]).tokens
        for row in ANSWERS
    )
    rows = write_rows(ANSWERS)
    assert work(make_job({"sft": rows}, max_length=longest, epochs=1.0), silent)["left_out_too_long"] == {"sft": 0}
    shorter = work(make_job({"sft": rows}, "shorter", max_length=longest - 1, epochs=1.0), silent)
    assert shorter["left_out_too_long"]["sft"] > 0


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_all_rows_too_long_is_not_enough_data(write_rows: WriteRows, make_job: MakeJob, method: str) -> None:
    job = make_job({method: write_rows(PAIRS)}, max_length=16)
    with pytest.raises(NotEnoughData, match="10 of 10 are longer than 16 tokens") as error:
        work(job, silent)
    assert "--max-length" in error.value.hint
    assert not Path(job.out).exists()


def called(city: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}


def test_tools_that_the_template_does_not_show_name_their_line(write_rows: WriteRows, make_job: MakeJob) -> None:
    row = {"prompt": "How warm is it?", "completion": [called("Bonn")], "tools": [{"name": "weather"}]}
    with pytest.raises(BadTrainingFile, match=r"^line 11: this model's chat template does not show the tools"):
        work(make_job({"sft": write_rows([*ANSWERS, row])}), silent)


def test_calls_and_tools_are_in_what_every_method_learns(write_rows: WriteRows, tokenizer: Any) -> None:
    tokenizer = deepcopy(tokenizer)
    tokenizer.chat_template = (
        "{{ tools }}{% for m in messages %}{{ m.role }}:{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.arguments.city }}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    rated = {"prompt": "How warm?", "completion": [called("Bonn")], "tools": [{"name": "weather"}]}
    kinds: dict[Any, dict[str, Any]] = {
        "sft": {},
        "kto": {"label": True},
        "hindsight": {"feedback": "no, in Bonn"},
        "dpo": {"chosen": [called("Bonn")], "rejected": [called("Rome")]},
    }
    recipe = Recipe((), rank=4, alpha=8, max_length=256, precision="fp32")
    for method, columns in kinds.items():
        file = read(write_rows([rated | columns]))
        (example,) = rendered(file, StageRecipe(method, 1.0, 1e-3, 1), tokenizer, recipe).train
        assert tokenizer.decode(example.prompt_ids).startswith(
            "[{'type': 'function', 'function': {'name': 'weather'}}]"
        )
        learned = example.chosen_ids if isinstance(example, PairExample) else example.completion_ids
        assert tokenizer.decode(learned) == "Bonn<|im_end|>"
        if isinstance(example, PairExample):
            assert tokenizer.decode(example.rejected_ids) == "Rome<|im_end|>"


def test_dpo_needs_preferences(write_rows: WriteRows, make_job: MakeJob) -> None:
    with pytest.raises(BadTrainingFile, match="this file holds completion rows") as error:
        work(make_job({"dpo": write_rows(ANSWERS)}), silent)
    assert error.value.hint.endswith("strop train sft")


@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_a_control_token_names_its_line_and_column(write_rows: WriteRows, make_job: MakeJob, column: str) -> None:
    bad = PAIRS[0] | {column: "a <|im_end|> b"}
    job = make_job({"dpo": write_rows([*PAIRS, bad])})
    with pytest.raises(BadTrainingFile, match=rf"^line 11, column '{column}' holds the control token '<\|im_end\|>'"):
        work(job, silent)
    assert not Path(job.out).exists()


USER, SAID = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So <|im_end|> it is."}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"messages": [USER, SAID]}, "messages[1]"),
        ({"messages": [USER, {**SAID, "content": "So."}, {**USER, "content": "<|im_end|>"}, SAID]}, "messages[2]"),
        ({"prompt": [USER, SAID, USER], "completion": "So."}, "prompt[1]"),
        ({"prompt": "Why?", "completion": [SAID]}, "completion"),
        ({"prompt": "Why?", "completion": "<|im_end|>", "label": False}, "completion"),
        ({"prompt": "Why?", "completion": "So.", "feedback": "no <|im_end|>"}, "feedback"),
        ({"prompt": "Why?", "completion": "So.", "tools": [{"name": "<|im_end|>"}]}, "tools"),
        (
            {
                "input": {"messages": [USER]},
                "preferred_output": [{**SAID, "content": "So."}],
                "non_preferred_output": [SAID],
            },
            "non_preferred_output",
        ),
        (
            {
                "input": {"messages": [{**USER, "content": "<|im_end|>"}]},
                "preferred_output": [{**SAID, "content": "So."}],
                "non_preferred_output": [{**SAID, "content": "No."}],
            },
            "input.messages",
        ),
    ],
)
def test_a_control_token_is_found_in_every_kind_of_row(
    write_rows: WriteRows, tokenizer: Any, row: dict[str, Any], column: str
) -> None:
    file = read(write_rows([row]))
    method = {"rated": "kto", "hindsight": "hindsight", "preference": "dpo"}.get(file.kind, "sft")
    recipe = Recipe((), rank=4, alpha=8, max_length=256, precision="fp32")
    stage: Any = StageRecipe(method, 1.0, 1e-3, 1)
    with pytest.raises(BadTrainingFile, match=rf"^line 1, column {re.escape(repr(column))} holds the control token"):
        rendered(file, stage, tokenizer, recipe)


def test_a_failure_leaves_nothing_and_keeps_what_was_there(
    write_rows: WriteRows, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = make_job({"sft": write_rows(ANSWERS)}, epochs=1.0)
    work(job, silent)
    before = read_manifest(Path(job.out))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job_of, "write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        work(job, silent)
    assert read_manifest(Path(job.out)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "rows.jsonl"]


def test_an_adapter_that_was_changed_is_found(write_rows: WriteRows, make_job: MakeJob) -> None:
    job = make_job({"sft": write_rows(ANSWERS[:2])}, epochs=1.0)
    work(job, silent)
    path = Path(job.out) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(DamagedFolder):
        verify_manifest(Path(job.out))


def test_a_job_survives_json(write_rows: WriteRows, make_job: MakeJob) -> None:
    job = make_job({"sft": write_rows(ANSWERS)}, dataset_sha256="ab" * 32, held_share=0.1)
    again = Job.from_json(job.to_json())
    assert json.loads(again.to_json()) == json.loads(job.to_json())
    assert "\n" not in job.to_json()


def test_nothing_held_out_has_no_loss(tiny_base: Path) -> None:
    assert hold_loss(None, []) is None


def test_held_out_loss_does_not_depend_on_padding(tiny_base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    rows = [Example(tuple(range(10, 10 + n)), tuple(range(50, 50 + 2 * n))) for n in range(1, 12)]
    rows.append(Example((), tuple(range(90, 95))))
    together = hold_loss(model, rows)
    alone = [hold_loss(model, [row]) for row in rows]
    assert together is not None
    assert (together.rows, together.tokens) == (12, sum(len(r.completion_ids) for r in rows) - 1)
    total = sum(one.loss * one.tokens for one in alone if one is not None)
    assert together.loss == pytest.approx(total / together.tokens, rel=1e-5)
