"""A plan put on this machine: in how many parts a step is read, and what the run takes, by the base's shape."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from strop.errors import UnknownModel
from strop.trainer import capacity, load, machine, memory, shape, speed
from strop.trainer.memory import Setting
from strop.trainer.plan import Choice, Plan
from strop.trainer.recipe import Recipe
from strop.trainer.rowfile import RowFile
from strop.trainer.settings import TrainerSettings
from strop.trainer.traits import of_file

# Of a run that is placed as it was asked for, only what does not follow from how its steps are read.
_OF_ANY_RUN = frozenset({"adapter", "disk", "side by side"})


def placed(made: Plan, rows: RowFile, base: Path, settings: TrainerSettings, asked: Collection[str] = ()) -> Plan:
    """`made` with its steps cut so that they fit into memory, and the reasons for all of it.

    Nothing is taken back that stands in `asked`, by the names of settings. As it was where the base's shape cannot be
    read or no row is short enough.
    """
    try:
        found = shape.from_folder(base)
    except UnknownModel:
        return made
    here = machine.look(base)
    work = load.under(settings, rows, base)
    if not work.rows:
        return made
    recipe = made.recipe
    same = settings.model_copy(update={"precision": recipe.precision})
    # A trial on a card would leave a context there for as long as the child needs the room; there no time is said.
    pace = speed.Speed(1.0, 1.0, "not tried") if here.gpu else speed.tried(here)
    outlook = capacity.outlook(found, here, work, same, pace, of_file(rows))
    known = {choice.name for choice in made.choices} | ({"time"} if here.gpu else set())
    choices = [choice for choice in outlook.choices if choice.name not in known]
    if not _may_be_cut(recipe):
        return Plan(recipe, (*made.choices, *(choice for choice in choices if choice.name in _OF_ANY_RUN)))
    setting = _allowed(outlook.setting, recipe, asked)
    recipe = replace(
        recipe,
        accumulation=recipe.stages[0].batch_size // setting.batch,
        checkpointing=setting.checkpointing,
        load_in=setting.load_in,
    )
    if setting != outlook.setting:
        choices = [_as_set(choice, setting, recipe, memory.peak(found, setting).total) for choice in choices]
    return Plan(recipe, (*made.choices, *choices))


def _may_be_cut(recipe: Recipe) -> bool:
    """Whether a step read in parts is the same step, and the parts are rows.

    GRPO's batch counts answers, which stay with their task; the loss `kto` compares the rows of a part.
    """
    first = recipe.stages[0]
    return first.method != "grpo" and not (first.method == "kto" and first.kto_loss == "kto")


def _allowed(setting: Setting, recipe: Recipe, asked: Collection[str]) -> Setting:
    """The setting with what was asked for: more parts and checkpointing stay, and the bits where they were named."""
    parts = max(recipe.accumulation, recipe.stages[0].batch_size // setting.batch)
    named = "load_in" in asked or recipe.load_in != "16bit"
    return replace(
        setting,
        batch=recipe.stages[0].batch_size // parts,
        checkpointing=setting.checkpointing or recipe.checkpointing,
        load_in=recipe.load_in if named else setting.load_in,
    )


def _as_set(choice: Choice, setting: Setting, recipe: Recipe, peak_bytes: int) -> Choice:
    """A choice of the outlook as it stands after what was asked for."""
    now = {
        "batch": str(setting.batch),
        "accumulation": str(recipe.accumulation),
        "checkpointing": "on" if setting.checkpointing else "off",
        "peak": capacity.size(peak_bytes),
    }
    if setting.load_in != "16bit":
        now["bits"] = setting.load_in.removesuffix("bit")
    value = now.get(choice.name, choice.value)
    return choice if value == choice.value else Choice(choice.name, value, "as set")
