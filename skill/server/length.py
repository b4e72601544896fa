"""Whether a conversation fits into the context, asked before it is sent to a server that would cut it without a word.

llama-server refuses what is too long. Ollama drops earlier turns, and then the beginning of the prompt, the system
prompt with it, and answers what is left.

A token is a byte at least, so a request of fewer bytes than the context has tokens fits and is never counted.
Not covered: the tokens of images and sound, and an answer that grows out of the context.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from strop.errors import StropError
from strop.server.guard import Refused
from strop.server.refusals import too_long

_log = logging.getLogger(__name__)
# What a template may add of its own: roles, a system prompt where none is given, how tools are to be called.
FRAME_BYTES = 4096
_SET = "a longer num_ctx under [ollama] in strop.toml for the versions to come"


class Counts(Protocol):
    """How many tokens a conversation has (`strop.deploy.counting`)."""

    def count(self, messages: Any, tools: Any = None) -> int: ...

    def close(self) -> None: ...


class Length:
    """The context of one version's tag, and what counts by that version's template and vocabulary.

    `all_known`: the model knows no more, so that there is nothing to set.
    """

    def __init__(self, counter: Counts, context_tokens: int, all_known: bool = False) -> None:
        self._counter, self._context_tokens, self._all_known = counter, context_tokens, all_known

    async def check(self, body: Mapping[str, Any], size_bytes: int) -> None:
        """Raise Refused (400) where a request of so many bytes leaves no token for an answer.

        What cannot be counted is let through: the server may take it.
        """
        if size_bytes + FRAME_BYTES < self._context_tokens:
            return
        try:
            tokens = await asyncio.to_thread(self._counter.count, body["messages"], body.get("tools"))
        except (StropError, OSError, ValueError) as error:
            _log.warning("a long request is sent uncounted, so Ollama may cut it: %s", error)
            return
        if tokens >= self._context_tokens:
            said = too_long(tokens, self._context_tokens, None if self._all_known else _SET)
            raise Refused(400, "context_length_exceeded", said)

    async def close(self) -> None:
        """End what was started for it."""
        await asyncio.to_thread(self._counter.close)
