"""Does the build answer as the adapter does? Asked before the gate, so that the gate judges a model and not a bug.

Covered: the file (`certificate.file`), what the server makes of text (`certificate.tokens`), and its answers, against
transformers and against the same merge in F16 (`certificate.answers`). Not covered: quality; that is the gate's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strop.deploy.certificate import answers, file, tokens
from strop.deploy.certificate.form import (
    EFFECT,
    MERGE,
    QUANTISED,
    Certificate,
    Check,
    OnStep,
    Origin,
    Served,
    certificate_from,
    spoken,
)
from strop.deploy.certificate.reference import Reference
from strop.deploy.reading import Pair
from strop.deploy.targets.base import Conversation
from strop.trainer.render import Renderer

__all__ = [
    "Certificate",
    "Check",
    "OnStep",
    "Origin",
    "Served",
    "certificate_from",
    "certify",
    "certify_file",
    "names",
    "spoken",
]


def names(*, adapted: bool, is_quantised: bool) -> tuple[str, ...]:
    """Every question that a certificate of such a build answers, in order."""
    effect = (EFFECT,) if adapted else ()
    return (*file.NAMES, *tokens.NAMES, MERGE, *effect, *((QUANTISED,) if is_quantised else ()))


def certify_file(gguf: Path, origin: Origin) -> Certificate:
    """What the file alone says. Asked first: no server is started on a file that is not what it should be.

    Raises BadGguf where the base's own file is damaged, and what transformers raises over the base's folder.
    """
    return Certificate(tuple(file.file_checks(gguf, origin, _tokenizer(origin))))


def certify(
    built: Served,
    exact: Served,
    origin: Origin,
    conversations: Sequence[Conversation],
    on_step: OnStep = lambda text: None,
) -> Certificate:
    """Compare a running build with transformers. `exact` is the same merge in F16 (the build itself where it is F16).

    `conversations` are what the continuations start from, as many of them as it takes: 32 are enough for a talkative
    model, 100 for one that answers in a dozen tokens. `on_step` is told what is done next. Raises whatever the server
    or transformers raise; a check that could not be made never passes.
    """
    tokenizer = _tokenizer(origin)
    render = Renderer(tokenizer)
    checks = tokens.token_checks(built.server, tokenizer, conversations)
    prompts = [render.prompt(conversation) for conversation in conversations]
    pairs = answers.continued(exact.server, prompts, on_step=on_step)
    return Certificate((*checks, *_answer_checks(built, exact, origin, pairs, on_step)))


def _answer_checks(built: Served, exact: Served, origin: Origin, pairs: Sequence[Pair], on_step: OnStep) -> list[Check]:
    adapted, is_quantised = origin.adapter is not None, built.gguf != exact.gguf
    some = answers.measured(pairs)
    on_step("how likely the build finds these answers")
    likely = built.server.likeliest(some, answers.NAMED) if adapted or is_quantised else []
    on_step("how likely transformers finds them")
    reference = Reference(origin.base, origin.adapter)
    wanted = [[list(answers.few(place)) for place in places] for places in likely] if adapted else []
    opinions = reference.read(pairs, wanted)
    checks = [answers.agreement(pairs, opinions)]
    if adapted:
        on_step("how likely the base finds them without the adapter")
        bare = reference.read(some, wanted, bare=True)
        checks.append(answers.effect(likely, opinions[: len(some)], bare))
    if is_quantised:
        on_step("how likely F16 finds them")
        checks.append(answers.quantised(exact.server.likeliest(some, answers.NAMED), likely))
    return checks


def _tokenizer(origin: Origin) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(origin.tokenizer_folder, local_files_only=True)
