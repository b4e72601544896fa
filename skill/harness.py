"""lm-eval, EleutherAI's harness, on a model folder, an adapter or an endpoint: in a process of its own.

The extra `lm-eval` brings it. Offline unless asked otherwise: tasks whose data the Hugging Face cache has, or tasks of
your own as YAML over JSONL. A task folder's YAML may name Python functions of its own: give folders that you trust.
Nothing is kept: what lm-eval reads (its own tasks, their data) is not in any hash of ours.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

from strop.errors import EvaluationError, Missing, UsageError
from strop.evaluation.compare import proportion_interval
from strop.evaluation.rates import Rate
from strop.setup import OnProgress
from strop.subject import Subject, reachable
from strop.trainer.models import chat_template

NAME = "lm-eval"
_95 = 1.959964
_PERCENT = re.compile(rb"(\d{1,3})%\|")
_TAIL_BYTES, _WORDS = 1 << 20, 400  # how much of its output is kept, and how many characters an error may quote
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_TOKENS = ("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One metric of one task. `rate.low` and `rate.high` are lm-eval's standard error as an interval, if it has one."""

    metric: str
    rate: Rate
    has_error: bool


@dataclass(frozen=True, slots=True)
class HarnessResult:
    """What a harness found: a row a task and metric, and its version; `samples` has an object an item and task."""

    name: str
    rows: tuple[TaskRow, ...]
    version: str
    samples: tuple[dict[str, Any], ...]


def run(
    subject: Subject,
    tasks: Sequence[str],
    *,
    include: Path | None,
    limit: int | None,
    online: bool,
    on_progress: OnProgress,
) -> HarnessResult:
    """Run lm-eval's tasks on the model.

    A version gets a llama-server of its own and is asked there, as an endpoint is. Raises Missing where lm-eval is not
    installed, UsageError for a version that Ollama serves (its adapter can be asked), EvaluationError with lm-eval's
    own last words where it failed.
    """
    if find_spec("lm_eval") is None:
        raise Missing("lm-eval is not installed", hint="pip install 'strop[lm-eval]'")
    if include is not None and not include.is_dir():
        raise UsageError(f"{include} is no folder of tasks", hint="--include-path names a folder with YAML files")
    asked = {"tasks": list(tasks), "limit": limit, "include": str(include.absolute()) if include else ""}
    on_progress(NAME, None, ", ".join(tasks))
    with tempfile.TemporaryDirectory(prefix="strop-lm-eval-") as scratch, reachable(subject) as subject:
        job, out = {**_model(subject), **asked}, Path(scratch) / "results.json"
        try:
            command = [sys.executable, "-P", "-m", "strop.lm_eval_child"]  # -P: no module of the folder it runs in
            child(NAME, command, {**job, "out": str(out)}, environment(subject, online=online), Path.cwd(), on_progress)
        except EvaluationError as error:
            only = "name tasks whose output_type is generate_until: an endpoint tells no likelihoods"
            error.hint = only if "oglikelihood" in str(error) else "name tasks whose data is on this disk, or --online"
            raise
        return read(json.loads(out.read_text(encoding="utf-8")))


def read(data: Mapping[str, Any]) -> HarnessResult:
    """The rows of what the child wrote."""
    rows = []
    for task, metrics in data["results"].items():
        items = int(data["items"].get(task, 0))
        for key, value in metrics.items():
            name, _, how = key.partition(",")
            if name.endswith("_stderr") or not is_number(value) or not how:
                continue
            error = metrics.get(f"{name}_stderr,{how}")
            label = name if how == "none" else f"{name} ({how})"
            rows.append(task_row(task, label, float(value), items, float(error) if is_number(error) else None))
    if not rows:
        raise EvaluationError("lm-eval gave no figures", hint="name a task with a metric")
    return HarnessResult(NAME, tuple(rows), str(data["version"]), tuple(data["samples"]))


def task_row(task: str, metric: str, value: float, items: int, error: float | None) -> TaskRow:
    """One figure with a harness's standard error as an interval; `items` 0 where it does not say how many."""
    reach = _95 * error if error is not None else 0.0
    low, high = value - reach, value + reach
    if error == 0 and value in (0, 1) and items:  # all alike: there is no spread to read an error from
        low, high = proportion_interval(round(value * items), items)
    elif 0 <= value <= 1:
        low, high = max(0.0, low), min(1.0, high)
    return TaskRow(metric, Rate(task, items, items, value, low, high, "clustered", 0), error is not None)


def is_number(value: Any) -> bool:
    """Whether a harness's figure is one: no NaN, no text."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _model(subject: Subject) -> dict[str, Any]:
    """What lm-eval calls the model."""
    if subject.address is not None:
        args = {
            "base_url": f"{subject.address.base}/chat/completions",
            "model": subject.address.model_name,
            "num_concurrent": 1,
            "max_retries": 1,
            "timeout": int(subject.address.timeout_s),
        }
        return {"model": "local-chat-completions", "args": args, "chat": True}
    if subject.base is None:
        raise UsageError("lm-eval cannot be asked on a version that Ollama serves", hint="name its adapter")
    args = {"pretrained": str(subject.base.folder), "trust_remote_code": False, "dtype": "float32"}
    if subject.adapter is not None:
        args["peft"] = str(subject.adapter)
    return {"model": "hf", "args": args, "chat": bool(chat_template(subject.base.folder))}


def environment(subject: Subject, *, online: bool) -> dict[str, str]:
    """The child's: no proxies and no netrc, no token but the endpoint's own, the Hub only where it was asked for."""
    env = {name: value for name, value in os.environ.items() if name not in _TOKENS or (online and name != _TOKENS[0])}
    env = {name: value for name, value in env.items() if not name.lower().endswith("_proxy") or online}
    env |= {"NETRC": os.devnull, "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": ""} | ({} if online else _OFFLINE)
    if subject.address is not None and subject.address.token:
        env["OPENAI_API_KEY"] = subject.address.token
    return env


def child(
    name: str,
    command: Sequence[str],
    job: Mapping[str, Any] | None,
    env: Mapping[str, str],
    cwd: Path,
    on_progress: OnProgress,
) -> str:
    """Run a harness to its end in the folder `cwd`, with the job on its stdin; gives the end of what it printed.

    The output is read for how far it is. Raises EvaluationError with its last words where it failed.
    """
    pipe, merged = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=merged, env=dict(env), cwd=cwd) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise EvaluationError(f"{name}'s process has no pipes", hint="strop doctor")
            process.stdin.write(json.dumps(job).encode() if job is not None else b"")
            process.stdin.close()
            said = b""
            while part := os.read(process.stdout.fileno(), 4096):
                said = (said + part)[-_TAIL_BYTES:]
                if found := _PERCENT.findall(part):
                    on_progress(name, min(int(found[-1]), 99) / 100, "")
            if process.wait() != 0:
                raise EvaluationError(f"{name} failed: {_last_words(said)}")
            return said.decode(errors="replace")
        finally:
            process.kill()


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in re.split(r"[\r\n]+", said.decode(errors="replace")) if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(?:Error|Exception|Missing\w*)\b", line)]
    return (named or lines or ["it ended without a word"])[-1][:_WORDS]
