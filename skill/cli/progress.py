"""What goes on during a long command: bars with the time left on a terminal, one line a stage elsewhere. On stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


class _Lines:
    """One line when a stage begins, and one when it has something new to say at its end."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, stage: str, share: float | None = None, text: str = "") -> None:
        begins, ends = stage != self._stage, share is not None and share >= 1
        if begins or (ends and text):
            note(f"{stage}: {text}" if text else stage)
        self._stage = stage


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
