"""How an answer ended, as far as that speaks for or against its version: by itself, cut off, or stuck in a loop.

An answer that our own limit cuts, or the end of the context, looks as if it would never have ended. Where the client
set the limit and the answer ran into just that, it may be what the client asked for: it counts as endless only where it
repeats itself, and else is compared with how often the version before was cut under such a limit (`probation`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strop.evaluation.probes import degenerate
from strop.server.sending import named_limit
from strop.server.stream import Answer

# An answer that a shorter limit cuts is what the client asked for, and no sign of a model that cannot end.
ENDLESS_FROM_TOKENS = 512
# A loop shows in the end of an answer; so much of it is looked at, within milliseconds.
_LOOKED_AT_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class Ending:
    """`limit_tokens`: the client's own limit, down to a power of two, where it is long enough to say something."""

    endless: bool = False
    limit_tokens: int | None = None
    cut: bool = False


def ending(request: Mapping[str, Any], answer: Answer) -> Ending:
    """How it ended, by what was written and not by what was allowed."""
    if request.get("ignore_eos") or request.get("logit_bias"):  # the client wants no end, or may not
        return Ending()
    cut = answer.finish == "length" and answer.tokens >= ENDLESS_FROM_TOKENS
    own = named_limit(request)
    limit = None if own is None or own < ENDLESS_FROM_TOKENS else 1 << (own.bit_length() - 1)
    if own is None or not cut or answer.tokens < own:  # cut by our limit, or where the context is full
        return Ending(cut, limit)
    return Ending(loops(answer), limit, True)


def loops(answer: Answer) -> bool:
    """Whether it is stuck in a loop at its end: in its words, its thoughts, or a call's arguments."""
    calls = [str(call.get("function", {}).get("arguments", "")) for call in answer.calls.values()]
    for text in (answer.said, "".join(answer.thoughts), *calls):
        end = text[len(text) // 2 :][-_LOOKED_AT_CHARS:]
        if end.strip() and degenerate(end) is not None:
            return True
    return False
