"""Likelihoods read from the very weights that are served: the GGUF itself, dequantised into transformers.

The candidate answers of one conversation share one pass over its prompt: they stand behind each other in one row, each
sees the prompt and itself (a block mask), and each counts its positions from the prompt's end. The numbers are those
of separate passes; the work is a third.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.deploy.targets.base import Conversation
from strop.deploy.weights import load_into
from strop.trainer.render import Renderer

_BATCH_TOKENS = 3072


@dataclass(frozen=True, slots=True)
class Likelihood:
    """`logprob` in nats over the `tokens` of one given answer, its end of turn among them."""

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class _Packed:
    """One conversation: its place in the input, its prompt's ids and its answers' ids."""

    index: int
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


class GgufScorer:
    """Scores given answers with the weights of one GGUF file. Holds the model in memory until it is dropped."""

    def __init__(self, gguf: Path, base_folder: Path, precision: str = "fp32") -> None:
        from transformers import AutoTokenizer

        self._model = load_into(gguf, base_folder, "bfloat16" if precision == "bf16" else "float32")
        self._render = Renderer(AutoTokenizer.from_pretrained(base_folder, local_files_only=True))

    def score(
        self,
        items: Sequence[tuple[Conversation, Sequence[str]]],
        on_item: Callable[[int, int], None] | None = None,
    ) -> list[list[Likelihood]]:
        """For each (conversation, answers) the likelihood of each answer, in order. Raises as `Renderer` does."""
        packed = []
        for index, (conversation, answers) in enumerate(items):
            prompt = self._render.prompt(conversation)
            packed.append(
                _Packed(index, prompt, tuple(self._render.completion(conversation, prompt, text) for text in answers))
            )
        scores: list[list[Likelihood]] = [[] for _ in items]
        done = 0
        for batch in _batches(packed):
            for row, found in zip(batch, self._pass(batch), strict=True):
                scores[row.index] = found
            done += len(batch)
            if on_item:
                on_item(done, len(items))
        return scores

    def _pass(self, batch: Sequence[_Packed]) -> list[list[Likelihood]]:
        import torch

        width = max(row.length for row in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        positions = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.eye(width, dtype=torch.bool).repeat(len(batch), 1, 1)
        for number, row in enumerate(batch):
            _lay_out(row, ids[number], positions[number], mask[number])
        with torch.inference_mode():
            hidden = self._model.model(
                input_ids=ids, position_ids=positions, attention_mask=mask[:, None], use_cache=False
            ).last_hidden_state
            return [self._read(row, hidden[number]) for number, row in enumerate(batch)]

    def _read(self, row: _Packed, hidden: Any) -> list[Likelihood]:
        """`hidden` is (width, size). An answer's first token is predicted at the prompt's last position."""
        import torch

        scores, start = [], len(row.prompt)
        for answer in row.answers:
            where = torch.tensor([len(row.prompt) - 1, *range(start, start + len(answer) - 1)])
            logprobs = self._model.lm_head(hidden[where]).float().log_softmax(dim=-1)
            total = logprobs.gather(1, torch.tensor(answer)[:, None]).sum()
            scores.append(Likelihood(float(total), len(answer)))
            start += len(answer)
        return scores


def _lay_out(row: _Packed, ids: Any, positions: Any, mask: Any) -> None:
    """Fill one row: `ids` and `positions` are (width,), `mask` is (width, width) and True where a query may look."""
    import torch

    prompt = len(row.prompt)
    ids[:prompt] = torch.tensor(row.prompt)
    positions[:prompt] = torch.arange(prompt)
    mask[:prompt, :prompt] = torch.ones(prompt, prompt, dtype=torch.bool).tril()
    start = prompt
    for answer in row.answers:
        end = start + len(answer)
        ids[start:end] = torch.tensor(answer)
        positions[start:end] = torch.arange(prompt, prompt + len(answer))
        mask[start:end, :prompt] = True
        mask[start:end, start:end] = torch.ones(len(answer), len(answer), dtype=torch.bool).tril()
        start = end


def _batches(packed: Sequence[_Packed]) -> Iterator[list[_Packed]]:
    """Rows of similar length together, at most `_BATCH_TOKENS` padded tokens a batch (or one row)."""
    batch: list[_Packed] = []
    for row in sorted(packed, key=lambda row: row.length):
        if batch and row.length * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
