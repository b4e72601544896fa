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
from strop.trainer import plan
from strop.trainer.load import AROUND_A_MESSAGE, Count
from strop.trainer.models import BaseModel

_HOUR_S = 3600.0
# A pace from fewer tokens is mostly that of starting.
_LEAST_TOKENS = 2_000


def budget(home: Home, config: Config, base: BaseModel, rows: Rows) -> Budget:
    """The seconds of tonight's training and what each row costs of them.

    Raises UnknownModel where nothing was trained yet and the base's shape cannot be read.
    """
    from strop.trainer import load

    count, _ = load.counter(base.folder)
    settings = config.trainer
    tokens_per_s = measured(home, config, base) or _estimated(home, config, base, rows, count)

    def cost(method: str, row: Row) -> float:
        return settings.epochs(method) * _tokens(method, row, count, settings.rejected_tokens) / tokens_per_s

    return Budget(config.night.hours * _HOUR_S, cost, config.feedback.half_life_days)


def measured(home: Home, config: Config, base: BaseModel) -> float | None:
    """Tokens a second of the newest adapter of this base in this home, as the settings load it; None without one."""
    precision = config.trainer.precision
    for folder in sorted(home.adapters.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            facts = read_manifest(folder)
        except DamagedFolder:
            continue
        like = facts.get("recipe", {})
        same = facts.get("base") == base.facts() and like.get("load_in") == config.trainer.load_in
        alike = same and precision in ("auto", like.get("precision"))
        if alike and facts["tokens"] >= _LEAST_TOKENS and facts["train_s"]:
            return float(facts["tokens"]) / float(facts["train_s"])
    return None


def _estimated(home: Home, config: Config, base: BaseModel, rows: Rows, count: Count) -> float:
    from strop.trainer import capacity, machine, shape, speed
    from strop.trainer.load import Load

    methods, _ = plan.choose_methods(rows.counts, config.trainer.method)
    sizes = [
        _tokens(method, row, count, config.trainer.rejected_tokens)
        for method in methods
        for row in getattr(rows, method)
    ]
    tokens = max(sum(sizes), 1)
    longest = min(max(sizes, default=1), config.trainer.max_length)
    here = machine.look(home.path)
    work = Load(rows.counts, len(sizes), tokens, longest, longest)
    found = capacity.outlook(shape.from_folder(base.folder), here, work, config.trainer, speed.tried(here))
    epochs = sum(map(config.trainer.epochs, methods))
    return tokens * epochs / max(found.seconds, 1e-9)


def _tokens(method: str, row: Row, count: Count, rejected_tokens: int) -> int:
    """What one pass over a row reads: of a pair the prompt twice, in hindsight all of it twice."""
    prompt = _of(row["prompt"], count)
    if method == "dpo":
        return 2 * prompt + _of(row["chosen"], count) + min(_of(row["rejected"], count), rejected_tokens)
    answer = _of(row["completion"], count)
    return 2 * (prompt + answer) + _of(row["feedback"], count) if method == "hindsight" else prompt + answer


def _of(messages: Any, count: Count) -> int:
    """Tokens of a text or of messages, with what a template puts around them."""
    if isinstance(messages, str):
        return count(messages) + AROUND_A_MESSAGE
    return sum(count(one["content"]) + AROUND_A_MESSAGE for one in messages)
