"""A record with every text of it scrubbed: prompt, answer, tool calls and reactions alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from strop.feedback.records import Interaction, Message, Signal

# Gives each text of one record back, with what may not be stored replaced.
Scrub = Callable[[Sequence[str]], Sequence[str]]


def scrubbed_interaction(interaction: Interaction, scrub: Scrub) -> Interaction:
    """`interaction` as it may be stored; itself where there was nothing to replace."""
    texts = [*(message.content for message in interaction.messages), interaction.answer]
    texts += _strings(interaction.tool_calls)
    clean = scrub(texts)
    if list(clean) == texts:
        return interaction
    count = len(interaction.messages)
    messages = tuple(
        Message(message.role, text) for message, text in zip(interaction.messages, clean[:count], strict=True)
    )
    calls = _with_strings(interaction.tool_calls, iter(clean[count + 1 :]))
    return replace(interaction, messages=messages, answer=clean[count], tool_calls=calls)


def scrubbed_signal(signal: Signal, scrub: Scrub) -> Signal:
    """`signal` as it may be stored."""
    if signal.text is None:
        return signal
    (text,) = scrub([signal.text])
    return signal if text == signal.text else replace(signal, text=text)


def _strings(data: Any) -> list[str]:
    """Every string value in JSON data, in a fixed order (keys are names, not content)."""
    if isinstance(data, str):
        return [data]
    if isinstance(data, dict):
        return [text for value in data.values() for text in _strings(value)]
    if isinstance(data, list | tuple):
        return [text for value in data for text in _strings(value)]
    return []


def _with_strings(data: Any, texts: Iterator[str]) -> Any:
    """The same data with its strings taken from `texts`, in the order of `_strings`."""
    if isinstance(data, str):
        return next(texts)
    if isinstance(data, dict):
        return {key: _with_strings(value, texts) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_strings(value, texts) for value in data]
    return data
