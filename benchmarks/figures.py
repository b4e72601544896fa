"""What the benchmarks share: a measured value beside its target, and how a run of them is asked for and printed."""

import argparse
import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `met` is None where there is no target."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


def add_options(parser: argparse.ArgumentParser, measurements: Iterable[str]) -> None:
    """`--only NAME` for one of the measurements, `--json` for one object."""
    parser.add_argument("--only", choices=list(measurements), action="append", help="one of them; may be given twice")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def machine(**more: Any) -> dict[str, Any]:
    """What the figures of a run depend on."""
    memory = psutil.virtual_memory().total
    return {"cores": psutil.cpu_count(logical=False), "machine": platform.machine(), "memory_bytes": memory, **more}


def peak_bytes() -> int:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss starts at what the process held that started this one: exec keeps it.
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(found: Iterable[Figure], *, as_json: bool, digits: int = 1, **more: Any) -> int:
    """Print each figure as it comes, or all in the end as one object; 1 where a target is missed, else 0.

    `digits` behind the point; `more` goes to `machine`.
    """
    seen = []
    for figure in found:
        seen.append(figure)
        if not as_json:
            target = f"{figure.target}: {'met' if figure.met else 'MISSED'}" if figure.target else ""
            print(f"| {figure.name} | {figure.value:,.{digits}f} {figure.unit} | {target} |", flush=True)  # noqa: T201
    if as_json:
        print_json(machine(**more), figures=[asdict(one) for one in seen])
    return 1 if any(one.met is False for one in seen) else 0


def print_json(measured_on: dict[str, Any], **parts: Any) -> None:
    """One object on stdout."""
    print(json.dumps({"machine": measured_on, **parts}, indent=2))  # noqa: T201
