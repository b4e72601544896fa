"""GRPO on the tiny base: tasks with a check, from the command line to the adapter."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.errors import BadTrainingFile, NotEnoughData, TrainingFailed, UsageError
from strop.files import verify_manifest
from strop.trainer import checks, plan, rowfile
from strop.trainer.fit import Progress
from strop.trainer.methods import grpo
from strop.trainer.methods.grpo import answers_a_step, filled, run_grpo, summary
from strop.trainer.recipe import Recipe, StageRecipe, for_methods
from strop.trainer.render import Renderer, TaskExample
from strop.trainer.settings import TrainerSettings
from strop.trainer.train import add_lora, load_base
from strop.trainer.work import Job, work

from .conftest import TRAINS, MakeJob, WriteRows, silent

pytestmark = TRAINS
THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk")
TASKS = [{"prompt": f"What is {thing}?", "check": "length", "expected": {"max_words": 4}} for thing in THINGS]
STAGE = StageRecipe("grpo", 1.0, 5e-3, 8, generations=4, answer_tokens=12)


@pytest.fixture
def task_job(make_job: MakeJob, write_rows: WriteRows) -> Callable[..., Job]:
    """Makes a small GRPO job for rows; further keywords go into the stage, `seed` into the recipe."""

    def make(rows: Any, out: str = "adapter", *, seed: int = 17, accumulation: int = 1, **changes: Any) -> Job:
        made = make_job({"grpo": write_rows(rows, f"{out}.jsonl")}, out=out, seed=seed, accumulation=accumulation)
        fields = {"epochs": 1.0, "batch_size": 8, "generations": 4, "answer_tokens": 12, **changes}
        (stage,) = made.recipe["stages"]
        made.recipe["stages"] = [{**stage, **fields}]
        return made

    return make


def adapter_of(job: Job) -> bytes:
    return (Path(job.out) / "adapter_model.safetensors").read_bytes()


# Training


def test_training_on_tasks_from_the_command_line(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    options = ["--rank", "4", "--alpha", "8", "--epochs", "1", "--generations", "4", "--answer-tokens", "12"]
    files = ["--model", str(tiny_base), "--data", str(write_rows(TASKS)), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "strop", "train", "auto", *files, *options, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=os.environ
        | {"STROP_HOME": str(tmp_path / "home"), "STROP_TRAINER__PRECISION": "fp32", "OMP_THREAD_LIMIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["method"], said["rows"], said["adapter"]) == ("grpo", {"grpo": 6}, str(out))
    (stage,) = said["recipe"]["stages"]
    assert (stage["generations"], stage["answer_tokens"], stage["learning_rate"]) == (4, 12, 1e-5)
    assert said["plan"][0]["value"] == "grpo"
    assert "6 tasks whose answers a check can score" in said["plan"][0]["reason"]
    assert [step for step, _ in said["reward"]["curve"]] == [1, 2, 3]
    assert all(0 < reward < 1 for _, reward in said["reward"]["curve"])
    assert "reward 0." in done.stderr or "train grpo" in done.stderr
    verify_manifest(out)


def test_the_same_seed_gives_the_same_adapter_in_whatever_order_the_rows_come(task_job: Callable[..., Job]) -> None:
    jobs = [
        task_job(TASKS, "one"),
        task_job(TASKS, "same"),
        task_job(TASKS[::-1], "turned"),
        task_job(TASKS, "other", seed=18),
    ]
    for job in jobs:
        work(job, silent)
    one, same, turned, other = map(adapter_of, jobs)
    assert one == same == turned != other


def test_the_tokens_are_those_that_were_read_and_written(task_job: Callable[..., Job], tokenizer: Any) -> None:
    manifest = work(task_job(TASKS), silent)
    render = Renderer(tokenizer)
    prompts = sum(4 * len(render.prompt([{"role": "user", "content": row["prompt"]}])) for row in TASKS)
    assert prompts + 4 * len(TASKS) <= manifest["tokens"] <= prompts + 4 * 12 * len(TASKS)


def test_the_model_reads_the_ids_that_the_server_would_send(tiny_base: Path, tmp_path: Path) -> None:
    base, tokenizer = load_base(tiny_base, "fp32")
    asked = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is flour?"}]
    ids = Renderer(tokenizer).prompt(asked)
    recipe = Recipe((STAGE,), rank=4, alpha=8, max_length=256, precision="fp32")
    model = add_lora(base, recipe)
    read: list[Any] = []
    real = base.generate
    model.get_base_model().generate = lambda *args, **kw: read.append(kw["input_ids"]) or real(*args, **kw)
    run_grpo(model, tokenizer, [TaskExample(ids, "length", {"max_words": 4}, 12)], STAGE, recipe, tmp_path, silent)
    assert [row.tolist() for row in read[0]] == [list(ids)] * 4


def test_answers_that_score_better_become_likelier(tiny_base: Path, tmp_path: Path) -> None:
    stage = StageRecipe("grpo", 20.0, 5e-2, 32, generations=32, answer_tokens=4)
    recipe = Recipe((stage,), rank=4, alpha=8, max_length=256, precision="fp32")
    base, tokenizer = load_base(tiny_base, "fp32")
    ids = Renderer(tokenizer).prompt([{"role": "user", "content": "What is flour?"}])
    seen: list[Progress] = []
    row = TaskExample(ids, "regex", "(?i)e", 4)
    run_grpo(add_lora(base, recipe), tokenizer, [row], stage, recipe, tmp_path, seen.append)
    found = summary([{"step": at.step, **at.metrics} for at in seen])
    assert found is not None
    assert found["last"] > found["first"] + 0.3


def test_a_step_read_in_parts_is_the_same_step(task_job: Callable[..., Job]) -> None:
    whole, parts = (work(task_job(TASKS[:2], f"in{n}", accumulation=n), silent) for n in (1, 2))
    assert parts["reward"]["curve"] == whole["reward"]["curve"]
    assert parts["tokens"] == whole["tokens"]


def test_answers_that_all_score_the_same_are_an_error_that_says_so(task_job: Callable[..., Job]) -> None:
    job = task_job([{"prompt": "What is flour?", "check": "exact", "expected": "never said"}])
    with pytest.raises(
        NotEnoughData, match=r"nothing was learned: all 4 answers to a task always scored the same \(0.00"
    ):
        work(job, silent)
    assert not Path(job.out).exists()


def test_a_check_that_fails_on_an_answer_ends_the_run_by_name(
    task_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(completion: str, expected: Any) -> float:
        return 2.0 if completion else 0.0

    monkeypatch.setattr(checks, "load", lambda name: moody)
    with pytest.raises(TrainingFailed, match="the check 'moody' gave 2.0"):
        work(task_job([{"prompt": "What is flour?", "check": "moody", "expected": None}]), silent)


def test_a_task_whose_answer_would_not_fit_is_left_out_and_counted(task_job: Callable[..., Job]) -> None:
    long = TASKS[0] | {"prompt": "the dog " * 200}
    manifest = work(task_job([*TASKS[:2], long]), silent)
    assert (manifest["rows"], manifest["left_out_too_long"]) == ({"grpo": 2}, {"grpo": 1})


def test_no_task_is_held_out_for_a_loss_that_it_does_not_have(task_job: Callable[..., Job]) -> None:
    job = Job(**{**json.loads(task_job(TASKS).to_json()), "held_share": 0.5})
    manifest = work(job, silent)
    assert (manifest["rows"], manifest["held_out"]) == ({"grpo": 6}, None)


# What a step is


@pytest.mark.parametrize(
    ("batch", "generations", "accumulation", "tasks", "answers"),
    [
        (8, 8, 1, 5, 8),
        (8, 4, 1, 5, 8),
        (9, 4, 1, 5, 12),
        (1, 8, 1, 5, 8),
        (64, 4, 1, 3, 12),
        (8, 8, 4, 5, 8),
        (8, 8, 3, 5, 24),
    ],
)
def test_a_step_holds_whole_groups_in_equal_parts(
    batch: int, generations: int, accumulation: int, tasks: int, answers: int
) -> None:
    stage = StageRecipe("grpo", 1.0, 1e-5, batch, generations=generations)
    found = answers_a_step(stage, Recipe((stage,), accumulation=accumulation), tasks)
    assert found == answers
    assert found % generations == found % accumulation == 0


def test_too_few_tasks_for_equal_parts_say_so() -> None:
    stage = StageRecipe("grpo", 1.0, 1e-5, 8)
    with pytest.raises(UsageError, match="2 tasks of 8 answers cannot be read in 3 equal parts"):
        answers_a_step(stage, Recipe((stage,), accumulation=3), 2)


def test_the_last_step_is_filled_and_no_task_is_dropped() -> None:
    rows = [TaskExample((number,), "exact", {"a": number}, 4) for number in range(7)]
    found = filled(rows, 3, 17)
    assert len(found) == 9
    assert sorted(row.prompt_ids for row in found[:7]) == [row.prompt_ids for row in rows]
    assert found[7:] == found[:2]
    assert found == filled(rows[::-1], 3, 17) != filled(rows, 3, 18)


def test_a_run_is_summed_up_by_its_ends() -> None:
    steps = [{"step": n, "reward": n / 8, grpo._ALIKE: float(n == 1)} for n in range(1, 9)]
    found = summary(steps)
    assert found is not None
    assert (found["first"], found["last"], found["alike_share"]) == (1.5 / 8, 7.5 / 8, 1 / 8)
    assert summary([]) is None


# The choice


def test_a_file_of_tasks_is_trained_by_grpo_and_the_reason_says_why(write_rows: WriteRows) -> None:
    counts = rowfile.counts(rowfile.read(write_rows(TASKS)))
    assert counts == {"grpo": 6}
    assert plan.choose_methods(counts, "auto") == (
        ("grpo",),
        "6 tasks whose answers a check can score, and none written to copy",
    )
    assert plan.choose_methods(counts, "grpo") == (("grpo",), "6 tasks, as asked")


def test_what_feedback_makes_is_never_a_task() -> None:
    night = {"sft": 40, "dpo": 40, "kto": 40, "hindsight": 40, "thumbs_up": 20, "thumbs_down": 20}
    assert "grpo" not in plan.choose_methods(night, "auto")[0]
    with pytest.raises(UsageError, match="grpo needs tasks"):
        plan.choose_methods(night, "grpo")


def test_settings_reach_the_stage() -> None:
    settings = TrainerSettings(grpo_epochs=5, grpo_learning_rate=1e-4, generations=6, answer_tokens=33, batch_size=12)
    (stage,) = for_methods(("grpo",), settings, "fp32", 1).stages
    assert stage == StageRecipe("grpo", 5, 1e-4, 12, generations=6, answer_tokens=33)


def test_rows_of_another_kind_are_refused(write_rows: WriteRows, make_job: MakeJob) -> None:
    answers = write_rows([{"prompt": "What?", "completion": "That."}], "answers.jsonl")
    with pytest.raises(BadTrainingFile, match="grpo needs the columns prompt, check and expected"):
        work(make_job({"grpo": answers}), silent)
    with pytest.raises(BadTrainingFile, match="this file holds task rows") as error:
        work(make_job({"sft": write_rows(TASKS)}), silent)
    assert error.value.hint.endswith("strop train grpo")


def test_a_run_that_is_cut_ends_as_the_whole_one(task_job: Callable[..., Job], tmp_path: Path) -> None:
    def cut(at: Progress) -> None:
        if at.step == 4:
            raise KeyboardInterrupt

    whole = task_job(TASKS, "whole", epochs=2.0)
    manifest = work(whole, silent)
    parts = Job(
        **{
            **json.loads(task_job(TASKS, "parts", epochs=2.0).to_json()),
            "run": str(tmp_path / "run"),
            "checkpoint_s": 0,
        }
    )
    with pytest.raises(KeyboardInterrupt):
        work(parts, cut)
    again = work(parts, silent)
    assert (again["reward"], again["tokens"]) == (manifest["reward"], manifest["tokens"])
    assert adapter_of(parts) == adapter_of(whole)
