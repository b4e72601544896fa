"""A base with or without an adapter, as suites ask it: greedy answers and likelihoods, on the device that is here.

The adapter is read beside the base, in the base's precision: what was learned, before a build merges and quantises it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from strop.trainer.decode import end_ids
from strop.trainer.measure import answer_logprobs
from strop.trainer.render import Example, Renderer
from strop.trainer.train import load_base

Conversation = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Written:
    """One answer: its text, its length in tokens, and whether the model ended it by itself."""

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Likely:
    """`logprob` in nats over the `tokens` of one given answer, its end of turn among them."""

    logprob: float
    tokens: int


class Answering:
    """A loaded model that answers and scores, as `strop.evaluation.model.Model` asks for.

    `batch` conversations are answered at a time.
    """

    def __init__(self, model: Any, tokenizer: Any, batch: int = 8) -> None:
        self._model, self._tokenizer, self._batch = model.eval(), tokenizer, batch
        self._render = Renderer(tokenizer)
        self._ends = end_ids(model, tokenizer)

    @classmethod
    def load(cls, base: Path, adapter: Path | None, precision: str, batch: int = 8) -> Self:
        """The base in `base`, with the adapter in front where there is one; both are safetensors, read from here."""
        model, tokenizer = load_base(base, precision)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False)
        return cls(model, tokenizer, batch)

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Written]:
        """One greedy answer each, in order; prompts of similar length are answered together."""
        prompts = [self._render.prompt(conversation) for conversation in conversations]
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        found: dict[int, Written] = {}
        for start in range(0, len(order), self._batch):
            part = order[start : start + self._batch]
            written = self._written([prompts[number] for number in part], max_tokens)
            found.update({number: self._read(ids) for number, ids in zip(part, written, strict=True)})
        return [found[number] for number in range(len(prompts))]

    def score(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[Likely]]:
        """For each conversation the log-probability of each of its answers, in nats."""
        examples: list[Example] = []
        for conversation, answers in items:
            prompt = self._render.prompt(conversation)
            examples += [Example(prompt, self._render.completion(conversation, prompt, text)) for text in answers]
        pairs = zip(answer_logprobs(self._model, examples), examples, strict=True)
        scores = iter([Likely(logprob, len(example.completion_ids)) for logprob, example in pairs])
        return [[next(scores) for _ in answers] for _, answers in items]

    def _written(self, prompts: Sequence[tuple[int, ...]], max_tokens: int) -> list[list[int]]:
        """The ids after each prompt; the prompts are padded on the left to (rows, longest)."""
        import torch

        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), int(self._tokenizer.pad_token_id))
        mask = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        where = next(self._model.parameters()).device
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode():
            out = self._model.generate(
                input_ids=ids.to(where),
                attention_mask=mask.to(where),
                max_new_tokens=max_tokens,
                eos_token_id=sorted(self._ends),
                pad_token_id=int(self._tokenizer.pad_token_id),
                **greedy,
            )
        return [row.tolist() for row in out[:, width:].cpu()]

    def _read(self, ids: Sequence[int]) -> Written:
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        # The row files refuse a NUL, which a model may well write.
        return Written(text.replace("\0", "").strip(), len(ids[:end]), end is not None)
