"""Which type a model ships in: the one that the settings name, or under `auto` the smallest that leaves it what it is.

`auto` measures, and keeps the figures: the mean KL divergence from the model's own F16 over its own greedy answers to
prompts of our suite, which nobody trains on. On a home that is settled once, on the untouched base, so that every
candidate and the live model are of one type; a candidate that this type hurts more than the bound is not certified.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from strop.config import Config
from strop.deploy import quantise
from strop.deploy.adapter import adapter_sha256
from strop.deploy.build import Build, build
from strop.deploy.certificate.answers import continued
from strop.deploy.certify import Certificate, Check
from strop.deploy.divergence import Divergence, Reference, trimmed
from strop.deploy.gguf import merge
from strop.deploy.quantise import SHIPPED, Shipped
from strop.deploy.reading import Pair
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.files import canonical_json, sha256_bytes, write_json
from strop.home import Home
from strop.trainer.models import BaseModel

Asked = Literal["Q4_K_M", "Q6_K", "Q8_0", "F16", "auto"]
AUTO: Literal["auto"] = "auto"
_CHECK = "divergence from F16"
_PROMPTS = 128
_ENOUGH = 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """The type, and what `auto` measured on the way to it (nothing where the type was named)."""

    quant: Shipped
    bound_nats: float
    measured: dict[str, Divergence]

    @property
    def sentence(self) -> str:
        """Why this type."""
        said = [f"{name} {found.mean_nats:.4f}" for name, found in self.measured.items()]
        if not said:
            return f"{self.quant}, as asked"
        return (
            f"{self.quant}: nats a token from F16 are {', '.join(said)}; at most {self.bound_nats:g} is allowed, "
            "and the smallest file that keeps it is taken"
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json` and for keeping."""
        measured = {name: asdict(found) for name, found in self.measured.items()}
        return {"quant": self.quant, "bound_nats": self.bound_nats, "measured": measured}


def decision_from(data: dict[str, Any]) -> Decision:
    """The inverse of `Decision.as_dict`."""
    measured = {name: Divergence(**found) for name, found in data["measured"].items()}
    return Decision(data["quant"], float(data["bound_nats"]), measured)


def for_base(home: Home, config: Config, base: BaseModel, base_f16: Path, on_note: Callable[[str], None]) -> Decision:
    """The type that this home's builds have; measured once per base and bound, then read from what was kept."""
    if config.quant != "auto":
        return Decision(config.quant, config.quant_max_kl, {})
    kept = _kept_at(home, [base.sha256, base.template_sha256, config.quant_max_kl, quantise.available()])
    if kept.is_file():
        return decision_from(json.loads(kept.read_text(encoding="utf-8")))
    on_note("measuring which type leaves the base what it is")
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".quant-") as scratch:

        def made(quant: Shipped) -> Path:
            out = Path(scratch) / f"{quant}.gguf"
            merge(base_f16, None, out, quant=quant)
            return out

        decision = smallest(measure(base_f16, base, Path(scratch)), made, config.quant_max_kl)
    write_json(kept, decision.as_dict())
    on_note(decision.sentence)
    return decision


def smallest(reference: Reference, made: Callable[[Shipped], Path], bound_nats: float) -> Decision:
    """The smallest type within the bound; F16 where none is. `made` writes the model in a type."""
    measured: dict[str, Divergence] = {}
    for quant in SHIPPED[:-1]:
        if quant != "Q8_0" and not quantise.available():
            continue
        measured[quant] = reference.of(made(quant))
        if measured[quant].mean_nats <= bound_nats:
            return Decision(quant, bound_nats, measured)
    return Decision("F16", bound_nats, measured)


@dataclass(frozen=True, slots=True)
class Made:
    """A build, and what was measured to choose its type or to say what the type costs."""

    built: Build
    decision: Decision

    @property
    def warning(self) -> str | None:
        """What a person should know who named a type that this model does not bear."""
        found = self.decision.measured.get(self.built.quant)
        if found is None or found.mean_nats <= self.decision.bound_nats:
            return None
        return (
            f"{self.built.quant} hurts this model: {found.figure}, over {self.decision.bound_nats:g}; try --quant auto"
        )


def made(
    home: Home, kind: Asked, base: BaseModel, base_f16: Path, adapter: Path | None, scratch: Path, bound_nats: float
) -> Made:
    """The build of an adapter in the type `kind`, or in the smallest that it bears (`auto`), below `scratch`.

    Q8_0 and F16, where they are asked for, are made and not measured: no model is known that they hurt. What was
    measured is kept in the home, and holds for as long as the same inputs give the same file.
    """
    builds: dict[Shipped, Build] = {}

    def built(quant: Shipped) -> Build:
        if quant not in builds:
            builds[quant] = build(base, base_f16, adapter, scratch / quant, quant, home.converter)
        return builds[quant]

    if kind == "F16" or kind == "Q8_0":
        return Made(built(kind), Decision(kind, bound_nats, {}))
    kept = _kept_at(home, [base.facts(), adapter and adapter_sha256(adapter), kind, bound_nats, quantise.available()])
    if (known := _known(kept)) is not None and built(known[0].quant).sha256 == known[1]:
        return Made(built(known[0].quant), known[0])
    held = measure(built("F16").gguf, base, scratch)
    if kind == AUTO:
        decision = smallest(held, lambda quant: built(quant).gguf, bound_nats)
    else:
        decision = Decision(kind, bound_nats, {kind: held.of(built(kind).gguf)})
    chosen = built(decision.quant)
    write_json(kept, {"sha256": chosen.sha256, **decision.as_dict()})
    return Made(chosen, decision)


def _kept_at(home: Home, facts: list[Any]) -> Path:
    """Where it is kept what was measured of such inputs."""
    return home.builds / f"quant-{sha256_bytes(canonical_json(facts).encode())[:16]}.json"


def _known(kept: Path) -> tuple[Decision, str] | None:
    """What was measured before, and the SHA-256 of the file that it was measured on; None where nothing was."""
    try:
        data = json.loads(kept.read_text(encoding="utf-8"))
        return decision_from(data), str(data["sha256"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or none of ours
        return None


def measure(exact: Path, base: BaseModel, scratch: Path) -> Reference:
    """What the F16 file `exact` answers to our prompts, and how sure it was: what other types are held against."""
    with LlamaCppTarget(context_tokens=512).serve_file(exact) as server:
        texts = answers(server, base)
    return reference(exact, base, texts, scratch)


def reference(exact: Path, base: BaseModel, texts: list[Pair], scratch: Path) -> Reference:
    """The distributions of `exact` over `texts`: in float32, or in bfloat16 where that would take half the memory here.

    bfloat16 adds about 0.002 nats of its own.
    """
    import psutil

    in_float32 = 2 * exact.stat().st_size
    precision = "fp32" if in_float32 < psutil.virtual_memory().total / 2 else "bf16"
    return Reference(exact, base.folder, texts, scratch, precision)


def answers(server: LlamaServer, base: BaseModel) -> list[Pair]:
    """Greedy answers of a served model to prompts from all over our suite, about a thousand tokens."""
    from transformers import AutoTokenizer

    from strop.evaluation import suites
    from strop.trainer.render import Renderer

    render = Renderer(AutoTokenizer.from_pretrained(base.folder, local_files_only=True))
    items = suites.load()
    prompts = [render.prompt(item.conversation) for item in items[:: max(1, len(items) // _PROMPTS)]]
    return trimmed(continued(server, prompts, _ENOUGH), _ENOUGH)


def check(found: Divergence, quant: str, bound_nats: float) -> Check:
    """The certificate's question under `auto`: is this model still itself in the type that the home uses?"""
    figure = f"{found.figure}; at most {bound_nats:g} allowed in {quant}"
    return Check(_CHECK, found.mean_nats <= bound_nats, figure)


def answers_for(certificate: Certificate, bound_nats: float) -> bool:
    """Whether a kept certificate asked that question under this very bound."""
    return any(one.name == _CHECK and f"at most {bound_nats:g} allowed" in one.figure for one in certificate.checks)
