"""Messages of training files, read strictly into what chat templates take.

Covered: what OpenAI's fine-tuning files hold (`tool_calls`, the roles `tool` and `developer`, `weight`, and the older
`function_call` and role `function`) and a thinking block as `reasoning_content` or `thinking`. Arguments of calls stay
the JSON text that they are in a request. Images and audio are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.errors import BadTrainingFile

Message = dict[str, Any]
# A plain text, or an assistant message where there are calls or thinking beside it.
Answer = str | Message

# The server calls a developer's message a system message, too.
_ROLES = {
    **{role: role for role in ("system", "user", "assistant", "tool")},
    "developer": "system",
    "function": "tool",
}
_THINKING = ("reasoning_content", "thinking")

# How a teacher is told what a first answer lacked (`methods.hindsight`).
HINT = '(A first answer to this was met with: "{}". Answer so that this need not be said.)'


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says beside its messages: the tools on offer, and whether the model is to think first."""

    tools: Sequence[Mapping[str, Any]] = ()
    enable_thinking: bool = True


PLAIN = Request()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the columns of one line. `names` says what columns are called in the file where that is not our name."""

    path: Path
    line: int
    names: Mapping[str, str] = field(default_factory=dict)

    def bad(self, column: str, what: str, expected: str) -> BadTrainingFile:
        """What is wrong with a column, as an error to raise."""
        root = re.split(r"[.\[]", column, maxsplit=1)[0]
        shown = self.names.get(root, root) + column[len(root) :]
        return BadTrainingFile(
            f"{self.path.name} line {self.line}, column {shown!r} {what}", hint=f"expected: {expected}"
        )

    def text(self, column: str, value: Any, *, blank: bool = False) -> str:
        """A text that a tokenizer takes; one that says something unless `blank`."""
        if not isinstance(value, str):
            raise self.bad(column, f"is {kind_of(value)}", "a string")
        if not blank and not value.strip():
            raise self.bad(column, "is empty", "some text")
        if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            raise self.bad(column, "holds a lone surrogate", "valid Unicode")
        if "\0" in value:
            raise self.bad(column, "holds a NUL", "text without NUL")
        return value

    def messages(self, column: str, value: Any) -> tuple[Message, ...]:
        """A conversation."""
        if not isinstance(value, list) or not value:
            raise self.bad(column, f"is {kind_of(value)}", "a list of messages")
        return tuple(self._message(f"{column}[{place}]", one) for place, one in enumerate(value))

    def prompt(self, value: Any) -> tuple[Message, ...]:
        """What is answered: the question alone, or the conversation up to it."""
        if isinstance(value, str):
            return ({"role": "user", "content": self.text("prompt", value)},)
        if not isinstance(value, list):
            raise self.bad("prompt", f"is {kind_of(value)}", "a text or a list of messages")
        messages = self.messages("prompt", value)
        if messages[-1]["role"] not in ("user", "tool"):
            expected = "a last message by the user or a tool"
            raise self.bad("prompt", f"ends with {messages[-1]['role']!r}", expected)
        return messages

    def answer(self, column: str, value: Any) -> Answer:
        """An answer as a string or as one assistant message."""
        if isinstance(value, str):
            return self.text(column, value)
        if not isinstance(value, list):
            raise self.bad(column, f"is {kind_of(value)}", "a string or one assistant message")
        messages = self.messages(column, value)
        if len(messages) != 1 or messages[0]["role"] != "assistant":
            raise self.bad(column, "is not one assistant message", "a string or one such message")
        return _answer(messages[0])

    def said(self, value: Any) -> str:
        """The user's next message, as a string or as one message."""
        if isinstance(value, str):
            return self.text("feedback", value)
        messages = self.messages("feedback", value)
        if len(messages) != 1 or messages[0]["role"] != "user":
            raise self.bad("feedback", "is not one message by the user", "a string or such a message")
        return str(messages[0]["content"])

    def turns(self, value: Any) -> Iterator[tuple[tuple[Message, ...], Answer]]:
        """(context, answer) for each message of the assistant after the user's or a tool's, but for weight 0."""
        messages = self.messages("messages", value)
        found = False
        for place, message in enumerate(messages):
            if message["role"] == "assistant" and place and messages[place - 1]["role"] in ("user", "tool"):
                weight = value[place].get("weight")
                if weight not in (None, 0, 1):
                    raise self.bad(f"messages[{place}].weight", f"is {weight!r}", "0 or 1")
                if weight != 0:
                    found = True
                    yield messages[:place], _answer(message)
        if not found:
            expected = "an assistant message after a user's or a tool's, not of weight 0"
            raise self.bad("messages", "holds no answer", expected)

    def request(self, data: Mapping[str, Any]) -> Request:
        """The row's `tools` (or `functions`, as they were once called) and `chat_template_kwargs`."""
        options = {} if data.get("chat_template_kwargs") is None else data["chat_template_kwargs"]
        enabled = options.get("enable_thinking", True) if isinstance(options, dict) else None
        if not isinstance(enabled, bool) or set(options) - {"enable_thinking"}:
            raise self.bad("chat_template_kwargs", "is not known", '{"enable_thinking": true or false} or nothing')
        column = "functions" if data.get("tools") is None else "tools"
        given = [] if data.get(column) is None else data[column]
        if not isinstance(given, list):
            raise self.bad(column, f"is {kind_of(given)}", "a list of tools")
        return Request(tuple(self._tool(f"{column}[{place}]", one) for place, one in enumerate(given)), enabled)

    def _tool(self, column: str, value: Any) -> dict[str, Any]:
        function = value.get("function", value) if isinstance(value, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise self.bad(column, "is not a tool", '{"type": "function", "function": {"name": ..., ...}}')
        self._all_texts(column, function)
        return {"type": "function", "function": function}

    def _message(self, column: str, value: Any) -> Message:
        role = value.get("role") if isinstance(value, dict) else None
        if not isinstance(role, str) or role not in _ROLES:
            raise self.bad(column, "has no known role", f"role: one of {', '.join(_ROLES)}")
        message: Message = {"role": _ROLES[role], "content": ""}
        if role == "assistant":
            message |= self._beside(column, value)
        elif message["role"] == "tool":
            named = {name: value[name] for name in ("name", "tool_call_id") if value.get(name) is not None}
            message |= {name: self.text(f"{column}.{name}", one) for name, one in named.items()}
        may_be_blank = "tool_calls" in message or message["role"] == "tool"
        message["content"] = self._content(f"{column}.content", value.get("content"), blank=may_be_blank)
        return message

    def _content(self, column: str, value: Any, *, blank: bool) -> str:
        if value is None and blank:
            return ""
        # Several parts would be joined, but each template does that in its own way.
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "text" in value[0]:
            value = value[0]["text"]
        return self.text(column, value, blank=blank)

    def _beside(self, column: str, value: Mapping[str, Any]) -> Message:
        """The thinking and the calls of an assistant message."""
        beside: Message = {}
        for name in (name for name in _THINKING if value.get(name) is not None):
            thinking = self.text(f"{column}.{name}", value[name], blank=True)
            if thinking.strip():
                beside["reasoning_content"] = thinking
        given, where = value.get("tool_calls"), f"{column}.tool_calls"
        if given is None and value.get("function_call") is not None:
            given, where = [{"function": value["function_call"]}], f"{column}.function_call"
        if given is not None and not isinstance(given, list):
            raise self.bad(where, f"is {kind_of(given)}", "a list of calls")
        if given:
            beside["tool_calls"] = [self._call(f"{where}[{place}]", call) for place, call in enumerate(given)]
        return beside

    def _call(self, column: str, value: Any) -> dict[str, Any]:
        function = value.get("function") if isinstance(value, dict) else None
        if not isinstance(function, dict):
            raise self.bad(column, "is not a call", '{"type": "function", "function": {"name": ..., "arguments": ...}}')
        name = self.text(f"{column}.function.name", function.get("name"))
        where, given = f"{column}.function.arguments", function.get("arguments")
        text: Any = json.dumps(given, ensure_ascii=False) if isinstance(given, dict) else given
        try:
            arguments = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise self.bad(where, "is not a JSON object", 'a text such as {"city": "Bonn"}')
        self._all_texts(where, arguments)
        known = {"id": self.text(f"{column}.id", value["id"])} if value.get("id") is not None else {}
        return {**known, "type": "function", "function": {"name": name, "arguments": text}}

    def _all_texts(self, column: str, data: Any) -> None:
        for text in strings(data):
            self.text(column, text, blank=True)


def texts(message: Answer | Mapping[str, Any]) -> Iterator[str]:
    """Every text of a message that a model reads or writes: content, thinking, names and arguments of calls."""
    if isinstance(message, str):
        yield message
        return
    yield from (message[name] for name in ("content", "reasoning_content", "name") if message.get(name))
    for call in message.get("tool_calls", ()):
        yield call["function"]["name"]
        yield from strings(json.loads(call["function"]["arguments"]))


def strings(data: Any) -> Iterator[str]:
    """Every string in JSON data, keys among them."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield name
            yield from strings(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from strings(value)


def kind_of(value: Any) -> str:
    """What JSON calls this, in words."""
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null", bool: "true or false"}
    if value == []:
        return "an empty list"
    return names.get(type(value), "a number")


def _answer(message: Message) -> Answer:
    return message if message.keys() - {"role", "content"} else str(message["content"])
