"""Kills a writer of the ledger at random moments, again and again, and looks at what it leaves.

    python benchmarks/feedback_kills.py FOLDER --kills 1000

A child adds answers, reactions and whole files, and says of each what the ledger acknowledged. The parent kills it with
SIGKILL some milliseconds later, opens the ledger and checks it as a whole. Where the system can fork, the child is a
fork of this small process and no new program: SIGKILL takes both alike, with no chance to clean up, and what a kill can
harm (the connection, its locks, its journal) is made after the fork in either case. A new interpreter for each kill
takes fifty times as long. Elsewhere (Windows) it is a new program, and `Popen.kill` ends it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from strop.errors import StropError
from strop.feedback import FeedbackCollector, Ledger
from strop.feedback.jsonl import import_file
from strop.feedback.verify import problems

# A ledger is checked as a whole after each kill, so it is begun anew before that takes long.
KILLS_A_LEDGER = 25
# Half of the kills come early, while the ledger is opened and first written; the others have time for whole files.
_EARLY_S, _LATE_S = 0.05, 0.3
_FILES, _FILE_LINES = 0.15, (20, 80)


@dataclass
class Kills:
    """What was found. `mid_transaction`: kills that left a journal to be rolled back. `wrong`: nothing, one hopes."""

    kills: int = 0
    acknowledged: int = 0
    files: int = 0
    mid_transaction: int = 0
    rows: int = 0
    wrong: list[str] = field(default_factory=list)


def run(folder: Path, kills: int, seed: int) -> Kills:
    """Kill `kills` writers whose ledgers lie in `folder`."""
    report, chance = Kills(), _chance(seed)
    acknowledged: set[str] = set()
    for number in range(kills):
        home = folder / f"ledger{number // KILLS_A_LEDGER}"
        if number % KILLS_A_LEDGER == 0:
            acknowledged.clear()
        home.mkdir(exist_ok=True)
        said, by_itself = _killed(home, f"{seed}.{number}", chance.uniform(0, chance.choice((_EARLY_S, _LATE_S))))
        whole = {line for line in said.splitlines(keepends=True) if line.endswith("\n")}
        acknowledged |= {line.strip() for line in whole}
        report.kills += 1
        report.acknowledged += len(whole)
        report.files += sum(line.startswith("file ") for line in whole)
        report.mid_transaction += any((home / name).exists() for name in ("ledger.db-journal", "ledger.db-wal"))
        found = [f"the writer ended by itself: {said[-500:]}"] if by_itself else []
        found += _look(home / "ledger.db", acknowledged, report)
        report.wrong += [f"kill {number}: {one}" for one in found]
        if (number + 1) % KILLS_A_LEDGER == 0 and not report.wrong:
            shutil.rmtree(home)
    return report


def _chance(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 (the same every time, no secret)


# The writer


def write(home: Path, name: str, acknowledge: Callable[[str], None]) -> None:
    """Add to the ledger without end; `name` makes what this writer adds its own."""
    chance = _chance(name)
    with FeedbackCollector(home / "ledger.db") as feedback:
        for number in range(1 << 30):
            if chance.random() < _FILES:
                acknowledge(f"file {_import(feedback.ledger, home, f'{name}.{number}', chance)}")
                continue
            prompt = f"{name}: what about {number}, and why? {chance.random()}"
            answer = feedback.record(prompt=prompt, answer="x" * chance.choice((20, 300, 3000, 30_000)), session=name)
            acknowledge(f"interaction {answer}")
            if chance.random() < 0.5:
                acknowledge(f"signal {feedback.rate(answer, 'down', source_key=f'{name}.{number}')}")
            else:
                acknowledge(f"signal {feedback.correct(answer, f'Because of {number}.')}")


def _import(ledger: Ledger, home: Path, name: str, chance: Random) -> str:
    """Import a file, all of it or nothing; its session is `name:lines`, which says how many rows belong to it."""
    count = chance.randrange(*_FILE_LINES)
    session = f"{name}:{count}"
    row = {"answer": "So.", "rating": "up", "session": session, "time": "2026-01-01T00:00:00+00:00"}
    file = home / "bulk.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Line {n}?", **row, "turn": n}) + "\n" for n in range(count)))
    import_file(ledger, file)
    return session


# The kill


def _killed(home: Path, name: str, after_s: float) -> tuple[str, bool]:
    """(what the writer acknowledged until it was killed, whether it ended before that)."""
    return _forked(home, name, after_s) if hasattr(os, "fork") else _started(home, name, after_s)


def _forked(home: Path, name: str, after_s: float) -> tuple[str, bool]:
    end, begin = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        _write_and_leave(home, name, lambda text: os.write(begin, f"{text}\n".encode()))
    os.close(begin)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(end) as pipe:
        return pipe.read(), not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)


def _started(home: Path, name: str, after_s: float) -> tuple[str, bool]:
    command = [sys.executable, __file__, str(home), "--writer", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        if child.stdout is None:
            raise RuntimeError("the writer has no pipe")
        said = child.stdout.readline()
        time.sleep(after_s)
        ended = child.poll() is not None
        child.kill()
        return said + child.stdout.read(), ended


def _write_and_leave(home: Path, name: str, acknowledge: Callable[[str], object]) -> None:
    """Write until the kill; an error is said in place of an acknowledgement."""
    try:
        write(home, name, acknowledge)  # type: ignore[arg-type]
    except BaseException as error:
        acknowledge(f"error {error!r}")
    finally:
        os._exit(1)


# The look


def _look(path: Path, acknowledged: set[str], report: Kills) -> list[str]:
    """What is wrong with the ledger after a kill."""
    try:
        with Ledger.open(path) as ledger:
            return [*problems(ledger), *_missing(ledger, acknowledged), *_halves(ledger, report)]
    except StropError as error:
        return [f"the ledger cannot be read: {error}"]


def _missing(ledger: Ledger, acknowledged: set[str]) -> list[str]:
    stored = {f"interaction {row['id']}" for row in ledger.query("SELECT id FROM interactions")}
    stored |= {f"signal {row['id']}" for row in ledger.query("SELECT id FROM signals")}
    files = "SELECT session FROM interactions WHERE session LIKE '%:%' GROUP BY session"
    stored |= {f"file {row['session']}" for row in ledger.query(files)}
    return [f"acknowledged and lost: {one}" for one in sorted(acknowledged - stored)]


def _halves(ledger: Ledger, report: Kills) -> list[str]:
    """Rows that belong together and are not all there."""
    found = [
        f"{row['session']}: {row['n']} rows of that file, {row['reactions']} reactions"
        for row in ledger.query(
            "SELECT session, count(DISTINCT interactions.id) AS n, count(signals.id) AS reactions FROM interactions"
            " LEFT JOIN signals ON interaction_id = interactions.id WHERE session LIKE '%:%' GROUP BY session"
        )
        if not row["n"] == row["reactions"] == int(row["session"].partition(":")[2])
    ]
    lone = "SELECT count(*) AS n FROM {} WHERE {} NOT IN (SELECT {} FROM interactions)"
    counts = {
        "signals without their interaction": lone.format("signals", "interaction_id", "id"),
        "sketches without their interaction": lone.format("sketches", "seq", "seq"),
        "interactions without their sketch": "SELECT count(*) AS n FROM interactions"
        " WHERE seq NOT IN (SELECT seq FROM sketches)",
    }
    found += [f"{n} {what}" for what, sql in counts.items() if (n := ledger.query(sql)[0]["n"])]
    report.rows = ledger.counts()["interactions"]
    return found


def main() -> int:
    """Print the report as JSON; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the ledgers are made")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--writer", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        _write_and_leave(options.folder, options.writer, lambda text: print(text, flush=True))  # noqa: T201
    report = run(options.folder, options.kills, options.seed)
    sys.stdout.write(json.dumps(asdict(report), indent=1) + "\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
