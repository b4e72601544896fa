"""A record with every text of it scrubbed: prompt, answer, tool calls and reactions alike.

A reaction comes later than its answer, in another process. For its placeholders to agree with the answer's, the ledger
keeps of every value that was replaced a print of 8 bits, keyed: enough to tell two addresses of one conversation apart
(255 times in 256), and too little to find out an address by trying.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from strop.feedback.records import Interaction, Message, Signal
from strop.feedback.scrub import Given, Scrubbed

# Gives the texts of one record back with what may not be stored replaced, going on from the placeholders given before.
Scrub = Callable[[Sequence[str], Given | None], Scrubbed]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An interaction that may be stored: scrubbed, and the prints of what its placeholders stand for."""

    interaction: Interaction
    prints: Mapping[str, int]


def scrubbed_interaction(interaction: Interaction, scrub: Scrub) -> tuple[Interaction, Mapping[str, str]]:
    """`interaction` as it may be stored (itself where nothing was replaced), and what its placeholders stand for."""
    texts = [*(message.content for message in interaction.messages), interaction.answer]
    texts += _strings(interaction.tool_calls)
    clean = scrub(texts, None)
    if list(clean.texts) == texts:
        return interaction, {}
    count = len(interaction.messages)
    messages = tuple(
        Message(message.role, text) for message, text in zip(interaction.messages, clean.texts[:count], strict=True)
    )
    calls = _with_strings(interaction.tool_calls, iter(clean.texts[count + 1 :]))
    return replace(interaction, messages=messages, answer=clean.texts[count], tool_calls=calls), clean.values


def scrubbed_text(text: str, scrub: Scrub, given: Callable[[], Given | None]) -> str:
    """A text about an answer, as it may be stored; `given` is asked only where there is something to replace."""
    clean = scrub([text], None)
    if not clean.values:
        return clean.texts[0]
    before = given()
    return clean.texts[0] if before is None else scrub([text], before).texts[0]


def scrubbed_signal(signal: Signal, scrub: Scrub, given: Callable[[str], Given | None]) -> Signal:
    """`signal` as it may be stored; `given` gives the placeholders of an answer, by its id."""
    if signal.text is None:
        return signal
    text = scrubbed_text(signal.text, scrub, lambda: given(signal.interaction_id))
    return signal if text == signal.text else replace(signal, text=text)


def value_print(key: bytes, kind: str, value: str) -> int:
    """The 8 bits that are kept of a value."""
    return hmac.digest(key, f"{kind}\0{value}".encode(errors="surrogatepass"), "sha256")[0]


def parts_of(placeholder: str) -> tuple[str, int]:
    """("EMAIL", 2) of <EMAIL_2>."""
    kind, _, number = placeholder.strip("<>").rpartition("_")
    return kind, int(number)


def given_before(prints: Mapping[str, int], key: bytes) -> Given | None:
    """What a later text goes on from, by the prints of an answer's placeholders; None where it has none."""
    if not prints:
        return None
    known: dict[tuple[str, int], str] = {}
    last: dict[str, int] = {}
    for placeholder, kept in prints.items():
        kind, number = parts_of(placeholder)
        known[kind, kept] = placeholder
        last[kind] = max(last.get(kind, 0), number)
    return Given(lambda kind, value: known.get((kind, value_print(key, kind, value))), last)


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
