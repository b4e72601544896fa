"""Claude Code's transcripts, ~/.claude/projects/<project>/<session>.jsonl: what you asked, and the answer you got.

A turn begins with a message that a person typed and ends before the next one that follows it by `parentUuid`. Its
answer is the text of the last API message in it, joined from its records; the tools that were called on the way are
`tool_calls`. Nobody rates there: what the person wrote next is the reaction. Shapes: dev-docs/messages.md and dag.md in
github.com/daaain/claude-code-log, docs/jsonl-format.md in github.com/ticpu/claude-conversation-search-mcp.

Covered: rewound conversations, forked ones (`forkedFrom`), files that grow while they are read, and files that were
replaced: the cursor knows the first line. Of earlier turns an interaction keeps what the person and the model said, the
latest 32 KiB; instead of tool results, which hold whole files, it keeps the names of the tools.
Left out and counted: answers that were interrupted, steered, cut off or that failed, slash commands, shell commands
and notices of the program, questions with pictures or documents. Sidechains and subagents are not read.
Not covered: copies of a session that old versions wrote on `--resume` and that do not say so. After a compaction the
earlier turns are gone, as they were for the model, and its summary is not kept.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from strop.errors import BadRecord, UsageError
from strop.feedback import jsonlines
from strop.feedback.importers.base import Batch, Turn
from strop.feedback.importers.reading import head, unreadable
from strop.feedback.importers.spans import cut_spans
from strop.feedback.records import Interaction, Message, now
from strop.files import sha256_bytes

# All that an interaction keeps of the turns before it; without a limit a session would be stored once per turn.
LIMIT_CONTEXT_BYTES = 32 << 10
_LOOK_AT_FILES, _LOOK_AT_LINES = 20, 200
_INTERRUPTED = "[Request interrupted by user"
# How messages begin that stand as a person's and were written by the program.
_WRITTEN_BY_PROGRAM = (
    *("<command-name>", "<command-message>", "<command-args>", "<local-command-", "<bash-", "<user-memory-input>"),
    *("<task-notification>", "<teammate-message", "<system-reminder>", "Caveat: The messages below were generated"),
    *("This session is being continued from a previous conversation", "Stop hook feedback"),
)
_ADDED = re.compile(r"<(system-reminder|ide_opened_file|ide_selection)>")
_ENDED = ("end_turn", "stop_sequence", "refusal")
_TOOLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_PROGRAM = "a slash command, a shell command or a notice of the program"


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn while its records are read. `prompt` is None where the program wrote it; `before` is the turn before it.

    `reason` says why it is left out, `unfit` that its texts cannot be stored. `message_id`, `said`, `stop` and `called`
    are those of the last API message.
    """

    prompt: str | None
    before: "_Turn | None" = None
    session: str = ""
    time: datetime | None = None
    reason: str = ""
    message_id: str = ""
    said: list[str] = field(default_factory=list)
    stop: str = ""
    called: bool = False
    failed: bool = False
    unfit: bool = False
    model: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    after: "_Turn | None" = None
    number: int = 0

    @property
    def answer(self) -> str:
        """The last word of the turn; empty while tools run, and where it never came to one."""
        return "" if self.called or self.failed else "\n\n".join(self.said).strip()

    @property
    def left_out(self) -> str:
        """Why nothing of it is stored; empty where it is a question with its answer."""
        if self.prompt is None:
            return _PROGRAM
        if self.reason or self.failed:
            return self.reason or "the answer failed"
        if self.stop in ("max_tokens", "model_context_window_exceeded"):
            return "the answer was cut off"
        return "" if self.answer else "there is no final answer"


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a file was read. `head`: hash of its first line. `turns`: those whose next message is known."""

    size_bytes: int = 0
    head: str = ""
    lines: int = 0
    turns: int = 0

    @classmethod
    def of(cls, text: str) -> "_Cursor":
        """The cursor that was stored; the start where there is none or it says nothing."""
        try:
            size_bytes, first, lines, turns = (json.loads(text)[name] for name in ("size", "head", "lines", "turns"))
            return cls(int(size_bytes), str(first), int(lines), int(turns))
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return json.dumps({"size": self.size_bytes, "head": self.head, "lines": self.lines, "turns": self.turns})


class ClaudeCode:
    """Reads one transcript, a project's folder, the folder of all projects, or ~/.claude. All of it is the owner's."""

    name = "claudecode"

    def finds(self, path: Path) -> bool:
        """Whether one of the first transcripts there has a message with a `sessionId` and a `parentUuid`."""
        try:
            return any(_is_transcript(file) for file in _files(path)[:_LOOK_AT_FILES])
        except UsageError:
            return False

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """One batch for each file that changed. A file that cannot be read is counted, unless it is the only one."""
        files = _files(path)
        if not files:
            raise UsageError(f"{path} holds no transcript", hint="give ~/.claude, a folder below it, or a .jsonl file")
        for file in files:
            place = str(file.resolve())
            try:
                batch = _batch(file, place, _Cursor.of(cursors.get(place, "")))
            except UsageError:
                if file == path:
                    raise
                batch = Batch(place, (), cursors.get(place, ""), {"a file that cannot be read": 1})
            if batch is not None:
                yield batch


def _files(path: Path) -> list[Path]:
    """The transcripts at `path`, those of subagents left out."""
    if path.is_file():
        return [path] if path.suffix == ".jsonl" else []
    try:
        if not path.is_dir():
            raise UsageError(f"{path} does not exist", hint="check the path")
        below = path / "projects" if (path / "projects").is_dir() else path
        found = sorted([*below.glob("*.jsonl"), *below.glob("*/*.jsonl")])
    except OSError as error:
        raise unreadable(path, error) from error
    return [file for file in found if not file.name.startswith("agent-")]


def _is_transcript(file: Path) -> bool:
    for number, record in jsonlines.records(file):
        if isinstance(record, dict) and record.get("type") in ("user", "assistant"):
            return {"sessionId", "parentUuid", "message"} <= record.keys()
        if number >= _LOOK_AT_LINES:
            break
    return False


def _batch(file: Path, place: str, cursor: _Cursor) -> Batch | None:
    """What is new in a file; None where it did not change. It is read from the start: a turn needs those before it."""
    try:
        size_bytes = file.stat().st_size
    except OSError as error:
        raise unreadable(file, error) from error
    first = sha256_bytes(head(file).partition(b"\n")[0])[:16]
    if (size_bytes, first) == (cursor.size_bytes, cursor.head):
        return None
    if first != cursor.head or size_bytes < cursor.size_bytes:
        cursor = _Cursor()
    skipped: Counter[str] = Counter()
    reader, lines = _Reader(), 0
    for number, record in jsonlines.records(file):
        lines = number
        if isinstance(record, dict):
            reader.take(record)
        elif number > cursor.lines:
            skipped["a line that cannot be read"] += 1
    settled = max(0, len(reader.turns) - 1)
    turns = [] if not reader.turns else _stored(reader.turns, cursor.turns, skipped)
    return Batch(place, tuple(turns), str(_Cursor(size_bytes, first, lines, settled)), skipped)


def _stored(turns: list[_Turn], start: int, skipped: Counter[str]) -> list[Turn]:
    """The turns from `start` on. The last one may still go on: it is taken once it says that it ended, and not counted
    before.
    """
    stored = []
    for number, turn in enumerate(turns):
        last = number == len(turns) - 1
        made = None if turn.left_out or (last and turn.stop not in _ENDED) else _as_turn(turn)
        if made is not None and number >= start:
            stored.append(made)
        elif made is None and number >= start and not last:
            skipped[turn.left_out] += 1
    return stored


def _as_turn(turn: _Turn) -> Turn | None:
    """What is stored; None, with the reason in the turn, where it cannot be: the turns after it do without it then."""
    try:
        asked = Interaction(
            messages=(*_context(turn), Message("user", turn.prompt or "")),
            answer=turn.answer,
            model=turn.model,
            channel="claudecode",
            session=turn.session,
            turn=turn.number,
            tool_calls=turn.calls,
            time=turn.time or now(),
        )
    except BadRecord as error:
        turn.reason, turn.unfit = f"refused: {error}", True
        return None
    after = turn.after
    return Turn(asked, next_message=after.prompt if after else None, next_time=after.time if after else None)


def _context(turn: _Turn) -> list[Message]:
    """What was said before, whole turns, the latest that fit. Answers that were interrupted were said as well."""
    messages: list[Message] = []
    left, before = LIMIT_CONTEXT_BYTES, turn.before
    while before is not None:
        if before.prompt is not None and before.said and not before.failed and not before.unfit:
            said, names = "\n\n".join(before.said), "\n".join(call["name"] for call in before.calls)
            left -= sum(len(text.encode(errors="replace")) for text in (before.prompt, names, said))
            if left < 0:
                break
            tools = [Message("tool", names)] if names else []
            messages[:0] = [Message("user", before.prompt), *tools, Message("assistant", said)]
        before = before.before
    return messages


class _Reader:
    """Puts the records of one file, in the order of its lines, into turns."""

    def __init__(self) -> None:
        self.turns: list[_Turn] = []
        self._turn_of: dict[str, _Turn] = {}

    def take(self, record: Mapping[str, Any]) -> None:
        """One record: it begins a turn, or belongs to the one that its parent belongs to."""
        uuid, kind = _text(record, "uuid"), record.get("type")
        if record.get("isSidechain") is True or uuid in self._turn_of or record.get("subtype") == "compact_boundary":
            return
        parent = self._turn_of.get(_text(record, "parentUuid"))
        message = record.get("message")
        if kind == "user" and isinstance(message, dict):
            turn = self._person(record, message, parent)
        else:
            turn = parent or (self.turns[-1] if self.turns else None)
            if turn is not None and kind == "assistant" and isinstance(message, dict):
                _hear(turn, record, message)
            elif turn is not None and _steers(record):
                turn.reason = "the answer was steered while it was given"
        if uuid and turn is not None:
            self._turn_of[uuid] = turn

    def _person(self, record: Mapping[str, Any], message: Mapping[str, Any], parent: _Turn | None) -> _Turn | None:
        blocks = _blocks(message)
        said = "\n".join(_text(one, "text") for one in blocks if one.get("type") == "text")
        text = cut_spans(said, _ADDED, lambda opening: f"</{opening[1]}>")[0].strip()
        here = parent or (self.turns[-1] if self.turns else None)
        if record.get("interruptedMessageId") or text.startswith(_INTERRUPTED):
            if here is not None:
                here.reason = "the answer was interrupted"
            return here
        if any(one.get("type") == "tool_result" for one in blocks):
            return here
        if record.get("isMeta") is True and here is not None:
            return here  # a slash command's own instructions, a reminder: part of what goes on
        typed = _typed(record, text)
        turn = _Turn(text if typed else None, parent, time=_moment(record))
        turn.session = _text(_mapping(record, "forkedFrom"), "sessionId") or _text(record, "sessionId")
        turn.number = 0 if parent is None else parent.number + (parent.prompt is not None)
        if any(one.get("type") in ("image", "document") for one in blocks):
            turn.reason = "a picture or document is attached"
        if parent is not None and parent.after is None:
            parent.after = turn
        self.turns.append(turn)
        return turn


def _hear(turn: _Turn, record: Mapping[str, Any], message: Mapping[str, Any]) -> None:
    """One record of an answer; those of one API message share its id. What the program put in is none."""
    by_program = message.get("model") == "<synthetic>"
    turn.failed = record.get("isApiErrorMessage") is True or (by_program and _begins(message, "API Error"))
    if by_program or turn.failed:
        return
    message_id = _text(message, "id") or _text(record, "uuid")
    if message_id != turn.message_id:
        turn.message_id, turn.said, turn.stop, turn.called = message_id, [], "", False
    turn.stop = _text(message, "stop_reason") or turn.stop
    turn.model = _text(message, "model") or turn.model
    for block in _blocks(message):
        if block.get("type") == "text" and _text(block, "text").strip():
            turn.said.append(_text(block, "text").strip())
        elif block.get("type") in _TOOLS:
            turn.called = True
            turn.calls.append({"id": _text(block, "id"), "name": _text(block, "name"), "input": block.get("input")})


def _typed(record: Mapping[str, Any], text: str) -> bool:
    """Whether a person wrote this message to the model."""
    origin = _text(_mapping(record, "origin"), "kind")
    by_program = (
        any(record.get(name) is True for name in ("isMeta", "isCompactSummary", "isVisibleInTranscriptOnly"))
        or origin not in ("", "human")
        or record.get("promptSource") == "system"
    )
    return bool(text) and not by_program and not text.startswith(_WRITTEN_BY_PROGRAM)


def _steers(record: Mapping[str, Any]) -> bool:
    """Whether a message was given to the model in the middle of its answer."""
    removed = record.get("type") == "queue-operation" and record.get("operation") == "remove"
    return removed or _text(_mapping(record, "attachment"), "type") == "queued_command"


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _begins(message: Mapping[str, Any], start: str) -> bool:
    return any(_text(block, "text").startswith(start) for block in _blocks(message)[:1])


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _moment(record: Mapping[str, Any]) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(record, "timestamp"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
