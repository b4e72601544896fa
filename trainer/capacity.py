"""Whether a run fits a machine, in what setting, how long it takes, and what would fit where it does not.

Memory is computed (`strop.trainer.memory`); time is an estimate from products a second, which are measured here for
under a second and taken from data sheets for cards that are elsewhere. Every choice carries its reason and its figure.
"""

from dataclasses import dataclass, replace

from strop.trainer.alternatives import Alternative, alternatives
from strop.trainer.fitting import SHARE_OF_MEMORY, device_of, first_that_fits, room_bytes, seconds_of, tokens_of
from strop.trainer.load import Load
from strop.trainer.machine import Machine
from strop.trainer.memory import Peak, Setting, adapter_bytes, disk_bytes, peak
from strop.trainer.plan import SLOW_SAMPLING, Choice, choose_methods, choose_replay, dosed
from strop.trainer.recipe import Precision, Recipe, for_methods
from strop.trainer.serving import Asked, of_shape, serving, side_by_side
from strop.trainer.settings import TrainerSettings
from strop.trainer.shape import Shape
from strop.trainer.speed import Speed
from strop.trainer.traits import UNKNOWN, Traits

# What a run gets of the products a second that a trial of plain products gives: the rest is attention, norms, the
# optimiser and padding. Measured in float32 on one core, in its own time: a step of SmolLM2-135M on 2 x 128 tokens
# makes 58 GFLOP/s where plain products make 125 (46 %) to 146 (40 %).
_SHARE_OF_TRIAL = 0.40
# A trial in bfloat16 must win by this much.
_CLEARLY_FASTER = 1.1


@dataclass(frozen=True, slots=True)
class Outlook:
    """The whole plan of one run. `setting` is the one chosen, or the smallest that there is where `fits` is False.

    `side_by_side` says whether memory holds two versions in the serving, None where Ollama decides it.
    """

    fits: bool
    setting: Setting
    peak: Peak
    seconds: float
    adapter_bytes: int
    disk_bytes: int
    side_by_side: bool | None
    choices: tuple[Choice, ...]
    alternatives: tuple[Alternative, ...]


def outlook(
    shape: Shape,
    machine: Machine,
    load: Load,
    settings: TrainerSettings,
    speed: Speed,
    traits: Traits = UNKNOWN,
    serve: Asked | None = None,
) -> Outlook:
    """What a run on this machine would be, each choice with its reason; where it does not fit, what else there is."""
    methods, why = choose_methods(load.counts, settings.method)
    precision, reason = choose_precision_for(machine, settings.precision, speed, sampling="grpo" in methods)
    replay, _, because = choose_replay(methods, traits, settings.replay)
    recipe, epochs = dosed(for_methods(methods, settings, precision, seed=17), load.counts, settings)
    room = room_bytes(machine)
    setting = first_that_fits(shape, recipe, load, device_of(machine.gpu), room)
    needed = peak(shape, setting)
    fits = needed.total <= room
    rate = (speed.bf16 if precision == "bf16" else speed.fp32) * _SHARE_OF_TRIAL
    seconds = seconds_of(shape, recipe, setting, load, rate)
    both, beside = _side_by_side(shape, machine, serve or Asked())
    adapter, disk = (of(shape, recipe.rank, precision) for of in (adapter_bytes, disk_bytes))
    choices = (
        Choice("method", "+".join(methods), why),
        Choice("precision", precision, reason),
        Choice("replay", f"{replay:g}", because),
        *epochs,
        *_memory_choices(shape, recipe, setting, needed, machine, room),
        Choice("time", duration(seconds), _time_reason(recipe, load, rate, speed)),
        Choice("adapter", size(adapter), _adapter_reason(shape, recipe)),
        Choice(
            "disk",
            size(disk),
            f"adapter, the base as GGUF in 16 bits (once) and a build; {size(machine.disk_bytes)} are free",
        ),
        beside,
    )
    others = () if fits else alternatives(shape, machine, load, recipe, rate)
    return Outlook(fits, setting, needed, seconds, adapter, disk, both, choices, others)


def _side_by_side(shape: Shape, machine: Machine, asked: Asked) -> tuple[bool | None, Choice]:
    """Whether `strop serve` keeps the version before warm: decided as it decides it, of the memory that is free now."""
    if asked.by_ollama:
        return None, Choice("side by side", "Ollama's", "Ollama decides how many models it keeps loaded")
    room = machine.free_bytes
    if room is None:
        room = round(machine.memory_bytes * SHARE_OF_MEMORY["cpu"])
    both, why = side_by_side(serving(of_shape(shape), asked, room), asked, room)
    return both, Choice("side by side", "yes" if both else "no", why)


def choose_precision_for(
    machine: Machine, asked: str, speed: Speed, *, sampling: bool = False
) -> tuple[Precision, str]:
    """bfloat16 where the hardware multiplies it and it is faster, else float32; with the reason."""
    if asked in ("bf16", "fp32"):
        return asked, "as set"  # type: ignore[return-value] # the settings hold nothing else but auto
    gpu = machine.gpu
    if gpu and gpu.kind == "mps":
        return "fp32", f"{gpu.name}: bfloat16 was not tried there"
    if gpu and gpu.capability:
        known = f"{gpu.name} has compute capability {'.'.join(map(str, gpu.capability))}"
        return ("bf16", f"{known}, bfloat16 needs 8.0") if gpu.bf16 else ("fp32", f"{known}, bfloat16 needs 8.0")
    if sampling:
        return "fp32", SLOW_SAMPLING
    ratio = speed.bf16 / speed.fp32
    figure = f"bfloat16 runs {ratio:.1f} times as fast as float32 ({speed.source})"
    return ("bf16" if ratio > _CLEARLY_FASTER else "fp32"), figure


def _memory_choices(
    shape: Shape, recipe: Recipe, setting: Setting, needed: Peak, machine: Machine, room: int
) -> tuple[Choice, ...]:
    fits = needed.total <= room
    whole = recipe.stages[0].batch_size
    accumulation = -(-whole // setting.batch)
    plain = peak(shape, replace(setting, load_in="16bit")).total
    kept = peak(shape, replace(setting, checkpointing=False)).total
    longest = f"rows of up to {setting.length:,} tokens"
    if setting.load_in == "16bit":
        how_many = f"{shape.parameters / 1e9:.2f} billion weights take {size(needed.weights)}"
        bits = Choice("bits", "16" if setting.precision == "bf16" else "32", how_many)
    else:
        bits = Choice("bits", setting.load_in.removesuffix("bit"), f"in full the run would take {size(plain)}")
    if setting.checkpointing:
        checkpoint = Choice("checkpointing", "on", f"without it the run would take {size(kept)} of {size(room)}")
    else:
        checkpoint = Choice("checkpointing", "off", "everything fits without it, and it would cost a quarter more time")
    verdict = "fits into" if fits else "does not fit into"
    return (
        bits,
        Choice(
            "batch", str(setting.batch), f"{longest}; the largest that fits" if fits else f"{longest}; the smallest"
        ),
        Choice("accumulation", str(accumulation), f"{setting.batch} x {accumulation} rows make the {whole} of a step"),
        checkpoint,
        Choice("peak", size(needed.total), f"{_parts(needed)}; {verdict} {size(room)} of {machine.sentence}"),
    )


def _parts(needed: Peak) -> str:
    return (
        f"base {size(needed.weights)}, activations {size(needed.activations)}, logits {size(needed.logits)}, "
        f"adapter and optimiser {size(needed.adapter)}, libraries {size(needed.library)}"
    )


def _time_reason(recipe: Recipe, load: Load, rate: float, speed: Speed) -> str:
    passes = sum(stage.epochs * tokens_of(stage, load) for stage in recipe.stages)
    return (
        f"an estimate: {passes:,.0f} tokens in all passes at {rate / 1e9:,.0f} GFLOP/s, "
        f"{_SHARE_OF_TRIAL:.0%} of what plain products reach ({speed.source})"
    )


def _adapter_reason(shape: Shape, recipe: Recipe) -> str:
    millions = shape.adapter_parameters(recipe.rank) / 1e6
    return (
        f"rank {recipe.rank} on {len(shape.linear)} linear layers: {millions:.1f} million weights in {recipe.precision}"
    )


def size(count: float) -> str:
    """Bytes for people: GB are 10^9 bytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
