"""Training in a process of its own: `python -m strop.trainer.child`.

Reads one JSON job from stdin, writes one JSON line an event to stdout: `{"progress": ...}`, then `{"done": ...}` or
`{"error": ...}`. When the process ends, all memory comes back, whatever the libraries kept.
"""

import json
import os
import sys
import traceback

from strop.errors import StropError
from strop.trainer.train import Progress


def main() -> None:
    """Run the job; exit code 0 where an adapter was written."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**event: object) -> None:
        answer.write(json.dumps(event) + "\n")
        answer.flush()

    def on_progress(at: Progress) -> None:
        say(progress={"stage": at.stage, "step": at.step, "steps": at.steps, "loss": at.loss})

    from strop.trainer.work import Job, work

    try:
        say(done=work(Job.from_json(sys.stdin.read()), on_progress))
    except StropError as error:
        say(error={"type": type(error).__name__, "message": str(error), "hint": error.hint})
        sys.exit(1)
    except MemoryError:
        say(error={"type": "TrainingFailed", "message": "memory ran out", "hint": "a smaller model or batch_size"})
        sys.exit(1)
    except Exception as error:  # whatever a library raises: its words go to the parent, its traceback to the log
        traceback.print_exc()
        message = f"training stopped: {type(error).__name__}: {error}"
        say(error={"type": "TrainingFailed", "message": message, "hint": "the traceback is in the home's train.log"})
        sys.exit(1)


if __name__ == "__main__":
    main()
