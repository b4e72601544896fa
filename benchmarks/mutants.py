"""Mutation testing of the gate: small faults are planted in `decide` and its statistics, and the tests must see them.

Run `.venv/bin/pip install cosmic-ray`, then `.venv/bin/python benchmarks/mutants.py --work FOLDER`, with --sample N for
that many drawn by seed, --json for one object. FOLDER keeps what each mutant came to: the same command goes on where it
stopped, and asks again where the sources or tests changed. Ends with 1 where fewer than 90 % are killed.

Planted: other numbers, other comparisons, + for -, * for /, `not`, and for or, loops that do not run. Left out: `is`
for `==`, which is the same on the small texts and numbers compared here, and operators that nobody confuses (bit
shifts).

cosmic-ray makes the mutants; nothing is written to the sources. Each one is imported and tested in a child that is
forked from a process which has the test libraries in memory already: a second for most, where a new interpreter takes
four. A child that runs for 90 seconds of processor time hangs in a loop without end, and counts as killed.
"""

import argparse
import hashlib
import importlib.machinery
import json
import os
import random
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType

import hypothesis  # noqa: F401 (in memory before the forks)
import pytest
import scipy.stats  # noqa: F401
from figures import machine, print_json

HERE = Path(__file__).resolve().parents[1]
SOURCES = HERE / "evaluation"
MODULES = ("gate", "superiority", "settling", "noninferiority", "vetoes", "finding", "compare", "error")
# The fastest first, but before them the module's own: a mutant dies at the first test that sees it.
TESTS = (
    *("test_gate_inputs", "test_gate_limits", "test_gate", "test_gate_sources", "test_error", "test_compare"),
    *("test_settling", "test_gate_properties"),
)
OPERATORS = (
    *("NumberReplacer", "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ZeroIterationForLoop", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")),
    "ReplaceBinaryOperator_Pow_Mul",
)
SEED, LEAST = 17, 0.90
CPU_S = 90


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: the `occurrence`th place of `operator` in a module, and the line that it changes."""

    module: str
    operator: str
    occurrence: int
    change: str
    code: str

    @property
    def name(self) -> str:
        """By what its outcome is kept."""
        return f"{self.module} {self.operator} {self.occurrence}"


def mutants() -> Iterator[Mutant]:
    """Every fault that is planted, module by module."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    for module in MODULES:
        source = (SOURCES / f"{module}.py").read_text(encoding="utf-8")
        for name in sorted(filter(_planted, (name.removeprefix("core/") for name in operator_names()))):
            operator, occurrence = get_operator(f"core/{name}")(), 0
            while (code := mutate_code(source, operator, occurrence)) is not None:
                yield Mutant(module, name, occurrence, _changed(source, code), code)
                occurrence += 1


def _planted(operator: str) -> bool:
    comparison = operator.startswith("ReplaceComparisonOperator_") and not operator.endswith(("_Is", "_IsNot"))
    return comparison or operator in OPERATORS or operator.startswith("ReplaceUnaryOperator_USub")


def _changed(source: str, code: str) -> str:
    lines = zip(source.splitlines(), code.splitlines(), strict=False)
    at, (old, new) = next((at, pair) for at, pair in enumerate(lines, start=1) if pair[0] != pair[1])
    return f"{at}: {old.strip()}\n        {new.strip()}"


def killed(mutant: Mutant | None) -> bool:
    """Whether the tests fail with this fault; None: with the sources as they are."""
    child = os.fork()
    if child == 0:
        os._exit(_tested(mutant))
    _, status = os.waitpid(child, 0)
    return status != 0


def _tested(mutant: Mutant | None) -> int:
    """The tests' exit code, in a process of its own that imports the fault in place of the module."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if mutant is not None:
        _import_instead(str(SOURCES / f"{mutant.module}.py"), mutant.code)
    own = f"test_{mutant.module}" if mutant else ""
    names = sorted(TESTS, key=lambda name: name != own)
    tests = [str(HERE / "tests" / "evaluation" / f"{name}.py") for name in names]
    return int(
        pytest.main(
            ["-x", "-q", "--assert=plain", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
        )
    )


def _import_instead(path: str, code: str) -> None:
    loader = importlib.machinery.SourceFileLoader
    whole = loader.get_code

    def get_code(self: importlib.machinery.SourceFileLoader, fullname: str) -> CodeType | None:
        return compile(code, path, "exec") if os.path.samefile(self.path, path) else whole(self, fullname)

    loader.get_code = get_code  # type: ignore[method-assign,assignment]


def state() -> str:
    """A hash of all that an outcome depends on."""
    files = [*(SOURCES / f"{name}.py" for name in MODULES), *(HERE / "tests" / "evaluation").glob("*.py")]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]


def run(work: Path, sample: int | None) -> dict[str, tuple[Mutant, bool]]:
    """What each mutant came to: killed or not, by its name."""
    planted = list(mutants())
    if sample is not None:
        planted = random.Random(SEED).sample(planted, min(sample, len(planted)))  # noqa: S311 (a fixed draw)
    work.mkdir(parents=True, exist_ok=True)
    kept = work / f"mutants-{state()}.jsonl"
    rows = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.is_file() else []
    known = {row["name"]: bool(row["killed"]) for row in rows}
    if killed(None):
        sys.exit("the tests fail without any fault")
    with kept.open("a", encoding="utf-8") as file:
        for number, mutant in enumerate(planted, start=1):
            if mutant.name not in known:
                known[mutant.name] = killed(mutant)
                file.write(json.dumps({"name": mutant.name, "killed": known[mutant.name]}) + "\n")
                file.flush()
            print(f"\r{number} of {len(planted)}", end="", file=sys.stderr)  # noqa: T201
    return {mutant.name: (mutant, known[mutant.name]) for mutant in planted}


def main() -> int:
    """Plant, run, count; 1 where too few are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder that keeps what was found")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn by seed (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    found = run(options.work.resolve(), options.sample)
    survivors = [mutant for mutant, dead in found.values() if not dead]
    dead, of = len(found) - len(survivors), len(found)
    if options.json:
        shown = [{name: value for name, value in asdict(one).items() if name != "code"} for one in survivors]
        print_json(machine(), killed=dead, of=of, survivors=shown)
    else:
        for one in survivors:
            print(f"{one.module}.py:{one.change}  ({one.operator})")  # noqa: T201
        met = "met" if dead >= LEAST * of else "MISSED"
        print(f"\n{dead} of {of} mutants killed ({dead / of:.1%}); target 90 %: {met}")  # noqa: T201
    return 0 if dead >= LEAST * of else 1


if __name__ == "__main__":
    sys.exit(main())
