"""Likelihoods from llama-server, for what transformers cannot read back: the same figures, from the same file."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from strop.deploy import served
from strop.deploy.convert import convert
from strop.deploy.scorer import GgufScorer
from strop.deploy.served import served_model
from strop.deploy.server_scorer import ServerScorer
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.errors import TargetError

ITEMS: list[Any] = [
    ([{"role": "user", "content": "What is the capital of France?"}], ["Paris.", "Rome.", "It is the dog, I think."]),
    ([{"role": "user", "content": "Bake?"}], ["Yes"]),
    (
        [{"role": "system", "content": "Answer in one plain sentence."}, {"role": "user", "content": "Why? 日本語"}],
        ["A little.", "x"],
    ),
]


@pytest.fixture(scope="module")
def gguf(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("f32") / "base.gguf"
    convert(tiny_base, path, "F32")
    return path


@pytest.fixture(scope="module")
def server(gguf: Path) -> Iterator[LlamaServer]:
    with LlamaCppTarget(context_tokens=512, slots=2, threads=1).serve_file(gguf) as running:
        yield running


def test_it_scores_as_transformers_does_in_order_and_says_how_far_it_is(
    server: LlamaServer, gguf: Path, tiny_base: Path
) -> None:
    steps: list[tuple[int, int]] = []
    theirs = ServerScorer(server, tiny_base).score(ITEMS, on_item=lambda done, of: steps.append((done, of)))
    ours = GgufScorer(gguf, tiny_base).score(ITEMS)
    assert [[one.tokens for one in row] for row in theirs] == [[one.tokens for one in row] for row in ours]
    for left, right in zip(chain(*theirs), chain(*ours), strict=True):
        # llama.cpp keeps keys and values in 16 bits: 0.005 nats a token were measured, a wrong token is some nats off
        assert left.logprob == pytest.approx(right.logprob, abs=0.01 * right.tokens)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_an_unlikely_token_is_forced_and_its_likelihood_is_that_before_the_bias(server: LlamaServer) -> None:
    ids = server.tokenize("The dog", special=True)
    found = [server.logprob(ids, token) for token in range(0, 200, 20)]
    assert all(value < 0 for value in found)
    assert len({round(value, 6) for value in found}) > 1


def test_a_server_that_samples_another_token_is_an_error() -> None:
    class Answer:
        status_code = 200

        def json(self) -> Any:
            return {"completion_probabilities": [{"id": 5, "logprob": -0.1}]}

    stub = LlamaServer(SimpleNamespace(post=lambda *_, **__: Answer()), 1)
    with pytest.raises(TargetError, match="told token 5 where token 7"):
        stub.logprob([1, 2], 7)


@pytest.mark.parametrize(("free", "scorer"), [(64 << 30, GgufScorer), (1 << 20, ServerScorer)])
def test_without_room_for_the_weights_likelihoods_come_from_the_server(
    gguf: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, free: int, scorer: type
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    target = LlamaCppTarget(context_tokens=256, slots=1, threads=1)
    version: Any = SimpleNamespace(gguf=gguf)
    with served_model(target, version, tiny_base, "fp32") as model:
        assert model.generate(ITEMS[1][0:1], max_tokens=3)[0].tokens <= 3
        found = model.score(ITEMS[1:2])
        assert isinstance(model._scorer, scorer)
    assert found[0][0].logprob < 0


def test_a_family_that_cannot_be_read_back_is_scored_by_the_server(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served.read_back(gguf, "fp32")
    monkeypatch.setattr(served, "FAMILIES", ("another",))
    assert not served.read_back(gguf, "fp32")
