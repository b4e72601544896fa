"""Mutation testing of the gate: small faults are planted in `decide` and its statistics, and the tests must see them.

Run `.venv/bin/pip install cosmic-ray`, then `.venv/bin/python benchmarks/mutants.py --work FOLDER` (four seconds a
mutant), with --sample N for that many drawn by seed, --json for one object. FOLDER gets a copy of the sources, in which
the faults are planted; the same command goes on where it stopped. Ends with 1 where fewer than 90 % are killed.

Planted: other numbers, other comparisons, + for -, * for /, `not`, and for or, loops that do not run. Left out: `is`
for `==`, which is the same on the small texts and numbers compared here, and operators that nobody confuses (bit
shifts).
"""

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from figures import machine, print_json

MODULES = ("gate", "superiority", "noninferiority", "vetoes", "finding", "compare", "error")
TESTS = ("test_gate", "test_compare", "test_error", "test_gate_properties")
OPERATORS = (
    *("NumberReplacer", "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ZeroIterationForLoop", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")),
    "ReplaceBinaryOperator_Pow_Mul",
)
SEED, LEAST = 17, 0.90


def prepared(work: Path) -> Path:
    """A copy of the sources in which Strop is imported from, and cosmic-ray's settings; returns the session's file."""
    session = work / "session.sqlite"
    if session.is_file():
        return session
    here = Path(__file__).resolve().parents[1]
    work.mkdir(parents=True, exist_ok=True)
    for folder in ("evaluation", "skill", "feedback", "trainer", "deploy", "tests"):
        shutil.copytree(here / folder, work / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(here / "pyproject.toml", work)
    # The package under its own name, from the copy.
    package = work / "path" / "strop"
    package.parent.mkdir()
    package.symlink_to(work / "skill")
    for folder in ("evaluation", "feedback", "trainer", "deploy"):
        if not (work / "skill" / folder).exists():
            (work / "skill" / folder).symlink_to(work / folder)
    tests = " ".join(f"tests/evaluation/{name}.py" for name in TESTS)
    command = f"{sys.executable} -m pytest -x -q -p no:randomly -p no:cacheprovider {tests}"
    modules = ", ".join(f'"evaluation/{name}.py"' for name in MODULES)
    settings = (
        f'[cosmic-ray]\nmodule-path = [{modules}]\ntimeout = 120.0\nexcluded-modules = []\ntest-command = "{command}"\n'
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    (work / "settings.toml").write_text(settings, encoding="utf-8")
    cosmic_ray(work, "init", "settings.toml", session.name)
    return session


def cosmic_ray(work: Path, *args: str) -> None:
    """Run it in the copy, which is what `import strop` finds."""
    program = [sys.executable, "-m", "cosmic_ray.cli", *args]
    subprocess.run(program, cwd=work, check=True, env={"PYTHONPATH": str(work / "path"), "PATH": "/usr/bin:/bin"})


def drawn(session: Path, sample: int | None) -> None:
    """Leave the planted kinds, and of them as many as the sample has."""
    with sqlite3.connect(session) as db:
        rows = db.execute("SELECT job_id, operator_name FROM mutation_specs ORDER BY job_id").fetchall()
        places = db.execute(
            "SELECT job_id, module_path, operator_name, occurrence FROM mutation_specs ORDER BY 2, 3, 4"
        ).fetchall()
        kinds = dict(rows)
        planted = [job for job, *_ in places if _planted(kinds[job].removeprefix("core/"))]
        draw = random.Random(SEED)  # noqa: S311 (a fixed draw is what is wanted)
        chosen = set(planted if sample is None else draw.sample(planted, min(sample, len(planted))))
        gone = [(job,) for job, _ in rows if job not in chosen]
        for table in ("mutation_specs", "work_results", "work_items"):
            db.executemany(f"DELETE FROM {table} WHERE job_id = ?", gone)  # noqa: S608 (our own names)


def _planted(operator: str) -> bool:
    comparison = operator.startswith("ReplaceComparisonOperator_") and not operator.endswith(("_Is", "_IsNot"))
    return comparison or operator in OPERATORS or operator.startswith("ReplaceUnaryOperator_USub")


def outcomes(session: Path) -> tuple[dict[str, int], list[str]]:
    """How many were killed and survived, and where the survivors stand."""
    with sqlite3.connect(session) as db:
        counts = dict(db.execute("SELECT test_outcome, count(*) FROM work_results GROUP BY 1"))
        rows = db.execute(
            "SELECT module_path, start_pos_row, operator_name, diff FROM mutation_specs JOIN work_results"
            " USING (job_id) WHERE test_outcome = 'SURVIVED' ORDER BY 1, 2"
        )
        return counts, [f"{module}:{row} {operator}\n{_changed(diff)}" for module, row, operator, diff in rows]


def _changed(diff: str) -> str:
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    return "\n".join(f"    {line}" for line in lines)


def main() -> int:
    """Plant, run, count; 1 where too few are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of the copy")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn by seed (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    work = options.work.resolve()
    fresh = not (work / "session.sqlite").is_file()
    session = prepared(work)
    if fresh:
        drawn(session, options.sample)
    cosmic_ray(work, "exec", "settings.toml", session.name)
    counts, survivors = outcomes(session)
    of = sum(counts.values())
    killed = of - len(survivors)
    if options.json:
        print_json(machine(), killed=killed, of=of, survivors=survivors)
    else:
        met = "met" if killed >= LEAST * of else "MISSED"
        print("\n".join([*survivors, f"\n{killed} of {of} mutants killed ({killed / of:.1%}); target 90 %: {met}"]))  # noqa: T201
    return 0 if killed >= LEAST * of else 1


if __name__ == "__main__":
    sys.exit(main())
