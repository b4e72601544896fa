"""Who may come in: the token, the names, pages of other origins, and how much a request may hold."""

import contextlib
import http.client
import json
import os
import socket
from typing import Any

import httpx2
import pytest

from strop.server import forward, running
from strop.server.guard import host_name
from strop.server.protocol import HEAD_BYTES

CHAT = json.dumps({"messages": [{"role": "user", "content": "Well?"}]})


@pytest.fixture
def raw(home: Any, serving: Any, script: Any) -> Any:
    """Sends a request with exactly these headers; returns (status, headers, body)."""
    with serving(home, **{"serve.max_body_bytes": 2048, "serve.hosts": ["box.lan"]}) as door:
        port = door.url.rpartition(":")[2]

        def send(method: str, path: str, body: str | None = None, **changes: str | None) -> Any:
            headers = {
                "Host": f"127.0.0.1:{port}",
                "Authorization": f"Bearer {running.token(home)}",
                "Content-Type": "application/json",
            }
            headers.update({name.replace("_", "-"): value for name, value in changes.items() if value is not None})
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
            connection.putrequest(method, path, skip_host=True)
            for name, value in headers.items():
                if changes.get(name.replace("-", "_"), "") is not None:
                    connection.putheader(name, value.replace("PORT", port))
            connection.putheader("Content-Length", str(len(body or "")))
            connection.endheaders((body or "").encode())
            answer = connection.getresponse()
            found = (answer.status, dict(answer.getheaders()), answer.read())
            connection.close()
            return found

        yield send


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:PORT"}, 200),
        ({"Host": "box.lan"}, 200),
        ({"Origin": "http://127.0.0.1:PORT"}, 200),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer " + "x" * 43}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:PORT"}, 403),
        ({"Host": "127.0.0.1:PORT@evil.example"}, 403),
        ({"Host": None}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "file://127.0.0.1:PORT"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_question_is_answered_only_as_it_should_come(
    changes: dict[str, str | None], status: int, raw: Any, script: Any
) -> None:
    got, headers, body = raw("POST", "/v1/chat/completions", CHAT, **changes)
    assert got == status
    assert not any(name.lower().startswith("access-control") for name in headers)
    assert bool(script.asked) == (status == 200), "a refused request reached the model"
    assert script.url.encode() not in body


@pytest.mark.parametrize("head", [b"X-Long: " + b"x" * 200_000, b"X-Short: y\r\n" * 20_000])
def test_a_head_that_does_not_end_is_sent_away_before_any_token_is_asked_for(
    head: bytes, home: Any, serving: Any, script: Any
) -> None:
    with serving(home) as door:
        address = ("127.0.0.1", int(door.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=20) as client, contextlib.suppress(ConnectionError):
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + head)
            assert told(client) == "bad_http"
        assert door.chat().status_code == 200


@pytest.mark.parametrize("line", [b"X-Long: " + b"x" * 70_000, b"\r\n".join([b"X-Short: " + b"y" * 60] * 1000)])
def test_a_head_that_is_too_large_is_sent_away_where_it_comes_whole_too(
    line: bytes, home: Any, serving: Any, script: Any
) -> None:
    with serving(home) as door:
        head = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.token(home)}\r\n".encode()
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(head + line + b"\r\n\r\n")
            assert told(client) == "bad_http"
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(head + b"X-Long: " + b"x" * 60_000 + b"\r\n\r\n")
            assert client.recv(1024).startswith(b"HTTP/1.1 200 ")


def told(client: socket.socket) -> str:
    """The code of the error that comes, as every client of OpenAI's API reads it."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    assert (answer.status, answer.getheader("content-type")) == (400, "application/json")
    error = json.loads(answer.read())["error"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    return str(error["code"])


CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        CHUNKED + b"\r\nnot hexadecimal\r\n",
    ],
)
def test_what_is_no_http_is_told_in_the_same_form(sent: bytes, home: Any, serving: Any, script: Any) -> None:
    with serving(home) as door:
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(sent)
            assert told(client) == "bad_http"
            assert client.recv(1) == b""
        assert door.chat().status_code == 200


def test_a_wrong_chunk_of_a_request_that_is_let_in_is_told_too_and_nothing_reaches_the_model(
    home: Any, serving: Any, script: Any
) -> None:
    head = CHUNKED + f"Authorization: Bearer {running.token(home)}\r\nContent-Type: application/json\r\n\r\n".encode()
    with serving(home) as door:
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(head + b'2\r\n{"\r\n')
            while "strop_requests_open 1" not in door.http.get("/metrics").text:
                pass
            client.sendall(b"not hexadecimal\r\n")
            assert told(client) == "bad_http"
        assert not script.asked
        assert door.chat().status_code == 200


def test_an_answer_that_has_begun_is_not_mixed_with_an_error(home: Any, serving: Any, script: Any) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Well?"}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {running.token(home)}\r\nContent-Type: application/json\r\n\r\n"
    with serving(home) as door:
        script.do = "stall"
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(head.encode() + body)
            got = client.recv(4096)
            while b"Fi" not in got:
                got += client.recv(4096)
            client.sendall(b"nonsense\r\n\r\n")
            while piece := client.recv(4096):
                got += piece
        assert got.count(b"HTTP/1.1 ") == 1
        assert b"bad_http" not in got


def test_trailers_that_do_not_end_are_cut_off(home: Any, serving: Any, script: Any) -> None:
    pieces = 0
    with serving(home) as door:
        address = ("127.0.0.1", int(door.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=20) as client, contextlib.suppress(ConnectionError):
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            client.sendall(b"0\r\nX-T: ")
            while pieces < 400:  # 25 MB
                client.sendall(b"a" * (64 << 10))
                pieces += 1
        assert pieces < 400
        assert door.chat().status_code == 200


def test_a_body_in_many_small_chunks_is_no_long_head(home: Any, serving: Any, script: Any) -> None:
    with serving(home) as door:
        body = json.dumps({"messages": [{"role": "user", "content": "a" * 900}]}).encode()
        chunks = b"".join(b"1;" + b"x" * 200 + b"\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        assert len(chunks) > 2 * HEAD_BYTES
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        head += f"Authorization: Bearer {running.token(home)}\r\nContent-Type: application/json\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", int(door.url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(head + chunks)
            assert client.recv(1024).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback", "/v1/models", "/metrics", "/v1/models/x"])
def test_nothing_but_healthz_is_told_or_changed_without_the_token(path: str, raw: Any) -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT", "DELETE"):
        assert raw(method, path, "{}", Authorization=None)[0] == 401
    assert raw("GET", "/healthz", Authorization=None)[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("x" * 3000, 413),
        (json.dumps({"messages": [{"role": "user", "content": "y" * 3000}]}), 413),
        ("[" * 1000, 400),
        ("", 400),
        ("[1]", 400),
        ('{"messages": [{"role": "user", "content": NaN}]}', 400),
        ('{"messages": []}', 400),
        ('{"messages": "Hello"}', 400),
        ('{"messages": ["Hello"]}', 400),
        ('{"messages": [{"role": "user", "content": "a"}], "n": 2}', 400),
    ],
)
def test_what_is_too_large_or_no_request_is_refused_before_it_reaches_the_model(
    body: str, status: int, raw: Any, script: Any
) -> None:
    got, _, answer = raw("POST", "/v1/chat/completions", body)
    assert got == status
    assert json.loads(answer)["error"]["message"]
    assert not script.asked


def deep(levels: int) -> str:
    """A request whose innermost list lies in so many others."""
    return CHAT[:-1] + ', "x": ' + "[" * (levels - 1) + "1" + "]" * (levels - 1) + "}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (deep(101), "too_deep"),
        (deep(700), "too_deep"),
        ("[" * 1990, "too_deep"),
        (CHAT[:-1] + ', "x": 1e999}', "number_too_large"),
        (CHAT[:-1] + ', "x": [{"y": -1e999}]}', "number_too_large"),
        (CHAT[:-1] + ', "x": 1' + "0" * 400 + "}", "number_too_large"),
        (CHAT[:-1] + ', "temperature": 1e999}', "number_too_large"),
    ],
)
def test_what_lies_too_deep_or_is_infinite_is_told_in_words_of_ours(
    body: str, code: str, raw: Any, script: Any
) -> None:
    got, _, answer = raw("POST", "/v1/chat/completions", body)
    assert (got, json.loads(answer)["error"]["code"]) == (400, code)
    assert not script.asked
    assert raw("POST", "/v1/chat/completions", deep(100))[0] == 200


def test_what_nobody_foresaw_is_an_error_in_the_same_form_and_its_words_are_in_no_log(
    raw: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("Jane Doe's words")

    monkeypatch.setattr(forward, "check_readable", broken)
    got, headers, answer = raw("POST", "/v1/chat/completions", CHAT)
    error = json.loads(answer)["error"]
    assert (got, headers["content-type"], error["code"]) == (500, "application/json", "internal_error")
    assert error["type"] == "server_error"
    assert "KeyError at " in caplog.text
    assert "test_guard.py" in caplog.text
    assert "Jane" not in caplog.text + answer.decode()
    assert 'outcome="internal_error"' in raw("GET", "/metrics")[2].decode()


def test_an_answer_that_nobody_foresaw_the_end_of_is_cut_and_its_words_are_in_no_log(
    home: Any, serving: Any, script: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: object, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"Fi", "more_body": True})
        raise KeyError("Jane Doe's words")

    monkeypatch.setattr(forward.Forwarder, "_handle", broken)
    with serving(home) as door:
        with door.http.stream("POST", "/v1/chat/completions", json={**json.loads(CHAT), "stream": True}) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx2.RemoteProtocolError):
                answer.read()
        assert door.http.get("/healthz").status_code == 200
    assert "KeyError at " in caplog.text
    assert "Jane" not in caplog.text


def test_what_does_not_exist_is_told_in_the_same_form(raw: Any) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v1/models/", 404),
    ):
        got, _, answer = raw(method, path, CHAT if method == "POST" else None)
        assert (got, json.loads(answer)["error"]["code"]) == (status, "not_found")


def test_the_token_is_made_once_and_only_its_owner_may_read_it(home: Any) -> None:
    first = running.token(home)
    assert running.token(home) == first
    assert len(first) >= 40
    if os.name != "nt":
        assert running.token_file(home).stat().st_mode & 0o777 == 0o600
        assert running.token_file(home).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("A.B", "a.b"),
        ("a:b", ""),
        ("u@h", ""),
        ("h/x", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_host_header_is_read_strictly(host: str, name: str) -> None:
    assert host_name(host) == name
