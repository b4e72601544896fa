"""Chat templates for Ollama: the training template exactly, and its Go twin for `/api/chat`.

Ollama compares a GGUF's Jinja template with a list of its own and, where it thinks one close enough, quietly attaches
that one: SmolLM2 gets a ChatML without its default system prompt. So the prompts that the gate reads are rendered here,
by the template in the file, and the tag is given a Go template that is proven on sample conversations to say the same.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import BadGguf, Missing

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What a GGUF says about conversations.

    Its Jinja template, the texts of its first and last token, whether the tokenizer adds the first one by itself, the
    context that the model was trained for, in tokens, and the model's family (`general.architecture`).
    """

    jinja: str
    bos: str
    eos: str
    add_bos: bool
    context_tokens: int | None
    architecture: str = ""


def chat_format(gguf: Path) -> ChatFormat:
    """Read the chat format out of a GGUF. Raises BadGguf where it has no template."""
    stat = gguf.stat()
    return _read_format(gguf, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read_format(gguf: Path, _mtime_ns: int, _size: int) -> ChatFormat:
    try:
        from strop.deploy.gguf import metadata, open_model

        file = open_model(gguf)
    except ImportError as error:
        raise Missing(f"reading {gguf.name} needs {error.name}", hint="pip install 'strop[train]'") from error
    jinja = metadata(file, "tokenizer.chat_template")
    if not isinstance(jinja, str):
        raise BadGguf(f"{gguf} holds no chat template", hint="choose a base model that was trained to chat")
    tokens = metadata(file, "tokenizer.ggml.tokens", [])

    def text_of(kind: str) -> str:
        number = metadata(file, f"tokenizer.ggml.{kind}_token_id")
        return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""

    add_bos = bool(metadata(file, "tokenizer.ggml.add_bos_token", False))
    family = str(metadata(file, "general.architecture"))
    context = metadata(file, f"{family}.context_length")
    limit = context if isinstance(context, int) else None
    return ChatFormat(jinja, text_of("bos"), text_of("eos"), add_bos, limit, family)


def render(chat: ChatFormat, messages: Messages) -> str:
    """The prompt text of a conversation up to where the assistant begins to speak.

    A leading BOS is left out where the tokenizer adds one itself. Raises BadGguf where the template refuses.
    """
    text = rendered(chat.jinja, messages, bos=chat.bos, eos=chat.eos)
    return text.removeprefix(chat.bos) if chat.add_bos and chat.bos else text


def rendered(
    jinja: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    bos: str = "",
    eos: str = "",
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """What a Jinja template makes of a conversation, up to where the assistant begins. Raises BadGguf."""
    from jinja2 import TemplateError

    given: dict[str, Any] = {"messages": [dict(message) for message in messages], "bos_token": bos, "eos_token": eos}
    if tools is not None:
        given["tools"] = [dict(tool) for tool in tools]
    try:
        return str(_environment().from_string(jinja).render(add_generation_prompt=True, **given))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise BadGguf(f"the chat template refuses this conversation: {error}", hint="strop doctor") from error


@functools.cache
def _environment() -> Any:
    """As the training library renders: sandboxed, blocks trimmed, `tojson` without HTML escapes."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(data: Any, indent: int | None = None) -> str:
        return json.dumps(data, ensure_ascii=False, indent=indent)

    # No autoescape, which is for HTML: a prompt must come out as it is.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = tojson
    return environment


_CHATML_TURNS = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
_CHATML_DEFAULT_SYSTEM = """{{- if or (not .Messages) (ne (index .Messages 0).Role "system") }}<|im_start|>system
%s<|im_end|>
{{ end }}
"""
_FIRST_SYSTEM = re.compile(r"<\|im_start\|>system\n(?P<system>.*?)<\|im_end\|>\n", re.DOTALL)

# The mark names the version: it renders nothing, and makes each tag's digest its own.
_MARKED = "{{- /* %s */ -}}\n%s"

_SYSTEM = {"role": "system", "content": "Be {brief}. "}
_USER = {"role": "user", "content": " Two words?\n"}
_ANSWER = {"role": "assistant", "content": "Here: <b>one</b>, {{two}}\n\n"}
# Between them: with and without a system turn, an empty one, several turns, and text that a `trim` would change.
SAMPLES: tuple[tuple[dict[str, str], ...], ...] = (
    (_USER,),
    (_SYSTEM, _USER),
    ({"role": "system", "content": ""}, _USER),
    (_USER, _ANSWER, _USER),
    (_SYSTEM, _USER, _ANSWER, _USER, _ANSWER, _USER),
)


def go_template_for(jinja: str) -> str | None:
    """A Go template that renders plain conversations exactly as this Jinja template does, or None.

    ChatML is known (SmolLM2, Qwen and their kind), with the default system prompt that the template adds where none is
    given. Known by behaviour, not by its text: sample conversations must come out the same. Tools are not covered.
    """
    try:
        match = _FIRST_SYSTEM.match(rendered(jinja, [_USER]))
        default = match["system"] if match else None
        same = all(rendered(jinja, sample) == _chatml(sample, default) for sample in SAMPLES)
    except BadGguf:
        return None
    if not same or (default is not None and "{{" in default):
        return None
    return _CHATML_TURNS if default is None else (_CHATML_DEFAULT_SYSTEM % default) + _CHATML_TURNS


def marked(template: str, mark: str) -> str:
    """A Go template that says where the model came from in a comment that renders nothing."""
    return _MARKED % (mark, template)


def _chatml(messages: Messages, default_system: str | None) -> str:
    turns = list(messages)
    if default_system is not None and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": default_system})
    return "".join(f"<|im_start|>{t['role']}\n{t['content']}<|im_end|>\n" for t in turns) + "<|im_start|>assistant\n"
