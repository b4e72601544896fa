"""`strop plan`: what a training run would be on this machine, before anything is fetched, loaded or started."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from strop.cli.output import JsonFlag, hint, note, say, session, show, table
from strop.errors import NotEnoughData, UsageError

if TYPE_CHECKING:
    from strop.trainer.alternatives import Alternative
    from strop.trainer.capacity import Outlook
    from strop.trainer.load import Load
    from strop.trainer.locate import Located
    from strop.trainer.machine import Machine, Trouble
    from strop.trainer.settings import TrainerSettings

app = typer.Typer()


@app.command(epilog="\b\nExample:\n  strop plan --model smollm2 --data rows.jsonl")
def plan(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="The base; the configured one without it. Nothing is fetched.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The training file, as for strop train.")] = None,
    method: Annotated[
        Literal["auto", "sft", "dpo", "kto", "hindsight", "grpo"], typer.Option(help="auto: by what the file holds.")
    ] = "auto",
    rank: Annotated[int | None, typer.Option(min=1, help="LoRA rank.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.")] = None,
    max_length: Annotated[int | None, typer.Option(min=16, help="Longest row, in tokens.")] = None,
    load_in: Annotated[
        Literal["16bit", "8bit", "4bit"] | None, typer.Option(help="Bits of the frozen base in memory (QLoRA: 4bit).")
    ] = None,
    usual: Annotated[bool, typer.Option("--table", help="Print what 7B, 13B and 70B models need, and stop.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say how a run would go here, and why.

    Method, precision, bits, batch, time, memory, disk: each choice with its reason. For a model that is too big: what
    would fit, how long it would take, and what a rented GPU would cost.
    """
    if usual:
        _show_table(as_json)
        return
    if data is None:
        raise UsageError("a training file is needed", hint="strop plan --model smollm2 --data rows.jsonl")
    from strop.config import load as load_config
    from strop.server.room import asked as asked_of
    from strop.trainer import capacity, load, locate, machine, rowfile, speed, traits

    home = session(ctx).home
    config = load_config(home)
    asked: dict[str, Any] = {
        "method": method,
        "rank": rank,
        "batch_size": batch_size,
        "max_length": max_length,
        "load_in": load_in,
    }
    settings = config.trainer.model_copy(update={name: value for name, value in asked.items() if value is not None})
    rows = rowfile.read(data)
    located = locate.locate(model or config.model, home.models)
    work = load.under(settings, rows, located.folder)
    if not work.rows:
        what = f"all {work.left_out} rows are longer than {settings.max_length} tokens"
        raise NotEnoughData(what, hint="raise --max-length or shorten the rows")
    here = machine.look(home.path)
    pace, serve = speed.tried(here), asked_of(config, home)
    found = capacity.outlook(located.shape, here, work, settings, pace, traits.of_file(rows), serve)
    troubles = machine.troubles(here, found.disk_bytes)
    show(
        _as_dict(located, work, here, found, troubles),
        as_json=as_json,
        human=lambda: _print(located, work, here, found),
    )
    _say_troubles(troubles)
    if not found.fits:
        _say_elsewhere(found, located)
        return
    _say_how(found, settings, f"strop tune {data} --model {model or config.model} --to model.gguf")


def _as_dict(
    located: "Located", work: "Load", here: "Machine", found: "Outlook", troubles: "Sequence[Trouble]"
) -> dict[str, Any]:
    return {
        "model": located.shape.name,
        "model_source": located.source,
        "parameters": located.shape.parameters,
        "rows": work.rows,
        "left_out_too_long": work.left_out,
        "tokens": work.tokens,
        "tokens_source": work.counted,
        "machine": here.sentence,
        "fits": found.fits,
        "choices": [{"name": c.name, "value": c.value, "reason": c.reason} for c in found.choices],
        "seconds": round(found.seconds, 1),
        "peak_bytes": found.peak.as_dict(),
        "adapter_bytes": found.adapter_bytes,
        "disk_bytes": found.disk_bytes,
        "side_by_side": found.side_by_side,
        "alternatives": [one.as_dict() for one in found.alternatives],
        "troubles": [{"name": one.name, "what": one.what, "fix": one.fix} for one in troubles],
    }


def _print(located: "Located", work: "Load", here: "Machine", found: "Outlook") -> None:
    left_out = f", {work.left_out} longer ones left out" if work.left_out else ""
    say(f"{located.shape.name}, {located.shape.parameters / 1e9:.2f} billion parameters ({located.source})")
    say(f"{work.rows} rows of {work.tokens:,} tokens{left_out} ({work.counted}), on {here.sentence}")
    table(("choice", "value", "why"), [(c.name, c.value, c.reason) for c in found.choices])
    if found.alternatives:
        say("It does not fit here. What does:")
        table(("what", "where", "how", "peak", "time", "price"), [_cells(one) for one in found.alternatives])


def _cells(one: "Alternative") -> tuple[str, ...]:
    from strop.trainer.capacity import duration, size
    from strop.trainer.fitting import how

    price = "" if one.dollars is None else f"${one.dollars:.2f}" if one.dollars >= 0.005 else "below $0.01"
    takes = duration(one.seconds) if one.seconds >= 1 else "below 1 s"
    return one.what, one.where, how(one.setting), size(one.peak_bytes), takes, price


def _say_troubles(troubles: "Sequence[Trouble]") -> None:
    for one in troubles:
        note(f"{one.name}: {one.what}")
        hint(one.fix)


def _say_elsewhere(found: "Outlook", located: "Located") -> None:
    from strop.trainer.capacity import size
    from strop.trainer.cloud import PRICES

    if any(one.dollars is not None for one in found.alternatives):
        fetched = size(2 * located.shape.parameters)
        note(f"prices: {PRICES}; times are estimates without the minutes to start and to fetch {fetched}")
        note("what is trained on a rented GPU leaves this machine, your rows included")
    if not found.alternatives:
        hint("nothing that is known fits these rows: shorten them with --max-length, or name a smaller model")


def _say_how(found: "Outlook", settings: "TrainerSettings", command: str) -> None:
    """The command that trains as planned, and the settings that it needs where they are not the present ones."""
    setting = found.setting
    accumulation = -(-settings.batch_size // setting.batch)
    wanted: dict[str, str] = {}
    if setting.load_in != settings.load_in:
        wanted["load_in"] = f'"{setting.load_in}"'
    if setting.checkpointing and not settings.checkpointing:
        wanted["checkpointing"] = "true"
    if accumulation > settings.accumulation:
        wanted["accumulation"] = str(accumulation)
    if wanted:
        hint(f"under [trainer] in strop.toml: {', '.join(f'{name} = {value}' for name, value in wanted.items())}")
    hint(command)


def _show_table(as_json: bool) -> None:
    from strop.trainer.alternatives import usual_table
    from strop.trainer.capacity import size

    rows = usual_table()
    cells = [(row.name, size(row.qlora_bytes), row.card, size(row.lora_bytes), row.lora_card) for row in rows]
    show(
        {"table": [row.as_dict() for row in rows]},
        as_json=as_json,
        human=lambda: table(("model", "QLoRA", "on", "LoRA", "on"), cells),
    )
