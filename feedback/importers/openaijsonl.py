"""OpenAI's JSONL: chat fine-tuning, preference fine-tuning, and logged requests with their responses.

    {"messages": [{"role": "user", ...}, {"role": "assistant", "content": "..."}], "rating": "up"}
    {"input": {"messages": [...]}, "preferred_output": [{...}], "non_preferred_output": [{...}]}
    {"request": {"model": "...", "messages": [...]}, "response": {"choices": [{"message": {...}}]}}

Each line is one answer: the last message of the assistant whose `weight` is not 0, the non-preferred output (the
preferred one is its correction), or the response's first choice. A line says nothing about its answer unless it has a
`rating`, `feedback` or `label` (spelled as in `handmade.py`), a `correction` or a `note`. What followed the last
question before the answer are tool calls and their results: the calls are kept, the results are not.
Shapes: https://developers.openai.com/api/docs/guides/supervised-fine-tuning and .../direct-preference-optimization.

Covered: of a file with a bad line nothing is stored, and the error names line and field. Left out and counted: lines
with images, audio or files, lines that teach no text (weights of 0, tool calls alone).
Not covered: the two halves of a Batch, the Responses API, completions without messages.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from strop.errors import BadRecord, UsageError
from strop.feedback import jsonlines
from strop.feedback.importers.base import Batch, Turn
from strop.feedback.importers.handmade import Said, Scale, moment, plain, reactions, scale_of, unknown
from strop.feedback.importers.reading import head
from strop.feedback.records import Interaction, InteractionFields, Message, now
from strop.files import canonical_json, sha256_bytes

_RATINGS = ("rating", "feedback", "label")
_OURS = (*_RATINGS, "correction", "note", "user", "session", "domain", "model", "time", "id")
_THEIRS = ("tools", "parallel_tool_calls", "functions", "metadata", "created")
_CHAT = ("messages",)
_PREFERENCE = ("input", "preferred_output", "non_preferred_output")
_LOGGED = ("request", "response")
_ROLES = {"developer": "system", "function": "tool"}
_TEXT_PARTS = ("text", "refusal", "input_text", "output_text")


class _LeftOut(Exception):
    """A line that is as it should be and holds nothing for us; its text says why."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a line holds before it is checked: the conversation up to the answer, the answer, and its correction."""

    messages: Sequence[Message]
    answer: str
    calls: tuple[Mapping[str, Any], ...] = ()
    correction: str = ""
    model: str = ""


class OpenAiJsonl:
    """Reads a JSONL file in OpenAI's shapes. A line without a `user` is the owner's."""

    name = "openai"

    def __init__(self, owners: Iterable[str] = ("owner",)) -> None:
        self._owners = frozenset(owners)

    def finds(self, path: Path) -> bool:
        """A .jsonl or .ndjson file whose first line has one of the three shapes and no field of another format."""
        if path.suffix.lower() not in (".jsonl", ".ndjson") or not head(path, 1):
            return False
        try:
            _, line = next(jsonlines.lines(path))
            record = jsonlines.parse(line)
            _shape(record)
        except (StopIteration, BadRecord, UsageError):
            return False
        return True

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """The whole file as one batch, or BadRecord naming line and field."""
        records, ratings, today = [], [], now()
        for number, line in jsonlines.lines(path):
            try:
                records.append((number, jsonlines.parse(line)))
                ratings.append(_rating(records[-1][1]))
            except BadRecord as error:
                raise _at(number, error) from error
        try:
            scale = scale_of(ratings)
        except BadRecord as error:
            raise BadRecord(f"{error} (nothing of the file was stored)", hint=error.hint) from error
        turns: list[Turn] = []
        skipped: Counter[str] = Counter()
        for number, record in records:
            try:
                turns.append(_turn(record, scale, self._owners, today))
            except _LeftOut as reason:
                skipped[str(reason)] += 1
            except BadRecord as error:
                raise _at(number, error) from error
        cursor = sha256_bytes(canonical_json([turn.interaction.id for turn in turns]).encode())
        yield Batch(str(path.resolve()), tuple(turns), cursor, skipped)


def _at(number: int, error: BadRecord) -> BadRecord:
    hint = error.hint or "mend the line and import the file again"
    return BadRecord(f"line {number}: {error} (nothing of the file was stored)", hint=hint)


def _turn(record: Mapping[str, Any], scale: Scale, owners: frozenset[str], today: datetime) -> Turn:
    found = {_CHAT: _chat, _PREFERENCE: _preference, _LOGGED: _logged}[_shape(record)](record)
    fields: InteractionFields = {"channel": "openai", "model": found.model, "time": _time(record) or today}
    fields["tool_calls"] = found.calls
    for name in ("model", "user", "session", "domain"):
        if text := _text(record, name):
            fields[name] = text
    asked = Interaction(tuple(found.messages), found.answer, **fields)
    correction = _text(record, "correction")
    if correction and found.correction:
        raise BadRecord("correction: preferred_output says already what was wanted")
    said = Said(_rating(record), correction or found.correction, _text(record, "note"), _text(record, "id"))
    return Turn(asked, reactions(asked, said, scale, owners))


def _shape(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of the three shapes a line has. Raises BadRecord for none, and for a field that no shape knows."""
    for shape in (_CHAT, _PREFERENCE, _LOGGED):
        if shape[0] in record:
            for name in shape:
                if name not in record:
                    raise BadRecord(f"{name}: it is missing beside {shape[0]}")
            for name in record:
                if name not in (*shape, *_OURS, *_THEIRS):
                    raise unknown(name, (*shape, *_OURS, *_THEIRS))
            return shape
    raise BadRecord("messages: it is missing", hint="a line has messages, or input, or request and response")


def _chat(record: Mapping[str, Any]) -> _Answer:
    given = _objects(record["messages"], "messages")
    weighty = [at for at, one in enumerate(given) if one.get("role") == "assistant" and one.get("weight", 1) != 0]
    if not weighty:
        if any(one.get("role") == "assistant" for one in given):
            raise _LeftOut("no message of the assistant has a weight")
        raise BadRecord("messages: none is the assistant's")
    return _answered(given[: weighty[-1]], given[weighty[-1]])


def _preference(record: Mapping[str, Any]) -> _Answer:
    given = _objects(_field(record["input"], "input", "messages"), "input: messages")
    outputs = {name: _objects(record[name], name) for name in _PREFERENCE[1:]}
    for name, output in outputs.items():
        if len(output) != 1 or output[0].get("role") != "assistant":
            raise BadRecord(f"{name}: one message of the assistant is needed")
    found = _answered(given, outputs["non_preferred_output"][0])
    wanted = _content(outputs["preferred_output"][0], "preferred_output")
    if not wanted.strip():
        raise _LeftOut("the answer is nothing but tool calls")
    if wanted.strip() == found.answer.strip():
        raise BadRecord("preferred_output: it is the non-preferred one")
    return _Answer(found.messages, found.answer, found.calls, wanted)


def _logged(record: Mapping[str, Any]) -> _Answer:
    request, response = record["request"], record["response"]
    if isinstance(response, dict) and isinstance(response.get("body"), dict):
        response = response["body"]
    choices = _objects(_field(response, "response", "choices"), "response: choices")
    if not choices:
        raise BadRecord("response: choices: it is empty")
    if choices[0].get("finish_reason") in ("length", "content_filter"):
        raise _LeftOut("the answer was cut off")
    given = _objects(_field(request, "request", "messages"), "request: messages")
    found = _answered(given, _field(choices[0], "response: choices", "message"))
    model = response.get("model") or request.get("model") or ""
    return _Answer(found.messages, found.answer, found.calls, model=_string(model, "model"))


def _answered(given: Sequence[Mapping[str, Any]], answer: Any) -> _Answer:
    """The conversation up to the last question, the answer to it, and the tools that were called in between."""
    if not isinstance(answer, dict):
        raise BadRecord("message: an object is needed")
    text = _content(answer, "answer")
    asked = [at for at, one in enumerate(given) if one.get("role") == "user"]
    if not asked:
        raise BadRecord("messages: none before the answer is the user's")
    between = given[asked[-1] + 1 :]
    calls = tuple(call for one in (*between, answer) for call in _calls(one))
    if not text.strip():
        if calls:
            raise _LeftOut("the answer is nothing but tool calls")
        raise BadRecord("answer: it is empty")
    messages = [_message(one, number) for number, one in enumerate(given[: asked[-1] + 1], start=1)]
    return _Answer([one for one in messages if one.content.strip()], text, calls)


def _message(given: Mapping[str, Any], number: int) -> Message:
    role = given.get("role")
    if not isinstance(role, str):
        raise BadRecord(f"messages: number {number} has no role")
    return Message(_ROLES.get(role, role), _content(given, f"messages: number {number}"))


def _content(given: Mapping[str, Any], where: str) -> str:
    """The text of a message, whole or in parts."""
    content = given.get("content")
    if content is None:
        return _string(given.get("refusal") or "", f"{where}: refusal")
    if isinstance(content, str):
        return content
    texts = []
    for part in _objects(content, f"{where}: content"):
        kind = part.get("type")
        if kind not in _TEXT_PARTS:
            raise _LeftOut("it holds an image, audio or a file")
        texts.append(_string(part.get("refusal" if kind == "refusal" else "text"), f"{where}: content"))
    return "".join(texts)


def _calls(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    calls = _objects(given.get("tool_calls") or [], "tool_calls")
    old = given.get("function_call")
    return [*calls, old] if isinstance(old, dict) else calls


def _objects(value: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRecord(f"{where}: a list of objects is needed")
    return value


def _field(value: Any, where: str, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise BadRecord(f"{where}: an object with {name} is needed")
    return value[name]


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRecord(f"{where}: a text is needed, not {type(value).__name__}")
    return value


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return "" if value is None else _string(value, name)


def _rating(record: Mapping[str, Any]) -> str:
    given = [record[name] for name in _RATINGS if record.get(name) is not None]
    if len(given) > 1:
        raise BadRecord(f"rating: only one of {', '.join(_RATINGS)} can be given")
    if given and isinstance(given[0], list | dict):
        raise BadRecord("rating: a text or a number is needed")
    return plain(given[0]) if given else ""


def _time(record: Mapping[str, Any]) -> datetime | None:
    if record.get("time") is not None:
        return moment(_text(record, "time"))
    created = record.get("created")
    if isinstance(created, int) and not isinstance(created, bool) and 0 <= created < 1 << 34:
        return datetime.fromtimestamp(created, UTC)
    return None
