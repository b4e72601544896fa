"""lighteval on an endpoint, in an environment of its own: what it needs cannot be installed beside what trains.

lighteval 0.13 was tried with Python 3.11 and the packages of `INSTALL`; newer ones break it (transformers 5,
huggingface_hub 2, litellm with no disk cache, xxhash 4). When it is imported for the first time it fetches a file from
GitHub into its own folder. Its cache of answers and that of litellm (in the folder where it runs) know no address, so
both are new each time. A request that failed counts there as a wrong answer: here it is an error of the whole run.
"""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from strop.errors import EvaluationError, Missing, UsageError
from strop.files import write_json
from strop.harness import HarnessResult, TaskRow, child, environment, is_number, task_row
from strop.setup import OnProgress
from strop.subject import Subject, reachable

NAME = "lighteval"
INSTALL = "lighteval[litellm]==0.13.0 litellm==1.66.0 transformers<5 huggingface_hub<1 datasets<5 xxhash<3.7"
_FAILED = "returning empty response"  # what its log says where it scores a failure
_REASON = re.compile(r"Error in API call: (?:litellm\.)?([^\r\n]+)")
_NO_KEY, _ASK, _CHARS = "none", "check the address, --model-name and --token-env", 200


def run(
    subject: Subject,
    tasks: Sequence[str],
    *,
    python: Path | None,
    include: Path | None,
    limit: int | None,
    online: bool,
    on_progress: OnProgress,
) -> HarnessResult:
    """Run lighteval's tasks on an endpoint; `python` is the interpreter of its environment, `include` a tasks file.

    A version gets a llama-server of its own. Raises Missing without such an interpreter, UsageError for what has no
    address, EvaluationError with its own last words where it failed, and where requests failed.
    """
    if python is None or not python.is_file():
        quoted = " ".join(f"'{one}'" for one in INSTALL.split())
        raise Missing(
            "lighteval needs an environment of its own",
            hint=f"python -m venv le && le/bin/pip install {quoted}; then --harness-python le/bin/python",
        )
    if include is not None and not include.is_file():
        raise UsageError(f"{include} is no file of tasks", hint="--include-path names a Python file with TASKS_TABLE")
    on_progress(NAME, None, ", ".join(tasks))
    with tempfile.TemporaryDirectory(prefix="strop-lighteval-") as scratch, reachable(subject) as subject:
        folder = Path(scratch)
        command = _command(python.absolute(), subject, tasks, include, limit, folder)
        # Its client asks nobody without a key, and a server that wants none ignores it.
        env = {"OPENAI_API_KEY": _NO_KEY, **environment(subject, online=online), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        try:
            said = child(NAME, command, None, env, folder, on_progress)
        except EvaluationError as error:
            error.hint = "a task's data must be on this disk, or --online; a first start fetches a file of its own"
            raise
        if failed := said.lower().count(_FAILED):
            why = _first_reason(said, subject.address.token if subject.address else "")
            raise EvaluationError(
                f"{failed} requests failed, and lighteval took them for wrong answers{why}", hint=_ASK
            )
        written = sorted((folder / "out").rglob("results_*.json"))
        if not written:
            raise EvaluationError("lighteval wrote no results", hint="strop --verbose evaluate ...")
        return read(json.loads(written[-1].read_text(encoding="utf-8")))


def read(data: Mapping[str, Any]) -> HarnessResult:
    """The rows of lighteval's results file, which does not say how many items there were."""
    rows: list[TaskRow] = []
    for task, metrics in data["results"].items():
        if task == "all" and len(data["results"]) == 2:
            continue
        for name, value in metrics.items():
            if not name.endswith("_stderr") and is_number(value):
                error = metrics.get(f"{name}_stderr")
                known = is_number(error) and error > 0  # 0 says that all are alike, and not of how many
                rows.append(task_row(task, name, float(value), 0, float(error) if known else None))
    if not rows:
        raise EvaluationError("lighteval gave no figures", hint="name a task with a metric")
    return HarnessResult(NAME, tuple(rows), "0.13", ())


def _first_reason(said: str, token: str) -> str:
    """What the first failed request ended with, short and without the token; nothing where it does not say."""
    found = _REASON.search(said)
    if not found:
        return ""
    reason = found[1].partition(", waiting ")[0]
    return f" ({(reason.replace(token, '***') if token else reason)[:_CHARS].strip()})"


def _command(
    python: Path, subject: Subject, tasks: Sequence[str], include: Path | None, limit: int | None, folder: Path
) -> list[str]:
    """The call; the model's address is in a file, its token in the environment alone."""
    if subject.address is None:
        raise UsageError("lighteval asks endpoints and served versions only", hint="--model http://127.0.0.1:8080/v1")
    model = {
        "model_name": f"openai/{subject.address.model_name}",
        "provider": "openai",
        "base_url": subject.address.base,
        "concurrent_requests": subject.at_once,
        "timeout": subject.address.timeout_s,
        "api_max_retry": 1,
        "cache_dir": str(folder / "cache"),
        "generation_parameters": {"temperature": 0, "seed": 1},
    }
    write_json(folder / "model.yaml", {"model_parameters": model})  # JSON is YAML
    command = [str(python), "-m", "lighteval", "endpoint", "litellm", str(folder / "model.yaml"), ",".join(tasks)]
    command += ["--output-dir", str(folder / "out")]
    command += ["--custom-tasks", str(include.absolute())] if include is not None else []
    return [*command, "--max-samples", str(limit)] if limit is not None else command
