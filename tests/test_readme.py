"""What README.md and SKILL.md tell people to type exists: every `strop` command with its options, every make target."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from strop.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "SKILL.md")
PROGRAMS = {"strop", ".venv/bin/strop"}
OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}
PLACEHOLDERS = {"…", "..."}

_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_MAKE_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command as a document shows it: the program's path and what follows."""

    document: str
    text: str
    program: str
    arguments: tuple[str, ...]


def _code_lines(text: str) -> Iterator[str]:
    """Lines of fenced blocks, continuation lines joined, then code spans of the running text."""
    for block in _FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from _INLINE.findall(_FENCE.sub("", text))


def _tokens(line: str) -> list[str]:
    """Shell words of a line without its prompt, its comment and the brackets around what is optional."""
    plain = re.sub(r"^\s*(?:\$|>|PS>)\s+", "", line)
    plain = re.sub(r"\[(--?[^\]]+)\]", r"\1", plain)
    return [token for token in shlex.split(plain, comments=True) if token not in PLACEHOLDERS]


def _segments(tokens: list[str]) -> Iterator[list[str]]:
    """The single commands of a pipeline or list, without leading `NAME=value` and `export`."""
    segment: list[str] = []
    for token in [*tokens, ";"]:
        if token in OPERATORS:
            yield segment
            segment = []
        elif segment or not re.match(r"[A-Z_]+=", token):
            segment.append(token)


def commands(document: str, text: str, programs: set[str]) -> Iterator[Command]:
    """Every call of one of `programs` in the code of a Markdown text."""
    for line in _code_lines(text):
        if not any(f"{program} " in line for program in programs):
            continue
        try:
            tokens = _tokens(line)
        except ValueError:  # an unbalanced quote: the output of a program, or a command that a shell would refuse
            assert not any(line.lstrip("$ ").startswith(f"{program} ") for program in programs), f"{document}: {line}"
            continue
        for segment in _segments(tokens):
            if segment and segment[0] in programs:
                yield Command(document, line.strip(), segment[0], tuple(segment[1:]))


def problem(group: Any, arguments: tuple[str, ...]) -> str | None:
    """What the command line would refuse in `arguments`: a command, an option or one word too many; None if nothing."""
    command, words, path = group, 0, "strop"
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        if re.match(r"--?[A-Za-z]", token):
            name, _, value = token.partition("=")
            if name in ("--help", "-h"):
                continue
            option = _option(command, name)
            if option is None:
                return f"`{path}` has no option {name}"
            if not option.is_flag and not value and rest:
                rest.pop(0)
        elif hasattr(command, "commands"):
            if token not in command.commands:
                return f"`{path}` has no command {token}"
            command, path = command.commands[token], f"{path} {token}"
        else:
            words += 1
    allowed = [parameter.nargs for parameter in command.params if parameter.param_type_name == "argument"]
    if -1 not in allowed and words > sum(allowed):
        return f"`{path}` takes {sum(allowed)} words, not {words}"
    return None


def _option(command: Any, name: str) -> Any:
    return next(
        (parameter for parameter in command.params if name in (*parameter.opts, *parameter.secondary_opts)), None
    )


def leaves(command: Any, path: str) -> Iterator[str]:
    """The full names of all commands that are not hidden."""
    if command.hidden:
        return
    if not hasattr(command, "commands"):
        yield path
        return
    for name, child in command.commands.items():
        yield from leaves(child, f"{path} {name}")


@pytest.fixture(scope="module")
def program() -> Any:
    """The command line as Click commands."""
    return typer.main.get_command(app)


def _read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_documented_command_exists_with_its_options(document: str, program: Any) -> None:
    found = list(commands(document, _read(document), PROGRAMS))
    assert len(found) >= 5, "the search for commands finds next to nothing"
    wrong = [f"{command.text}: {said}" for command in found if (said := problem(program, command.arguments))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_documented_make_target_exists(document: str) -> None:
    targets = set(_MAKE_TARGET.findall(_read("Makefile")))
    words = [word for command in commands(document, _read(document), {"make"}) for word in command.arguments]
    wanted = {word for word in words if "=" not in word and not word.startswith("-")}
    assert wanted <= targets
    assert document != "README.md" or {"demo", "test"} <= wanted


def test_every_command_is_in_the_readme(program: Any) -> None:
    text = _read("README.md")
    assert [name for name in leaves(program, "strop") if name not in text] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_within_the_repository_lead_somewhere(document: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)", _FENCE.sub("", _read(document)))
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("strop nosuch", "no command nosuch"),
        ("strop feedback nosuch", "no command nosuch"),
        ("strop feedback add --prompt x --nosuch y", "no option --nosuch"),
        ("strop doctor one two three", "takes"),
    ],
)
def test_a_wrong_command_would_be_found(line: str, said: str, program: Any) -> None:
    (command,) = commands("a document", f"```bash\n$ STROP_HOME=x {line} | cat\n```\n", PROGRAMS)
    assert said in (problem(program, command.arguments) or "")
