"""A fine-tuned model as a file that can be served: an adapter folder or a merged model folder, built and certified.

It stands beside the loop, as `strop tune` does: no ledger, no gate, no live version is touched.
"""

import shlex
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strop import quant
from strop.config import Config
from strop.deploy.base import base_gguf
from strop.deploy.certify import spoken
from strop.destination import deliver, destination
from strop.errors import UsageError
from strop.home import Home
from strop.setup import OnProgress, certified
from strop.trainer.models import BaseModel, resolve
from strop.trainer.origin import ADAPTER_CONFIG, adapter_base
from strop.trainer.supervisor import need_training_packages
from strop.tune import NOT_JUDGED

_CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was made, and of what."""

    to: str
    sha256: str
    bytes: int
    base: str
    certificate: list[dict[str, Any]]
    made: quant.Made
    modelfile: str | None = None

    @property
    def sentence(self) -> str:
        """For a terminal."""
        checks = spoken(self.certificate)
        lines = [f"made {self.to} ({self.bytes / 1e6:.0f} MB, {self.made.built.quant})", f"from {self.base}"]
        if self.made.decision.measured:
            lines.append(self.made.warning or self.made.decision.sentence)
        if self.modelfile:
            lines.append(f"beside it {self.modelfile}: ollama create NAME -f {shlex.quote(self.modelfile)}")
        return "\n  ".join([*lines, checks, NOT_JUDGED])

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "to": self.to,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "quant": self.made.built.quant,
            "divergence": self.made.decision.as_dict(),
            "warning": self.made.warning,
            "modelfile": self.modelfile,
            "base": self.base,
            "judged": NOT_JUDGED,
            "certificate": self.certificate,
        }


def export(
    home: Home,
    config: Config,
    folder: Path,
    *,
    to: str,
    kind: quant.Asked,
    modelfile: bool = False,
    force: bool = False,
    on_progress: OnProgress,
) -> Exported:
    """Build, certify and deliver the model in `folder` to `gguf:FILE`, `FILE.gguf` or `ollama:NAME`, a new name.

    `kind` auto: in the smallest type that it bears. `modelfile` puts one beside the file; `force` replaces both.
    Raises UsageError where the folder holds no model or the name is taken, CannotMerge, NotCertified, and what Ollama
    raises; the destination is then not there.
    """
    need_training_packages()
    folder = folder.expanduser().absolute()
    _check_there(folder)  # before a server is asked for anything
    where = destination(to, config, with_modelfile=modelfile, force=force)
    base, adapter = _parts(folder, home.ensure())
    on_progress("base", None, base.ref)
    base_f16 = base_gguf(base, home.builds, home.converter)
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".export-") as scratch:
        on_progress("build", None, f"merging into {kind}")
        made = quant.made(home, kind, base, base_f16, adapter, Path(scratch), config.quant_max_kl)
        built = made.built
        on_progress("certify", None, "comparing the served build with transformers")
        told = partial(on_progress, "certify", None)
        certificate = certified(home, built, base_f16, base, adapter, None, told)
        certificate.demand()
        size = built.gguf.stat().st_size
        deliver(where, built, config, on_progress)
    beside = str(where.modelfile) if where.modelfile else None
    return Exported(where.text, built.sha256, size, base.ref, certificate.as_dict(), made, beside)


def _parts(folder: Path, home: Home) -> tuple[BaseModel, Path | None]:
    """(base, adapter) of an adapter folder; (the model itself, None) of a whole one."""
    if (folder / ADAPTER_CONFIG).is_file():
        return adapter_base(folder, home.models)[0], folder
    return resolve(str(folder), home.models), None


def _check_there(folder: Path) -> None:
    if not ((folder / ADAPTER_CONFIG).is_file() or (folder / _CONFIG).is_file()):
        raise UsageError(
            f"{folder} holds neither an adapter ({ADAPTER_CONFIG}) nor a model ({_CONFIG})",
            hint="strop train sft --model M --data FILE --out DIR makes an adapter folder",
        )
