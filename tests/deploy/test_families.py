"""Conversations of every shape on the real templates of the families: the trainer's prompt is llama-server's own.

The templates are those that TRL ships (Apache-2.0) and SmolLM2's out of its file. Each case is a line of a training
file in OpenAI's form; the server is sent the same JSON.
"""

import json
import re
import shutil
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer

from strop.deploy import container
from strop.deploy.convert import convert
from strop.deploy.gguf import TEMPLATE_KEY, metadata
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.errors import BadTrainingFile, TargetError
from strop.trainer.render import Renderer
from strop.trainer.rowfile import Row, read

# Each family's end of turn.
FAMILIES = {
    "smollm2": "<|im_end|>",
    "qwen2_5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "qwen3_5_think": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "nemotron_3_nano": "<|im_end|>",
    "lfm2_2_5": "<|im_end|>",
    "gptoss": "<|return|>",
}

SYSTEM = {"role": "system", "content": "Be short.\n\n" + "A rule that is to be kept, 日本語. " * 60}
ASKED = {"role": "user", "content": "How warm is it in Köln? "}
SAID = {"role": "assistant", "content": "21 degrees."}
WHY = {"role": "user", "content": "Why?"}
ARGUMENTS = {
    "city": "Köln <b>",
    "days": 2.0,
    "more": {"list": [1, True, None, 2.5, "a \"quoted\" \\ 'x' &"], "none": {}},
}
FUNCTION = {"name": "weather", "arguments": json.dumps(ARGUMENTS)}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"celsius": 21}'}
CITY = {"type": "string", "description": "a <town>, 'quoted' & with ö"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather now",
        "parameters": {"type": "object", "properties": {"city": CITY}, "required": ["city"]},
    },
}
OFF = {"enable_thinking": False}
THOUGHT = {"reasoning_content": "Köln is warm."}

CASES: dict[str, dict[str, Any]] = {
    "several turns": {"messages": [ASKED, SAID, WHY, SAID, ASKED]},
    "long system prompt": {"messages": [SYSTEM, ASKED, SAID, WHY]},
    "developer": {"messages": [{"role": "developer", "content": "Be short."}, ASKED]},
    "tools": {"messages": [SYSTEM, ASKED], "tools": [TOOL]},
    "tools alone": {"messages": [ASKED], "tools": [TOOL, TOOL]},
    "tool result": {"messages": [ASKED, CALL, RESULT], "tools": [TOOL]},
    "tool result, no tools": {"messages": [ASKED, CALL, RESULT]},
    "after a tool": {"messages": [ASKED, CALL, RESULT, SAID, WHY], "tools": [TOOL]},
    "thinking before a call": {"messages": [ASKED, {**CALL, **THOUGHT}, RESULT], "tools": [TOOL]},
    "thinking in an earlier turn": {"messages": [ASKED, {**SAID, **THOUGHT}, WHY]},
    "thinking in its text": {"messages": [ASKED, {**SAID, "content": "<think>\nWarm.\n</think>\n\n21."}, WHY]},
    "no thinking": {"messages": [ASKED], "chat_template_kwargs": OFF},
    "no thinking, later": {"messages": [SYSTEM, ASKED, SAID, WHY], "chat_template_kwargs": OFF},
}
WITH_CALLS = [name for name, case in CASES.items() if RESULT in case["messages"]]
WITH_TOOLS = [name for name, case in CASES.items() if name in WITH_CALLS or "tools" in case]

# What is refused, because the family's template would leave it out without a word; the server's leaves it out as well.
_NO_TOOLS = {name: "does not show the tool" for name in WITH_TOOLS}
REFUSED: dict[str, dict[str, str]] = {
    "smollm2": _NO_TOOLS,
    "llama3": _NO_TOOLS,
    "gemma": _NO_TOOLS | {name: "roles must alternate" for name in WITH_CALLS},
    "gemma3": _NO_TOOLS | {name: "roles must alternate" for name in WITH_CALLS},
    "deepseek_r1_distill": _NO_TOOLS,
    # It shows calls and results, but no list of tools.
    "deepseekv3": {name: "does not show the tools" for name in WITH_TOOLS if "tools" in CASES[name]},
}


@pytest.fixture(scope="module")
def template_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    import trl

    def text(family: str) -> str:
        if family == "smollm2":
            return str(metadata(container.read(request.getfixturevalue("smollm2_gguf")), TEMPLATE_KEY))
        return (Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja").read_text(encoding="utf-8")

    return text


@pytest.fixture(scope="module")
def tokenizer_of(tiny_base: Path, template_of: Callable[[str], str]) -> Callable[[str], Any]:
    """The tiny tokenizer with a family's template and end of turn, marks of thinking, and a token of two line ends."""
    plain = AutoTokenizer.from_pretrained(tiny_base)

    @cache
    def tokenizer(family: str) -> Any:
        one = deepcopy(plain)
        one.add_special_tokens({"eos_token": FAMILIES[family]})
        one.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("<think>", "</think>", "\n\n")])
        one.chat_template = template_of(family)
        return one

    return tokenizer


@pytest.fixture(scope="module")
def served(
    tiny_base: Path, template_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Any], str | None]:
    """served(family, request) -> the prompt that llama-server makes of it, None where it refuses."""
    target = LlamaCppTarget(context_tokens=256, slots=1, threads=1)

    @cache
    def prompts(family: str) -> dict[str, str | None]:
        folder = tmp_path_factory.mktemp(family)
        shutil.copytree(tiny_base, folder / "base")
        (folder / "base" / "chat_template.jinja").write_text(template_of(family), encoding="utf-8")
        convert(folder / "base", folder / "served.gguf")
        answers: dict[str, str | None] = {}
        with target.serve_file(folder / "served.gguf") as server:
            for body in [*CASES.values(), *(body for *_, body in SHOWN), DIGITS]:
                try:
                    answers[json.dumps(body)] = server._post("/apply-template", body)["prompt"]
                except TargetError:
                    answers[json.dumps(body)] = None
        return answers

    return lambda family, body: prompts(family)[json.dumps(body)]


def rendering(tokenizer: Any) -> Renderer:
    """On the server's day."""
    return Renderer(tokenizer, datetime.now(UTC).astimezone().date())


def row_of(folder: Path, case: dict[str, Any], answer: dict[str, Any] = SAID) -> Row:
    """The last row of a training file that holds `case`, answered."""
    file = folder / "rows.jsonl"
    file.write_text(json.dumps({**case, "messages": [*case["messages"], answer]}), encoding="utf-8")
    return read(file).rows[-1]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_is_the_servers_or_is_refused(
    family: str,
    case: str,
    served: Callable[[str, Any], str | None],
    tokenizer_of: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    tokenizer = tokenizer_of(family)
    row = row_of(tmp_path, CASES[case])
    theirs = served(family, CASES[case])
    refused = REFUSED.get(family, {}).get(case)
    if refused is None:
        assert tokenizer.decode(rendering(tokenizer).prompt(row.messages, row.request)) == theirs
        return
    with pytest.raises(BadTrainingFile, match=refused):
        rendering(tokenizer).prompt(row.messages, row.request)
    assert theirs is None or not re.search("The weather now|Köln <b>", theirs)


# What is learned of an answer, as text.
CALLED = '<tool_call>\n{"name": "weather", "arguments": ' + json.dumps({**ARGUMENTS, "days": 2}, ensure_ascii=False)
CALLED += "}\n</tool_call><|im_end|>"
THINKS = {**SAID, **THOUGHT}
INLINE = {**SAID, "content": "<think>\nKöln is warm.\n</think>\n\n21 degrees."}
R1 = "deepseek_r1_distill"
LEARNED = [
    ("smollm2", "several turns", SAID, "21 degrees.<|im_end|>"),
    ("smollm2", "several turns", INLINE, INLINE["content"] + "<|im_end|>"),
    ("qwen2_5", "tools", CALL, CALLED),
    ("qwen2_5", "tool result", SAID, "21 degrees.<|im_end|>"),
    ("qwen3_instruct_2507", "tools", {**CALL, "content": "I look."}, "I look.\n" + CALLED),
    ("qwen3", "several turns", THINKS, "<think>\nKöln is warm.\n</think>\n\n21 degrees.<|im_end|>"),
    ("qwen3", "several turns", INLINE, "<think>\nKöln is warm.\n</think>\n\n21 degrees.<|im_end|>"),
    ("qwen3", "several turns", SAID, "<think>\n\n</think>\n\n21 degrees.<|im_end|>"),
    ("qwen3", "no thinking", SAID, "21 degrees.<|im_end|>"),
    ("qwen3", "tools", {**CALL, **THOUGHT}, "<think>\nKöln is warm.\n</think>\n\n" + CALLED),
    ("qwen3_5_think", "several turns", THINKS, "Köln is warm.\n</think>\n\n21 degrees.<|im_end|>"),
    ("qwen3_5_think", "several turns", SAID, "\n</think>\n\n21 degrees.<|im_end|>"),
    ("qwen3_5_think", "no thinking", SAID, "21 degrees.<|im_end|>"),
    (R1, "several turns", THINKS, "Köln is warm.\n</think>\n\n21 degrees.<｜end▁of▁sentence｜>"),
    (R1, "several turns", INLINE, "Köln is warm.\n</think>\n\n21 degrees.<｜end▁of▁sentence｜>"),
    (R1, "several turns", SAID, "\n</think>\n\n21 degrees.<｜end▁of▁sentence｜>"),
    ("nemotron_3_nano", "several turns", SAID, "</think>21 degrees.<|im_end|>"),
    ("lfm2_2_5", "several turns", THINKS, "<think>Köln is warm.</think>21 degrees.<|im_end|>"),
    ("gptoss", "several turns", SAID, "<|channel|>final<|message|>21 degrees.<|return|>"),
    ("gemma", "long system prompt", SAID, "21 degrees.<end_of_turn>"),
    ("llama3_2", "several turns", SAID, "21 degrees.<|eot_id|>"),
]


@pytest.mark.parametrize(("family", "case", "answer", "text"), LEARNED)
def test_what_is_learned_goes_on_from_the_servers_prompt(
    family: str,
    case: str,
    answer: dict[str, Any],
    text: str,
    served: Callable[[str, Any], str | None],
    tokenizer_of: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    tokenizer = tokenizer_of(family)
    row = row_of(tmp_path, CASES[case], answer)
    assert row.answer is not None
    example = rendering(tokenizer).example(row.messages, row.answer, row.request)
    assert tokenizer.decode(example.completion_ids) == text
    prompt = served(family, CASES[case])
    assert list(example.prompt_ids) == tokenizer(prompt, add_special_tokens=False)["input_ids"]


# Requests in which the server shows an answer whole once more, as it stood when the model gave it.
_ANSWERED = {
    "plain": (ASKED, SAID, WHY),
    "call": (ASKED, CALL, RESULT),
    "thinking and call": (ASKED, {**CALL, **THOUGHT}, RESULT),
}
SHOWN: list[tuple[str, str, dict[str, Any]]] = [
    (family, answer, {"messages": list(_ANSWERED[answer]), **({"tools": [TOOL]} if answer != "plain" else {})})
    for family, answers in {
        "smollm2": ("plain",),
        "qwen2_5": ("plain", "call"),
        "qwen3_instruct_2507": ("plain", "call"),
        "qwen3": ("thinking and call",),
        "qwen3_5_think": ("thinking and call",),
        "llama3": ("plain",),
        "llama3_1": ("plain", "call"),
        "llama3_2": ("plain", "call"),
        "gemma": ("plain",),
        "gemma3": ("plain",),
    }.items()
    for answer in answers
]


@pytest.mark.parametrize(("family", "answer", "body"), SHOWN)
def test_what_is_learned_is_what_the_server_shows_of_it_later(
    family: str,
    answer: str,
    body: dict[str, Any],
    served: Callable[[str, Any], str | None],
    tokenizer_of: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    tokenizer = tokenizer_of(family)
    asked, said, _ = body["messages"]
    row = row_of(tmp_path, {**body, "messages": [asked]}, said)
    assert row.answer is not None
    example = rendering(tokenizer).example(row.messages, row.answer, row.request)
    theirs = served(family, body)
    assert theirs is not None
    assert theirs.startswith(tokenizer.decode([*example.prompt_ids, *example.completion_ids]))


@pytest.mark.parametrize(
    ("family", "answer", "what"),
    [
        ("qwen2_5", THINKS, "does not show the thinking"),
        ("llama3_1", {**CALL, "content": "I look."}, "does not show the whole of an answer"),
        ("llama3_1", {**CALL, "tool_calls": CALL["tool_calls"] * 2}, "single tool-calls"),
        ("smollm2", CALL, "does not show the tool calls"),
        (R1, CALL, "does not show the tool calls"),
    ],
)
def test_an_answer_that_the_template_would_cut_is_refused(
    family: str, answer: dict[str, Any], what: str, tokenizer_of: Callable[[str], Any], tmp_path: Path
) -> None:
    row = row_of(tmp_path, CASES["several turns"], answer)
    assert row.answer is not None
    with pytest.raises(BadTrainingFile, match=what):
        rendering(tokenizer_of(family)).example(row.messages, row.answer)


_PLACE = {"name": "weather", "arguments": '{"latitude": 52.520008}'}
DIGITS: dict[str, Any] = {
    "messages": [ASKED, {**CALL, "tool_calls": [{"type": "function", "function": _PLACE}]}, RESULT]
}


def test_the_server_shows_six_digits_of_a_number_in_a_call_and_training_all_of_them(
    served: Callable[[str, Any], str | None], tokenizer_of: Callable[[str], Any], tmp_path: Path
) -> None:
    row = row_of(tmp_path, DIGITS)
    ours = tokenizer_of("qwen3").decode(rendering(tokenizer_of("qwen3")).prompt(row.messages, row.request))
    assert served("qwen3", DIGITS) == ours.replace("52.520008", "52.52") != ours
