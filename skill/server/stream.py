"""A streamed answer as it goes by: cut into its events, understood, and passed on byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# llama-server's name for what a model thinks before it answers, Ollama's (and vLLM's), and that of Ollama's own API.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def answer_of(data: dict[str, Any]) -> "Answer":
    """What a whole (not streamed) answer says."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    message = choice.get("message") or {}
    answer = Answer(finish=choice.get("finish_reason"), tokens=_written(data) or 0)
    answer.text.append(message.get("content") or "")
    answer.thoughts.append(_thought(message))
    answer.calls = {at: call for at, call in enumerate(message.get("tool_calls") or ())}
    return answer


@dataclass
class Answer:
    """What was said so far. `tokens` counts pieces where the server does not; `finish` is None until the end.

    `heard`: a chunk came, be it one without a word; `refused`: the code of an error that the client made itself.
    """

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish: str | None = None
    tokens: int = 0
    failed: bool = False
    heard: bool = False
    refused: str = ""

    def add(self, data: dict[str, Any]) -> bool:
        """Take one chunk in; returns whether it is the one that ends the answer."""
        self.heard = True
        if "error" in data:
            self.failed = True
            return False
        ends = self._add_choice(data)
        self.tokens = _written(data) or self.tokens
        return ends

    def _add_choice(self, data: dict[str, Any]) -> bool:
        choices = data.get("choices")
        if not isinstance(choices, list) or not choices:
            return False
        choice = choices[0]
        delta = choice.get("delta") or {}
        if isinstance(piece := delta.get("content"), str):
            self.text.append(piece)
        if thought := _thought(delta):
            self.thoughts.append(thought)
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        self.tokens += bool(piece or thought or delta.get("tool_calls"))
        if choice.get("finish_reason") is None or self.finish is not None:
            return False
        self.finish = str(choice["finish_reason"])
        return True

    def _add_call(self, piece: dict[str, Any]) -> None:
        call = self.calls.setdefault(int(piece.get("index") or 0), {"type": "function", "function": {}})
        if piece.get("id"):
            call["id"] = piece["id"]
        function = piece.get("function") or {}
        if function.get("name"):
            call["function"]["name"] = function["name"]
        if isinstance(more := function.get("arguments"), str):
            call["function"]["arguments"] = call["function"].get("arguments", "") + more

    @property
    def begun(self) -> bool:
        """Whether it has a word, an end or an error; before that, nothing is lost where it is asked for once more."""
        return bool(self.tokens or self.finish is not None or self.failed)

    @property
    def said(self) -> str:
        """The answer's text."""
        return "".join(self.text)


def _thought(said: dict[str, Any]) -> str:
    """What a message or a piece of one thinks; a server that says it under two names says it once."""
    return next((said[name] for name in _THOUGHTS if isinstance(said.get(name), str) and said[name]), "")


def _written(data: dict[str, Any]) -> int | None:
    """How many tokens the server says that it wrote so far: `usage` of both, or llama-server's `timings`."""
    for part, name in (("usage", "completion_tokens"), ("timings", "predicted_n")):
        found = data.get(part)
        if isinstance(found, dict) and isinstance(found.get(name), int):
            return int(found[name])
    return None


class Events:
    """Server-sent events out of bytes that come in any pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that are whole now, each with the empty line that ends it."""
        self._rest += data
        while (at := self._rest.find(b"\n\n")) >= 0:
            event, self._rest = self._rest[: at + 2], self._rest[at + 2 :]
            yield event


def event_data(event: bytes) -> dict[str, Any] | None:
    """The JSON object of an event; None for `[DONE]`, comments and what is no object."""
    line = event.strip()
    for prefix in (b"data:", b"error:"):
        if line.startswith(prefix):
            try:
                data = json.loads(line[len(prefix) :])
            except ValueError:
                return None
            if not isinstance(data, dict):
                return None
            return data if prefix == b"data:" else {"error": data}
    return None


def event_of(data: dict[str, Any]) -> bytes:
    """An event that carries `data`."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
