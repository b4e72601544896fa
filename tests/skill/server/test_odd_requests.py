"""Requests that are wrong in one thing: told so in the same words by every server, and never the version's failure."""

import json
from typing import Any

import pytest

from strop.server.fields import check_fields
from strop.server.guard import Refused
from strop.server.refusals import UNKNOWN
from strop.server.schema import check_schemas

USER = {"role": "user", "content": "What is there?"}
HALF = "a\ud800b"
FUNCTION = {"name": "look", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content, **more}]}


def said(**message: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "assistant", "content": None, **message}, USER]}


def called(**call: Any) -> dict[str, Any]:
    return said(tool_calls=[{"id": "c1", "type": "function", **call}])


def tool(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {**FUNCTION, **function}}]}


def schema(made: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": made}}}


# Where the mistake is, as the message begins.
WRONG_FIELDS: list[tuple[str, dict[str, Any]]] = [
    *(("messages[0].content: ", user(content)) for content in (5, True, {"text": "a"}, None)),
    ("messages[0].content: ", {"messages": [{"role": "user"}]}),
    *(("messages[0].content[0]: ", user([part])) for part in ("a", 5, None, ["a"])),
    *(
        ("messages[0].content[0].type: ", user([{"type": kind, "text": "a"}]))
        for kind in ("file", "input_file", 5, None)
    ),
    *(("messages[0].content[0].text: ", user([{"type": kind, "text": 5}])) for kind in ("text", "input_text")),
    ("messages[0].content[0].refusal: ", user([{"type": "refusal", "refusal": 5}])),
    ("messages[0].content[0].image_url: ", user([{"type": "image_url", "image_url": "x"}])),
    ("messages[0].name: ", user("a", name=5)),
    ("messages[1].reasoning_content: ", said(content="a", reasoning_content=5)),
    *(("messages[1].tool_calls: ", said(tool_calls=calls)) for calls in ("x", {"a": 1})),
    ("messages[1].tool_calls[0]: ", said(tool_calls=["x"])),
    ("messages[1].tool_calls[0].type: ", called(type="search", function=FUNCTION)),
    ("messages[1].tool_calls[0].function: ", called(function="x")),
    ("messages[1].tool_calls[0].function.name: ", called(function={"name": 5, "arguments": "{}"})),
    ("messages[1].tool_calls[0].function.arguments: ", called(function={"name": "look", "arguments": 5})),
    *(("response_format: ", {"response_format": form}) for form in ("json", 5, [])),
    *(("response_format.type: ", {"response_format": form}) for form in ({}, {"type": "yaml"}, {"type": 5})),
    ("response_format.schema: ", {"response_format": {"type": "json_object", "schema": "x"}}),
    ("response_format.json_schema: ", {"response_format": {"type": "json_schema"}}),
    ("response_format.json_schema: ", {"response_format": {"type": "json_schema", "json_schema": "x"}}),
    *(("response_format.json_schema.schema: ", schema(made)) for made in ("x", 5, [], True)),
    *(("grammar: ", {"grammar": grammar}) for grammar in (5, ["x"])),
    ("json_schema: ", {"json_schema": "x"}),
    *(("tools: ", {"tools": tools}) for tools in ("x", {"a": 1}, 5)),
    ("tools[0]: ", {"tools": ["x"]}),
    *(("tools[0].type: ", {"tools": [made]}) for made in ({"type": "search"}, {"function": FUNCTION})),
    *(("tools[0].function: ", {"tools": [{"type": "function", "function": made}]}) for made in ("x", None)),
    *(("tools[0].function.name: ", tool(name=name)) for name in (5, "", None)),
    ("tools[0].function.parameters: ", tool(parameters="x")),
    ("tools[0].function.description: ", tool(description=5)),
    *(("tool_choice: ", {"tools": [TOOL], "tool_choice": choice}) for choice in ("maybe", 5, [])),
    ("tool_choice: ", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}),
    ("tool_choice.function: ", {"tools": [TOOL], "tool_choice": {"name": "look"}}),
    ("parallel_tool_calls: ", {"tools": [TOOL], "parallel_tool_calls": "x"}),
    *(("temperature: ", {"temperature": value}) for value in ("x", [], {}, True, 1e300)),
    *(("top_p: ", {"top_p": value}) for value in ("x", [], True)),
    *(("seed: ", {"seed": value}) for value in ("x", [], {}, True, 1.5, 10**20)),
    *(("max_tokens: ", {"max_tokens": value}) for value in ("many", True, 1.5, 10**30)),
    *(("stop: ", {"stop": value}) for value in (5, {}, True, [5], [None])),
    *(("logprobs: ", {"logprobs": value}) for value in (5, "x")),
    ("logit_bias: ", {"logit_bias": "x"}),
    ("stream_options: ", {"stream_options": "x"}),
    ("presence_penalty: ", {"presence_penalty": "x"}),
    ("frequency_penalty: ", {"frequency_penalty": 1e300}),
    *((f"{name}: ", {name: value}) for name in ("n", "n_cmpl") for value in (2, 0, True, "1", [1])),
    *((f"{name}: ", {name: value}) for name in ("top_logprobs", "n_probs") for value in (21, -1, 1e5)),
]
WRONG_STREAMS: list[tuple[str, dict[str, Any]]] = [("stream: ", {"stream": value}) for value in ("yes", 1, [])]
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("messages[0].content holds", user(HALF)),
    ("messages[0].content[0].text holds", user([{"type": "text", "text": HALF}])),
    ("a name in messages[0] holds", user("a", **{HALF: 1})),
    ("stop[0] holds", {"stop": [HALF]}),
    ("response_format.json_schema.schema.enum[0] holds", schema({"enum": [HALF]})),
]
# What the two servers find wrong, or do not; nobody's answer may be a failure of the version.
ODD_SCHEMAS: list[Any] = [
    {"type": "nonsense"},
    {"type": 5},
    {"type": []},
    {"$ref": "#/nowhere"},
    {"$ref": "https://example.com/a.json"},
    {"$ref": 5},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"type": "string", "pattern": "^(($"},
    {"type": "string", "pattern": "^[a$"},
    {"type": "string", "pattern": "a"},
    {"type": "string", "pattern": 5},
    {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "string", "pattern": "^*$"},
    {"type": "string", "pattern": "^[[:alpha:]]$"},
    {"type": "string", "pattern": "^\\d+$"},
    {"type": "string", "minLength": 10**9},
    {"type": "string", "minLength": -5},
    {"type": "array", "items": {"type": "string"}, "minItems": "x"},
    {"type": "array", "items": {"type": "string"}, "maxItems": -1},
    {"type": "integer", "minimum": "x"},
    {"type": "object", "properties": {"a": "x"}},
    {"enum": []},
    {"anyOf": "x"},
    {"oneOf": []},
    {"prefixItems": "x"},
]
ODD: list[dict[str, Any]] = [
    *(schema(made) for made in ODD_SCHEMAS),
    {"grammar": "root ::= ((("},
    {"grammar": 'root ::= root "a"'},
    {"grammar": 'root ::= "a"', "json_schema": {"type": "object"}},
    {"messages": [USER] + [{"role": "assistant", "content": "a"}] * 2},
    {"messages": [{"role": "tool", "content": "a"}]},
    user("a\0b"),
    user(""),
    user([]),
    said(),
    said(tool_calls=[]),
    {"top_logprobs": 3},
    {"logprobs": True, "top_logprobs": 20},
    {"return_progress": True},
    {"max_tokens": 10**12},
    {"stop": ["x"] * 100},
    {"logit_bias": {"99999999": 1}},
    {"seed": -7, "temperature": -1},
    {"reasoning_format": "x"},
    {"chat_template_kwargs": {"enable_thinking": "x"}},
    {"dry_sequence_breakers": []},
    {"samplers": [5]},
    {"model": 5},
]
NOT_OURS = (
    "json.exception",
    "parse error",
    "Go struct",
    "content[].type",
    "invalid message",
    "map[string]",
    "sampling context",
    "invalid format",
    "; tools =",
    "mmproj",
    "names files of this machine",
)


def ask(door: Any, body: dict[str, Any], stream: bool) -> Any:
    asked = {"messages": [USER], "max_tokens": 4, "temperature": 0, **({"stream": True} if stream else {}), **body}
    headers = {"Content-Type": "application/json"}
    return door.http.post("/v1/chat/completions", content=json.dumps(asked).encode(), headers=headers)


def drive(door: Any) -> None:
    """All of them, whole and streamed."""
    wrong = [*WRONG_FIELDS, *BROKEN]
    for stream in (False, True):
        for place, body in wrong if stream else [*wrong, *WRONG_STREAMS]:
            answer = ask(door, body, stream)
            error = answer.json()["error"]
            assert (answer.status_code, error["message"].startswith(place)) == (400, True), (body, error)
            assert error["type"] == "invalid_request_error"
        for body in ODD:
            answer = ask(door, body, stream)
            assert answer.status_code in (200, 400), (body, answer.text)
            if answer.status_code == 400:
                message = answer.json()["error"]["message"]
                assert not [raw for raw in NOT_OURS if raw in message], message
            elif stream:
                assert "data: [DONE]" in answer.text, (body, answer.text)
    metrics = door.http.get("/metrics").text
    assert 'outcome="model_failed"' not in metrics
    assert "strop_restarts_total" not in metrics
    assert door.chat().status_code == 200


def test_llama_servers_own_reasons_never_reach_a_client_and_no_mistake_of_its_is_the_versions(door: Any) -> None:
    drive(door)


@pytest.mark.ollama
@pytest.mark.slow
def test_ollamas_own_reasons_never_reach_a_client_and_nothing_that_it_is_sent_ends_it(
    ollama_door: Any,
) -> None:
    drive(ollama_door)


@pytest.mark.parametrize("unset", [{}, dict.fromkeys(("temperature", "stop", "tools", "seed", "response_format"))])
def test_what_is_right_or_not_given_passes(unset: dict[str, Any]) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    right: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
        ],
        "tools": [TOOL, {"type": "function", "function": {"name": "bare"}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        "temperature": 0.5,
        "seed": 7.0,
        "stop": ["x"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "logit_bias": {"5": -1},
    }
    check_fields({**right, **unset, **({"tool_choice": "auto"} if "tools" in unset else {})})


@pytest.mark.parametrize("pattern", ["^(?=a)b$", "^(?:a)b$", "^(?i)a$", "^*$", "^{2}$", "a|+b", "(*)", "^[[:alpha:]]$"])
def test_what_ends_an_ollama_is_not_sent_to_it_however_deep_it_lies(pattern: str) -> None:
    deep = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "pattern": pattern}}}}
    with pytest.raises(Refused, match="Ollama does not survive") as refused:
        check_schemas(schema(deep))
    assert (refused.value.status, refused.value.code) == (400, "invalid_schema")
    check_schemas(tool(parameters=deep))  # of which it makes no grammar


@pytest.mark.parametrize("pattern", ["^a$", "^[a-z]+$", "^(a|b)*$", "^\\d{3}-\\d{4}$", "^a{2,5}$", "^[?]$"])
def test_plain_patterns_are_sent(pattern: str) -> None:
    check_schemas(schema({"type": "string", "pattern": pattern, "maxLength": 10_000}))
    check_schemas({"messages": []})


def test_a_model_that_writes_no_tool_call_where_one_is_needed_has_failed_and_the_client_has_not(
    home: Any, serving: Any, script: Any
) -> None:
    with serving(home) as door:
        script.do = {"error": "The model produced output that does not match the expected peg-native format"}
        failed = ask(door, {}, False)
        assert (failed.status_code, failed.json()["error"]["code"]) == (502, "bad_answer")
        assert "ask again" in failed.json()["error"]["message"]
        script.do = {"error": "Unheard of."}
        refused = ask(door, {}, False)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, UNKNOWN)


@pytest.mark.parametrize("sound", [True, False])
def test_a_stream_that_ends_before_its_first_word_says_why_with_an_http_status(
    sound: bool, home: Any, serving: Any, script: Any
) -> None:
    with serving(home) as door:
        script.do = "mute" if sound else "mute: invalid JSON schema in format"
        answer = ask(door, {"n_predict": 4}, True)
        told = door.http.get("/metrics").text
        if sound:
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model_failed")
            assert 'outcome="model_failed"' in told
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_schema")
            assert 'outcome="model_failed"' not in told
        assert [one.get("stream", False) for one in script.asked] == [True, False]
