"""The journal: what finished is known after any kill, and nothing is known that did not finish."""

import os
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strop.errors import StropError
from strop.evaluation import Test
from strop.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state.db"


def spent(night: int, p_value: float = 0.4, alpha: float = 0.05) -> Test:
    return Test(night=night, alpha=alpha, items=("a", "b"), promoted=False, p_value=p_value)


def spend(journal: Journal, test: Test) -> None:
    """A night whose gate made this test."""
    step = journal.start_step(journal.start_run("manual", ""), "gate", f"of night {test.night}")
    journal.finish_step(step, seconds=1.0, test=test)


def test_a_run_is_open_until_it_is_finished(path: Path) -> None:
    with Journal(path) as journal:
        run = journal.start_run("manual", "c0ffee")
        opened = journal.run(run)
        journal.finish_run(run, "kept", "12 won, 11 lost")
        closed = journal.run(run)
    assert opened is not None
    assert (opened.state, opened.ended, opened.attempt, opened.trigger) == ("running", None, 1, "manual")
    assert closed is not None
    assert (closed.state, closed.reason, closed.config_hash) == ("kept", "12 won, 11 lost", "c0ffee")
    assert closed.ended is not None
    assert closed.ended >= closed.started
    assert closed.started.utcoffset() == timedelta(0)


def test_a_run_is_finished_once(path: Path) -> None:
    with Journal(path) as journal:
        run = journal.start_run("manual", "")
        journal.finish_run(run, "promoted")
        with pytest.raises(StropError, match="not open"):
            journal.finish_run(run, "failed")
        assert journal.run(run).state == "promoted"  # type: ignore[union-attr]


def test_what_is_written_is_there_for_the_next_process(path: Path) -> None:
    journal = Journal(path)
    run = journal.start_run("schedule", "")
    other = Journal(path)  # the first one is still open, as after a kill
    assert [row.id for row in other.runs()] == [run]
    other.close()
    journal.close()


def test_a_killed_run_and_its_step_are_interrupted_when_the_next_one_starts(path: Path) -> None:
    with Journal(path) as journal:
        killed = journal.start_run("manual", "")
        journal.start_step(killed, "train", "in")
    with Journal(path) as journal:
        second = journal.start_run("manual", "")
        third_attempt = journal.start_run("manual", "")
        assert journal.run(killed).state == "interrupted"  # type: ignore[union-attr]
        assert [step.state for step in journal.steps(killed)] == ["interrupted"]
        assert journal.run(second).attempt == 2  # type: ignore[union-attr]
        assert journal.run(third_attempt).attempt == 3  # type: ignore[union-attr]
        journal.finish_run(third_attempt, "failed", "no space")
        assert journal.run(journal.start_run("manual", "")).attempt == 1  # type: ignore[union-attr]


def test_a_done_step_is_found_by_its_input_in_any_run(path: Path) -> None:
    with Journal(path) as journal:
        first = journal.start_run("manual", "")
        step = journal.start_step(first, "train", "in-1")
        journal.finish_step(step, output=Path("adapters/a"), output_hash="out", seconds=31.5, facts={"loss": 0.5})
        journal.start_run("manual", "")
        found = journal.done_step("train", "in-1")
        assert found is not None
        assert (found.run_id, found.output, found.output_hash) == (first, "adapters/a", "out")
        assert (found.seconds, found.facts) == (31.5, {"loss": 0.5})
        assert journal.done_step("train", "in-2") is None
        assert journal.done_step("build", "in-1") is None


def test_a_failed_or_interrupted_step_is_never_taken_as_done(path: Path) -> None:
    with Journal(path) as journal:
        run = journal.start_run("manual", "")
        journal.fail_step(journal.start_step(run, "train", "in"), "NaN at step 3", seconds=2.0)
        journal.start_step(run, "train", "in")
        journal.start_run("manual", "")
        assert journal.done_step("train", "in") is None
        failed, interrupted = journal.steps(run)
        assert (failed.state, failed.reason, failed.seconds) == ("failed", "NaN at step 3", 2.0)
        assert interrupted.state == "interrupted"


def test_the_newest_of_two_equal_steps_counts(path: Path) -> None:
    with Journal(path) as journal:
        run = journal.start_run("manual", "")
        for output in ("old", "new"):
            journal.finish_step(journal.start_step(run, "build", "in"), output=output, seconds=1.0)
        assert journal.done_step("build", "in").output == "new"  # type: ignore[union-attr]


def test_a_step_is_closed_once_and_belongs_to_a_run(path: Path) -> None:
    with Journal(path) as journal:
        step = journal.start_step(journal.start_run("manual", ""), "pairs", "in")
        journal.finish_step(step, seconds=0.1)
        with pytest.raises(StropError, match="not open"):
            journal.fail_step(step, "again")
        with pytest.raises(StropError, match="holds no run"):
            journal.start_step("nobody", "pairs", "in")


def test_runs_come_newest_first_and_since_a_moment(path: Path) -> None:
    with Journal(path) as journal:
        ids = []
        for _ in range(3):
            ids.append(journal.start_run("manual", ""))
            journal.finish_run(ids[-1], "kept")
        assert [run.id for run in journal.runs(2)] == [ids[2], ids[1]]
        assert journal.last_run().id == ids[2]  # type: ignore[union-attr]
        now = datetime.now(UTC)
        assert len(journal.runs_since(now - timedelta(minutes=1))) == 3
        assert journal.runs_since(now + timedelta(minutes=1)) == []


def test_the_tests_of_the_gate_come_back_as_they_were(path: Path) -> None:
    with Journal(path) as journal:
        spend(journal, spent(1, p_value=0.25))
        spend(journal, spent(2))
    with Journal(path) as journal:
        assert journal.tests() == (spent(1, p_value=0.25), spent(2))


def test_a_test_that_cannot_be_kept_leaves_its_step_open(path: Path) -> None:
    with Journal(path) as journal:
        spend(journal, spent(1))
        step = journal.start_step(journal.start_run("manual", ""), "gate", "in")
        with pytest.raises(StropError, match="tested already"):
            journal.finish_step(step, seconds=1.0, test=spent(1))
        assert journal.done_step("gate", "in") is None
        assert journal.tests() == (spent(1),)


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.5])
def test_a_p_value_that_is_none_is_refused(path: Path, bad: float) -> None:
    with Journal(path) as journal:
        with pytest.raises(StropError, match="within 0 and 1"):
            spend(journal, spent(1, p_value=bad))
        assert journal.tests() == ()


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX thing")
def test_the_file_is_the_owners_alone(path: Path) -> None:
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_pragmas_are_those_that_make_a_commit_durable(path: Path) -> None:
    with Journal(path) as journal:
        read = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        foreign_keys = journal._db.execute("PRAGMA foreign_keys").fetchone()[0]
    assert read == (["wal", 2] if sqlite3.sqlite_version_info >= (3, 51, 3) else ["delete", 3])
    assert foreign_keys == 1


def test_a_journal_of_the_first_schema_is_brought_up_and_keeps_its_tests(path: Path) -> None:
    with Journal(path) as journal:
        spend(journal, spent(1))
        journal._db.execute("ALTER TABLE tests DROP COLUMN skill_vs_base")
        journal._db.execute("UPDATE schemas SET version = 1 WHERE owner = 'journal'")
    later = Test(night=2, alpha=0.01, items=(), promoted=True, p_value=0.002, skill_vs_base=-0.012)
    with Journal(path) as journal:
        spend(journal, later)
    with Journal(path) as journal:
        assert journal.tests() == (spent(1), later)


def test_a_journal_of_a_newer_strop_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        journal._db.execute("UPDATE schemas SET version = 99 WHERE owner = 'journal'")
    with pytest.raises(StropError, match="newer Strop"):
        Journal(path)


def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, but long enough to look like one" * 40)
    before = path.read_bytes()
    with pytest.raises(StropError, match="cannot be used"):
        Journal(path)
    assert path.read_bytes() == before


def test_it_shares_its_file_with_tables_of_others(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE versions (number INTEGER)")
    other.close()
    with Journal(path) as journal:
        journal.start_run("manual", "")
    with Journal(path) as journal:
        assert len(journal.runs()) == 1
