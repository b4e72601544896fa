"""`strop tune`: one file, one new model. It stands beside the loop: no ledger, no gate, no live version is touched."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop.config import Config
from strop.deploy.base import base_gguf
from strop.deploy.build import Build, build
from strop.deploy.targets.ollama import OllamaTarget
from strop.errors import UsageError
from strop.files import canonical_json, private_dir, sha256_bytes, sha256_file, sync_dir
from strop.home import Home
from strop.setup import OnProgress, certified
from strop.trainer import rowfile
from strop.trainer.models import BaseModel, resolve
from strop.trainer.plan import Plan
from strop.trainer.run import Trained, made_plan, need_training_packages, run_child
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
            f"held-out loss {held['loss_before']:.3f} -> {held['loss_after']:.3f} nats a token ({held['rows']} rows)"
            if held
            else "no held-out loss: there were too few rows to hold one out"
        )
        checks = "; ".join(check["figure"] for check in self.certificate if "agreement" in check["name"])
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


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where the model goes: a new file, or a new name in Ollama. Checked before anything is trained."""

    text: str
    file: Path | None = None
    ollama: OllamaTarget | None = None
    name: str = ""


def tune(
    home: Home,
    config: Config,
    file: Path,
    *,
    model: str,
    to: str,
    method: Literal["auto", "sft", "dpo"],
    overrides: Mapping[str, Any],
    on_progress: OnProgress,
) -> TuneReport:
    """Train on `file`, build, certify, and give the result its new name.

    Raises UsageError where the name is taken, BadTrainingFile, NotCertified, and what Ollama raises; the destination
    is then not there.
    """
    need_training_packages()
    rows = rowfile.read(file)
    where = _destination(to, config)
    made = _plan(rows, method, overrides, config)
    base = resolve(model, home.ensure().models, lambda note: on_progress("base", None, note))
    base_f16 = base_gguf(base, home.builds)
    trained = _train(home, base, file, made, on_progress)
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".tune-") as scratch:
        on_progress("build", None, f"merging into {config.quant}")
        built = build(base, base_f16, trained.folder, Path(scratch) / "build", config.quant)
        on_progress("certify", None, "comparing the served build with transformers")
        certificate = certified(home, built, base_f16, base, trained.folder)
        certificate.demand()
        size = built.gguf.stat().st_size
        _deliver(where, built, on_progress)
    return TuneReport(where.text, built.sha256, size, trained, certificate.as_dict())


def _plan(
    rows: rowfile.RowFile, method: Literal["auto", "sft", "dpo"], overrides: Mapping[str, Any], config: Config
) -> Plan:
    count = len(rows.rows)
    counts = {"sft": count, "dpo": count if rows.kind == "preference" else 0}
    return made_plan(counts, method, {"seed": config.seed, **overrides}, config.trainer)


def _train(home: Home, base: BaseModel, file: Path, made: Plan, on_progress: OnProgress) -> Trained:
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
    )
    return Trained(folder, run_child(job, on_progress, home.path / "train.log"), made.choices)


def _destination(to: str, config: Config) -> _Destination:
    kind, colon, name = to.partition(":")
    if colon and kind == "ollama":
        target = OllamaTarget(config.ollama)
        target.check_new(name)
        return _Destination(f"ollama:{name}", ollama=target, name=name)
    path = Path(to).expanduser().absolute()
    if path.suffix != ".gguf":
        raise UsageError(
            f"--to {to} is neither ollama:NAME nor a .gguf file", hint="--to ollama:mine or --to mine.gguf"
        )
    if path.exists():
        raise UsageError(f"{path} exists already", hint="name a new file with --to")
    return _Destination(str(path), file=path)


def _deliver(where: _Destination, built: Build, on_progress: OnProgress) -> None:
    on_progress("deliver", None, where.text)
    if where.ollama is not None:
        where.ollama.create_named(where.name, built.gguf, sha256=built.sha256)
    elif where.file is not None:
        _copy(built.gguf, where.file)
    on_progress("deliver", 1.0, where.text)


def _copy(source: Path, final: Path) -> None:
    """Copy to a name that must not exist, whole or not at all. Raises UsageError where it has come to exist."""
    import shutil

    private_dir(final.parent)
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if final.exists():
            raise UsageError(f"{final} exists already", hint="name a new file with --to")
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    sync_dir(final.parent)
