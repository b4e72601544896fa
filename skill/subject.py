"""What `--model` may name, and how each is asked: a version, an adapter, a model folder, an endpoint.

live, base, previous, v0003, v0003-1a2b3c4d   a version, answered by its server, scored from the very file
DIR with adapter_config.json                  an adapter, beside its base in transformers
the name of a folder in the home's adapters   the same
DIR with config.json, smollm2, hf:, gguf:     a whole model in transformers
http://127.0.0.1:8080/v1                      an OpenAI-compatible endpoint, which answers and cannot score
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from strop.config import Config
from strop.deploy.adapter import adapter_sha256
from strop.deploy.endpoint import Address, Endpoint
from strop.deploy.served import served_model
from strop.deploy.tags import is_tag
from strop.deploy.targets.base import Conversation, Generation
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import Missing, UsageError
from strop.evaluation.model import Model
from strop.home import Home
from strop.setup import OnProgress, prepare
from strop.target import GATE_CONTEXT_TOKENS, open_target
from strop.trainer.models import BaseModel, resolve
from strop.trainer.origin import ADAPTER_CONFIG, adapter_base
from strop.trainer.plan import choose_precision
from strop.trainer.supervisor import need_training_packages

Kind = Literal["version", "adapter", "model", "endpoint"]
_NUMBERED = re.compile(r"v\d{1,9}")
_AT_ONCE = 4  # requests to an endpoint at a time
_LONGEST_S = 600.0  # for one answer of a version


@dataclass(frozen=True, slots=True)
class Subject:
    """One model that can be asked.

    `identity` is all that its answers depend on, None where that cannot be known: then nothing of it is kept.
    `opened` loads or connects. `base`, `adapter` and `address` say where it is, for who asks it in another way; a
    version that llama-server serves has none and can be given one (`reachable`).
    """

    name: str
    kind: Kind
    identity: tuple[str, ...] | None
    opened: Callable[[], AbstractContextManager[Model]]
    base: BaseModel | None = None
    adapter: Path | None = None
    address: Address | None = None
    at_once: int = 1
    served: Callable[[], AbstractContextManager[Address]] | None = None

    @property
    def scores(self) -> bool:
        """Whether it tells likelihoods."""
        return self.kind != "endpoint"


def is_url(name: str) -> bool:
    """Whether `--model` names an endpoint."""
    return name.lower().startswith(("http://", "https://"))


@contextmanager
def reachable(subject: Subject) -> Iterator[Subject]:
    """The subject with an address, where it has one or a server of its own can be started: that ends with the block."""
    if subject.served is None:
        yield subject
        return
    with subject.served() as address:
        yield replace(subject, address=address)


def at_endpoint(to: Address, kept_as: str | None) -> Subject:
    """The model behind an address. A server may change what answers: what it said is kept only under a given name."""
    identity = ("endpoint", to.base, to.model_name, kept_as) if kept_as else None

    @contextmanager
    def opened() -> Iterator[Model]:
        with Endpoint(to) as endpoint:
            yield _Answers(endpoint)

    return Subject(f"{to.model_name} at {to.base}", "endpoint", identity, opened, address=to, at_once=_AT_ONCE)


def here(name: str, home: Home, config: Config, on_progress: OnProgress) -> Subject:
    """The model on this machine that `name` means.

    Raises UnknownVersion, UnknownModel, Missing for packages or files that are not there, and what a target raises.
    """
    need_training_packages()
    if name in ("live", "base", "previous") or is_tag(name) or _NUMBERED.fullmatch(name):
        return _of_version(name, home, config, on_progress)
    precision, _ = choose_precision(config.trainer.precision, sampling=True)  # not by a trial: the same one each time
    folder = Path(name).expanduser()
    if not folder.is_dir() and re.fullmatch(r"[\w-][\w.-]*", name) and (home.adapters / name).is_dir():
        folder = home.adapters / name
    if (folder / ADAPTER_CONFIG).is_file():
        folder = folder.absolute()
        base, _ = adapter_base(folder, home.models)
        return _in_memory(name, "adapter", base, folder, precision)
    noted = partial(on_progress, "model", None)
    base = resolve(name, home.models, noted, ollama_host=config.ollama.host)
    return _in_memory(name, "model", base, None, precision)


def _in_memory(name: str, kind: Kind, base: BaseModel, adapter: Path | None, precision: str) -> Subject:
    @contextmanager
    def opened() -> Iterator[Model]:
        from strop.trainer.answering import Answering

        yield Answering.load(base.folder, adapter, precision)

    learned = adapter_sha256(adapter) if adapter else ""
    identity = ("weights", base.sha256, base.template_sha256, learned, precision)
    return Subject(name, kind, identity, opened, base, adapter)


def _of_version(name: str, home: Home, config: Config, on_progress: OnProgress) -> Subject:
    target = open_target(home, config)
    version = _version(name, home) or prepare(home, config, target, on_progress).version
    if not version.gguf.is_file():
        raise Missing(f"{version.tag} has no file any more: it is {version.state}", hint="strop versions")
    noted = partial(on_progress, "base", None)
    base = resolve(version.base_ref, home.models, noted, ollama_host=config.ollama.host)
    precision, _ = choose_precision(config.trainer.precision, sampling=True)

    @contextmanager
    def opened() -> Iterator[Model]:
        with served_model(target, version, base.folder, precision) as model:
            yield model

    identity = ("version", version.sha256, base.sha256, target.kind, precision)
    served = partial(_served, version) if target.kind == LlamaCppTarget.kind else None
    return Subject(version.tag, "version", identity, opened, served=served)


@contextmanager
def _served(version: Version) -> Iterator[Address]:
    """A llama-server of the version's file, on loopback and with a key of its own."""
    child = LlamaCppTarget(context_tokens=GATE_CONTEXT_TOKENS).start(version.gguf, version.tag)
    key = child.headers["Authorization"].removeprefix("Bearer ")
    try:
        yield Address(f"{child.url}/v1", version.tag, key, _LONGEST_S)
    finally:
        child.close()


def _version(name: str, home: Home) -> Version | None:
    """None for the live version and the base of a home where there is none yet: it is made ready first."""
    if name not in ("live", "base"):
        return Versions(home.state_db).get(name)
    if not home.state_db.exists():
        return None
    versions = Versions(home.state_db)
    return versions.live() if name == "live" else next((one for one in versions.list() if one.number == 0), None)


class _Answers:
    """An endpoint as a Model that has no likelihoods."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> Sequence[Generation]:
        return self._endpoint.generate(conversations, max_tokens=max_tokens)

    def score(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> Any:
        raise UsageError("an endpoint gives no likelihoods of given answers", hint="ask choice items by letter")
