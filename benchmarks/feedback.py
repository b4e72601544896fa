"""What the ledger costs: each measurement beside its target.

Run `.venv/bin/python benchmarks/feedback.py` (all of it, some 20 minutes on two cores), with --quick for a tenth of the
rows, --only NAME for one measurement, --json for one object. Ends with 1 where a target is missed.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import feedback_corpus
import feedback_join
import feedback_kills
from figures import Figure, add_options, peak_bytes, report

from strop.feedback import Interaction, Ledger, Signal
from strop.feedback.jsonl import import_file
from strop.feedback.overview import figures
from strop.feedback.pairs import build
from strop.feedback.records import conversation
from strop.feedback.scrub import Scrubber
from strop.feedback.split import assign

SEED = 11


def add_latency(folder: Path, scale: float) -> Iterator[Figure]:
    """One durable add: an answer and a thumb, each in a transaction of its own."""
    took = []
    with Ledger.open(folder / "add.db") as ledger:
        for number, one in enumerate(feedback_corpus.interactions(int(2000 * scale), SEED)):
            start = time.perf_counter()
            stored = ledger.add_interaction(one)
            middle = time.perf_counter()
            ledger.add_signal(Signal(stored, "thumb", 1.0, source_key=str(number)))
            took += [middle - start, time.perf_counter() - middle]
    took.sort()
    p99 = took[int(len(took) * 0.99)] * 1e3
    yield Figure("one durable add, median", took[len(took) // 2] * 1e3, "ms")
    yield Figure("one durable add, p99", p99, "ms", "<= 15", p99 <= 15)


def bulk_import(folder: Path, scale: float) -> Iterator[Figure]:
    """`strop feedback import` of lines with a rating, three in ten with a correction."""
    file = folder / "rows.jsonl"
    count = int(50_000 * scale)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in feedback_corpus.lines(count, SEED))
    for name, scrubber, target in (("off", None, 20_000), ("on", Scrubber(), 2_000)):
        with Ledger.open(folder / f"import-{name}.db", scrubber=scrubber) as ledger:
            start = time.perf_counter()
            import_file(ledger, file)
            seconds = time.perf_counter() - start
            counts = ledger.counts()
        rows = sum(counts.values())
        yield Figure(f"bulk import, scrubber {name}, lines", count / seconds, "lines/s")
        met = rows / seconds >= target
        yield Figure(f"bulk import, scrubber {name}, rows stored", rows / seconds, "rows/s", f">= {target:,}", met)


def _adds(path: str, number: int, count: int, errors: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        with Ledger.open(path) as ledger:
            for row in range(count):
                ledger.add_interaction(Interaction(conversation(f"Question {number} {row}?"), "An answer."))
    except Exception as error:  # whatever a user would see
        errors.put(repr(error))


def processes(folder: Path, scale: float) -> Iterator[Figure]:
    """Eight processes that add at once."""
    count, errors = int(500 * scale), multiprocessing.SimpleQueue()
    path = str(folder / "processes.db")
    running = [multiprocessing.Process(target=_adds, args=(path, number, count, errors)) for number in range(8)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    with Ledger.open(path) as ledger:
        rows = ledger.counts()["interactions"]
    yield Figure("8 processes, rows", rows, "rows", f"= {8 * count}", rows == 8 * count)
    seen = []
    while not errors.empty():
        seen.append(errors.get())
        print(seen[-1], file=sys.stderr)  # noqa: T201
    yield Figure("8 processes, errors seen", len(seen), "errors", "= 0", not seen)


def kills(folder: Path, scale: float) -> Iterator[Figure]:
    """Kills at random moments of writing."""
    report = feedback_kills.run(folder, int(1000 * scale), SEED)
    yield Figure("kills", report.kills, "kills")
    yield Figure("kills, rows acknowledged", report.acknowledged, "rows")
    yield Figure("kills, in the middle of a transaction", report.mid_transaction, "kills")
    yield Figure("kills, anything lost or damaged", len(report.wrong), "findings", "= 0", not report.wrong)


def _filled(path: Path, count: int) -> None:
    with Ledger.open(path, scrubber=None) as ledger:
        batch: list[Interaction] = []
        number = 0
        for one in feedback_corpus.interactions(count, SEED):
            batch.append(one)
            if len(batch) == 2000:
                number = _store(ledger, batch, number)
                batch = []
        _store(ledger, batch, number)


def _store(ledger: Ledger, batch: list[Interaction], number: int) -> int:
    with ledger.transaction():
        for place, (stored, _) in enumerate(ledger.put_interactions(batch)):
            ledger.put_signals(feedback_corpus.reactions(batch[place], stored, number + place, SEED))
    return number + len(batch)


def _build(path: str, answer: "multiprocessing.SimpleQueue[tuple[float, float]]") -> None:
    with Ledger.open(path, scrubber=None) as ledger:
        start = time.perf_counter()
        build(ledger)
        seconds = time.perf_counter() - start
    answer.put((seconds, peak_bytes() / (1 << 20)))


def _measured_build(path: Path) -> tuple[float, float, list[float]]:
    """(seconds, peak MB, how long each add beside it took, in ms): one add every 20 ms."""
    # A fresh interpreter: a fork would count this process's memory as its own.
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.SimpleQueue()
    child = spawn.Process(target=_build, args=(str(path), answer))
    child.start()
    took = []
    with Ledger.open(path, scrubber=None) as ledger:
        while child.is_alive():
            start = time.perf_counter()
            ledger.add_interaction(Interaction(conversation(f"Beside {len(took)} of {path.name}"), "An answer."))
            took.append((time.perf_counter() - start) * 1e3)
            time.sleep(0.02)
    child.join()
    return (*answer.get(), sorted(took))


def big_ledger(folder: Path, scale: float) -> Iterator[Figure]:
    """`stats` and rows of 200,000 answers, every one with a reaction, and of half as many in the same run."""
    count = int(200_000 * scale)
    half, whole = folder / "half.db", folder / "whole.db"
    _filled(half, count // 2)
    _filled(whole, count)
    with Ledger.open(whole, scrubber=None) as ledger:
        start = time.perf_counter()
        figures(ledger)
        seconds = time.perf_counter() - start
    yield Figure(f"stats of {count:,}", seconds, "s", "<= 1", seconds <= 1)
    first, _, _ = _measured_build(half)
    seconds, peak, took = _measured_build(whole)
    yield Figure(f"rows of {count:,}", seconds, "s", "<= 60", seconds <= 60)
    yield Figure(f"rows of {count:,}, peak memory", peak, "MB", "<= 1000", peak <= 1000)
    yield Figure("rows, twice the answers", seconds / first, "times", "<= 2.2", seconds / first <= 2.2)
    p99 = took[int(len(took) * 0.99)]
    yield Figure("an add beside it, p99", p99, "ms", "< 50", p99 < 50)
    yield Figure("an add beside it, longest", took[-1], "ms")


def split(folder: Path, scale: float) -> Iterator[Figure]:
    """Near-duplicates on both sides of the split, looked for by another way than the product's own."""
    count = int(100_000 * scale)
    with Ledger.open(folder / "split.db", scrubber=None) as ledger:
        asked = {}
        batch = list(feedback_corpus.interactions(count, SEED, near_share=0.5))
        for start in range(0, len(batch), 2000):
            part = batch[start : start + 2000]
            for (stored, _), one in zip(ledger.put_interactions(part), part, strict=True):
                asked[stored] = one.asked
        with ledger.transaction():
            ledger.put_signals([Signal(stored, "correction", -1.0, "Better.", source_key=stored) for stored in asked])
        start_s = time.perf_counter()
        places = assign(ledger)
        seconds = time.perf_counter() - start_s
    found = list(feedback_join.across({key: (places[key].side, text) for key, text in asked.items()}))
    yield Figure(f"sides of {count:,}", seconds, "s")
    yield Figure(f"near-duplicates on both sides of {count:,}", len(found), "pairs", "= 0", not found)


MEASUREMENTS: dict[str, Callable[[Path, float], Iterator[Figure]]] = {
    "add": add_latency,
    "import": bulk_import,
    "processes": processes,
    "kills": kills,
    "big": big_ledger,
    "split": split,
}


def main() -> int:
    """Run what was asked for; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    add_options(parser, MEASUREMENTS)
    options = parser.parse_args()
    scale = 0.1 if options.quick else 1.0
    return report(_measured(options.only or MEASUREMENTS, scale), as_json=options.json)


def _measured(names: Iterable[str], scale: float) -> Iterator[Figure]:
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            yield from MEASUREMENTS[name](Path(folder), scale)


if __name__ == "__main__":
    sys.exit(main())
