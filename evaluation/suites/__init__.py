"""Skill suites that ship with Strop: original items, from a JSONL file and from templates. Loaded, checked, frozen.

All items were written for Strop and are under its licence, Apache-2.0. One item a line, of one of two shapes;
`cluster` names the template that it came from.

    {"id", "suite", "cluster", "prompt", "choices": [two or more], "answer": index}     by likelihood
    {"id", "suite", "cluster", "prompt", "grader": {"kind": ..}, "max_tokens": n}       by a graded answer

The suite "saying" asks open questions that an answer must say something to: it passes where it names one of the things
to name, in whatever form, within 40 tokens. A model that learned to be brief without a meaning ("Rain falls for many
reasons.") loses half of them, where choices by likelihood saw nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar

from strop.errors import BadSuite
from strop.evaluation import graders
from strop.evaluation.suites import templates

_TEXTS = ("id", "suite", "cluster", "prompt")
_CHOICE_KEYS = {*_TEXTS, "choices", "answer"}
_GRADED_KEYS = {*_TEXTS, "grader", "max_tokens"}
MAX_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class SuiteItem:
    """One question: either `choices` with the index of the right one, or a `grader` and `max_tokens`."""

    id: str
    suite: str
    cluster: str
    prompt: str
    choices: tuple[str, ...] = ()
    answer: int = -1
    grader: dict[str, Any] = field(default_factory=dict)
    max_tokens: int = 0

    @property
    def conversation(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}]


def load(name: str = "everyday", *, seed: int = 0, per_template: int = 9) -> tuple[SuiteItem, ...]:
    """The shipped suite `name`: the items of its file in order, then `per_template` made by each template.

    Seed 0 is what ships; another one renews the made items under the same clusters, with other ids. A template that
    has fewer items gives what it has. Raises BadSuite for an unknown name or a bad item.
    """
    folder = files(__name__)
    shipped = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".jsonl"))
    if name not in shipped:
        raise BadSuite(f"no suite {name!r} ships with Strop", hint=f"the suites are: {', '.join(shipped)}")
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    made = [json.dumps(row, ensure_ascii=False) for row in templates.made_rows(seed, per_template)]
    return parse([*lines, *made], source=f"suite {name!r}")


class Clustered(Protocol):
    """Anything that says which template it came from."""

    @property
    def cluster(self) -> str: ...


Item = TypeVar("Item", bound=Clustered)


def within(items: Sequence[Item], budget: int | None) -> tuple[Item, ...]:
    """At most `budget` of these items, the same ones every time; all of them where it is None.

    Every template gives one item, then every template another, until the budget is spent; in the order given.
    """
    if budget is None or len(items) <= budget:
        return tuple(items)
    turns: Counter[str] = Counter()
    order = []
    for place, item in enumerate(items):
        order.append((turns[item.cluster], place))
        turns[item.cluster] += 1
    return tuple(items[place] for place in sorted(place for _, place in sorted(order)[:budget]))


def load_file(path: Path) -> tuple[SuiteItem, ...]:
    """A suite of your own, in the same format. Raises BadSuite where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSuite(f"{path}: cannot be read ({error})", hint="give a UTF-8 file with one item a line") from error
    return parse(text.split("\n"), source=str(path))


def parse(lines: Iterable[str], *, source: str) -> tuple[SuiteItem, ...]:
    """Items from JSONL lines; blank lines are skipped. Raises BadSuite naming `source`, the line and the fault."""
    items: list[SuiteItem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = _item(json.loads(line))
            if item.id in seen:
                raise BadSuite(f"id {item.id!r} is already on line {seen[item.id]}")
        except (json.JSONDecodeError, RecursionError, BadSuite) as error:
            raise BadSuite(f"{source}, line {number}: {error}", hint="correct that line and run again") from error
        seen[item.id] = number
        items.append(item)
    if not items:
        raise BadSuite(f"{source} holds no items", hint="an empty suite decides nothing; give it at least one item")
    return tuple(items)


def _item(row: Any) -> SuiteItem:
    if not isinstance(row, dict):
        raise BadSuite("expected one JSON object")
    expected = _CHOICE_KEYS if "choices" in row else _GRADED_KEYS
    if set(row) != expected:
        names = ", ".join(f"{name!r}" for name in sorted(set(row) ^ expected))
        raise BadSuite(f"missing or unknown keys: {names}")
    for name in _TEXTS:
        if not isinstance(row[name], str) or not row[name].strip():
            raise BadSuite(f"{name!r} must be a text that is not blank")
    texts: dict[str, Any] = {name: row[name] for name in _TEXTS}
    return _choice_item(texts, row) if "choices" in row else _graded_item(texts, row)


def _choice_item(texts: dict[str, Any], row: dict[str, Any]) -> SuiteItem:
    choices, answer = row["choices"], row["answer"]
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise BadSuite("'choices' must be a list of at least two texts that are not blank")
    if len(set(choices)) < len(choices):
        raise BadSuite("'choices' holds the same text twice")
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise BadSuite(f"'answer' must be an index into 'choices', 0 to {len(choices) - 1}")
    return SuiteItem(**texts, choices=tuple(choices), answer=answer)


def _graded_item(texts: dict[str, Any], row: dict[str, Any]) -> SuiteItem:
    if not isinstance(row["grader"], dict):
        raise BadSuite("'grader' must be an object")
    graders.check(row["grader"])
    try:
        passes = graders.grade(row["grader"], row["prompt"])
    except Exception as error:  # as for every answer then
        raise BadSuite(f"the grader cannot be applied to the prompt ({type(error).__name__}: {error})") from error
    if passes:
        raise BadSuite("the prompt itself would pass the grader: an answer that repeats it would too")
    if type(row["max_tokens"]) is not int or not 0 < row["max_tokens"] <= MAX_TOKENS:
        raise BadSuite(f"'max_tokens' must be a whole number from 1 to {MAX_TOKENS}")
    return SuiteItem(**texts, grader=row["grader"], max_tokens=row["max_tokens"])
