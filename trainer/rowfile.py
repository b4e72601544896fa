"""Training files: JSONL in the usual columns, read strictly.

    {"text": "..."}                                        plain text, learned whole               sft
    {"messages": [{"role": ..., "content": ...}, ...]}     each assistant turn in its context      sft
    {"prompt": ..., "completion": ...}                     strings or messages                     sft
    {"prompt": ..., "chosen": ..., "rejected": ...}        strings or messages                     dpo (or sft: chosen)
    {"prompt": ..., "completion": ..., "label": true}      an answer that was liked, or was not    kto (or sft: liked)
    {"prompt": ..., "completion": ..., "feedback": ...}    what the user said about the answer     hindsight

Other columns are left alone. A row that cannot be used is a BadTrainingFile naming the line, the column and what was
expected; nothing is guessed and nothing is skipped in silence.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop.errors import BadTrainingFile

Kind = Literal["text", "messages", "completion", "preference", "rated", "hindsight"]
_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "rated": ("prompt", "completion", "label"),
    "hindsight": ("prompt", "completion", "feedback"),
    "completion": ("prompt", "completion"),
    "messages": ("messages",),
    "text": ("text",),
}
_ROLES = ("system", "user", "assistant")
_FORMATS = "text; messages; prompt and completion; prompt, chosen and rejected"

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to learn. `answer` is None for plain `text`; `rejected` is None unless it is a preference.

    `messages` is the context, the last of them from the user. `label` says whether a rated answer was liked, `feedback`
    what the user said about an answer afterwards.
    """

    line: int
    messages: tuple[Message, ...]
    answer: str | None
    rejected: str | None = None
    text: str = ""
    label: bool | None = None
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file's rows, all of one kind."""

    kind: Kind
    rows: tuple[Row, ...]


def read(path: Path) -> RowFile:
    """Read and check a whole file. Raises BadTrainingFile for the first thing that is wrong."""
    try:
        # Only "\n" ends a row: str.splitlines would also cut at U+2028 and others that JSON strings may hold.
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise BadTrainingFile(f"there is no file {path}", hint="name a JSONL file") from None
    except IsADirectoryError:
        raise BadTrainingFile(f"{path} is a folder", hint="name a JSONL file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadTrainingFile(f"{path.name} line {line} is not UTF-8", hint="save the file as UTF-8") from error
    parsed = [(number, _object(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    if not parsed:
        raise BadTrainingFile(f"{path.name} holds no rows", hint=f"a row is one JSON object a line: {_FORMATS}")
    kind = _kind(path, *parsed[0])
    return RowFile(kind, tuple(row for number, data in parsed for row in _rows(path, number, data, kind)))


def counts(file: RowFile) -> dict[str, int]:
    """The file's rows as a plan counts them: by the methods that can learn from them, and thumbs by what they say."""
    number = len(file.rows)
    if file.kind == "preference":
        return {"sft": number, "dpo": number}
    if file.kind == "rated":
        liked = sum(row.label is True for row in file.rows)
        return {"kto": number, "sft": liked, "thumbs_up": liked, "thumbs_down": number - liked}
    return {"hindsight": number} if file.kind == "hindsight" else {"sft": number}


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise BadTrainingFile(f"{path.name} line {number} is not JSON: {error}", hint="one object a line") from error
    except RecursionError:
        raise BadTrainingFile(
            f"{path.name} line {number} is nested too deeply", hint="one flat object a line"
        ) from None
    if not isinstance(data, dict):
        raise BadTrainingFile(f"{path.name} line {number} is not an object but {_name(data)}", hint="one object a line")
    return data


def _kind(path: Path, line: int, data: Mapping[str, Any]) -> Kind:
    for kind, columns in _COLUMNS.items():
        # A label that is a number or a word is somebody's own column.
        if all(column in data for column in columns) and (kind != "rated" or isinstance(data["label"], bool)):
            return kind
    for columns in (_COLUMNS[kind] for kind in _COLUMNS if kind not in ("rated", "hindsight")):
        missing = [column for column in columns if column not in data]
        if len(missing) < len(columns):
            there = next(column for column in columns if column in data)
            what = f"column {missing[0]!r} is missing beside {there!r}"
            raise BadTrainingFile(f"{path.name} line {line}, {what}", hint=f"expected: {_FORMATS}")
    raise BadTrainingFile(
        f"{path.name} line {line} has the columns {', '.join(map(repr, data)) or 'none'}", hint=f"expected: {_FORMATS}"
    )


def _rows(path: Path, number: int, data: Mapping[str, Any], kind: Kind) -> Iterator[Row]:
    for column in _COLUMNS[kind]:
        if column not in data:
            raise _bad(path, number, column, "is missing", f"every row of this file has {', '.join(_COLUMNS[kind])}")
    read_one = _Reader(path, number)
    if kind == "text":
        yield Row(number, (), None, text=read_one.text("text", data["text"]))
    elif kind == "messages":
        yield from read_one.turns(data["messages"])
    elif kind == "completion":
        yield Row(number, read_one.prompt(data["prompt"]), read_one.answer("completion", data["completion"]))
    elif kind == "rated":
        if not isinstance(data["label"], bool):
            raise _bad(path, number, "label", f"is {_name(data['label'])}", "true or false")
        answer = read_one.answer("completion", data["completion"])
        yield Row(number, read_one.prompt(data["prompt"]), answer, label=data["label"])
    elif kind == "hindsight":
        answer = read_one.answer("completion", data["completion"])
        said = read_one.said(data["feedback"])
        yield Row(number, read_one.prompt(data["prompt"]), answer, feedback=said)
    else:
        chosen, rejected = (read_one.answer(column, data[column]) for column in ("chosen", "rejected"))
        if chosen == rejected:
            raise _bad(path, number, "rejected", "equals 'chosen'", "two different answers")
        yield Row(number, read_one.prompt(data["prompt"]), chosen, rejected)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the columns of one line."""

    path: Path
    line: int

    def text(self, column: str, value: Any) -> str:
        if not isinstance(value, str):
            raise _bad(self.path, self.line, column, f"is {_name(value)}", "a string")
        if not value.strip():
            raise _bad(self.path, self.line, column, "is empty", "some text")
        if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            raise _bad(self.path, self.line, column, "holds a lone surrogate", "valid Unicode")
        if "\0" in value:
            raise _bad(self.path, self.line, column, "holds a NUL", "text without NUL")
        return value

    def messages(self, column: str, value: Any) -> tuple[Message, ...]:
        if not isinstance(value, list) or not value:
            raise _bad(self.path, self.line, column, f"is {_name(value)}", "a list of messages")
        return tuple(self._message(f"{column}[{place}]", one) for place, one in enumerate(value))

    def _message(self, column: str, value: Any) -> Message:
        if not isinstance(value, dict) or value.get("role") not in _ROLES:
            raise _bad(self.path, self.line, column, "has no known role", f"role: one of {', '.join(_ROLES)}")
        return {"role": str(value["role"]), "content": self.text(f"{column}.content", value.get("content"))}

    def prompt(self, value: Any) -> tuple[Message, ...]:
        if isinstance(value, str):
            return ({"role": "user", "content": self.text("prompt", value)},)
        messages = self.messages("prompt", value)
        if messages[-1]["role"] != "user":
            raise _bad(
                self.path, self.line, "prompt", f"ends with {messages[-1]['role']!r}", "a last message by the user"
            )
        return messages

    def answer(self, column: str, value: Any) -> str:
        if isinstance(value, str):
            return self.text(column, value)
        if not isinstance(value, list):
            raise _bad(self.path, self.line, column, f"is {_name(value)}", "a string or one assistant message")
        messages = self.messages(column, value)
        if len(messages) != 1 or messages[0]["role"] != "assistant":
            raise _bad(self.path, self.line, column, "is not one assistant message", "a string or one such message")
        return messages[0]["content"]

    def said(self, value: Any) -> str:
        """The user's next message, as a string or as one message."""
        if isinstance(value, str):
            return self.text("feedback", value)
        messages = self.messages("feedback", value)
        if len(messages) != 1 or messages[0]["role"] != "user":
            raise _bad(self.path, self.line, "feedback", "is not one message by the user", "a string or such a message")
        return messages[0]["content"]

    def turns(self, value: Any) -> Iterator[Row]:
        messages = self.messages("messages", value)
        found = False
        for place, message in enumerate(messages):
            if message["role"] == "assistant" and place and messages[place - 1]["role"] == "user":
                found = True
                yield Row(self.line, messages[:place], message["content"])
        if not found:
            raise _bad(self.path, self.line, "messages", "holds no answer", "an assistant message after a user's")


def _bad(path: Path, line: int, column: str, what: str, expected: str) -> BadTrainingFile:
    return BadTrainingFile(f"{path.name} line {line}, column {column!r} {what}", hint=f"expected: {expected}")


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null", bool: "true or false"}
    if value == []:
        return "an empty list"
    return names.get(type(value), "a number")
