"""`strop chat`: one question to whatever is live, on a real server."""

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from strop import chat, judge, night
from strop.config import load, save
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.deploy.versions import Versions
from strop.errors import UsageError
from strop.home import Home

Strop = Callable[..., Any]


@pytest.mark.usefixtures("one_thread")
def test_on_a_fresh_home_the_base_is_made_ready_and_answers(
    tmp_path: Path, tiny_base: Path, nights: ModuleType, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODEL": str(tiny_base), "QUANT": "F16"}.items():
        monkeypatch.setenv(f"STROP_{name}", value)
    home = Home(tmp_path / "new")
    told = strop(home, "chat", "What is a strop?", "--json")
    assert told.code == 0
    assert told.json["answer"]
    assert told.json["version"] == Versions(home.state_db).get("live").tag
    assert told.json["version"].startswith("v0000-")
    assert "comparing the served base with transformers" in told.err
    assert not home.ledger_db.exists()


def test_the_answer_goes_to_stdout_and_the_same_question_gets_it_again(home: Home, strop: Strop) -> None:
    told = strop(home, "chat", "What is a strop?")
    assert told.code == 0
    assert told.out.strip()
    assert told.err.splitlines()[-1].startswith("hint: strop feedback add")
    assert strop(home, "chat", "What is a strop?").out == told.out


def test_it_is_the_live_version_that_answers(
    trained: Home, nights: ModuleType, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "judged", nights.scripted(1.0))
    promoted = night.run(trained, load(trained), on_progress=nights.Watch()).version
    assert strop(trained, "chat", "Why?", "--json").json["version"] == promoted.replace("v0000", "v0001")
    assert strop(trained, "rollback", "--yes").code == 0
    assert strop(trained, "chat", "Why?", "--json").json["version"].startswith("v0000-")


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_a_wrong_call(question: str, home: Home, strop: Strop) -> None:
    told = strop(home, "chat", question)
    assert told.code == 2
    assert told.err.splitlines() == ["error: the question is empty", 'hint: strop chat "What is a strop?"']
    with pytest.raises(UsageError):
        chat.answer(home, load(home), question)


def test_a_question_with_half_of_a_character_is_a_wrong_call(home: Home, strop: Strop) -> None:
    told = strop(home, "chat", "What is a \udce9strop?", "--json")
    assert (told.code, told.json["error"]["code"]) == (2, "usage")
    assert told.json["error"]["message"] == "the question holds half of a character (U+DCE9): type it again"


@pytest.mark.skipif(os.name != "posix", reason="a process is suspended and killed by signals")
def test_a_server_that_is_killed_in_the_middle_of_an_answer_is_told_in_words(
    home: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = strop(home, "versions", "--json").json["live"]
    post = LlamaServer._post

    def killed_while_it_answers(server: LlamaServer, path: str, body: Any) -> Any:
        child = max(psutil.Process().children(), key=psutil.Process.create_time)  # other tests may have some
        child.suspend()  # the request reaches it, the answer never comes
        connected = {one.raddr for one in psutil.Process().net_connections("tcp") if one.status == "ESTABLISHED"}

        def kill() -> None:
            while not sent(connected):
                pass
            child.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            return post(server, path, body)
        finally:
            thread.join()

    monkeypatch.setattr(LlamaServer, "_post", killed_while_it_answers)
    told = strop(home, "chat", "What is a strop?")
    assert told.code == 1
    assert "error: llama-server was ended by signal 9 before its answer was whole" in told.err
    assert "hint: the same command again" in told.err
    assert "Traceback" not in told.err
    monkeypatch.undo()
    assert strop(home, "versions", "--json").json["live"] == asked


def sent(before: set[Any]) -> bool:
    """Whether this process has a connection that it did not have before."""
    now = {one.raddr for one in psutil.Process().net_connections("tcp") if one.status == "ESTABLISHED"}
    return bool(now - before)


def test_a_question_comes_from_stdin_as_well(home: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"What is caf\xe9?"), encoding="utf-8"))
    assert strop(home, "chat").code == 0


def test_a_question_longer_than_the_context_is_refused_in_words(home: Home, strop: Strop) -> None:
    told = strop(home, "chat", "why " * 6000)
    assert told.code == 1
    assert "exceeds the available context size" in told.err


def test_ollama_answers_where_it_is_the_target(home: Home, fake_ollama: Any, strop: Strop) -> None:
    save(home, {"target": "ollama", "ollama.host": fake_ollama.host})
    told = strop(home, "chat", "Is it?", "--json")
    assert (told.code, told.json["answer"], told.json["finished"]) == (0, "Yes.", True)
    assert f"strop:{told.json['version']}" in fake_ollama.digests
    assert "strop:latest" not in fake_ollama.digests  # a question moves nobody


def test_a_server_that_is_not_there_is_thirty_and_says_how_to_start_it(home: Home, strop: Strop) -> None:
    save(home, {"target": "ollama", "ollama.host": "http://127.0.0.1:9"})
    told = strop(home, "chat", "Is it?")
    assert told.code == 30
    assert "ollama serve" in told.err
