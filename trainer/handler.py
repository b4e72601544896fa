"""A local model behind the calls of a cloud client: `handler.chat.completions.create(messages=[...])`.

Covered: system, user and assistant texts, temperature, top_p, max_tokens, stop, seed, streaming. Not covered: tools,
images, several choices. Nothing leaves this process, and `model` in the answer is the name of what really answered.
A text that spells one of the tokenizer's control tokens is refused: the tokenizer would make it a real one.
"""

import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, overload

from strop.errors import BadTrainingFile, UsageError
from strop.trainer.decode import Answer, FinishReason, Sampling
from strop.trainer.render import Renderer

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_NO_LIMIT = 1 << 20  # for a family whose config names no context length
_HINT = 'create(messages=[{"role": "user", "content": "What is a strop?"}])'


class _Dumped:
    """What cloud clients put on each object they return."""

    __slots__ = ()

    def model_dump(self) -> dict[str, Any]:
        """The object as plain data."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # each subclass is a dataclass

    def model_dump_json(self) -> str:
        """The object as one line of JSON."""
        return json.dumps(self.model_dump(), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Message(_Dumped):
    """What the model said."""

    content: str
    role: Literal["assistant"] = "assistant"


@dataclass(frozen=True, slots=True)
class Choice(_Dumped):
    """The one answer."""

    message: Message
    finish_reason: FinishReason
    index: int = 0


@dataclass(frozen=True, slots=True)
class Usage(_Dumped):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class ChatCompletion(_Dumped):
    """A whole answer. `created` is in seconds since 1970, UTC."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


@dataclass(frozen=True, slots=True)
class Delta(_Dumped):
    """What a chunk adds to the answer."""

    content: str | None = None
    role: Literal["assistant"] | None = None


@dataclass(frozen=True, slots=True)
class ChunkChoice(_Dumped):
    """The one answer's part in a chunk; `finish_reason` stands in the last chunk alone."""

    delta: Delta
    finish_reason: FinishReason | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class ChatCompletionChunk(_Dumped):
    """A part of an answer. All chunks of one answer share `id` and `created`."""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


class Completions:
    """`handler.chat.completions`."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._name = name
        self._render = Renderer(tokenizer, datetime.now(UTC).astimezone().date())

    @overload
    def create(
        self,
        *,
        messages: Sequence[Mapping[str, Any]],
        model: str | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        max_tokens: int | None = ...,
        max_completion_tokens: int | None = ...,
        stop: str | Sequence[str] | None = ...,
        seed: int | None = ...,
        stream: Literal[False] = ...,
        **neutral: Any,
    ) -> ChatCompletion: ...

    @overload
    def create(
        self,
        *,
        messages: Sequence[Mapping[str, Any]],
        model: str | None = ...,
        temperature: float | None = ...,
        top_p: float | None = ...,
        max_tokens: int | None = ...,
        max_completion_tokens: int | None = ...,
        stop: str | Sequence[str] | None = ...,
        seed: int | None = ...,
        stream: Literal[True],
        **neutral: Any,
    ) -> Iterator[ChatCompletionChunk]: ...

    def create(
        self,
        *,
        messages: Sequence[Mapping[str, Any]],
        model: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        max_completion_tokens: int | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        stream: bool = False,
        **neutral: Any,
    ) -> ChatCompletion | Iterator[ChatCompletionChunk]:
        """Answer a conversation, whole or in chunks.

        `model` may be any name: one model answers here, and its own name is in the answer. Without `max_tokens` an
        answer may fill the model's context. What else a cloud client takes may be given where it changes nothing (`n`
        of 1, a `user`, penalties of 0). Raises UsageError at once for what cannot be answered, also with `stream`.
        """
        _check_neutral(neutral)
        prompt_ids = self._prompt(messages)
        answer = Answer(
            self._model,
            self._tokenizer,
            prompt_ids,
            self._room(len(prompt_ids), max_tokens if max_completion_tokens is None else max_completion_tokens),
            _sampling(temperature, top_p, seed),
            _stops(stop),
        )
        marks = _Marks(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self._name)
        return _chunks(answer, marks) if stream else _whole(answer, marks)

    def _prompt(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        if not messages or isinstance(messages, str | bytes | Mapping):
            raise UsageError("messages must be a list with at least one message", hint=_HINT)
        checked = [self._message(place, message) for place, message in enumerate(messages)]
        try:
            return self._render.prompt(checked)
        except BadTrainingFile as error:
            raise UsageError(str(error), hint=_HINT) from error

    def _message(self, place: int, message: Mapping[str, Any]) -> dict[str, str]:
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in _ROLES:
            raise UsageError(f"messages[{place}] has no known role", hint=f"role: one of {', '.join(_ROLES)}")
        text = _text(place, message.get("content"))
        control = self._render.control_text(text)
        if control:
            raise UsageError(
                f"messages[{place}] holds the control token {control!r}, which would become a real one",
                hint="spell it differently, for example with a space in it",
            )
        return {"role": _ROLES[role], "content": text}

    def _room(self, prompt_tokens: int, asked: int | None) -> int:
        """How many tokens the answer may have."""
        config = self._model.config.get_text_config()
        left = int(getattr(config, "max_position_embeddings", None) or _NO_LIMIT) - prompt_tokens
        if left < 1:
            raise UsageError(
                f"the conversation has {prompt_tokens} tokens, and this model reads {left + prompt_tokens}",
                hint="leave out the oldest messages",
            )
        if asked is not None and asked < 1:
            raise UsageError(f"max_tokens cannot be {asked}", hint="at least 1")
        return left if asked is None else min(asked, left)


@dataclass(frozen=True, slots=True)
class Chat:
    """`handler.chat`."""

    completions: Completions


class Handler:
    """A loaded model that is asked like a cloud client. `name` is what its answers say in `model`.

    Raises TrainerError where the model has no chat template.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.chat = Chat(Completions(model, tokenizer, name))


@dataclass(frozen=True, slots=True)
class _Marks:
    id: str
    created: int
    model: str


def _whole(answer: Answer, marks: _Marks) -> ChatCompletion:
    text = "".join(answer)
    read, written = len(answer.prompt_ids), answer.tokens
    choice = Choice(Message(text), answer.finish_reason)
    return ChatCompletion(marks.id, marks.created, marks.model, [choice], Usage(read, written, read + written))


def _chunks(answer: Answer, marks: _Marks) -> Iterator[ChatCompletionChunk]:
    def chunk(delta: Delta, reason: FinishReason | None = None) -> ChatCompletionChunk:
        return ChatCompletionChunk(marks.id, marks.created, marks.model, [ChunkChoice(delta, reason)])

    yield chunk(Delta("", "assistant"))
    for piece in answer:
        yield chunk(Delta(piece))
    yield chunk(Delta(), answer.finish_reason)


def _text(place: int, content: Any) -> str:
    """A message's text: a string, or a list of text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(p, Mapping) and isinstance(p.get("text"), str) for p in content):
        return "\n".join(part["text"] for part in content)
    raise UsageError(f"messages[{place}].content is not text", hint="a string, or parts of type text")


def _sampling(temperature: float | None, top_p: float | None, seed: int | None) -> Sampling:
    heat, share = 1.0 if temperature is None else float(temperature), 1.0 if top_p is None else float(top_p)
    if not (math.isfinite(heat) and heat >= 0):
        raise UsageError(f"temperature cannot be {temperature}", hint="0 for the likeliest answer, 1 as it was trained")
    if not 0 < share <= 1:
        raise UsageError(f"top_p cannot be {top_p}", hint="above 0 and at most 1")
    return Sampling(heat, share, seed)


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    stops = () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)
    if not all(isinstance(one, str) and one for one in stops):
        raise UsageError("stop holds an empty text or no text", hint='stop=["\\n\\n"]')
    return stops


# What a cloud client takes and what of it changes nothing here; None: whatever it is.
_NEUTRAL: Mapping[str, Any] = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "response_format": {"type": "text"},
    **dict.fromkeys(("user", "timeout", "metadata", "store", "stream_options", "extra_headers", "service_tier")),
}


def _check_neutral(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in _NEUTRAL:
            raise UsageError(f"{name} is not known here", hint="messages, max_tokens, temperature, top_p, stop, seed")
        if value is not None and _NEUTRAL[name] is not None and value != _NEUTRAL[name]:
            raise UsageError(f"{name} cannot be {value!r} here", hint=f"leave it out, or {_NEUTRAL[name]!r}")
