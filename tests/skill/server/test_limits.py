"""How long an answer may get, and when one counts as endless: by what was written, whatever limits were named."""

import json
import random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from strop.server.ending import ENDLESS_FROM_TOKENS, Ending, ending
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
        ({"max_tokens": 8.0}, 8),
        ({"max_tokens": 10**12}, 2**31 - 1),
    ],
)
def test_one_limit_is_sent_the_shortest_that_was_named_and_never_none(named: dict[str, Any], sent: Any) -> None:
    body = forwarded({"messages": [], **named}, BACKEND, 100)
    assert body["max_tokens"] == sent
    assert not {"max_completion_tokens", "n_predict"} & set(body)


def test_what_would_make_more_of_an_answer_than_one_is_not_sent() -> None:
    given = {"n": 1, "n_cmpl": 1, "return_progress": True, "verbose": True, "seed": 7}
    assert set(forwarded({"messages": [], **given}, BACKEND, 100)) == {"messages", "model", "max_tokens", "seed"}


LIMIT = ENDLESS_FROM_TOKENS
WORDS = [
    "the",
    "road",
    "led",
    "a",
    "traveller",
    "past",
    "seven",
    "houses",
    "and",
    "one",
    "told",
    "of",
    "rain",
    "that",
    "fell",
    "on",
    "every",
    "field",
    "in",
    "May",
]
STORY = " ".join(random.Random(3).choices(WORDS, k=600))
LOOPS = STORY[:400] + " and then I went on" * 200


@pytest.mark.parametrize(
    ("finish", "tokens", "request_", "text", "ended"),
    [
        ("length", LIMIT, {}, STORY, Ending(True)),
        ("length", LIMIT - 1, {}, LOOPS, Ending()),
        ("stop", 4096, {}, LOOPS, Ending()),
        # The client's own limit: a loop is one wherever it is cut, and a story may have been wanted.
        ("length", LIMIT, {"max_tokens": LIMIT}, STORY, Ending(False, 512, True)),
        ("length", LIMIT, {"max_tokens": LIMIT}, LOOPS, Ending(True, 512, True)),
        ("length", 1500, {"max_completion_tokens": 1500}, LOOPS, Ending(True, 1024, True)),
        ("stop", 700, {"max_tokens": 1500}, STORY, Ending(False, 1024)),
        ("length", 8, {"max_tokens": 8}, LOOPS, Ending()),
        ("length", LIMIT, {"max_tokens": -1}, STORY, Ending(True)),
        # Cut before it, where the context is full.
        ("length", 3000, {"max_tokens": 4096}, STORY, Ending(True, 4096)),
        ("length", 4096, {"ignore_eos": True}, LOOPS, Ending()),
        ("length", 4096, {"logit_bias": {"2": -100}}, LOOPS, Ending()),
    ],
)
def test_what_a_cut_answer_says_of_its_version(
    finish: str, tokens: int, request_: dict[str, Any], text: str, ended: Ending
) -> None:
    assert ending(request_, Answer([text], finish=finish, tokens=tokens)) == ended


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "arguments"])
def test_a_loop_in_thoughts_or_in_a_call_is_one_too(field: str) -> None:
    answer = Answer(finish="length", tokens=LIMIT)
    assert not ending({"max_tokens": LIMIT}, answer).endless
    for piece in (LOOPS[:1000], LOOPS[1000:]):
        call = {"index": 0, "function": {"name": "look", "arguments": piece}}
        delta = {"tool_calls": [call]} if field == "arguments" else {field: piece}
        answer.add({"choices": [{"delta": delta}]})
    answer.tokens = LIMIT
    assert ending({"max_tokens": LIMIT}, answer).endless


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_begins_an_answer_and_counts_once_whatever_the_server_calls_it(name: str) -> None:
    answer = Answer()
    answer.add({"choices": [{"delta": {"role": "assistant", "content": "", name: ""}}]})
    assert not answer.begun
    answer.add({"choices": [{"delta": {"content": "", name: "Hm.", "reasoning": "Hm."}}]})
    assert (answer.begun, answer.tokens, answer.thoughts, answer.said) == (True, 1, ["Hm."], "")
    assert answer_of({"choices": [{"message": {"content": "Yes.", name: "Hm."}}]}).thoughts == ["Hm."]


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


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("limits", [{"max_tokens": 1024}, {}])
def test_a_version_that_loops_is_rolled_back_whoever_set_the_limit(
    limits: dict[str, int], streamed: bool, home: Any, serving: Any, script: Any, scripted: ModuleType, strop: Any
) -> None:
    loop = scripted.Cut(LOOPS, 1024)
    with serving(home, **{"serve.max_tokens": 1024}) as door:
        old, new = door.versions.live().tag, door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)
        scripted.until(lambda: strop(home, "status", "--json").json["serving"]["probation"] is not None)
        script.do = loop
        body = {"messages": [{"role": "user", "content": "Well?"}], "stream": streamed, **limits}

        def back() -> bool:
            door.http.post("/v1/chat/completions", json=body)
            return bool(door.versions.live().tag == old)

        scripted.until(back)
        assert door.versions.events(new)[-1].evidence["reason"].startswith("endless answers: ")


def test_stories_that_a_client_cuts_at_its_own_limit_are_no_endless_answers(
    home: Any, serving: Any, script: Any, scripted: ModuleType
) -> None:
    with serving(home, **{"serve.probation_answers": 40}) as door:
        new = door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)
        script.do = scripted.Cut(STORY, 1024)

        def stable() -> bool:
            door.chat(max_tokens=1024)
            return bool(door.versions.get(new).state == "stable")

        scripted.until(stable)
        assert door.versions.live().tag == new
