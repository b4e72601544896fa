"""What the gate needs from a model: a structural protocol, so that a target never has to import this package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# One conversation: messages of {"role": "system"|"user"|"assistant", "content": text}, the last one from the user.
Conversation = Sequence[Mapping[str, str]]


class Generation(Protocol):
    """One answer: its text, its length in tokens, and whether the model ended it by itself (end-of-turn token)."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def finished(self) -> bool: ...


class Generator(Protocol):
    """Answers conversations as a user would get them: greedy, in order, one answer each.

    Raises on a failure; an error is never an empty answer.
    """

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> Sequence[Generation]: ...


class Scorer(Protocol):
    """Reads likelihoods from the weights that are served.

    `score` takes (conversation, candidate answers) and gives, for each answer, the natural-log probability of its
    tokens including the end of turn, and how many tokens those are.
    """

    def score(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> Sequence[Sequence["Scored"]]: ...


class Scored(Protocol):
    """`logprob` in nats, summed over `tokens` tokens of one given answer."""

    @property
    def logprob(self) -> float: ...
    @property
    def tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Score:
    """A `Scored` for models that have no class of their own for it."""

    logprob: float
    tokens: int


class Model(Generator, Scorer, Protocol):
    """Both, for one served build."""
