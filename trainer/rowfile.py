"""Training files: JSONL in the usual columns, read strictly.

    {"text": "..."}                                        plain text, learned whole               sft
    {"messages": [{"role": ..., "content": ...}, ...]}     each assistant turn in its context      sft
    {"prompt": ..., "completion": ...}                     strings or messages                     sft
    {"prompt": ..., "chosen": ..., "rejected": ...}        strings or messages                     dpo (or sft: chosen)
    {"input", "preferred_output", "non_preferred_output"}  the same in OpenAI's files              dpo (or sft: chosen)
    {"prompt": ..., "completion": ..., "label": true}      an answer that was liked, or was not    kto (or sft: liked)
    {"prompt": ..., "completion": ..., "feedback": ...}    what the user said about the answer     hindsight
    {"prompt": ..., "check": ..., "expected": ...}         a task, and how answers are scored      grpo

`tools` (or `functions`) beside them are what the model was offered, `chat_template_kwargs` whether it was to think;
what a message may hold is in `messages`. Other columns are left alone. A row that cannot be used is a BadTrainingFile
naming the line, the column and what was expected; nothing is guessed and nothing is skipped in silence.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from strop.errors import BadTrainingFile, TrainingFailed, UsageError
from strop.trainer import checks
from strop.trainer.messages import PLAIN, Answer, Message, Reader, Request, kind_of, strings, texts

Kind = Literal["text", "messages", "completion", "preference", "rated", "hindsight", "task"]
_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "rated": ("prompt", "completion", "label"),
    "hindsight": ("prompt", "completion", "feedback"),
    "completion": ("prompt", "completion"),
    "task": ("prompt", "check", "expected"),
    "messages": ("messages",),
    "text": ("text",),
}
_FORMATS = "text; messages; prompt and completion; prompt, chosen and rejected"
# What our columns are called in OpenAI's preference files.
_OPENAI = {
    "prompt": "input.messages",
    "chosen": "preferred_output",
    "rejected": "non_preferred_output",
    "tools": "input.tools",
    "functions": "input.functions",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to learn. `answer` is None for plain `text` and for tasks, `rejected` unless it is a preference.

    `messages` is the context, the last of them from the user or a tool; `request` is what was asked beside them.
    `label` says whether a rated answer was liked, `feedback` what the user said about an answer afterwards; `check`
    scores the answers to a task by what is `expected`.
    """

    line: int
    messages: tuple[Message, ...]
    answer: Answer | None
    rejected: Answer | None = None
    text: str = ""
    label: bool | None = None
    feedback: str = ""
    check: str = ""
    expected: Any = None
    request: Request = PLAIN


# Words for a thumb: a column of them is taken for a rating that was written down wrongly.
_THUMBS_IN_WORDS = frozenset(
    {
        "true",
        "false",
        "up",
        "down",
        "yes",
        "no",
        "0",
        "1",
        "good",
        "bad",
        "liked",
        "disliked",
        "thumbs_up",
        "thumbs_down",
    }
)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file's rows, all of one kind. `names` says what columns are called in it where that is not our name."""

    kind: Kind
    rows: tuple[Row, ...]
    names: Mapping[str, str] = field(default_factory=dict)


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
    parsed = [(number, *_named(_object(path, number, line))) for number, line in enumerate(lines, 1) if line.strip()]
    if not parsed:
        raise BadTrainingFile(f"{path.name} holds no rows", hint=f"a row is one JSON object a line: {_FORMATS}")
    number, data, names = parsed[0]
    kind = _kind(path, number, data)
    rows = (_rows(Reader(path, number, named), data, kind) for number, data, named in parsed)
    return RowFile(kind, tuple(row for of_line in rows for row in of_line), names)


def said(file: RowFile, row: Row) -> Iterator[tuple[str, str]]:
    """Every text of a row that a model reads or writes, with the column that it stands in, as the file calls it."""
    answer = {"preference": "chosen", "messages": f"messages[{len(row.messages)}]"}.get(file.kind, "completion")
    context = "messages" if file.kind == "messages" else "prompt"
    alone = context == "prompt" and len(row.messages) == 1
    columns: list[tuple[str, Answer | Message | None]] = [
        *((context if alone else f"{context}[{place}]", message) for place, message in enumerate(row.messages)),
        *((answer, row.answer), ("rejected", row.rejected), ("feedback", row.feedback or None)),
    ]
    for column, value in columns:
        root, bracket, rest = column.partition("[")
        for text in texts(value) if value is not None else ():
            yield f"{file.names.get(root, root)}{bracket}{rest}", text
    for text in strings(row.request.tools):
        yield file.names.get("tools", "tools"), text


def counts(file: RowFile) -> dict[str, int]:
    """The file's rows as a plan counts them: by the methods that can learn from them, and thumbs by what they say."""
    number = len(file.rows)
    if file.kind == "preference":
        return {"sft": number, "dpo": number}
    if file.kind == "rated":
        liked = sum(row.label is True for row in file.rows)
        return {"kto": number, "sft": liked, "thumbs_up": liked, "thumbs_down": number - liked}
    if file.kind == "task":
        return {"grpo": number}
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
        raise BadTrainingFile(
            f"{path.name} line {number} is not an object but {kind_of(data)}", hint="one object a line"
        )
    return data


def _named(data: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """A row in our columns, and what those that go by another name are called in the file."""
    if "preferred_output" not in data or "prompt" in data:
        return data, {}
    given = data["input"] if isinstance(data.get("input"), dict) else {}
    ours = {"prompt": given.get("messages"), "tools": given.get("tools"), "functions": given.get("functions")}
    outputs = {name: data[theirs] for name, theirs in _OPENAI.items() if theirs in data}
    return {**ours, **outputs}, _OPENAI


def _kind(path: Path, line: int, data: Mapping[str, Any]) -> Kind:
    for kind, columns in _COLUMNS.items():
        # A label that is no thumb is somebody's own column.
        if all(column in data for column in columns) and (kind != "rated" or _rates(path, line, data["label"])):
            return kind
    for columns in (_COLUMNS[kind] for kind in _named_by(data)):
        missing = [column for column in columns if column not in data]
        if len(missing) < len(columns):
            there = next(column for column in columns if column in data)
            what = f"column {missing[0]!r} is missing beside {there!r}"
            raise BadTrainingFile(f"{path.name} line {line}, {what}", hint=f"expected: {_FORMATS}")
    raise BadTrainingFile(
        f"{path.name} line {line} has the columns {', '.join(map(repr, data)) or 'none'}", hint=f"expected: {_FORMATS}"
    )


def _is_thumb(label: Any) -> bool:
    """Whether a label says liked or not."""
    return isinstance(label, bool | int | float) and label in (0, 1)


def _rates(path: Path, line: int, label: Any) -> bool:
    """Whether a label makes its row a rated one. Raises BadTrainingFile for one that probably should and cannot."""
    if isinstance(label, str) and label.strip().lower() in _THUMBS_IN_WORDS:
        what = f"column 'label' is the text {label!r}"
        raise BadTrainingFile(
            f"{path.name} line {line}, {what}", hint="write true or false (or 1 or 0), or name the column otherwise"
        )
    return _is_thumb(label)


def _named_by(data: Mapping[str, Any]) -> tuple[Kind, ...]:
    """The kinds that a row with a column too few may have been meant as, the likeliest first."""
    if "check" in data:
        return ("task",)
    return tuple(kind for kind in _COLUMNS if kind not in ("rated", "hindsight", "task"))


def _rows(read_one: Reader, data: Mapping[str, Any], kind: Kind) -> Iterator[Row]:
    for column in _COLUMNS[kind]:
        if column not in data:
            names = (read_one.names.get(one, one) for one in _COLUMNS[kind])
            raise read_one.bad(column, "is missing", f"every row of this file has {', '.join(names)}")
    request = PLAIN if kind == "text" else read_one.request(data)
    yield from (replace(row, request=request) for row in _of_kind(read_one, data, kind))


def _of_kind(read_one: Reader, data: Mapping[str, Any], kind: Kind) -> Iterator[Row]:
    number = read_one.line
    if kind == "text":
        yield Row(number, (), None, text=read_one.text("text", data["text"]))
    elif kind == "messages":
        yield from (Row(number, context, answer) for context, answer in read_one.turns(data["messages"]))
    elif kind == "completion":
        yield Row(number, read_one.prompt(data["prompt"]), read_one.answer("completion", data["completion"]))
    elif kind == "rated":
        if not _is_thumb(data["label"]):
            raise read_one.bad("label", f"is {kind_of(data['label'])}", "true or false, or 1 or 0")
        answer = read_one.answer("completion", data["completion"])
        yield Row(number, read_one.prompt(data["prompt"]), answer, label=bool(data["label"]))
    elif kind == "hindsight":
        answer = read_one.answer("completion", data["completion"])
        said = read_one.said(data["feedback"])
        yield Row(number, read_one.prompt(data["prompt"]), answer, feedback=said)
    elif kind == "task":
        check, expected = _check(read_one, data["check"], data["expected"])
        yield Row(number, read_one.prompt(data["prompt"]), None, check=check, expected=expected)
    else:
        chosen, rejected = (read_one.answer(column, data[column]) for column in ("chosen", "rejected"))
        if chosen == rejected:
            other = read_one.names.get("chosen", "chosen")
            raise read_one.bad("rejected", f"equals {other!r}", "two different answers")
        yield Row(number, read_one.prompt(data["prompt"]), chosen, rejected)


def _check(read_one: Reader, name: Any, expected: Any) -> tuple[str, Any]:
    """A check that is installed, and something that it can check by: it is tried on an empty answer."""
    name = read_one.text("check", name)
    try:
        checks.score(name, "", expected)
    except UsageError as error:
        raise read_one.bad("check", f"cannot be used: {error}", error.hint) from error
    except TrainingFailed as error:
        raise read_one.bad("expected", f"cannot be used: {error}", f"what the check {name!r} takes") from error
    return name, expected
