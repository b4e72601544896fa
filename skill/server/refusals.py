"""What the front door refuses by itself, and what it says where the model's server refuses.

A request that the model cannot be shown whole is refused before it is sent: an answer to half a request looks like an
answer to all of it. The servers' own reasons are passed on in a sentence that says what to do; what is not known here
goes on in its first line, unless it names a file of this machine.
"""

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
    """A refusal in words for the client. `code` is "refused" where the reason is not one that is known here."""

    code: str
    message: str


def check_readable(request: Mapping[str, Any], able: Abilities | None) -> None:
    """Raise Refused (400) where the model would not see all of the request; `able` is None where it is not known."""
    if request.get("functions"):
        raise Refused(400, "functions_not_read", "functions is not read any more: give them as tools")
    for message in request["messages"]:
        role = message.get("role")
        if role not in ROLES:
            raise Refused(400, "unknown_role", f"messages: {_short(role)} is no role; roles are {', '.join(ROLES[:5])}")
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


def explained(message: str) -> Said:
    """What the model's server said, in words for a client."""
    for pattern, code, sentence in _KNOWN:
        if match := pattern.search(message):
            return Said(code, sentence(match))
    return Said("refused", plain(message))


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
    text = repr(role)
    return text if len(text) <= 40 else text[:40] + "…"


def too_long(has_tokens: int, holds_tokens: int, set_what: str) -> str:
    """The sentence for a prompt that leaves no room for an answer; `set_what` is what a person may set."""
    return (
        f"the request has {has_tokens:,} tokens and the context holds {holds_tokens:,}: "
        f"send less of the conversation, or set {set_what}"
    )


def _too_long(match: "re.Match[str]") -> str:
    return too_long(int(match[1]), int(match[2]), "a longer context_tokens under [serve] in strop.toml")


def _says(sentence: str) -> "Callable[[re.Match[str]], str]":
    """A sentence into which what the pattern found is put."""
    return lambda match: sentence.format(*(plain(group or "") for group in match.groups()))


_KNOWN: "tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...]" = tuple(
    (re.compile(pattern, re.DOTALL), code, sentence)
    for pattern, code, sentence in (
        (r"\((\d+) tokens\) exceeds the available context size \((\d+) tokens\)", "context_length_exceeded", _too_long),
        (
            r"[Cc]ontext size has been exceeded|input is (?:too large|larger than)",
            "context_length_exceeded",
            _says("the conversation and its answer fill the context: send less of it, or ask for a shorter answer"),
        ),
        (r"image input is not supported", "image_not_supported", _says(NO_IMAGES.format(what="image"))),
        (r"audio input is not supported", "audio_not_supported", _says(NO_IMAGES.format(what="sound"))),
        (r"does not support tools", "tools_not_supported", _says(NO_TOOLS.format(what="tools"))),
        (
            r"JSON schema error at \S* ?(.*)|JSON schema conversion failed:?\s*(.*)",
            "invalid_schema",
            lambda match: f"a JSON schema of the request cannot be used: {plain(match[1] or match[2])}; correct it",
        ),
        (
            r"invalid JSON schema",
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
        (r"Failed to parse (messages|tools): (.*)", "invalid_request", _says("{0} cannot be read: {1}")),
        (r"Field '(\w+)': (.*)", "invalid_request", _says("{0}: {1}")),
        (
            r"json: cannot unmarshal (\w+) into Go struct field \w+\.([\w.]+)",
            "invalid_request",
            _says("{1}: {0} is not what is taken there"),
        ),
    )
)
