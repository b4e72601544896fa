"""An older ledger is brought up to date: once, under a lock, after a copy was made, and whole or not at all."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlite_utils import Database

from strop.errors import LedgerError, Locked
from strop.feedback import Interaction, Ledger, Message, Signal, connection, migrations, verify
from strop.feedback.cursors import Cursors
from strop.feedback.migrations import SCHEMA_VERSION, _migrations, backup_file, backups
from strop.feedback.reviews import decided
from strop.feedback.sketch import sketch
from strop.feedback.split import places
from strop.feedback.stored import as_interaction
from strop.files import canonical_json

OPEN = "import sys; from strop.feedback import Ledger; Ledger.open(sys.argv[1]).close()"
SIDES = ("train", "gate", "held", None)


def asked(number: int) -> Interaction:
    turns = (Message("system", "Be brief."), Message("user", f"Question {number}, und was ist {number * 7}?"))
    return Interaction(turns, f"{number}." + " So." * 50, session=f"s{number // 3}", turn=number % 3)


def schema_one(path: Path, count: int) -> None:
    """A ledger as the first Strop wrote it, `count` answers with a thumb each and a side for three in four."""
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("BEGIN")
        _migrations().apply(Database(old), stop_before="0002_sketches_cursors_reviews_places_standing_forget")
        for number in range(count):
            one = asked(number)
            row = {**one.as_dict(), "id": one.id, "messages": canonical_json(one.as_dict()["messages"])}
            row["tool_calls"] = canonical_json(row["tool_calls"])
            names = ", ".join(row)
            old.execute(f"INSERT INTO interactions ({names}) VALUES ({', '.join(':' + name for name in row)})", row)
            said = Signal(one.id, "thumb", 1.0, source_key=str(number))
            row = {**said.as_dict(), "id": said.id, "interaction_id": one.id}
            names = ", ".join(row)
            old.execute(f"INSERT INTO signals ({names}) VALUES ({', '.join(':' + name for name in row)})", row)
            if side := SIDES[number % 4]:
                old.execute("INSERT INTO split VALUES (?, ?, ?, ?)", (one.id, f"c{number}", side, row["time"]))
        old.execute("COMMIT")


def content(path: Path) -> str:
    """A hash of every row that the first schema holds."""
    with closing(sqlite3.connect(path)) as file:
        rows = [file.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("interactions", "signals")]
        return hashlib.sha256(repr(rows).encode()).hexdigest()


def problems(path: Path, count: int, before: str) -> list[str]:
    """What is not as it must be after the migration of `schema_one(path, count)`."""
    with Ledger.open(path) as ledger:
        found = list(verify.problems(ledger))
        rows = ledger.query("SELECT * FROM interactions JOIN sketches USING (seq)")
        for row in rows:
            text = as_interaction(row).asked
            if (row["exact"], row["chars"], row["words"]) != sketch(text):
                found.append(f"{row['id']} has another sketch")
        if len(rows) != count:
            found.append(f"{len(rows)} interactions have a sketch")
        sides = {asked(number).id: (f"c{number}", side) for number in range(count) if (side := SIDES[number % 4])}
        if places(ledger) != sides:
            found.append("the sides are others")
        if ledger.query("PRAGMA user_version")[0][0] != SCHEMA_VERSION:
            found.append("the schema is another")
        if len(ledger.query("SELECT 1 FROM facts WHERE name = 'tombstone_key' AND length(value) = 32")) != 1:
            found.append("the key of tombstones is missing")
        if ledger.query("SELECT 1 FROM sqlite_master WHERE name = 'split'"):
            found.append("the old table of sides is still there")
    if content(path) != before:
        found.append("the rows are others")
    return found + backup_problems(path, before)


def backup_problems(path: Path, before: str) -> list[str]:
    copy = backup_file(path, 1)
    if backups(path) != [copy]:
        return [f"the copies are {backups(path)}"]
    found = [] if content(copy) == before else ["the copy holds other rows"]
    with closing(sqlite3.connect(copy)) as file:
        if file.execute("PRAGMA user_version").fetchone() != (1,):
            found.append("the copy has another schema")
        if file.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            found.append("the copy is damaged")
    if os.name != "nt" and stat.S_IMODE(copy.stat().st_mode) != 0o600:
        found.append("others can read the copy")
    return found


def test_an_old_ledger_is_brought_up_to_date_and_a_private_copy_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    schema_one(path, 40)
    before = content(path)
    assert problems(path, 40, before) == []
    made = backup_file(path, 1).stat()
    with Ledger.open(path) as ledger:
        assert ledger.add_interaction(asked(99))
    assert backup_file(path, 1).stat() == made, "it is copied before a migration, not at every opening"


def test_decisions_of_the_second_schema_get_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    schema_one(path, 2)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        (said,) = old.execute("SELECT id FROM signals ORDER BY seq").fetchone()
        old.execute("BEGIN")
        _migrations().apply(Database(old), stop_before="0003_placeholders_review_ids")
        for decision, text in (("accept", None), ("edit", "Ω"), ("accept", None)):
            row = (said, decision, text, "owner", f"2026-01-0{len(decision)}T00:00:00.000000+00:00")
            old.execute("INSERT INTO reviews (signal_id, decision, text, who, time) VALUES (?, ?, ?, ?, ?)", row)
        old.execute("INSERT INTO cursors VALUES ('csv', '/home/ann/pupils.csv', 'line 7', '2026')")
        old.execute("COMMIT")
    with Ledger.open(path) as ledger:
        assert verify.problems(ledger) == ()
        assert Cursors(ledger, "csv").get("/home/ann/pupils.csv") == "line 7"
        assert "pupils" not in str([tuple(row) for row in ledger.query("SELECT * FROM cursors")])
        assert [(one.decision, one.text) for one in decided(ledger)] == [("accept", None), ("edit", "Ω")]
        with pytest.raises(LedgerError, match="append-only"):
            ledger.execute("UPDATE reviews SET who = 'mallory'")
    assert backups(path) == [backup_file(path, 2)]


def test_many_processes_at_once_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    schema_one(path, 120)
    before = content(path)
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stderr=subprocess.PIPE, text=True) for _ in range(8)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert said == [""] * 8
    assert problems(path, 120, before) == []
    with closing(sqlite3.connect(path)) as file:
        applied = [row[0] for row in file.execute("SELECT name FROM _sqlite_migrations ORDER BY name")]
    assert len(applied) == len(set(applied)) == SCHEMA_VERSION
    assert not list(tmp_path.glob("*.new*"))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_migration_that_is_killed_anywhere_leaves_a_whole_ledger(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    schema_one(old, 800)
    before = content(old)
    start = time.monotonic()
    path = _copied(old, tmp_path / "first")
    subprocess.run([sys.executable, "-c", OPEN, str(path)], check=True, timeout=120)
    whole_s = time.monotonic() - start
    chance = random.Random(11)
    versions = set()
    for number in range(12):
        path = _copied(old, tmp_path / f"kill{number}")
        with subprocess.Popen([sys.executable, "-c", OPEN, str(path)]) as child:
            time.sleep(chance.uniform(0.1, 1.0) * whole_s)
            child.kill()
        versions.add((_version(path), backup_file(path, 1).exists()))
        assert problems(path, 800, before) == [], f"kill {number}"
        assert {file.name for file in path.parent.iterdir()} <= {
            *("ledger.db", "ledger.db.lock", "ledger.db-wal", "ledger.db-shm", backup_file(path, 1).name)
        }
    assert (1, True) in versions, "no kill came between the copy and the end"


def _copied(old: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(old, folder / "ledger.db"))


def _version(path: Path) -> int:
    """The schema as it lies in the file's header, or in the journal's hands: nothing is rolled back by looking."""
    journal = path.with_name("ledger.db-journal")
    return 1 if journal.exists() else int.from_bytes(path.read_bytes()[60:64], "big")


def test_a_copy_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    schema_one(path, 10)
    before = content(path)
    half = backup_file(path, 1).with_name(backup_file(path, 1).name + ".new")
    half.write_bytes(path.read_bytes()[:5000])
    assert problems(path, 10, before) == []
    assert not half.exists()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    schema_one(path, 10)
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TRIGGER interactions_append_only")
        file.execute("UPDATE interactions SET messages = '[' WHERE seq = 7")
        file.commit()
    before = content(path)
    with pytest.raises((LedgerError, json.JSONDecodeError)):
        Ledger.open(path)
    with closing(sqlite3.connect(path)) as file:
        tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
    assert "split" in tables
    assert "places" not in tables
    assert content(path) == before


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 4711])
def test_a_newer_schema_is_refused_and_left_alone(version: int, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=f"newer Strop .schema {version}, this one knows {SCHEMA_VERSION}") as caught:
        Ledger.open(path)
    assert caught.value.hint == "upgrade this Strop: pip install --upgrade strop"
    assert path.read_bytes() == before
    assert backups(path) == []


def test_a_ledger_that_another_process_makes_meanwhile_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    raced = []
    # Where all is read in one transaction, the other process waits for its end, and here not for long.
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(migrations, "BUSY_TIMEOUT_MS", 50)

    class Racing(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if "sqlite_master" in sql and not raced:
                raced.append(sql)
                with suppress(Locked):
                    Ledger.open(path).close()
            return super().execute(sql, *values)

    with closing(sqlite3.connect(path, isolation_level=None, factory=Racing)) as slow:
        assert migrations.needs_migration(slow, path)
    assert raced
    with Ledger.open(path) as ledger:
        assert ledger.add_interaction(asked(1))
