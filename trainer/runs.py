"""Runs that go on: where a run's checkpoints lie, and how a run that was out of memory is made smaller."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import Any

from filelock import FileLock, Timeout

from strop.errors import Locked
from strop.files import private_dir
from strop.trainer.work import Job

_LOCK = ".lock"
# A run that nobody has gone on with for so long is given up, and its checkpoint goes.
_KEPT_S = 14 * 24 * 3600.0
_VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class Runs:
    """Holds a folder a run, named by what the run follows from; a checkpoint is kept every `every_s` seconds.

    `space` is the Trackio Space that takes the figures too, None for none.
    """

    folder: Path
    every_s: float = 120.0
    space: str | None = None

    @contextmanager
    def placed(self, job: Job) -> Iterator[Job]:
        """The job with a folder that no other process uses meanwhile. Raises Locked where one does."""
        private_dir(self.folder)
        self._give_up_old()
        name = job.key()[:16]
        lock = FileLock(self.folder / (name + _LOCK), mode=0o600)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            raise Locked("the same training runs already", hint="strop jobs list") from None
        with held:
            yield replace(job, run=str(self.folder / name), checkpoint_s=self.every_s)

    def _give_up_old(self) -> None:
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process gave it up
                if path.is_dir() and time() - path.stat().st_mtime > _KEPT_S:
                    remove(path)


def remove(folder: Path) -> bool:
    """Take one run's folder away; False where a process uses it."""
    lock = FileLock(folder.with_name(folder.name + _LOCK), mode=0o600)
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        return False
    return True


def smaller(job: Job) -> Job | None:
    """The same steps, each batch read in twice as many parts; None where a part is one row already,
    and for the loss `kto`, which compares the rows of a part.

    What is learned stays the same, so the run goes on from its checkpoint.
    """
    recipe: dict[str, Any] = job.recipe
    if any(stage["method"] == "kto" and stage["kto_loss"] == "kto" for stage in recipe["stages"]):
        return None
    batch = max(_rows_a_step(stage) for stage in recipe["stages"])
    # Only parts of equal size make the same step.
    wanted = (parts for parts in range(2 * recipe["accumulation"], batch + 1) if batch % parts == 0)
    parts = next(wanted, None)
    return None if parts is None else replace(job, recipe={**recipe, "accumulation": parts})


def _rows_a_step(stage: dict[str, Any]) -> int:
    """Of GRPO: answers, of which one group is the least; its parts must divide that, or the step would grow."""
    return int(stage["generations"] if stage["method"] == "grpo" else stage["batch_size"])


def oom_kills() -> int:
    """How many processes the system has ended for want of memory since it started; 0 where it does not say."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
