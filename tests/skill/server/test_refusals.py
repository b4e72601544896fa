"""What the front door refuses because the model would not see it, and the words for what the model's server refuses."""

import logging
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.abilities import Abilities
from strop.server.guard import Refused
from strop.server.refusals import check_readable, died, explained, plain

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
USER = {"role": "user", "content": "What is there?"}
CALLED = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "Rain."}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def seen(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is there?"}, *parts]}]


UNSEEN = [
    ({"messages": [USER], "tools": [TOOL]}, "tools_not_supported", "leave them out"),
    ({"messages": [USER], "tools": [TOOL], "tool_choice": "required"}, "tools_not_supported", "tools"),
    ({"messages": CALLED}, "tools_not_supported", "tool calls"),
    ({"messages": seen(PICTURE)}, "image_not_supported", "say in words"),
    ({"messages": [{**USER, "images": ["AAAA"]}]}, "image_not_supported", "image"),
    ({"messages": seen(SOUND)}, "audio_not_supported", "sound"),
]


@pytest.mark.parametrize(("request_", "code", "words"), UNSEEN)
def test_what_the_model_would_not_see_is_refused_and_what_it_sees_passes(
    request_: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(Refused, match=words) as refused:
        check_readable(request_, Abilities(False, False, False, False))
    assert (refused.value.status, refused.value.code) == (400, code)
    check_readable(request_, Abilities(True, True, True, True))
    check_readable(request_, None)


def test_plain_requests_pass_whatever_the_model_can() -> None:
    able = Abilities(False, False, False, False)
    check_readable({"messages": [USER]}, able)
    check_readable({"messages": seen(), "tools": []}, able)
    check_readable({"messages": [USER], "tools": [TOOL], "tool_choice": "none"}, able)


@pytest.mark.parametrize("role", ["wizard", None, 7, "x" * 1000])
def test_a_role_that_no_model_was_trained_with_is_refused_with_those_that_are(role: Any) -> None:
    with pytest.raises(Refused, match="system, developer, user, assistant, tool") as refused:
        check_readable({"messages": [USER, {"role": role, "content": "Hm"}]}, None)
    assert (refused.value.status, refused.value.code) == (400, "unknown_role")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("request_", "code", "words"), UNSEEN)
def test_llama_server_is_not_asked_for_what_the_model_does_not_see(
    request_: dict[str, Any], code: str, words: str, streamed: bool, door: Any
) -> None:
    answer = door.chat(**request_, stream=streamed)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"messages": [{"role": "user", "content": "why " * 2000}]}, "context_length_exceeded", "send less"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "invalid_schema", "x"),
        ({"grammar": "root ::= ((("}, "invalid_grammar", "json schema"),
        ({"dry_sequence_breakers": []}, "invalid_request", "correct it"),
    ],
)
def test_what_llama_server_refuses_comes_in_a_sentence_that_says_what_to_do(
    request_: dict[str, Any], code: str, words: str, door: Any
) -> None:
    answer = door.chat(**request_)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == code
    assert words in error["message"].lower()
    for raw in ("json.exception", "mmproj", "samplers", "/home", "gguf", "Unable to generate parser"):
        assert raw not in error["message"]


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ("image input is not supported - hint: you may need to provide the mmproj", "image_not_supported", "in words"),
        ("registry.ollama.ai/library/strop:v0001-8cfc1975 does not support tools", "tools_not_supported", "leave them"),
        ("invalid JSON schema in format", "invalid_schema", "response_format"),
        ("Context size has been exceeded.", "context_length_exceeded", "send less"),
        (
            "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...",
            "conversation_refused",
            "(Conversation roles must alternate user/assistant/user/assistant/...): begin with user",
        ),
        (
            "json: cannot unmarshal string into Go struct field ChatCompletionRequest.temperature of type float64",
            "invalid_request",
            "temperature: string is not what is taken there; write it as OpenAI's API has it",
        ),
        (
            'Failed to parse tools: Missing tool function: {"type":"function"}; tools = [\n  {\n',
            "invalid_request",
            'tools cannot be read (Missing tool function: {"type":"function"}): write them as',
        ),
        ("All non-assistant messages must contain 'content'", "refused", "must contain 'content'"),
    ],
)
def test_a_known_reason_becomes_our_own_sentence_and_another_one_stays(raw: str, code: str, words: str) -> None:
    said = explained(raw)
    assert said.code == code
    assert words in said.message


@pytest.mark.parametrize(
    ("raw", "its_own"),
    [
        ("an error was encountered while running the model: unexpected EOF", True),
        ("an error was encountered while running the model: CUDA error\nCUDA error: out of memory", True),
        ("model runner has unexpectedly stopped, this may be due to resource limitations", True),
        ("llama runner process no longer running: -1 ", True),
        ("llama runner process has terminated: exit status 2", True),
        ("timed out waiting for llama runner to start - progress 0.00 - ", True),
        ('do load request: Post "http://127.0.0.1:43291/load": EOF', True),
        ("read tcp 127.0.0.1:40181->127.0.0.1:35954: read: connection reset by peer", True),
        ("model requires more system memory (9.1 GiB) than is available (4.0 GiB)", True),
        ("unable to load model: /root/.ollama/models/blobs/sha256-0", True),
        ("broken", False),
        ("All non-assistant messages must contain 'content'", False),
        ("failed to tokenize the prompt", False),
    ],
)
def test_what_ollama_says_of_a_death_of_its_runner_is_known_from_what_it_says_of_a_request(
    raw: str, its_own: bool
) -> None:
    assert died(raw) == its_own


def test_a_longer_context_is_advised_only_where_the_model_knows_more() -> None:
    raw = "request (6013 tokens) exceeds the available context size (512 tokens), try increasing it"
    assert "or set a longer context_tokens" in explained(raw).message
    told = explained(raw, all_known=True)
    assert told.code == "context_length_exceeded"
    assert "6,013 tokens and the context holds 512, all that the model knows: send less" in told.message
    assert "set" not in told.message


def test_what_the_door_says_of_a_conversation_that_is_too_long_depends_on_what_the_model_knows(
    home: Path, serving: Any
) -> None:
    # The tiny model knows 512 tokens.
    for tokens, words in ((256, "or set a longer context_tokens under [serve]"), (512, "all that the model knows")):
        with serving(home, **{"serve.context_tokens": tokens}) as door:
            for stream in (False, True):
                assert words in door.chat("why " * 2000, stream=stream).json()["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        "failed to open /home/ann/.strop/builds/build-1/x: no such file",
        r"failed to open C:\Users\ann\model.bin",
        "error loading model.gguf",
        "dial tcp: lookup of http://10.0.0.5:1234/api/x failed",
        "JSON schema error at #/a: cannot read /etc/strop/schema.json",
    ],
)
def test_no_file_of_this_machine_is_named_to_a_client(raw: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        said = explained(raw)
    for told in ("/home", "Users", "gguf", "10.0.0.5", "/etc"):
        assert told not in said.message
    assert caplog.records


def test_what_is_long_is_cut_and_what_only_looks_like_a_path_is_not() -> None:
    assert len(plain("dear " * 1000)) < 400
    for harmless in ("cannot resolve $ref #/nowhere/at/all", "use text/plain or text/html/x", "first line"):
        assert plain(f"{harmless}\nsecond line") == harmless


def test_an_error_in_the_midst_of_a_stream_is_said_in_our_words(home: Path, serving: Any, script: Any) -> None:
    with serving(home) as door:
        script.do = "wrong"
        answer = door.chat(stream=True)
    assert "/var/lib" not in answer.text
    assert '"code": "model_failed"' in answer.text
    assert "ask again" in answer.text
    assert "[DONE]" not in answer.text
