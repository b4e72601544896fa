"""One probe: what a model is asked, and by what its answer is judged. Immutable, and plain enough to be hashed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

Messages = tuple[tuple[str, str], ...]  # (role, content), the last one from the user


@dataclass(frozen=True, slots=True)
class Probe:
    """A question by likelihood (`choices`, `answer` the index of the right one) or one that is answered (`grader`).

    `pressed` is a likelihood probe's second conversation, in which the user states a wrong opinion; a probe that was
    made of such a one (`lettered.py`) answers both. `grader` is a kind that `graders.py` knows and `expected` what it
    needs; a probe with neither choices nor grader is judged by its form alone. `ends`: an answer that is natural ends
    by itself within `max_tokens`, so one that does not is endless. `id` is unique over all suites; `cluster` names what
    the probe shares with others.
    """

    suite: str
    id: str
    cluster: str
    messages: Messages
    pressed: Messages = ()
    choices: tuple[str, ...] = ()
    answer: int = -1
    grader: str = ""
    expected: str = ""
    max_tokens: int = 0
    ends: bool = False

    @property
    def conversation(self) -> list[dict[str, str]]:
        return as_conversation(self.messages)

    @property
    def conversations(self) -> list[list[dict[str, str]]]:
        """All that the model is asked: `messages`, and `pressed` where there is one."""
        return [as_conversation(messages) for messages in (self.messages, self.pressed) if messages]


def as_conversation(messages: Messages) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


def asked(text: str) -> Messages:
    """One message of the user."""
    return (("user", text),)


def rows(name: str) -> list[Mapping[str, Any]]:
    """The lines of the shipped file `name`.jsonl."""
    text = (files(__package__ or "") / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]
