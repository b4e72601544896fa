"""Rows to token ids: what the model sees in training is what the server will send it, to the token.

Covered: the model's own chat template renders prompts and answers, with tools, calls and thinking, given to it as
llama-server gives them; the end-of-turn token is inside the loss. Refused: a text that holds a control token of the
tokenizer, because the tokenizer would make it a real one; what the template would leave out without a word.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from strop.errors import BadTrainingFile, TrainerError
from strop.trainer.messages import HINT, PLAIN, Answer, Message, Request, strings, texts

Messages = Sequence[Mapping[str, Any]]

# The server says its own day, which no training can know; with one that stays, equal rows are equal ids.
A_DAY = date(2026, 1, 31)


# A thinking block that an answer begins with, and one that a prompt has opened.
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
_OPENED = re.compile(r"<think>\s*\Z")


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


@dataclass(frozen=True, slots=True)
class TaskExample:
    """One task: the prompt, and what an answer of at most `answer_tokens` is scored by."""

    prompt_ids: tuple[int, ...]
    check: str
    expected: Any
    answer_tokens: int

    @property
    def tokens(self) -> int:
        """The most tokens that the prompt and one answer take."""
        return len(self.prompt_ids) + self.answer_tokens


class Renderer:
    """Renders conversations with one tokenizer's template. Raises TrainerError where the template is unusable."""

    def __init__(self, tokenizer: Any, today: date = A_DAY) -> None:
        """`today` is what a template that names the date is told; in training the same day for ever."""
        if not tokenizer.chat_template:
            raise TrainerError(
                "this model has no chat template", hint="choose an instruct model, or train on `text` rows"
            )
        self._tokenizer = tokenizer
        self._today = today.strftime("%d %b %Y")
        self.control_texts = _control_texts(tokenizer)
        self._end_id = int(tokenizer.eos_token_id)

    def control_text(self, text: str) -> str | None:
        """The first control token spelled out in `text`, or None."""
        return next((token for token in self.control_texts if token in text), None)

    def prompt(self, messages: Messages, request: Request = PLAIN) -> tuple[int, ...]:
        """The ids of a conversation up to where the assistant's answer begins."""
        self._check(messages, request)
        text = self._text(messages, request, opened=True)
        self._demand_shown(text, messages, request)
        return self._ids(text)

    def example(self, messages: Messages, answer: Answer, request: Request = PLAIN) -> Example:
        """Prompt and answer; the answer ends with the end-of-turn token."""
        prompt_ids = self.prompt(messages, request)
        return Example(prompt_ids, self.completion(messages, prompt_ids, answer, request))

    def completion(
        self, messages: Messages, prompt_ids: tuple[int, ...], answer: Answer, request: Request = PLAIN
    ) -> tuple[int, ...]:
        """The ids of `answer` as the template puts it after `prompt_ids`, cut after the end of turn."""
        closing = _closing(answer)
        self._check([closing])
        prompt = self._text(messages, request, opened=True)
        rest = self._rest(prompt, messages, closing, request)
        as_given: Message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
        if closing.get("reasoning_content", "").strip() not in rest and "reasoning_content" not in as_given:
            # No thinking in this template: what stands in the answer is text like any other.
            closing = as_given
            rest = self._rest(prompt, messages, closing, request)
        self._demand_said(rest, messages, closing, request)
        ids = self._following(prompt_ids, prompt, rest)
        if self._end_id not in ids:
            raise TrainerError("the chat template ends an answer without the end-of-turn token", hint="report this")
        return ids[: ids.index(self._end_id) + 1]

    def hinted(self, messages: Messages, said: str, request: Request = PLAIN) -> tuple[int, ...]:
        """The ids of the same conversation with what the user said about a first answer in view."""
        asking = [place for place, message in enumerate(messages) if message["role"] == "user"]
        if not asking:
            raise BadTrainingFile("the prompt holds no message by the user", hint="hindsight needs what was asked")
        last = asking[-1]
        asked = {**messages[last], "content": f"{messages[last]['content']}\n\n{HINT.format(said)}"}
        return self.prompt([*messages[:last], asked, *messages[last + 1 :]], request)

    def _rest(self, prompt: str, messages: Messages, closing: Message, request: Request) -> str:
        """What the template writes of `closing` after `prompt`, and whatever comes behind it."""
        whole = self._text([*messages, closing], request)
        if whole.startswith(prompt):
            return whole[len(prompt) :]
        opened = _OPENED.search(prompt)
        if opened is None or not whole.startswith(prompt[: opened.start()]):
            raise TrainerError("the chat template does not continue its own prompt", hint="report this model")
        # The template opens a thinking block for the answer to come and shows a given answer without it.
        rest = whole[opened.start() :]
        if rest.startswith("<think>"):
            return rest.removeprefix("<think>")
        return f"{closing.get('reasoning_content', '').strip()}\n</think>\n\n{rest}"

    def _following(self, prompt_ids: tuple[int, ...], prompt: str, rest: str) -> tuple[int, ...]:
        """The ids of `rest` after `prompt_ids`, which end where the server's prompt ends."""
        whole = self._ids(prompt + rest)
        if whole[: len(prompt_ids)] == prompt_ids:
            return whole[len(prompt_ids) :]
        # One token would reach over the border (two line ends, the first of them the prompt's).
        ids = self._ids(rest)
        if self._tokenizer.decode([*prompt_ids, *ids]) != self._tokenizer.decode(whole):
            raise TrainerError("the chat template does not continue its own prompt", hint="report this model")
        return ids

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _text(self, messages: Messages, request: Request, *, opened: bool = False) -> str:
        """The text of a conversation; `opened`: up to where an answer begins. Raises BadTrainingFile."""
        from jinja2 import TemplateError

        first: Exception | None = None
        for way in _ways(messages):
            try:
                text = self._tokenizer.apply_chat_template(
                    way,
                    tools=list(request.tools) or None,
                    tokenize=False,
                    add_generation_prompt=opened,
                    enable_thinking=request.enable_thinking,
                    date_string=self._today,
                )
                return str(text)
            except (TemplateError, TypeError) as error:
                first = first or error
        raise BadTrainingFile(
            f"this model's chat template refuses the conversation: {first}", hint="change the row or the model"
        ) from first

    def _demand_shown(self, text: str, messages: Messages, request: Request) -> None:
        """Raise BadTrainingFile where tools or what they did make no difference to the prompt."""
        calls = any(message.get("tool_calls") for message in messages)
        results = [message for message in messages if message["role"] != "tool"]
        if request.tools and self._same(text, messages, replace(request, tools=()), opened=True):
            raise _left_out("tools")
        if calls and self._same(text, _without_calls(messages), request, opened=True):
            raise _left_out("tool calls")
        if results and len(results) < len(messages) and self._same(text, results, request, opened=True):
            raise _left_out("tool results")

    def _demand_said(self, rest: str, messages: Messages, closing: Message, request: Request) -> None:
        """Raise BadTrainingFile where a part of the answer is not in what would be learned."""
        if closing.get("reasoning_content", "").strip() not in rest:
            raise _left_out("thinking")
        if closing["content"].strip() not in rest:
            raise _left_out("whole of an answer")
        if "tool_calls" in closing:
            whole = self._text([*messages, closing], request)
            if self._same(whole, [*messages, *_without_calls([closing])], request, opened=False):
                raise _left_out("tool calls")

    def _same(self, text: str, messages: Messages, request: Request, *, opened: bool) -> bool:
        try:
            return self._text(messages, request, opened=opened) == text
        except BadTrainingFile:
            return False

    def _check(self, messages: Messages, request: Request = PLAIN) -> None:
        said = [(message["role"], text) for message in messages for text in texts(message)]
        for where, text in (*said, *(("tool's", text) for text in strings(request.tools))):
            found = self.control_text(text)
            if found:
                raise BadTrainingFile(
                    f"a {where} text holds the control token {found!r}, which would become a real one",
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


def _closing(answer: Answer) -> Message:
    """An answer as a message, with the thinking apart from the text."""
    closing = {"role": "assistant", "content": answer} if isinstance(answer, str) else dict(answer)
    thought = _THOUGHT.match(closing["content"])
    if thought and "reasoning_content" not in closing:
        thinking = {"reasoning_content": thought[1]} if thought[1].strip() else {}
        closing |= {"content": closing["content"][thought.end() :], **thinking}
    return closing


def _ways(messages: Messages) -> list[list[Message]]:
    """The forms in which llama-server gives a conversation to a template, the likeliest first."""
    ways = [[_with_objects(message) for message in messages]]
    if any("tool_calls" in message for message in messages):
        ways.append([dict(message) for message in messages])  # DeepSeek's want arguments as text
    if len(messages) > 1 and (messages[0]["role"], messages[1]["role"]) == ("system", "user"):
        # Gemma's have no place for a system prompt.
        asked = {**messages[1], "content": f"{messages[0]['content']}\n{messages[1]['content']}"}
        ways += [[asked, *way[2:]] for way in ways]
    return ways


def _with_objects(message: Mapping[str, Any]) -> Message:
    if "tool_calls" not in message:
        return dict(message)
    calls = [
        {**call, "function": {**call["function"], "arguments": _arguments(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _arguments(text: str) -> Any:
    """Arguments as llama.cpp shows them: 21.0 is 21 there."""

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() and abs(value) < 1_000_000 else value

    return json.loads(text, parse_float=number)


def _without_calls(messages: Messages) -> list[Message]:
    return [{name: value for name, value in message.items() if name != "tool_calls"} for message in messages]


def _left_out(what: str) -> BadTrainingFile:
    return BadTrainingFile(
        f"this model's chat template does not show the {what}", hint="choose a model that does, or change the row"
    )
