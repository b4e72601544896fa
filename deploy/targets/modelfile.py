"""A Modelfile for a GGUF, for people who make their own model in Ollama with `ollama create NAME -f FILE`.

It says what our own tags say: the file, the chat template in Go where one is proven to say what the file's Jinja says,
the context and the end of turn. Without such a template, Ollama from 0.30 on uses the Jinja of the file by itself.
"""

from pathlib import Path

from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.ollama_template import chat_format, go_template_for
from strop.errors import DeployError

_NO_TEMPLATE = """\
# No TEMPLATE: none in Go is proven to say what this model's own chat template says. Ollama from 0.30 on reads that one
# from the file; an older one needs a TEMPLATE of yours here."""


def modelfile(gguf: Path, settings: OllamaSettings) -> str:
    """The text of a Modelfile that stands beside `gguf`. Raises BadGguf where the file has no chat template."""
    chat = chat_format(gguf)
    template = go_template_for(chat.jinja)
    lines = [f"FROM {_quoted('./' + gguf.name)}", _NO_TEMPLATE if template is None else f"TEMPLATE {_block(template)}"]
    context = settings.num_ctx if chat.context_tokens is None else min(settings.num_ctx, chat.context_tokens)
    if context is not None:
        lines.append(f"PARAMETER num_ctx {context}")
    if chat.eos:
        lines.append(f"PARAMETER stop {_quoted(chat.eos)}")
    # Ollama's default penalty of 1.1 on repeated words is not what the model was trained and compared with.
    lines.append("PARAMETER repeat_penalty 1.0")
    return "\n".join(lines) + "\n"


def _block(text: str) -> str:
    if '"""' in text:
        raise DeployError(
            "the chat template holds three quotes, which a Modelfile cannot", hint="leave --modelfile out"
        )
    return f'"""{text}"""'


def _quoted(text: str) -> str:
    if '"' in text or "\n" in text:
        raise DeployError(f"{text!r} cannot be written in a Modelfile", hint="give the file a plainer name with --to")
    return f'"{text}"'
