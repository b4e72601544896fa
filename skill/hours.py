"""What a night's rows cost in time on this machine, so that training ends when the night does.

The pace is that of the newest adapter that was trained here from the same base in the same precision; before there is
one, it is estimated as `strop plan` estimates it.
"""

from typing import Any

from strop.config import Config
from strop.feedback.ration import Budget
from strop.feedback.rows import Row, Rows
from strop.files import DamagedFolder, read_manifest
from strop.home import Home
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe

_HOUR_S = 3600.0
# A pace from fewer tokens is mostly that of starting.
_LEAST_TOKENS = 2_000


def budget(home: Home, config: Config, base: BaseModel, recipe: Recipe, rows: Rows) -> Budget:
    """The seconds of tonight's training and what each row costs of them."""
    from strop.trainer import load

    count, _ = load.counter(base.folder)
    tokens_per_s = measured(home, base, recipe) or _estimated(home, config, base, recipe, rows, count)
    epochs: dict[str, float] = {stage.method: stage.epochs for stage in recipe.stages}

    def cost(method: str, row: Row) -> float:
        return epochs[method] * _tokens(method, row, count, config.trainer.rejected_tokens) / tokens_per_s

    return Budget(config.night.hours * _HOUR_S, cost, config.feedback.half_life_days)


def measured(home: Home, base: BaseModel, recipe: Recipe) -> float | None:
    """Tokens a second of the newest adapter of this base and precision in this home, None where there is none."""
    for folder in sorted(home.adapters.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            facts = read_manifest(folder)
        except DamagedFolder:
            continue
        like = facts.get("recipe", {})
        same = facts.get("base") == base.facts() and like.get("precision") == recipe.precision
        if same and like.get("load_in") == recipe.load_in and facts["tokens"] >= _LEAST_TOKENS and facts["train_s"]:
            return float(facts["tokens"]) / float(facts["train_s"])
    return None


def _estimated(home: Home, config: Config, base: BaseModel, recipe: Recipe, rows: Rows, count: Any) -> float:
    from strop.trainer import capacity, machine, shape, speed
    from strop.trainer.load import Load

    given = {stage.method: getattr(rows, stage.method) for stage in recipe.stages}
    sizes = {
        method: [_tokens(method, row, count, config.trainer.rejected_tokens) for row in some]
        for method, some in given.items()
    }
    longest = max((max(of, default=1) for of in sizes.values()), default=1)
    tokens = max(sum(map(sum, sizes.values())), 1)
    here = machine.look(home.path)
    work = Load(rows.counts, sum(map(len, sizes.values())), tokens, min(longest, recipe.max_length), longest)
    found = capacity.outlook(shape.from_folder(base.folder), here, work, config.trainer, speed.tried(here))
    epochs = sum(stage.epochs for stage in recipe.stages)
    return tokens * epochs / max(found.seconds, 1e-9)


def _tokens(method: str, row: Row, count: Any, rejected_tokens: int) -> int:
    """What one pass over a row reads: of a pair the prompt twice, in hindsight all of it twice."""
    prompt = _of(row["prompt"], count)
    if method == "dpo":
        return 2 * prompt + _of(row["chosen"], count) + min(_of(row["rejected"], count), rejected_tokens)
    answer = _of(row["completion"], count)
    return 2 * (prompt + answer) + _of(row["feedback"], count) if method == "hindsight" else prompt + answer


def _of(messages: Any, count: Any) -> int:
    if isinstance(messages, str):
        return int(count(messages))
    return sum(int(count(one["content"])) for one in messages)
