"""strop.deploy.follow: whoever serves sees the live row change, cheaply and from another process too."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.follow import follow
from strop.deploy.versions import Version, Versions


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """The base, and one more that passed the gate."""
    versions = Versions(tmp_path / "state.db")
    for number, digit in enumerate("0a"):
        facts: dict[str, Any] = {"number": 0, "state": "certified"} if number == 0 else {}
        versions.add(
            gguf=tmp_path, sha256=digit * 64, folder=tmp_path, base_ref="b", adapter_sha=None, quant="F16", **facts
        )
    for state in ("certified", "gated"):
        versions.set_state(1, state)
    return versions


def go_live(versions: Versions, which: int) -> Version:
    with versions.transaction() as db:
        versions.go_live(db, versions._find(db, which), {}, rollback=False)
    return versions.get(which)


def test_nothing_is_live_and_nothing_is_made(tmp_path: Path) -> None:
    with follow(tmp_path / "state.db") as follower:
        assert follower.current() is None
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_comes_later_is_seen(tmp_path: Path) -> None:
    with follow(tmp_path / "state.db") as follower:
        assert follower.current() is None
        versions = Versions(tmp_path / "state.db")
        base = versions.add(
            number=0, state="certified", gguf=tmp_path, sha256="0" * 64, folder=tmp_path, base_ref="b",
            adapter_sha=None, quant="F16",
        )  # fmt: skip
        go_live(versions, base.number)
        assert follower.current() == versions.live()


def test_every_change_is_seen_at_the_next_look(versions: Versions) -> None:
    with follow(versions.state_db) as follower:
        for number in (0, 1):
            go_live(versions, number)
            assert follower.current() == versions.live() == versions.get(number)
        versions.set_state(1, "stable", {"answers": 200})
        found = follower.current()
        assert found is not None
        assert (found.number, found.state) == (1, "stable")


def test_a_change_by_another_process_is_seen(versions: Versions) -> None:
    go_live(versions, 0)
    code = (
        "import sys; from pathlib import Path; from strop.deploy.versions import Versions\n"
        "v = Versions(Path(sys.argv[1]))\n"
        "with v.transaction() as db: v.go_live(db, v._find(db, 1), {}, rollback=False)"
    )
    with follow(versions.state_db) as follower:
        assert follower.current() == versions.get(0)
        subprocess.run([sys.executable, "-c", code, str(versions.state_db)], check=True, timeout=60)
        assert follower.current() == versions.get(1)


def test_a_look_without_a_change_reads_no_row(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    go_live(versions, 0)
    reads: list[object] = []
    read = Versions.read_live
    monkeypatch.setattr(Versions, "read_live", lambda self, db: (reads.append(db), read(self, db))[1])
    with follow(versions.state_db) as follower:
        for _ in range(100):
            assert follower.current() is not None
    assert len(reads) == 1


def test_a_writer_does_not_wait_for_a_follower_nor_stop_it(versions: Versions) -> None:
    go_live(versions, 0)
    with follow(versions.state_db) as follower:
        before = follower.current()
        with versions.transaction() as db:
            versions.go_live(db, versions._find(db, 1), {}, rollback=False)
            assert follower.current() == before  # what is not committed is not live
        assert follower.current() == versions.get(1)


def test_a_file_that_cannot_be_read_just_now_leaves_the_last_answer(versions: Versions) -> None:
    go_live(versions, 0)
    with follow(versions.state_db) as follower:
        before = follower.current()
        locked = sqlite3.connect(versions.state_db, isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
        assert follower.current() == before
        locked.execute("ROLLBACK")
        locked.close()


def test_another_file_in_its_place_is_noticed(versions: Versions, tmp_path: Path) -> None:
    go_live(versions, 0)
    other = Versions(tmp_path / "other" / "state.db")
    base = other.add(
        number=0, state="certified", gguf=tmp_path, sha256="f" * 64, folder=tmp_path, base_ref="b", adapter_sha=None,
        quant="F16",
    )  # fmt: skip
    go_live(other, base.number)
    with follow(versions.state_db) as follower:
        follower.current()
        os.replace(other.state_db, versions.state_db)
        found = follower.current()
    assert found is not None
    assert found.sha256 == "f" * 64


def test_a_server_that_looks_every_50_ms_sees_a_release_at_its_next_look(versions: Versions) -> None:
    go_live(versions, 0)
    seen: list[Version | None] = []
    done = threading.Event()

    def server() -> None:
        with follow(versions.state_db) as follower:
            while not done.wait(0.05):
                seen.append(follower.current())

    thread = threading.Thread(target=server)
    thread.start()
    while not seen:
        time.sleep(0.01)
    go_live(versions, 1)
    looks = len(seen)
    while len(seen) < looks + 2:  # the look that was under way, and the next
        time.sleep(0.01)
    done.set()
    thread.join()
    assert seen[looks + 1] == versions.get(1)
