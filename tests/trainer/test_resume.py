"""A run that was cut short and goes on gives what the uninterrupted run gives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from strop.errors import Locked, OutOfMemory, TrainingFailed
from strop.trainer.checkpoints import Checkpoints, Counted
from strop.trainer.child import out_of_memory
from strop.trainer.runs import Runs, oom_kills, remove, smaller
from strop.trainer.supervisor import run_child
from strop.trainer.train import Progress
from strop.trainer.work import Job, work

from .conftest import TRAINS, MakeJob, WriteRows, silent

pytestmark = TRAINS
THINGS = ("a strop", "a razor", "flour", "an egg", "Paris", "milk", "a fox", "a quay", "rain", "a loom", "salt", "tin")
SFT = [
    {"prompt": f"What is {thing}? " * (number + 1), "completion": "It is dull."} for number, thing in enumerate(THINGS)
]
DPO = [{"prompt": f"What is {thing}?", "chosen": "It is dull.", "rejected": "Well, who knows."} for thing in THINGS]
KTO = [
    {"prompt": f"What is {thing}?", "completion": "It is dull." if up else "Well, who knows.", "label": up}
    for thing in THINGS
    for up in (True, False)
]
HINDSIGHT = [{"prompt": f"What is {thing}?", "completion": "It is dull.", "feedback": "Shorter."} for thing in THINGS]
CHAINS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "sft+dpo": {"sft": SFT, "dpo": DPO},
    "kto": {"kto": KTO},
    "hindsight": {"hindsight": HINDSIGHT},
}


class Cut(Exception):
    """The run ends here."""


def weights(out: str) -> dict[str, torch.Tensor]:
    return dict(load_file(Path(out) / "adapter_model.safetensors"))


def files_of(chain: str, write_rows: WriteRows) -> dict[str, Path]:
    return {method: write_rows(rows, f"{method}.jsonl") for method, rows in CHAINS[chain].items()}


def cut_after(steps: int) -> Any:
    """A listener that ends the run after so many steps of all its stages."""
    seen: Iterator[int] = iter(range(steps))

    def on(at: Progress) -> None:
        if next(seen, None) is None:
            raise Cut

    return on


@pytest.mark.parametrize(
    ("chain", "changes"),
    [
        ("sft+dpo", {}),
        ("sft+dpo", {"dropout": 0.2, "precision": "bf16"}),
        ("kto", {"dropout": 0.2}),
        ("hindsight", {}),
    ],
)
def test_a_run_that_is_cut_at_any_step_ends_as_the_whole_one(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path, chain: str, changes: dict[str, Any]
) -> None:
    files = files_of(chain, write_rows)
    whole = make_job(files, "whole", **changes)
    manifest = work(whole, silent)
    steps = sum(len(points) for points in manifest["curve"].values())
    for cuts in ([1], [steps // 2, steps // 3]):
        folder = tmp_path / f"run{cuts}"
        job = make_job(files, f"cut{cuts}", run=str(folder), checkpoint_s=0.0, **changes)
        for after in cuts:
            with pytest.raises(Cut):
                work(job, cut_after(after))
        made = work(job, silent)
        assert made["curve"] == manifest["curve"]
        assert made["tokens"] == manifest["tokens"]
        for name, value in weights(whole.out).items():
            assert torch.equal(weights(job.out)[name], value), name
        assert not folder.exists()


def test_nothing_is_done_twice(write_rows: WriteRows, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(files_of("sft+dpo", write_rows), run=str(tmp_path / "run"), checkpoint_s=0.0)
    with pytest.raises(Cut):
        work(job, cut_after(11))  # two steps into the second stage
    seen: list[Progress] = []
    manifest = work(job, seen.append)
    # The step that was cut had no checkpoint yet, so it is made again; none before it is.
    assert [at.stage for at in seen] == ["dpo"] * 7
    lines = [json.loads(line) for line in (Path(job.out) / "metrics.jsonl").read_text().splitlines()]
    assert [(one["stage"], one["step"]) for one in lines] == [(m, n) for m in ("sft", "dpo") for n in range(1, 10)]
    assert lines[-1]["tokens"] == manifest["tokens"]
    assert all(lines[n]["tokens"] < lines[n + 1]["tokens"] for n in range(17))


def test_after_a_pause_a_batch_may_be_read_in_parts(write_rows: WriteRows, make_job: MakeJob, tmp_path: Path) -> None:
    files = files_of("sft+dpo", write_rows)
    whole = make_job(files, "whole")
    work(whole, silent)
    job = make_job(files, "cut", run=str(tmp_path / "run"), checkpoint_s=0.0)
    with pytest.raises(Cut):
        work(job, cut_after(4))
    halved = smaller(job)
    assert halved is not None
    assert halved.recipe["accumulation"] == 2
    seen: list[Progress] = []
    work(halved, seen.append)
    assert seen[0].step == 5
    for name, value in weights(whole.out).items():
        torch.testing.assert_close(weights(job.out)[name], value, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("harm", ["flip", "cut", "manifest"])
def test_a_checkpoint_that_is_not_what_was_written_is_not_used(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path, harm: str
) -> None:
    job = make_job(files_of("kto", write_rows), run=str(tmp_path / "run"), checkpoint_s=0.0)
    with pytest.raises(Cut):
        work(job, cut_after(4))
    (folder,) = (tmp_path / "run").iterdir()
    state = folder / "state.safetensors"
    data = bytearray(state.read_bytes())
    if harm == "manifest":
        (folder / "manifest.json").unlink()
    else:
        data[-1] ^= 1
        state.write_bytes(data if harm == "flip" else data[:-8])
    seen: list[Progress] = []
    work(job, seen.append)
    assert seen[0].step == 1


@pytest.mark.parametrize("change", [{"learning_rate": 1e-3}, {"seed": 5}, {"held_share": 0.3}])
def test_a_checkpoint_of_another_run_is_not_used(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path, change: dict[str, Any]
) -> None:
    files = files_of("hindsight", write_rows)
    with pytest.raises(Cut):
        work(make_job(files, run=str(tmp_path / "run"), checkpoint_s=0.0), cut_after(4))
    seen: list[Progress] = []
    work(make_job(files, run=str(tmp_path / "run"), checkpoint_s=0.0, **change), seen.append)
    assert seen[0].step == 1


def test_no_file_of_a_checkpoint_is_a_pickle(write_rows: WriteRows, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(files_of("kto", write_rows), run=str(tmp_path / "run"), checkpoint_s=0.0)
    with pytest.raises(Cut):
        work(job, cut_after(4))
    names = sorted(path.name for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert names == ["manifest.json", "state.safetensors", "trainer_state.json"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "run").rglob("*") if path.is_file())


def test_a_checkpoint_is_due_by_the_clock(tmp_path: Path) -> None:
    now = [0.0]
    kept = Checkpoints(tmp_path / "run", "key", 60.0, lambda: now[0])
    assert not kept.due
    now[0] = 61.0
    assert kept.due
    kept.save(0, 1, Counted(), {"adapter/x": torch.zeros(1)})
    assert not kept.due
    assert not Checkpoints(None).due


def test_two_processes_never_train_the_same(write_rows: WriteRows, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(files_of("kto", write_rows))
    runs = Runs(tmp_path / "runs")
    with runs.placed(job), pytest.raises(Locked, match="runs already"), runs.placed(job):
        pass
    with runs.placed(job) as placed:
        Path(placed.run).mkdir()
        assert not remove(Path(placed.run))
    assert remove(Path(placed.run))
    assert not Path(placed.run).exists()


def test_a_run_that_nobody_goes_on_with_is_given_up(write_rows: WriteRows, make_job: MakeJob, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    for name, days in (("old", 15), ("new", 13)):
        (runs.folder / name).mkdir(parents=True)
        os.utime(runs.folder / name, (time.time() - days * 86400,) * 2)
    with runs.placed(make_job(files_of("kto", write_rows))):
        pass
    assert not (runs.folder / "old").exists()
    assert (runs.folder / "new").exists()


def test_parts_are_equal_down_to_one_row(make_job: MakeJob, write_rows: WriteRows) -> None:
    job: Job | None = make_job(files_of("kto", write_rows))
    assert job is not None
    job.recipe["stages"][0]["batch_size"] = 12
    found = []
    while (job := smaller(job)) is not None:
        found.append(job.recipe["accumulation"])
    assert found == [2, 4, 12]


def test_the_loss_kto_is_not_cut_into_parts(make_job: MakeJob, write_rows: WriteRows) -> None:
    job = make_job(files_of("kto", write_rows))
    job.recipe["stages"][0]["kto_loss"] = "kto"
    assert smaller(job) is None


# Memory that runs out


def test_what_onednn_says_without_memory_is_want_of_memory() -> None:
    assert out_of_memory(RuntimeError("could not create a primitive"))
    assert not out_of_memory(RuntimeError("shapes do not fit"))


def test_out_of_memory_goes_on_in_smaller_parts(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real child, and a processor that really has no memory: whatever reads more than one row asks for too much."""
    starved = tmp_path / "starved"
    starved.mkdir()
    (starved / "sitecustomize.py").write_text(STARVING)
    monkeypatch.setenv("PYTHONPATH", str(starved))
    said: list[str] = []
    job = make_job({"sft": write_rows(SFT)})
    manifest = run_child(
        job, lambda stage, share, text: said.append(f"{stage}: {text}"), None, Runs(tmp_path / "runs", 0)
    )
    assert manifest["recipe"]["accumulation"] == 4
    assert [text for text in said if text.startswith("memory")] == [
        "memory: it ran out; going on with each batch in 2 parts",
        "memory: it ran out; going on with each batch in 4 parts",
    ]
    # The second step is the first that is too large; the first is not made again.
    assert [point[0] for point in manifest["curve"]["sft"]] == list(range(1, 10))


def test_with_one_row_at_a_time_it_says_what_else_helps(
    write_rows: WriteRows, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starved = tmp_path / "starved"
    starved.mkdir()
    (starved / "sitecustomize.py").write_text(STARVING.replace("rows > 1", "rows > 0"))
    monkeypatch.setenv("PYTHONPATH", str(starved))
    with pytest.raises(OutOfMemory, match="one row at a time") as error:
        run_child(make_job({"sft": write_rows(SFT)}), silent)
    assert "4bit" in str(error.value.hint)


# From the second step on, more than one row asks for a million gigabytes.
STARVING = """
import importlib.abc, importlib.util, sys

class Starve(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "strop.trainer.methods.sft":
            return None
        sys.meta_path.remove(self)
        import torch
        from transformers import LlamaModel
        real = LlamaModel.forward
        passes = [0]
        def forward(self, *args, **kwargs):
            rows = len(kwargs["cu_seq_lens_q"]) - 1 if "cu_seq_lens_q" in kwargs else len(kwargs["input_ids"])
            passes[0] += self.training
            if passes[0] > 1 and rows > 1:
                torch.empty(10**15)
            return real(self, *args, **kwargs)
        LlamaModel.forward = forward
        return importlib.util.find_spec(name)

sys.meta_path.insert(0, Starve())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts what it ended for want of memory")
def test_a_child_that_was_ended_by_hand_is_not_taken_for_one_without_memory(
    write_rows: WriteRows, make_job: MakeJob
) -> None:
    assert oom_kills() >= 0
    others = set(psutil.Process().children(recursive=True))  # such as the tests' own Ollama

    def kill(stage: str, share: float | None, text: str) -> None:
        for child in set(psutil.Process().children(recursive=True)) - others:
            child.send_signal(signal.SIGKILL)

    with pytest.raises(TrainingFailed, match="-9") as error:
        run_child(make_job({"sft": write_rows(SFT)}), kill)
    assert not isinstance(error.value, OutOfMemory)


# Through the command line

CLI = [sys.executable, "-m", "strop"]


def strop(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CLI, "--home", str(home), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_command_goes_on_where_it_was(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    rows = write_rows(DPO)
    home = tmp_path / "home"
    home.mkdir()
    (home / "strop.toml").write_text("[trainer]\ncheckpoint_s = 0\ndpo_epochs = 20\n")

    def words(out: str) -> list[str]:
        return ["train", "dpo", "--model", str(tiny_base), "--data", str(rows), "--out", str(tmp_path / out)]

    begun = strop(home, *words("cut"))
    kept = home / "runs"
    deadline = time.monotonic() + 240
    while newest(kept) < 4 and time.monotonic() < deadline and begun.poll() is None:
        time.sleep(0.01)
    with begun:
        below = children(begun.pid)
        assert len(below) == 1, begun.communicate()
        os.kill(below[0], signal.SIGKILL)
        begun.kill()
    assert not (tmp_path / "cut").exists()
    assert any(kept.glob("*/checkpoint-*"))
    outputs = []
    for out in ("cut", "whole"):
        done = strop(home, *words(out), "--json")
        stdout, stderr = done.communicate(timeout=300)
        assert done.returncode == 0, stderr
        outputs.append(json.loads(stdout))
    assert outputs[0]["loss"] == outputs[1]["loss"]
    assert outputs[0]["tokens"] == outputs[1]["tokens"]
    for name, value in weights(str(tmp_path / "whole")).items():
        assert torch.equal(weights(str(tmp_path / "cut"))[name], value), name
    assert not [path for path in kept.iterdir() if path.is_dir()]


def newest(runs: Path) -> int:
    """The number of the newest checkpoint of the one run that is there; 0 before the first."""
    return max((int(path.name.removeprefix("checkpoint-")) for path in runs.glob("*/checkpoint-*")), default=0)


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
