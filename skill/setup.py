"""What every night, chat and tune stands on: the target, the resolved base, and version 0, the untouched base."""

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop import quant, requantised
from strop.built_files import certificate as certificate_file
from strop.config import Config
from strop.deploy.base import base_gguf
from strop.deploy.build import Build, build, read_build
from strop.deploy.certify import Certificate, OnStep, Origin, Served, certificate_from, certify, certify_file, names
from strop.deploy.own import own_gguf
from strop.deploy.release import release
from strop.deploy.targets.base import Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import DeployError, UnknownModel
from strop.files import DamagedFolder, canonical_json, read_manifest, sha256_bytes, write_json
from strop.home import Home
from strop.trainer import machine, memory, shape
from strop.trainer.models import SHORT_NAMES, BaseModel, resolve
from strop.trainer.recipe import Recipe

# Told how far a long command is: (stage, share from 0 to 1 or None, figures).
OnProgress = Callable[[str, float | None, str], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """The base on this disk, and its version."""

    base: BaseModel
    base_f16: Path
    version: Version


def wants_converter(model: str) -> bool:
    """Whether a base is in safetensors, without a GGUF of its makers beside them."""
    ref = SHORT_NAMES.get(model, model)
    if ref.startswith("hf:"):
        return True
    folder = Path(ref).expanduser()
    return (folder / "config.json").is_file() and own_gguf(folder) is None


def prepare(home: Home, config: Config, target: Target, on_progress: OnProgress) -> Ground:
    """Resolve the base, convert it once, and make it version 0 and live where nothing is live yet.

    Raises UnknownModel, NotCertified, and what the target raises. Safe to repeat; the second time costs a hash.
    """
    home.ensure()
    target.active()  # a server that is not there is said before anything is fetched
    base = resolve(
        config.model, home.models, lambda note: on_progress("base", None, note), ollama_host=config.ollama.host
    )
    base_f16 = base_gguf(base, home.builds, home.converter)
    versions = Versions(home.state_db)
    version = _base_version(home, config, base, base_f16, versions, on_progress)
    if versions.live() is None:
        release(versions, target, version.tag, home.release_lock, {"reason": "the untouched base"})
    return Ground(base, base_f16, version)


def _base_version(
    home: Home, config: Config, base: BaseModel, base_f16: Path, versions: Versions, on_progress: OnProgress
) -> Version:
    known = next((version for version in versions.list() if version.number == 0), None)
    wanted = _quant(home, config, base, base_f16, known, on_progress)
    if known is not None:
        if known.base_ref != base.ref or known.quant != wanted:
            raise DeployError(
                f"this home stands on {known.base_ref} in {known.quant}, not on {base.ref} in {wanted}",
                hint="use another home for another base: STROP_HOME=DIR strop init --model ...",
            )
        _check_unchanged(known, base)
        return known
    built = made_build(home, base, base_f16, None, wanted)
    on_progress("base", 0.5, "comparing the served base with transformers")
    certificate = certified(home, built, base_f16, base, None)
    certificate.demand()
    on_progress("base", 1.0, certificate.checks[-1].figure)
    if base.gguf is not None and base.ref.startswith("ollama:"):
        loss = requantised.measured(home, base, base.gguf, built.gguf, wanted)
        on_progress("base", None, loss.sentence)
    return versions.add(
        gguf=built.gguf,
        sha256=built.sha256,
        folder=built.folder,
        base_ref=base.ref,
        adapter_sha=None,
        quant=wanted,
        state="certified",
        number=0,
    )


def _quant(
    home: Home, config: Config, base: BaseModel, base_f16: Path, known: Version | None, on_progress: OnProgress
) -> str:
    """The type of this home's builds. Another base than the one that it stands on is refused before it is measured."""
    if known is not None and known.base_ref != base.ref:
        return known.quant
    return quant.for_base(home, config, base, base_f16, lambda note: on_progress("base", None, note)).quant


def _check_unchanged(known: Version, base: BaseModel) -> None:
    """Raise DeployError where the name of the base means something else now than when this home was set up."""
    before, now = read_manifest(known.folder)["base"], base.facts()
    if before == now:
        return
    template = before["template_sha256"] != now["template_sha256"]
    what = "chat template" if template else "weights or tokenizer"
    raise DeployError(
        f"the {what} of {base.ref} changed since this home was set up on it",
        hint="put the old files back or name the revision; for another base, another home: STROP_HOME=DIR strop init",
    )


def need_room(home: Home, base: BaseModel, recipe: Recipe) -> None:
    """Raise Missing where the disk cannot take an adapter and the build of it: found before the training, not after.

    A base whose shape cannot be read is left to the training to refuse.
    """
    try:
        found = shape.from_folder(base.folder)
    except UnknownModel:
        return
    built = 2 * found.parameters  # bytes of F16; a build in Q8_0 takes half of that
    machine.need_disk(home.path, memory.adapter_bytes(found, recipe.rank, recipe.precision) + built)


def made_build(home: Home, base: BaseModel, base_f16: Path, adapter: Path | None, kind: Any) -> Build:
    """The build of an adapter on the base, made unless it is there and whole."""
    from strop.deploy.adapter import adapter_sha256

    key = {"base": base.sha256, "adapter": adapter_sha256(adapter) if adapter else None, "quant": kind}
    folder = home.builds / f"build-{sha256_bytes(canonical_json(key).encode())[:16]}"
    try:
        return read_build(folder)
    except DamagedFolder:
        return build(base, base_f16, adapter, folder, kind, home.converter)


def certified(
    home: Home,
    built: Build,
    base_f16: Path,
    base: BaseModel,
    adapter: Path | None,
    max_kl: float | None = None,
    on_step: OnStep = lambda text: None,
) -> Certificate:
    """The certificate of a build, served by the embedded llama-server; a good one is kept, so that it is asked once.

    With `max_kl` it has to be no further than that many nats a token from its own F16 too. It takes a minute and more:
    `on_step` is told what is done next.
    """
    kept = certificate_file(home, built.sha256)
    known = _kept(kept, names(adapted=adapter is not None, is_quantised=built.quant != "F16"))
    if known is not None and (max_kl is None or built.quant == "F16" or quant.answers_for(known, max_kl)):
        return known
    origin = Origin(base, base_f16, adapter, built.sha256, built.merged.get("way") == "full")
    certificate = certify_file(built.gguf, origin)
    if certificate.ok:
        served = _certified_served(home, built, origin, max_kl, on_step)
        certificate = Certificate((*certificate.checks, *served.checks))
    if certificate.ok:
        write_json(kept, certificate.as_dict())
    return certificate


def _kept(path: Path, questions: Sequence[str]) -> Certificate | None:
    """The certificate that is kept there; None where there is none, or one that an older Strop asked less for."""
    try:
        certificate = certificate_from(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or none of ours
        return None
    return certificate if certificate.ok and certificate.covers(questions) else None


def _certified_served(home: Home, built: Build, origin: Origin, max_kl: float | None, on_step: OnStep) -> Certificate:
    """What the served build says, beside the same merge in F16."""
    from strop.evaluation import suites

    conversations = [item.conversation for item in suites.load()[:160]]
    target = LlamaCppTarget(context_tokens=512)
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".exact-") as scratch, ExitStack() as stack:
        served = Served(stack.enter_context(target.serve_file(built.gguf)), built.gguf)
        exact = served
        if built.quant != "F16":
            whole = build(origin.base, origin.base_f16, origin.adapter, Path(scratch) / "f16", "F16", home.converter)
            exact = Served(stack.enter_context(target.serve_file(whole.gguf)), whole.gguf)
        certificate = certify(served, exact, origin, conversations, on_step)
        if max_kl is None or exact is served:
            return certificate
        texts = quant.answers(exact.server, origin.base)
        found = quant.reference(exact.gguf, origin.base, texts, Path(scratch)).of(built.gguf)
        return Certificate((*certificate.checks, quant.check(found, built.quant, max_kl)))
