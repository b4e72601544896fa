"""The loss on rows that were held out of training."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.trainer.head import is_a_projection
from strop.trainer.render import Example, HintedExample, PairExample, RatedExample, TaskExample

_BATCH = 8
AnyExample = Example | PairExample | RatedExample | HintedExample | TaskExample


@dataclass(frozen=True, slots=True)
class Held:
    """`loss` is the mean negative log-likelihood of an answer's token, in nats, over `tokens` tokens of `rows` rows."""

    rows: int
    tokens: int
    loss: float


def peak_bytes() -> int:
    """The most memory that this process has held, or its accelerator where that is where the model is."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":
        # ru_maxrss starts at what the process held that started this one: exec keeps it.
        held = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if held:
            return int(held[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def hold_loss(model: Any, examples: Sequence[AnyExample]) -> Held | None:
    """The model's loss on the wanted answers; None where nothing was held out.

    Of a pair that is the chosen one, of rated answers those that were liked; hindsight rows and tasks have none.

    On a processor it is measured in float32, whatever was trained in: bfloat16 rounds a small adapter's effect away
    (SmolLM2 after one step: 1.95 in bfloat16, 1.59 in float32 and in the served file).
    """
    import torch

    wanted = [answer for answer in map(_answer, examples) if answer is not None]
    if not wanted:
        return None
    rows = sorted(wanted, key=lambda row: row.tokens)
    total, tokens = 0.0, 0
    model.eval()
    with exact(model), torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            for nll, count in _batch(model, rows[start : start + _BATCH]):
                total, tokens = total + nll, tokens + count
    return Held(len(rows), tokens, total / tokens)


@contextmanager
def exact(model: Any) -> Iterator[None]:
    """The weights in float32 inside the block, and back afterwards without loss.

    As they are on an accelerator, and where there is no room.
    """
    import torch

    dtype = next(model.parameters()).dtype
    quantised = getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)
    on_cpu = next(model.parameters()).device.type == "cpu"
    if dtype == torch.float32 or quantised or not on_cpu or not _room_in_float32(model):
        yield
        return
    model.float()
    try:
        yield
    finally:
        model.to(dtype)


def _room_in_float32(model: Any) -> bool:
    """Whether the weights may take twice the memory: a measurement must not cost the run that it is about."""
    import psutil

    more = sum(parameter.numel() * 2 for parameter in model.parameters())
    return bool(psutil.virtual_memory().available > 1.5 * more)


def answer_logprobs(model: Any, answers: Sequence[Example]) -> list[float]:
    """The log-probability that the model as it stands gives to each answer, in nats; the longest are read together."""
    import torch

    order = sorted(range(len(answers)), key=lambda number: answers[number].tokens)
    found = [0.0] * len(answers)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            for number, (nll, _) in zip(part, _batch(model, [answers[one] for one in part]), strict=True):
                found[number] = -nll
    model.train(was_training)
    return found


def _answer(example: AnyExample) -> Example | None:
    if isinstance(example, PairExample):
        return Example(example.prompt_ids, example.chosen_ids)
    if isinstance(example, RatedExample):
        return Example(example.prompt_ids, example.completion_ids) if example.label else None
    return None if isinstance(example, HintedExample | TaskExample) else example


def _batch(model: Any, rows: Sequence[Example]) -> list[tuple[float, int]]:
    """(summed negative log-likelihood, tokens) of each row's answer; rows are right-padded to (rows, longest)."""
    import torch

    width = max(row.tokens for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    scored = torch.zeros(len(rows), width, dtype=torch.bool)  # the positions whose next token is one of the answer's
    for number, row in enumerate(rows):
        ids[number, : row.tokens] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        mask[number, : row.tokens] = 1
        scored[number, max(len(row.prompt_ids), 1) - 1 : row.tokens - 1] = True
    counts = scored.sum(dim=1).tolist()
    where = next(model.parameters()).device
    ids, scored = ids.to(where), scored.to(where)
    logits = scored_logits(model, ids, mask.to(where), scored)
    labels = ids[:, 1:][scored[:, :-1]]
    nll = -logits.log_softmax(dim=-1).gather(1, labels[:, None]).squeeze(1)
    return [(float(part.sum()), len(part)) for part in nll.split(counts)]


def scored_logits(model: Any, ids: Any, mask: Any, scored: Any) -> Any:
    """(scored positions, vocabulary) in float32, where the model's own logits would be; the head sees no other one.

    `ids`, `mask` and `scored` are (rows, length).
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not is_a_projection(causal):
        return causal(input_ids=ids, attention_mask=mask, use_cache=False).logits[scored].float()
    hidden = causal.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return causal.get_output_embeddings()(hidden[scored]).float()
