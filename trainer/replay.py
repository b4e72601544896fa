"""The base's own answers to general prompts: what a model is reminded of, and what its forgetting is measured on.

They are made once for each base, greedily, and kept. The first of the prompts only measure: how far the trained model
has moved from the base where nobody asked it to (Kullback-Leibler divergence, in nats a token). The others may train,
as answers to copy. Replay guards skills, but it also pulls a taste that holds everywhere back to where it was: with
forty corrections for short answers, as many of the base's long ones took the held-out rate from 55 % to 30 %. So how
much of it there is follows from what the feedback is about (`plan.choose_replay`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from strop.files import canonical_json, sha256_bytes, write_bytes
from strop.trainer.decode import end_ids
from strop.trainer.measure import exact
from strop.trainer.recipe import Manner
from strop.trainer.render import Example, Renderer

# So many prompts are never trained on: they measure.
MEASURING = 16
_ANSWER_TOKENS = 64
_BATCH = 8
# What the base is told when its answers are to be in the manner that the feedback asks for.
_ASKED: dict[Manner, str] = {
    "": "",
    "shorter": "Answer in one short sentence.",
    "longer": "Answer in detail, with reasons and examples.",
}


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How far the model has moved from its base: `kl` is the mean divergence from base to model, in nats a token."""

    kl: float
    prompts: int
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


class Replay:
    """The answers of one base, kept in `folder` under the hash of what they follow from."""

    def __init__(self, model: Any, tokenizer: Any, folder: Path, base: str) -> None:
        """`model` is a PEFT model on the base; `base` names the base and how it lies in memory."""
        self._model, self._tokenizer, self._folder, self._base = model, tokenizer, folder, base
        self._render = Renderer(tokenizer)

    def to_train(self, rows: int, manner: Manner) -> list[Example]:
        """At most so many answers, in the wanted manner, as examples to copy: the prompt says nothing of the manner."""
        return self._answers(general()[MEASURING:], manner)[:rows]

    def forgetting(self) -> Forgetting:
        """The divergence of the model as it stands from its base, on the base's answers to the measuring prompts."""
        examples = self._answers(general()[:MEASURING], "")
        with exact(self._model):
            divergences = [value for part in _parts(examples) for value in self._divergences(part)]
        return Forgetting(sum(divergences) / len(divergences), len(examples), len(divergences))

    def _answers(self, prompts: Sequence[str], manner: Manner) -> list[Example]:
        asked = [[{"role": "user", "content": prompt}] for prompt in prompts]
        told = [[{"role": "system", "content": _ASKED[manner]}, *one] for one in asked] if manner else asked
        plain = [self._render.prompt(one) for one in asked]
        prompts_ids = [self._render.prompt(one) for one in told]
        content = canonical_json([self._base, prompts_ids, _ANSWER_TOKENS])
        file = self._folder / f"{sha256_bytes(content.encode())[:16]}.json"
        try:
            kept = json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            kept = None
        if kept is None or kept["of"] != sha256_bytes(content.encode()):
            answers = [ids for part in _parts(prompts_ids) for ids in self._generated(part)]
            kept = {"of": sha256_bytes(content.encode()), "answers": answers}
            write_bytes(file, json.dumps(kept).encode())
        return [Example(prompt, tuple(answer)) for prompt, answer in zip(plain, kept["answers"], strict=True) if answer]

    def _generated(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The base's likeliest answer to each prompt, its end of turn included; cut after so many tokens."""
        import torch

        ends = end_ids(self._model, self._tokenizer)
        width = max(map(len, prompts))
        where = next(self._model.parameters()).device
        ids = torch.tensor([[*[0] * (width - len(one)), *one] for one in prompts], device=where)
        mask = torch.tensor([[*[0] * (width - len(one)), *[1] * len(one)] for one in prompts], device=where)
        found: list[list[int]] = [[] for _ in prompts]
        open_ = set(range(len(prompts)))
        cache: Any = None
        self._model.eval()
        with self._model.disable_adapter(), torch.inference_mode():
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
            for _ in range(_ANSWER_TOKENS):
                out = self._model(
                    input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
                    logits_to_keep=1,
                )  # fmt: skip
                ids, cache = out.logits[:, -1:].argmax(dim=-1), out.past_key_values
                for row, (token,) in enumerate(ids.tolist()):
                    if row in open_:
                        found[row].append(token)
                        open_ -= {row} if token in ends else set()
                if not open_:
                    break
                mask = torch.cat((mask, torch.ones_like(ids)), dim=1)
                positions = positions[:, -1:] + 1
        return found

    def _divergences(self, examples: Sequence[Example]) -> Iterator[float]:
        """One value a token of the answers."""
        import torch

        rows = [torch.tensor([*one.prompt_ids, *one.completion_ids]) for one in examples]
        where = next(self._model.parameters()).device
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(where)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(where)
        self._model.eval()
        with torch.inference_mode():
            now = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            with self._model.disable_adapter():
                base = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            for number, one in enumerate(examples):
                scored = slice(len(one.prompt_ids) - 1, one.tokens - 1)
                was, is_ = (logits[number, scored].float().log_softmax(dim=-1) for logits in (base, now))
                divergence = torch.nn.functional.kl_div(is_, was, log_target=True, reduction="none").sum(dim=-1)
                yield from divergence.cpu().tolist()


def general() -> list[str]:
    """The general prompts, ours, in their fixed order."""
    return (files("strop.trainer") / "general.txt").read_text(encoding="utf-8").splitlines()


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
