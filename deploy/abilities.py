"""What a model can be shown beside plain text, read from its own file: tools, earlier tool calls, images and sound.

Known by what the chat template does and not by its wording: a conversation with a made-up tool is rendered, and the
tool's name is looked for in the prompt. Where a template has no place for tools, llama-server leaves them out without
a word, and so does Ollama with images that a model has no eyes for.

Not covered: whether the model was trained to use what it is shown. A template that cannot be rendered here (it calls
a function of another program) is taken at its word: it shows tools where it speaks of them.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strop.deploy.targets.ollama_template import rendered
from strop.errors import BadGguf

_NAME = "strop_made_up_tool"
_SCHEMA = {"type": "object", "properties": {"place": {"type": "string", "description": "A place."}}}
_TOOLS = [{"type": "function", "function": {"name": _NAME, "description": "Looks.", "parameters": _SCHEMA}}]
_SYSTEM = {"role": "system", "content": "Be brief."}
_USER = {"role": "user", "content": "What is there?"}
# Where llama-server finds the template for conversations with tools, in files that have one of its own for them.
_TEMPLATES = ("tokenizer.chat_template", "tokenizer.chat_template.tool_use")
_EYES, _EARS = ".vision.block_count", ".audio.block_count"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What reaches the model: tools that are offered, tool calls of earlier turns, images, sound."""

    tools: bool
    tool_calls: bool
    images: bool
    sound: bool


def abilities(gguf: Path) -> Abilities:
    """Those of a GGUF. Raises BadGguf for what is none."""
    stat = gguf.stat()
    return _read(gguf, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(gguf: Path, _mtime_ns: int, _size: int) -> Abilities:
    from strop.deploy.gguf import metadata, open_model

    file = open_model(gguf)
    found = [metadata(file, key) for key in _TEMPLATES]
    templates = [jinja for jinja in found if isinstance(jinja, str)]
    return Abilities(
        any(map(shows_tools, templates)),
        any(map(shows_calls, templates)),
        _any_key(file.fields, _EYES),
        _any_key(file.fields, _EARS),
    )


def through(able: Abilities, gguf: Path, template: str) -> Abilities:
    """What is left of them on a server that renders conversations by `template`: the file's own, or a Go template."""
    from strop.deploy.gguf import metadata, open_model

    if template.strip() == str(metadata(open_model(gguf), _TEMPLATES[0], "")).strip():
        return able
    return replace(
        able, tools=able.tools and ".Tools" in template, tool_calls=able.tool_calls and ".ToolCalls" in template
    )


def shows_tools(jinja: str) -> bool:
    """Whether the tools that are offered reach the prompt."""
    return _shows(jinja, ([_USER], [_SYSTEM, _USER]), _TOOLS, "tools")


def shows_calls(jinja: str) -> bool:
    """Whether the calls that the model made in earlier turns reach the prompt."""
    # Templates differ in whether they want a call's arguments as an object or as its JSON.
    return _shows(jinja, (_called({"place": "here"}), _called('{"place": "here"}')), None, "tool_calls")


def _called(arguments: Any) -> list[dict[str, Any]]:
    call = {"id": "call00001", "type": "function", "function": {"name": _NAME, "arguments": arguments}}
    result = {"role": "tool", "tool_call_id": "call00001", "name": "result", "content": "Rain."}
    return [_USER, {"role": "assistant", "content": "", "tool_calls": [call]}, result]


def _shows(
    jinja: str,
    conversations: Iterable[Sequence[Mapping[str, Any]]],
    tools: Sequence[Mapping[str, Any]] | None,
    word: str,
) -> bool:
    refused = True
    for conversation in conversations:
        try:
            if _NAME in rendered(jinja, conversation, tools=tools):
                return True
            refused = False
        except BadGguf:
            continue
    return refused and word in jinja


def _any_key(fields: Iterable[str], end: str) -> bool:
    return any(key.endswith(end) for key in fields)
