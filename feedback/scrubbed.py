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


def _strings(data: Any, key: str = "") -> list[str]:
    """Every text in JSON data that may hold something, in a fixed order: keys, and values behind their key.

    A password says that it is one by its key. A long number is a text as well: a card, a phone.
    """
    if isinstance(data, dict):
        return [text for name, value in data.items() for text in (name, *_strings(value, name))]
    if isinstance(data, list | tuple):
        return [text for value in data for text in _strings(value, key)]
    if isinstance(data, str) or _long(data):
        return [f"{key}{_IS}{data}" if key else str(data)]
    return []


def _with_strings(data: Any, texts: Iterator[str], key: str = "") -> Any:
    """The same data with its texts taken from `texts`, in the order of `_strings`."""
    if isinstance(data, dict):
        return {next(texts): _with_strings(value, texts, name) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_strings(value, texts, key) for value in data]
    if isinstance(data, str) or _long(data):
        text = next(texts)
        named = f"{key}{_IS}" if key else ""
        clean = text.removeprefix(named) if text.startswith(named) else text
        return data if clean == str(data) else clean
    return data


def _long(data: Any) -> bool:
    return isinstance(data, int) and not isinstance(data, bool) and abs(data) >= _LONG


_IS = ": "
_LONG = 10**6
