"""What serving a model takes of memory: how much context each answer gets, and whether two versions fit side by side.

`strop serve` decides by these functions, and `strop plan` and `strop doctor` say what they will decide. llama-server
sets the keys and values of its whole context aside as it starts, as many tokens as there are slots times the context of
one, so that an answer is never cut short by its neighbours.

Covered: attention as Llama, Qwen and Gemma have it; where some layers look at a window only, as Gemma's do, the figure
is too large and never too small.
"""

from dataclasses import dataclass

from strop.trainer.memory import cache_token_bytes, served_bytes
from strop.trainer.shape import Shape

# As many as Ollama's tags are pinned to (ollama.num_ctx).
USUAL_TOKENS = 16_384
# Below this a conversation does not fit; rather than serve with less, llama-server is left to say that it cannot start.
LEAST_TOKENS = 2_048
_STEP_TOKENS = 256
# Of the free memory; the rest stays for what else the machine does.
_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Served:
    """A model as a server holds it: weights with buffers, keys and values of one token, and the context it knows."""

    weights_bytes: int
    token_bytes: int
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person set, and what there is: `running` servers of ours that hold their memory already."""

    slots: int = 4
    context_tokens: int | None = None
    running: int = 0
    by_ollama: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """One server: the context of each of its slots, the memory that it takes, and why so much context.

    `all_known`: the model itself knows no more, so that a longer context would be none.
    """

    context_tokens: int
    slots: int
    needs_bytes: int
    reason: str
    all_known: bool = False


def of_shape(shape: Shape) -> Served:
    """A model in Q8_0 that is no file yet."""
    return Served(served_bytes(shape, 0), cache_token_bytes(shape), shape.context_tokens)


def serving(model: Served, asked: Asked, room_bytes: int) -> Serving:
    """The server that `room_bytes` of free memory hold: what is set, else the usual context or the model's limit.

    Where memory does not hold that for every slot, it is as much as it holds, and `LEAST_TOKENS` at least.
    """
    each = f"for each of {asked.slots} answers at a time"
    wanted = min(USUAL_TOKENS, model.limit_tokens or USUAL_TOKENS)
    if asked.context_tokens is not None:
        tokens, reason = asked.context_tokens, f"{asked.context_tokens:,} tokens {each}, as set"
    elif (held := _held_tokens(model, asked.slots, room_bytes)) < wanted:
        tokens = max(held, min(LEAST_TOKENS, wanted))
        reason = f"{tokens:,} tokens {each}: {_size(room_bytes)} of free memory do not hold the usual {wanted:,}"
    else:
        tokens = wanted
        reason = f"{tokens:,} tokens {each}" + (", all that the model knows" if wanted < USUAL_TOKENS else "")
    needs_bytes = model.weights_bytes + tokens * asked.slots * model.token_bytes
    return Serving(tokens, asked.slots, needs_bytes, reason, all_known(model, tokens))


def all_known(model: Served, context_tokens: int) -> bool:
    """Whether so much context is all that the model knows; False where that is not said."""
    return model.limit_tokens is not None and context_tokens >= model.limit_tokens


def hold(servers: int, needs_bytes: int, room_bytes: int) -> bool:
    """Whether free memory holds so many more servers of this size."""
    return servers * needs_bytes <= _SHARE * room_bytes


def side_by_side(one: Serving, asked: Asked, room_bytes: int) -> tuple[bool, str]:
    """Whether a version stays warm beside the next one through its probation, for a rollback in no time; and why."""
    more = max(0, 2 - asked.running)
    both = hold(more, one.needs_bytes, room_bytes)
    what = f"{'two models' if more == 2 else 'one more model'} with {asked.slots} x {one.context_tokens:,} tokens"
    then = "the version before stays warm" if both else "requests wait while the next version takes over"
    return both, f"{what} of context take {_size(more * one.needs_bytes)} of {_size(room_bytes)} of memory: {then}"


def _held_tokens(model: Served, slots: int, room_bytes: int) -> int:
    """The context of one slot that fits beside the weights, in whole steps."""
    left = _SHARE * room_bytes - model.weights_bytes
    if model.token_bytes <= 0:
        return USUAL_TOKENS if left > 0 else 0
    return max(0, int(left // (slots * model.token_bytes)) // _STEP_TOKENS * _STEP_TOKENS)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
