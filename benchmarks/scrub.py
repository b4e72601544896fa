"""How well and how fast the scrubber works: precision and recall by class, false finds by look-alike, µs a row.

Run `.venv/bin/python benchmarks/scrub.py` (Markdown) or with --json. Ends with 1 when a bound is missed: recall of
99 % and precision of 98 % in every class, 250 µs a row of ordinary talk.

A thing counts as found only where exactly it became a placeholder of the right type and everything around it stayed.
Precision counts every other placeholder as a false find, in look-alikes and around positives alike.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from scrub_corpus import gaps, look_alikes, ordinary, positives

from strop.feedback.scrub import Scrubber

LEAST_RECALL = 0.99
LEAST_PRECISION = 0.98
MOST_US_A_ROW = 250.0


@dataclass
class Report:
    """What was measured."""

    positives: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    left_readable: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    look_alikes: int = 0
    false_by_family: Counter[str] = field(default_factory=Counter)
    gaps_found: Counter[str] = field(default_factory=Counter)
    us_a_row: float = 0.0
    rows_a_second: int = 0
    examples: list[str] = field(default_factory=list)

    def recall(self, kind: str) -> float:
        """The share of the positives of a class that was found exactly."""
        return self.found[kind] / self.positives[kind]

    def precision(self, kind: str) -> float:
        """The share of right ones among the placeholders of a class."""
        return self.found[kind] / max(1, self.found[kind] + self.false[kind])

    def missed_bounds(self) -> list[str]:
        """The bounds that do not hold, in words."""
        missed = [
            f"{kind}: recall {self.recall(kind):.2%}" for kind in self.positives if self.recall(kind) < LEAST_RECALL
        ]
        missed += [
            f"{kind}: precision {self.precision(kind):.2%}"
            for kind in self.positives
            if self.precision(kind) < LEAST_PRECISION
        ]
        return missed + ([f"{self.us_a_row:.0f} µs a row"] if self.us_a_row > MOST_US_A_ROW else [])


def measure() -> Report:
    """Run everything: about ten seconds."""
    report, scrubber = Report(), Scrubber()
    _measure_positives(report, scrubber)
    _measure_look_alikes(report, scrubber)
    _measure_gaps(report, scrubber)
    _measure_speed(report, scrubber)
    return report


def _measure_positives(report: Report, scrubber: Scrubber) -> None:
    for positive in positives():
        scrubbed = scrubber.scrub([positive.text])
        report.positives[positive.kind] += 1
        report.left_readable[positive.kind] += positive.value in scrubbed.texts[0]
        if scrubbed.texts[0] == positive.scrubbed:
            report.found[positive.kind] += 1
            continue
        report.false.update(scrubbed.found)
        report.examples.append(f"{positive.kind}: {positive.text[:160]!r} -> {scrubbed.texts[0][:160]!r}")


def _measure_look_alikes(report: Report, scrubber: Scrubber) -> None:
    for family, text in look_alikes():
        scrubbed = scrubber.scrub([text])
        report.look_alikes += 1
        report.false.update(scrubbed.found)
        if scrubbed.found:
            report.false_by_family[family] += 1
            report.examples.append(f"{family}: {text!r} -> {scrubbed.texts[0]!r}")


def _measure_gaps(report: Report, scrubber: Scrubber) -> None:
    for family, text, value in gaps():
        report.gaps_found[family] += value not in scrubber.scrub([text]).texts[0]


def _measure_speed(report: Report, scrubber: Scrubber) -> None:
    rows = ordinary(3000)
    for row in rows[:500]:
        scrubber.scrub(row)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for row in rows:
            scrubber.scrub(row)
        best = min(best, time.perf_counter() - start)
    report.us_a_row = best / len(rows) * 1e6
    report.rows_a_second = int(len(rows) / best)


def markdown(report: Report) -> str:
    """The report as tables."""
    lines = [
        "| class | positives | recall | left readable | false finds | precision |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind, count in report.positives.items():
        lines.append(
            f"| {kind} | {count:,} | {report.recall(kind):.2%} | {report.left_readable[kind]} | {report.false[kind]} "
            f"| {report.precision(kind):.2%} |"
        )
    total, found, false = report.positives.total(), report.found.total(), report.false.total()
    shares = f"{found / total:.2%} | {report.left_readable.total()} | {false} | {found / (found + false):.2%}"
    lines.append(f"| all | {total:,} | {shares} |")
    lines += [
        "",
        f"{report.look_alikes:,} look-alikes; something was found in {report.false_by_family.total()} of them:",
    ]
    lines += [f"- {family}: {count}" for family, count in report.false_by_family.most_common()]
    lines += ["", "Not claimed, and how many of 100 go all the same:"]
    lines += [f"- {family}: {report.gaps_found[family]}" for family in report.gaps_found]
    return "\n".join([*lines, "", f"Ordinary talk: {report.us_a_row:.0f} µs a row, {report.rows_a_second:,} rows/s."])


def main() -> int:
    """Print the report; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--examples", action="store_true", help="also print every text that went wrong")
    options = parser.parse_args()
    report = measure()
    sys.stdout.write(
        (json.dumps(asdict(report), ensure_ascii=False, indent=1) if options.json else markdown(report)) + "\n"
    )
    if options.examples:
        sys.stdout.write("\n".join(report.examples) + "\n")
    missed = report.missed_bounds()
    sys.stderr.write("".join(f"missed: {bound}\n" for bound in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
