import multiprocessing
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strop.errors import LedgerError, Locked, UnknownInteraction
from strop.feedback import Interaction, Ledger, Message, Signal
from strop.feedback import connection as connection_module
from strop.feedback.migrations import SCHEMA_VERSION
from strop.feedback.verify import problems

WRITER = """
import sys
from strop.feedback import FeedbackCollector
with FeedbackCollector(sys.argv[1]) as feedback:
    for number in range(100_000):
        answer = feedback.record(prompt=f"{sys.argv[2]} question {number}", answer="x" * 3000)
        sys.stdout.write(feedback.rate(answer, "up") + "\\n")
        sys.stdout.flush()
"""


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "home" / "ledger.db") as opened:
        yield opened


def asked(prompt="What is a strop?", answer="A strip of leather.", **fields):
    return Interaction((Message("user", prompt),), answer, **fields)


def test_what_was_stored_comes_back_equal(ledger):
    interaction = Interaction(
        (Message("system", "Be brief."), Message("user", "Ω≠ 'x'; DROP TABLE signals; -- \u2028 🪒")),
        "An answer\r\nwith lines\t",
        model="m",
        version="v0001-aaaaaaaa",
        domain="code",
        channel="cli",
        user="ann",
        session="s",
        turn=3,
        tool_calls=({"name": "search", "arguments": {"q": [1, 2.5, None]}},),
        time=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    )
    signal = Signal(ledger.add_interaction(interaction), "stars", 0.5, "good", source="chat", source_key="7")
    assert ledger.add_signal(signal) == signal.id
    assert list(ledger.iterate()) == [(interaction, (signal,))]
    assert ledger.interaction(interaction.id) == interaction
    assert problems(ledger) == ()


def test_the_same_interaction_twice_is_one_row_even_at_another_time(ledger):
    first = ledger.add_interaction(asked(time=datetime(2026, 1, 1, tzinfo=UTC)))
    assert ledger.add_interaction(asked(time=datetime(2026, 1, 2, tzinfo=UTC))) == first
    assert ledger.add_interaction(asked(turn=1)) != first
    assert ledger.counts()["interactions"] == 2


def test_the_same_source_key_twice_is_the_first_signal(ledger):
    interaction_id = ledger.add_interaction(asked())
    first = ledger.add_signal(Signal(interaction_id, "thumb", 1.0, source="chat", source_key="9"))
    assert ledger.add_signal(Signal(interaction_id, "thumb", -1.0, source="chat", source_key="9")) == first
    assert ledger.add_signal(Signal(interaction_id, "thumb", -1.0, source="mail", source_key="9")) != first
    assert [signal.value for signal in ledger.signals(interaction_id)] == [1.0, -1.0]


def test_signals_without_a_key_are_all_kept(ledger):
    interaction_id = ledger.add_interaction(asked())
    for value in (1.0, -1.0, 1.0):
        ledger.add_signal(Signal(interaction_id, "thumb", value))
    assert ledger.counts() | {"interactions": 1, "thumb": 3, "correction": 0} == ledger.counts()


def test_a_reaction_to_an_unknown_interaction_is_refused(ledger):
    with pytest.raises(UnknownInteraction, match="holds no interaction") as caught:
        ledger.add_signal(Signal("0" * 64, "thumb", 1.0))
    assert caught.value.hint
    with pytest.raises(UnknownInteraction):
        ledger.interaction("0" * 64)
    assert ledger.counts()["thumb"] == 0


def test_iterate_pages_through_everything_in_order(ledger):
    with ledger.transaction():
        ids = [ledger.add_interaction(asked(f"Question {number}?")) for number in range(250)]
        for interaction_id in ids[::100]:
            ledger.add_signal(Signal(interaction_id, "note", 0.0, "seen"))
    assert [interaction.id for interaction, _ in ledger.iterate()] == ids
    assert [interaction.id for interaction, _ in ledger.iterate(newest_first=True, limit=120)] == ids[:-121:-1]
    reacted = list(ledger.iterate(with_signals=True))
    assert [interaction.id for interaction, _ in reacted] == ids[::100]
    assert all(len(signals) == 1 for _, signals in reacted)


def test_rows_cannot_be_rewritten(ledger):
    interaction_id = ledger.add_interaction(asked())
    ledger.add_signal(Signal(interaction_id, "thumb", 1.0))
    with sqlite3.connect(ledger.path) as other:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute("UPDATE signals SET value = -1")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute("UPDATE interactions SET answer = 'another'")
    other.close()


def test_verify_names_a_row_that_was_changed_behind_its_back(ledger):
    interaction_id = ledger.add_interaction(asked())
    other = sqlite3.connect(ledger.path)
    other.execute("DROP TRIGGER interactions_append_only")
    other.execute("UPDATE interactions SET answer = 'another'")
    other.commit()
    other.close()
    assert problems(ledger) == (f"row {interaction_id} is not what was stored",)


def test_a_transaction_that_fails_stores_nothing(ledger):
    def half():
        with ledger.transaction():
            ledger.add_interaction(asked())
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half()
    assert ledger.counts()["interactions"] == 0
    assert ledger.add_interaction(asked())


def test_pragmas_are_set_and_read_back(ledger):
    connection = ledger._connection
    read = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version")
    }
    sound = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert read == {
        "journal_mode": "wal" if sound else "delete",
        "synchronous": 2 if sound else 3,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "user_version": SCHEMA_VERSION,
    }


def test_a_pragma_that_does_not_hold_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(connection_module, "SYNCHRONOUS", 99)
    with pytest.raises(LedgerError, match="synchronous"):
        Ledger.open(tmp_path / "ledger.db")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_the_file_is_private_and_stays_so(tmp_path):
    path = tmp_path / "home" / "ledger.db"
    with Ledger.open(path) as opened, opened.transaction():
        opened.add_interaction(asked())
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    Ledger.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_newer_ledger_is_refused_with_a_hint(ledger):
    ledger._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerError, match="newer Strop") as caught:
        Ledger.open(ledger.path)
    assert "upgrade" in caught.value.hint


def test_files_that_are_no_ledger_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, " * 100)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(LedgerError) as caught:
            Ledger.open(path)
        assert caught.value.hint
        assert path.read_bytes() == before
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path)
    with pytest.raises(LedgerError):
        Ledger.open(text / "ledger.db")


def test_a_migration_that_was_cut_short_is_done_again(tmp_path):
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set, name, applied_at)")
    connection.commit()
    connection.close()
    with Ledger.open(path) as opened:
        assert opened.add_interaction(asked())


def test_a_closed_ledger_says_so(tmp_path):
    opened = Ledger.open(tmp_path / "ledger.db")
    opened.close()
    opened.close()
    with pytest.raises(LedgerError, match="closed"):
        opened.counts()


def test_a_writer_that_waits_too_long_is_told(ledger):
    ledger._connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Locked):
        ledger.add_interaction(asked())
    other.execute("ROLLBACK")
    other.close()
    assert ledger.add_interaction(asked())


def test_a_writer_waits_for_one_that_is_busy(ledger):
    interaction_id = ledger.add_interaction(asked())
    other = sqlite3.connect(ledger.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.3, other.execute, ("COMMIT",))
    done.start()
    # A transaction that reads first and then wants to write would be refused at once, however long it may wait.
    assert ledger.add_signal(Signal(interaction_id, "thumb", 1.0))
    done.join()
    other.close()


def test_a_full_disk_loses_nothing_and_says_so(ledger):
    ledger.add_interaction(asked())
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match="cannot grow") as caught:
        ledger.add_interaction(asked(answer="x" * 100_000))
    assert "space" in caught.value.hint
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    assert ledger.counts()["interactions"] == 1
    assert problems(ledger) == ()


def test_threads_share_one_ledger(ledger):
    def work(name):
        for number in range(25):
            interaction_id = ledger.add_interaction(asked(f"{name} {number}"))
            ledger.add_signal(Signal(interaction_id, "thumb", 1.0, source_key=f"{name} {number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.counts() | {"interactions": 100, "thumb": 100} == ledger.counts()


def _add_fifty(path, name):
    with Ledger.open(path) as opened:
        for number in range(50):
            interaction_id = opened.add_interaction(asked(f"{name} {number}"))
            opened.add_signal(Signal(interaction_id, "thumb", 1.0, source_key=f"{name} {number}"))


def test_four_processes_that_begin_together_lose_nothing(tmp_path):
    path = tmp_path / "ledger.db"  # not there yet: they also race for the first migration
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_fifty, args=(path, name)) for name in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    with Ledger.open(path) as opened:
        assert opened.counts() | {"interactions": 200, "thumb": 200} == opened.counts()


def test_kill_at_any_moment_loses_no_acknowledged_row(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    chance = random.Random(7)
    acknowledged = []
    for round_number in range(10):
        command = [sys.executable, "-c", WRITER, str(path), str(round_number)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        for _ in range(chance.randrange(1, 12)):
            acknowledged.append(child.stdout.readline())
        threading.Event().wait(chance.random() * 0.02)
        child.kill()
        acknowledged += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
    whole = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
    with Ledger.open(path) as opened:
        stored = {signal.id for _, signals in opened.iterate() for signal in signals}
        assert problems(opened) == ()
    assert len(whole) >= 10
    assert whole <= stored


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_gets_a_connection_of_its_own(tmp_path):
    code = """
import os, sys
from strop.feedback import FeedbackCollector
with FeedbackCollector(sys.argv[1]) as feedback:
    feedback.record(prompt="parent", answer="a")
    child = os.fork()
    feedback.record(prompt="both" if child else "child", answer="a")
    if not child:
        os._exit(0)
    sys.exit(os.waitpid(child, 0)[1])
"""
    path = tmp_path / "ledger.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
    with Ledger.open(path) as opened:
        assert opened.counts()["interactions"] == 3
        assert problems(opened) == ()


def test_nothing_heavy_is_imported_to_add_feedback(tmp_path):
    Ledger.open(tmp_path / "ledger.db").close()
    code = """
import sys
from strop.feedback import FeedbackCollector
with FeedbackCollector(sys.argv[1]) as feedback:
    feedback.rate(feedback.record(prompt="p", answer="a"), "up")
heavy = {"torch", "sqlite_utils", "scipy", "numpy", "pandas", "datasketch", "pydantic", "filelock", "transformers"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ledger.db")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_path_may_be_text(tmp_path):
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        assert opened.path == Path(tmp_path / "ledger.db")
