"""strop.deploy.template_guard: a comment that keeps a template out of Ollama's list, and that nobody else notices."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy.certificate.file import METADATA, TEMPLATE
from strop.deploy.container import field, read
from strop.deploy.convert import convert
from strop.deploy.gguf import TEMPLATE_KEY, merge, metadata
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama_template import go_template_for
from strop.deploy.template_guard import GUARD, guarded, plain

INNER = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# How a template may begin: each renders something else, unless white space is kept word for word.
BEGINNINGS = (
    "",
    "\n",
    "\n\n",
    "  ",
    "  \n",
    "\t",
    "\r\n",
    "Hi ",
    "\nHi\n",
    "{#- c -#}\n",
    "  {#- c #}",
    "^",
    "{%- if 1 %}\n",
)
CONVERSATIONS = (
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be {brief}.\n"}, {"role": "user", "content": "\nTwo {# words #}?"}],
    [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two {{ 1 }}\n"},
        {"role": "user", "content": "Three"},
    ],
)


def template(beginning: str) -> str:
    return beginning + INNER + ("{% endif %}" if beginning.startswith("{%- if") else "")


@pytest.fixture(scope="module")
def families() -> dict[str, str]:
    """Chat templates of models that are trained: those that TRL carries."""
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    found = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.jinja")}
    assert len(found) > 10
    return found


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_the_template_comes_back_word_for_word(beginning: str) -> None:
    jinja = template(beginning)
    assert plain(guarded(jinja)) == jinja == plain(jinja)
    assert guarded(guarded(jinja)) == guarded(jinja) != jinja


def test_it_is_a_hundred_edits_from_every_template(families: dict[str, str], fakes: ModuleType) -> None:
    """Also from one that is as much longer as the comment is, at the same place."""
    assert GUARD.count("^") >= fakes.LIMIT + 28
    assert not [name for name, jinja in families.items() if "^" in jinja]
    short = sorted(families.values(), key=len)[:8]
    for jinja in short:
        assert fakes.edits(jinja, jinja) == 0
        assert fakes.edits(guarded(jinja), GUARD.replace("^", "-") + jinja) == 128
        assert min(fakes.edits(guarded(jinja), other) for other in short) >= 128


def test_the_fake_counts_edits_as_everybody_does(fakes: ModuleType) -> None:
    assert [fakes.edits(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("abc", ""), ("flaw", "lawn"))] == [
        *(3, 3, 3, 2)
    ]


def test_transformers_renders_the_same(tiny_base: Path, families: dict[str, str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    asked = 0
    for jinja in [*map(template, BEGINNINGS), *families.values()]:
        for conversation in CONVERSATIONS:
            ids = [_ids(tokenizer, one, conversation) for one in (jinja, guarded(jinja))]
            assert ids[0] == ids[1], jinja[:80]
            asked += ids[0] is not None
    assert asked > 3 * len(BEGINNINGS)


def _ids(tokenizer: Any, jinja: str, conversation: list[dict[str, str]]) -> list[int] | None:
    """The tokens of a conversation, None where the template refuses it."""
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            conversation, chat_template=jinja, add_generation_prompt=True, tokenize=False
        )
    except (TemplateError, TypeError):
        return None
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["", "\n\n", "  \n", "\t", "llama3", "qwen3", "gemma3", "deepseekv3", "gptoss"])
def test_llama_server_renders_the_same(tiny_base: Path, families: dict[str, str], tmp_path: Path, family: str) -> None:
    jinja = families.get(family) or template(family)
    shutil.copytree(tiny_base, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_bytes(jinja.encode())
    convert(tmp_path / "base", tmp_path / "bare.gguf")
    merge(tmp_path / "bare.gguf", None, tmp_path / "guarded.gguf", quant="F16", guard=True)
    assert metadata(read(tmp_path / "guarded.gguf"), TEMPLATE_KEY) == guarded(jinja)
    target, said = LlamaCppTarget(context_tokens=256, slots=1, threads=1), []
    for name in ("bare", "guarded"):
        with target.serve_file(tmp_path / f"{name}.gguf") as server:
            prompts = [server._post("/apply-template", {"messages": one})["prompt"] for one in CONVERSATIONS]
            said.append((prompts, [server.tokenize(prompt, special=True) for prompt in prompts]))
    assert said[0] == said[1]
    assert all("Hi" in prompts[0] for prompts, _ in said)


def test_a_go_twin_is_found_behind_the_comment(fakes: ModuleType) -> None:
    assert go_template_for(guarded(fakes.CHATML)) == go_template_for(fakes.CHATML) is not None


def test_the_certificate_reads_the_template_behind_the_comment(
    tiny: Any, tiny_f16: Path, tmp_path: Path, planted: ModuleType
) -> None:
    from strop.deploy.certify import Origin, certify_file
    from strop.files import sha256_file

    merge(tiny_f16, None, tmp_path / "build.gguf", quant="F16", guard=True)

    def checks(gguf: Path) -> dict[str, bool]:
        found = certify_file(gguf, Origin(tiny, tiny_f16, None, sha256_file(gguf)))
        return {check.name: check.ok for check in found.checks}

    assert all(checks(tmp_path / "build.gguf").values())
    jinja = str(metadata(read(tiny_f16), TEMPLATE_KEY))
    changes: dict[str, Callable[[str], str]] = {
        "the template": lambda text: guarded(text.replace("user", "User") + " "),
        "the comment": lambda text: guarded(text).replace("word for word", "word by word"),
        "twice": lambda text: GUARD + guarded(text),
    }
    for name, change in changes.items():
        other = field(TEMPLATE_KEY, change(jinja), "str")
        found = checks(planted.with_fields(tmp_path / "build.gguf", tmp_path / f"{name}.gguf", other))
        assert (found[TEMPLATE], found[METADATA]) == (False, False), name
