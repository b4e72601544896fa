"""What a killed server left in its spool reaches the ledger, and can be forgotten."""

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.errors import Locked
from strop.feedback import FeedbackCollector, Interaction, Ledger, Message
from strop.home import Home
from strop.server import settle as settling
from strop.server.running import only_one
from strop.server.settle import settle
from strop.server.spool import Spool


def left_behind(home: Home, *questions: str) -> Path:
    """A spool as `kill -9` leaves it: lines on disk, and nothing of them in the ledger."""
    home.ensure()
    path = home.path / "serve" / "spool.jsonl"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with FeedbackCollector(home.ledger_db) as collector:
        made = [Interaction((Message("user", text),), "Yes.", session=text[:5], turn=1) for text in questions]
        spool = Spool(path)
        spool.write([collector.ledger.prepare(one) for one in made])
    return path


def test_answers_of_a_killed_server_are_stored_and_the_spool_is_empty(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    path = left_behind(home, "alpha?", "beta?")
    settle(home)
    with Ledger.open(home.ledger_db) as ledger:
        assert ledger.counts()["interactions"] == 2
    assert path.read_bytes() == b""
    settle(home)


def test_forgetting_finds_them_and_leaves_no_copy(tmp_path: Path, strop: Any) -> None:
    home = Home(tmp_path / "home")
    path = left_behind(home, "XYLOPHONEQUUX?", "other?")
    told = strop(home, "feedback", "forget", "--match", "XYLOPHONEQUUX", "--yes", "--json")
    assert told.code == 0
    left = [file for file in home.path.rglob("*") if file.is_file() and b"XYLOPHONEQUUX" in file.read_bytes()]
    assert left == []
    assert path.read_bytes() == b""
    with Ledger.open(home.ledger_db) as ledger:
        assert ledger.counts()["interactions"] == 1


def test_a_running_server_empties_its_spool_by_itself(door: Any, scripted: ModuleType) -> None:
    path = door.home.path / "serve" / "spool.jsonl"
    assert door.chat().status_code == 200
    scripted.until(lambda: path.stat().st_size == 0)
    settle(door.home)


def test_a_spool_that_a_running_server_cannot_empty_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    left_behind(home, "alpha?")
    monkeypatch.setattr(settling, "_WAIT_S", 0.2)
    held, done = threading.Event(), threading.Event()

    def serving() -> None:
        with only_one(home):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=serving)
    thread.start()
    assert held.wait(10)
    try:
        with pytest.raises(Locked, match="not in the ledger"):
            settle(home)
    finally:
        done.set()
        thread.join()
    settle(home)


def test_a_home_without_a_server_is_left_as_it_is(tmp_path: Path) -> None:
    settle(Home(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
