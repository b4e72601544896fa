"""A plan put on this machine: in how many parts a step is read, and what the run takes, by the base's shape."""

from dataclasses import replace
from pathlib import Path

from strop.errors import UnknownModel
from strop.trainer import capacity, load, machine, shape, speed
from strop.trainer.plan import Plan
from strop.trainer.rowfile import RowFile
from strop.trainer.settings import TrainerSettings
from strop.trainer.traits import of_file


def placed(made: Plan, rows: RowFile, base: Path, settings: TrainerSettings) -> Plan:
    """`made` with its steps cut so that they fit into memory, and the reasons for all of it.

    Nothing that was asked for is taken back. As it was where the base's shape cannot be read or no row is short enough.
    """
    try:
        found = shape.from_folder(base)
    except UnknownModel:
        return made
    here = machine.look(base)
    count, counted = load.counter(base)
    work = load.of_file(
        rows,
        settings.max_length,
        settings.rejected_tokens,
        count,
        counted,
        generations=settings.generations,
        answer_tokens=settings.answer_tokens,
    )
    if not work.rows:
        return made
    recipe = made.recipe
    asked = settings.model_copy(update={"precision": recipe.precision})
    outlook = capacity.outlook(found, here, work, asked, speed.tried(here), of_file(rows))
    known = {choice.name for choice in made.choices}
    choices = (*made.choices, *(choice for choice in outlook.choices if choice.name not in known))
    if recipe.stages[0].method == "grpo":  # its batch counts answers, which stay with their task
        return Plan(recipe, choices)
    parts = recipe.stages[0].batch_size // outlook.setting.batch
    recipe = replace(
        recipe,
        accumulation=max(recipe.accumulation, parts),
        checkpointing=recipe.checkpointing or outlook.setting.checkpointing,
        load_in=outlook.setting.load_in,
    )
    return Plan(recipe, choices)
