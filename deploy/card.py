"""The model card and the manifest of a published version: made of figures and hashes, never of anybody's words.

Both are the same for the same version whenever they are made: a second push changes nothing.
Metadata that the Hub reads: https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from strop.deploy.licence import UNKNOWN, Licence

Kind = Literal["adapter", "merged"]
_HUB_REF = re.compile(r"hf:(?P<repo>[^@\s]+)@(?P<revision>[0-9A-Za-z._-]+)")
_COUNTS = {
    "sft": "answers to imitate (SFT)",
    "dpo": "pairs of a wanted and a refused answer (DPO)",
    "kto": "single answers with a thumb (KTO)",
    "hindsight": "answers with what was said next (hindsight)",
    "grpo": "tasks whose answers can be checked (GRPO)",
    "standing": "of these from standing data",
    "gate": "held out to judge by: not learned from",
}
_LIMITS = (
    "It was made for one person's or one team's taste, and judged by theirs. Other people's was not asked.",
    "It knows no more than its base does; manner was learned, facts were not checked beyond the figures above.",
    "It may repeat what it was trained on, word for word. The feedback itself is not published.",
    "The gate speaks of the served GGUF in the quantisation below; another conversion was not judged.",
)


@dataclass(frozen=True, slots=True)
class Base:
    """The base as it may be told to others: `ref` holds no path of the machine that trained on it."""

    ref: str
    sha256: str
    template_sha256: str
    licence: Licence = UNKNOWN

    @property
    def on_the_hub(self) -> tuple[str, str] | None:
        """(repository, revision) where the base is one of the Hub's."""
        found = _HUB_REF.fullmatch(self.ref)
        return (found["repo"], found["revision"]) if found else None

    @property
    def is_public(self) -> bool:
        """Whether anybody can get the same files."""
        return self.on_the_hub is not None or self.ref.startswith("pypi:")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card says. `figures` are rows of (what, value, from, to, items), `counts` numbers of rows by method."""

    tag: str
    kind: Kind
    base: Base
    quant: str
    gguf_sha256: str
    adapter_sha256: str
    reasons: Sequence[str]
    figures: Sequence[tuple[str, str, str, str, int]] = ()
    certificate: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


def public_ref(ref: str) -> str:
    """A base's name for others: as it is where it names something public, else only what kind of thing it was."""
    if ref.startswith(("hf:", "pypi:", "ollama:")):
        return ref
    return "a local GGUF file" if ref.startswith("gguf:") else "a local model folder"


def card(facts: Facts) -> str:
    """README.md of the repository."""
    parts = [
        _front_matter(facts),
        f"# {facts.tag}",
        f"{_what(facts)} Made by Strop from ratings and corrections, and published after its gate found it better.",
        "## Base",
        _bullets(_base(facts.base)),
        "## What it was made from",
        _bullets(_counts(facts.counts)) or "The counts were not kept.",
        "Counts only: what people wrote is not published, here or in any file of this repository.",
        "## The gate",
        "Verdict: **promote**. The very GGUF that is served was compared with the model that was served before:",
        _bullets([_line(reason) for reason in facts.reasons]),
        _figures(facts.figures),
        "## The build",
        _bullets([f"quantisation {facts.quant}", *map(_line, facts.certificate)]),
        "## Limits",
        _bullets(_LIMITS),
        "## Licence",
        f"That of the base: {_line(facts.base.licence.sentence)}. Keep to it; nothing is added to its terms here.",
        "## Use",
        _use(facts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def manifest(facts: Facts, files: Mapping[str, str]) -> dict[str, Any]:
    """strop.json of the repository: hashes of what it was made of and of its files (name: SHA-256), and figures."""
    base = facts.base
    return {
        "made_by": "strop",
        "version": facts.tag,
        "kind": facts.kind,
        "base": {"ref": base.ref, "sha256": base.sha256, "template_sha256": base.template_sha256},
        "licence": base.licence.name,
        "adapter_sha256": facts.adapter_sha256,
        "gguf_sha256": facts.gguf_sha256,
        "quant": facts.quant,
        "recipe": dict(facts.recipe),
        "counts": dict(facts.counts),
        "gate": {"outcome": "promote", "reasons": list(facts.reasons)},
        "files": dict(files),
    }


def adapter_config(config: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """PEFT's config for others: the base's name on the Hub with its revision, and no path."""
    repo, revision = base.on_the_hub or (base.ref, None)
    return {**config, "base_model_name_or_path": repo, "revision": revision}


def _front_matter(facts: Facts) -> str:
    """What the Hub reads. JSON strings are YAML."""
    repo = facts.base.on_the_hub
    licence = facts.base.licence
    fields: dict[str, Any] = {"base_model": repo[0]} if repo else {}
    if repo:
        fields["base_model_relation"] = "adapter" if facts.kind == "adapter" else "finetune"
    if licence.identifier:
        fields["license"] = licence.identifier
    elif licence != UNKNOWN:
        fields |= {"license": "other", "license_name": licence.name}
    fields |= {"library_name": "peft"} if facts.kind == "adapter" else {}
    fields |= {"pipeline_tag": "text-generation", "tags": ["strop", "lora" if facts.kind == "adapter" else "gguf"]}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _what(facts: Facts) -> str:
    if facts.kind == "adapter":
        return "A LoRA adapter (PEFT) in the file `adapter_model.safetensors`."
    return f"A model with its fine-tuning merged in, as GGUF in {facts.quant}: the file `model.gguf`."


def _base(base: Base) -> list[str]:
    repo = base.on_the_hub
    named = f"[{repo[0]}](https://huggingface.co/{repo[0]}), revision `{repo[1]}`" if repo else _line(base.ref)
    return [
        named,
        f"SHA-256 of weights and tokenizer `{base.sha256}`",
        f"of the chat template `{base.template_sha256}`",
    ]


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{counts[name]} {words}" for name, words in _COUNTS.items() if counts.get(name)]


def _figures(rows: Sequence[tuple[str, str, str, str, int]]) -> str:
    if not rows:
        return ""
    head = ["With 95 % intervals:", "", "| | value | from | to | items |", "|---|---:|---:|---:|---:|"]
    return "\n".join(
        head + [f"| {_line(what)} | {value} | {low} | {high} | {n} |" for what, value, low, high, n in rows]
    )


def _use(facts: Facts) -> str:
    if facts.kind == "merged":
        return "Any program that reads GGUF takes `model.gguf`; its chat template is the base's and lies inside."
    repo = facts.base.on_the_hub
    if repo is None:
        return "Load the base above, then this adapter with `PeftModel.from_pretrained`."
    return f"Load `{repo[0]}` at revision `{repo[1]}`, then this adapter with `PeftModel.from_pretrained`."


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _line(text: str) -> str:
    """One line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
