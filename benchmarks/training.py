"""How fast training is beside TRL as people run it, on the same rows in the same process, and that nobody does less.

Run `.venv/bin/python benchmarks/training.py --data LEGALBENCH.jsonl` (rows of "prompt" and "answer"; some 20 minutes on
two cores), with --only sft|held|dpo|curve|linear for one of them, --json for one object. Speeds are non-padding input
tokens a second; the first steps of every variant are not counted. Ends with 1 where a target is missed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from figures import Figure, add_options, report

from strop.trainer import plan
from strop.trainer.measure import hold_loss
from strop.trainer.models import resolve
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.render import Example, PairExample, Renderer
from strop.trainer.train import Progress, add_lora, load_base, run_stage

RANK, ALPHA, SEED = 16, 32, 17
ROWS, HELD, PAIRS = 64, 64, 64
RATE = 2e-4


@dataclass(frozen=True, slots=True)
class Run:
    """One variant's run: non-padding tokens a second, losses by step, and the loss on rows that it never saw."""

    tokens_per_s: float
    losses: tuple[float, ...]
    held: float


class Bench:
    """The base, the rows, and every variant on them."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        lines = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
        # Every n-th row: the file is sorted by task.
        step = max(1, len(lines) // 600)
        self.rows = [(line["prompt"], line["answer"]) for line in lines[::step]]
        self.precision = plan.choose_precision("auto")[0]
        self.tokenizer = load_base(folder, "fp32")[1]

    def examples(self, count: int, start: int = 0) -> list[Example]:
        """Rows as our trainers take them."""
        render = Renderer(self.tokenizer)
        rows = self.rows[start : start + count]
        return [render.example([{"role": "user", "content": prompt}], answer) for prompt, answer in rows]

    def pairs(self, count: int) -> list[PairExample]:
        """Each row's answer against that of another task: both are as long as such answers are."""
        render = Renderer(self.tokenizer)
        found = []
        for number, (prompt, answer) in enumerate(self.rows[:count]):
            asked = [{"role": "user", "content": prompt}]
            one = render.example(asked, f"{answer}. That follows from the rule as it is stated in the question.")
            other = self.rows[(number + 7) % len(self.rows)][1]
            bad = render.completion(asked, one.prompt_ids, f"It depends; one could say {other}, or something else.")
            found.append(PairExample(one.prompt_ids, one.completion_ids, bad))
        return found

    def ours(
        self, method: str, rows: Sequence[Any], batch: int = 8, *, sorted_rows: bool = True, seed: int = SEED
    ) -> Run:
        """Strop's own run, as `strop train` makes it, for one epoch."""
        stage = StageRecipe(method, 1.0, RATE, batch, warmup=0.0)  # type: ignore[arg-type]
        recipe = Recipe((stage,), rank=RANK, alpha=ALPHA, precision=self.precision, max_length=2048, seed=seed)
        base, tokenizer = load_base(self.folder, self.precision)
        model = add_lora(base, recipe)
        with _order("group_by_length" if sorted_rows else "sequential"):
            return self._timed(
                model, rows, lambda scratch, on: run_stage(model, tokenizer, rows, stage, recipe, scratch, on)
            )

    def trl(
        self,
        method: str,
        rows: Sequence[Any],
        batch: int,
        precision: str,
        *,
        checkpointing: bool,
        order: str = "sequential",
        seed: int = SEED,
    ) -> Run:
        """TRL's trainer on the same rows as token ids, with the same adapter, rate and scheduler."""
        recipe = Recipe((), rank=RANK, alpha=ALPHA, seed=seed)
        base, tokenizer = load_base(self.folder, precision)
        model = add_lora(base, recipe)
        return self._timed(
            model,
            rows,
            lambda scratch, on: _stock(
                method, model, tokenizer, rows, batch, scratch, on, checkpointing=checkpointing, order=order, seed=seed
            ),
        )

    def forward(self, rows: Sequence[Example], batch: int = 8) -> float:
        """Non-padding tokens a second of the base's layers alone, forward, rows of like lengths together."""
        import torch

        model = load_base(self.folder, self.precision)[0].base_model
        ordered = sorted(rows, key=lambda row: row.tokens)
        parts = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
        with torch.inference_mode():
            for counted in (False, True):
                start = time.perf_counter()
                for part in parts if counted else parts[:1]:
                    ids = [torch.tensor([*row.prompt_ids, *row.completion_ids]) for row in part]
                    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
                    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
                    model(input_ids=padded, attention_mask=mask, use_cache=False)
        return sum(row.tokens for row in rows) / (time.perf_counter() - start)

    def _timed(
        self, model: Any, rows: Sequence[Any], work: Callable[[Path, Callable[[Progress], None]], object]
    ) -> Run:
        losses: list[float] = []
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            work(Path(scratch), lambda at: losses.append(at.loss))
            seconds = time.perf_counter() - start
        held = hold_loss(model, self.examples(HELD, start=400))
        return Run(sum(row.tokens for row in rows) / seconds, tuple(losses), held.loss if held else float("nan"))


class _order:
    """While inside, our SFT takes its rows in this order (for curves that are compared step by step)."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy

    def __enter__(self) -> None:
        from strop.trainer.methods import sft

        self._module, self._whole = sft, sft.arguments
        strategy = {"train_sampling_strategy": self._strategy}
        sft.arguments = lambda *args: self._whole(*args) | strategy

    def __exit__(self, *error: object) -> None:
        self._module.arguments = self._whole


def _stock(
    method: str,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Any],
    batch: int,
    scratch: Path,
    on: Callable[[Progress], None],
    *,
    checkpointing: bool,
    order: str,
    seed: int,
) -> None:
    """A run with nothing of ours but the rows, which are token ids already."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    class Seen(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                on(Progress(method, state.global_step, state.max_steps, float(logs["loss"])))

    told = {
        "output_dir": str(scratch),
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": batch,
        "num_train_epochs": 1.0,
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
        "max_length": None,
        "gradient_checkpointing": checkpointing,
        "train_sampling_strategy": order,
    }
    if method == "sft":
        data = Dataset.from_list(
            [
                {
                    "input_ids": [*row.prompt_ids, *row.completion_ids],
                    "labels": [*[-100] * len(row.prompt_ids), *row.completion_ids],
                }
                for row in rows
            ]
        )
        trainer: Any = SFTTrainer(
            model=model, args=SFTConfig(**told, packing=False), train_dataset=data, processing_class=tokenizer,
            callbacks=[Seen()],
        )  # fmt: skip
    else:
        names = ("prompt_ids", "chosen_ids", "rejected_ids")
        data = Dataset.from_list([{name: list(getattr(row, name)) for name in names} for row in rows])

        class Ready(DPOTrainer):
            def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
                return dataset

        trainer = Ready(
            model=model, args=DPOConfig(**told, beta=0.1), train_dataset=data, processing_class=tokenizer,
            callbacks=[Seen()],
        )  # fmt: skip
    trainer.train()


def sft(bench: Bench) -> Iterator[Figure]:
    """One epoch of SFT on 64 rows: as a quick start has it, without its defaults, and ours."""
    rows = bench.examples(ROWS)
    yield Figure("rows", len(rows), "rows")
    yield Figure("non-padding tokens", sum(row.tokens for row in rows), "tokens")
    quick = bench.trl("sft", rows, 4, "fp32", checkpointing=True)
    tuned = bench.trl("sft", rows, 8, bench.precision, checkpointing=False)
    mine = bench.ours("sft", rows)
    yield Figure("TRL as a quick start has it (fp32, batch 4)", quick.tokens_per_s, "tokens/s")
    yield Figure(f"TRL, {bench.precision}, no checkpointing, batch 8", tuned.tokens_per_s, "tokens/s")
    yield Figure("Strop", mine.tokens_per_s, "tokens/s")
    times = mine.tokens_per_s / tuned.tokens_per_s
    yield Figure("Strop against the second", times, "times", ">= 3", times >= 3)
    yield Figure("Strop against the first", mine.tokens_per_s / quick.tokens_per_s, "times")
    forward = bench.forward(rows)
    yield Figure(f"the forward pass alone, {bench.precision}, batch 8", forward, "tokens/s")
    yield Figure("Strop against the forward pass (the limit is about a half)", mine.tokens_per_s / forward, "times")


def held(bench: Bench) -> Iterator[Figure]:
    """One epoch over 240 rows with three seeds: the loss on rows that were not trained on, TRL's order and ours."""
    rows = bench.examples(240)
    stock, mine = [], []
    for seed in (17, 18, 19):
        stock.append(bench.trl("sft", rows, 8, bench.precision, checkpointing=False, order="random", seed=seed).held)
        mine.append(bench.ours("sft", rows, seed=seed).held)
        yield Figure(f"held-out loss, seed {seed}, TRL", stock[-1], "nats")
        yield Figure(f"held-out loss, seed {seed}, Strop", mine[-1], "nats")
    more = fmean(mine) - fmean(stock)
    yield Figure("held-out loss, mean of three seeds, Strop less TRL", more, "nats", "<= 0", more <= 0)


def dpo(bench: Bench) -> Iterator[Figure]:
    """One epoch of DPO on 64 pairs."""
    rows = bench.pairs(PAIRS)
    stock = bench.trl("dpo", rows, 8, "fp32", checkpointing=True)
    mine = bench.ours("dpo", rows)
    yield Figure("DPO, TRL's defaults, batch 8", stock.tokens_per_s, "tokens/s")
    yield Figure("DPO, Strop", mine.tokens_per_s, "tokens/s")
    times = mine.tokens_per_s / stock.tokens_per_s
    yield Figure("DPO, Strop against TRL", times, "times", ">= 2.5", times >= 2.5)


def curve(bench: Bench) -> Iterator[Figure]:
    """The same batches in the same order, 60 steps: the loss, step by step."""
    rows = bench.examples(240)
    stock = bench.trl("sft", rows, 4, bench.precision, checkpointing=False)
    mine = bench.ours("sft", rows, 4, sorted_rows=False)
    apart = sum(abs(a - b) for a, b in zip(stock.losses, mine.losses, strict=True)) / len(mine.losses)
    yield Figure("steps compared", len(mine.losses), "steps")
    yield Figure("loss apart, on average", apart, "nats", "<= 0.02", apart <= 0.02)


def linear(bench: Bench) -> Iterator[Figure]:
    """Once, twice and four times the rows: what a token costs."""
    first = None
    for times in (1, 2, 4):
        run = bench.ours("sft", bench.examples(ROWS * times))
        first = first or run.tokens_per_s
        yield Figure(f"{times} x {ROWS} rows", run.tokens_per_s, "tokens/s")
        yield Figure(f"{times} x {ROWS} rows, seconds a token", first / run.tokens_per_s, "of the first's")


MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "sft": sft,
    "held": held,
    "dpo": dpo,
    "curve": curve,
    "linear": linear,
}


def main() -> int:
    """Run what was asked for; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help='JSONL with "prompt" and "answer"')
    parser.add_argument("--model", default="smollm2", help="the base")
    parser.add_argument("--models", type=Path, default=Path.home() / ".strop" / "models", help="where bases are kept")
    add_options(parser, MEASUREMENTS)
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    plan.set_threads()
    bench = Bench(resolve(options.model, options.models).folder, options.data)
    found = (figure for name in options.only or MEASUREMENTS for figure in MEASUREMENTS[name](bench))
    return report(found, as_json=options.json, digits=3, precision=bench.precision)


if __name__ == "__main__":
    sys.exit(main())
