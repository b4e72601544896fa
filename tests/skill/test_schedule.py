"""When a night is due: once a local night, whatever the clocks do, and never for ever."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep
from zoneinfo import ZoneInfo

import filelock
import pytest

from strop.config import Config, NightSettings
from strop.home import Home
from strop.journal import Journal
from strop.schedule import MAX_ATTEMPTS, Ticker, due, is_due, next_opening, night_command, night_running, opening, zone

# (zone, a local date on which its clocks change, hour and minute of the change)
CHANGES = [
    ("Europe/Helsinki", date(2026, 3, 29), (3, 0)),
    ("Europe/Helsinki", date(2026, 10, 25), (3, 0)),
    ("America/New_York", date(2026, 3, 8), (2, 0)),
    ("America/New_York", date(2026, 11, 1), (1, 0)),
    ("Australia/Lord_Howe", date(2026, 4, 5), (1, 30)),
    ("Australia/Lord_Howe", date(2026, 10, 4), (2, 0)),
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def config() -> Config:
    """A night that opened two to three hours ago, so that no opening falls into a test."""
    return Config(night=NightSettings(hour=(datetime.now(UTC) - timedelta(hours=2)).hour, timezone="UTC"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(tz: ZoneInfo, first: date, days: int, hour: int, minute: int) -> list[datetime]:
    """The local moments at which a scheduler that asks every ten minutes starts a night, right after each one."""
    now = datetime.combine(first, time(0, 0), tz).astimezone(UTC)
    end = datetime.combine(first + timedelta(days=days), time(0, 0), tz).astimezone(UTC)
    last = opening(now - timedelta(minutes=1), hour, minute, tz)
    found = []
    while now < end:
        if is_due(last, now, hour, minute, tz):
            found.append(now.astimezone(tz))
            last = now
        now += timedelta(minutes=10)
    return found


@pytest.mark.parametrize(("name", "day", "clock"), CHANGES)
@pytest.mark.parametrize("offset_minutes", [-60, -30, 0, 30, 60])
def test_every_local_night_is_due_exactly_once(
    name: str, day: date, clock: tuple[int, int], offset_minutes: int
) -> None:
    tz = ZoneInfo(name)
    minutes = clock[0] * 60 + clock[1] + offset_minutes
    found = starts(tz, day - timedelta(days=2), 5, *divmod(minutes, 60))
    assert [moment.date() for moment in found] == [day + timedelta(days=offset) for offset in range(-2, 3)]


@pytest.mark.parametrize(
    ("name", "day", "clock", "opens"),
    [
        ("Europe/Helsinki", date(2026, 3, 29), (3, 30), "2026-03-29 01:30"),  # 03:30 is skipped: 04:30 summer time
        ("Europe/Helsinki", date(2026, 10, 25), (3, 30), "2026-10-25 00:30"),  # 03:30 comes twice: the first one
        ("America/New_York", date(2026, 3, 8), (2, 30), "2026-03-08 07:30"),
        ("America/New_York", date(2026, 11, 1), (1, 30), "2026-11-01 05:30"),
        ("Australia/Lord_Howe", date(2026, 10, 4), (2, 15), "2026-10-03 15:45"),
        ("Australia/Lord_Howe", date(2026, 4, 5), (1, 45), "2026-04-04 14:45"),
    ],
)
def test_a_skipped_time_opens_later_and_a_repeated_one_at_its_first_time(
    name: str, day: date, clock: tuple[int, int], opens: str
) -> None:
    tz = ZoneInfo(name)
    evening = datetime.combine(day, time(22, 0), tz).astimezone(UTC)
    assert opening(evening, *clock, tz) == at(opens)


def test_a_night_that_was_slept_through_is_due_on_waking() -> None:
    tz = ZoneInfo("Europe/Helsinki")
    last = at("2026-06-01 00:05")
    assert not is_due(last, at("2026-06-01 20:00"), 3, 0, tz)
    assert is_due(last, at("2026-06-02 09:47"), 3, 0, tz)


def test_the_first_night_of_all_is_due_at_once() -> None:
    assert is_due(None, at("2026-06-01 12:00"), 3, 0, ZoneInfo("UTC"))


def test_the_moment_itself_is_due_and_the_minute_before_is_not() -> None:
    tz, last = ZoneInfo("UTC"), at("2026-06-01 03:00")
    assert not is_due(last, at("2026-06-02 02:59"), 3, 0, tz)
    assert is_due(last, at("2026-06-02 03:00"), 3, 0, tz)


def test_the_next_opening_is_after_now_in_the_persons_zone() -> None:
    found = next_opening(at("2026-06-01 00:00"), 3, 0, ZoneInfo("Europe/Helsinki"))
    assert found.isoformat() == "2026-06-02T03:00:00+03:00"


def test_an_empty_name_is_the_computers_own_zone() -> None:
    assert datetime.now(zone("")).utcoffset() == datetime.now(UTC).astimezone().utcoffset()


def test_asking_makes_no_home(tmp_path: Path, config: Config) -> None:
    assert due(Home(tmp_path / "none"), config).due
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ended_settles_the_night_whatever_came_of_it(home: Home, config: Config) -> None:
    for state in ("promoted", "kept", "undecided", "not_enough_data", "nothing_to_do", "failed"):
        with Journal(home.state_db) as journal:
            run = journal.start_run("manual", "")
            journal.finish_run(run, state)  # type: ignore[arg-type]
        found = due(home, config)
        assert not found.due
        assert state in found.reason
        assert found.next > datetime.now(UTC)


def test_yesterdays_run_does_not_settle_tonight(home: Home, config: Config) -> None:
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("manual", ""), "kept")
    assert due(home, config, datetime.now(UTC) + timedelta(days=1)).due


def test_an_interrupted_night_is_due_again_but_not_for_ever(home: Home, config: Config) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with Journal(home.state_db) as journal:
            journal.start_run("schedule", "")  # and the process is killed
        assert due(home, config).due is (attempt < MAX_ATTEMPTS)
    assert due(home, config, datetime.now(UTC) + timedelta(days=1)).due


def test_a_running_night_is_not_due(home: Home, config: Config) -> None:
    with Journal(home.state_db) as journal:
        journal.start_run("manual", "")
    with filelock.FileLock(home.night_lock):
        assert night_running(home)
        assert not due(home, config).due
    assert not night_running(home)


def child(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_a_due_night_runs_as_a_child_and_its_exit_code_comes_back(
    home: Home, config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    ticker = Ticker(home, lambda: config, lambda home: child(f"print({str(home.path)!r}); raise SystemExit(7)"))
    assert ticker.run_if_due() == 7
    assert str(home.path) in capfd.readouterr().out


def test_a_child_that_crashes_is_tried_again_but_not_for_ever(home: Home, config: Config) -> None:
    ticker = Ticker(home, lambda: config, lambda home: child("import os; os._exit(9)"))
    now = datetime.now(UTC)
    assert [ticker.run_if_due(now) for _ in range(MAX_ATTEMPTS + 2)] == [9] * MAX_ATTEMPTS + [None, None]
    assert ticker.run_if_due(now + timedelta(days=1)) == 9


def test_a_child_that_ends_well_without_a_row_is_not_started_each_minute(home: Home, config: Config) -> None:
    ticker = Ticker(home, lambda: config, lambda home: child(""))
    assert [ticker.run_if_due() for _ in range(3)] == [0, None, None]


def test_nothing_starts_when_nothing_is_due(home: Home, config: Config) -> None:
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("manual", ""), "kept")
    assert Ticker(home, lambda: config, lambda home: child("raise SystemExit(1)")).run_if_due() is None


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without asking it")
def test_the_scheduler_outlives_a_crashing_night_and_ends_when_told(home: Home, tmp_path: Path) -> None:
    night = tmp_path / "night.py"
    night.write_text("import os, pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write('x'); os._exit(1)")
    seen = tmp_path / "seen"
    program = (
        "import sys; from pathlib import Path\n"
        "from strop.config import load; from strop.home import Home; from strop.schedule import Ticker, serve\n"
        f"home = Home(Path({str(home.path)!r}))\n"
        f"command = [sys.executable, {str(night)!r}, {str(seen)!r}]\n"
        "serve(Ticker(home, lambda: load(home), lambda _: command), tick_s=1)\n"
    )
    scheduler = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    deadline = monotonic() + 60
    while not (seen.exists() and len(seen.read_text()) == MAX_ATTEMPTS) and monotonic() < deadline:
        sleep(0.05)
    sleep(1.5)  # another tick goes by, with nothing left to start
    assert scheduler.poll() is None
    scheduler.terminate()
    _, said = scheduler.communicate(timeout=30)
    assert scheduler.returncode == 0
    assert seen.read_text() == "x" * MAX_ATTEMPTS
    assert said.count("exit code 1") == MAX_ATTEMPTS


def test_a_scheduled_night_is_this_python_on_this_home(home: Home) -> None:
    assert night_command(home) == [
        *(sys.executable, "-m", "strop", "--home", str(home.path)),
        *("night", "--if-due", "--scheduled"),
    ]
