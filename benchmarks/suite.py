"""How hard the skill suite is for a base: the share of its items that the base gets right, template by template.

Run `.venv/bin/python benchmarks/suite.py` (some ten minutes on a processor with bfloat16), with --only PREFIX for the
templates whose names begin so, --seed for other items of the same templates, --per-template for more or fewer of
them, --failed for the items that it got wrong, --json for one object. An item that every base passes, or none, tells
two models apart no better than a coin: most items should lie in templates between 30 and 80 %.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from figures import machine, print_json

from strop.evaluation import suites
from strop.evaluation.measure import skill_scores
from strop.evaluation.suites import SuiteItem
from strop.trainer import plan
from strop.trainer.answering import Answering
from strop.trainer.models import resolve

LOW, HIGH = 0.3, 0.8
_SCORED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Rate:
    """What the base got right of one template's items."""

    suite: str
    cluster: str
    made: bool
    right: int
    items: int

    @property
    def value(self) -> float:
        return self.right / self.items

    @property
    def telling(self) -> bool:
        return LOW <= self.value <= HIGH


def rates(items: Sequence[SuiteItem], passed: Sequence[bool]) -> list[Rate]:
    """One rate a template, in the order in which the templates first appear."""
    by_cluster: dict[str, list[tuple[SuiteItem, bool]]] = defaultdict(list)
    for item, right in zip(items, passed, strict=True):
        by_cluster[item.cluster].append((item, right))
    return [
        Rate(found[0][0].suite, cluster, found[0][0].id.startswith("mk-"), sum(right for _, right in found), len(found))
        for cluster, found in by_cluster.items()
    ]


def asked(model: Answering, items: Sequence[SuiteItem]) -> list[bool]:
    """Whether the model gets each item right; ends the run where one could not be measured."""

    def note(done: int, total: int) -> None:
        print(f"{done} of {total}", file=sys.stderr, flush=True)  # noqa: T201

    found = skill_scores(model, items, progress=note, batch=_SCORED_AT_ONCE)
    if errors := [one.error for one in found.values() if one.error is not None]:
        sys.exit(f"the suite could not be measured: {errors[0]}")
    return [found[item.id].value == 1.0 for item in items]


def table(found: Iterable[Rate]) -> str:
    """The rates in Markdown, the hardest template first."""
    lines = ["| suite | template | made | right | of | rate |", "|---|---|---|---:|---:|---:|"]
    for one in sorted(found, key=lambda rate: (rate.value, rate.cluster)):
        made = "yes" if one.made else "no"
        lines.append(f"| {one.suite} | {one.cluster} | {made} | {one.right} | {one.items} | {one.value:.0%} |")
    return "\n".join(lines)


def summary(found: Sequence[Rate]) -> dict[str, dict[str, int]]:
    """Items and templates below, between and above the bounds: of all, of the made ones, of the hand-written ones."""
    parts = {
        "all": found,
        "made": [one for one in found if one.made],
        "written": [one for one in found if not one.made],
    }
    return {
        name: {
            "items": sum(one.items for one in part),
            "right": sum(one.right for one in part),
            "items below": sum(one.items for one in part if one.value < LOW),
            "items between": sum(one.items for one in part if one.telling),
            "items above": sum(one.items for one in part if one.value > HIGH),
            "templates": len(part),
            "templates between": sum(one.telling for one in part),
        }
        for name, part in parts.items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="the base")
    parser.add_argument("--models", type=Path, default=Path.home() / ".strop" / "models", help="where bases are kept")
    parser.add_argument("--seed", type=int, default=0, help="of the made items")
    parser.add_argument("--per-template", type=int, default=12, help="items of each template")
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX", help="templates whose names begin so")
    parser.add_argument("--failed", action="store_true", help="the items that the base got wrong, too")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    every = suites.load(seed=options.seed, per_template=options.per_template)
    items = [item for item in every if item.cluster.startswith(tuple(options.only))]
    base, precision, threads = (
        resolve(options.model, options.models),
        plan.choose_precision("auto")[0],
        plan.set_threads(),
    )
    passed = asked(Answering.load(base.folder, None, precision, 32), items)
    found = rates(items, passed)
    wrong = [item.id for item, right in zip(items, passed, strict=True) if not right]
    if options.json:
        on = machine(precision=precision, threads=threads, base=base.facts(), seed=options.seed)
        print_json(on, summary=summary(found), rates=[asdict(one) for one in found], wrong=wrong)
        return 0
    print(table(found), "", json.dumps(summary(found), indent=2), sep="\n")  # noqa: T201
    if options.failed:
        print("", *wrong, sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
