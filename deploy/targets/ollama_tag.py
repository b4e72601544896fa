"""A tag whose `/api/chat` says what the training template says, made and proved on the server itself.

    before 0.30   a Go template of ours; the server must count as many tokens as it does for our own rendering
    from 0.30 on  no template: the GGUF's own Jinja answers, and /api/show must give it back word for word, with no
                  renderer or parser of Ollama's own beside it

Ollama takes no build of ours for one of its own list: the comment before its template sees to that (`template_guard`).
Of a file without the comment, built by an older Strop, it may attach its own Go template without a word, and that one
would answer: an explicit Go template, where we have one that says the same, displaces it; else the tag is refused. So
is a family that Ollama renders by code of its own, whatever the template says.

A template that has no Go twin is not covered before 0.30: there `/api/chat` cannot speak it, which is logged, and only
prompts that are rendered by us and sent raw (the gate's) are right.
"""

import logging
from collections.abc import Mapping
from typing import Any

from strop.deploy.targets.ollama_api import OWN_TEMPLATE_VERSION, OllamaApi, Shown
from strop.deploy.targets.ollama_template import SAMPLES, ChatFormat, go_template_for, marked, render
from strop.errors import StropError, TargetError

_log = logging.getLogger(__name__)
_PROVED = SAMPLES[:2] + SAMPLES[3:4]  # no system turn, one, and several turns
# To these families (the beginning of their names) Ollama gives a renderer and a parser when it makes a model of them.
_BUILT_IN = ("gemma4", "laguna", "nemotron_h")
_LLAMACPP = 'target = "llamacpp" in strop.toml serves it with the template that it was trained with'


def check_family(api: OllamaApi, chat: ChatFormat) -> None:
    """Raise TargetError for a family whose template this server never asks. Before a gigabyte is sent."""
    if chat.architecture.startswith(_BUILT_IN) and api.version() >= OWN_TEMPLATE_VERSION:
        raise TargetError(
            f"Ollama renders every {chat.architecture} by code of its own and not by the template of the training",
            hint=_LLAMACPP,
        )


def create(
    api: OllamaApi,
    name: str,
    sha256: str,
    parameters: Mapping[str, Any],
    chat: ChatFormat,
    template: str | None,
    mark: str,
) -> None:
    """Make the tag of an uploaded file. `template` is a Go template that somebody chose, None to leave it to us.

    Raises TargetError, also where the server would answer with a template of its own list; the tag is then gone again.
    """
    twin = template or go_template_for(chat.jinja)
    ours = None if twin is None else marked(twin, mark)
    if template is not None or api.version() < OWN_TEMPLATE_VERSION:
        api.create(name, sha256, parameters, ours)
        return
    api.create(name, sha256, parameters, None)
    shown = api.show(name)
    if shown.built_in is None and _same(shown.template, chat.jinja):
        return
    if ours is None or shown.built_in is not None:
        _take_back(api, name)
        raise _not_the_training_template(name, shown)
    api.create(name, sha256, parameters, ours)


def prove(api: OllamaApi, name: str, shown: Shown, chat: ChatFormat, template: str | None, mark: str) -> None:
    """See that a loaded tag answers with the training template, or with one that is proved equal on this server.

    `shown` is what the server shows of it. Raises TargetError where it does not; the tag is then gone, so that the next
    try makes it anew.
    """
    twin = template or go_template_for(chat.jinja)
    if shown.built_in is not None:
        _take_back(api, name)
        raise _not_the_training_template(name, shown)
    if api.version() >= OWN_TEMPLATE_VERSION and template is None:
        if not _same(shown.template, chat.jinja) and (twin is None or not _same(shown.template, marked(twin, mark))):
            _take_back(api, name)
            raise TargetError(f"{name} has another chat template than its file", hint="run it again")
    elif twin is None:
        _log.warning("%s: only `strop` renders its chat template right; Ollama's own /api/chat does not", name)
    elif not _counts_agree(api, name, chat):
        _take_back(api, name)
        raise TargetError(
            f"{name} makes other prompts of conversations than the model was trained with", hint="strop doctor"
        )


def _counts_agree(api: OllamaApi, name: str, chat: ChatFormat) -> bool:
    for sample in _PROVED:
        ours = api.generate(name, render(chat, sample), {"num_predict": 1, "temperature": 0}).prompt_eval_count
        if ours is None or api.chat_tokens(name, sample) != ours:
            return False
    return True


def _not_the_training_template(name: str, shown: Shown) -> TargetError:
    if shown.built_in is not None:
        return TargetError(f"Ollama answers for {name} by code of its own, {shown.built_in}", hint=_LLAMACPP)
    return TargetError(
        f"Ollama took the chat template of {name} for one of its own list and would answer with that one",
        hint=f"strop night builds it anew, with a comment that keeps Ollama from that; or {_LLAMACPP}",
    )


def _same(shown: str, wanted: str) -> bool:
    return shown.strip() == wanted.strip()


def _take_back(api: OllamaApi, name: str) -> None:
    try:
        api.delete(name)
    except StropError as error:
        _log.warning("%s stays on the server: %s", name, error)
