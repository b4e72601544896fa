"""What every serving target can do, and what an answer from one looks like.

A target brings a version into a server (`publish`), points users at it (`activate`) and says where they are pointed
now (`active`). The live version is a row in `state.db`; whatever a target keeps, an alias for instance, is derived
from that row and repaired from it (`strop.deploy.release.repair`).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from strop.deploy.versions import Version

# One conversation: messages of {"role": "system"|"user"|"assistant", "content": text}, the last one from the user.
Conversation = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer.

    `tokens` counts what the model wrote; `finished` says that it ended by itself (end-of-turn token) and not at the
    limit; `load_s` is the time the server spent on loading the weights for this answer, in seconds.
    """

    text: str
    tokens: int
    finished: bool
    load_s: float = 0.0


class Generator(Protocol):
    """Answers conversations with one fixed version: greedy, in order, one answer each.

    Raises TargetDown or TargetError on a failure; an error is never an empty answer.
    """

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> Sequence[Generation]: ...


class Target(Protocol):
    """A server that versions are served from. Every method may raise TargetDown, TargetTooOld or TargetError."""

    @property
    def kind(self) -> str:
        """`"llamacpp"` or `"ollama"`."""
        ...

    def serve(self, version: Version) -> AbstractContextManager[Generator]:
        """Give a generator for exactly this version, live or not; whatever was started for it ends with the block."""
        ...

    def publish(self, version: Version) -> None:
        """Make the version ready to answer, without showing it to users. Safe to repeat, and cheap when repeated."""
        ...

    def activate(self, version: Version) -> None:
        """Point users at a published version; on return they get it. Safe to repeat."""
        ...

    def active(self) -> str | None:
        """The tag that users are pointed at.

        None where the target keeps no pointer of its own, or where its pointer is at no version of ours.
        """
        ...
