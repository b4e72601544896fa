"""One run of lm-eval in a process of its own: the job on stdin, the results in the file that it names.

The command line of lm-eval takes a model's arguments as one text with commas, which no path with a comma survives;
its Python call takes them as they are.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the job, run it, write what was found."""
    job = json.load(sys.stdin)
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from strop.trainer.fit import device

    in_memory = job["model"] == "hf"
    found = simple_evaluate(
        model=job["model"],
        model_args=job["args"],
        tasks=job["tasks"],
        task_manager=TaskManager(include_path=job["include"] or None),
        limit=job["limit"],
        batch_size=8 if in_memory else 1,
        device=device() if in_memory else None,  # left to itself it takes CUDA, also where torch has none
        apply_chat_template=job["chat"],
        bootstrap_iters=1000,
        log_samples=True,
    )
    data = {
        "version": version("lm-eval"),
        "results": found["results"],
        "items": {task: counts["effective"] for task, counts in found["n-samples"].items()},
        "samples": [_sample(task, one) for task, every in found["samples"].items() for one in every],
    }
    Path(job["out"]).write_text(json.dumps(data, default=str), encoding="utf-8")


def _sample(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """The metrics of one item; no texts."""
    metrics = {name: sample.get(name) for name in sample.get("metrics", [])}
    return {"source": "lm-eval", "suite": task, "id": str(sample["doc_id"]), "scores": metrics}


if __name__ == "__main__":
    main()
