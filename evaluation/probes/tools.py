"""Probes of tool calls: tools described in the system prompt, one JSON object asked for. Bad: no object that fits.

The tools are told as plain text, so that no chat template's own form of tool calls is needed. Each request is asked
four times: at once; after two calls and their results, one of the same tool; after these with a system prompt of 2,000
characters and more, which lists more tools and rules; and after these with a thought to be written down before each
call, as models do that think. A small model follows the earlier calls or nothing at all.

    {"name": "get_weather", "arguments": {"city": "Oslo"}}
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from strop.evaluation.probes.items import Messages, Probe, rows
from strop.evaluation.schema import fits

MAX_TOKENS = 96
_MORE_TOOLS = 7  # in a long prompt, beside the one that is asked for

_SHAPE = (
    'Answer with one JSON object and nothing else: {"name": the tool\'s name, "arguments": an object that fits the '
    "tool's schema}."
)
_EXAMPLE = (
    'Example. User: Ring the bell twice. Answer: {"name": "ring_bell", "arguments": {"times": 2}}'  # of no listed tool
)
_THINK = "Before each call write one short thought between <think> and </think>."
_RULES = """Rules:
1. Read the whole request before you choose a tool, and choose the one tool that fits it best.
2. Give every required argument. Leave out optional arguments that the user did not mention.
3. Use exactly the names of the schema. Never invent an argument, and never rename one.
4. Numbers are numbers and not texts; true and false are written without quotation marks.
5. Where the schema lists the allowed values, use one of them, spelled as it is there.
6. Dates are written as YYYY-MM-DD and times as HH:MM, on the 24-hour clock.
7. Do not explain the call, do not greet, do not add a comment, do not write Markdown.
8. The result of a call comes back in the user's next message, after the words "Tool result:"."""


# A line of tools.jsonl: name, description, schema, requests; and an earlier call's request, arguments and result.
Tool = Mapping[str, Any]


def tool_calls() -> tuple[Probe, ...]:
    """Four probes a request, one cluster a tool."""
    probes, tools = [], rows("tools")
    for place, tool in enumerate(tools):
        expected = json.dumps(_call_schema(tool), sort_keys=True)
        cluster = f"tool_call-{tool['name']}"
        for number, request in enumerate(tool["requests"], start=1):
            for setting, messages in _settings(tools, place, request):
                name = f"{cluster}-{number}-{setting}"
                probe = Probe("tool_call", name, cluster, messages, (), (), -1, "called", expected, MAX_TOKENS, True)
                probes.append(probe)
    return tuple(probes)


def _settings(tools: Sequence[Tool], place: int, request: str) -> tuple[tuple[str, Messages], ...]:
    """The four conversations that end with `request`, by the names of their settings."""
    tool, other = tools[place], tools[(place + 1) % len(tools)]
    several = [tools[(place + step) % len(tools)] for step in range(-3, _MORE_TOOLS - 2)]
    short, long = ("system", _system([tool, other], "")), ("system", _system(several, _RULES))
    thinking = ("system", f"{short[1]}\n{_THINK}")
    turns, thought = _turns((other, tool), request), _turns((other, tool), request, thought=True)
    asked = ("short", (short, ("user", request))), ("turns", (short, *turns)), ("long", (long, *turns))
    return *asked, ("thought", (thinking, *thought))


def _turns(earlier: Sequence[Tool], request: str, *, thought: bool = False) -> Messages:
    """A call of each of the `earlier` tools with its result, and then `request`."""
    turns: list[tuple[str, str]] = []
    result = ""
    for tool in earlier:
        said = f"<think>This is a case for {tool['name']}.</think>\n" if thought else ""
        call = json.dumps({"name": tool["name"], "arguments": tool["arguments"]})
        turns += [("user", result + tool["example"]), ("assistant", said + call)]
        result = f"Tool result: {json.dumps(tool['result'])}\nGood. "
    return (*turns, ("user", result + request))


def _system(tools: Sequence[Tool], rules: str) -> str:
    listed = "\n".join(
        f"- {tool['name']}: {tool['description']} Schema: {json.dumps(tool['schema'])}" for tool in tools
    )
    return "\n".join(part for part in ("You call tools for the user.", listed, rules, _SHAPE, _EXAMPLE) if part)


def _call_schema(tool: Tool) -> dict[str, Any]:
    properties = {"name": {"const": tool["name"]}, "arguments": tool["schema"]}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"]}


def calls(answer: str, schema: str) -> bool:
    """Whether the first JSON object in the answer fits `schema` (JSON text). Text around it does not matter.

    Raises ImportError where jsonschema is not installed.
    """
    found = _first_object(answer)
    return found is not None and fits(schema, found)


def _first_object(answer: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    start = answer.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            start = answer.find("{", start + 1)
            continue
        return value if isinstance(value, dict) else None
    return None
