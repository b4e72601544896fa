"""Nothing that was acknowledged is lost: not to a kill, not to a slow ledger, not to a torn line."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from strop.errors import BadRecord
from strop.feedback import FeedbackCollector, Ledger
from strop.server import running
from strop.server.recording import Name, Recorder, drafted, new_name
from strop.server.spool import Spool

ASKED = {"messages": [{"role": "user", "content": "What is a strop?"}]}


def recorder(folder: Path) -> Recorder:
    made = Recorder(FeedbackCollector(folder / "ledger.db"), Spool(folder / "spool.jsonl"))
    made.start()
    return made


def kept(folder: Path) -> int:
    with Ledger.open(folder / "ledger.db") as ledger:
        return ledger.counts()["interactions"]


def one(number: int) -> Any:
    return drafted(ASKED, f"Answer {number}.", [], Name(f"s{number}", 0), "v0001-00000000")


def test_what_was_recorded_is_in_the_ledger_after_a_flush_and_the_spool_is_empty_at_the_end(tmp_path: Path) -> None:
    made = recorder(tmp_path)

    async def run() -> None:
        await asyncio.gather(*(made.record(one(number)) for number in range(40)))
        await made.flush()
        assert kept(tmp_path) == 40

    asyncio.run(run())
    made.close()
    assert (tmp_path / "spool.jsonl").read_bytes() == b""
    assert (tmp_path / "spool.jsonl").stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_a_ledger_that_another_program_holds_delays_no_answer_and_loses_none(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    async def run() -> None:
        await asyncio.gather(*(made.record(one(number)) for number in range(5)))

    asyncio.run(run())
    assert made.spool.waiting == 5
    holder.execute("ROLLBACK")
    holder.close()
    made.close()
    assert kept(tmp_path) == 5


def test_a_torn_line_is_left_out_and_what_stands_before_and_after_it_is_not(tmp_path: Path) -> None:
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        spool = Spool(tmp_path / "spool.jsonl")
        spool.write([collector.ledger.prepare(one(0))])
        whole = (tmp_path / "spool.jsonl").read_bytes()
        (tmp_path / "spool.jsonl").write_bytes(whole + whole[: len(whole) // 2])
        spool.write([collector.ledger.prepare(one(1))])
    made = recorder(tmp_path)
    made.close()
    assert kept(tmp_path) == 2


def test_a_disk_that_takes_nothing_more_is_told_and_the_next_answer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop.server import spool as spooling

    made = recorder(tmp_path)

    def full(file: int, data: bytes) -> None:
        os.write(file, data[:10])
        raise OSError(28, "No space left on device")

    async def run() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(spooling, "_write_all", full)
            with pytest.raises(OSError, match="No space"):
                await made.record(one(0))
        await made.record(one(1))

    asyncio.run(run())
    made.close()
    assert kept(tmp_path) == 1


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_kill_minus_nine_loses_no_answer_that_was_acknowledged(
    three: Any, tmp_path: Path, scripted: ModuleType, serving: Any, one_thread: None
) -> None:
    shutil.copytree(three.path, tmp_path / "home", ignore=shutil.ignore_patterns("*.lock"))
    home = type(three)(tmp_path / "home")
    command = [sys.executable, "-m", "strop", "--home", str(home.path), "serve", "--port", "0", "--json"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "STROP_SERVE__THREADS": "1"}
    names = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as child:
        try:
            scripted.until(lambda: running.running(home) is not None, 60)
            server = running.running(home)
            assert server is not None
            headers = {"Authorization": f"Bearer {running.token(home)}"}
            with httpx2.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as http:
                for number in range(8):
                    question = {"messages": [{"role": "user", "content": f"Number {number}?"}], "max_tokens": 8}
                    names.append(http.post("/v1/chat/completions", json=question).json()["strop"]["interaction"])
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert running.running(home) is None, "a dead server counts as running"
    names = [name for name in names if name]
    assert len(names) > 4
    with serving(home) as door:
        for name in names:
            assert door.http.post("/v1/feedback", json={"interaction": name, "rating": "up"}).status_code == 200


@pytest.mark.parametrize(
    ("request_", "answer"),
    [({"messages": [{"role": "system", "content": "Be brief."}]}, "Yes."), (ASKED, ""), (ASKED, "a\0b")],
)
def test_what_nobody_could_rate_is_said_to_be_none(request_: Any, answer: str) -> None:
    with pytest.raises(BadRecord):
        drafted(request_, answer, [], new_name(None), "v0001-00000000")


def test_parts_and_other_roles_are_read_as_texts() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "this?"},
    ]
    request = {"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]}
    found = drafted(request, "A strop.", [], new_name("s"), "v0001-00000000")
    assert [(message.role, message.content) for message in found.messages] == [
        ("system", "Be brief."),
        ("user", "What is\nthis?"),
    ]
    assert json.dumps(found.as_dict())
