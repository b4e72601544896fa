"""`strop jobs`, and the option `--detach`: long commands in the background, for a shell that ends before they do."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strop.cli.output import JsonFlag, clean, end, hint, indented, note, one_line, say, session, show, table

if TYPE_CHECKING:
    from strop.jobs import Job

app = typer.Typer(help="Commands that run in the background: list, show, wait, cancel.", no_args_is_help=True)

DetachFlag = Annotated[
    bool, typer.Option("--detach", help="Run in the background and print a job's id at once (strop jobs).")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="A job's id, as --detach and strop jobs list print it.")]

_FAILED, _INTERRUPTED = 1, 130


def start(ctx: typer.Context, *, as_json: bool) -> None:
    """Start the command of `ctx` as a job, with what it was given but for --detach, and say the job's id."""
    from strop import jobs

    job = jobs.start(session(ctx).home, same_command(ctx))
    show(job.as_dict(), as_json=as_json, human=lambda: say(job.id))
    hint(f"strop jobs wait {job.id}")


def same_command(ctx: typer.Context) -> list[str]:
    """What follows `strop` to call the command of `ctx` again as it was called, without --detach."""
    options: list[str] = ["--verbose"] if session(ctx).verbose else []
    options += ctx.command_path.split()[1:]
    arguments: list[str] = []
    for parameter in ctx.command.params:
        name = str(parameter.name)
        source, value = ctx.get_parameter_source(name), ctx.params.get(name)
        if name == "detach" or source is None or source.name != "COMMANDLINE":
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            arguments += [str(one) for one in values]
        elif isinstance(value, bool):
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            options += [word for one in values for word in (parameter.opts[0], str(one))]
    return [*options, "--", *arguments] if arguments else options


@app.command(name="list", epilog="\b\nExample:\n  strop jobs list")
def list_(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the jobs, newest first.

    Those that ended stay until 50 newer ones have, or until something is forgotten.
    """
    from strop import jobs

    found = jobs.jobs(session(ctx).home)
    show({"jobs": [job.as_dict() for job in found]}, as_json=as_json, human=lambda: _print_list(found))
    hint(f"strop jobs show {found[0].id}" if found else "strop night --detach starts one")


@app.command(name="show", epilog="\b\nExample:\n  strop jobs show 20261125T211436Z-1a2b3c")
def show_(ctx: typer.Context, id_: Id, as_json: JsonFlag = False) -> None:
    """Show one job: its state, its command, and the last lines that it printed."""
    from strop import jobs

    job = jobs.find(session(ctx).home, id_)
    tails = {name: job.tail(name) for name in (jobs.STDOUT, jobs.STDERR)}
    show({**job.as_dict(), **tails}, as_json=as_json, human=lambda: _print_job(job, tails))
    if job.state == "running":
        hint(f"strop jobs wait {job.id}")
    elif job.state == "lost":
        _say_lost(job)


@app.command(epilog="\b\nExample:\n  strop jobs wait 20261125T211436Z-1a2b3c --timeout 600")
def wait(
    ctx: typer.Context,
    id_: Id,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait no longer; leave with 124 then.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Wait for a job; print what it printed and leave with its exit code."""
    from strop import jobs

    job = jobs.wait(session(ctx).home, id_, timeout)
    facts = {**job.as_dict(), jobs.STDOUT: job.stdout, jobs.STDERR: job.tail(jobs.STDERR)}
    show(facts, as_json=as_json, human=lambda: _print_output(job))
    if job.state == "lost":
        _say_lost(job)
    end(_exit_code(job))


@app.command(epilog="\b\nExample:\n  strop jobs cancel 20261125T211436Z-1a2b3c")
def cancel(ctx: typer.Context, id_: Id, as_json: JsonFlag = False) -> None:
    """End a job, as Ctrl-C would.

    A night that was cancelled is taken up by the next one where it stopped.
    """
    from strop import jobs

    job = jobs.cancel(session(ctx).home, id_)
    show(job.as_dict(), as_json=as_json, human=lambda: say(f"{job.id} {job.state}"))


def _exit_code(job: "Job") -> int:
    if job.exit_code is not None:
        return job.exit_code
    return _INTERRUPTED if job.state == "cancelled" else _FAILED


def _say_lost(job: "Job") -> None:
    note("the process of this job ended without a word: it was killed, memory ran out, or the computer stopped")
    hint(f"the same command again: {_command(job)}")


def _command(job: "Job") -> str:
    return f"strop {shlex.join(job.command)}"


def _facts(job: "Job") -> dict[str, str]:
    facts: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "command": _command(job),
        "started (UTC)": f"{job.started:%Y-%m-%d %H:%M:%S}",
        "seconds": "" if job.seconds is None else f"{job.seconds:.0f}",
        "exit code": "" if job.exit_code is None else f"{job.exit_code}",
    }
    return {name: str(value) for name, value in facts.items()}


def _print_list(found: "list[Job]") -> None:
    columns = ("id", "state", "command", "started (UTC)", "seconds", "exit code")
    table(columns, [tuple(one_line(value) for value in _facts(job).values()) for job in found])


def _print_job(job: "Job", tails: dict[str, str]) -> None:
    table(("what", "value"), [(name, one_line(value, 400)) for name, value in _facts(job).items() if value])
    for name, text in tails.items():
        if text.strip():
            say(f"\nlast lines of {name}:\n{indented(text)}")


def _print_output(job: "Job") -> None:
    """What it printed, on stdout; where it did not end well, its last words on stderr too."""
    from strop.jobs import GOOD_CODES, STDERR

    if out := job.stdout.rstrip("\n"):
        say(out)
    if job.exit_code not in GOOD_CODES and (words := clean(job.tail(STDERR)).strip()):
        note(words)
