"""Metrics in Trackio, where it is installed: on this machine alone, or in a private Space that the user named.

Numbers are sent, no texts. Whatever Trackio's environment variables say, nothing leaves the machine without a Space in
the settings. A tracker that fails is named once, and training goes on without it.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

PROJECT = "strop"
# Each of these would make Trackio send what it is told.
_LEADS_OUT = (
    *("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID", "TRACKIO_DATASET_ID", "TRACKIO_WEBHOOK_URL"),
    "TRACKIO_WRITE_TOKEN",
)

# Told of each step: its number in its stage, and its figures by name, which begin with the stage.
Track = Callable[[int, Mapping[str, float]], None]
Note = Callable[[str], None]


@contextmanager
def tracked(name: str, space: str | None, note: Note) -> Iterator[Track]:
    """Give what notes a step of the run `name`; it does nothing where Trackio is not installed.

    `space` is the Space that takes them, made private where it is new; None keeps them here.
    """
    if find_spec("trackio") is None:
        if space is not None:
            note("trackio is not installed, so nothing is tracked: pip install trackio")
        yield lambda step, figures: None
        return
    with _here_alone() if space is None else contextlib.nullcontext():
        run = _Run(name, space, note)
        try:
            yield run.log
        finally:
            run.end()


class _Run:
    """One run in Trackio; the first failure ends it, with a word."""

    def __init__(self, name: str, space: str | None, note: Note) -> None:
        self._note = note
        self._run: Any = None
        with self._careful():
            import trackio

            self._run = trackio.init(
                project=PROJECT, name=name, space_id=space, private=True, resume="allow", embed=False,
                auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if self._run is not None:
            with self._careful():
                self._run.log(dict(figures), step=step)

    def end(self) -> None:
        if self._run is not None:
            with self._careful():
                self._run.finish()

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """What Trackio prints goes to stderr; what it raises is told, and nothing more is tracked."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # a library beside the run: no failure of its may cost the run
            self._run = None
            self._note(f"trackio failed, so nothing more is tracked: {type(error).__name__}: {error}")


@contextmanager
def _here_alone() -> Iterator[None]:
    taken = {name: os.environ.pop(name) for name in _LEADS_OUT if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
