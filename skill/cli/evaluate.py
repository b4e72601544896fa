"""`strop evaluate`: how good a model is on suites, with intervals; one model, or two against each other."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from strop.cli.evaluated import show_harness, show_suites
from strop.cli.output import JsonFlag, end, session
from strop.cli.progress import progress
from strop.errors import EvaluationError, UsageError

if TYPE_CHECKING:
    from strop.config import Config
    from strop.harness import HarnessResult
    from strop.home import Home
    from strop.setup import OnProgress
    from strop.subject import Subject

app = typer.Typer()

MODELS = "live, base, v0003, an adapter folder, a model's name or folder, or http://HOST/v1"


@app.command(epilog="\b\nExample:\n  strop evaluate --model live --suite everyday")
def evaluate(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(metavar="MODEL", help=f"{MODELS}.")] = "live",
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE.jsonl",
            help="May be repeated; everyday without it, or a part of it (facts ...), or probes (sycophancy, leak ...).",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A second model: the paired difference to it, by suite.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many items of each suite, always the same ones.")] = None,
    items: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one JSON line an item.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known.")] = False,
    model_name: Annotated[str, typer.Option(help="The name that is sent to an endpoint.")] = "default",
    token_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="The environment variable that holds the endpoint's token.")
    ] = None,
    against_name: Annotated[str, typer.Option(help="As --model-name, for --against.")] = "default",
    against_token_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="As --token-env, for --against.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="URL", help="An endpoint that says whose answers it prefers; with --against.")
    ] = None,
    judge_name: Annotated[str, typer.Option(help="As --model-name, for --judge.")] = "default",
    judge_token_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="As --token-env, for --judge.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="An endpoint may be another machine; it sees the suite's texts.")
    ] = False,
    cache_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep what an endpoint said, as long as it is this model.")
    ] = None,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer of an endpoint.")] = 120.0,
    harness: Annotated[
        Literal["lm-eval", "lighteval"] | None, typer.Option(help="Run another harness's tasks instead of suites.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="The harness's tasks.")] = None,
    include_path: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Your own tasks: a folder of YAML for lm-eval, a Python file for lighteval."),
    ] = None,
    harness_python: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The Python of lighteval's own environment.")
    ] = None,
    online: Annotated[bool, typer.Option("--online", help="The harness may fetch its tasks' data.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model on suites.

    Rates with 95 % intervals that allow for items of one template moving together. What was measured is kept. An
    endpoint cannot be asked for likelihoods: its choice items are asked by letter, and the table says so. What names no
    letter, or is no answer at all, is not measured; a suite with no figure ends with 1.
    """
    from strop import evaluate as measuring
    from strop.config import load
    from strop.nightsteps import MEASURED

    named = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    _check(model, against, judge, suite, harness, named, cache_as, items)
    home = session(ctx).home.ensure()
    config = load(home)
    asked = measuring.sources(suite or ["everyday"], limit) if harness is None else []
    ends = _Endpoints(allow_remote, timeout_s, cache_as)
    if harness is not None:
        with progress() as on_progress:
            subject = _subject(model, ends, model_name, token_env, home, config, on_progress)
            told = {"include": include_path, "limit": limit, "online": online, "on_progress": on_progress}
            found = _of_harness(harness, subject, named, harness_python, told)
        show_harness(subject, found, items, as_json=as_json)
        return
    other = preferred = None
    with progress() as on_progress:
        subject = _subject(model, ends, model_name, token_env, home, config, on_progress)
        if against is not None:
            other = _subject(against, ends, against_name, against_token_env, home, config, on_progress)
        where = measuring.Where(home.reports / MEASURED, fresh, on_progress)
        results = measuring.evaluate(subject, other, asked, where)
        if judge is not None and other is not None:
            from strop.preferences import preferences

            asking = _subject(judge, ends, judge_name, judge_token_env, home, config, on_progress)
            preferred = preferences(subject, other, asking, asked, where)
    if items is not None:
        measuring.write_items(items, (row for result in results for row in result.items()))
    show_suites(subject, other, results, preferred, items, as_json=as_json)
    if any(result.blank for result in results):
        end(EvaluationError.exit_code)  # a suite that was asked for has no figure


def _of_harness(
    name: str, subject: "Subject", tasks: Sequence[str], python: Path | None, told: dict[str, Any]
) -> "HarnessResult":
    from strop import harness, harness_lighteval

    if name == harness_lighteval.NAME:
        return harness_lighteval.run(subject, tasks, python=python, **told)
    return harness.run(subject, tasks, **told)


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """What the call says about all endpoints."""

    allow_remote: bool
    timeout_s: float
    cache_as: str | None


def _check(
    model: str,
    against: str | None,
    judge: str | None,
    suite: Sequence[str] | None,
    harness: str | None,
    tasks: Sequence[str],
    cache_as: str | None,
    items: Path | None,
) -> None:
    """Raise UsageError for options that do not go together, before anything is loaded."""
    from strop.subject import is_url

    if harness is not None and (not tasks or any(name.startswith("-") for name in tasks)):
        raise UsageError("a harness needs the names of tasks", hint="--tasks NAME,NAME; your own: --include-path PATH")
    if harness is None and tasks:
        raise UsageError("--tasks are a harness's", hint="strop evaluate --harness lm-eval --tasks NAME")
    if judge is not None and not (against and is_url(judge)):
        raise UsageError("a judge is an endpoint, and judges two models", hint="--against MODEL --judge URL")
    if harness is not None and (suite or against):
        raise UsageError("a harness has tasks, no suites and no second model", hint="--tasks NAME,NAME")
    if cache_as is not None and not any(is_url(name) for name in (model, against or "", judge or "")):
        raise UsageError("--cache-as is for endpoints; the rest is known by its hash", hint="strop evaluate --help")
    if items is not None and items.is_dir():
        raise UsageError(f"{items} is a folder", hint="--items names a file")


def _subject(
    name: str,
    ends: _Endpoints,
    model_name: str,
    token_env: str | None,
    home: "Home",
    config: "Config",
    on_progress: "OnProgress",
) -> "Subject":
    from strop import subject

    if not subject.is_url(name):
        if token_env is not None:
            raise UsageError(f"{name} is no endpoint and takes no token", hint="strop evaluate --help")
        return subject.here(name, home, config, on_progress)
    from strop.deploy.endpoint import address

    token = _token(token_env)
    to = address(name, model_name, token=token, allow_remote=ends.allow_remote, timeout_s=ends.timeout_s)
    return subject.at_endpoint(to, ends.cache_as)


def _token(variable: str | None) -> str:
    """The token in an environment variable. Its value is never printed, nor what else was typed in its place."""
    if variable is None:
        return ""
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError("--token-env names a variable that is not set", hint="export NAME=..., then --token-env NAME")
    if not (token.isascii() and token.isprintable()):
        raise UsageError("the token holds characters that no header can carry", hint="set it again")
    return token
