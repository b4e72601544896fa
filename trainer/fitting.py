"""The fastest way to run a step that fits into a given room, and how long a run takes that way."""

from collections.abc import Iterator

from strop.trainer.load import Load
from strop.trainer.machine import Gpu, Machine
from strop.trainer.memory import Device, Setting, peak
from strop.trainer.recipe import LoadIn, Recipe, StageRecipe
from strop.trainer.shape import Shape

# What a run may take of all memory: the system, the service and the allocator's holes need the rest.
SHARE_OF_MEMORY = {"cpu": 0.80, "cuda": 0.92, "mps": 0.75}
# Time of a step with the base in fewer bits against 16: NF4 10,060 s against 6,686 s in bfloat16 (Raschka, "Practical
# Tips for Finetuning LLMs", November 2023, a 7B on an A100). For 8 bits no slower figure is claimed.
_SLOWER = {"16bit": 1.0, "8bit": 1.5, "4bit": 1.5}


def room_bytes(machine: Machine) -> int:
    """What a run may take: a share of the card's memory, or of the machine's where there is no card."""
    return round(machine.room_bytes * SHARE_OF_MEMORY[device_of(machine.gpu)])


def device_of(gpu: Gpu | None) -> Device:
    """What training computes on."""
    return gpu.kind if gpu else "cpu"


def _settings(recipe: Recipe, load: Load, device: Device, length: int) -> Iterator[Setting]:
    """Ways to run a step, the fastest first; the product of batch and accumulation stays the same."""
    bits: tuple[LoadIn, ...] = (recipe.load_in,)
    if recipe.load_in == "16bit" and device == "cuda":
        bits = ("16bit", "4bit")  # bitsandbytes on a processor is too slow to be worth the memory
    pairs = 2 if any(stage.method == "dpo" for stage in recipe.stages) else 1
    for load_in in bits:
        for checkpointing in (False, True):
            for batch in _halves(recipe.stages[0].batch_size):
                yield Setting(
                    batch=batch,
                    length=length,
                    scored=min(load.scored, length),
                    rank=recipe.rank,
                    precision=recipe.precision,
                    load_in=load_in,
                    checkpointing=checkpointing,
                    sequences=pairs,
                    device=device,
                )


def _halves(batch: int) -> Iterator[int]:
    """A batch and its divisors by two, down to 1: accumulation makes up for the rest."""
    while True:
        yield batch
        if batch == 1:
            return
        batch = batch // 2 if batch % 2 == 0 else 1


def first_that_fits(
    shape: Shape, recipe: Recipe, load: Load, device: Device, room: int, length: int | None = None
) -> Setting:
    """The fastest setting that fits, or the last and smallest one."""
    tried = list(_settings(recipe, load, device, length or max(load.longest, 1)))
    return next((one for one in tried if peak(shape, one).total <= room), tried[-1])


def seconds_of(shape: Shape, recipe: Recipe, setting: Setting, load: Load, rate: float) -> float:
    """An estimate: products of all passes over `rate` products a second.

    Forward and backward through frozen layers are 2 products a weight and position each (there is no gradient of the
    weights); checkpointing adds a forward pass, and so does the reference model of a preference method.
    """
    head = shape.vocabulary * shape.hidden * min(load.scored / max(load.longest, 1), 1)
    weights = shape.linear_parameters + head
    return (
        sum(_passes(stage, setting) * weights * tokens_of(stage, load) * stage.epochs for stage in recipe.stages)
        * _SLOWER[setting.load_in]
        / rate
    )


def _passes(stage: StageRecipe, setting: Setting) -> int:
    reference = 0 if stage.method == "sft" else 2
    return 4 + reference + (2 if setting.checkpointing else 0)


def tokens_of(stage: StageRecipe, load: Load) -> int:
    """Tokens of one epoch of a stage; a pair is read twice."""
    return load.tokens + (load.pair_tokens if stage.method == "dpo" else 0)


def how(setting: Setting) -> str:
    """A setting in a few words."""
    bits = "LoRA" if setting.load_in == "16bit" else f"QLoRA in {setting.load_in.removesuffix('bit')} bits"
    checkpointing = ", checkpointing" if setting.checkpointing else ""
    return f"{bits}, {setting.precision}, batch {setting.batch}{checkpointing}"
