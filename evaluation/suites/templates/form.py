"""What a template is, and how its items are drawn: the same name and seed give the same rows, byte for byte."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

# Draws made for each item that is asked for; a template that keeps repeating itself has no more to give.
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with its right answer and the wrong ones; where the right one stands is drawn later."""

    prompt: str
    right: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graded:
    """A question for a written answer: `right` is one that the grader must accept, `wrong` one that it must refuse."""

    prompt: str
    grader: dict[str, Any]
    right: str
    wrong: str
    max_tokens: int = 24


Drawn = Choice | Graded
Draw = Callable[[Random], Drawn]


@dataclass(frozen=True, slots=True)
class Template:
    """A way to make items of one kind. `name` is the items' cluster, `suite` the skill that they count for."""

    name: str
    suite: str
    draw: Draw


class Topic:
    """The templates of one file, in the order in which they are written down."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.templates: list[Template] = []

    def template(self, name: str, suite: str | None = None) -> Callable[[Draw], Draw]:
        """Makes the function below it the template `name`."""

        def added(draw: Draw) -> Draw:
            self.templates.append(Template(name, suite or self.suite, draw))
            return draw

        return added

    def table(
        self, name: str, prompt: str, rows: Sequence[tuple[str, ...]], *, suite: str | None = None, wrong: int = 2
    ) -> None:
        """The template `name` from rows of (what goes into the prompt's `{}`, the right answer, wrong answers ..).

        A row without wrong answers borrows `wrong` of the other rows' right ones.
        """

        def draw(random: Random) -> Choice:
            what, right, *own = random.choice(rows)
            others = own or [row[1] for row in rows]
            return choice(random, prompt.format(what), right, others, wrong)

        self.template(name, suite)(draw)


def choice(random: Random, prompt: str, right: object, others: Sequence[object], wrong: int = 2) -> Choice:
    """A question with at most `wrong` of the `others` that are not the right answer."""
    left = [text for text in dict.fromkeys(map(str, others)) if text != str(right)]
    return Choice(prompt, str(right), tuple(random.sample(left, min(wrong, len(left)))))


def near(random: Random, number: int, steps: Sequence[int], wrong: int = 2) -> list[int]:
    """Different wrong numbers that lie the given steps from `number`, up or down, and are not negative."""
    found = {number + sign * step for step in steps for sign in (-1, 1) if step and number + sign * step >= 0}
    return random.sample(sorted(found), wrong)


def rows(template: Template, seed: int, count: int) -> list[dict[str, Any]]:
    """`count` items in the suite's own format, no prompt twice; fewer where the template has no more."""
    digest = hashlib.sha256(f"{template.name} {seed}".encode()).digest()
    random = Random(int.from_bytes(digest[:8], "big"))  # noqa: S311  (items, not secrets)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        drawn = template.draw(random)
        if drawn.prompt not in found:
            about = {"id": f"mk-{template.name}-{seed}-{len(found) + 1}", "suite": template.suite}
            found[drawn.prompt] = {**about, "cluster": template.name, **_body(drawn, random)}
    return list(found.values())


def _body(drawn: Drawn, random: Random) -> dict[str, Any]:
    if isinstance(drawn, Graded):
        return {"prompt": drawn.prompt, "grader": drawn.grader, "max_tokens": drawn.max_tokens}
    choices = list(drawn.wrong)
    answer = random.randrange(len(choices) + 1)
    choices.insert(answer, drawn.right)
    return {"prompt": drawn.prompt, "choices": choices, "answer": answer}
