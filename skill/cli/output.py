"""What the command line prints, and where: data on stdout, everything else on stderr.

A terminal gets tables and colour (unless NO_COLOR is set); a pipe gets plain lines, never cut; --json gets one object
with `schema_version`. What a model or a person wrote is shown without its control characters: an answer must not be
able to recolour, retitle or rewrite the terminal.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from strop.errors import NothingToDo, StropError, UsageError
from strop.home import Home

SCHEMA_VERSION = 1
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

# Escape sequences (CSI, then OSC/DCS/APC/PM/SOS up to their end, then two-character ones), C0 but tab and newline, DEL,
# C1, what steers the direction of text, and lone surrogates, which cannot be encoded.
_UNSAFE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Session:
    """What the global options said; every command gets it as `ctx.obj`."""

    home: Home
    verbose: bool = False


def session(ctx: typer.Context) -> Session:
    """The Session of this call."""
    found = ctx.find_object(Session)
    if found is None:
        raise RuntimeError("a command ran without the global options")
    return found


def clean(text: str) -> str:
    """`text` without anything that steers a terminal; newlines and tabs stay."""
    return _UNSAFE.sub("", text)


def one_line(text: str, limit: int = 72) -> str:
    """`text` cleaned, on one line, cut at `limit` characters where it is longer."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def indented(text: str) -> str:
    """`text` cleaned and set off by two blanks, so that no line of it can pass for one of ours."""
    return "\n".join(f"  {line}" for line in clean(text).splitlines())


def say(text: str) -> None:
    """Print a line of data on stdout, cleaned."""
    typer.echo(clean(text))


def note(text: str) -> None:
    """Print a line for the person on stderr, cleaned."""
    typer.echo(clean(text), err=True)


def hint(text: str) -> None:
    """Print the next step on stderr: the exact command where there is one."""
    note(f"hint: {text}")


def show(data: Mapping[str, Any], *, as_json: bool, human: Callable[[], None]) -> None:
    """Print the result of a command: `data` as one JSON object, or what `human` prints."""
    if as_json:
        typer.echo(as_text(data))
    else:
        human()


def as_text(data: Mapping[str, Any]) -> str:
    """One JSON object with `schema_version` first; ASCII only, so that any terminal and any code page takes it."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **data}, indent=2, allow_nan=False, default=str)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, else tab-separated lines under one line of names."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (list(columns), *cells):
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def fail(error: StropError, *, as_json: bool) -> None:
    """Print an error that is meant for the person: two lines on stderr, or one object on stdout with --json."""
    if as_json:
        typer.echo(as_text({"error": {"code": error.code, "message": str(error), "hint": error.hint}}))
        return
    typer.echo(f"{_red('error:')} {clean(str(error))}", err=True)
    if error.hint:
        hint(error.hint)


def end(code: int) -> NoReturn:
    """Leave the command with this exit code."""
    raise typer.Exit(code)


def ask(question: str, *, yes: bool, command: str) -> None:
    """Go on when the person agrees, else raise NothingToDo.

    Without a terminal nobody is asked: raises UsageError naming `command`, which does not ask.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("this needs a yes, and nobody is at a terminal to give it", hint=command)
    if not typer.confirm(question, err=True):
        raise NothingToDo("nothing was changed", hint=command)


def _red(text: str) -> str:
    plain = os.environ.get("NO_COLOR") or not sys.stderr.isatty()
    return text if plain else typer.style(text, fg=typer.colors.RED, bold=True)
