"""Other ways to an adapter where a run does not fit: shorter rows, a sibling, a rented card; and the usual table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from strop.trainer import cloud, sizes
from strop.trainer.fitting import SHARE_OF_MEMORY, device_of, first_that_fits, how, room_bytes, seconds_of
from strop.trainer.load import Load
from strop.trainer.machine import Machine
from strop.trainer.memory import Setting, peak
from strop.trainer.recipe import Precision, Recipe, with_precision
from strop.trainer.shape import Shape

_SHORTER = (512, 256, 128)
_SIBLINGS = 2
_RENTED = 3


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to the same adapter, or to a smaller model's: what it is, where, and what it takes."""

    what: str
    where: str
    setting: Setting
    peak_bytes: int
    seconds: float
    dollars: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "what": self.what,
            "where": self.where,
            "how": how(self.setting),
            "peak_bytes": self.peak_bytes,
            "seconds": round(self.seconds),
            "dollars": None if self.dollars is None else round(self.dollars, 2),
        }


def alternatives(shape: Shape, machine: Machine, load: Load, recipe: Recipe, rate: float) -> tuple[Alternative, ...]:
    """What fits: here in fewer bits or with shorter rows, here a smaller model of the family, or on a rented card."""
    return (
        *_fewer_bits(shape, machine, load, recipe, rate),
        *_shorter(shape, machine, load, recipe, rate),
        *_siblings(shape, machine, load, recipe, rate),
        *rented(shape, load, recipe),
    )


def _fewer_bits(shape: Shape, machine: Machine, load: Load, recipe: Recipe, rate: float) -> Iterator[Alternative]:
    """QLoRA on a processor: slow, and asked for rather than chosen. On a card it was tried already."""
    device, room = device_of(machine.gpu), room_bytes(machine)
    if device != "cpu" or recipe.load_in == "4bit":
        return
    setting = first_that_fits(shape, replace(recipe, load_in="4bit"), load, device, room)
    if (needed := peak(shape, setting).total) <= room:
        seconds = seconds_of(shape, recipe, setting, load, rate)
        yield Alternative(f"{shape.name} with --load-in 4bit", "here", setting, needed, seconds)


def _shorter(shape: Shape, machine: Machine, load: Load, recipe: Recipe, rate: float) -> Iterator[Alternative]:
    device, room = device_of(machine.gpu), room_bytes(machine)
    for length in (length for length in _SHORTER if length < load.longest):
        setting = first_that_fits(shape, recipe, load, device, room, length)
        if (needed := peak(shape, setting).total) <= room:
            seconds = seconds_of(shape, recipe, setting, load, rate)  # at most: longer rows are left out
            yield Alternative(f"{shape.name} on rows of up to {length} tokens", "here", setting, needed, seconds)
            return


def _siblings(shape: Shape, machine: Machine, load: Load, recipe: Recipe, rate: float) -> Sequence[Alternative]:
    device, room = device_of(machine.gpu), room_bytes(machine)
    found = []
    for sibling in sizes.smaller(shape):
        setting = first_that_fits(sibling, recipe, load, device, room)
        if (needed := peak(sibling, setting).total) <= room:
            seconds = seconds_of(sibling, recipe, setting, load, rate)
            found.append(Alternative(sibling.name, "here", setting, needed, seconds))
    return found[:_SIBLINGS]


def rented(shape: Shape, load: Load, recipe: Recipe) -> tuple[Alternative, ...]:
    """The cheapest cards that the same run fits on, with time and price. Precision follows the card."""
    found = []
    for card in cloud.CARDS:
        precision: Precision = "bf16" if card.bf16 else "fp32"
        there = with_precision(recipe, precision)
        room = round(card.gpu.memory_bytes * SHARE_OF_MEMORY["cuda"])
        setting = first_that_fits(shape, there, load, "cuda", room)
        if (needed := peak(shape, setting).total) <= room:
            seconds = seconds_of(shape, there, setting, load, card.flops)
            dollars = seconds / 3600 * card.dollars_h
            found.append(
                Alternative(shape.name, f"{card.gpu.name} ({card.flavour})", setting, needed, seconds, dollars)
            )
    return tuple(sorted(found, key=lambda one: one.dollars or 0.0)[:_RENTED])


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the usual hardware table, in bytes; `card` is the smallest usual one that the QLoRA run fits."""

    name: str
    qlora_bytes: int
    lora_bytes: int
    card: str
    lora_card: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "model": self.name,
            "qlora_bytes": self.qlora_bytes,
            "lora_bytes": self.lora_bytes,
            "card": self.card,
            "lora_card": self.lora_card,
        }


# The setting of the table: one row of 1,024 tokens (the default's longest) a step, all of it learned, 16-bit products.
TABLE_SETTING = Setting(batch=1, length=1024, scored=1024, device="cuda")
TABLE_MODELS: Mapping[str, str] = {"7B": "Llama-2-7B", "13B": "Llama-2-13B", "70B": "Llama-2-70B"}
_TABLE_CARDS = (("T4 16 GB", 16e9), ("A10 24 GB", 24e9), ("A100 80 GB", 80e9))
NOT_RECOMMENDED = "not recommended"


def usual_table() -> tuple[TableRow, ...]:
    """What LoRA and QLoRA need for 7B, 13B and 70B, computed from their shapes."""
    rows = []
    for name, model in TABLE_MODELS.items():
        shape = sizes.known(model)
        lora = peak(shape, TABLE_SETTING).total
        qlora = peak(shape, replace(TABLE_SETTING, load_in="4bit")).total
        rows.append(TableRow(name, qlora, lora, _table_card(qlora), _table_card(lora)))
    return tuple(rows)


def _table_card(needed: int) -> str:
    return next((name for name, memory in _TABLE_CARDS if needed <= memory), NOT_RECOMMENDED)
