"""What goes on during a long command: bars with the time left on a terminal, one line a stage elsewhere. On stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from strop.cli.output import clean, note


class OnProgress(Protocol):
    """Told by a long command how far it is.

    `stage` is a short name ("train"); `share` runs from 0 to 1, None where it cannot be known; `text` adds figures.
    """

    def __call__(self, stage: str, share: float | None = None, text: str = "") -> None: ...


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[OnProgress]:
    """Give an OnProgress for the block. `quiet` prints nothing at all."""
    if quiet:
        yield lambda stage, share=None, text="": None
    elif sys.stderr.isatty():
        with _bars() as on_progress:
            yield on_progress
    else:
        yield _Lines()


@dataclass
class _Stage:
    """A stage that has begun: when, how far it was then, and when a line last spoke of it."""

    begun: float
    first: float
    said: float

    def how_far(self, share: float | None, now: float) -> str:
        if share is None or share <= self.first:
            return ""
        left = (now - self.begun) / (share - self.first) * (1 - share)
        return f"{share:.0%}, about {left / 60:.0f} min left" if left >= 90 else f"{share:.0%}, about {left:.0f} s left"


class _Lines:
    """One line when a stage begins, one when it has something to say at its end, and one every half a minute.

    Stages may go on side by side.
    """

    _EVERY_S = 30.0

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._going: dict[str, _Stage] = {}

    def __call__(self, stage: str, share: float | None = None, text: str = "") -> None:
        now, over = self._clock(), share is not None and share >= 1
        if (going := self._going.get(stage)) is None:
            self._going[stage] = _Stage(now, share or 0.0, now)
            note(f"{stage}: {text}" if text else stage)
        elif over:
            if text:
                note(f"{stage}: {text}")
        elif now - going.said >= self._EVERY_S:
            going.said = now
            note(": ".join(part for part in (stage, going.how_far(share, now), text) if part))
        if over:
            del self._going[stage]


@contextmanager
def _bars() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column

    # The figures give way in a narrow terminal: stage, bar and time left stay readable at 80 columns.
    figures = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description:<12}", markup=False, table_column=Column(no_wrap=True, min_width=30)),
        BarColumn(bar_width=12, table_column=Column(min_width=12)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[text]}", markup=False, table_column=figures),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), expand=True) as bars:

        def on_progress(stage: str, share: float | None = None, text: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(clean(stage), total=None, text="")
            total = None if share is None else 1.0
            bars.update(tasks[stage], total=total, completed=share or 0.0, text=clean(text))

        yield on_progress
