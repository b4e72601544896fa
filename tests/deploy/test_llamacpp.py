"""The embedded llama-server: greedy, private to its owner, gone when its block or its owner is gone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import torch
from transformers import AutoTokenizer

from strop.deploy.targets import llamacpp
from strop.deploy.targets.base import Generation
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.deploy.versions import Version
from strop.deploy.weights import load_into
from strop.errors import Missing, TargetDown, TargetError

QUESTIONS = [[{"role": "user", "content": f"What is {thing}?"}] for thing in ("flour", "a strop", "Paris", "an egg")]
SYSTEM = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why? 日本語"}]


@pytest.fixture(scope="module")
def target() -> LlamaCppTarget:
    # One thread: idle threads spin, which costs more than a tiny model gains.
    return LlamaCppTarget(context_tokens=256, slots=3, threads=1)


@pytest.fixture(scope="module")
def server(target: LlamaCppTarget, tiny_f16: Path) -> Iterator[LlamaServer]:
    with target.serve_file(tiny_f16) as running:
        yield running


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def children() -> list[psutil.Process]:
    """The llama-servers that this process owns now."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "strop.deploy.llama_child" in child.cmdline()
    ]


def gone(process: psutil.Process, within_s: float = 15.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


# Answers


def test_answers_are_greedy_and_always_the_same(server: LlamaServer) -> None:
    first = server.generate(QUESTIONS, max_tokens=24)
    assert server.generate(QUESTIONS, max_tokens=24) == first
    assert server.generate(QUESTIONS[::-1], max_tokens=24) == first[::-1]
    assert all(isinstance(answer, Generation) and 1 <= answer.tokens <= 24 for answer in first)
    assert len({answer.text for answer in first}) == 4


def test_an_answer_that_was_cut_is_not_finished(server: LlamaServer) -> None:
    (cut,) = server.generate(QUESTIONS[:1], max_tokens=3)
    assert (cut.tokens, cut.finished, cut.load_s) == (3, False, 0.0)


def test_an_answer_that_ends_by_itself_is_finished(target: LlamaCppTarget, tiny_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from strop.deploy.convert import convert

    folder = tiny_model.make_base(tmp_path / "hf", tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    # A model that has one thing to say: whatever comes in, the end of turn is likeliest.
    tensors["model.norm.weight"] = torch.zeros_like(tensors["model.norm.weight"])
    tensors["model.norm.weight"][0] = 1.0
    tensors["lm_head.weight"] = torch.zeros_like(tensors["lm_head.weight"])
    tensors["lm_head.weight"][:, 0] = -1.0
    tensors["lm_head.weight"][2] = torch.zeros(64)
    embedded = tensors["model.embed_tokens.weight"]
    embedded[:, 0] = 50.0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    convert(folder, tmp_path / "silent.gguf")
    with target.serve_file(tmp_path / "silent.gguf") as server:
        (answer,) = server.generate(QUESTIONS[:1], max_tokens=20)
        assert (answer.text, answer.finished) == ("", True)
        assert server.continuations([[5, 6, 7]], 20)[0] in ([], [2])


def test_continuations_are_the_greedy_choices_of_transformers(
    server: LlamaServer, tiny_f16: Path, tiny_base: Path, tokenizer: Any
) -> None:
    model = load_into(tiny_f16, tiny_base)
    prompts = [tokenizer(text)["input_ids"] for text in ("The quick brown", "Please answer", "It takes 12 eggs, 350")]
    for prompt, continued in zip(prompts, server.continuations(prompts, 12), strict=True):
        with torch.no_grad():
            choices = model(torch.tensor([[*prompt, *continued]])).logits[0, len(prompt) - 1 : -1].argmax(-1)
        agree = sum(int(a == b) for a, b in zip(choices.tolist(), continued, strict=True))
        assert len(continued) == 12 or continued[-1] == tokenizer.eos_token_id
        assert agree >= len(continued) - 1  # llama.cpp keeps keys and values in half precision: a near-tie may turn


def test_the_server_renders_and_cuts_text_as_the_trainer_does(server: LlamaServer, tokenizer: Any) -> None:
    for conversation in (*QUESTIONS, SYSTEM):
        text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        assert server.rendered(conversation) == text
        assert server.tokenize(text, special=True) == tokenizer(text)["input_ids"]
    spelled = server.tokenize("<|im_end|>")
    assert len(spelled) > 1
    assert server.tokenize("<|im_end|>", special=True) == [tokenizer.eos_token_id]


def test_more_conversations_than_slots_are_answered_in_order(server: LlamaServer) -> None:
    many = [[{"role": "user", "content": f"Number {number}?"}] for number in range(10)]
    seen: list[tuple[int, int]] = []
    answers = server.generate(many, max_tokens=8, on_answer=lambda done, of: seen.append((done, of)))
    assert seen == [(done, 10) for done in range(1, 11)]
    assert answers == [server.generate([one], max_tokens=8)[0] for one in many]
    assert server.generate([], max_tokens=8) == []


# Refusals


@pytest.mark.parametrize("words", [300, 4000])
def test_a_prompt_longer_than_the_context_is_an_error_and_no_answer(server: LlamaServer, words: int) -> None:
    with pytest.raises(TargetError, match="exceeds the available context size") as error:
        server.generate([QUESTIONS[0], [{"role": "user", "content": "dog " * words}]], max_tokens=5)
    assert error.value.hint
    assert len(server.generate(QUESTIONS[:1], max_tokens=5)) == 1


def test_a_request_that_makes_no_sense_is_refused_with_its_reason(server: LlamaServer) -> None:
    with pytest.raises(TargetError, match="llama-server refused /v1/chat/completions: "):
        server.generate([[{"content": "no role"}]], max_tokens=5)
    with pytest.raises(TargetError, match="llama-server refused /nowhere: "):
        server._post("/nowhere", {})


def address(server: LlamaServer) -> str:
    return str(server._client.base_url).rstrip("/")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic d3Jvbmc6"}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/completion", "/tokenize", "/apply-template"])
def test_only_the_owner_is_answered(server: LlamaServer, headers: dict[str, str], path: str) -> None:
    body = {"messages": QUESTIONS[0], "prompt": "a", "content": "a", "n_predict": 1, "max_tokens": 1}
    with httpx2.Client(trust_env=False) as client:
        assert client.post(address(server) + path, json=body, headers=headers).status_code == 401
    # The same with the owner's key is answered.
    assert server._client.post(path, json=body).status_code == 200


def test_it_listens_on_loopback_only_and_each_server_has_its_own_key(
    target: LlamaCppTarget, server: LlamaServer, tiny_f16: Path
) -> None:
    assert address(server).startswith("http://127.0.0.1:")
    with target.serve_file(tiny_f16) as other:
        keys = {one._client.headers["Authorization"] for one in (server, other)}
        assert len(keys) == 2
        assert all(len(key) > 30 for key in keys)
        places = [
            connection.laddr.ip
            for child in children()
            for connection in child.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert set(places) == {"127.0.0.1"}


# Life and death


def test_the_process_ends_with_the_block(target: LlamaCppTarget, tiny_f16: Path) -> None:
    before = {child.pid for child in children()}
    with target.serve_file(tiny_f16) as running:
        (child,) = [one for one in children() if one.pid not in before]
        assert running.tokenize("a")
    assert not child.is_running()


def test_the_process_ends_when_the_block_fails(target: LlamaCppTarget, tiny_f16: Path) -> None:
    before = {child.pid for child in children()}
    started: list[psutil.Process] = []

    def interrupted() -> None:
        with target.serve_file(tiny_f16):
            started.extend(one for one in children() if one.pid not in before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [child.is_running() for child in started] == [False]


def test_a_server_that_dies_in_the_block_is_an_error(target: LlamaCppTarget, tiny_f16: Path) -> None:
    before = {child.pid for child in children()}
    with target.serve_file(tiny_f16) as running:
        (child,) = [one for one in children() if one.pid not in before]
        child.kill()
        assert gone(child)
        with pytest.raises(TargetError, match="did not answer: ") as error:
            running.generate(QUESTIONS, max_tokens=5)
    assert error.value.hint == "strop doctor"


_OWNER = """
import sys, time
from pathlib import Path
from strop.deploy.targets.llamacpp import LlamaCppTarget
import psutil
with LlamaCppTarget(context_tokens=128, slots=1, threads=1).serve_file(Path(sys.argv[1])):
    print(psutil.Process().children()[0].pid, flush=True)
    time.sleep(120)
"""


def test_no_server_outlives_an_owner_that_is_killed(tiny_f16: Path) -> None:
    command = [sys.executable, "-c", _OWNER, str(tiny_f16)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            server = psutil.Process(int(owner.stdout.readline()))
            assert "strop.deploy.llama_child" in server.cmdline()
        finally:
            owner.kill()
        assert gone(server)


def test_a_file_that_is_not_there_starts_nothing(target: LlamaCppTarget, tmp_path: Path) -> None:
    with pytest.raises(TargetDown, match="there is no file"), target.serve_file(tmp_path / "absent.gguf"):
        pytest.fail("it served nothing")


@pytest.mark.parametrize("length", [0, 4, 20_000, -1000])
def test_a_damaged_file_is_said_and_leaves_no_process(
    target: LlamaCppTarget, tiny_f16: Path, tmp_path: Path, length: int
) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_f16.read_bytes()[:length])
    before = {child.pid for child in children()}
    with (
        pytest.raises(TargetDown, match=r"llama-server could not load cut\.gguf") as error,
        target.serve_file(tmp_path / "cut.gguf"),
    ):
        pytest.fail("it served a damaged file")
    assert (error.value.exit_code, error.value.hint) == (30, "strop doctor")
    assert {child.pid for child in children()} == before


def test_a_start_that_takes_too_long_is_given_up(
    target: LlamaCppTarget, tiny_f16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llamacpp, "_START_S", 0.01)
    before = {child.pid for child in children()}
    with pytest.raises(TargetDown, match="was not up in"), target.serve_file(tiny_f16):
        pytest.fail("it was up at once")
    assert {child.pid for child in children()} == before


@pytest.mark.parametrize("program", ["import sys; sys.exit(3)", "import sys; sys.stdin.readline()"])
def test_a_process_that_ends_without_a_word_is_down(
    target: LlamaCppTarget, tiny_f16: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    real = subprocess.Popen

    def start(command: list[str], **kwargs: Any) -> Any:
        assert command == [sys.executable, "-m", "strop.deploy.llama_child"]
        return real([sys.executable, "-c", program], **kwargs)

    monkeypatch.setattr(llamacpp.subprocess, "Popen", start)
    with pytest.raises(TargetDown, match="ended"), target.serve_file(tiny_f16):
        pytest.fail("nothing was started")


def test_the_key_is_never_on_a_command_line_or_in_the_environment(target: LlamaCppTarget, tiny_f16: Path) -> None:
    before = {child.pid for child in children()}
    with target.serve_file(tiny_f16) as running:
        (child,) = [one for one in children() if one.pid not in before]
        key = running._client.headers["Authorization"].removeprefix("Bearer ")
        assert key not in json.dumps([child.cmdline(), dict(child.environ()), dict(os.environ)])


def test_a_missing_package_is_named(target: LlamaCppTarget, tiny_f16: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="xllamacpp") as error, target.serve_file(tiny_f16):
        pytest.fail("it is not installed")
    assert error.value.hint == "pip install 'strop[serve]'"


# As a target


def test_a_version_is_served_from_its_file_and_there_is_nothing_to_move(
    target: LlamaCppTarget, server: LlamaServer, tiny_f16: Path
) -> None:
    version = Version(
        number=1,
        tag="v0001-00000000",
        state="built",
        gguf=tiny_f16,
        sha256="0" * 64,
        folder=tiny_f16.parent,
        base_ref="tiny",
        adapter_sha=None,
        quant="F16",
        created=datetime.now(UTC),
    )
    target.publish(version)
    target.activate(version)
    assert (target.kind, target.active()) == ("llamacpp", None)
    with target.serve(version) as running:
        assert running.generate(QUESTIONS[:2], max_tokens=8) == server.generate(QUESTIONS[:2], max_tokens=8)


def test_threads_are_the_physical_cores_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 6 if logical else 3)
    assert LlamaCppTarget()._threads == 3
    assert LlamaCppTarget(threads=2)._threads == 2


def test_an_interrupt_does_not_wait_for_the_answers_that_are_under_way() -> None:
    over, done = threading.Event(), threading.Event()

    class Slow:
        """The first answer comes at once, the second when the test says so."""

        def post(self, path: str, json: Any) -> httpx2.Response:
            if json["messages"] != QUESTIONS[0]:
                over.wait(20)
                done.set()
            choice = {"message": {"content": "Well."}, "finish_reason": "stop"}
            return httpx2.Response(200, json={"choices": [choice], "usage": {"completion_tokens": 1}})

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LlamaServer(Slow(), 2).generate(QUESTIONS, max_tokens=8, on_answer=interrupt)
    assert not done.is_set()
    over.set()


def test_threads_that_wait_spin_for_a_moment_only_unless_the_owner_says_else(
    target: LlamaCppTarget, tiny_f16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, spins in ((None, "5000"), ("7", "7")):
        monkeypatch.setenv("GOMP_SPINCOUNT", given) if given else monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        child = target.start(tiny_f16)
        try:
            assert psutil.Process(child.pid).environ()["GOMP_SPINCOUNT"] == spins
        finally:
            child.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process alone")
def test_ctrl_c_is_the_owners_to_act_on_and_the_server_lives_until_it_is_closed(
    target: LlamaCppTarget, tiny_f16: Path
) -> None:
    with target.serve_file(tiny_f16) as running:
        os.kill(children()[-1].pid, signal.SIGINT)
        assert len(running.generate(QUESTIONS, max_tokens=8)) == len(QUESTIONS)
