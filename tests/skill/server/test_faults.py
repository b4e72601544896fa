"""When the model's server fails, hangs or breaks off, and when the client goes: nothing half is taken for whole."""

import http.client
import json
from types import ModuleType
from typing import Any

import pytest

from strop.feedback import Ledger
from strop.server import opening, running
from strop.server.refusals import explained, failure

TOOL_CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"where": "Köln"}'}},
    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"where": "here"}'}},
]


def kept(door: Any) -> int:
    """How many answers the ledger holds."""
    with Ledger.open(door.home.ledger_db) as ledger:
        return ledger.counts()["interactions"]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def test_an_error_of_the_models_server_is_502_and_may_be_tried_again(home: Any, serving: Any, script: Any) -> None:
    with serving(home) as door:
        script.do = "ill"
        failed = door.chat()
        assert (failed.status_code, failed.json()["error"]["code"]) == (502, "model_failed")
        assert failed.json()["error"]["message"] == failure("broken")
        assert failed.headers["Retry-After"] == "1"
        script.do = "ok"
        assert door.chat().json()["choices"][0]["message"]["content"] == "Fine."
    assert kept(door) == 1


def test_a_request_that_a_sound_server_calls_its_own_error_is_the_clients_and_no_failure_of_the_version(
    home: Any, serving: Any, script: Any
) -> None:
    with serving(home) as door:
        script.do = "error"
        for _ in range(30):
            refused = door.chat()
            assert (refused.status_code, refused.json()["error"]["message"]) == (400, explained("broken").message)
        script.do = "ok"
        assert door.chat().status_code == 200
        assert 'outcome="model_failed"' not in door.http.get("/metrics").text


@pytest.mark.parametrize("streamed", [True, False])
def test_a_runner_that_died_is_the_servers_failure_though_another_answers_right_after(
    streamed: bool, home: Any, serving: Any, script: Any
) -> None:
    reason = "an error was encountered while running the model: unexpected EOF"
    with serving(home) as door:
        script.do = {"error": reason}
        failed = door.chat(stream=streamed)
        error = failed.json()["error"]
        assert (failed.status_code, error["code"], error["message"]) == (502, "model_failed", failure(reason))
        assert failed.headers["Retry-After"] == "1"
        script.do = "ok"
        assert door.chat().status_code == 200


def test_a_stream_without_a_word_begins_in_time_and_its_error_comes_as_an_event(
    home: Any, serving: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPENS_AFTER_S", 0.05)
    with serving(home) as door:
        script.do = "hang"
        late = door.chat(stream=True)
        assert (late.status_code, late.headers["content-type"]) == (200, "text/event-stream")
        assert [one["error"]["code"] for one in events(late.text)] == ["model_failed"]
        assert 'outcome="model_failed"' in door.http.get("/metrics").text
        # What is not a stream has its status however late it is.
        assert door.chat().status_code == 504


def test_an_answer_is_whole_whose_headers_went_out_before_its_first_word(
    home: Any, serving: Any, script: Any, scripted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPENS_AFTER_S", 0.05)
    with serving(home) as door:
        script.do = "late"
        body = {"messages": [{"role": "user", "content": "Well?"}], "stream": True}
        with door.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            script.go.set()  # the model's server has not said a byte until the client has the headers
            answer.read()
        *pieces, last = events(answer.text)
        assert [one["choices"][0]["delta"]["content"] for one in pieces] == ["Fi", "ne."]
        assert last["strop"]["interaction"] == answer.headers["X-Strop-Interaction"]
        assert "[DONE]" in answer.text
    assert kept(door) == 1


def test_silence_is_504_after_the_time_that_is_set(home: Any, serving: Any, script: Any) -> None:
    with serving(home) as door:
        script.do = "hang"
        assert door.chat().status_code == 504
        assert script.cut_off.wait(10), "the request upstream was left running"


def test_a_stream_that_breaks_off_ends_in_an_error_and_is_not_recorded(home: Any, serving: Any, script: Any) -> None:
    with serving(home) as door:
        script.do = "cut"
        answer = door.chat(stream=True)
        *pieces, last = events(answer.text)
        assert pieces[0]["choices"][0]["delta"]["content"] == "Fi"
        assert last["error"]["code"] == "model_failed"
        assert "[DONE]" not in answer.text
        assert not any("strop" in piece for piece in pieces)
    assert kept(door) == 0


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_hangs_up_has_its_request_cancelled_and_nothing_recorded(
    streamed: bool, home: Any, serving: Any, script: Any, scripted: ModuleType
) -> None:
    with serving(home) as door:
        script.do = "stall" if streamed else "hang"
        body = json.dumps({"messages": [{"role": "user", "content": "Well?"}], "stream": streamed})
        headers = {"Authorization": f"Bearer {running.token(home)}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(door.url.removeprefix("http://"), timeout=20)
        connection.request("POST", "/v1/chat/completions", body, headers)
        scripted.until(lambda: script.asked)
        if streamed:
            assert b"Fi" in connection.getresponse().read1()
        connection.close()
        if connection.sock is not None:
            connection.sock.close()
        assert script.cut_off.wait(10), "the request upstream was left running"
        scripted.until(lambda: 'outcome="client_gone"' in door.http.get("/metrics").text)
    assert kept(door) == 0


def test_tools_go_to_the_model_as_they_are_and_its_calls_come_back(home: Any, serving: Any, script: Any) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    with serving(home) as door:
        script.do = {"content": None, "tool_calls": TOOL_CALLS}
        whole = door.chat("Köln?", tools=tools, tool_choice="auto")
        assert (script.asked[-1]["tools"], script.asked[-1]["tool_choice"]) == (tools, "auto")
        message = whole.json()["choices"][0]["message"]
        assert message["tool_calls"] == TOOL_CALLS
        assert whole.json()["strop"]["interaction"] is None
        assert "X-Strop-Interaction" not in whole.headers
        streamed = door.chat("Köln?", tools=tools, stream=True)
        pieces, headed = events(streamed.text), streamed.headers["X-Strop-Interaction"]
        told = "".join(
            call["function"]["arguments"] for one in pieces for call in one["choices"][0]["delta"].get("tool_calls", [])
        )
        assert told == "".join(call["function"]["arguments"] for call in TOOL_CALLS)
        script.do = "ok"
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "Rain."} for call in TOOL_CALLS]
        last = door.chat(messages=[{"role": "user", "content": "Köln?"}, message, *results], stream=True)
        # The headers of the stream went out before it was known that it would only call tools.
        unkept = door.http.post("/v1/feedback", json={"interaction": headed, "rating": "up"})
        assert unkept.status_code == 404
        assert "held only tool calls" in unkept.json()["error"]["message"]
        name = events(last.text)[-1]["strop"]["interaction"]
        assert door.http.post("/v1/feedback", json={"interaction": name, "rating": "up"}).status_code == 200
        with Ledger.open(door.home.ledger_db) as ledger:
            found = ledger.interaction(ledger.find(name, 0))
    assert (found.prompt, found.answer) == ("Köln?", "Fine.")
    assert [call["id"] for call in found.tool_calls] == ["c1", "c2"]
    assert kept(door) == 1


def test_too_many_requests_at_once_are_sent_away_and_may_come_again(home: Any, serving: Any, script: Any) -> None:
    with serving(home, **{"serve.max_open": 1}) as door:
        script.do = "hang"
        connection = http.client.HTTPConnection(door.url.removeprefix("http://"), timeout=20)
        headers = {"Authorization": f"Bearer {running.token(home)}", "Content-Type": "application/json"}
        connection.request(
            "POST", "/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "A"}]}), headers
        )
        while not script.asked:
            door.http.get("/healthz")
        refused = door.chat()
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        connection.close()
