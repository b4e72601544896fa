"""`strop serve` and what else knows of it: the token, `strop chat`, `strop status`, a second server, a broken start."""

import os
from typing import Any

import pytest

from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.errors import Locked
from strop.server import running


def test_the_token_is_shown_where_it_is_asked_for(home: Any, strop: Any) -> None:
    told = strop(home, "serve", "--show-token")
    assert told.code == 0
    assert told.out.strip() == running.token(home)
    assert strop(home, "serve", "--show-token", "--json").json["file"] == str(running.token_file(home))


def test_chat_asks_the_server_that_runs_and_starts_none(door: Any, strop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a second server was started")

    monkeypatch.setattr(LlamaCppTarget, "start", none)
    told = strop(door.home, "chat", "What is a strop?", "--json")
    assert told.code == 0
    assert told.json["version"] == door.versions.live().tag
    assert told.json["answer"]


def test_chat_starts_its_own_where_none_runs_or_one_has_died(home: Any, strop: Any) -> None:
    assert strop(home, "chat", "Well?").code == 0
    with running.announced(home, "http://127.0.0.1:9"):
        # Our own process lives, and nothing listens there: a server that is just ending.
        assert running.running(home) is not None
        assert strop(home, "chat", "Well?").code == 0
    assert running.running(home) is None


def test_what_a_server_says_of_itself_ends_with_it_and_is_private(home: Any, serving: Any) -> None:
    with serving(home) as door:
        found = running.running(home)
        assert found is not None
        assert (found.url, found.pid) == (door.url, os.getpid())
        if os.name != "nt":
            assert (home.path / "serve" / "running.json").stat().st_mode & 0o777 == 0o600
            assert (home.path / "serve" / "spool.jsonl").stat().st_mode & 0o777 == 0o600
    assert running.running(home) is None
    assert not (home.path / "serve" / "running.json").exists()


def test_one_home_has_one_server(home: Any, door: Any, serving: Any, strop: Any) -> None:
    with pytest.raises(Locked), serving(home):
        pass
    told = strop(home, "serve", "--port", "0")
    assert told.code == 40
    assert "strop chat" in told.err


def test_a_port_that_is_taken_is_a_wrong_call_that_names_a_way_out(home: Any, strop: Any) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = strop(home, "serve", "--port", str(taken.getsockname()[1]))
    assert told.code == 2
    assert "strop serve --port 0" in told.err
