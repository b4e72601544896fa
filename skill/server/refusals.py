"""What the front door refuses by itself, and what it says where the model's server refuses.

A request that the model cannot be shown whole is refused before it is sent: an answer to half a request looks like an
answer to all of it. The servers' own reasons are passed on in a sentence that says what to do; what is not known here
goes on in its first line, unless it names a file of this machine. What a field must hold, `fields` says.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from strop.deploy.abilities import Abilities
from strop.server.guard import Refused

_log = logging.getLogger(__name__)
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_IMAGES = frozenset({"image_url", "input_image", "image"})
_SOUND = frozenset({"input_audio", "audio", "audio_url"})
_LONGEST = 300
# What Ollama says with HTTP 500 where the process that runs the model died, or did not start; it starts another at the
# next request.
_DIED = re.compile(
    r"while running the model|error loading model|unable to load model|runner process |model runner has"
    r"|for llama runner|runner terminated|unexpected EOF|: EOF$|connection re(?:set|fused)|forcibly closed|broken pipe"
    r"|requires more system memory|CUDA error|out of memory"
)
_FILE = re.compile(r"(?<![#\w])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:]+[\\/])+|\w://|\.gguf\b")

NO_TOOLS = (
    "the live model's chat template has no place for {what}, so it would answer without having seen them: "
    "leave them out, or take a base model that was trained with tools (model in strop.toml)"
)
NO_IMAGES = (
    "the live model reads text alone and would answer without having seen the {what}: "
    "say in words what there is, or ask a model for it that takes more than text"
)


@dataclass(frozen=True, slots=True)
class Said:
    """A refusal in words for the client. `code` is `UNKNOWN` where the reason is not one that is known here."""

    code: str
    message: str


def check_readable(request: Mapping[str, Any], able: Abilities | None) -> None:
    """Raise Refused (400) where the model would not see all of the request; `able` is None where it is not known."""
    if request.get("functions"):
        raise Refused(400, "functions_not_read", "functions is not read any more: give them as tools")
    for message in request["messages"]:
        role = message.get("role")
        if role not in ROLES:
            raise Refused(
                400, "unknown_role", f"messages: {_short(role)} is no role; give one of {', '.join(ROLES[:5])}"
            )
    if able is None:
        return
    if request.get("tools") and request.get("tool_choice") != "none" and not able.tools:
        raise Refused(400, "tools_not_supported", NO_TOOLS.format(what="tools"))
    if not able.tool_calls and any(one.get("tool_calls") for one in request["messages"]):
        raise Refused(400, "tools_not_supported", NO_TOOLS.format(what="tool calls of earlier turns"))
    kinds = set(_kinds(request["messages"]))
    if kinds & _IMAGES and not able.images:
        raise Refused(400, "image_not_supported", NO_IMAGES.format(what="image"))
    if kinds & _SOUND and not able.sound:
        raise Refused(400, "audio_not_supported", NO_IMAGES.format(what="sound"))


def explained(message: str, all_known: bool = False) -> Said:
    """What the model's server said, in words for a client. `all_known`: its context is all that the model knows."""
    if match := _TOO_LONG.search(message):
        what = None if all_known else "a longer context_tokens under [serve] in strop.toml"
        return Said("context_length_exceeded", too_long(int(match[1]), int(match[2]), what))
    for pattern, code, sentence in _KNOWN:
        if match := pattern.search(message):
            return Said(code, sentence(match))
    return Said(
        UNKNOWN, f"the model's server does not take this request ({plain(message)}): change that, and ask again"
    )


def failure(message: str) -> str:
    """What a server said of a failure of its own, in words for a client."""
    return f"the model's server failed ({plain(message)}): ask again in a moment"


def died(message: str) -> bool:
    """Whether a server that answers again after this had failed itself, so that the request need not be at fault."""
    return _DIED.search(message.strip()) is not None


def plain(message: str) -> str:
    """The first line of a reason, without the names of a library's exceptions, and never with a file of ours in it."""
    first = re.sub(r"\[json\.exception\.[^\]]*\] ", "", message.strip().partition("\n")[0])
    if _FILE.search(first):
        _log.warning("not passed on to the client, since it names a file: %s", first)
        return "the model's server gave a reason that names files of this machine: strop serve's own output has it"
    return first if len(first) <= _LONGEST else first[:_LONGEST] + "…"


def _kinds(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the messages hold beside text. Ollama's own API has images beside the content; here nobody would read it."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("type"), str):
                yield part["type"]
        if message.get("images"):
            yield "image"


def _short(role: Any) -> str:
    text = json.dumps(role, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"


def too_long(has_tokens: int, holds_tokens: int, set_what: str | None) -> str:
    """The sentence for a prompt that leaves no room for an answer.

    `set_what` is what a person may set; None where the model itself knows no more.
    """
    fact = f"the request has {has_tokens:,} tokens and the context holds {holds_tokens:,}"
    if set_what is None:
        return f"{fact}, all that the model knows: send less of the conversation, or begin a new one"
    return f"{fact}: send less of the conversation, or set {set_what}"


def _says(sentence: str) -> "Callable[[re.Match[str]], str]":
    """A sentence into which what the pattern found is put."""
    return lambda match: sentence.format(*(plain(group or "") for group in match.groups()))


# Codes: of a reason that is not known here, and of what is no mistake of the client's but of the model, whose words are
# no answer in the form that was asked for.
UNKNOWN, MODELS_OWN = "refused", "bad_answer"
_TOO_LONG = re.compile(r"\((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_KNOWN: "tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...]" = tuple(
    (re.compile(pattern, re.DOTALL), code, sentence)
    for pattern, code, sentence in (
        (
            r"[Cc]ontext size has been exceeded|input is (?:too large|larger than)",
            "context_length_exceeded",
            _says("the conversation and its answer fill the context: send less of it, or ask for a shorter answer"),
        ),
        (
            r"model produced output that does not match",
            MODELS_OWN,
            _says("what the model wrote is no answer in the form that its tools need: ask again, or offer fewer tools"),
        ),
        (r"image input is not supported", "image_not_supported", _says(NO_IMAGES.format(what="image"))),
        (r"audio input is not supported", "audio_not_supported", _says(NO_IMAGES.format(what="sound"))),
        (
            r"unsupported content\[\]\.type|invalid message format",
            "invalid_request",
            _says("a part of a message is of a kind that is not read: send text parts"),
        ),
        (r"video input is not supported", "video_not_supported", _says(NO_IMAGES.format(what="video"))),
        (r"does not support tools", "tools_not_supported", _says(NO_TOOLS.format(what="tools"))),
        (
            r"(?:unsupported|cannot resolve) \$ref",
            "invalid_schema",
            _says("a $ref of a JSON schema is not found in it: refer to #/$defs/NAME, or put there what it stands for"),
        ),
        (
            r"JSON schema error at \S* ?(.*)|JSON schema conversion failed:?\s*(.*)",
            "invalid_schema",
            lambda match: f"a JSON schema of the request cannot be used: {plain(match[1] or match[2])}; correct it",
        ),
        (
            r"invalid JSON schema|unable to create sampling context|invalid format: ",
            "invalid_schema",
            _says("a JSON schema of the request cannot be used (response_format): correct it, or make it simpler"),
        ),
        (
            r"failed to parse grammar",
            "invalid_grammar",
            _says("the grammar cannot be read: correct it, or use response_format with a JSON schema"),
        ),
        (
            r"[Jj]inja [Ee]xception: (.*)|[Rr]oles must alternate|[Uu]nexpected message role",
            "conversation_refused",
            lambda match: (
                f"the model's chat template does not take this conversation ({plain(match[1] or match[0])}): "
                "begin with user (system before it), then let assistant and user take turns"
            ),
        ),
        (
            r"(?:Cannot use both json_schema and grammar|Cannot use custom grammar constraints with tools)",
            "invalid_grammar",
            _says("one form at a time can be asked for: tools, a grammar, or a JSON schema; leave the others out"),
        ),
        (
            r"2 or more assistant messages at the end",
            "conversation_refused",
            _says("the conversation ends in two answers of the assistant's: join them, or end it with the user"),
        ),
        (
            r"Assistant message must contain",
            "conversation_refused",
            _says("an answer of the assistant's is empty: give it content or tool_calls, or leave it out"),
        ),
        (
            r"Failed to parse (messages|tools): ([^;]*)",
            "invalid_request",
            _says("{0} cannot be read ({1}): write them as OpenAI's API has them"),
        ),
        (
            r"Field '(\w+)': (?:Error: )?(.*)",
            "invalid_request",
            _says("{0} cannot be used ({1}): correct it, or leave it out"),
        ),
        (
            r"json: cannot unmarshal (\w+)[^/]* into Go struct field \w+\.([\w.]+)",
            "invalid_request",
            _says("{1}: {0} is not what is taken there; write it as OpenAI's API has it, or leave it out"),
        ),
    )
)
