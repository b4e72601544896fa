"""How fast training is beside TRL as people run it, on the same rows in the same process, and that nobody does less.

Run `.venv/bin/python benchmarks/training.py --data LEGALBENCH.jsonl` (rows of "prompt" and "answer"; some 20 minutes on
two cores), with --only sft|held|dpo|curve|linear|memory for one of them, --json for one object. Speeds are non-padding
input tokens a second, loading left out and starting counted; peaks are of the whole process, on a card of what is held
there. --shape Qwen3-4B takes that model's shape with random weights, for speed and memory where no weights are at hand.
Ends with 1 where a target is missed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import training_stock
from figures import Figure, add_options, report
from shapes import load_tokenizer, random_base
from watched import Peak, release

from strop.trainer import plan, sizes
from strop.trainer.alternatives import TABLE_SETTING
from strop.trainer.fit import device
from strop.trainer.measure import hold_loss
from strop.trainer.memory import peak
from strop.trainer.models import resolve
from strop.trainer.recipe import LoadIn, Recipe, StageRecipe
from strop.trainer.render import Example, PairExample, Renderer
from strop.trainer.shape import from_folder as shape_of
from strop.trainer.train import Progress, add_lora, load_base, run_stage

RANK, ALPHA, SEED = 16, 32, 17
ROWS, HELD, PAIRS = 64, 64, 64
RATE = 2e-4


@dataclass(frozen=True, slots=True)
class Run:
    """One variant's run: tokens a second, the most memory held, losses by step, the loss on rows that it never saw."""

    tokens_per_s: float
    peak_bytes: int
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
        self.tokenizer = load_tokenizer(folder)

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

    def ours(self, method: str, rows: Sequence[Any], batch: int = 8, *, shuffled: bool = True, seed: int = SEED) -> Run:
        """Strop's own run, as `strop train` makes it, for one epoch."""
        stage = StageRecipe(method, 1.0, RATE, batch, warmup=0.0)  # type: ignore[arg-type]
        recipe = Recipe((stage,), rank=RANK, alpha=ALPHA, precision=self.precision, max_length=2048, seed=seed)
        base, tokenizer = load_base(self.folder, self.precision)
        model = add_lora(base, recipe)
        with nullcontext() if shuffled else _as_they_come():
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
        autocast = precision == "fp32" and device() != "cpu"
        told = training_stock.arguments(
            batch, RATE, checkpointing=checkpointing, order=order, seed=seed, autocast=autocast
        )

        def work(scratch: Path, on: training_stock.OnProgress) -> None:
            training_stock.train(method, model, tokenizer, rows, told | {"output_dir": str(scratch)}, on)

        return self._timed(model, rows, work)

    def forward(self, rows: Sequence[Example], batch: int = 8) -> float:
        """Non-padding tokens a second of the base's layers alone, forward, rows of like lengths together."""
        import torch

        model = load_base(self.folder, self.precision)[0].base_model
        where = device()
        ordered = sorted(rows, key=lambda row: row.tokens)
        parts = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
        with torch.inference_mode():
            for counted in (False, True):
                start = time.perf_counter()
                for part in parts if counted else parts[:1]:
                    ids = [torch.tensor([*row.prompt_ids, *row.completion_ids]) for row in part]
                    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
                    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
                    model(input_ids=padded.to(where), attention_mask=mask.to(where), use_cache=False)
                if where == "cuda":
                    torch.cuda.synchronize()
        return sum(row.tokens for row in rows) / (time.perf_counter() - start)

    def _timed(
        self, model: Any, rows: Sequence[Any], work: Callable[[Path, Callable[[Progress], None]], object]
    ) -> Run:
        losses: list[float] = []
        # Transformers prints each step to stdout, which is for the figures.
        with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr), Peak() as peak:
            start = time.perf_counter()
            work(Path(scratch), lambda at: losses.append(at.loss))
            seconds = time.perf_counter() - start
        held = hold_loss(model, self.examples(HELD, start=400))
        rate = sum(row.tokens for row in rows) / seconds
        return Run(rate, peak.bytes, tuple(losses), held.loss if held else float("nan"))


@contextmanager
def _as_they_come() -> Iterator[None]:
    """Inside, our SFT takes its rows in their order (for curves that are compared step by step)."""
    from strop.trainer.methods import sft

    whole = sft.arguments
    sft.arguments = lambda *args: whole(*args) | {"train_sampling_strategy": "sequential"}
    try:
        yield
    finally:
        sft.arguments = whole


def sft(bench: Bench) -> Iterator[Figure]:
    """One epoch of SFT on 64 rows: as a quick start has it, without its defaults, and ours."""
    rows = bench.examples(ROWS)
    yield Figure("rows", len(rows), "rows")
    yield Figure("non-padding tokens", sum(row.tokens for row in rows), "tokens")
    quick = bench.trl("sft", rows, 4, "fp32", checkpointing=True)
    tuned = bench.trl("sft", rows, 8, bench.precision, checkpointing=False)
    mine = bench.ours("sft", rows)
    yield from _of("TRL as a quick start has it (fp32, batch 4)", quick)
    yield from _of(f"TRL, {bench.precision}, no checkpointing, batch 8", tuned)
    yield from _of("Strop", mine)
    times = mine.tokens_per_s / tuned.tokens_per_s
    yield Figure("Strop against the second", times, "times", ">= 3", times >= 3)
    yield Figure("Strop against the first", mine.tokens_per_s / quick.tokens_per_s, "times")
    forward = bench.forward(rows)
    yield Figure(f"the forward pass alone, {bench.precision}, batch 8", forward, "tokens/s")
    yield Figure("Strop against the forward pass (the limit is about a half)", mine.tokens_per_s / forward, "times")


def _of(name: str, run: Run) -> Iterator[Figure]:
    yield Figure(name, run.tokens_per_s, "tokens/s")
    yield Figure(f"{name}: peak memory", run.peak_bytes / 1e9, "GB")


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
    yield from _of("DPO, TRL's defaults, batch 8", stock)
    yield from _of("DPO, Strop", mine)
    times = mine.tokens_per_s / stock.tokens_per_s
    yield Figure("DPO, Strop against TRL", times, "times", ">= 2.5", times >= 2.5)


def curve(bench: Bench) -> Iterator[Figure]:
    """The same batches in the same order, 60 steps: the loss, step by step."""
    rows = bench.examples(240)
    stock = bench.trl("sft", rows, 4, bench.precision, checkpointing=False)
    mine = bench.ours("sft", rows, 4, shuffled=False)
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


def memory(bench: Bench) -> Iterator[Figure]:
    """On a card: what one step of the usual table's setting holds there, beside what `strop plan` computes for it."""
    if device() != "cuda":
        return
    shape = shape_of(bench.folder)
    bits: tuple[LoadIn, ...] = ("16bit", "4bit")
    for load_in, checkpointing in product(bits, (False, True)):
        setting = replace(TABLE_SETTING, load_in=load_in, checkpointing=checkpointing)
        stage = StageRecipe("sft", 1.0, RATE, setting.batch, warmup=0.0)
        recipe = Recipe((stage,), rank=setting.rank, alpha=ALPHA, load_in=load_in, checkpointing=checkpointing)
        rows = [Example((1,), tuple(range(2, setting.length + 1)))] * 3
        release()
        with Peak() as held, tempfile.TemporaryDirectory() as scratch:
            base, tokenizer = load_base(bench.folder, "bf16", load_in)
            model = add_lora(base, recipe)
            with redirect_stdout(sys.stderr):
                run_stage(model, tokenizer, rows, stage, recipe, Path(scratch), lambda at: None)
            del base, model
        wanted = peak(shape, setting)
        computed = (wanted.total - wanted.library) / 1e9
        name = f"{load_in}{', checkpointing' if checkpointing else ''}, a row of {setting.length} tokens"
        yield Figure(f"{name}: peak", held.bytes / 1e9, "GB")
        yield Figure(f"{name}: computed, without the libraries", computed, "GB")
        off = computed / (held.bytes / 1e9) - 1
        yield Figure(f"{name}: computed against measured", off, "of it", "within 0.2", abs(off) <= 0.2)


MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "sft": sft,
    "held": held,
    "dpo": dpo,
    "curve": curve,
    "linear": linear,
    "memory": memory,
}


def main() -> int:
    """Run what was asked for; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help='JSONL with "prompt" and "answer"')
    parser.add_argument("--model", default="smollm2", help="the base")
    parser.add_argument("--models", type=Path, default=Path.home() / ".strop" / "models", help="where bases are kept")
    parser.add_argument("--shape", choices=sizes.names(), help="random weights of this model's shape instead")
    add_options(parser, MEASUREMENTS)
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    plan.set_threads()
    folder = resolve(options.model, options.models).folder
    with tempfile.TemporaryDirectory() as scratch:
        if options.shape:
            folder = random_base(options.shape, folder, Path(scratch) / options.shape)
        bench = Bench(folder, options.data)
        found = (figure for name in options.only or MEASUREMENTS for figure in MEASUREMENTS[name](bench))
        on = {"precision": bench.precision, "device": device(), "shape": options.shape or folder.name}
        return report(found, as_json=options.json, digits=3, **on)


if __name__ == "__main__":
    sys.exit(main())
