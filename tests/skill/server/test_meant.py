"""What clients write in several ways means one thing, and a conversation that holds it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.server.forward import checked

USER = {"role": "user", "content": "What is there?"}


def sent(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The request as the door sends it on."""
    return checked({"messages": [*messages, USER], **fields})


def arguments(call: dict[str, Any]) -> Any:
    """What a call's arguments are sent as; always a JSON object, which both servers take."""
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f", **call}}]}
    made = json.loads(sent(message)["messages"][0]["tool_calls"][0]["function"]["arguments"])
    assert isinstance(made, dict)
    return made


PARTS: list[tuple[Any, Any]] = [
    ([], ""),
    ([{"type": "text", "text": None}], ""),
    ([{"type": "input_text", "text": "a"}], [{"type": "text", "text": "a"}]),
    ([{"type": "output_text", "text": "a", "annotations": []}], [{"type": "text", "text": "a"}]),
    ([{"type": "refusal", "refusal": "No."}], [{"type": "text", "text": "No."}]),
    (
        [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}, {"type": "reasoning", "summary": []}],
        [{"type": "text", "text": "a"}],
    ),
]
CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"arguments": ""}, {}),
    ({"arguments": " "}, {}),
    ({"arguments": None}, {}),
    ({"arguments": "null"}, {}),
    ({"arguments": {"city": "Zürich"}}, {"city": "Zürich"}),
    ({"arguments": '{"city": "Zürich"}'}, {"city": "Zürich"}),
    ({"arguments": '{"city": "Zür'}, {"arguments": '{"city": "Zür'}),
    ({"arguments": '{"n": 1e999}'}, {"arguments": '{"n": 1e999}'}),
    ({"arguments": "[" * 2000}, {"arguments": "[" * 2000}),
    ({"arguments": "[1]"}, {"arguments": [1]}),
]
STOPS: list[tuple[Any, Any]] = [("", None), ([""], None), ([], None), (["", "x"], ["x"]), ("x", "x"), (["x"], ["x"])]


@pytest.mark.parametrize(("content", "made"), PARTS)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_parts_of_other_apis_are_text_and_thoughts_and_nothing_are_left_out(role: str, content: Any, made: Any) -> None:
    assert sent({"role": role, "content": content})["messages"][0]["content"] == made


@pytest.mark.parametrize(("call", "made"), CALLS)
def test_a_calls_arguments_are_always_an_object(call: dict[str, Any], made: dict[str, Any]) -> None:
    assert arguments(call) == made


@pytest.mark.parametrize("role", ["assistant", "tool", "function"])
def test_an_answer_and_a_result_may_say_nothing(role: str) -> None:
    assert sent({"role": role, "content": None})["messages"][0]["content"] == ""
    assert sent({"role": role})["messages"][0]["content"] == ""


def test_a_developer_is_who_gives_the_system_prompt() -> None:
    assert sent({"role": "developer", "content": "Be brief."})["messages"][0]["role"] == "system"


@pytest.mark.parametrize(("stop", "made"), STOPS)
def test_an_empty_stop_is_none(stop: Any, made: Any) -> None:
    assert sent(stop=stop).get("stop") == made


@pytest.mark.parametrize("name", ["seed", "max_tokens", "max_completion_tokens", "n_predict", "top_k", "n_probs"])
def test_a_whole_number_with_a_point_is_sent_without_it(name: str) -> None:
    assert repr(sent(**{name: 7.0})[name]) == "7"


def test_how_many_alternatives_means_nothing_where_none_are_asked_for() -> None:
    assert "top_logprobs" not in sent(top_logprobs=3)
    assert "top_logprobs" not in sent(top_logprobs=0, logprobs=False)
    assert sent(top_logprobs=3.0, logprobs=True)["top_logprobs"] == 3


def test_what_the_client_gave_is_not_changed() -> None:
    given = {"messages": [{"role": "developer", "content": []}, USER], "stop": "", "seed": 7.0}
    before = json.dumps(given)
    checked(given)
    assert json.dumps(given) == before


@pytest.mark.parametrize("family", ["qwen2_5", "qwen3", "llama3_1"])
def test_templates_show_every_call_that_is_sent(family: str, with_tools: Callable[[str], Path]) -> None:
    with LlamaCppTarget(context_tokens=512, slots=1, threads=1).serve_file(with_tools(family)) as server:
        for call, _ in CALLS:
            function = {"name": "look_there", **call}
            said = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": function}]}
            body = sent(said, {"role": "tool", "tool_call_id": "c1", "content": None})
            shown = server._post("/apply-template", body)["prompt"]
            assert "look_there" in shown
            assert ("Zür" in shown) == ("Zür" in str(call))


def test_a_real_server_takes_all_of_it(door: Any) -> None:
    for content, _ in PARTS:
        for role in ("user", "assistant"):
            answer = door.chat(messages=[{"role": role, "content": content}, USER])
            assert answer.status_code == 200, (role, content, answer.text)
    for fields in ({"stop": ""}, {"stop": [""]}, {"seed": 7.0}, {"top_logprobs": 2}, {"n_cmpl": 1}, {"n": 1}):
        answer = door.chat(**fields)
        assert answer.status_code == 200, (fields, answer.text)
        assert len(answer.json()["choices"]) == 1
    assert door.chat(messages=[{"role": "developer", "content": "Be brief."}, USER]).status_code == 200
