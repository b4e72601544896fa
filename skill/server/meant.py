"""A request as its client meant it, in the one form that both servers read alike.

Clients write the same thing in several ways: parts that OpenAI's other APIs name otherwise, a call without arguments or
whose text broke off, a stop that is empty, whole numbers with a point. llama-server and Ollama each refuse or lose some
of them, so that a conversation that holds one could never go on. `fields` has let these pass; here they are made one.
"""

import json
from collections.abc import Mapping
from typing import Any

from strop.server.fields import LEFT_OUT_PARTS, TEXT_PARTS, WHOLES
from strop.server.guard import Refused, parsed

# What a call's arguments are sent under where they are no JSON object: both servers take objects alone.
_NO_OBJECT = "arguments"


def meant(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the same meaning, in a copy; it has passed `fields.check_fields`."""
    body = dict(request)
    body["messages"] = [_message(one) for one in request["messages"]]
    for name in WHOLES:
        if isinstance(body.get(name), float):
            body[name] = int(body[name])
    if "stop" in body and not (stops := _stops(body["stop"])):
        del body["stop"]
    elif "stop" in body:
        body["stop"] = stops
    if not body.get("logprobs"):
        body.pop("top_logprobs", None)
    return body


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(message)
    if made.get("role") == "developer":  # OpenAI's newer name; Ollama would show the model a role that it never saw
        made["role"] = "system"
    made["content"] = _content(made)
    if made.get("tool_calls"):
        made["tool_calls"] = [_call(one) for one in made["tool_calls"]]
    return made


def _content(message: Mapping[str, Any]) -> Any:
    """Parts as text parts; no parts, and an answer or a result that says nothing, as an empty text.

    Ollama loses a message without a part, and neither server takes an answer without content and without calls.
    """
    content = message.get("content")
    if isinstance(content, list):
        parts = (_part(one) for one in content if one["type"] not in LEFT_OUT_PARTS)
        return [one for one in parts if one is not None] or ""
    if content is None and not message.get("tool_calls"):
        return ""
    return content


def _part(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if part["type"] not in TEXT_PARTS:
        return part
    text = part.get(TEXT_PARTS[part["type"]])
    return None if text is None else {"type": "text", "text": text}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "type": "function", "function": {**function, "arguments": _arguments(function.get("arguments"))}}


def _arguments(given: Any) -> str:
    """A JSON object as text, whatever was given: none is an empty one, and what is no object goes into one."""
    if isinstance(given, dict):
        return json.dumps(given, ensure_ascii=False)
    if given is None or not given.strip():
        return "{}"
    try:
        read = parsed(given)
    except (ValueError, Refused):  # as where an answer was cut by its limit
        read = given
    if isinstance(read, dict):
        return str(given)
    return "{}" if read is None else json.dumps({_NO_OBJECT: read}, ensure_ascii=False)


def _stops(stop: Any) -> Any:
    return [one for one in stop if one] if isinstance(stop, list) else stop
