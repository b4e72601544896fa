"""The training process seen from outside: started, listened to, tried again in smaller parts, and ended."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import strop.errors
from strop.errors import Missing, OutOfMemory, StropError, TrainingFailed, UnknownModel
from strop.trainer import machine, memory, shape
from strop.trainer.recipe import from_dict
from strop.trainer.runs import Runs, oom_kills, smaller
from strop.trainer.tracking import Track, tracked
from strop.trainer.watch import StuckWatch
from strop.trainer.work import Job

# Told how far training is: (stage, share from 0 to 1, figures).
Report = Callable[[str, float | None, str], None]

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
# How long a thread of libgomp's spins while it waits for the others, in turns. Its own 300,000 are lost where another
# program wants the core: beside one that takes one core of two, a run of SmolLM2 took 21.9 s and with this 17.8 s; on
# an idle machine 10.2 s and 10.4 s.
_THREADS = {"GOMP_SPINCOUNT": "5000"}
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
# How long the last lines of a child that has ended may take to arrive.
_READER_S = 10.0
_KILLED = 9
_LESS_MEMORY = (
    "--load-in 4bit, --checkpointing or a shorter --max-length; strop plan --model M --data F says what each needs"
)


def run_child(job: Job, report: Report, log: Path | None = None, runs: Runs | None = None) -> dict[str, Any]:
    """Run the job in a child process; returns the adapter's manifest.

    With `runs`, a job that was cut short goes on from its checkpoint. Where memory runs out, the same steps are made in
    smaller parts. Raises the child's own StropError, OutOfMemory where a part is one row and still does not fit, or
    TrainingFailed with its exit code where it died. `log` takes what the libraries print.
    """
    need_training_packages()
    if runs is None:
        _need_disk(job)
        return _run_until_it_fits(job, report, log, lambda step, figures: None)
    with runs.placed(job) as placed, tracked(Path(job.out).name, runs.space, _noted(report)) as track:
        _need_disk(placed)
        return _run_until_it_fits(placed, report, log, track)


def _noted(report: Report) -> Callable[[str], None]:
    return lambda said: report("tracking", None, said)


def _run_until_it_fits(job: Job, report: Report, log: Path | None, track: Track) -> dict[str, Any]:
    while True:
        try:
            return _run_once(job, report, log, track)
        except OutOfMemory as error:
            less = smaller(job)
            if less is None:
                raise OutOfMemory(f"{error}, with one row at a time", hint=_LESS_MEMORY) from error
            parts = less.recipe["accumulation"]
            report("memory", None, f"it ran out; going on with each batch in {parts} parts")
            job = less


def _run_once(job: Job, report: Report, log: Path | None, track: Track) -> dict[str, Any]:
    env = {name: value for name, value in (_THREADS | dict(os.environ)).items() if name not in _SECRETS} | _QUIET
    # A run uses one card; transformers would deal each batch out to all that it sees.
    env["CUDA_VISIBLE_DEVICES"] = env.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    with _log(log) as errors:
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
            return _follow(child, job, report, track)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _log(path: Path | None) -> IO[str]:
    """Where the child's libraries write to: a file that only its owner reads, for they may quote a row."""
    if path is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # another run that still writes to it keeps its own
    number = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    return os.fdopen(number, "w", encoding="utf-8")


def _need_disk(job: Job) -> None:
    """Raise Missing where the disk cannot take the adapter and, where a run is kept, two checkpoints of it.

    A base whose shape cannot be read is left to the child.
    """
    try:
        found = shape.from_folder(Path(job.base_folder))
    except UnknownModel:
        return
    recipe = from_dict(job.recipe)
    adapter = memory.adapter_bytes(found, recipe.rank, recipe.precision)
    machine.need_disk(Path(job.out), adapter)
    if job.run:
        # Weights now and at the start, and three of float32 for the optimizer; the next one is whole before this goes.
        machine.need_disk(Path(job.run), 2 * (2 * adapter + 3 * memory.adapter_bytes(found, recipe.rank, "fp32")))


def _follow(child: "subprocess.Popen[str]", job: Job, report: Report, track: Track) -> dict[str, Any]:
    if child.stdin is None or child.stdout is None:
        raise TrainingFailed("the training process has no pipes", hint="strop doctor")
    with contextlib.suppress(OSError):  # a child that died before it read: its exit code says more
        child.stdin.write(job.to_json())
        child.stdin.close()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_pass_on, args=(child.stdout, lines), daemon=True)
    reader.start()
    try:
        return _listen(child, lines, report, track)
    finally:
        child.kill()  # nothing where it has ended; else the reader would wait for ever
        reader.join(timeout=_READER_S)


def _pass_on(stream: Iterable[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _listen(
    child: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]", report: Report, track: Track
) -> dict[str, Any]:
    """What the child says, up to its result. Raises its error, or TrainingFailed where it died or is stuck."""
    watch, killed = StuckWatch(), oom_kills()
    while (line := _next_line(lines, watch)) is not None:
        event = json.loads(line)
        if "progress" in event:
            at = event["progress"]
            watch.step(at["stage"], at["step"], at["steps"])
            report(f"train {at['stage']}", at["step"] / max(at["steps"], 1), _figures(at["figures"]))
            track(at["step"], {f"{at['stage']}/{name}": value for name, value in at["figures"].items()})
        elif "error" in event:
            raise _error(event["error"])
        elif "done" in event:
            return dict(event["done"])
    code = child.wait()
    if code == -_KILLED and oom_kills() > killed:
        raise OutOfMemory("the system ended the training process for want of memory", hint=_LESS_MEMORY)
    raise TrainingFailed(f"the training process ended with code {code} and no word", hint="strop doctor")


def _figures(figures: Mapping[str, float]) -> str:
    """What a person watches: the loss, or what answers scored where there is a check, and the pace."""
    said = f"reward {figures['reward']:.2f}" if "reward" in figures else f"loss {figures['loss']:.3f}"
    pace = figures.get("tokens_per_s", 0.0)
    return f"{said}, {pace:.0f} tokens/s" if pace else said


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
