"""Jobs: `train`, `tune` and `night` in the background, for a shell that ends before they do.

A job is a folder in the home, `jobs/<id>/`: `job.json` (what runs, since when, in which process; there before the
command begins), `stdout`, `stderr`, `cancel.json` once somebody asked for its end, and `exit.json`, written last.
`strop.jobrunner` is the process.

Covered: the shell and the session that started it may end; a job that was killed (kill -9, no memory, no power) has no
exit.json and no process, and is "lost"; another process with the same number is not mistaken for it. A job that ended
stays until 50 newer ones have, or until `strop feedback forget` takes something out: output may hold texts.

Not covered: Windows; a home that two computers share; secrets on the command line (no option of ours is one; the
environment is handed on and never stored).
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from strop.errors import JobError, NothingToDo, StillRunning, UnknownJob
from strop.files import write_json
from strop.home import Home

JobState = Literal["running", "done", "failed", "cancelled", "lost"]
JOB, CANCEL, EXIT, STDOUT, STDERR = "job.json", "cancel.json", "exit.json", "stdout", "stderr"
# Ends that are an answer: done, nothing to do, not enough data, kept, undecided.
GOOD_CODES = frozenset({0, 10, 11, 20, 21})
KEPT = 50
TAIL_LINES = 20

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_TAIL_BYTES = 1 << 16
_POLL_S = 0.2
# Long enough to leave a training step and to stop a model server.
_GRACE_S = 15.0
# The system reckons a process's start from its own, in hundredths and from a clock that may be set a little meanwhile.
_SAME_START_S = 2.0
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when it was read. `command` is what follows `strop`; `pid` leads a process group of its own.

    `ended` and `exit_code` are None while it runs and where it was killed; `seconds` is None only for the latter.
    """

    id: str
    folder: Path
    command: tuple[str, ...]
    started: datetime
    pid: int
    state: JobState
    ended: datetime | None = None
    exit_code: int | None = None
    seconds: float | None = None

    @property
    def stdout(self) -> str:
        """All that it has printed."""
        return _text(self.folder / STDOUT)

    def tail(self, name: str) -> str:
        """The last lines of `stdout` or `stderr`, 64 KiB at most."""
        return "\n".join(_text(self.folder / name, _TAIL_BYTES).splitlines()[-TAIL_LINES:])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "job": self.id,
            "id": self.id,
            "state": self.state,
            "command": ["strop", *self.command],
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "exit_code": self.exit_code,
            "folder": str(self.folder),
        }


def start(home: Home, command: Sequence[str]) -> Job:
    """Start `strop COMMAND` on this home in the background; when this returns, its job.json is on disk.

    It gets this process's environment and folder, nothing on stdin, and a session of its own. Old jobs are removed
    first. Raises JobError where it cannot be started.
    """
    if os.name != "posix":
        raise JobError("this system cannot run a job in the background", hint="the same command without --detach")
    prune(home)
    now = datetime.now(UTC)
    folder = home.ensure().jobs / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder.mkdir(mode=0o700)
    # -P: no module is taken from the folder in which this was called.
    runner = [sys.executable, "-P", "-m", "strop.jobrunner", str(folder), *command]
    out, err = _new_file(folder / STDOUT), _new_file(folder / STDERR)
    try:
        subprocess.run(runner, stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False)
    finally:
        os.close(out)
        os.close(err)
    if (job := _read(folder)) is None:
        said = _text(folder / STDERR).strip().splitlines()
        shutil.rmtree(folder)
        raise JobError(f"the job did not start: {said[-1] if said else 'no word'}", hint="strop doctor")
    return job


def jobs(home: Home) -> list[Job]:
    """All jobs, newest first."""
    found = (_read(folder) for folder in sorted(_folders(home), reverse=True))
    return [job for job in found if job is not None]


def find(home: Home, id_: str) -> Job:
    """The job with that id. Raises UnknownJob where there is none, also for what is no id at all."""
    job = _read(home.jobs / id_) if _ID.fullmatch(id_) else None
    if job is None:
        raise UnknownJob(f"there is no job {id_!r} in this home", hint="strop jobs list")
    return job


def wait(home: Home, id_: str, timeout_s: float | None = None) -> Job:
    """Wait until the job has ended, at most `timeout_s`; returns it. Raises StillRunning, and what `find` raises."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while (job := find(home, id_)).state == "running":
        left_s = _POLL_S if until is None else until - time.monotonic()
        if left_s <= 0:
            raise StillRunning(f"job {id_} is still running", hint=f"strop jobs wait {id_}")
        time.sleep(min(left_s, _POLL_S))
    return job


def cancel(home: Home, id_: str, grace_s: float = _GRACE_S) -> Job:
    """End a job as Ctrl-C would, and by SIGKILL to its whole process group where that takes longer than `grace_s`.

    Only the job's own process is asked at first: it ends what it has started, and no child's death is taken for a
    failure. Raises NothingToDo where it does not run.
    """
    job = find(home, id_)
    if job.state != "running":
        raise NothingToDo(f"job {id_} does not run: {job.state}", hint=f"strop jobs show {id_}")
    write_json(job.folder / CANCEL, {"asked": datetime.now(UTC).isoformat()})
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(job.pid, signal.SIGINT)
    try:
        return wait(home, id_, grace_s)
    except StillRunning:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        return wait(home, id_, _GRACE_S)


def prune(home: Home, keep: int = KEPT) -> None:
    """Remove the jobs that ended but for the newest `keep`, and what a start that was killed left."""
    ended = [job.folder for job in jobs(home) if job.state != "running"]
    for folder in [*ended[keep:], *_abandoned(home)]:
        with suppress(FileNotFoundError):  # another start removes it as well
            (folder / JOB).unlink(missing_ok=True)  # first: half a job is none
            shutil.rmtree(folder)


def take_out_texts(home: Home) -> list[Path]:
    """Empty the output of the jobs that run; returns all other folders, for the caller to remove.

    Also those without a job.json: a removal that was killed may have left the output.
    """
    running = {job.folder for job in jobs(home) if job.state == "running"}
    for folder in running:
        for name in (STDOUT, STDERR):
            os.truncate(folder / name, 0)  # it is open for appending: what comes next stands at the beginning
    return [folder for folder in _folders(home) if folder not in running]


def _read(folder: Path) -> Job | None:
    """None where there is no job, or where it is being made."""
    facts = _json(folder / JOB)
    if facts is None:
        return None
    runs = _runs(facts)  # first: a job that ends meanwhile has written its exit.json
    left = _json(folder / EXIT)
    started = datetime.fromisoformat(facts["started"])
    known: dict[str, Any] = {
        "id": facts["id"],
        "folder": folder,
        "command": tuple(facts["command"]),
        "started": started,
        "pid": facts["pid"],
    }
    if left is not None:
        ended, code = datetime.fromisoformat(left["ended"]), int(left["code"])
        state: JobState = "done" if code in GOOD_CODES else "cancelled" if (folder / CANCEL).exists() else "failed"
        return Job(**known, state=state, ended=ended, exit_code=code, seconds=left["seconds"])
    if runs:
        return Job(**known, state="running", seconds=(datetime.now(UTC) - started).total_seconds())
    return Job(**known, state="cancelled" if (folder / CANCEL).exists() else "lost")


def _runs(facts: dict[str, Any]) -> bool:
    """Whether the job's process is alive, and is that very process.

    Where the clock was set since, its start is no proof; its command line, which names the job, is.
    """
    import psutil

    try:
        process = psutil.Process(facts["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        same = abs(process.create_time() - facts["process_started"]) <= _SAME_START_S
        return same or any(word.endswith(facts["id"]) for word in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # none, or another user's
        return False


def _json(path: Path) -> dict[str, Any] | None:
    """None where there is none. What a bad disk left unreadable is as good as gone: it must be in no `forget`'s way."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _folders(home: Home) -> Iterator[Path]:
    if home.jobs.is_dir():  # a question must not make a home
        yield from (path for path in home.jobs.iterdir() if _ID.fullmatch(path.name))


def _abandoned(home: Home) -> list[Path]:
    """Folders in which nothing was ever started, an hour old: younger ones may be in the making."""
    found = []
    for folder in _folders(home):
        with suppress(FileNotFoundError):  # another start removes it at this moment
            if _json(folder / JOB) is None and time.time() - folder.stat().st_mtime > _ABANDONED_S:
                found.append(folder)
    return found


def _new_file(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)


def _text(path: Path, last_bytes: int | None = None) -> str:
    """What stands in a file, or in the last bytes of it; "" where it was removed."""
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                file.seek(max(file.seek(0, os.SEEK_END) - last_bytes, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
