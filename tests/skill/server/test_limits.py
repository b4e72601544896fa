"""How long an answer may get, and when one counts as endless: by what was written, whatever limits were named."""

import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from strop.server.forward import ENDLESS_FROM_TOKENS, endless
from strop.server.sending import forwarded
from strop.server.stream import Answer, answer_of

BACKEND: Any = SimpleNamespace(model="v0001", escape=lambda data: data)


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        ({}, 100),
        ({"max_tokens": 8}, 8),
        ({"max_tokens": 4096}, 4096),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 8, "max_completion_tokens": 4096}, 8),
        ({"max_tokens": 4096, "n_predict": 8}, 8),
        ({"max_tokens": -1}, 100),
        ({"n_predict": -1}, 100),
        ({"max_tokens": 8, "n_predict": -1}, 8),
        ({"max_completion_tokens": -2, "max_tokens": None}, 100),
        ({"max_tokens": 0}, 1),
        ({"max_tokens": "many"}, "many"),
    ],
)
def test_one_limit_is_sent_the_shortest_that_was_named_and_never_none(named: dict[str, Any], sent: Any) -> None:
    body = forwarded({"messages": [], **named}, BACKEND, 100)
    assert body["max_tokens"] == sent
    assert not {"max_completion_tokens", "n_predict"} & set(body)


@pytest.mark.parametrize(
    ("finish", "tokens", "request_", "counts"),
    [
        ("length", ENDLESS_FROM_TOKENS, {}, True),
        ("length", ENDLESS_FROM_TOKENS, {"max_tokens": ENDLESS_FROM_TOKENS}, True),
        ("length", ENDLESS_FROM_TOKENS - 1, {}, False),
        ("length", 8, {"max_completion_tokens": 4096}, False),
        ("stop", 4096, {}, False),
        ("length", 4096, {"ignore_eos": True}, False),
        ("length", 4096, {"logit_bias": {"2": -100}}, False),
    ],
)
def test_only_a_long_answer_that_was_cut_is_endless(
    finish: str, tokens: int, request_: dict[str, Any], counts: bool
) -> None:
    assert endless(request_, Answer(finish=finish, tokens=tokens)) is counts


def test_the_tokens_of_an_answer_are_those_that_the_server_counted() -> None:
    answer = Answer()
    for piece in ("a", "b"):
        answer.add({"choices": [{"delta": {"content": piece}}]})
    assert answer.tokens == 2
    answer.add({"choices": [{"delta": {}, "finish_reason": "length"}], "timings": {"predicted_n": 5}})
    assert answer.tokens == 5
    assert answer_of({"choices": [], "usage": {"completion_tokens": 7}}).tokens == 7


def test_a_clients_own_limits_are_kept_and_make_no_endless_answers(door: Any, scripted: ModuleType) -> None:
    tag = door.versions.live().tag
    for limits in (
        {"max_tokens": 8, "max_completion_tokens": 4096},
        {"max_tokens": 4096, "n_predict": 8},
        {"max_tokens": -1},
        {"max_tokens": None, "n_predict": -1},
        {"max_tokens": None},
    ):
        answer = door.chat(**limits).json()
        assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"] <= 16) == ("length", True)
    door.chat(max_tokens=4096, stream=True)  # cut where the context is full
    metrics = door.http.get("/metrics").text
    assert f'strop_requests_total{{outcome="ok",version="{tag}"}} 6' in metrics

    def seen() -> Any:
        record = door.home.path / "serve" / "probation.json"
        return json.loads(record.read_text())["seen"].get(tag, {}) if record.exists() else {}

    scripted.until(lambda: seen().get("answers") == 6)
    assert seen()["endless"] == 0
