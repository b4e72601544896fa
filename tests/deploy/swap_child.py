"""A release or rollback in a process of its own that kills itself with SIGKILL at the step whose number it is given.

    python tests/deploy/swap_child.py '{"state_db": ..., "kind": "release", "tag": ..., "ollama": {...}, "kill_at": 3}'

Steps are the moment before every call to the target's server and every transaction, the one before each commit, and
the end: between two of them nothing changes that outlives the process. One line a step goes to stdout before it is
taken, so that a run without `kill_at` tells them all.
"""

import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from strop.deploy import release, state_db, versions
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.targets.ollama_api import OllamaApi

CALLS = {
    OllamaApi: ("version", "digests", "show", "upload", "create", "copy", "load", "generate", "chat_tokens"),
    LlamaCppTarget: ("publish", "activate", "active"),
}


class Steps:
    """Counts, tells, and kills."""

    def __init__(self, kill_at: int | None) -> None:
        self.kill_at, self.taken = kill_at, 0

    def take(self, name: str) -> None:
        os.write(1, f"{name}\n".encode())
        if self.taken == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.taken += 1

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def stepped(*args: Any, **others: Any) -> Any:
            self.take(f"before {name}")
            return call(*args, **others)

        return stepped

    def within(self, name: str, block: Callable[..., Any]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def stepped(*args: Any) -> Iterator[Any]:
            self.take(f"before {name}")
            with block(*args) as inner:
                yield inner
                self.take(f"in {name}")  # all of it is done, and none of it committed

        return stepped


def main() -> None:
    job = json.loads(sys.argv[1])
    steps = Steps(job.get("kill_at"))
    for owner, names in CALLS.items():
        for name in names:
            setattr(owner, name, steps.around(name, getattr(owner, name)))
    versions.transaction = steps.within("transaction", state_db.transaction)  # type: ignore[assignment]
    release.release_lock = steps.within("lock", release.release_lock)  # type: ignore[assignment]
    target = OllamaTarget(OllamaSettings(**job["ollama"])) if "ollama" in job else LlamaCppTarget()
    kept, lock = versions.Versions(Path(job["state_db"])), Path(job["state_db"]).parent / "locks" / "release.lock"
    if job["kind"] == "release":
        release.release(kept, target, job["tag"], lock, {"verdict": "promote"})
    else:
        release.rollback(kept, target, lock, evidence={"reason": "complaints"})
    steps.take("end")


if __name__ == "__main__":
    main()
