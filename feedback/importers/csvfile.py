"""CSV: one answer a row, with what somebody said about it. Made by hand or by a spreadsheet.

    prompt,answer,rating,correction,note
    What is LoRA?,A radio protocol.,down,Small trainable matrices beside frozen weights.,the other LoRA

Read: UTF-8 with or without a byte order mark, separated by comma, semicolon or tab, whichever makes the first line
name known columns. An empty cell says nothing. Other names of the columns stand in `_ALIASES`, spellings of ratings in
`handmade.py`. A time without a zone is UTC; without a time, a row is as old as its import.

Covered: of a file with a bad row nothing is stored, and the error names line and column; rows that are known are
known, wherever they stand. Not covered: other encodings, files without a line of names.
"""

import contextlib
import csv
import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from strop.errors import BadRecord
from strop.feedback.importers.base import Batch, Turn
from strop.feedback.importers.handmade import Said, Scale, moment, plain, reactions, scale_of, unknown
from strop.feedback.importers.reading import head, whole
from strop.feedback.records import LIMIT_BYTES, Interaction, InteractionFields, conversation, now
from strop.files import sha256_bytes

_COLUMNS = (
    *("prompt", "answer", "rating", "correction", "note"),
    *("system", "user", "session", "turn", "domain", "model", "time", "source_key"),
)
_ALIASES = {
    **{"question": "prompt", "input": "prompt", "instruction": "prompt"},
    **{"response": "answer", "output": "answer", "completion": "answer"},
    **{"corrected": "correction", "expected": "correction", "edited": "correction"},
    **{"comment": "note", "id": "source_key"},
}
_NEEDED = ("prompt", "answer")
_DELIMITERS = (",", ";", "\t")
# csv holds the longest cell that it reads in one place for the whole process.
_LIMIT_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Table:
    """`columns`: the header as it was written, by the name that we use. `rows`: line number and cells by our names."""

    columns: Mapping[str, str]
    rows: list[tuple[int, dict[str, str]]]


class Csv:
    """Reads a CSV file. Reactions of `owners` train the model; a row without a user is the owner's."""

    name = "csv"

    def __init__(self, owners: Iterable[str] = ("owner",)) -> None:
        self._owners = frozenset(owners)

    def finds(self, path: Path) -> bool:
        """A .csv, .tsv or .txt file whose first line names a prompt and an answer."""
        if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
            return False
        first = head(path).decode(errors="replace").lstrip().partition("\n")[0]
        names = {_known(cell) for cell in _cells(first, _delimiter(first))}
        return names.issuperset(_NEEDED)

    def read(self, path: Path, cursors: Mapping[str, str]) -> Iterator[Batch]:
        """The whole file as one batch, or BadRecord naming line and column."""
        data = whole(path)
        table = _table(data)
        try:
            scale = scale_of(plain(cells.get("rating", "")) for _, cells in table.rows)
        except BadRecord as error:
            raise BadRecord(f"{error} (nothing of the file was stored)", hint=error.hint) from error
        today = now()
        turns = []
        for line, cells in table.rows:
            try:
                turns.append(_turn(cells, scale, self._owners, today))
            except BadRecord as error:
                raise _at(line, error, table.columns) from error
        yield Batch(str(path.resolve()), tuple(turns), sha256_bytes(data))


def _turn(cells: Mapping[str, str], scale: Scale, owners: frozenset[str], today: datetime) -> Turn:
    fields: InteractionFields = {"channel": "csv"}
    if "turn" in cells:
        if not cells["turn"].isdecimal():
            raise BadRecord(f"turn: {cells['turn'][:40]!r} is not a whole number from 0 up")
        fields["turn"] = int(cells["turn"])
    fields["time"] = moment(cells["time"]) if "time" in cells else today
    for name in ("model", "domain", "user", "session"):
        if name in cells:
            fields[name] = cells[name]
    asked = Interaction(
        conversation(cells.get("prompt", ""), cells.get("system", "")), cells.get("answer", ""), **fields
    )
    said = Said(
        rating=plain(cells.get("rating", "")),
        correction=cells.get("correction", ""),
        note=cells.get("note", ""),
        event=cells.get("source_key", ""),
    )
    return Turn(asked, reactions(asked, said, scale, owners))


def _at(line: int, error: BadRecord, columns: Mapping[str, str]) -> BadRecord:
    """The error with its line, and with the column's own name where the file calls it otherwise."""
    written = columns.get(str(error).partition(":")[0], "")
    column = f"column {written}: " if written and not str(error).startswith(f"{written}:") else ""
    hint = error.hint or "mend the row and import the file again"
    return BadRecord(f"line {line}: {column}{error} (nothing of the file was stored)", hint=hint)


def _table(data: bytes) -> _Table:
    """The file's rows that are not blank. Raises BadRecord naming the line that is wrong."""
    columns: dict[str, str] = {}
    rows = []
    _check_encoding(data)
    for line, cells in _rows(data):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            if not columns:
                columns = _columns(cells)
            elif len(cells) != len(columns):
                raise BadRecord(f"{len(cells)} cells, where the first line names {len(columns)} columns")
            else:
                rows.append((line, {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()}))
        except BadRecord as error:
            raise _at(line, error, {}) from error
    if not columns:
        raise BadRecord("the file is empty", hint=f"its first line names the columns, like {','.join(_COLUMNS[:5])}")
    return _Table(columns, rows)


def _check_encoding(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadRecord(
            f"line {line}: byte {error.start + 1} of the file is not UTF-8 (nothing of the file was stored)",
            hint="save the file as CSV UTF-8",
        ) from None


def _rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its first line."""
    # Not StringIO, which holds four bytes for each character of the file.
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    delimiter = _delimiter(next((line for line in text if line.strip()), ""))
    text.seek(0)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    with _long_cells():
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _at(line, BadRecord(str(error), hint="is a quotation mark left open there?"), {}) from None
            yield line, cells


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Cells up to the size of a record, which checks itself; csv alone stops at 128 KiB."""
    with _LIMIT_LOCK:
        before = csv.field_size_limit(2 * LIMIT_BYTES)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _columns(header: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for cell in header:
        name = _known(cell)
        if name not in _COLUMNS:
            raise unknown(cell.strip() or "a column without a name", (*_COLUMNS, *_ALIASES))
        if name in columns:
            raise BadRecord(f"{cell.strip()}: {name} stands there twice", hint="remove one of the columns")
        columns[name] = cell.strip()
    for name in _NEEDED:
        if name not in columns:
            raise BadRecord(f"{name}: there is no such column", hint=f"one column must be called {name}")
    return columns


def _known(cell: str) -> str:
    name = "_".join(cell.lower().split())
    return _ALIASES.get(name, name)


def _delimiter(first: str) -> str:
    """The one of , ; and tab that makes most known columns of the first line."""
    return max(_DELIMITERS, key=lambda sign: sum(_known(cell) in _COLUMNS for cell in _cells(first, sign)))


def _cells(first: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"') for cell in first.split(delimiter)]
