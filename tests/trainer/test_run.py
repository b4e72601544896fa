"""Training from the outside: a child process that reports, fails in its own words and never takes secrets along."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from strop.errors import BadTrainingFile, Missing, StropError, TrainingFailed, UnknownModel, UsageError
from strop.files import verify_manifest
from strop.trainer import machine, placing, rowfile, run, supervisor
from strop.trainer.models import BaseModel
from strop.trainer.settings import TrainerSettings
from strop.trainer.work import Job

ROWS = [{"prompt": f"What is number {number}?", "completion": "It is Paris."} for number in range(6)]
SETTINGS = TrainerSettings(rank=4, alpha=8, max_length=256, precision="fp32")
WriteRows = Callable[..., Path]
MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children compute in one thread: on a busy machine two that wait for each other take three times as long."""
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")


def silent(stage: str, share: float | None, figures: str) -> None:
    pass


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """Every child that is started, in order."""
    real, started = subprocess.Popen, []

    def start(*args: Any, **kwargs: Any) -> Any:
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(supervisor.subprocess, "Popen", start)
    return started


@pytest.fixture
def child_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a short Python program in the place of the training child, with the same pipes and environment."""
    real = subprocess.Popen

    def replace(program: str, *, ended: bool = False) -> None:
        def start(command: list[str], **kwargs: Any) -> Any:
            assert command == [sys.executable, "-m", "strop.trainer.child"]
            child = real([sys.executable, "-c", "import json, os, sys\n" + program], **kwargs)
            if ended:
                child.wait()
            return child

        monkeypatch.setattr(supervisor.subprocess, "Popen", start)

    return replace


# The real child


def test_the_child_trains_reports_and_ends(
    write_rows: WriteRows, make_job: MakeJob, children: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    job = make_job({"sft": write_rows(ROWS)})
    seen: list[tuple[str, float | None, str]] = []
    manifest = supervisor.run_child(job, lambda *at: seen.append(at), tmp_path / "train.log")
    assert verify_manifest(Path(job.out)) == manifest
    assert manifest["rows"] == {"sft": 6}
    assert [share for _, share, _ in seen] == pytest.approx([(step + 1) / 6 for step in range(6)])
    assert {stage for stage, _, _ in seen} == {"train sft"}
    assert all(re.fullmatch(r"loss [0-9.]+(, [0-9]+ tokens/s)?", figures) for _, _, figures in seen)
    assert "tokens/s" in seen[-1][2]
    assert [child.poll() is None for child in children] == [False]
    # What the libraries print goes into the log and not between the events.
    assert "train_runtime" in (tmp_path / "train.log").read_text()


def test_an_error_in_the_child_arrives_in_its_own_class(
    write_rows: WriteRows, make_job: MakeJob, children: list[subprocess.Popen[str]]
) -> None:
    job = make_job({"sft": write_rows([*ROWS, {"prompt": "What?", "completion": "a <|im_end|> b"}])})
    with pytest.raises(BadTrainingFile, match=r"^line 7, .*<\|im_end\|>") as error:
        supervisor.run_child(job, silent)
    assert error.value.exit_code == 2
    assert error.value.hint.startswith("remove the row")
    assert not Path(job.out).exists()
    assert [child.poll() is None for child in children] == [False]


def test_what_a_library_raises_is_told_in_its_words_and_its_traceback_is_kept(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path
) -> None:
    job = replace(make_job({"sft": write_rows(ROWS)}), base_folder=str(tmp_path / "no-such-base"))
    with pytest.raises(TrainingFailed, match=r"^training stopped: \w+: .*no-such-base") as error:
        supervisor.run_child(job, silent, tmp_path / "train.log")
    assert "train.log" in error.value.hint
    assert "Traceback" in (tmp_path / "train.log").read_text()


def test_a_child_that_is_killed_fails_and_leaves_nothing(
    write_rows: WriteRows, make_job: MakeJob, children: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    job = make_job({"sft": write_rows(ROWS)}, epochs=500.0)

    def kill(*at: object) -> None:
        children[0].kill()

    with pytest.raises(TrainingFailed, match=r"ended with code -?[0-9]+ and no word"):
        supervisor.run_child(job, kill)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


# What passes between the two


def test_no_token_reaches_the_child_and_nothing_leaves_the_machine(
    write_rows: WriteRows, make_job: MakeJob, child_is: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    for name in ("GOMP_SPINCOUNT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    child_is('print(json.dumps({"done": dict(os.environ)}))')
    env = supervisor.run_child(make_job({"sft": write_rows(ROWS)}), silent)
    assert {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"}.isdisjoint(env)
    assert "made-up" not in env.values()
    assert (env["HF_HUB_OFFLINE"], env["TRANSFORMERS_OFFLINE"], env["HF_DATASETS_OFFLINE"]) == ("1", "1", "1")
    assert env["SOMETHING_ELSE"] == "stays"
    assert env["GOMP_SPINCOUNT"] == "5000"
    assert env["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    other = supervisor.run_child(make_job({"sft": write_rows(ROWS)}, "other"), silent)
    assert (other["GOMP_SPINCOUNT"], other["CUDA_VISIBLE_DEVICES"]) == ("7", "3")
    assert os.environ["HF_TOKEN"] == "made-up"


def test_the_child_gets_the_whole_job(write_rows: WriteRows, make_job: MakeJob, child_is: Callable[..., None]) -> None:
    job = make_job({"sft": write_rows(ROWS)}, dataset_sha256="ab" * 32)
    child_is('print(json.dumps({"done": json.loads(sys.stdin.read())}))')
    assert Job(**supervisor.run_child(job, silent)) == Job.from_json(job.to_json())


@pytest.mark.parametrize(
    ("program", "ended"), [("sys.exit(7)", False), ("sys.exit(7)", True), ("sys.stdin.read(); os._exit(7)", False)]
)
def test_a_child_without_a_last_word_is_a_failure_with_its_code(
    write_rows: WriteRows, make_job: MakeJob, child_is: Callable[..., None], program: str, ended: bool
) -> None:
    child_is(program, ended=ended)
    with pytest.raises(TrainingFailed, match="ended with code 7 and no word") as error:
        supervisor.run_child(make_job({"sft": write_rows(ROWS)}), silent)
    assert error.value.hint == "strop doctor"


@pytest.mark.parametrize("kind", ["StropErrors", "KeyError", "canonical_json", "__name__"])
def test_an_error_of_a_class_that_is_not_ours_is_a_failed_training(
    write_rows: WriteRows, make_job: MakeJob, child_is: Callable[..., None], kind: str
) -> None:
    event = {"error": {"type": kind, "message": "it went wrong", "hint": "do this"}}
    child_is(f"sys.stdin.read(); print({json.dumps(event)!r})")
    with pytest.raises(TrainingFailed, match=r"^it went wrong$") as error:
        supervisor.run_child(make_job({"sft": write_rows(ROWS)}), silent)
    assert error.value.hint == "do this"


def test_a_child_is_not_left_running_when_the_report_raises(
    write_rows: WriteRows, make_job: MakeJob, child_is: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"progress": {"stage": "sft", "step": 1, "steps": 9, "figures": {"loss": 1.0}}}
    child_is(f"sys.stdin.read(); print({json.dumps(event)!r}, flush=True); import time; time.sleep(60)")
    start, started = supervisor.subprocess.Popen, []

    def remember(*args: Any, **kwargs: Any) -> Any:
        started.append(start(*args, **kwargs))
        return started[-1]

    def interrupted(*at: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor.subprocess, "Popen", remember)
    with pytest.raises(KeyboardInterrupt):
        supervisor.run_child(make_job({"sft": write_rows(ROWS)}), interrupted)
    assert [child.poll() is None for child in started] == [False]


# strop train


def test_training_a_file_from_the_command_line(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    options = ["--rank", "4", "--alpha", "8", "--epochs", "2", "--batch-size", "4", "--seed", "5"]
    files = ["--model", str(tiny_base), "--data", str(write_rows(ROWS)), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "strop", "train", "sft", *files, *options, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"STROP_HOME": str(tmp_path / "home"), "STROP_TRAINER__PRECISION": "fp32"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["method"], said["rows"], said["seed"], said["adapter"]) == ("sft", {"sft": 6}, 5, str(out))
    assert (said["recipe"]["rank"], said["recipe"]["stages"][0]["epochs"]) == (4, 2.0)
    names = ["method", "precision", "replay", "bits", "batch", "accumulation", "checkpointing", "peak", "time"]
    assert [choice["name"] for choice in said["plan"]] == [*names, "adapter", "disk", "side by side"]
    assert all(choice["reason"] for choice in said["plan"])
    assert verify_manifest(out)["base"]["ref"] == str(tiny_base)
    assert "hint: strop tune" in done.stderr
    assert stat.S_IMODE((tmp_path / "home" / "train.log").stat().st_mode) == 0o600


def train(
    model: str, data: Path, out: Path, overrides: dict[str, Any] | None = None, method: Any = "sft"
) -> run.Trained:
    return run.train_file(
        method, model, data, out, overrides or {}, SETTINGS, models_dir=out.parent / "models", on_progress=silent
    )


def test_an_existing_folder_is_never_written_over(base: BaseModel, write_rows: WriteRows, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="exists already") as error:
        train(base.ref, write_rows(ROWS), tmp_path / "adapter")
    assert "--out" in error.value.hint
    assert [path.name for path in (tmp_path / "adapter").iterdir()] == ["mine.txt"]


def test_a_bad_file_is_found_before_the_model_is_looked_for(write_rows: WriteRows, tmp_path: Path) -> None:
    with pytest.raises(BadTrainingFile, match="line 1"):
        train("no-such-model", write_rows([{"question": "a"}]), tmp_path / "adapter")
    with pytest.raises(UnknownModel, match="no-such-model"):
        train("no-such-model", write_rows(ROWS), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("rank", 1000, "--rank"),
        ("epochs", 0, "--epochs"),
        ("learning_rate", 0.0, "--learning-rate"),
        ("batch_size", 0, "--batch-size"),
        ("max_length", 3, "--max-length"),
    ],
)
def test_an_impossible_value_is_a_usage_error_that_names_the_option(
    write_rows: WriteRows, tmp_path: Path, name: str, value: float, option: str
) -> None:
    with pytest.raises(UsageError, match=f"{option} cannot be {value}") as error:
        train("no-such-model", write_rows(ROWS), tmp_path / "adapter", {name: value})
    assert error.value.exit_code == 2
    assert error.value.hint


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_what_was_asked_for_overrules_the_settings(method: Any) -> None:
    asked = {"rank": 2, "epochs": 1.5, "learning_rate": 1e-2, "batch_size": 3, "seed": 8, "max_length": 50}
    recipe = run.made_plan({method: 6}, method, asked, SETTINGS).recipe
    (stage,) = recipe.stages
    assert (stage.method, stage.epochs, stage.learning_rate, stage.batch_size) == (method, 1.5, 1e-2, 3)
    assert (recipe.rank, recipe.alpha, recipe.seed, recipe.max_length) == (2, 8, 8, 50)
    assert run.made_plan({method: 6}, method, {}, SETTINGS).recipe.seed == 17


def test_missing_packages_are_named_with_the_way_to_get_them(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("trl", "peft") else real(name))
    with pytest.raises(Missing, match="training needs trl, peft") as error:
        train("no-such-model", write_rows(ROWS), tmp_path / "adapter")
    assert (error.value.exit_code, error.value.hint) == (30, "pip install 'strop[all]'")


def test_the_sentence_says_what_a_person_wants_to_know_first(tmp_path: Path) -> None:
    manifest = {
        "rows": {"sft": 44, "dpo": 40},
        "loss": {"sft": 1.25, "dpo": 0.5},
        "train_s": 61.7,
        "left_out_too_long": {"sft": 0, "dpo": 0},
        "recipe": {"max_length": 1024},
    }
    sentence = run.Trained(tmp_path, manifest).sentence
    assert sentence == f"trained on 44 sft rows, 40 dpo rows in 62 s (sft loss 1.250, dpo loss 0.500): {tmp_path}"
    short = run.Trained(tmp_path, {**manifest, "left_out_too_long": {"sft": 3, "dpo": 1}}).sentence
    assert short == f"{sentence}\n4 rows were left out: longer than 1024 tokens"


@pytest.mark.parametrize(("forgetting", "warned"), [(None, False), ({"kl": 0.4}, False), ({"kl": 1.8}, True)])
def test_a_model_that_moved_far_is_remarked_on(tmp_path: Path, forgetting: Any, warned: bool) -> None:
    said = run.Trained(tmp_path, {"forgetting": forgetting}).warning
    assert ("1.8 nats a token" in said) is warned
    assert bool(said) is warned


@pytest.mark.parametrize("method", ["kto", "dpo", "hindsight", "grpo"])
def test_rows_that_a_method_cannot_learn_from_are_found_before_anything_starts(
    write_rows: WriteRows, tmp_path: Path, method: Any
) -> None:
    with pytest.raises(StropError, match=f"{method} needs") as error:
        run.check(method, write_rows(ROWS), tmp_path / "out")
    assert error.value.exit_code == 2


def test_a_run_of_one_step_teaches(base: BaseModel, write_rows: WriteRows, tmp_path: Path) -> None:
    made = train(str(base.folder), write_rows(ROWS[:1]), tmp_path / "adapter", {"epochs": 1, "rank": 4})
    taught = load_file(made.folder / "adapter_model.safetensors")
    assert all(value.any() for name, value in taught.items() if "lora_B" in name)


def test_only_the_layers_that_were_named_are_trained(base: BaseModel, write_rows: WriteRows, tmp_path: Path) -> None:
    asked = {"epochs": 1, "rank": 4, "target_modules": "q_proj,up_proj"}
    made = train(str(base.folder), write_rows(ROWS), tmp_path / "adapter", asked)
    names = {name.split(".")[-3] for name in load_file(made.folder / "adapter_model.safetensors")}
    assert names == {"q_proj", "up_proj"}
    for wrong, name in (("nope", "nope"), ("q_proj,v_pro", "v_pro"), ("lm_head", "lm_head"), ("norm", "norm")):
        with pytest.raises(UsageError, match=f"no linear layer of this model is called '{name}'") as error:
            train(str(base.folder), write_rows(ROWS), tmp_path / "other", {**asked, "target_modules": wrong})
        assert str(error.value.hint).endswith("down_proj,gate_proj,k_proj,o_proj,q_proj,up_proj,v_proj")
    with pytest.raises(UsageError, match="target-modules cannot be all-linear,q_proj"):
        train(str(base.folder), write_rows(ROWS), tmp_path / "other", {**asked, "target_modules": "all-linear,q_proj"})


def test_a_step_is_cut_so_that_it_fits(base: BaseModel, write_rows: WriteRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with hardly any memory: one row at a time, activations computed again, and the reasons."""
    rows = rowfile.read(write_rows(ROWS))
    made = run.made_plan(rowfile.counts(rows), "sft", {}, SETTINGS)
    roomy = placing.placed(made, rows, base.folder, SETTINGS)
    assert (roomy.recipe.accumulation, roomy.recipe.checkpointing) == (1, False)
    look = machine.look
    monkeypatch.setattr(machine, "look", lambda home: replace(look(home), memory_bytes=700_000_000))
    tight = placing.placed(made, rows, base.folder, SETTINGS)
    assert (tight.recipe.accumulation, tight.recipe.checkpointing) == (8, True)
    reasons = {choice.name: choice.reason for choice in tight.choices}
    assert "1 x 8 rows make the 8 of a step" in reasons["accumulation"]
    assert replace(tight.recipe, accumulation=1, checkpointing=False) == made.recipe


def test_what_was_asked_for_stays_and_is_said(base: BaseModel, write_rows: WriteRows) -> None:
    rows = rowfile.read(write_rows(ROWS))
    asked = {"accumulation": 4, "checkpointing": True, "load_in": "8bit"}
    settings, _ = run.overruled("sft", asked, SETTINGS)
    made = run.made_plan(rowfile.counts(rows), "sft", asked, SETTINGS)
    found = placing.placed(made, rows, base.folder, settings, asked)
    assert found.recipe == made.recipe
    said = {choice.name: choice.value for choice in found.choices}
    assert (said["accumulation"], said["batch"], said["checkpointing"], said["bits"]) == ("4", "2", "on", "8")


def test_what_is_compared_within_a_part_is_not_cut(
    base: BaseModel, write_rows: WriteRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss `kto` compares the rows of a part, so that nothing is cut, or said to be."""
    look = machine.look
    monkeypatch.setattr(machine, "look", lambda home: replace(look(home), memory_bytes=700_000_000))
    rated = rowfile.read(write_rows([{**row, "label": bool(n % 2)} for n, row in enumerate(ROWS)]))
    for kto_loss, parts in (("kto", 1), ("apo_zero_unpaired", 8)):
        settings, _ = run.overruled("kto", {"kto_loss": kto_loss}, SETTINGS)
        made = run.made_plan(rowfile.counts(rated), "kto", {"kto_loss": kto_loss}, SETTINGS)
        found = placing.placed(made, rated, base.folder, settings)
        assert found.recipe.accumulation == parts
        assert ("batch" in {choice.name for choice in found.choices}) is (parts == 8)


def test_a_base_of_unknown_shape_is_planned_as_before(write_rows: WriteRows, tmp_path: Path) -> None:
    rows = rowfile.read(write_rows(ROWS))
    made = run.made_plan(rowfile.counts(rows), "sft", {}, SETTINGS)
    assert placing.placed(made, rows, tmp_path, SETTINGS) is made
