"""How much there is to train on: rows and tokens of a training file, counted without a model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from strop.trainer import rowfile
from strop.trainer.messages import Answer, texts
from strop.trainer.settings import TrainerSettings

# Where no tokenizer is at hand. English takes 4 to 5 characters a token, other languages fewer.
CHARACTERS_A_TOKEN = 4
# What a chat template puts around a message (ChatML: start, role, newline, end, newline).
AROUND_A_MESSAGE = 5

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Load:
    """Rows by kind as the plan counts them, and tokens: of one pass over all rows, of the longest row and of what is
    learned in it. `pair_tokens` is one pass over what was rejected, 0 where there are no pairs. `left_out` rows are
    longer than the recipe's longest.
    """

    counts: Mapping[str, int]
    rows: int
    tokens: int
    longest: int
    scored: int
    pair_tokens: int = 0
    left_out: int = 0
    counted: str = ""


def rough(text: str) -> int:
    """Tokens by length alone."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def counter(folder: Path | None) -> tuple[Count, str]:
    """(how to count, what that is called): by the model's own tokenizer where it is here, else by length."""
    path = folder / "tokenizer.json" if folder else None
    if path is None or not path.is_file():
        return rough, f"estimated at {CHARACTERS_A_TOKEN} characters a token"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return rough, f"estimated at {CHARACTERS_A_TOKEN} characters a token"
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), "counted by the model's tokenizer"


def under(settings: TrainerSettings, file: rowfile.RowFile, base: Path | None) -> Load:
    """The load of a training file under these settings, counted by the tokenizer in the base's folder where it is."""
    count, counted = counter(base)
    return of_file(
        file,
        settings.max_length,
        settings.rejected_tokens,
        count,
        counted,
        generations=settings.generations,
        answer_tokens=settings.answer_tokens,
    )


def of_file(
    file: rowfile.RowFile,
    max_length: int,
    rejected_tokens: int,
    count: Count,
    counted: str = "",
    *,
    generations: int = 1,
    answer_tokens: int = 0,
) -> Load:
    """The load of a training file when rows longer than `max_length` are left out, as training does.

    A task is answered `generations` times, with `answer_tokens` at most.
    """
    rows = [_row(row, count, rejected_tokens, answer_tokens) for row in file.rows]
    passes = generations if file.kind == "task" else 1
    kept = [row for row in rows if row[0] + max(row[1], row[2]) <= max_length]
    return Load(
        counts=rowfile.counts(file),
        rows=len(kept),
        tokens=passes * sum(prompt + answer for prompt, answer, _ in kept),
        longest=max((prompt + max(answer, rejected) for prompt, answer, rejected in kept), default=0),
        scored=max((max(answer, rejected) for _, answer, rejected in kept), default=0),
        pair_tokens=sum(prompt + rejected for prompt, _, rejected in kept if rejected),
        left_out=len(rows) - len(kept),
        counted=counted,
    )


def _row(row: rowfile.Row, count: Count, rejected_tokens: int, answer_tokens: int) -> tuple[int, int, int]:
    """(prompt, answer, rejected) in tokens."""
    if row.answer is None and not row.check:
        return 0, count(row.text), 0
    prompt = sum(count(_all(message)) + AROUND_A_MESSAGE for message in row.messages)
    prompt += count(json.dumps(row.request.tools)) if row.request.tools else 0
    rejected = min(count(_all(row.rejected)), rejected_tokens) if row.rejected else 0
    if row.answer is None:
        return prompt, answer_tokens, 0
    return prompt, count(_all(row.answer)) + AROUND_A_MESSAGE, rejected


def _all(message: Answer) -> str:
    return "\n".join(texts(message))
