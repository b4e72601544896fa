"""`strop train`: a file, a method and a base, planned, trained in a process of its own, and reported."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from strop.errors import UsageError
from strop.trainer import plan, rowfile
from strop.trainer.models import resolve
from strop.trainer.placing import placed
from strop.trainer.recipe import Recipe, Stage
from strop.trainer.runs import Runs
from strop.trainer.settings import Method, TrainerSettings
from strop.trainer.supervisor import Report, need_training_packages, run_child
from strop.trainer.traits import UNKNOWN, Traits, of_file
from strop.trainer.work import Job, check_kind

# Divergence from the base on general prompts, in nats a token, beyond which a run is remarked on.
FAR_NATS = 1.0
_OF_A_METHOD = re.compile(r"^(?:sft|dpo|kto|hindsight|grpo)_(?=epochs|learning_rate|beta)")


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished adapter folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]
    choices: tuple[plan.Choice, ...] = ()

    @property
    def sentence(self) -> str:
        """What a person wants to know first."""
        rows = ", ".join(f"{count} {method} rows" for method, count in self.manifest["rows"].items())
        losses = ", ".join(f"{method} loss {loss:.3f}" for method, loss in self.manifest["loss"].items())
        figures = losses + _reward_words(self.manifest.get("reward"))
        said = f"trained on {rows} in {self.manifest['train_s']:.0f} s ({figures}): {self.folder}"
        if left_out := sum(self.manifest["left_out_too_long"].values()):
            said += f"\n{left_out} rows were left out: longer than {self.manifest['recipe']['max_length']} tokens"
        return said

    @property
    def warning(self) -> str:
        """What a person should know before using it; empty where there is nothing."""
        forgetting = self.manifest.get("forgetting")
        if forgetting is None or not forgetting["kl"] > FAR_NATS:
            return ""
        return (
            f"the model moved far from its base: {forgetting['kl']:.1f} nats a token on general prompts, where a usual "
            "run moves it by less than half a nat; a lower --learning-rate or fewer --epochs forget less"
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        kept = (
            "rows",
            "left_out_too_long",
            "tokens",
            "train_s",
            "peak_bytes",
            "held_out",
            "forgetting",
            "replayed",
            "recipe",
            "seed",
        )
        seconds = max(float(self.manifest["train_s"]), 1e-9)
        return {
            "method": "+".join(self.manifest["rows"]),
            **{name: self.manifest[name] for name in kept},
            "loss": [
                {"stage": stage, "step": step, "value": value}
                for stage, points in self.manifest["curve"].items()
                for step, value in points
            ],
            "mean_loss": self.manifest["loss"],
            "reward": self.manifest.get("reward"),
            "tokens_per_s": self.manifest["tokens"] / seconds,
            "plan": [{"name": c.name, "value": c.value, "reason": c.reason} for c in self.choices],
            "adapter": str(self.folder),
        }


def _reward_words(reward: Mapping[str, Any] | None) -> str:
    """What GRPO's answers scored, and how much of the run taught nothing; empty for other methods."""
    if reward is None:
        return ""
    said = f", reward {reward['first']:.2f} in the first quarter of the steps, {reward['last']:.2f} in the last"
    alike = reward["alike_share"]
    return f"{said}, {alike:.0%} of the groups taught nothing: all their answers scored the same" if alike else said


def train_file(
    method: Method,
    model: str,
    data: Path,
    out: Path,
    overrides: Mapping[str, Any],
    settings: TrainerSettings,
    *,
    models_dir: Path,
    on_progress: Report,
    held_share: float = 0.0,
    log: Path | None = None,
    runs: Path | None = None,
    replays: Path | None = None,
) -> Trained:
    """Train on one file from the base `model`; `out` becomes the adapter folder. `auto` chooses by the file's columns.

    `overrides`: rank, alpha, dropout, epochs, learning_rate, beta, batch_size, seed, max_length and other fields of
    TrainerSettings. Raises BadTrainingFile before anything is loaded, UsageError where `out` exists. `log` takes what
    the libraries print. `runs` is the folder in which checkpoints are kept, so that the same call goes on where it was
    cut short, `replays` the one in which the base's own answers are kept (without it none are used or measured on).
    """
    rows = check(method, data, out)
    asked, seed = overruled(method, overrides, settings)
    chosen = plan.make(rowfile.counts(rows), asked, seed=seed, traits=of_file(rows))
    _check_parts(chosen.recipe)
    base = resolve(model, models_dir, lambda note: on_progress("model", None, note))
    chosen = placed(chosen, rows, base.folder, asked, overrides)
    job = Job(
        base_folder=str(base.folder),
        base=base.facts(),
        files={stage.method: str(data.absolute()) for stage in chosen.recipe.stages},
        recipe=chosen.recipe.as_dict(),
        out=str(out.absolute()),
        held_share=held_share,
        replays="" if replays is None else str(replays),
    )
    kept = None if runs is None else Runs(runs, asked.checkpoint_s, asked.trackio_space)
    return Trained(out, run_child(job, on_progress, log, kept), chosen.choices)


def check(method: Method, data: Path, out: Path) -> rowfile.RowFile:
    """The rows of a call that can begin. Raises UsageError where `out` exists, Missing, and BadTrainingFile."""
    if out.exists():
        raise UsageError(f"{out} exists already", hint="name a new folder with --out")
    need_training_packages()
    rows = rowfile.read(data)
    for stage in plan.choose_methods(rowfile.counts(rows), method)[0]:
        check_kind(rows, stage)
    return rows


def made_plan(
    counts: Mapping[str, int],
    method: Method,
    overrides: Mapping[str, Any],
    settings: TrainerSettings,
    traits: Traits = UNKNOWN,
) -> plan.Plan:
    """The plan for a file, with what the user overruled put in its place. Raises UsageError for an impossible value."""
    checked, seed = overruled(method, overrides, settings)
    return plan.make(counts, checked, seed=seed, traits=traits)


def _check_parts(recipe: Recipe) -> None:
    """The loss `kto` compares the rows of a part with each other. Raises UsageError where a part is one row."""
    for stage in recipe.stages:
        if stage.method == "kto" and stage.kto_loss == "kto" and stage.batch_size // recipe.accumulation < 2:
            raise UsageError(
                f"the loss kto compares rows: {stage.batch_size} a step in {recipe.accumulation} parts leave one alone",
                hint="--kto-loss apo_zero_unpaired, or a larger --batch-size",
            )


def overruled(method: Method, overrides: Mapping[str, Any], settings: TrainerSettings) -> tuple[TrainerSettings, int]:
    """(the settings with what the user overruled in its place, the seed). Raises UsageError for an impossible value."""
    given = dict(overrides)
    seed = int(given.pop("seed", 17))
    update: dict[str, Any] = {"method": method}
    for name in ("epochs", "learning_rate"):
        if name in given:
            value = given.pop(name)
            update |= {f"{stage}_{name}": value for stage in get_args(Stage)}
    if "beta" in given:
        update |= dict.fromkeys(("dpo_beta", "kto_beta"), given.pop("beta"))
    try:
        checked = TrainerSettings.model_validate(settings.model_dump() | update | given)
    except ValidationError as error:
        first = error.errors()[0]
        option = _OF_A_METHOD.sub("", str(first["loc"][0])).replace("_", "-")
        raise UsageError(f"--{option} cannot be {first['input']}: {first['msg']}", hint="strop train --help") from None
    return checked, seed
