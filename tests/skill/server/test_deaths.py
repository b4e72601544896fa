"""When the model's server dies or is away: what waits for the next one, and what is held against the version."""

import concurrent.futures
import json
import os
import signal
from types import ModuleType
from typing import Any

import psutil
import pytest

from strop.server import report

posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")


def children() -> set[int]:
    """The llama-server processes of this process."""
    found = set()
    for one in psutil.Process().children(recursive=True):
        try:
            if "strop.deploy.llama_child" in " ".join(one.cmdline()):
                found.add(one.pid)
        except psutil.Error:
            continue
    return found


def seen(door: Any, tag: str) -> dict[str, Any]:
    """What probation has seen of a version, once it is written down."""
    path = door.home.path / "serve" / "probation.json"
    return dict(json.loads(path.read_text())["seen"].get(tag, {})) if path.exists() else {}


@pytest.fixture
def released(door: Any, scripted: ModuleType) -> tuple[Any, str, Any]:
    """A door whose version 1 has just gone live, its tag, and `pid`, which says which process serves it."""
    kept = children()
    tag = door.release(1)
    scripted.until(lambda: door.http.get("/healthz").json()["version"] == tag)

    def pid() -> int | None:
        found = children() - kept
        return found.pop() if len(found) == 1 else None

    return door, tag, pid


@posix
def test_one_death_is_one_failure_and_what_it_broke_off_is_answered_by_the_next_server(
    released: Any, scripted: ModuleType
) -> None:
    door, tag, pid = released
    assert [door.chat().status_code for _ in range(3)] == [200] * 3
    os.kill(pid(), signal.SIGSTOP)  # so that none of them is answered before it dies
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(door.chat) for _ in range(6)]
        scripted.until(lambda: "strop_requests_open 6" in door.http.get("/metrics").text)
        os.kill(pid(), signal.SIGKILL)
        answers = [one.result() for one in asking]
    assert [one.status_code for one in answers] == [200] * 6
    assert {one.json()["strop"]["version"] for one in answers} == {tag}
    scripted.until(lambda: seen(door, tag).get("answers") == 10)
    assert seen(door, tag)["failed"] == 1
    assert door.versions.live().tag == tag
    assert f'strop_restarts_total{{version="{tag}"}} 1' in door.http.get("/metrics").text


@posix
def test_a_version_whose_server_dies_again_and_again_is_rolled_back(released: Any, scripted: ModuleType) -> None:
    door, tag, pid = released
    killed = set()

    def back() -> bool:
        now = pid() if door.http.get("/healthz").status_code == 200 else None
        if now is not None and now not in killed:
            killed.add(now)
            os.kill(now, signal.SIGKILL)
        return bool(door.versions.live().tag != tag)

    scripted.until(back, 60)
    assert door.versions.get(tag).state == "rolled_back"
    assert door.versions.events(door.versions.live().tag)[-1].evidence["reason"].startswith("errors: ")
    assert len(killed) > 1


@posix
def test_where_no_server_comes_up_again_the_request_is_told_so(released: Any, scripted: ModuleType) -> None:
    door, tag, pid = released
    gguf = door.versions.get(tag).gguf
    os.kill(pid(), signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asking = pool.submit(door.chat)
        scripted.until(lambda: "strop_requests_open 1" in door.http.get("/metrics").text)
        gguf.rename(gguf.with_suffix(".aside"))
        os.kill(pid(), signal.SIGKILL)
        refused = asking.result()
    assert refused.status_code == 503
    assert "does not come up again" in refused.json()["error"]["message"]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_request_that_breaks_off_before_its_first_byte_is_sent_once_more_and_not_twice(
    streamed: bool, home: Any, serving: Any, script: Any, scripted: ModuleType
) -> None:
    with serving(home) as door:
        tag = door.versions.live().tag
        # A connection that broke before any answer may have been a stale one, so that it is used twice each time.
        each = 1 if streamed else 2
        script.drops = each
        assert "Fi" in (answer := door.chat(stream=streamed)).text
        assert (answer.status_code, "error" in answer.text) == (200, False)
        script.asked.clear()
        script.drops = 99
        assert door.chat(stream=streamed).status_code == 502
        assert len(script.asked) == 2 * each
        scripted.until(lambda: seen(door, tag).get("answers") == 2)
        assert seen(door, tag)["failed"] == 1


def test_a_server_that_is_away_for_everybody_is_no_failure_of_the_version_and_healthz_says_so(
    home: Any, serving: Any, ollama_like: Any, scripted: ModuleType
) -> None:
    with serving(home) as door:
        new = door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)
        assert door.chat().status_code == 200
        ollama_like.stop()
        for streamed in (True, False) * 6:
            refused = door.chat(stream=streamed)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_away")
            assert "ollama serve" in refused.json()["error"]["message"]
        scripted.until(lambda: door.http.get("/healthz").json() == {"status": "down", "version": new})
        assert door.http.get("/healthz").status_code == 503
        told = report.serving(home, new)
        assert (told["health"], "does not answer: ollama serve" in told["sentence"]) == ("down", True)
        ollama_like.start_again()
        assert door.chat().status_code == 200
        scripted.until(lambda: door.http.get("/healthz").status_code == 200)
        assert report.serving(home, new)["health"] == "ok"
        scripted.until(lambda: seen(door, new).get("answers") == 2)
        assert seen(door, new)["failed"] == 0
        assert door.versions.get(new).state == "live"
