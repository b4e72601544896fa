"""The steps of one run: each is done once for the same input, and a row in the journal says so."""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from strop.evaluation import Test
from strop.files import DamagedFolder, canonical_json, sha256_bytes
from strop.journal import Journal, StepRow
from strop.setup import OnProgress


class Done(NamedTuple):
    """What a step leaves: a path, the hash of what stands there, figures, and what the gate spent."""

    output: Path
    output_hash: str
    facts: Mapping[str, Any] = {}
    test: Test | None = None


class Steps:
    """Does the steps of the run `run_id`."""

    def __init__(self, journal: Journal, run_id: str, on_progress: OnProgress) -> None:
        self._journal, self._run_id, self._on_progress = journal, run_id, on_progress

    def do(self, name: str, key: str, work: Callable[[], Done], whole: Callable[[StepRow], object]) -> StepRow:
        """Do a step, or skip it where an earlier run finished it on the same input and `whole` does not object."""
        known = self._journal.done_step(name, key)
        if known is not None and Path(known.output).exists():
            try:
                whole(known)
            except DamagedFolder:
                self._on_progress(name, None, "what was there is damaged: doing it again")
            else:
                self._on_progress(name, 1.0, "done before")
                return known
        number, started = self._journal.start_step(self._run_id, name, key), monotonic()
        try:
            done = work()
        except BaseException as error:
            self._journal.fail_step(number, f"{type(error).__name__}: {error}", seconds=monotonic() - started)
            raise
        self._journal.finish_step(
            number,
            output=done.output,
            output_hash=done.output_hash,
            seconds=monotonic() - started,
            facts=done.facts,
            test=done.test,
        )
        found = self._journal.done_step(name, key)
        if found is None:
            raise DamagedFolder(f"the journal lost step {name}", hint="strop doctor")
        return found


def input_hash(*parts: Any) -> str:
    """What a step reads, as one hash: equal for equal JSON data."""
    return sha256_bytes(canonical_json(list(parts)).encode())
