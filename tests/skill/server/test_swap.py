"""Swap and rollback are one pointer: it follows the live row, real servers come and go, and no request notices."""

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import psutil
import pytest

from strop.config import load
from strop.deploy.versions import Versions
from strop.server import pointer
from strop.server.backend import LlamaCppBackends
from strop.server.metrics import Metrics


def children(door: Any) -> list[psutil.Process]:
    """The llama-server processes of this process."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "strop.deploy.llama_child" in " ".join(one.cmdline()):
                found.append(one)
    return found


def version_of(door: Any) -> str:
    return str(door.http.get("/healthz").json()["version"])


def test_a_release_and_a_rollback_by_another_process_are_followed(door: Any, scripted: ModuleType) -> None:
    before = door.chat().json()
    released = door.release(1)
    scripted.until(lambda: version_of(door) == released)
    after = door.chat().json()
    assert after["strop"]["version"] == after["model"] == released
    assert after["choices"][0]["message"]["content"] != before["choices"][0]["message"]["content"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "strop", "--home", str(door.home.path), "rollback"]
    subprocess.run(command, check=True, capture_output=True, env=env)
    scripted.until(lambda: version_of(door) == before["model"])
    assert door.chat().json()["choices"] == before["choices"]


def test_the_version_before_is_kept_warm_and_older_ones_end(door: Any, scripted: ModuleType) -> None:
    for number in (1, 2):
        tag = door.release(number)
        scripted.until(lambda tag=tag: version_of(door) == tag)
    scripted.until(lambda: len(children(door)) == 2)
    warm = {one.pid for one in children(door)}
    tag = door.release(1)
    scripted.until(lambda: version_of(door) == tag)
    assert {one.pid for one in children(door)} == warm, "a warm server was there, and another was started"


def test_the_version_before_is_warm_again_after_a_restart_during_probation(
    home: Any, serving: Any, scripted: ModuleType
) -> None:
    with serving(home) as door:
        before, tag = version_of(door), door.release(1)
        scripted.until(lambda: version_of(door) == tag)
    with serving(home) as door:
        assert version_of(door) == tag
        scripted.until(lambda: "strop_kept_warm 1" in door.http.get("/metrics").text)
        warm = {one.pid for one in children(door)}
        assert len(warm) == 2
        door.release(0)
        scripted.until(lambda: version_of(door) == before)
        assert door.chat().json()["model"] == before
        assert {one.pid for one in children(door)} == warm, "a warm server was there, and another was started"
    assert not children(door)


def test_after_a_restart_nothing_is_kept_warm_for_a_version_that_passed(
    home: Any, serving: Any, scripted: ModuleType
) -> None:
    with serving(home) as door:
        tag = door.release(1)
        scripted.until(lambda: version_of(door) == tag)
        door.versions.set_state(1, "stable", {"reason": "200 answers"})
    with serving(home) as door:
        asked = door.chat()
        assert asked.json()["model"] == tag
        assert "strop_kept_warm 0" in door.http.get("/metrics").text


def pointing(
    home: Any, script: Any, scripted: ModuleType, then: Callable[[Any, list[Any]], Coroutine[Any, Any, None]]
) -> None:
    """Run `then` with a pointer at version 1 of three."""
    versions = Versions(home.state_db).list()

    async def run() -> None:
        one = pointer.Pointer(scripted.Backends(script), Metrics(), 1.0, 1.0)
        await one.swap(versions[1])
        try:
            await then(one, versions)
        finally:
            await one.close()

    asyncio.run(run())


def test_no_second_server_is_started_where_memory_holds_one(
    home: Any, script: Any, scripted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointer, "hold", lambda servers, needs_bytes, room_bytes: False)

    async def then(one: Any, versions: list[Any]) -> None:
        await one.keep(versions[0])
        assert one.kept is None

    pointing(home, script, scripted, then)


def test_a_second_server_displaces_none_that_is_warm_and_is_never_the_current_version(
    home: Any, script: Any, scripted: ModuleType
) -> None:
    async def then(one: Any, versions: list[Any]) -> None:
        await one.keep(versions[1])
        assert one.kept is None
        await one.keep(versions[0])
        await one.keep(versions[2])
        assert (one.tag, one.kept.tag) == (versions[1].tag, versions[0].tag)

    pointing(home, script, scripted, then)


def test_many_swaps_under_load_lose_no_request_and_mix_no_versions(door: Any, scripted: ModuleType) -> None:
    texts: dict[str, set[str]] = {}
    stop = threading.Event()

    def ask() -> list[tuple[int, str, str]]:
        seen = []
        while not stop.is_set():
            answer = door.chat()
            data = answer.json()
            seen.append((answer.status_code, data["strop"]["version"], data["choices"][0]["message"]["content"]))
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for number in (1, 2, 0, 2, 1, 0):
                tag = door.release(number)
                scripted.until(lambda tag=tag: version_of(door) == tag)
                assert door.chat().json()["model"] == tag
        finally:
            stop.set()
        seen = [one for asked in asking for one in asked.result()]
    assert {status for status, _, _ in seen} == {200}
    for _, version, text in seen:
        texts.setdefault(version, set()).add(text)
    assert len(texts) == 3
    assert all(len(one) == 1 for one in texts.values()), texts


def test_an_answer_that_was_begun_is_ended_by_the_version_that_began_it(door: Any, scripted: ModuleType) -> None:
    old = version_of(door)
    body = {"messages": [{"role": "user", "content": "Well?"}], "max_tokens": 300, "temperature": 0, "stream": True}
    with door.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        first = next(lines)
        for number in (1, 2):
            tag = door.release(number)
            scripted.until(lambda tag=tag: door.chat().json()["model"] == tag)
        rest = [first, *lines]
    assert any("[DONE]" in line for line in rest)
    models = {line.partition('"model":"')[2].partition('"')[0] for line in rest if '"finish_reason":null' in line}
    assert models == {old}
    assert any(f'"version": "{old}"' in line for line in rest)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_server_that_is_killed_is_started_again_and_counted(door: Any, scripted: ModuleType) -> None:
    before = door.chat().json()
    [child] = children(door)
    os.kill(child.pid, signal.SIGKILL)
    scripted.until(lambda: door.chat().status_code == 200)
    assert [one.pid for one in children(door)] != [child.pid]
    assert door.chat().json()["choices"] == before["choices"]
    assert f'strop_restarts_total{{version="{before["model"]}"}} 1' in door.http.get("/metrics").text


def test_where_memory_holds_one_server_requests_wait_during_the_swap(
    home: Any, serving: Any, scripted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointer, "free_memory_bytes", lambda: 0)
    with serving(home) as door, concurrent.futures.ThreadPoolExecutor(4) as pool:
        stop = threading.Event()

        def ask() -> set[int]:
            seen = set()
            while not stop.is_set():
                seen.add(door.chat().status_code)
            return seen

        asking = [pool.submit(ask) for _ in range(4)]
        most = 0
        try:
            for number in (1, 2):
                tag = door.release(number)
                while version_of(door) != tag:
                    most = max(most, len(children(door)))
        finally:
            stop.set()
        assert [one.result() for one in asking] == [{200}] * 4
        assert most <= 1
        assert len(children(door)) == 1


def test_a_version_that_does_not_come_up_leaves_the_one_before_answering_and_is_rolled_back(
    door: Any, scripted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop.server import follow

    monkeypatch.setattr(follow, "_AGAIN_S", 0.1)
    old = version_of(door)
    broken = door.versions.get(1)
    broken.gguf.write_bytes(b"GGUF and nothing behind it")
    door.release(1)
    statuses = set()

    def back() -> bool:
        statuses.add(door.chat().status_code)
        return door.versions.live().tag == old

    scripted.until(back, 60)
    assert statuses == {200}
    assert door.versions.get(1).state == "rolled_back"
    last = door.versions.events(old)[-1]
    assert (last.evidence["by"], last.evidence["from"]) == ("probation", broken.tag)
    assert "does not come up" in last.evidence["reason"]


def test_a_server_that_comes_up_when_nobody_waits_any_more_is_ended(home: Any, scripted: ModuleType) -> None:
    async def run() -> None:
        starting = asyncio.ensure_future(LlamaCppBackends(load(home)).start(Versions(home.state_db).get(0)))
        await asyncio.to_thread(scripted.until, lambda: children(None))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert not children(None)


def test_no_server_outlives_the_door(home: Any, serving: Any, scripted: ModuleType) -> None:
    with serving(home) as door:
        tag = door.release(1)
        scripted.until(lambda: version_of(door) == tag)
        assert children(door)
    assert not children(door)
