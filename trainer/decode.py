"""Ids to text, token by token: what a handler streams, and what it returns whole, is the same text by construction.

Covered: greedy choice and seeded sampling that leave torch's global state alone, stop texts that a token boundary may
cut anywhere, characters whose bytes come in several tokens. Not covered: batches, beams.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length"]
_SEEDS = 1 << 63
_UNFINISHED = "\ufffd"  # what a decoder shows for the first bytes of a character


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is the likeliest one; `seed` None is a new draw each time."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(slots=True)
class Answer:
    """An answer on its way: iterate over it for the pieces of its text, then read how it ended.

    `tokens` counts what was generated, the end of turn included; `finish_reason` is "length" until a stop is met.
    """

    model: Any
    tokenizer: Any
    prompt_ids: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    tokens: int = 0
    finish_reason: FinishReason = "length"

    def __iter__(self) -> Iterator[str]:
        ids: list[int] = []
        given, text = 0, ""
        for token in self._ids():
            ids.append(token)
            text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            stopped = _first_stop(text, self.stop, given)
            if stopped is not None:
                self.finish_reason = "stop"
                text = text[:stopped]
                break
            safe = _safe_length(text, self.stop)
            if safe > given:
                yield text[given:safe]
                given = safe
        if len(text) > given:
            yield text[given:]

    def _ids(self) -> Iterator[int]:
        """The generated ids up to the end of turn, which is counted and not given."""
        import torch

        ends = end_ids(self.model, self.tokenizer)
        device = next(self.model.parameters()).device
        draw = torch.Generator(device="cpu")
        if self.sampling.seed is None:
            draw.seed()
        else:
            draw.manual_seed(self.sampling.seed % _SEEDS)
        ids, cache = torch.tensor([list(self.prompt_ids)], device=device), None
        while self.tokens < self.max_tokens:
            with torch.no_grad():  # not inference_mode: what a model keeps of this pass may be trained on later
                out = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token, cache = _choose(out.logits[0, -1].float().cpu(), self.sampling, draw), out.past_key_values
            self.tokens += 1
            if token in ends:
                self.finish_reason = "stop"
                return
            yield token
            ids = torch.tensor([[token]], device=device)


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The ids that end an answer: the tokenizer's end of turn, and what the generation config names beside it."""
    named = getattr(model.generation_config, "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    return frozenset(int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _choose(logits: Any, sampling: Sampling, draw: Any) -> int:
    """One id from the logits of one position, (vocabulary,) in float32."""
    import torch

    if sampling.temperature == 0:
        return int(logits.argmax())
    shares, order = (logits / sampling.temperature).softmax(dim=-1).sort(descending=True)
    # Nucleus sampling (Holtzman et al. 2020): the fewest tokens whose shares reach `top_p`, the first of them always.
    shares[1:][shares.cumsum(dim=-1)[:-1] >= sampling.top_p] = 0.0
    return int(order[torch.multinomial(shares, 1, generator=draw)])


def _first_stop(text: str, stop: Sequence[str], given: int) -> int | None:
    """Where the earliest stop text begins in what was not given away yet."""
    found = [place for one in stop if (place := text.find(one, given)) >= 0]
    return min(found, default=None)


def _safe_length(text: str, stop: Sequence[str]) -> int:
    """How much of `text` later tokens cannot change: no unfinished character, no beginning of a stop text."""
    whole = text.rstrip(_UNFINISHED)
    begun = [length for one in stop for length in range(1, len(one)) if whole.endswith(one[:length])]
    return len(whole) - max(begun, default=0)
