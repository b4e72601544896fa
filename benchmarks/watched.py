"""The most memory that a stretch of work holds: on a card what torch has allocated there, else the resident process."""

import gc
import threading
from typing import Self

import psutil

_EVERY_S = 0.01


class Peak:
    """`with Peak() as peak:` and then `peak.bytes`. Resident memory is read a hundred times a second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return self
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        self._over.set()
        if self._reader is None:
            self.bytes = int(torch.cuda.max_memory_allocated())
        else:
            self._reader.join()

    def _read(self) -> None:
        process = psutil.Process()
        while not self._over.wait(_EVERY_S):
            self.bytes = max(self.bytes, process.memory_info().rss)


def release() -> None:
    """Let go of what nobody holds any more, so that it is not counted with what comes."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
