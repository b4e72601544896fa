"""What each field of a request must hold, said before it is sent and in the same words for every server.

llama-server and Ollama differ in what they take without a word and in what they say of the rest, Ollama streams nothing
at all where it cannot use a field, and half a character ends the reading of the whole request. What is not known here
goes on as it came.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from strop.server.guard import Refused

_LARGEST = 1e6  # more than any setting means, and less than what overflows a server's own numbers
_WHOLE_MOST = (1 << 63) - 1
_HALF = re.compile("[\ud800-\udfff]")
_FORMATS = ("text", "json_object", "json_schema")
_CHOICES = ("none", "auto", "required")
_IN_OPENAI = "as OpenAI's API has it"

_Check = Callable[[str, Any], None]


def check_fields(request: Mapping[str, Any]) -> None:
    """Raise Refused (400) for a field that holds what it cannot, with its place and what it takes.

    A field that is null is one that was not given.
    """
    for name, check in _FIELDS.items():
        if request.get(name) is not None:
            check(name, request[name])
    for at, message in enumerate(request["messages"]):
        _message(f"messages[{at}]", message)
    chosen, offered = request.get("tool_choice"), request.get("tools") or ()
    if isinstance(chosen, dict) and chosen["function"]["name"] not in [one["function"]["name"] for one in offered]:
        raise _wrong("tool_choice", f"{_shown(chosen['function']['name'])} is none of the tools")


def broken_text(request: Mapping[str, Any]) -> Refused:
    """The error for a request that holds half a character (a lone surrogate), with its first place."""
    place = next(_halves("", request), "the request")
    return Refused(
        400,
        "broken_text",
        f"{place} holds half a character (one of \\ud800 to \\udfff alone), as where a text is cut inside an emoji: "
        "cut it elsewhere, or leave that half out",
    )


def _wrong(place: str, what: str) -> Refused:
    return Refused(400, "invalid_request", f"{place}: {what}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "…"


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


def _needed(place: str, what: str, value: Any) -> Refused:
    return _wrong(place, f"{what} is needed, not {_kind(value)}")


def _number(place: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _needed(place, "a number", value)
    if not -_LARGEST <= value <= _LARGEST:
        raise _wrong(place, f"a number between -{_LARGEST:,.0f} and {_LARGEST:,.0f} is needed")


def _whole(place: str, value: Any) -> None:
    whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, int) or whole):
        raise _wrong(place, f"a whole number is needed, not {_shown(value)}")
    if not -_WHOLE_MOST <= value <= _WHOLE_MOST:
        raise _wrong(place, "a whole number of at most 64 bits is needed")


def _alternatives(place: str, value: Any) -> None:
    _whole(place, value)
    if not 0 <= value <= _MOST_ALTERNATIVES:
        raise _wrong(place, f"a whole number from 0 to {_MOST_ALTERNATIVES} is needed")


def _one(place: str, value: Any) -> None:
    if isinstance(value, bool) or value != 1:
        raise Refused(
            400, "one_choice", f"{place}: one answer is given to a request: leave it out, and ask again for another"
        )


def _yes_or_no(place: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise _needed(place, "true or false", value)


def _text(place: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _needed(place, "a text", value)


def _object(place: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise _needed(place, "an object", value)


def _stop(place: str, value: Any) -> None:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in texts):
        raise _wrong(place, "a text, or a list of texts, is needed")


def _bias(place: str, value: Any) -> None:
    if not isinstance(value, dict | list):
        raise _needed(place, "an object of token ids and numbers", value)


def _format(place: str, value: Any) -> None:
    _object(place, value)
    kind = value.get("type")
    if kind not in _FORMATS:
        raise _wrong(f"{place}.type", f"one of {', '.join(_FORMATS)} is needed, not {_shown(kind)}")
    if kind != "json_schema":
        return None if value.get("schema") is None else _object(f"{place}.schema", value["schema"])
    _object(f"{place}.json_schema", value.get("json_schema"))
    if value["json_schema"].get("schema") is not None:
        _object(f"{place}.json_schema.schema", value["json_schema"]["schema"])


def _tools(place: str, value: Any) -> None:
    if not isinstance(value, list):
        raise _needed(place, "a list", value)
    for at, tool in enumerate(value):
        one = f"{place}[{at}]"
        _object(one, tool)
        if tool.get("type") != "function":
            raise _wrong(f"{one}.type", f'"function" is needed, {_IN_OPENAI}, not {_shown(tool.get("type"))}')
        _function(one, tool)
        for name, check in (("description", _text), ("parameters", _object)):
            if tool["function"].get(name) is not None:
                check(f"{one}.function.{name}", tool["function"][name])


def _function(place: str, holder: Mapping[str, Any]) -> None:
    """That a tool, a choice or a call holds a function with a name."""
    function: Any = holder.get("function")
    _object(f"{place}.function", function)
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise _wrong(f"{place}.function.name", "a text that is not empty is needed")


def _choice(place: str, value: Any) -> None:
    if isinstance(value, dict):
        _function(place, value)
    elif value not in _CHOICES:
        raise _wrong(place, f"one of {', '.join(_CHOICES)} is needed, or the name of a tool {_IN_OPENAI}")


def _message(place: str, message: Mapping[str, Any]) -> None:
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name) is not None:
            _text(f"{place}.{name}", message[name])
    if message.get("tool_calls") is not None:
        _calls(f"{place}.tool_calls", message["tool_calls"])
    content, role = message.get("content"), message.get("role")
    if isinstance(content, list):
        for at, part in enumerate(content):
            _part(f"{place}.content[{at}]", part)
    elif not (isinstance(content, str) or (content is None and role in _MAY_SAY_NOTHING)):
        raise _needed(f"{place}.content", "a text, or a list of parts,", content)


def _part(place: str, part: Any) -> None:
    _object(place, part)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise _wrong(f"{place}.type", '"text" is needed, or the kind of part that it is')
    if kind in TEXT_PARTS:
        if part.get(TEXT_PARTS[kind]) is not None:
            _text(f"{place}.{TEXT_PARTS[kind]}", part[TEXT_PARTS[kind]])
    elif kind in _PARTS:
        _object(f"{place}.{kind}", part.get(kind))
    elif kind not in _OTHERS and kind not in LEFT_OUT_PARTS:
        raise _wrong(
            f"{place}.type", f'{_shown(kind)} is not read here: send text parts ({{"type": "text", "text": …}})'
        )


def _calls(place: str, calls: Any) -> None:
    if not isinstance(calls, list):
        raise _needed(place, "a list", calls)
    for at, call in enumerate(calls):
        one = f"{place}[{at}]"
        _object(one, call)
        if call.get("type", "function") != "function":
            raise _wrong(f"{one}.type", f'"function" is needed, not {_shown(call["type"])}')
        _function(one, call)
        arguments = call["function"].get("arguments")
        if arguments is not None and not isinstance(arguments, str | dict):
            raise _needed(f"{one}.function.arguments", "a text that holds JSON", arguments)


def _halves(place: str, value: Any) -> Iterator[str]:
    """Where half a character is, in the order of the request."""
    if isinstance(value, str) and _HALF.search(value):
        yield place or "the request"
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _halves(f"{place}[{at}]", one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if _HALF.search(name):
                yield f"a name in {place}" if place else "a name of a field"
            yield from _halves(f"{place}.{name}" if place else name, one)


# Text under OpenAI's names, those of its other APIs too, and where in the part it is; and thoughts of earlier answers,
# which no template shows again. `meant` makes one form of them.
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
LEFT_OUT_PARTS = frozenset({"thinking", "reasoning"})
_MAY_SAY_NOTHING = ("assistant", "tool", "function")
# Parts that a model may be able to take: whether the live one is, `refusals` says.
_PARTS = ("image_url", "input_audio", "video_url", "audio_url")
_OTHERS = ("image", "input_image", "audio")
_NUMBERS = ("temperature", "top_p", "min_p", "typical_p", "presence_penalty", "frequency_penalty", "repeat_penalty")
_MOST_ALTERNATIVES = 20  # as OpenAI's API has it
_ALTERNATIVES = ("top_logprobs", "n_probs")
WHOLES = ("max_tokens", "max_completion_tokens", "n_predict", "seed", "top_k", *_ALTERNATIVES)
_FIELDS: Mapping[str, _Check] = {
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(("n", "n_cmpl"), _one),  # llama-server has two names for it
    **dict.fromkeys(WHOLES, _whole),
    **dict.fromkeys(_ALTERNATIVES, _alternatives),
    **dict.fromkeys(("stream", "logprobs", "parallel_tool_calls"), _yes_or_no),
    **dict.fromkeys(("grammar", "reasoning_effort"), _text),
    **dict.fromkeys(("stream_options", "json_schema", "chat_template_kwargs"), _object),
    "stop": _stop,
    "logit_bias": _bias,
    "response_format": _format,
    "tools": _tools,
    "tool_choice": _choice,
}
