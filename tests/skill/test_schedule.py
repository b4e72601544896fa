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

from strop import night
from strop.config import Config, NightSettings
from strop.errors import NotEnoughData
from strop.home import Home
from strop.journal import Journal
from strop.schedule import (
    MAX_ATTEMPTS,
    RETRY_S,
    Ticker,
    due,
    is_due,
    last_night,
    next_opening,
    night_command,
    night_running,
    opening,
    zone,
)

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
    for state in ("promoted", "kept", "undecided", "not_enough_data", "nothing_to_do"):
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


def fail(home: Home) -> datetime:
    """A run that fails; returns when it ended."""
    with Journal(home.state_db) as journal:
        journal.finish_run(run := journal.start_run("schedule", ""), "failed", "no space is left")
        found = journal.run(run)
    assert found is not None
    assert found.ended is not None
    return found.ended


def test_a_failed_night_is_tried_again_after_a_while_that_doubles_and_not_for_ever(home: Home, config: Config) -> None:
    for failures in range(1, MAX_ATTEMPTS):
        again = fail(home) + timedelta(seconds=RETRY_S * 2 ** (failures - 1))
        early = due(home, config, again - timedelta(seconds=1))
        assert not early.due
        assert "failed; it is tried again at" in early.reason
        assert early.next == again
        assert due(home, config, again).due
    ended = fail(home)
    found = due(home, config, ended + timedelta(hours=12))
    assert not found.due
    assert f"{MAX_ATTEMPTS} runs were interrupted or failed" in found.reason
    assert due(home, config, ended + timedelta(days=1)).due


def test_a_failed_night_that_ran_in_the_end_is_settled(home: Home, config: Config) -> None:
    ended = fail(home)
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("schedule", ""), "kept")
    assert not due(home, config, ended + timedelta(hours=12)).due


def test_a_persons_word_is_no_night(home: Home, config: Config) -> None:
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("judge", ""), "promoted")
    assert due(home, config).due


def test_an_interrupted_night_that_is_due_is_taken_up_under_its_own_lock(home: Home, config: Config) -> None:
    with Journal(home.state_db) as journal:
        journal.start_run("schedule", "")  # and the process is killed
    with pytest.raises(NotEnoughData, match="the ledger is empty"):  # it got past the question whether it is due
        night.run(home, config, if_due=True, on_progress=lambda *_: None)


def test_a_home_that_another_command_holds_is_left_alone(home: Home, config: Config) -> None:
    with filelock.FileLock(home.night_lock):
        found = due(home, config)
    assert not found.due
    assert found.reason == "another command holds this home"


# What is said of the last night


def test_a_run_that_was_killed_says_at_which_step_and_one_that_runs_does_not(home: Home) -> None:
    assert last_night(home) is None
    with Journal(home.state_db) as journal:
        run = journal.start_run("manual", "")
        assert said(home) == ("interrupted", "was killed before its first step; strop night goes on from there")
        step = journal.start_step(run, "pairs", "a")
        assert said(home) == ("interrupted", "was killed at step pairs; strop night goes on from there")
        with filelock.FileLock(home.night_lock):
            assert said(home) == ("running", "")
        journal.finish_step(step, seconds=0.1)
        assert said(home) == ("interrupted", "was killed after step pairs; strop night goes on from there")
        journal.finish_run(run, "kept", "no better")
    assert said(home) == ("kept", "no better")


def test_a_judgement_that_was_killed_is_gone_on_with_by_judge(home: Home) -> None:
    with Journal(home.state_db) as journal:
        journal.start_run("judge", "")
    assert said(home) == ("interrupted", "was killed before its first step; strop judge goes on from there")


def said(home: Home) -> tuple[str, str]:
    run = last_night(home)
    assert run is not None
    return run.state, run.reason


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


def test_a_child_that_crashes_is_tried_again_later_but_not_for_ever(home: Home, config: Config) -> None:
    ticker = Ticker(home, lambda: config, lambda home: child("import os; os._exit(9)"))
    now = datetime.now(UTC)
    minutes = [timedelta(minutes=minute) for minute in range(90)]
    wait = timedelta(seconds=RETRY_S)
    assert [after for after in minutes if ticker.run_if_due(now + after) == 9] == [timedelta(), wait, 3 * wait]
    assert ticker.run_if_due(now + timedelta(days=1)) == 9


def test_a_child_that_finds_the_home_held_is_no_failed_night(home: Home, config: Config) -> None:
    ticker = Ticker(home, lambda: config, lambda home: child("raise SystemExit(40)"))
    assert [ticker.run_if_due() for _ in range(MAX_ATTEMPTS + 2)] == [40] * (MAX_ATTEMPTS + 2)


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
        "import sys; from datetime import timedelta; from pathlib import Path\n"
        "from strop.config import load; from strop.home import Home; from strop.schedule import Ticker, serve\n"
        f"home = Home(Path({str(home.path)!r}))\n"
        f"command = [sys.executable, {str(night)!r}, {str(seen)!r}]\n"
        "now = lambda failures: timedelta()\n"
        "serve(Ticker(home, lambda: load(home), lambda _: command, now), tick_s=1)\n"
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
