"""Training from the outside: the child process, its progress, and `strop train`."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

import strop.errors
from strop.errors import Missing, StropError, TrainingFailed, UnknownModel, UsageError
from strop.trainer import machine, memory, plan, rowfile, shape
from strop.trainer.models import resolve
from strop.trainer.recipe import Stage, from_dict
from strop.trainer.settings import TrainerSettings
from strop.trainer.watch import StuckWatch
from strop.trainer.work import Job

# Told how far training is: (stage, share from 0 to 1, figures).
Report = Callable[[str, float | None, str], None]

Method = Literal["auto", "sft", "dpo", "kto", "hindsight"]
_OF_A_METHOD = re.compile(r"^(?:sft|dpo|kto|hindsight)_(?=epochs|learning_rate|beta)")
_NEEDED = ("torch", "transformers", "trl", "peft", "datasets")
# Nothing leaves the machine while training, and no token is within its reach.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "disabled",
    "DO_NOT_TRACK": "1",
}
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
# How long the last lines of a child that has ended may take to arrive.
_READER_S = 10.0


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished adapter folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]
    choices: tuple[plan.Choice, ...] = ()

    @property
    def sentence(self) -> str:
        """What a person wants to know first."""
        rows = ", ".join(f"{count} {method} rows" for method, count in self.manifest["rows"].items())
        losses = ", ".join(f"{method} loss {loss:.3f}" for method, loss in self.manifest["loss"].items())
        return f"trained on {rows} in {self.manifest['train_s']:.0f} s ({losses}): {self.folder}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        kept = ("rows", "left_out_too_long", "tokens", "train_s", "peak_bytes", "held_out", "recipe", "seed")
        seconds = max(float(self.manifest["train_s"]), 1e-9)
        return {
            "method": "+".join(self.manifest["rows"]),
            **{name: self.manifest[name] for name in kept},
            "loss": [
                {"stage": stage, "step": step, "value": value}
                for stage, points in self.manifest["curve"].items()
                for step, value in points
            ],
            "mean_loss": self.manifest["loss"],
            "tokens_per_s": self.manifest["tokens"] / seconds,
            "plan": [{"name": c.name, "value": c.value, "reason": c.reason} for c in self.choices],
            "adapter": str(self.folder),
        }


def run_child(job: Job, report: Report, log: Path | None = None) -> dict[str, Any]:
    """Run the job in a child process; returns the adapter's manifest.

    Raises the child's own StropError, or TrainingFailed with its exit code where it died. `log` takes what the
    libraries print.
    """
    need_training_packages()
    _need_disk(job)
    env = {name: value for name, value in os.environ.items() if name not in _SECRETS} | _QUIET
    lines = log or Path(os.devnull)
    with lines.open("w", encoding="utf-8") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "strop.trainer.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            text=True,
            encoding="utf-8",
        )
        try:
            return _follow(child, job, report)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _need_disk(job: Job) -> None:
    """Raise Missing where the disk cannot take the adapter; a base whose shape cannot be read is left to the child."""
    try:
        found = shape.from_folder(Path(job.base_folder))
    except UnknownModel:
        return
    recipe = from_dict(job.recipe)
    machine.need_disk(Path(job.out), memory.adapter_bytes(found, recipe.rank, recipe.precision))


def _follow(child: "subprocess.Popen[str]", job: Job, report: Report) -> dict[str, Any]:
    if child.stdin is None or child.stdout is None:
        raise TrainingFailed("the training process has no pipes", hint="strop doctor")
    with contextlib.suppress(OSError):  # a child that died before it read: its exit code says more
        child.stdin.write(job.to_json())
        child.stdin.close()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_pass_on, args=(child.stdout, lines), daemon=True)
    reader.start()
    try:
        return _listen(child, lines, report)
    finally:
        child.kill()  # nothing where it has ended; else the reader would wait for ever
        reader.join(timeout=_READER_S)


def _pass_on(stream: Iterable[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _listen(child: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]", report: Report) -> dict[str, Any]:
    """What the child says, up to its result. Raises its error, or TrainingFailed where it died or is stuck."""
    watch = StuckWatch()
    while (line := _next_line(lines, watch)) is not None:
        event = json.loads(line)
        if "progress" in event:
            at = event["progress"]
            watch.step(at["stage"], at["step"], at["steps"])
            report(f"train {at['stage']}", at["step"] / max(at["steps"], 1), f"loss {at['loss']:.3f}")
        elif "error" in event:
            raise _error(event["error"])
        elif "done" in event:
            return dict(event["done"])
    code = child.wait()
    raise TrainingFailed(f"the training process ended with code {code} and no word", hint="strop doctor")


def _next_line(lines: "queue.SimpleQueue[str | None]", watch: StuckWatch) -> str | None:
    """The child's next line, None at its end. Raises TrainingFailed where a step takes ten times what steps take."""
    try:
        return lines.get(timeout=watch.left_s)
    except queue.Empty:
        raise TrainingFailed(
            f"training is stuck in {watch.sentence}",
            hint="see what else uses the memory (strop plan says what a run needs), then the same command again",
        ) from None


def _error(event: Mapping[str, str]) -> StropError:
    """The child's error again, in its own class where that is one of ours."""
    kind = getattr(strop.errors, event["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, StropError)):
        kind = TrainingFailed
    return kind(event["message"], hint=event["hint"])


def need_training_packages() -> None:
    """Raise Missing, naming the command, where the `train` extra is not installed."""
    from importlib.util import find_spec

    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise Missing(f"training needs {', '.join(missing)}", hint="pip install 'strop[all]'")


def train_file(
    method: Method,
    model: str,
    data: Path,
    out: Path,
    overrides: Mapping[str, Any],
    settings: TrainerSettings,
    *,
    models_dir: Path,
    on_progress: Report,
    held_share: float = 0.0,
    log: Path | None = None,
) -> Trained:
    """Train on one file from the base `model`; `out` becomes the adapter folder. `auto` chooses by the file's columns.

    `overrides`: rank, alpha, dropout, epochs, learning_rate, beta, batch_size, seed, max_length and other fields of
    TrainerSettings. Raises BadTrainingFile before anything is loaded, UsageError where `out` exists. `log` takes what
    the libraries print.
    """
    rows = checked(data, out)
    chosen = made_plan(rowfile.counts(rows), method, overrides, settings)
    base = resolve(model, models_dir, lambda note: on_progress("model", None, note))
    job = Job(
        base_folder=str(base.folder),
        base=base.facts(),
        files={stage.method: str(data.absolute()) for stage in chosen.recipe.stages},
        recipe=chosen.recipe.as_dict(),
        out=str(out.absolute()),
        held_share=held_share,
    )
    return Trained(out, run_child(job, on_progress, log), chosen.choices)


def checked(data: Path, out: Path) -> rowfile.RowFile:
    """The rows of a call that can begin. Raises UsageError where `out` exists, Missing, and BadTrainingFile."""
    if out.exists():
        raise UsageError(f"{out} exists already", hint="name a new folder with --out")
    need_training_packages()
    return rowfile.read(data)


def made_plan(
    counts: Mapping[str, int],
    method: Method,
    overrides: Mapping[str, Any],
    settings: TrainerSettings,
) -> plan.Plan:
    """The plan for a file, with what the user overruled put in its place. Raises UsageError for an impossible value."""
    given = dict(overrides)
    seed = int(given.pop("seed", 17))
    update: dict[str, Any] = {"method": method}
    for name in ("epochs", "learning_rate"):
        if name in given:
            value = given.pop(name)
            update |= {f"{stage}_{name}": value for stage in get_args(Stage)}
    if "beta" in given:
        update |= dict.fromkeys(("dpo_beta", "kto_beta"), given.pop("beta"))
    try:
        checked = TrainerSettings.model_validate(settings.model_dump() | update | given)
    except ValidationError as error:
        first = error.errors()[0]
        option = _OF_A_METHOD.sub("", str(first["loc"][0])).replace("_", "-")
        raise UsageError(f"--{option} cannot be {first['input']}: {first['msg']}", hint="strop train --help") from None
    return plan.make(counts, checked, seed=seed)
