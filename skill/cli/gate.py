"""`strop gate`: the decision by itself, on recorded results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strop.cli.output import JsonFlag, end, say, session, show

if TYPE_CHECKING:
    from strop.evaluation import Verdict

app = typer.Typer(help="Judge recorded results again.", no_args_is_help=True)


@app.callback()
def _room() -> None:
    """Judge recorded results again."""


@app.command(
    epilog="\b\nExample:\n  strop gate decide --results reports/RUN.results.jsonl --history reports/RUN.history.jsonl"
)
def decide(
    ctx: typer.Context,
    results: Annotated[Path, typer.Option(help="JSONL, one result a line, as a night writes it to reports/.")],
    history: Annotated[
        Path | None, typer.Option(help="JSONL, one earlier test a line; without it this is the first one.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="JSON, what is asked of a candidate; without it RUN.policy.json beside RUN.results.jsonl, or [gate]."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether these results promote the candidate.

    The same answer as the night's, from the same results: nothing is asked, measured, written or spent. What the night
    asked of its candidate lies beside its results, also which suites must not be missing; where nothing lies there, it
    is what strop.toml has under [gate]. Leaves with 0 for promote, 20 for keep, 21 for undecided.
    """
    from strop.config import load
    from strop.evaluation import decide as judge
    from strop.evaluation import records
    from strop.night import EXIT_CODES

    asked = records.read_policy(beside) if (beside := policy or _beside(results)) else None
    earlier = records.read_history(history) if history else ()
    verdict = judge(records.read_results(results), asked or load(session(ctx).home).gate.policy(), earlier)
    show(records.as_dict(verdict), as_json=as_json, human=lambda: _print(verdict))
    end(EXIT_CODES[verdict.outcome])


def _beside(results: Path) -> Path | None:
    """The policy that a night wrote with these results; None where there is none."""
    name = results.name.removesuffix(".results.jsonl")
    found = results.with_name(f"{name}.policy.json")
    return found if name != results.name and found.is_file() else None


def _print(verdict: "Verdict") -> None:
    say("\n".join([verdict.outcome, *(f"  - {reason}" for reason in verdict.reasons)]))
