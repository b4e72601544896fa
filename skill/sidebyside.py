"""Two versions measured side by side: whether memory holds both, and each in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from strop.deploy.served import scorer_bytes
from strop.deploy.targets.base import Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version
from strop.server.room import free_memory_bytes, served
from strop.setup import OnProgress
from strop.trainer.serving import Asked, hold, serving

Found = TypeVar("Found")


def hold_both(target: Target, versions: Sequence[Version], precision: str) -> bool:
    """Whether free memory holds a server and a scorer of each version. No where Ollama decides what it keeps loaded."""
    if not isinstance(target, LlamaCppTarget):
        return False
    asked, room = Asked(target.slots, target.context_tokens), free_memory_bytes()
    needs = [serving(served(one.gguf), asked, room).needs_bytes + scorer_bytes(one.gguf, precision) for one in versions]
    return hold(len(needs), max(needs), room)


class _Ended(BaseException):
    """Nobody waits for this work any more. Not an Exception: no item's error."""


def at_once(works: Sequence[Callable[[OnProgress], Found]], on_progress: OnProgress) -> list[Found]:
    """What each work returns, in order. Each runs in a thread of its own, and its progress is told in this one.

    Where one fails or this thread is interrupted, the others end at their next progress, and the first error is raised.
    """
    told: queue.SimpleQueue[tuple[str, float | None, str] | None] = queue.SimpleQueue()
    over = threading.Event()

    def note(step: str, share: float | None, text: str) -> None:
        if over.is_set():
            raise _Ended
        told.put((step, share, text))

    def run(work: Callable[[OnProgress], Found]) -> Found:
        try:
            return work(note)
        except BaseException:
            over.set()
            raise
        finally:
            told.put(None)

    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(run, work) for work in works]
        try:
            _tell(told, len(works), on_progress)
        finally:
            over.set()
    for one in running:
        if (error := one.exception()) is not None and not isinstance(error, _Ended):
            raise error
    return [one.result() for one in running]


def _tell(told: "queue.SimpleQueue[tuple[str, float | None, str] | None]", works: int, on_progress: OnProgress) -> None:
    """Pass the works' progress on until each has put its None."""
    while works:
        if (what := told.get()) is None:
            works -= 1
        else:
            on_progress(*what)
