"""What a model can be shown beside text, by what its own chat template does."""

from pathlib import Path
from typing import Any

import pytest

from strop.deploy.abilities import Abilities, abilities, shows_calls, shows_tools, through
from strop.deploy.container import field
from strop.deploy.gguf import open_model, write_model
from strop.deploy.targets.llamacpp import LlamaCppTarget

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CALL = "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
CALLS = "{% for m in messages %}{{ m.content }}" + CALL + "{% endfor %}"
WITH_TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}" + TURNS


def with_template(source: Path, out: Path, jinja: str, **more: str) -> Path:
    """A copy of a GGUF with another chat template, and with further fields of text or numbers."""
    file = open_model(source)
    fields = {**file.fields, "tokenizer.chat_template": field("tokenizer.chat_template", jinja, "str")}
    for key, value in more.items():
        fields[key] = field(key, value, "str")
    write_model(out, file, fields.values(), {}, quant="F16", adapter_sha256=None)
    return out


@pytest.mark.parametrize(
    ("jinja", "tools"),
    [
        (TURNS, False),
        (WITH_TOOLS, True),
        ("{# tools #}" + TURNS, False),  # by what it does, not by its words
        ("{% if xml_tools %}{{ tools }}{% endif %}" + TURNS, False),  # offered under another name
        # Shows them only under a system message, and refuses a conversation without one.
        ("{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}" + WITH_TOOLS, True),
        # Calls what only another program has: taken at its word.
        ("{{ strftime_now('%Y') }}{% if tools %}{{ tools }}{% endif %}", True),
        ("{{ strftime_now('%Y') }}" + TURNS, False),
    ],
)
def test_tools_are_known_by_what_the_template_makes_of_one(jinja: str, tools: bool) -> None:
    assert shows_tools(jinja) is tools


def test_calls_of_earlier_turns_are_looked_for_by_themselves() -> None:
    assert (shows_calls(CALLS), shows_tools(CALLS)) == (True, False)
    assert (shows_calls(WITH_TOOLS), shows_tools(WITH_TOOLS)) == (False, True)
    as_object = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    as_object += "{% for k, v in c.function.arguments.items() %}{{ k }}{% endfor %}{% endfor %}{% endfor %}"
    assert shows_calls(as_object)


def test_a_file_says_it_of_itself(tiny_f16: Path, tmp_path: Path) -> None:
    assert abilities(tiny_f16) == Abilities(False, False, False, False)
    assert abilities(with_template(tiny_f16, tmp_path / "a.gguf", WITH_TOOLS)).tools
    named = with_template(tiny_f16, tmp_path / "b.gguf", TURNS, **{"tokenizer.chat_template.tool_use": WITH_TOOLS})
    assert abilities(named).tools
    sees = with_template(tiny_f16, tmp_path / "c.gguf", TURNS, **{"clip.vision.block_count": "2"})
    assert abilities(sees) == Abilities(False, False, True, False)


def test_a_server_that_renders_by_another_template_shows_what_that_one_shows(tiny_f16: Path, tmp_path: Path) -> None:
    file = with_template(tiny_f16, tmp_path / "a.gguf", WITH_TOOLS)
    able = abilities(file)
    assert through(able, file, WITH_TOOLS + "\n").tools
    assert not through(able, file, "{{ range .Messages }}{{ .Content }}{{ end }}").tools
    assert through(able, file, "{{ .Tools }}{{ range .Messages }}{{ .Content }}{{ end }}").tools


@pytest.mark.parametrize("jinja", [TURNS, WITH_TOOLS, "{# tools #}" + TURNS])
def test_llama_server_puts_tools_into_the_prompt_where_we_say_so_and_nowhere_else(
    jinja: str, tiny_f16: Path, tmp_path: Path
) -> None:
    file = with_template(tiny_f16, tmp_path / "a.gguf", jinja)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    with LlamaCppTarget(context_tokens=512, slots=1, threads=1).serve_file(file) as server:
        plain, offered = (
            server._post("/v1/chat/completions", asked)["usage"]["prompt_tokens"]
            for asked in (body, {**body, "tools": [tool]})
        )
    assert (offered > plain) is abilities(file).tools
