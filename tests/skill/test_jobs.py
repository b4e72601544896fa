"""Jobs in the background: real processes, which outlive whoever started them, end, are ended, and are killed.

A command that waits is an import from a pipe: it ends when something was written into it.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import psutil
import pytest
import typer
from filelock import FileLock

from strop import jobs
from strop.cli.jobs import DetachFlag, same_command
from strop.cli.output import Session
from strop.config import load
from strop.errors import JobError, NothingToDo, StillRunning, UnknownJob
from strop.feedback import FeedbackCollector
from strop.feedback.selected import Selector
from strop.files import read_manifest, write_json
from strop.forget import forget
from strop.home import Home
from strop.jobs import Job
from strop.journal import Journal
from strop.schedule import night_running

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a job is a POSIX process")

Strop = Callable[..., Any]
MARK = "Zanzibar-qux-7719"
ENOUGH_S = 120.0
_START = (
    "import sys; from pathlib import Path; from strop import jobs; from strop.home import Home; "
    "print(jobs.start(Home(Path(sys.argv[1])), sys.argv[2:]).id, flush=True); sys.stdin.read()"
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    """An empty home; what still runs in it when the test ends is killed."""
    home = Home(tmp_path / "home")
    yield home
    _kill_all(home)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """An import from here waits until somebody writes."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [{"prompt": f"What is number {n}?", "completion": f"It is {n}, and that is all."} for n in range(8)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have become jobs, instead of jobs."""
    found: list[list[str]] = []

    def start(home: Home, command: list[str]) -> Job:
        found.append(command)
        return by_hand(home, 1, code=0)

    monkeypatch.setattr(jobs, "start", start)
    return found


def _kill_all(home: Home) -> None:
    for job in jobs.jobs(home):
        if job.state == "running":
            os.killpg(job.pid, signal.SIGKILL)


def waiting(pipe: Path) -> list[str]:
    """The command that waits for `pipe`."""
    return ["feedback", "import", str(pipe), "--from", "strop"]


def by_hand(home: Home, number: int, *, code: int | None = None, **facts: Any) -> Job:
    """A job that this process never started; without a `code` it has not ended."""
    folder = home.ensure().jobs / f"20260101T{number:06}Z-abcdef"
    folder.mkdir()
    known = {"id": folder.name, "command": ["night"], "started": "2026-01-01T00:00:00+00:00"}
    write_json(folder / jobs.JOB, {**known, "pid": 1, "process_started": 1.0, **facts})
    for name in (jobs.STDOUT, jobs.STDERR):
        (folder / name).touch()
    if code is not None:
        write_json(folder / jobs.EXIT, {"code": code, "ended": "2026-01-01T00:00:07+00:00", "seconds": 7.0})
    return jobs.find(home, folder.name)


def until(true: Callable[[], Any]) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + ENOUGH_S
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether no process of that group is alive."""
    group = [one for one in psutil.process_iter() if one.pid != 0 and _group(one.pid) == pid]
    return all(one.status() == psutil.STATUS_ZOMBIE for one in group if one.is_running())


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


# From start to end


def test_a_job_ends_with_its_commands_output_and_exit_code(place: Home, strop: Strop) -> None:
    good = jobs.start(place, ["feedback", "stats", "--json"])
    bad = jobs.start(place, ["feedback", "show", "nosuchid"])
    none = jobs.start(place, ["feedback", "export", "--json"])
    states = [jobs.wait(place, job.id, ENOUGH_S) for job in (good, bad, none)]
    assert [(job.state, job.exit_code) for job in states] == [("done", 0), ("failed", 2), ("done", 10)]

    said = strop(place, "jobs", "wait", good.id)
    assert (said.code, said.json["schema_version"]) == (0, 1)
    said = strop(place, "jobs", "wait", bad.id)
    assert (said.code, said.out) == (2, "")
    assert "error: the ledger holds no answer yet" in said.err
    said = strop(place, "jobs", "wait", none.id, "--json")
    assert (said.code, said.json["exit_code"]) == (10, 10)
    assert json.loads(said.json["stdout"])["error"]["code"] == "nothing_to_do"


def test_a_wrong_option_is_the_jobs_own_failure(place: Home) -> None:
    job = jobs.wait(place, jobs.start(place, ["night", "--nosuch"]).id, ENOUGH_S)
    assert (job.state, job.exit_code) == ("failed", 2)
    assert "--nosuch" in job.tail("stderr")


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL])
def test_a_job_outlives_the_session_that_started_it(place: Home, pipe: Path, how: signal.Signals) -> None:
    # As an agent's shell does it, with interrupts ignored.
    shell = subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", _START, str(place.path), *waiting(pipe)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with shell:
        assert shell.stdout is not None
        id_ = shell.stdout.readline().strip()
        os.killpg(shell.pid, how)
    job = jobs.find(place, id_)
    assert job.state == "running"
    assert os.getsid(job.pid) == os.getpgid(job.pid) == job.pid
    if how == signal.SIGHUP:
        pipe.write_text("", encoding="utf-8")
        assert (jobs.wait(place, id_, ENOUGH_S).state, jobs.find(place, id_).exit_code) == ("done", 0)
    else:
        # Although its shell ignored it, the job knows an interrupt.
        assert jobs.cancel(place, id_, ENOUGH_S).exit_code == 130


def test_starting_leaves_no_child_behind(place: Home) -> None:
    before = psutil.Process().children()
    job = jobs.start(place, ["feedback", "stats"])
    assert psutil.Process().children() == before
    jobs.wait(place, job.id, ENOUGH_S)


def test_jobs_that_start_at_once_are_two(place: Home) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda name: jobs.start(place, ["feedback", name]), ["stats", "list"])
    assert first.id != second.id
    assert [jobs.wait(place, job.id, ENOUGH_S).exit_code for job in (first, second)] == [0, 0]
    assert "interactions" in first.stdout
    assert "reactions" in second.stdout
    assert {job.id for job in jobs.jobs(place)} == {first.id, second.id}


def test_a_job_that_cannot_start_leaves_nothing(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.sys, "executable", "false")
    with pytest.raises(JobError, match="did not start"):
        jobs.start(place, ["night"])
    assert list(place.jobs.iterdir()) == []


def test_another_system_is_told_so(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.os, "name", "nt")
    with pytest.raises(JobError, match="background") as told:
        jobs.start(place, ["night"])
    assert "without --detach" in told.value.hint


# What lies on disk


def test_the_files_are_the_owners_alone_and_hold_no_secret(
    place: Home, pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_madeUpToken")
    before = os.umask(0)
    try:
        job = jobs.start(place, waiting(pipe))
    finally:
        os.umask(before)
    assert psutil.Process(job.pid).environ()["HF_TOKEN"] == "hf_madeUpToken"
    jobs.cancel(place, job.id)
    files = list(job.folder.iterdir())
    assert {path.name for path in files} == {"job.json", "cancel.json", "exit.json", "stdout", "stderr"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (job.folder, place.jobs, place.path)} == {0o700}
    assert not [path for path in files if b"hf_madeUpToken" in path.read_bytes()]


def test_the_newest_fifty_that_ended_are_kept(place: Home, pipe: Path) -> None:
    running = jobs.start(place, waiting(pipe))
    made = [by_hand(place, number, code=number % 2) for number in range(52)]
    half = place.jobs / "20250101T000000Z-abcdef"
    half.mkdir()
    os.utime(half, (1.0, 1.0))
    young = place.jobs / "20250101T000001Z-abcdef"
    young.mkdir()
    new = jobs.start(place, ["feedback", "stats"])
    left = {path.name for path in place.jobs.iterdir()}
    assert left == {new.id, running.id, young.name, *(job.id for job in made[2:])}
    assert young.name not in {job.id for job in jobs.jobs(place)}
    jobs.wait(place, new.id, ENOUGH_S)


def test_forgetting_removes_what_jobs_have_printed(place: Home, pipe: Path) -> None:
    with FeedbackCollector(place.ensure().ledger_db) as collector:
        collector.rate(collector.record(prompt=f"About {MARK}?", answer="So."), "down", source_key="1")
    told = jobs.start(place, ["feedback", "list"])
    jobs.wait(place, told.id, ENOUGH_S)
    assert MARK in told.stdout
    halved = place.jobs / "20260101T000001Z-abcdef"  # a removal that was killed
    halved.mkdir()
    (halved / "stdout").write_text(MARK, encoding="utf-8")
    running = jobs.start(place, waiting(pipe))
    with (running.folder / "stderr").open("a", encoding="utf-8") as file:
        file.write(MARK)

    with pytest.raises(NothingToDo):
        forget(place, load(place), Selector("match", ("nothing has this",)))
    assert told.folder.exists()
    receipt = forget(place, load(place), Selector("match", (MARK,)))

    assert not [path for path in place.path.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]
    assert set(receipt.logs) == {f"jobs/{told.id}", f"jobs/{halved.name}"}
    assert [job.id for job in jobs.jobs(place)] == [running.id]
    pipe.write_text("", encoding="utf-8")
    ended = jobs.wait(place, running.id, ENOUGH_S)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("0 stored")


# Waiting, cancelling, and what was killed


def test_waiting_no_longer_than_asked(place: Home, pipe: Path, strop: Strop) -> None:
    job = jobs.start(place, waiting(pipe))
    said = strop(place, "jobs", "wait", job.id, "--timeout", "0.3", "--json")
    assert (said.code, said.json["error"]["code"]) == (124, "still_running")
    assert said.json["error"]["hint"] == f"strop jobs wait {job.id}"
    with pytest.raises(StillRunning):
        jobs.wait(place, job.id, 0)
    assert strop(place, "jobs", "show", job.id, "--json").json["state"] == "running"


def test_a_cancelled_job_ends_as_if_interrupted(place: Home, pipe: Path, strop: Strop) -> None:
    job = jobs.start(place, waiting(pipe))
    said = strop(place, "jobs", "cancel", job.id)
    assert (said.code, said.out) == (0, f"{job.id} cancelled\n")
    assert gone(job.pid)
    assert strop(place, "jobs", "wait", job.id).code == 130
    again = strop(place, "jobs", "cancel", job.id, "--json")
    assert (again.code, again.json["error"]["code"]) == (10, "nothing_to_do")


def test_a_job_that_does_not_listen_is_killed_with_its_group(place: Home, pipe: Path, strop: Strop) -> None:
    job = jobs.start(place, waiting(pipe))
    ended = jobs.cancel(place, job.id, grace_s=0)
    assert ended.state == "cancelled"
    until(lambda: gone(job.pid))
    assert strop(place, "jobs", "wait", job.id).code == 130


def test_a_termination_signal_is_an_end_and_no_loss(place: Home, pipe: Path) -> None:
    job = jobs.start(place, waiting(pipe))
    os.kill(job.pid, signal.SIGTERM)
    ended = jobs.wait(place, job.id, ENOUGH_S)
    assert (ended.state, ended.exit_code) == ("failed", 130)


def test_a_killed_job_is_lost(place: Home, pipe: Path, strop: Strop) -> None:
    job = jobs.start(place, waiting(pipe))
    os.kill(job.pid, signal.SIGKILL)
    lost = jobs.wait(place, job.id, ENOUGH_S)
    assert (lost.state, lost.exit_code, lost.ended, lost.seconds) == ("lost", None, None, None)
    said = strop(place, "jobs", "wait", job.id)
    assert said.code == 1
    assert "without a word" in said.err
    assert f"hint: the same command again: strop feedback import {pipe} --from strop" in said.err
    assert strop(place, "jobs", "show", job.id, "--json").json["state"] == "lost"


def test_another_process_with_the_same_number_is_not_the_job(place: Home) -> None:
    me = psutil.Process()
    assert by_hand(place, 1, pid=me.pid, process_started=me.create_time() - 60).state == "lost"
    assert by_hand(place, 2, pid=me.pid, process_started=me.create_time()).state == "running"
    (place.jobs / "20260101T000002Z-abcdef" / jobs.JOB).unlink()  # it is this process


def test_a_clock_that_was_set_does_not_lose_a_job(place: Home, pipe: Path) -> None:
    job = jobs.start(place, waiting(pipe))
    facts = json.loads((job.folder / jobs.JOB).read_text(encoding="utf-8"))
    write_json(job.folder / jobs.JOB, {**facts, "process_started": facts["process_started"] + 7200})
    assert jobs.find(place, job.id).state == "running"


def test_a_process_that_only_waits_to_be_collected_has_ended(place: Home) -> None:
    with subprocess.Popen(["true"]) as child:
        process = psutil.Process(child.pid)
        started = process.create_time()
        until(lambda: process.status() == psutil.STATUS_ZOMBIE)
        assert by_hand(place, 1, pid=child.pid, process_started=started).state == "lost"


# Names, lists and what is shown


@pytest.mark.parametrize(
    "bad",
    ["", ".", "..", "../..", "a/b", "/etc", "20260101T000001Z-ABCDEF", "20260101T000001Z-abcdef\n", "20260101T000009Z"],
)
def test_what_is_no_id_is_refused(place: Home, strop: Strop, bad: str) -> None:
    by_hand(place, 1, code=0)
    for command in ("show", "wait", "cancel"):
        said = strop(place, "jobs", command, "--json", "--", bad)
        assert (said.code, said.json["error"]["code"]) == (2, "unknown_job")
    with pytest.raises(UnknownJob):
        jobs.find(place, bad)


def test_an_id_that_nobody_has_is_refused(place: Home, strop: Strop) -> None:
    said = strop(place, "jobs", "show", "20260101T000001Z-abcdef")
    assert said.code == 2
    assert said.err.endswith("hint: strop jobs list\n")
    assert not place.path.exists(), "a question makes no home"


def test_the_list_is_newest_first(place: Home, strop: Strop) -> None:
    assert strop(place, "jobs", "list", "--json").json["jobs"] == []
    by_hand(place, 1, code=0)
    by_hand(place, 2, code=20)
    by_hand(place, 3, code=1)
    by_hand(place, 4)
    said = strop(place, "jobs", "list")
    cells = [line.split("\t") for line in said.out.splitlines()]
    assert cells[0] == ["id", "state", "command", "started (UTC)", "seconds", "exit code"]
    assert [row[1] for row in cells[1:]] == ["lost", "failed", "done", "done"]
    assert cells[3] == ["20260101T000002Z-abcdef", "done", "strop night", "2026-01-01 00:00:00", "7", "20"]


def test_what_is_shown_steers_no_terminal_and_is_the_end(place: Home, strop: Strop) -> None:
    job = by_hand(place, 1, code=1)
    said_before = "".join(f"line {number}\n" for number in range(20000))
    (job.folder / "stdout").write_text(f"{said_before}\x1b[31mred\x1b]0;title\x07\n", encoding="utf-8")
    (job.folder / "stderr").write_bytes(b"\x9b2J\xff done\n")
    for command in ("show", "wait"):
        said = strop(place, "jobs", command, job.id)
        assert not set(said.out + said.err) & {"\x1b", "\x07", "\x9b"}
        assert said.out.rstrip().splitlines()[-1].strip() in ("red", "done", "� done", "�2J� done")
    shown = strop(place, "jobs", "show", job.id, "--json").json
    assert len(shown["stdout"].splitlines()) == 20
    assert shown["stdout"].splitlines()[-2] == "line 19999"


def test_what_a_bad_disk_left_of_a_job_is_in_nobodys_way(place: Home, strop: Strop) -> None:
    lost, none = by_hand(place, 1, code=0), by_hand(place, 2, code=0)
    (lost.folder / jobs.EXIT).write_text("{", encoding="utf-8")
    (none.folder / jobs.JOB).write_bytes(b"\xff\x00")
    assert [job.state for job in jobs.jobs(place)] == ["lost"]
    assert strop(place, "jobs", "show", none.id).code == 2
    assert set(jobs.take_out_texts(place)) == {lost.folder, none.folder}
    os.utime(none.folder, (1.0, 1.0))
    jobs.prune(place, keep=0)
    assert list(place.jobs.iterdir()) == []


# --detach


def test_the_job_is_the_same_command_without_the_option(
    place: Home, asked: list[list[str]], rows: Path, tmp_path: Path, strop: Strop
) -> None:
    out, gguf = str(tmp_path / "out"), str(tmp_path / "mine.gguf")
    said = strop(place, "train", "--detach", "sft", "--model", "a b", "--data", str(rows), "--out", out, "--rank", "4")
    assert (said.code, said.out) == (0, "20260101T000001Z-abcdef\n")
    assert said.err == "hint: strop jobs wait 20260101T000001Z-abcdef\n"
    (place.jobs / "20260101T000001Z-abcdef").rename(place.jobs / "20260101T000002Z-abcdef")
    strop(place, "--verbose", "tune", str(rows), f"--to={gguf}", "--learning-rate", "3e-05", "--json", "--detach")
    (place.jobs / "20260101T000001Z-abcdef").rename(place.jobs / "20260101T000003Z-abcdef")
    said = strop(place, "night", "--if-due", "--detach", "--json")
    assert said.json["job"] == "20260101T000001Z-abcdef"
    assert asked == [
        ["train", "--model", "a b", "--data", str(rows), "--out", out, "--rank", "4", "--", "sft"],
        ["--verbose", "tune", "--to", gguf, "--learning-rate", "3e-05", "--json", "--", str(rows)],
        ["night", "--if-due", "--json"],
    ]


def test_every_kind_of_option_is_passed_on(place: Home) -> None:
    found: list[list[str]] = []
    toy = typer.Typer()

    @toy.callback()
    def group(ctx: typer.Context) -> None:
        ctx.obj = Session(place)

    @toy.command()
    def play(
        ctx: typer.Context,
        files: list[str],
        tag: Annotated[list[str], typer.Option()],
        fast: Annotated[bool, typer.Option("--fast/--slow")] = True,
        unsaid: Annotated[int, typer.Option()] = 3,
        detach: DetachFlag = False,
    ) -> None:
        found.append(same_command(ctx))

    args = ["play", "--detach", "--tag", "-a", "--tag", "b c", "--slow", "--", "-x", "y"]
    toy(args=args, prog_name="strop", standalone_mode=False)
    toy(args=found[0], prog_name="strop", standalone_mode=False)
    assert found == [["play", "--tag", "-a", "--tag", "b c", "--slow", "--", "-x", "y"]] * 2


def test_what_is_wrong_is_said_before_anything_is_started(
    place: Home, asked: list[list[str]], rows: Path, tmp_path: Path, strop: Strop
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n", encoding="utf-8")
    train = ("train", "sft", "--detach", "--model", "smollm2", "--data")
    assert strop(place, *train, str(rows), "--out", str(tmp_path)).code == 2
    assert strop(place, *train, str(bad), "--out", str(tmp_path / "out")).code == 2
    assert strop(place, "train", "nosuch", "--detach", "--model", "x", "--data", "y", "--out", "z").code == 2
    assert strop(place, "tune", str(rows), "--to", str(tmp_path / "mine.bin"), "--detach").code == 2
    assert strop(place, "tune", str(bad), "--to", str(tmp_path / "mine.gguf"), "--detach").code == 2
    with FileLock(place.night_lock):
        assert strop(place, "night", "--detach").code == 40
    place.config_file.write_text("nosuch = 1\n", encoding="utf-8")
    assert strop(place, "night", "--detach").code == 2
    assert asked == []


def test_a_real_training_in_the_background(
    place: Home, tiny_base: Path, rows: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(rows.parent)
    options = ("--model", str(tiny_base), "--data", rows.name, "--rank", "4", "--json", "--detach")
    begun = strop(place, "train", "sft", *options, "--epochs", "1", "--out", "short")
    assert begun.code == 0
    said = strop(place, "jobs", "wait", begun.json["job"], "--timeout", f"{ENOUGH_S}")
    assert said.code == 0, said.err
    assert said.json["adapter"] == "short"
    assert read_manifest(rows.parent / "short")["rows"] == {"sft": 8}

    # Another one, which is ended in the middle of its training.
    long = strop(place, "train", "sft", *options, "--epochs", "50000", "--out", "long").json["job"]
    job = jobs.find(place, long)
    until(lambda: "train sft" in job.tail("stderr") or jobs.find(place, long).state != "running")
    family = psutil.Process(job.pid).children(recursive=True)
    assert family
    assert strop(place, "jobs", "cancel", long, "--json").json["state"] == "cancelled"
    assert jobs.find(place, long).exit_code == 130
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert not (rows.parent / "long").exists()


@pytest.mark.slow
def test_a_cancelled_night_leaves_a_home_that_goes_on(
    nights: ModuleType, home: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    nights.correct(home, 60)
    id_ = strop(home, "night", "--detach", "--json").json["job"]
    try:
        job = jobs.find(home, id_)
        until(lambda: "train " in job.tail("stderr") or jobs.find(home, id_).state != "running")
        assert strop(home, "night", "--detach").code == 40
        assert jobs.cancel(home, id_).state == "cancelled"
    finally:
        _kill_all(home)
    assert not night_running(home)
    assert strop(home, "status").code == 0
    with Journal(home.state_db) as journal:
        journal.start_run("manual", "")
        assert [run.state for run in journal.runs(2)] == ["running", "interrupted"]
        assert [step.name for step in journal.steps(journal.runs(2)[1].id) if step.state == "done"] == ["pairs"]
