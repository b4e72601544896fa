"""The .learnings/*.md files of the skill `self-improving-agent`: what an agent wrote down about its own mistakes.

    ## [LRN-20260701-001] correction
    **Logged**: 2026-07-01T10:00:00Z
    ### Details
    - **Asked**: Which package manager does this project use?
    - **Answered**: npm.
    - **Correct**: pnpm; the lock file is pnpm-lock.yaml.

An entry becomes an answer with a correction where its category is `correction` and its Details hold those three parts,
each after one of its labels in `_LABELS`, over one line or several. The skill's template asks for "what happened, what
was wrong, what's correct" in prose, so most entries do not: they are counted and left where they are, as are errors,
feature requests and what the agent decided not to fix. Guessing a question and an answer out of prose would put words
into people's mouths. Shapes: SKILL.md, assets/ and references/examples.md in github.com/pskoett/self-improving-agent.

An agent wrote all of it, so what is taken is nobody's word (trust `anonymous`) and waits for the owner's review.
Covered: entries that change later (status, recurrence) are known; entries inside of code fences are examples.
Not covered: labels in other languages.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from strop.errors import BadRecord, UsageError
from strop.feedback.importers.base import Batch, Reaction, Turn
from strop.feedback.importers.reading import head, unreadable, whole
from strop.feedback.records import Interaction, conversation, now
from strop.feedback.signals import CORRECTION_VALUE
from strop.files import canonical_json, sha256_bytes

_ENTRY = re.compile(r"## \[((?:LRN|ERR|FEAT)-\d{8}-\w{1,32})\]\s*(.*)")
_FIELD = re.compile(r"\*\*(Logged|Status)\*\*:\s*(.+)")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_LABELS = {
    "asked": ("asked", "user asked", "question", "prompt", "request", "user request"),
    "answered": ("answered", "i answered", "agent answered", "answer", "wrong answer", "wrong", "what was wrong"),
    "correct": ("correct", "correct answer", "what's correct", "what is correct", "right", "right answer", "expected"),
}
_PART_OF = {label: part for part, labels in _LABELS.items() for label in labels}
# "- **Asked**: text", "**Asked:** text" or "Asked: text"
_LABELLED = re.compile(r"\s*(?:[-*]\s+)?(?:\*\*)?([A-Za-z][A-Za-z' ]{0,30}?)\s*(?:\*\*)?\s*:(?:\*\*)?\s*(.*)")
_OTHERS = {"ERR": "an error that the agent logged", "FEAT": "a feature request"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: its id and category, its `**Name**: value` fields, and the lines of its Details."""

    id: str
    category: str
    fields: Mapping[str, str]
    details: tuple[str, ...]


class _LeftOut(Exception):
    """An entry that says nothing that we could store; its text says why."""


class Learnings:
    """Reads one of the files, the folder `.learnings`, or the folder that holds it."""

    name = "learnings"

    def finds(self, path: Path) -> bool:
        """A folder `.learnings`, the folder around it, or a .md file with an entry of the skill at its beginning."""
        if path.suffix.lower() == ".md":
            return _ENTRY.search(head(path).decode(errors="replace")) is not None
        try:
            return (path.name == ".learnings" or (path / ".learnings").is_dir()) and bool(_files(path))
        except UsageError:
            return False

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """One batch for each file that changed since it was read."""
        files = _files(path)
        if not files:
            raise UsageError(f"{path} holds no .md file", hint="give the .learnings folder or the one around it")
        for file in files:
            data, place = whole(file), str(file.resolve())
            cursor = sha256_bytes(data)
            if cursors.get(place) != cursor:
                skipped: Counter[str] = Counter()
                yield Batch(place, tuple(_turns(data, skipped)), cursor, skipped)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    try:
        if not path.is_dir():
            raise UsageError(f"{path} does not exist", hint="check the path")
        return sorted((path / ".learnings" if (path / ".learnings").is_dir() else path).glob("*.md"))
    except OSError as error:
        raise unreadable(path, error) from error


def _turns(data: bytes, skipped: Counter[str]) -> Iterator[Turn]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        skipped["a file that is not UTF-8"] += 1
        return
    for entry in _entries(text.splitlines(), skipped):
        try:
            yield _turn(entry)
        except _LeftOut as reason:
            skipped[str(reason)] += 1
        except BadRecord as error:
            skipped[f"refused: {error}"] += 1


def _entries(lines: list[str], skipped: Counter[str]) -> Iterator[_Entry]:
    """The entries of a file; headings and fields inside of a code fence are none."""
    found: list[tuple[str, str, dict[str, str], list[str]]] = []
    section = fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        outside = not fence and not mark
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        heading = _ENTRY.match(line) if outside else None
        if heading:
            section = ""
            found.append((heading[1], heading[2].strip(), {}, []))
        elif not found:
            continue
        elif outside and (line.startswith(("# ", "## ", "### ")) or line.strip() == "---"):
            section = line.lstrip("#").strip().lower()
        elif section == "details":
            found[-1][3].append(line)
        elif not section and outside and (given := _FIELD.match(line)):
            found[-1][2][given[1]] = given[2].strip()
    if fence:
        skipped["what follows a code fence that is not closed"] += 1
    for entry_id, category, fields, details in found:
        yield _Entry(entry_id, category, fields, tuple(details))


def _turn(entry: _Entry) -> Turn:
    kind = entry.id.partition("-")[0]
    if kind in _OTHERS:
        raise _LeftOut(_OTHERS[kind])
    if entry.category.lower() != "correction":
        raise _LeftOut("a learning that is no correction")
    if entry.fields.get("Status") == "wont_fix":
        raise _LeftOut("a correction that was turned down")
    parts = _parts(entry.details)
    if parts.keys() != _LABELS.keys():
        raise _LeftOut("a correction that does not say what was asked, what was answered and what is correct")
    time = _moment(entry.fields.get("Logged", ""))
    asked = Interaction(conversation(parts["asked"]), parts["answered"], channel="learnings", user="", time=time)
    # The ids are numbered by day in each workspace, so the id alone would name entries of several.
    key = f"{entry.id}:{sha256_bytes(canonical_json(parts).encode())[:32]}"
    reaction = Reaction("correction", CORRECTION_VALUE, key, time, parts["correct"], user="", trust="anonymous")
    return Turn(asked, (reaction,), trust="anonymous")


def _parts(details: tuple[str, ...]) -> dict[str, str]:
    """The labelled parts of the Details; none where a label stands there twice."""
    parts: dict[str, list[str]] = {}
    part = fence = ""
    for line in details:
        mark = _FENCE.match(line)
        labelled = None if fence or mark else _LABELLED.fullmatch(line)
        if mark:
            fence = "" if fence else mark[1]
        if labelled and labelled[1].strip().lower() in _PART_OF:
            part = _PART_OF[labelled[1].strip().lower()]
            if part in parts:
                return {}
            parts[part] = [labelled[2]]
        elif part:
            parts[part].append(line)
    texts = {part: _unwrapped(inspect.cleandoc("\n".join(lines))) for part, lines in parts.items()}
    return {part: text for part, text in texts.items() if text}


def _unwrapped(text: str) -> str:
    """The text without the quotation marks, or the code fence, that holds all of it."""
    lines = text.splitlines()
    mark = _FENCE.match(text)
    if mark and len(lines) > 2 and lines[-1].strip() == mark[1]:
        return "\n".join(lines[1:-1]).strip()
    for opening, closing in ('""', "“”"):
        if len(text) > 2 and text[0] == opening and text[-1] == closing and text.count(closing) <= 2:
            return text[1:-1].strip()
    return text


def _moment(logged: str) -> datetime:
    try:
        time = datetime.fromisoformat(logged)
    except ValueError:
        return now()
    return time if time.tzinfo else time.replace(tzinfo=UTC)
