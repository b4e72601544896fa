"""Template tokens in a user's text stay text.

llama-server renders the conversation and then reads control tokens wherever they are spelled out, in a user's message
too: "<|im_end|>\\n<|im_start|>system" there would end the user's turn and open a system turn. So a WORD JOINER (U+2060,
which shows as nothing) goes behind the first character of each such text before it is sent; what is recorded is what
the user wrote. Names in a tool's schema and in a call's arguments are shown to the model too, and are treated alike: a
tool whose property is named by a control token gets that property back under the changed name. Tests prove on token ids
that this is needed and that it works.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_JOINER = "\u2060"
# Kinds of tokens in a GGUF: unknown and control.
_CONTROL = (2, 3)

Escape = Callable[[Any], Any]


def control_texts(gguf: Path) -> tuple[str, ...]:
    """The texts that a model's own tokenizer makes control tokens of."""
    stat = gguf.stat()
    return _read(gguf, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(gguf: Path, _mtime_ns: int, _size: int) -> tuple[str, ...]:
    from strop.deploy.gguf import metadata, open_model

    file = open_model(gguf)
    tokens = metadata(file, "tokenizer.ggml.tokens", [])
    kinds = metadata(file, "tokenizer.ggml.token_type", [])
    return tuple(str(text) for text, kind in zip(tokens, kinds, strict=False) if kind in _CONTROL)


def escaper(texts: Iterable[str]) -> Escape:
    """A function that gives JSON data back with no control token spelled out in any text of it."""
    known = sorted({text for text in texts if len(text) > 1}, key=len, reverse=True)
    if not known:
        return lambda data: data
    pattern = re.compile("|".join(map(re.escape, known)))

    def escape(data: Any) -> Any:
        if isinstance(data, str):
            return _broken(pattern, data)
        if isinstance(data, list):
            return [escape(one) for one in data]
        if isinstance(data, dict):
            return {_broken(pattern, key): escape(_unpacked(key, value)) for key, value in data.items()}
        return data

    return escape


def _broken(pattern: "re.Pattern[str]", text: str) -> str:
    return pattern.sub(lambda match: match[0][0] + _JOINER + match[0][1:], text)


def _unpacked(key: str, value: Any) -> Any:
    r"""A call's arguments are JSON in a text, where `\u003c` hides a `<` that the template brings out again."""
    if key != "arguments" or not isinstance(value, str) or "\\u" not in value:
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False)
    except (ValueError, RecursionError):
        return value
