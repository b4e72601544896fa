"""What finished: one row for each run and each of its steps, in the home's state.db.

A night that was killed is taken up where it stopped: `done_step(name, input_hash)` finds the step that already read
the same input and wrote its output whole. A row is on disk when the call returns. Steps happen at least once: a kill
between a step's output and its row runs the step again, so a step must be safe to repeat.

The gate's history (`tests`) lies here too: the error that one life of nights may spend is counted over all of them.
The file, its tables and their versions are `strop.journal_db`'s.
"""

import json
import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from strop.errors import StropError
from strop.journal_db import connect, writing

if TYPE_CHECKING:
    from strop.evaluation import Test

RunState = Literal[
    "running", "promoted", "kept", "undecided", "nothing_to_do", "not_enough_data", "failed", "interrupted"
]
_UNSAID = "taken out with feedback that was forgotten"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of the night. `attempt` counts from 1; it grows while earlier runs were interrupted."""

    id: str
    trigger: str
    config_hash: str
    state: RunState
    started: datetime
    ended: datetime | None
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run: what it read (`input_hash`), what it wrote (`output`, its hash), and figures for the report.

    `number` names the step to `finish_step` and `fail_step`; `output` is a path inside or outside the home, or "".
    """

    number: int
    run_id: str
    name: str
    state: Literal["running", "done", "failed", "interrupted"]
    input_hash: str
    output: str
    output_hash: str
    started: datetime
    ended: datetime | None
    seconds: float | None
    reason: str
    facts: dict[str, Any]


class Journal:
    """The journal of one home. One connection; not to be shared between threads or carried over a fork."""

    def __init__(self, state_db: Path) -> None:
        """Open or make the database (mode 0600). Raises StropError when it is damaged or newer than this Strop."""
        self.path = state_db
        self._db = connect(state_db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # Runs

    def start_run(self, trigger: str, config_hash: str) -> str:
        """Write down that a run starts; returns its id. The caller holds the night lock.

        As only one run can hold that lock, a run that is still open belongs to a process that was killed: it and its
        open step become "interrupted".
        """
        now = _now()
        with self._writing():
            for table in ("steps", "runs"):
                self._db.execute(
                    f"UPDATE {table} SET state = 'interrupted', ended = ?, reason = ? WHERE state = 'running'",  # noqa: S608
                    (_text(now), "the process was killed or the computer stopped"),
                )
            last = self.last_run()
            attempt = last.attempt + 1 if last and last.state == "interrupted" else 1
            run_id = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
            self._db.execute(
                "INSERT INTO runs (id, trigger, config_hash, state, started, attempt) VALUES (?, ?, ?, ?, ?, ?)",
                (run_id, trigger, config_hash, "running", _text(now), attempt),
            )
        return run_id

    def finish_run(self, run_id: str, state: RunState, reason: str = "") -> None:
        """Close a run with what came of it. Raises StropError when this run is not open."""
        with self._writing():
            changed = self._db.execute(
                "UPDATE runs SET state = ?, ended = ?, reason = ? WHERE id = ? AND state = 'running'",
                (state, _text(_now()), reason, run_id),
            ).rowcount
        if not changed:
            raise StropError(f"run {run_id} is not open", hint="strop status")

    def run(self, run_id: str) -> RunRow | None:
        return next(self._runs("WHERE id = ?", run_id), None)

    def last_run(self) -> RunRow | None:
        """The newest run in whatever state."""
        return next(self._runs("ORDER BY number DESC LIMIT 1"), None)

    def runs(self, limit: int = 30) -> list[RunRow]:
        """The newest runs first, at most `limit`."""
        return list(self._runs("ORDER BY number DESC LIMIT ?", limit))

    def runs_since(self, moment: datetime) -> list[RunRow]:
        """The runs that started at `moment` (aware) or later, newest first."""
        return list(self._runs("WHERE started >= ? ORDER BY number DESC", _text(moment)))

    # Steps

    def start_step(self, run_id: str, name: str, input_hash: str) -> int:
        """Write down that a step starts on this input; returns its number. Raises StropError for an unknown run."""
        try:
            with self._writing():
                number = self._db.execute(
                    "INSERT INTO steps (run_id, name, state, input_hash, started) VALUES (?, ?, 'running', ?, ?)",
                    (run_id, name, input_hash, _text(_now())),
                ).lastrowid
        except sqlite3.IntegrityError as error:
            raise StropError(f"the journal holds no run {run_id}", hint="strop status") from error
        return int(number or 0)

    def finish_step(
        self,
        step: int,
        *,
        output: Path | str = "",
        output_hash: str = "",
        seconds: float,
        facts: Mapping[str, Any] | None = None,
        test: "Test | None" = None,
    ) -> None:
        """Close a step whose output is whole on disk. `seconds` is monotonic time; `facts` must be plain JSON.

        `test` is what the gate spent: it is written together with the step, so that a killed night tests once.
        """
        with self._writing():
            self._close_step(
                step,
                "state = 'done', output = ?, output_hash = ?, seconds = ?, facts = ?",
                (str(output), output_hash, seconds, json.dumps(facts or {}, allow_nan=False)),
            )
            if test is not None:
                self._insert_test(test)

    def fail_step(self, step: int, reason: str, *, seconds: float | None = None) -> None:
        """Close a step that failed, with the reason as a sentence."""
        with self._writing():
            self._close_step(step, "state = 'failed', reason = ?, seconds = ?", (reason, seconds))

    def done_step(self, name: str, input_hash: str) -> StepRow | None:
        """The newest finished step of any run that read the same input.

        Its output may have been removed since: the caller looks at the folder's manifest before it skips the step.
        """
        newest = "WHERE name = ? AND input_hash = ? AND state = 'done' ORDER BY number DESC LIMIT 1"
        return next(self._steps(newest, name, input_hash), None)

    def last_done(self, name: str) -> StepRow | None:
        """The step of this name that was finished last, in whatever run."""
        return next(self._steps("WHERE name = ? AND state = 'done' ORDER BY number DESC LIMIT 1", name), None)

    def steps(self, run_id: str) -> list[StepRow]:
        """The steps of one run, in the order in which they started."""
        return list(self._steps("WHERE run_id = ? ORDER BY number", run_id))

    def forget_steps(self, outputs: Collection[Path]) -> int:
        """Take out the steps that wrote these files or folders, so that no night takes their work for done.

        Also empties what failed steps and runs said, where a library may have quoted a text, and rewrites the file
        without its free pages. Returns how many steps there were. A home that was moved since still knows its files.
        """
        gone = {path.parts[-2:] for path in outputs}
        rows = self._db.execute("SELECT number, output FROM steps WHERE output != ''").fetchall()
        numbers = [row["number"] for row in rows if Path(row["output"]).parts[-2:] in gone]
        self._db.execute("PRAGMA secure_delete = ON")
        with self._writing():
            self._db.executemany("DELETE FROM steps WHERE number = ?", [(number,) for number in numbers])
            for table in ("steps", "runs"):
                self._db.execute(f"UPDATE {table} SET reason = ? WHERE state = 'failed'", (_UNSAID,))  # noqa: S608
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise StropError(f"{self.path} cannot be rewritten: {error}", hint="try again") from error
        return len(numbers)

    # The gate's history

    def tests(self) -> "tuple[Test, ...]":
        """Every test that was ever made in this home, oldest first."""
        from strop.evaluation import Test

        rows = self._db.execute(
            "SELECT night, alpha, items, promoted, p_value, skill_vs_base FROM tests ORDER BY night"
        )
        return tuple(
            Test(night, alpha, tuple(json.loads(items)), bool(promoted), p_value, based)
            for night, alpha, items, promoted, p_value, based in rows
        )

    # Inside

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._db, self.path)

    def _close_step(self, step: int, changes: str, values: tuple[Any, ...]) -> None:
        changed = self._db.execute(
            f"UPDATE steps SET {changes}, ended = ? WHERE number = ? AND state = 'running'",  # noqa: S608
            (*values, _text(_now()), step),
        ).rowcount
        if not changed:
            raise StropError(f"step {step} is not open", hint="strop status")

    def _insert_test(self, test: "Test") -> None:
        if not (0 <= test.alpha <= 1 and 0 <= test.p_value <= 1):  # a NaN here would spoil every later night
            raise StropError(f"a test's alpha and p-value lie within 0 and 1, not {test.alpha} and {test.p_value}")
        spent = (test.night, test.alpha, test.p_value, test.promoted, json.dumps(test.items), test.skill_vs_base)
        try:
            self._db.execute(
                "INSERT INTO tests (night, alpha, p_value, promoted, items, skill_vs_base, time)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*spent, _text(_now())),
            )
        except sqlite3.IntegrityError as error:
            raise StropError(f"night {test.night} has been tested already", hint="strop status") from error

    def _runs(self, rest: str, *values: Any) -> Iterator[RunRow]:
        for row in self._db.execute(f"SELECT * FROM runs {rest}", values):  # noqa: S608
            yield RunRow(
                id=row["id"],
                trigger=row["trigger"],
                config_hash=row["config_hash"],
                state=row["state"],
                started=datetime.fromisoformat(row["started"]),
                ended=_time(row["ended"]),
                attempt=row["attempt"],
                reason=row["reason"],
            )

    def _steps(self, rest: str, *values: Any) -> Iterator[StepRow]:
        for row in self._db.execute(f"SELECT * FROM steps {rest}", values):  # noqa: S608
            fields = {name: row[name] for name in row.keys()}  # noqa: SIM118  (a Row iterates over its values)
            fields |= {
                "started": datetime.fromisoformat(row["started"]),
                "ended": _time(row["ended"]),
                "facts": json.loads(row["facts"]),
            }
            yield StepRow(**fields)


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds always written, so that the text sorts as the time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
