"""What a certificate is: named checks, each with its figure, of one build and what it was made of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from strop.deploy.fullmerge import new_tokens
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.errors import NotCertified
from strop.trainer.models import BaseModel

MERGE, QUANTISED, EFFECT = "top-1 agreement, merge", "top-k divergence, quantised", "adapter effect"
# Told in a few words what is done next.
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One named question with its answer and the figure behind it."""

    name: str
    ok: bool
    figure: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """All checks of one build; it certifies only where each holds."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def covers(self, names: Iterable[str]) -> bool:
        """Whether each of these questions was asked."""
        return {*names} <= {check.name for check in self.checks}

    def as_dict(self) -> list[dict[str, Any]]:
        """For manifests and evidence."""
        return [asdict(check) for check in self.checks]

    def demand(self) -> None:
        """Raise NotCertified naming the checks that failed."""
        failed = [f"{check.name} ({check.figure})" for check in self.checks if not check.ok]
        if failed:
            raise NotCertified(f"the build does not answer as it was trained: {'; '.join(failed)}", hint="strop doctor")


def certificate_from(checks: Sequence[dict[str, Any]]) -> Certificate:
    """The inverse of `Certificate.as_dict`. Raises TypeError for what was not made by it."""
    return Certificate(tuple(Check(**check) for check in checks))


def spoken(checks: Sequence[dict[str, Any]]) -> str:
    """The figures that say how near the build is to what was trained, for a terminal."""
    return "; ".join(check["figure"] for check in checks if check["name"] in (MERGE, QUANTISED))


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and the file that it serves."""

    server: LlamaServer
    gguf: Path


@dataclass(frozen=True)
class Origin:
    """What a build was made of, and the SHA-256 that its manifest promises. `adapter` is None for the bare base.

    `full`: merged through transformers, which may bring tokens and untie the output layer (`fullmerge`).
    """

    base: BaseModel
    base_f16: Path
    adapter: Path | None
    sha256: str
    full: bool = False

    @cached_property
    def brings_tokens(self) -> bool:
        """Whether the adapter has a tokenizer of its own, with more tokens than the base's. Both are read once."""
        return self.full and self.adapter is not None and new_tokens(self.base.folder, self.adapter) > 0

    @property
    def tokenizer_folder(self) -> Path:
        """Where the build's tokenizer lies."""
        return self.adapter if self.adapter is not None and self.brings_tokens else self.base.folder

    @property
    def metadata_from(self) -> Path:
        """The GGUF whose metadata a build must have: the one that the base came as, else our conversion of it."""
        return self.base.gguf or self.base_f16
