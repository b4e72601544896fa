"""`strop night` and `strop schedule`: one night now, or a night whenever one is due."""

import logging
from enum import StrEnum
from typing import Annotated

import typer

from strop.cli import jobs, units
from strop.cli.jobs import DetachFlag
from strop.cli.output import JsonFlag, end, fail, hint, note, say, session, show
from strop.cli.progress import progress
from strop.errors import Locked, NothingToDo, StropError

app = typer.Typer()

# What a scheduler need not be told about: nothing to do, not enough data, kept, undecided.
NORMAL_CODES = frozenset({10, 11, 20, 21})


class System(StrEnum):
    """What can run a command at a given time."""

    SYSTEMD = "systemd"
    CRON = "cron"
    LAUNCHD = "launchd"
    WINDOWS = "windows"


@app.command(epilog="\b\nExample:\n  strop night")
def night(
    ctx: typer.Context,
    if_due: Annotated[bool, typer.Option("--if-due", help="Do nothing unless tonight's run is still to come.")] = False,
    scheduled: Annotated[
        bool, typer.Option("--scheduled", help="For cron and systemd: leave with 0 unless something is wrong.")
    ] = False,
    detach: DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a night: train, build, judge, release.

    Trains on the feedback and releases the result only if the gate finds it better. Safe to kill and to repeat: what
    is whole is not done again.
    """
    from strop import night as nightly
    from strop.config import load
    from strop.schedule import night_running

    home = session(ctx).home.ensure()
    if detach:
        load(home)  # settings that cannot be right are told now
        if night_running(home):
            raise Locked("another night is running on this home", hint="strop status")
        return jobs.start(ctx, as_json=as_json)
    try:
        with progress(quiet=scheduled) as on_progress:
            report = nightly.run(
                home,
                load(home),
                trigger="schedule" if scheduled else "manual",
                if_due=if_due,
                on_progress=on_progress,
            )
    except StropError as error:
        if not (scheduled and error.exit_code in NORMAL_CODES):
            raise
        if as_json:
            fail(error, as_json=True)
        elif error.exit_code != NothingToDo.exit_code:  # cron mails whatever is said, and most hours have no night
            note(str(error))
        end(0)
    show(report.as_dict(), as_json=as_json, human=lambda: say(report.sentence))
    end(0 if scheduled and report.exit_code in NORMAL_CODES else report.exit_code)


@app.command(epilog="\b\nExample:\n  strop schedule --print systemd")
def schedule(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Look once, run the night if it is due, and leave.")] = False,
    unit: Annotated[
        System | None, typer.Option("--print", help="Print a unit that needs no resident process, and leave.")
    ] = None,
    tick: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How often to look.")] = 60,
    as_json: JsonFlag = False,
) -> None:
    """Run a night whenever one is due.

    Settings: hour, minute and timezone under [night] in strop.toml. A night that was slept through is made up for.
    """
    from strop import schedule as scheduling
    from strop.config import load

    home = session(ctx).home.ensure()
    config = load(home)
    if unit is not None:
        text = units.unit(unit.value, scheduling.night_command(home), config.night.minute)
        show({"system": unit.value, "unit": text}, as_json=as_json, human=lambda: say(text))
        hint(units.INSTALL[unit.value])
        return
    ticker = scheduling.Ticker(home, lambda: load(home))
    state = scheduling.due(home, config)
    if once:
        code = ticker.run_if_due()
        facts = {"due": state.due, "reason": state.reason, "next": state.next.isoformat(), "exit_code": code}
        show(facts, as_json=as_json, human=lambda: say(f"{'ran' if code is not None else 'not due'}: {state.reason}"))
        end(code or 0)
    logging.getLogger(scheduling.log.name).setLevel(logging.DEBUG if session(ctx).verbose else logging.INFO)
    note(f"waiting; the next night opens at {state.next:%H:%M on %d %B} ({state.next.tzinfo}); Ctrl-C ends this")
    scheduling.serve(ticker, tick)
