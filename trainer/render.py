"""Rows to token ids: what the model sees in training is what the server will send it, to the token.

Covered: the model's own chat template renders prompts and answers; the end-of-turn token is inside the loss; a text
that holds a control token of the tokenizer is refused, because the tokenizer would make it a real one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import BadTrainingFile, TrainerError

Messages = Sequence[Mapping[str, str]]

# How a teacher is told what a first answer lacked (`methods.hindsight`).
_HINT = '(A first answer to this was met with: "{}". Answer so that this need not be said.)'


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence: `prompt_ids` are context only, `completion_ids` (with the end of turn) are learned."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True)
class PairExample:
    """One preference: the same prompt, a chosen and a rejected completion."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens that a pass over the pair reads, the prompt counted for both sides."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True, slots=True)
class RatedExample:
    """One answer that was liked (`label`) or not."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    label: bool

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True)
class HintedExample:
    """One answer, the prompt to it, and the prompt as it reads with what the user said afterwards in view."""

    prompt_ids: tuple[int, ...]
    hinted_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens that a step over the row reads: once without what was said, once with it."""
        return len(self.prompt_ids) + len(self.hinted_ids) + 2 * len(self.completion_ids)


class Renderer:
    """Renders conversations with one tokenizer's template. Raises TrainerError where the template is unusable."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise TrainerError(
                "this model has no chat template", hint="choose an instruct model, or train on `text` rows"
            )
        self._tokenizer = tokenizer
        self.control_texts = _control_texts(tokenizer)
        self._end_id = int(tokenizer.eos_token_id)

    def control_text(self, text: str) -> str | None:
        """The first control token spelled out in `text`, or None."""
        return next((token for token in self.control_texts if token in text), None)

    def prompt(self, messages: Messages) -> tuple[int, ...]:
        """The ids of a conversation up to where the assistant's answer begins."""
        self._check(messages)
        return self._ids(messages, add_generation_prompt=True)

    def example(self, messages: Messages, answer: str) -> Example:
        """Prompt and answer; the answer ends with the end-of-turn token."""
        prompt_ids = self.prompt(messages)
        return Example(prompt_ids, self.completion(messages, prompt_ids, answer))

    def completion(self, messages: Messages, prompt_ids: tuple[int, ...], answer: str) -> tuple[int, ...]:
        """The ids of `answer` as the template puts it after `prompt_ids`, cut after the end of turn."""
        closing: dict[str, str] = {"role": "assistant", "content": answer}
        self._check([closing])
        whole = self._ids([*messages, closing], add_generation_prompt=False)
        if whole[: len(prompt_ids)] != prompt_ids:
            raise TrainerError("the chat template does not continue its own prompt", hint="report this model")
        rest = whole[len(prompt_ids) :]
        if self._end_id not in rest:
            raise TrainerError("the chat template ends an answer without the end-of-turn token", hint="report this")
        return rest[: rest.index(self._end_id) + 1]

    def hinted(self, messages: Messages, said: str) -> tuple[int, ...]:
        """The ids of the same conversation with what the user said about a first answer in view."""
        asked = messages[-1]
        return self.prompt([*messages[:-1], {**asked, "content": f"{asked['content']}\n\n{_HINT.format(said)}"}])

    def _ids(self, messages: Messages, *, add_generation_prompt: bool) -> tuple[int, ...]:
        text = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _check(self, messages: Messages) -> None:
        for message in messages:
            found = self.control_text(message["content"])
            if found:
                raise BadTrainingFile(
                    f"a {message['role']} text holds the control token {found!r}, which would become a real one",
                    hint="remove the row or spell the token differently",
                )


def text_example(tokenizer: Any, text: str) -> Example:
    """Plain text, learned whole, closed by the end-of-text token."""
    ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    return Example((), (*ids, int(tokenizer.eos_token_id)))


def control_texts(folder: Path) -> tuple[str, ...]:
    """What the tokenizer in `folder` makes control tokens of wherever it is spelled out; read from its JSON alone.

    Raises TrainerError where the file is missing or damaged.
    """
    file = folder / "tokenizer.json"
    try:
        added = json.loads(file.read_bytes())["added_tokens"]
        return tuple(sorted(str(token["content"]) for token in added if token["special"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"{file} cannot be read: {error}", hint="get the model again: strop init") from error


def _control_texts(tokenizer: Any) -> tuple[str, ...]:
    added = [str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted({*map(str, tokenizer.all_special_tokens), *added}))
