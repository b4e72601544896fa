"""`strop tune`: one file, one new model. It stands beside the loop: no ledger, no gate, no live version is touched."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strop import quant
from strop.config import Config
from strop.deploy.base import base_gguf
from strop.deploy.certify import spoken
from strop.destination import deliver, destination
from strop.files import canonical_json, sha256_bytes, sha256_file
from strop.home import Home
from strop.setup import OnProgress, certified, need_room
from strop.trainer import rowfile
from strop.trainer.held import LEAST_HELD
from strop.trainer.models import BaseModel, resolve
from strop.trainer.plan import Plan
from strop.trainer.run import Trained, made_plan
from strop.trainer.runs import Runs
from strop.trainer.settings import Method
from strop.trainer.supervisor import need_training_packages, run_child
from strop.trainer.traits import of_file
from strop.trainer.work import Job

HELD_SHARE = 0.1
NOT_JUDGED = "not judged against a live model"


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What was made. `held_out` has the loss before and after, in nats a token, on rows that were not trained on."""

    to: str
    sha256: str
    bytes: int
    trained: Trained
    certificate: list[dict[str, Any]]

    @property
    def sentence(self) -> str:
        """For a terminal."""
        held = self.trained.manifest["held_out"]
        loss = (
            f"held-out loss {held['loss_before']:.3f} -> {held['loss_after']:.3f} nats a token "
            f"({_held_rows(held['rows'])})"
            if held
            else "no held-out loss: there were too few rows to hold one out"
        )
        checks = spoken(self.certificate)
        lines = [f"made {self.to} ({self.bytes / 1e6:.0f} MB)", self.trained.sentence, loss, checks, NOT_JUDGED]
        return "\n  ".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "to": self.to,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "judged": NOT_JUDGED,
            "certificate": self.certificate,
            "training": self.trained.as_dict(),
            "held_out": self.trained.manifest["held_out"],
        }


def _held_rows(count: int) -> str:
    rows = "1 row" if count == 1 else f"{count} rows"
    return rows if count >= LEAST_HELD else f"{rows}: too few to say anything"


def tune(
    home: Home,
    config: Config,
    file: Path,
    *,
    model: str,
    to: str,
    method: Method,
    overrides: Mapping[str, Any],
    on_progress: OnProgress,
) -> TuneReport:
    """Train on `file`, build, certify, and give the result its new name.

    Raises UsageError where the name is taken, BadTrainingFile, NotCertified, and what Ollama raises; the destination
    is then not there.
    """
    need_training_packages()
    rows = rowfile.read(file)
    where = destination(to, config)
    made = _plan(rows, method, overrides, config)
    base = resolve(
        model, home.ensure().models, lambda note: on_progress("base", None, note), ollama_host=config.ollama.host
    )
    base_f16 = base_gguf(base, home.builds, home.converter)
    trained = _train(home, config, base, file, made, on_progress)
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".tune-") as scratch:
        on_progress("build", None, f"merging into {config.quant}")
        built = quant.made(home, config.quant, base, base_f16, trained.folder, Path(scratch), config.quant_max_kl).built
        on_progress("certify", None, "comparing the served build with transformers")
        told = partial(on_progress, "certify", None)
        certificate = certified(home, built, base_f16, base, trained.folder, None, told)
        certificate.demand()
        size = built.gguf.stat().st_size
        deliver(where, built, config, on_progress)
    return TuneReport(where.text, built.sha256, size, trained, certificate.as_dict())


def check(config: Config, file: Path, to: str) -> None:
    """Find at once what would stop a `tune` before it trains: raises what `tune` raises for packages, file and `to`."""
    need_training_packages()
    rowfile.read(file)
    destination(to, config)


def _plan(rows: rowfile.RowFile, method: Method, overrides: Mapping[str, Any], config: Config) -> Plan:
    asked = {"seed": config.seed, **overrides}
    return made_plan(rowfile.counts(rows), method, asked, config.trainer, of_file(rows))


def _train(home: Home, config: Config, base: BaseModel, file: Path, made: Plan, on_progress: OnProgress) -> Trained:
    data = sha256_file(file)
    key = sha256_bytes(canonical_json([data, made.recipe.as_dict(), base.facts(), HELD_SHARE]).encode())
    folder = home.adapters / f"tune-{key[:16]}"
    job = Job(
        base_folder=str(base.folder),
        base=base.facts(),
        files={stage.method: str(file.absolute()) for stage in made.recipe.stages},
        recipe=made.recipe.as_dict(),
        out=str(folder),
        dataset_sha256=data,
        held_share=HELD_SHARE,
        replays=str(home.replays),
    )
    need_room(home, base, made.recipe)
    runs = Runs(home.runs, config.trainer.checkpoint_s, config.trainer.trackio_space)
    return Trained(folder, run_child(job, on_progress, home.path / "train.log", runs), made.choices)
