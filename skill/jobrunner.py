"""The process of one job: `python -P -m strop.jobrunner FOLDER COMMAND...`, started by `strop.jobs.start` alone.

It forks. The parent ends as soon as job.json is on disk, so that whoever called it can go on and has no child left; the
child leads a session of its own, runs the command as `strop COMMAND` would, and writes exit.json last, however the
command ended. Only what kills the process itself keeps it from that: then the job is "lost".
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from strop.files import write_json
from strop.jobs import EXIT, JOB

_INTERRUPTED = 130


def main() -> None:
    """Returns at once in the caller's child; the job itself leaves with the command's exit code."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        os.read(ready, 1)  # until the other has closed its end: job.json is there, or the process is not
        return
    os.close(ready)
    os.setsid()
    # A shell's `&` leaves SIGINT ignored, and that is inherited. SIGTERM may clean up as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    _write_job(folder, command)
    os.close(told)
    _run(folder, command)


def _write_job(folder: Path, command: Sequence[str]) -> None:
    import psutil

    facts = {
        "id": folder.name,
        "command": list(command),
        "started": datetime.now(UTC).isoformat(),
        "pid": os.getpid(),
        "process_started": psutil.Process().create_time(),
    }
    write_json(folder / JOB, facts)


def _run(folder: Path, command: Sequence[str]) -> NoReturn:
    begun, code = time.monotonic(), 1
    try:
        code = _exit_code(folder.parent.parent, command)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # from here on there is nothing to interrupt
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()
        seconds = time.monotonic() - begun
        write_json(folder / EXIT, {"code": code, "ended": datetime.now(UTC).isoformat(), "seconds": seconds})
    sys.exit(code)


def _exit_code(home: Path, command: Sequence[str]) -> int:
    """Run the command line as the program does, in this process."""
    sys.argv = ["strop", "--home", str(home), *command]
    try:
        from strop.cli import main as strop

        strop()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1


if __name__ == "__main__":
    main()
