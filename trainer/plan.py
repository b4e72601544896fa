"""What to train with on this machine and on these rows, each choice with its reason."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

from strop.errors import NotEnoughData, UsageError
from strop.trainer.recipe import Manner, Precision, Recipe, Stage, for_methods
from strop.trainer.settings import MOST_EPOCHS, Method, TrainerSettings
from strop.trainer.traits import UNKNOWN, Traits

# With fewer pairs than this a preference pass is mostly noise; the corrections are learned by SFT alone.
MIN_PAIRS = 16
_TRIAL_S = 0.4
# 16 tokens to 8 prompts on 2 cores took 58 s in bfloat16 and 19 s in float32.
SLOW_SAMPLING = "answers are sampled token by token, at which a processor is slow in bfloat16"
# How often a row is read, times the rows. A taste of 40 corrections is learned in 6 passes (67 % of held-out prompts;
# 43 % in 3). 97 corrections in 6 passes left SmolLM2 silent on 36 of 150 prompts that it had answered, in 3 on 8.
_ROWS_READ, _FEWEST_EPOCHS = 288, 3.0
# More of the base's own answers would train the base, not the feedback.
MOST_REPLAY = 2.0


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: what was chosen and why, as a sentence with its figure."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe and the reasons for it."""

    recipe: Recipe
    choices: tuple[Choice, ...]


def make(counts: Mapping[str, int], settings: TrainerSettings, *, seed: int, traits: Traits = UNKNOWN) -> Plan:
    """The plan for rows counted by kind (`{"sft": 44, "dpo": 40}`) and what they are about, on this machine."""
    methods, why = choose_methods(counts, settings.method)
    precision, reason = choose_precision(settings.precision, sampling="grpo" in methods)
    replay, manner, because = choose_replay(methods, traits, settings.replay)
    recipe, epochs = dosed(for_methods(methods, settings, precision, seed), counts, settings)
    choices = (
        Choice("method", "+".join(methods), why),
        Choice("precision", precision, reason),
        Choice("replay", f"{replay:g}", because),
        *epochs,
    )
    return Plan(replace(recipe, replay=replay, manner=manner), choices)


def dosed(recipe: Recipe, counts: Mapping[str, int], settings: TrainerSettings) -> tuple[Recipe, tuple[Choice, ...]]:
    """The recipe with as many passes of SFT as its rows want, and the choice with its reason where one was made."""
    rows = counts.get("sft", 0)
    if settings.sft_epochs != "auto" or all(stage.method != "sft" for stage in recipe.stages):
        return recipe, ()
    epochs, reason = choose_epochs(rows)
    stages = tuple(replace(one, epochs=epochs) if one.method == "sft" else one for one in recipe.stages)
    return replace(recipe, stages=stages), (Choice("epochs", f"{epochs:g}", reason),)


def choose_epochs(rows: int) -> tuple[float, str]:
    """Passes of SFT over so many rows: 6 over up to 48, then fewer, so that the steps stay what they are; 3 or more."""
    epochs = min(MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_ROWS_READ / max(rows, 1), 1)))
    if epochs == MOST_EPOCHS:
        return epochs, f"{rows} answers are few: fewer passes leave a taste half learned"
    return epochs, f"{rows} answers read {epochs:g} times are enough: more passes wear down what it could do"


def choose_replay(
    methods: tuple[Stage, ...], traits: Traits, asked: Literal["auto"] | float
) -> tuple[float, Manner, str]:
    """(answers of the base itself to each row of SFT, their manner, the reason)."""
    manner: Manner = "" if traits.manner == "other" else traits.manner
    if "sft" not in methods:
        return 0.0, "", "it is learned by SFT, which is not chosen"
    if asked != "auto":
        return asked, manner if traits.domain else "", "as set"
    if traits.domain and traits.manner == "other":
        return 0.0, "", "the feedback is about a manner that the base's own answers could not be made in"
    if traits.domain:
        how = f", in the wanted manner ({manner})" if manner else ""
        return (
            MOST_REPLAY,
            manner,
            f"the feedback is about {traits.domain} alone: the base's own answers, up to 48, guard the rest{how}",
        )
    if traits.manner:
        return 0.0, "", "the feedback is about manner, against which the base's own answers would pull"
    return 0.0, "", "nothing says that the feedback is about one domain alone"


def choose_methods(counts: Mapping[str, int], asked: Method) -> tuple[tuple[Stage, ...], str]:
    """The stages in order, with the reason.

    Answers that somebody wrote or liked are copied first and then set against what was refused. Thumbs alone come in
    where nothing was corrected, the users' next messages where there is nothing else. Tasks come from a file alone:
    nothing that a night collects is one. Raises UsageError where they are asked for and there are none.
    """
    sft, dpo, kto, hindsight, grpo = (counts.get(name, 0) for name in ("sft", "dpo", "kto", "hindsight", "grpo"))
    if asked == "grpo" and not grpo:
        what = "grpo needs tasks: rows with the columns prompt, check and expected; feedback makes none"
        raise UsageError(what, hint='--method auto, or [trainer] method = "auto" for the nights')
    if asked == "grpo":
        return ("grpo",), f"{grpo} tasks, as asked"
    if asked == "auto" and grpo:
        return ("grpo",), f"{grpo} tasks whose answers a check can score, and none written to copy"
    if asked == "kto":
        return ("kto",), f"{kto} thumbs, as asked"
    if asked == "hindsight":
        return ("hindsight",), f"{hindsight} answers with what was said afterwards, as asked"
    if asked == "auto" and dpo < MIN_PAIRS and kto >= MIN_PAIRS and _only_thumbs(counts):
        return ("kto",), f"{kto} thumbs that go both ways, and nothing was corrected"
    if asked == "auto" and not sft and not dpo and hindsight:
        return ("hindsight",), f"{hindsight} answers with what was said afterwards, and no rating or correction"
    thumbs, liked = counts.get("thumbs_up", 0) + counts.get("thumbs_down", 0), counts.get("thumbs_up", 0)
    if asked == "auto" and thumbs and not liked and not (sft or dpo or hindsight or counts.get("corrections")):
        what = f"all {thumbs} ratings say that an answer was not liked: nothing says what is wanted instead"
        raise NotEnoughData(what, hint="rate good answers too, or correct the bad ones (columns chosen and rejected)")
    if asked == "sft" or (asked == "auto" and dpo < MIN_PAIRS and sft):
        return ("sft",), f"{sft} answers to learn" + (_too_few(counts, dpo, thumbs) if asked == "auto" else "")
    if asked == "dpo" or not sft:
        return ("dpo",), f"{dpo} pairs and no answers to learn by themselves" if not sft else f"{dpo} pairs, as asked"
    return ("sft", "dpo"), f"{sft} answers to learn, then {dpo} pairs against what was rejected"


def _too_few(counts: Mapping[str, int], pairs: int, thumbs: int) -> str:
    """Why what was refused is not learned from beside the answers that were liked."""
    down = counts.get("thumbs_down", 0)
    if _only_thumbs(counts) and thumbs < MIN_PAIRS:
        return f"; {thumbs} thumbs are fewer than the {MIN_PAIRS} that kto needs, so the {down} down are left out"
    if thumbs and not down and not pairs:
        return f"; all {thumbs} ratings are thumbs up, so there is nothing to set them against"
    return f"; {pairs} pairs are fewer than the {MIN_PAIRS} that a preference pass needs"


def _only_thumbs(counts: Mapping[str, int]) -> bool:
    """Whether all that can be learned from are thumbs, up and down."""
    both = min(counts.get("thumbs_up", 0), counts.get("thumbs_down", 0))
    return both > 0 and not counts.get("corrections", 0)


def choose_precision(asked: Literal["auto", "bf16", "fp32"], *, sampling: bool = False) -> tuple[Precision, str]:
    """bfloat16 where it is faster here, measured for under a second, else float32; with the reason.

    `sampling`: answers are generated as well, token by token.
    """
    if asked != "auto":
        return asked, "as set"
    import torch

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):  # before Ampere (8.0) it is emulated, and slow
            return "bf16", f"{torch.cuda.get_device_name()} computes in bfloat16"
        return "fp32", f"{torch.cuda.get_device_name()} has no bfloat16"
    if sampling:
        return "fp32", SLOW_SAMPLING
    slow, fast = (_products_per_s(dtype) for dtype in (torch.float32, torch.bfloat16))
    ratio = fast / slow
    figure = f"a trial of {2 * _TRIAL_S:.1f} s: bfloat16 runs {ratio:.1f} times as fast as float32"
    return ("bf16" if ratio > 1.1 else "fp32"), figure


def _products_per_s(dtype: Any) -> float:
    """How many products of a layer's size this machine does in a second, the best of several short runs."""
    import torch

    left = torch.ones(256, 576, dtype=dtype)
    right = torch.ones(576, 1536, dtype=dtype)
    torch.mm(left, right)
    best, end = 0.0, perf_counter() + _TRIAL_S
    while perf_counter() < end:
        start = perf_counter()
        for _ in range(8):
            torch.mm(left, right)
        best = max(best, 8 / (perf_counter() - start))
    return best


def set_threads(count: Callable[[], int | None] = os.cpu_count) -> int:
    """Use one thread a physical core (more only fight); returns how many."""
    import psutil
    import torch

    threads = psutil.cpu_count(logical=False) or count() or 1
    torch.set_num_threads(threads)
    return threads
