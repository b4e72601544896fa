"""When a night is due, and a process that waits for it.

The journal is the truth: APScheduler only ticks, once a minute, and each tick asks `due`. So a laptop that slept
through three o'clock catches up when it wakes, a night never runs twice, and nothing is lost with the process. A
rebuild that `forget` asked for opens a window of its own. Each night is a child process: whatever happens in it, the
scheduler lives on.
"""

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from types import FrameType
from typing import NoReturn
from zoneinfo import ZoneInfo

from strop.config import Config
from strop.errors import Locked
from strop.files import write_json
from strop.home import Home
from strop.journal import Journal, RunRow

# A night that is killed or fails is taken up again in the same window, but not for ever: one poisoned row must not
# keep the processor busy until morning.
MAX_ATTEMPTS = 3
# What made it fail (a full disk, a server that is not up) may pass: so long after the first time, twice that after the
# second.
RETRY_S = 15 * 60
_UNSETTLED = frozenset({"interrupted", "running", "failed"})
TICK_S = 60
log = logging.getLogger("strop.schedule")


@dataclass(frozen=True, slots=True)
class Due:
    """Whether a night should start now, why, and when the next one can (aware, in the person's zone).

    That is when the next window opens, or sooner where a failed night is tried again. `opened` is when the present
    window did: every one is good for one night.
    """

    due: bool
    reason: str
    next: datetime
    opened: datetime


def zone(name: str) -> tzinfo:
    """The zone of that IANA name; "" is the computer's own."""
    if name:
        return ZoneInfo(name)
    import tzlocal

    return tzlocal.get_localzone()


def opening(now: datetime, hour: int, minute: int, tz: tzinfo) -> datetime:
    """The most recent moment at which the clock on the wall said `hour`:`minute`, as UTC.

    A time that the clock skips (spring) counts as that much later; of a time that comes twice (autumn), the first
    counts. So each local date has one opening.
    """
    return max(moment for moment in _openings(now, hour, minute, tz) if moment <= now)


def next_opening(now: datetime, hour: int, minute: int, tz: tzinfo) -> datetime:
    """The first opening after `now`, in the zone `tz`."""
    return min(moment for moment in _openings(now, hour, minute, tz) if moment > now).astimezone(tz)


def is_due(last_started: datetime | None, now: datetime, hour: int, minute: int, tz: tzinfo) -> bool:
    """Whether the most recent `hour`:`minute` has passed without a night since. Both moments are aware; pure."""
    return last_started is None or last_started < opening(now, hour, minute, tz)


def due(home: Home, config: Config, now: datetime | None = None, *, alone: bool = False) -> Due:
    """What the journal says about this moment.

    A run that was killed or failed leaves its night due, up to MAX_ATTEMPTS; a failed one after a while. `alone`: the
    caller holds the night lock, so that whatever run is still open was killed.
    """
    now = now or datetime.now(UTC)
    tz, hour, minute = zone(config.night.timezone), config.night.hour, config.night.minute
    following = next_opening(now, hour, minute, tz)
    opened = opening(now, hour, minute, tz)
    since = f"since {opened.astimezone(tz):%H:%M on %d %B}"
    if (wanted := rebuild_wanted(home)) is not None and opened < wanted <= now:
        opened, since = wanted, f"since a rebuild was asked for at {wanted.astimezone(tz):%H:%M on %d %B}"
    runs = _runs_since(home, opened)
    if finished := [run for run in runs if run.state not in _UNSETTLED]:
        return Due(False, f"run {finished[0].id} ended as {finished[0].state} {since}", following, opened)
    if not alone and night_running(home):
        running = f"run {runs[0].id} is running" if runs else "another command holds this home"
        return Due(False, running, following, opened)
    if len(runs) >= MAX_ATTEMPTS:
        reason = f"{len(runs)} runs were interrupted or failed {since}; waiting for the next night"
        return Due(False, reason, following, opened)
    if (again := _again(runs)) is not None and now < again:
        again = again.astimezone(tz)
        return Due(False, f"run {runs[0].id} failed; it is tried again at {again:%H:%M}", again, opened)
    return Due(True, f"run {runs[0].id} {_ended_as(runs[0])} {since}" if runs else f"no run {since}", following, opened)


def _again(runs: list[RunRow]) -> datetime | None:
    """From when on a night may be tried again whose newest run failed. `runs` are those of the window, newest first."""
    if not runs or runs[0].state != "failed" or runs[0].ended is None:
        return None
    return runs[0].ended + backoff(sum(run.state == "failed" for run in runs))


def backoff(failures: int) -> timedelta:
    """How long to wait after so many failures in one window."""
    return timedelta(seconds=RETRY_S * 2 ** (failures - 1))


def _ended_as(run: RunRow) -> str:
    return "failed" if run.state == "failed" else "was interrupted"


def want_rebuild(home: Home) -> None:
    """Make a night due from now on, whatever ran today; the next run that comes to an end settles it."""
    write_json(home.rebuild_file, {"time": datetime.now(UTC).isoformat()})


def rebuild_wanted(home: Home) -> datetime | None:
    """Since when a rebuild is, or last was, wanted."""
    try:
        return datetime.fromisoformat(json.loads(home.rebuild_file.read_text(encoding="utf-8"))["time"])
    except FileNotFoundError:
        return None


def _runs_since(home: Home, moment: datetime) -> list[RunRow]:
    if not home.state_db.exists():  # a question must not make a home
        return []
    with Journal(home.state_db) as journal:
        return [run for run in journal.runs_since(moment) if run.trigger != "judge"]  # a person's word is no night


def night_running(home: Home) -> bool:
    """Whether some process holds the night lock at this moment."""
    import filelock

    if not home.night_lock.exists():
        return False
    lock = filelock.FileLock(home.night_lock, mode=0o600)
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


def last_night(home: Home) -> RunRow | None:
    """The newest run as it stands: one whose process was killed is interrupted, and says where.

    A run is closed before its lock is let go. So a row that is open before and after the lock was seen free is that of
    a process that is no more.
    """
    if not home.state_db.exists():
        return None
    with Journal(home.state_db) as journal:
        before = journal.last_run()
        if before is None or before.state != "running" or night_running(home):
            return before
        now = journal.last_run()
        if now is None or now.id != before.id or now.state != "running":
            return now
        command = "strop judge" if now.trigger == "judge" else "strop night"
        reason = f"was killed {_place(journal, now)}; {command} goes on from there"
        return replace(now, state="interrupted", reason=reason)


def _place(journal: Journal, run: RunRow) -> str:
    """Where an open run is, by its steps."""
    steps = journal.steps(run.id)
    if not steps:
        return "before its first step"
    return f"{'at' if steps[-1].state == 'running' else 'after'} step {steps[-1].name}"


def night_command(home: Home) -> list[str]:
    """The command line of one scheduled night on this home, with this very Python."""
    return [sys.executable, "-m", "strop", "--home", str(home.path), "night", "--if-due", "--scheduled"]


@dataclass(slots=True)
class Ticker:
    """Starts a child when a night is due; remembers, for the present window, whether one ended well or how many not.

    The journal alone would do for nights that get as far as writing a row; this holds for those that do not.
    """

    home: Home
    load: Callable[[], Config]
    command: Callable[[Home], list[str]] = night_command
    backoff: Callable[[int], timedelta] = backoff
    _window: datetime | None = None
    _left: int = MAX_ATTEMPTS
    _again: datetime | None = None
    _child: subprocess.Popen[bytes] | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run_if_due(self, now: datetime | None = None) -> int | None:
        """Run one night and wait for it: its exit code, or None where nothing is due.

        The configuration is read again on every tick, so that a change needs no restart.
        """
        state = due(self.home, self.load(), now)
        if state.opened != self._window:
            self._window, self._left, self._again = state.opened, MAX_ATTEMPTS, None
        early = self._again is not None and (now or datetime.now(UTC)) < self._again
        if not state.due or not self._left or early or self._stopping.is_set():
            log.debug("not due: %s", state.reason)
            return None
        log.info("night starts: %s", state.reason)
        self._child = subprocess.Popen(self.command(self.home), stdin=subprocess.DEVNULL)
        code = self._child.wait()
        if code == Locked.exit_code:  # another command was faster: that is no failure of the night
            log.info("another run holds the home; looking again")
            return code
        self._left = self._left - 1 if code else 0
        if code:
            self._again = (now or datetime.now(UTC)) + self.backoff(MAX_ATTEMPTS - self._left)
            log.error("night ended with exit code %d; see: strop status", code)
        else:
            log.info("night ended; the next one is due at %s", state.next.isoformat(timespec="minutes"))
        return code

    def stop(self) -> None:
        """End the child that runs, if one does. Its night is taken up again at the next start."""
        self._stopping.set()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()


def serve(ticker: Ticker, tick_s: int = TICK_S) -> None:
    """Tick until SIGINT or SIGTERM. Nothing is stored: what has run is in the journal, and only there."""
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
    from apscheduler.schedulers.blocking import BlockingScheduler

    scheduler = BlockingScheduler(timezone=UTC)
    scheduler.add_listener(_log_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    # While a night runs, each minute's tick is skipped: that is as it should be.
    scheduler.add_listener(lambda _: log.debug("a night is running"), EVENT_JOB_MAX_INSTANCES)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler.add_job(
        ticker.run_if_due,
        "interval",
        seconds=tick_s,
        id="night",
        next_run_time=datetime.now(UTC),
        coalesce=True,
        max_instances=1,
        misfire_grace_time=None,
    )
    before = signal.signal(signal.SIGTERM, _end)
    try:
        scheduler.start()
    finally:
        ticker.stop()
        if scheduler.running:
            scheduler.shutdown(wait=True)
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _log_event(event: object) -> None:
    error = getattr(event, "exception", None)
    log.error("tick failed: %s", error if error is not None else event)


def _openings(now: datetime, hour: int, minute: int, tz: tzinfo) -> list[datetime]:
    """The openings of the days around `now`, as UTC. Two days either way: no zone is further off than that."""
    today = now.astimezone(tz).date()
    days = (today + timedelta(days=offset) for offset in range(-2, 3))
    return [datetime.combine(day, time(hour, minute), tz).astimezone(UTC) for day in days]
