"""strop.deploy.targets.ollama_template: Jinja as the training library renders it, and its Go twin."""

from pathlib import Path
from types import ModuleType

import pytest

from strop.deploy.targets.ollama_template import ChatFormat, chat_format, go_template_for, render
from strop.errors import BadGguf

QWEN = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if not (loop.first and message.role == 'system') %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def test_chatml_is_known_with_and_without_a_default_system_prompt(fakes: ModuleType) -> None:
    plain, qwen = go_template_for(fakes.CHATML), go_template_for(QWEN)
    assert plain is not None
    assert "system" not in plain
    assert qwen is not None
    assert "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" in qwen


@pytest.mark.parametrize(
    "jinja",
    [
        "{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}",
        QWEN.replace("message.content", "message.content | trim"),
        QWEN.replace("a helpful", "{{ '{{' }}a helpful"),
        QWEN.replace("assistant.<", "assistant. Today is ' + strftime_now('%d') + '.<"),
        "{% for m in messages %}",
        "{{ raise_exception('no') }}",
        "{{ messages.__class__.__mro__ }}",
        "",
    ],
)
def test_a_template_that_is_not_chatml_has_no_go_twin(jinja: str) -> None:
    assert go_template_for(jinja) is None


def test_a_bos_that_the_tokenizer_adds_is_not_written_twice() -> None:
    jinja = "{{ bos_token }}{{ messages[0].content }}"
    for add_bos, text in ((True, "Hi"), (False, "<s>Hi")):
        chat = ChatFormat(jinja, "<s>", "</s>", add_bos, None)
        assert render(chat, [{"role": "user", "content": "Hi"}]) == text


def test_a_template_that_refuses_is_a_clear_error() -> None:
    chat = ChatFormat("{{ raise_exception('roles must alternate') }}", "", "", False, None)
    with pytest.raises(BadGguf, match="roles must alternate"):
        render(chat, [{"role": "user", "content": "Hi"}])


def test_a_file_without_a_template_is_refused(fakes: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(BadGguf, match="no chat template"):
        chat_format(fakes.tiny_gguf(tmp_path / "m.gguf", "x", template=None))
