"""What does not fit into an Ollama tag's context is refused before it is sent, and what cannot be counted is sent."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from strop.errors import TargetDown
from strop.server.guard import Refused
from strop.server.length import FRAME_BYTES, Length

BODY = {"messages": [{"role": "user", "content": "Why?"}], "tools": [{"type": "function"}]}


@dataclass
class Counter:
    """Says a number of tokens, or fails."""

    tokens: int = 0
    error: Exception | None = None
    asked: list[tuple[Any, Any]] = field(default_factory=list)
    closed: bool = False

    def count(self, messages: Any, tools: Any = None) -> int:
        self.asked.append((messages, tools))
        if self.error:
            raise self.error
        return self.tokens

    def close(self) -> None:
        self.closed = True


def check(counter: Counter, size_bytes: int) -> None:
    asyncio.run(Length(counter, 8192).check(BODY, size_bytes))


def test_a_short_request_is_not_counted_at_all() -> None:
    counter = Counter(9999)
    check(counter, 8191 - FRAME_BYTES)
    assert counter.asked == []


def test_a_long_request_passes_by_its_tokens_and_not_by_its_bytes() -> None:
    counter = Counter(8191)
    check(counter, 100_000)
    assert counter.asked == [(BODY["messages"], BODY["tools"])]


@pytest.mark.parametrize("tokens", [8192, 12036])
def test_one_that_leaves_no_room_for_an_answer_is_refused_as_llama_server_does(tokens: int) -> None:
    with pytest.raises(Refused) as refused:
        check(Counter(tokens), 100_000)
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")
    assert f"{tokens:,} tokens and the context holds 8,192" in str(refused.value)
    assert "num_ctx under [ollama]" in str(refused.value)
    with pytest.raises(Refused, match="8,192, all that the model knows: send less") as refused:
        asyncio.run(Length(Counter(tokens), 8192, all_known=True).check(BODY, 100_000))
    assert "num_ctx" not in str(refused.value)


@pytest.mark.parametrize("error", [TargetDown("down", hint="strop doctor"), OSError("disk full"), ValueError("odd")])
def test_what_cannot_be_counted_is_let_through_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(Counter(error=error), 100_000)
    assert "sent uncounted" in caplog.text
    assert str(error) in caplog.text


def test_closing_ends_what_counts() -> None:
    counter = Counter()
    asyncio.run(Length(counter, 8192).close())
    assert counter.closed
