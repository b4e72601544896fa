"""The program `strop`: its global options, its commands, and how an error leaves it.

Exit codes: 0 done · 1 failed · 2 usage · 10 nothing to do · 11 not enough data · 20 the gate kept the current model ·
21 undecided · 30 something is missing · 40 another run holds the lock · 124 a job still runs · 130 interrupted.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from strop.cli import (
    carried,
    data,
    evaluate,
    feedback,
    forget,
    gate,
    hub,
    huggingface,
    jobs,
    judge,
    models,
    night,
    output,
    plan,
    report,
    review,
    serve,
    system,
    train,
    tune,
    unforeseen,
    versions,
)
from strop.errors import StropError, UsageError
from strop.home import Home

# Click's own class for a wrong call; Typer carries a copy of Click and does not name this one.
_WrongCall: type[Exception] = typer.BadParameter.__bases__[0]
_INTERRUPTED = 130

app = typer.Typer(
    name="strop",
    help="Turns ratings and corrections into a better local model, every night.",
    epilog="\b\nExample:\n  strop demo",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
review.register(feedback.app)
forget.register(feedback.app)
app.add_typer(feedback.app, name="feedback")
app.add_typer(data.app, name="data")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(gate.app, name="gate")
app.add_typer(hub.app, name="hub")
carried.register(versions.group)
app.add_typer(versions.group, name="versions")
app.add_typer(huggingface.app, name="huggingface")
for room in (
    night.app,
    judge.app,
    report.app,
    versions.app,
    forget.app,
    tune.app,
    train.app,
    plan.app,
    evaluate.app,
    serve.app,
    system.app,
):
    app.add_typer(room)


def _print_version(wanted: bool) -> None:
    if wanted:
        from strop.detect import installed_version

        typer.echo(f"strop {installed_version('strop') or 'unknown'}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _global(
    ctx: typer.Context,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="PATH", help="The folder with all of Strop's data (STROP_HOME).")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more; show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    place = Home(home.expanduser().absolute()) if home else Home.locate()
    ctx.obj = output.Session(place, verbose)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    verbose = "--verbose" in sys.argv
    _quiet_libraries(verbose)
    _start_logging(verbose)
    # Read as torch loads libgomp: a thread that waits then leaves its core to other programs (`trainer/supervisor.py`).
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line; returns the exit code. Errors are printed here, and only here."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old code page must not turn an answer into a crash
    as_json, verbose = "--json" in args, "--verbose" in args
    try:
        code = app(args=args, prog_name="strop", standalone_mode=False)
        sys.stdout.flush()
    except _WrongCall as error:
        return _wrong_call(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        output.note("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        return _reader_is_gone()
    except Exception as error:
        if verbose:
            _traceback()
        return _failed(unforeseen.told(error, args), as_json=as_json)
    return code if isinstance(code, int) else 0


def _failed(error: StropError, *, as_json: bool) -> int:
    try:
        output.fail(error, as_json=as_json)
    except OSError:  # where stdout itself is what cannot be written
        output.fail(error, as_json=False)
        _let_go_of_stdout()
    return error.exit_code


def _wrong_call(error: Exception, *, as_json: bool) -> int:
    ctx, text = getattr(error, "ctx", None), str(getattr(error, "format_message", lambda: error)())
    if ctx is not None and type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(ctx.get_help(), err=True)
        return UsageError.exit_code
    path = ctx.command_path if ctx is not None else "strop"
    output.fail(UsageError(text, hint=f"{path} --help"), as_json=as_json)
    return UsageError.exit_code


def _traceback() -> None:
    import traceback

    output.note(traceback.format_exc().rstrip())


def _reader_is_gone() -> int:
    """Stdout was closed by its reader (`strop feedback list | head`)."""
    _let_go_of_stdout()
    return 1


def _let_go_of_stdout() -> None:
    """What is still to be written goes nowhere, so that there is no second error at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _quiet_libraries(verbose: bool) -> None:
    """Telemetry off; the libraries' own bars and notices off too, unless asked for: stderr is for what a user needs."""
    import warnings

    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not verbose:
        os.environ.update(TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        warnings.filterwarnings("ignore", category=FutureWarning)


def _start_logging(verbose: bool) -> None:
    """Warnings of our own on stderr, as plain lines; --verbose shows what goes on."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s" if verbose else "%(message)s"))
    if not verbose:
        logging.getLogger("peft").setLevel(logging.ERROR)
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    ours = logging.getLogger("strop")
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING)
