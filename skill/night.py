"""One night: pairs, train, build, certify, gate, release, report; each a row in the journal.

`NightSteps.play` is their order, and the method of a step's name says what it does. Before them goes what is older than
`retention.days`, and what a `strop feedback forget` that was cut short left to do.

A step's row holds the hash of what it read and what it wrote. Kill a night anywhere: the next one skips what is whole
and does the rest. One night runs at a time on a home (an OS file lock, which a dead process cannot keep); a release or
rollback takes a short lock of its own, so `strop rollback` works while a night runs.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strop.config import Config
from strop.errors import Locked, NotEnoughData, NothingToDo, StropError
from strop.forget import keep_retention
from strop.home import Home
from strop.journal import Journal, RunState
from strop.nightsteps import Judged, NightSteps
from strop.server.settle import settle
from strop.setup import OnProgress
from strop.target import open_target

if TYPE_CHECKING:
    from strop.pushed import Told

__all__ = ["NightReport", "open_target", "run"]

# Long enough for `strop status`, which takes the lock for an instant; far too short to wait for another night.
_LOCK_WAIT_S = 1.0
EXIT_CODES = {"promote": 0, "keep": 20, "undecided": 21}
RUN_STATES: Mapping[str, RunState] = {"promote": "promoted", "keep": "kept", "undecided": "undecided"}


@dataclass(frozen=True, slots=True)
class NightReport:
    """What a night came to. `seconds` is by step, `rows` and `feedback` are counts, `live` is the live tag after it.

    `pushed` says what came of `hub.push_on_promote`, None where nothing was to be pushed; `share` how much of what is
    corrected next is held out, where the gate wants to see more.
    """

    run_id: str
    outcome: str
    reasons: tuple[str, ...]
    feedback: Mapping[str, int]
    rows: Mapping[str, int]
    excluded: Mapping[str, int]
    seconds: Mapping[str, float]
    version: str
    sha256: str
    live: str
    report: str
    pushed: "Told | None" = None
    share: str = ""

    @property
    def exit_code(self) -> int:
        """0 promoted, 20 the gate kept the current model, 21 undecided."""
        return EXIT_CODES[self.outcome]

    @property
    def sentence(self) -> str:
        """The verdict with its reasons, for a terminal."""
        said = {
            "promote": f"promoted: {self.version} is live",
            "keep": f"kept: {self.live} stays live, {self.version} is refused",
            "undecided": f"undecided: {self.live} stays live",
        }[self.outcome]
        hub = [f"hub: {self.pushed.sentence}"] if self.pushed else []
        # "12 more" is said of held-out ones, and a person corrects answers of which only some are held out.
        share = [f"of the answers that you correct next, {self.share} held out"] if self.share else []
        return "\n".join([said, *(f"  - {reason}" for reason in self.reasons), *share, *hub, f"report: {self.report}"])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run": self.run_id,
            "verdict": {"outcome": self.outcome, "reasons": list(self.reasons)},
            "feedback": dict(self.feedback),
            "rows": dict(self.rows),
            "excluded": dict(self.excluded),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "version": self.version,
            "sha256": self.sha256,
            "live": self.live,
            "report": self.report,
            "hub": self.pushed.as_dict() if self.pushed else None,
        }


def run(
    home: Home, config: Config, *, trigger: str = "manual", if_due: bool = False, on_progress: OnProgress
) -> NightReport:
    """Run one night on a home.

    Raises Locked where a night runs already, NothingToDo where it is not due or nothing new came in, NotEnoughData,
    and what a step raises; whatever is raised, the live version is as it was.
    """
    home.ensure()
    if if_due:
        _check_due(home, config)
    with alone(home), Journal(home.state_db) as journal:
        if if_due:
            _check_due(home, config, locked=True)
        return _run(home, config, journal, trigger, on_progress)


def alone(home: Home) -> AbstractContextManager[object]:
    """The lock that one run at a time holds on a home. Raises Locked where another one does."""
    from filelock import FileLock, Timeout

    try:
        return FileLock(home.night_lock, timeout=_LOCK_WAIT_S, mode=0o600).acquire()
    except Timeout:
        raise Locked("another night is running on this home", hint="strop status") from None


def _check_due(home: Home, config: Config, *, locked: bool = False) -> None:
    from strop.schedule import due

    state = due(home, config, alone=locked)
    if not state.due:
        raise NothingToDo(f"no night is due: {state.reason}", hint="strop night runs one all the same")


def _run(home: Home, config: Config, journal: Journal, trigger: str, on_progress: OnProgress) -> NightReport:
    run_id = journal.start_run(trigger, config.digest())
    try:
        settle(home)
        if (receipt := keep_retention(home, config)) is not None:
            on_progress("forget", 1.0, receipt.sentence)
        night = NightSteps(home, config, journal, run_id, on_progress)
        judged = night.play()
    except NothingToDo as error:
        journal.finish_run(run_id, "nothing_to_do", str(error))
        raise
    except NotEnoughData as error:
        journal.finish_run(run_id, "not_enough_data", str(error))
        raise
    except StropError as error:
        journal.finish_run(run_id, "failed", str(error))
        raise
    except Exception as error:
        journal.finish_run(run_id, "failed", f"{type(error).__name__}: {error}")
        raise
    journal.finish_run(run_id, RUN_STATES[judged.outcome], judged.reasons[0] if judged.reasons else "")
    share = night.evidence.share() if judged.outcome == "undecided" else ""
    return _report(judged, run_id, journal, share)


def _report(judged: Judged, run_id: str, journal: Journal, share: str) -> NightReport:
    seconds = {step.name: step.seconds or 0.0 for step in journal.steps(run_id)}
    return NightReport(
        run_id=run_id,
        outcome=judged.outcome,
        reasons=judged.reasons,
        feedback=judged.feedback,
        rows=judged.rows,
        excluded=judged.excluded,
        seconds=seconds,
        version=judged.version.tag,
        sha256=judged.version.sha256,
        live=judged.live,
        report=str(judged.report),
        pushed=judged.pushed,
        share=share,
    )
