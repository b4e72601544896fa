"""How much there is to train on: rows and tokens of a training file, counted without a model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from strop.trainer import rowfile
from strop.trainer.messages import HINT, Answer, texts
from strop.trainer.models import chat_template
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
        folder=base,
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
    folder: Path | None = None,
) -> Load:
    """The load of a training file when rows longer than `max_length` are left out, as training does.

    A task is answered `generations` times, with `answer_tokens` at most.
    """
    unspoken = _unspoken(folder, count) if folder else 0
    sizes = [_size(row, count, rejected_tokens, answer_tokens, unspoken) for row in file.rows]
    passes = generations if file.kind == "task" else 1
    kept = [size for size in sizes if size.longest <= max_length]
    return Load(
        counts=rowfile.counts(file),
        rows=len(kept),
        tokens=passes * sum(size.prompt + size.answer + size.taught for size in kept),
        longest=max((size.longest for size in kept), default=0),
        scored=max((max(size.answer, size.rejected) for size in kept), default=0),
        pair_tokens=sum(size.prompt + size.rejected for size in kept if size.rejected),
        left_out=len(sizes) - len(kept),
        counted=counted,
    )


class _Size(NamedTuple):
    """One row in tokens. `taught` is what a teacher reads beside the student: the prompt with what was said, and the
    answer; 0 where there is none.
    """

    prompt: int
    answer: int
    rejected: int = 0
    taught: int = 0

    @property
    def longest(self) -> int:
        return max(self.prompt + max(self.answer, self.rejected), self.taught)


def _size(row: rowfile.Row, count: Count, rejected_tokens: int, answer_tokens: int, unspoken: int) -> _Size:
    if row.answer is None and not row.check:
        return _Size(0, count(row.text))
    prompt = sum(count(_all(message)) + AROUND_A_MESSAGE for message in row.messages)
    prompt += 0 if any(message.get("role") == "system" for message in row.messages) else unspoken
    prompt += count(json.dumps(row.request.tools)) if row.request.tools else 0
    if row.answer is None:
        return _Size(prompt, answer_tokens)
    answer = count(_all(row.answer)) + AROUND_A_MESSAGE
    rejected = min(count(_all(row.rejected)), rejected_tokens) if row.rejected else 0
    taught = prompt + count(HINT.format(row.feedback)) + answer if row.feedback else 0
    return _Size(prompt, answer, rejected, taught)


def _unspoken(folder: Path, count: Count) -> int:
    """The tokens that the chat template says in front of a conversation without a system message.

    0 where the template needs more than plain Jinja: an estimate is not worth a model library.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    said = "x"
    try:
        template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            chat_template(folder)
        )
        text = template.render(messages=[{"role": "user", "content": said}], add_generation_prompt=True)
    except (TemplateError, TypeError, ValueError, OSError):
        return 0
    return max(0, count(text) - count(said) - 2 * AROUND_A_MESSAGE) if said in text else 0


def _all(message: Answer) -> str:
    return "\n".join(texts(message))
