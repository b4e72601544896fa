"""Whether it learns: what is trained as `strop train` does it, asked on prompts that it never saw, beside the base.

Run `.venv/bin/python benchmarks/learning.py --data LEGALBENCH.jsonl` (about an hour on two cores), with --only
taste|legal|thumbs|followups for a part, --seeds 17 18 19 for more than one seed, --json for one object. What was
measured is in --out after every model, and the same command goes on from there. --smoke tries the path with a handful
of rows and measures nothing. Ends with 1 where a target is missed.

    taste      the demo's person corrects: 10, 20, 40 and 80 corrections, and 80 by SFT alone
    legal      LegalBench, half and half by cluster: SFT, then SFT and DPO
    thumbs     KTO from one rated answer a prompt, the base's own and the demo's in turn
    followups  hindsight from what the person said next

Each model is asked for its own task and for the regression suite (what was forgotten), of which the suite `facts`
stands by itself.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from figures import add_options, machine, print_json
from learning_rows import Row, commonest, corrections, everyday, follow_ups, legal_halves, legal_pairs, thumbs
from learning_table import NOT_YET, Compared, Outcome, compared_table, outcome, outcomes_table, rate

from strop.demo.person import Wish, likes
from strop.evaluation import suites
from strop.evaluation.measure import skill_scores
from strop.files import sha256_file, write_json
from strop.trainer import plan
from strop.trainer.answering import Answering
from strop.trainer.models import resolve
from strop.trainer.run import train_file
from strop.trainer.settings import Method, TrainerSettings

SEED = 17
TASTE_TOKENS, LEGAL_TOKENS = 64, 32
MEASURES = TASTE, LEGAL, SKILL, FACTS = "the taste", "LegalBench", "regression suite", "everyday facts"
_SCORED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. `reacted` prompts are answered by the base; every n-th item of the suite is asked.

    `legal_target` is the rate that SFT must beat on LegalBench: a first try's, on a machine with bfloat16.
    """

    corrections: tuple[int, ...] = (10, 20, 40, 80)
    reacted: int = 200
    taste_held: int = 100
    legal_train: int = 240
    legal_test: int = 300
    follow_ups: int = 80
    suite_every: int = 4
    facts: int = 100
    legal_target: float | None = 0.54


SMOKE = Sizes((4, 16), 40, 8, 16, 8, 8, 80, 4, None)


@dataclass(frozen=True, slots=True)
class Arm:
    """One model to train: on what, how, and what its own task is. The settings are the house's unless stated."""

    name: str
    method: Method
    rows: Sequence[Row]
    task: str
    settings: TrainerSettings = field(default_factory=TrainerSettings)


class Study:
    """The data, the base, and what was measured so far: one 0 or 1 a prompt, by model and measure, kept in `out`."""

    def __init__(self, model: str, models: Path, data: Path, sizes: Sizes, out: Path, batch: int) -> None:
        self.models, self.sizes, self.out, self.batch = models, sizes, out, batch
        self.base = resolve(model, models)
        self.precision = plan.choose_precision("auto")[0]
        self.reacted, self.held, self.held_clusters = everyday(sizes.taste_held)
        self.halves = legal_halves(data, sizes.legal_train, sizes.legal_test)
        every = suites.load(per_template=0)  # as written down: what was measured before stays comparable
        self.facts = [item for item in every if item.suite == "facts"][: sizes.facts]
        self.skill = [item for item in every if item.suite != "facts"][:: sizes.suite_every]
        # As JSON has it, so that what was read back compares equal.
        about = json.loads(json.dumps({"base": self.base.facts(), "data": sha256_file(data), "sizes": asdict(sizes)}))
        self.state: dict[str, Any] = {"about": about, "scores": {}, "training": [], "answers": []}
        if out.is_file():
            self.state = json.loads(out.read_text("utf-8"))
            if self.state["about"] != about:
                sys.exit(f"{out} holds another base, other data or other sizes; name another file with --out")

    def run(self, section: str, seeds: Sequence[int]) -> None:
        """Train and measure the section's models that are not in `out` yet."""
        for arm in SECTIONS[section](self):
            self._measured("base", None, arm.task)
            for seed in seeds:
                self._trained(arm, seed)

    @cached_property
    def said(self) -> list[tuple[Wish, str]]:
        """The base's own answers to the prompts that the person reacts to."""
        asked = self.reacted[: self.sizes.reacted]
        if not self.state["answers"]:
            model = self._load(None)
            conversations = [[{"role": "user", "content": wish.prompt}] for wish in asked]
            self.state["answers"] = [one.text for one in model.generate(conversations, max_tokens=TASTE_TOKENS)]
            self._save()
        return list(zip(asked, self.state["answers"], strict=True))

    def outcomes(self) -> Iterator[Outcome]:
        """Every trained model beside the base, in the order in which they were trained."""
        base = self.state["scores"].get("base", {})
        for one in self.state["training"]:
            scores = self.state["scores"][_key(one["name"], one["seed"])]
            for measure in (each for each in MEASURES if each in scores):
                clusters = self._clusters(measure)
                yield outcome(one["name"], one["seed"], measure, scores[measure], base[measure], clusters)

    def _trained(self, arm: Arm, seed: int) -> None:
        key = _key(arm.name, seed)
        if any(_key(one["name"], one["seed"]) == key for one in self.state["training"]):
            return
        with tempfile.TemporaryDirectory() as scratch:
            file, adapter = Path(scratch) / "rows.jsonl", Path(scratch) / "adapter"
            file.write_text("".join(json.dumps(row) + "\n" for row in arm.rows), encoding="utf-8")
            _note(f"training: {key}, {len(arm.rows)} rows")
            made = train_file(
                arm.method, self.base.ref, file, adapter, {"seed": seed}, arm.settings,
                models_dir=self.models, on_progress=_silent,
            )  # fmt: skip
            self._measured(key, adapter, arm.task)
        facts = made.as_dict()
        kept = {name: facts[name] for name in ("method", "rows", "tokens", "train_s", "mean_loss")}
        self.state["training"].append({"name": arm.name, "seed": seed, **kept})
        self._save()

    def _measured(self, key: str, adapter: Path | None, task: str) -> None:
        """Ask one model what it was not asked before; saved with its training, the base's at once."""
        scores = self.state["scores"].setdefault(key, {})
        missing = [measure for measure in (task, SKILL, FACTS) if measure not in scores or adapter is not None]
        if not missing:
            return
        model = self._load(adapter)
        for measure in missing:
            started = monotonic()
            scores[measure] = [int(score) for score in self._asked(model, measure)]
            _note(f"{key}: {measure} {sum(scores[measure])} of {len(scores[measure])} in {monotonic() - started:.0f} s")
        if adapter is None:
            self._save()

    def _asked(self, model: Answering, measure: str) -> list[bool]:
        if measure == TASTE:
            asked = [[{"role": "user", "content": wish.prompt}] for wish in self.held]
            return [likes(one.text) for one in model.generate(asked, max_tokens=TASTE_TOKENS)]
        if measure == LEGAL:
            asked = [[{"role": "user", "content": one.prompt}] for one in self.halves.test]
            given = model.generate(asked, max_tokens=LEGAL_TOKENS)
            return [one.right(answer.text) for one, answer in zip(self.halves.test, given, strict=True)]
        items = self.skill if measure == SKILL else self.facts
        found = skill_scores(model, items, batch=_SCORED_AT_ONCE, temperature=0.0)
        if errors := [one.error for one in found.values() if one.error is not None]:
            sys.exit(f"{measure} could not be measured: {errors[0]}")
        return [found[item.id].value == 1.0 for item in items]

    def _clusters(self, measure: str) -> list[str]:
        if measure == TASTE:
            return self.held_clusters
        if measure == LEGAL:
            return [one.cluster for one in self.halves.test]
        return [item.cluster for item in (self.skill if measure == SKILL else self.facts)]

    def _load(self, adapter: Path | None) -> Answering:
        return Answering.load(self.base.folder, adapter, self.precision, self.batch)

    def _save(self) -> None:
        write_json(self.out, self.state)


def _key(name: str, seed: int) -> str:
    return f"{name}, seed {seed}"


def _silent(stage: str, share: float | None, text: str) -> None:
    """Training says how far it is; a benchmark's log does not."""


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _corrected(count: int) -> str:
    return f"{count} corrections"


def taste(study: Study) -> Iterator[Arm]:
    """More and more corrections, by the method that `strop train auto` chooses; the most of them by SFT alone too."""
    for count in study.sizes.corrections:
        yield Arm(_corrected(count), "auto", corrections(study.said, count), TASTE)
    most = study.sizes.corrections[-1]
    yield Arm(f"{_corrected(most)}, SFT alone", "sft", corrections(study.said, most), TASTE)


def legal(study: Study) -> Iterator[Arm]:
    """The answer key, by SFT and by the chain."""
    rows = legal_pairs(study.halves.train)
    yield Arm("LegalBench, SFT alone", "sft", rows, LEGAL)
    yield Arm("LegalBench, SFT and DPO", "auto", rows, LEGAL)


def thumbs_alone(study: Study) -> Iterator[Arm]:
    """One rated answer a prompt, by KTO."""
    rows = thumbs(study.said, study.sizes.reacted)
    yield Arm("thumbs alone, KTO", "kto", rows, TASTE)


def follow_ups_alone(study: Study) -> Iterator[Arm]:
    """The next messages after answers that the person did not like."""
    yield Arm("follow-ups alone, hindsight", "hindsight", follow_ups(study.said, study.sizes.follow_ups), TASTE)


SECTIONS: dict[str, Callable[[Study], Iterator[Arm]]] = {
    "taste": taste,
    "legal": legal,
    "thumbs": thumbs_alone,
    "followups": follow_ups_alone,
}


def tables(study: Study, unmeasured: str) -> str:
    """Everything in Markdown."""
    found = list(study.outcomes())
    most = _corrected(study.sizes.corrections[-1])
    law = ("LegalBench, SFT alone", "LegalBench, SFT and DPO")
    person = (f"{most}, SFT alone", most)
    rows = [
        Compared("task accuracy: LegalBench, the other half", LEGAL, *law),
        Compared("preference: win rate against the base, judged by the demo's taste", TASTE, *person, wins=True),
        Compared("made-up facts (suite `facts`; no truthfulness set), after LegalBench", FACTS, *law),
        Compared(f"made-up facts (suite `facts`; no truthfulness set), after {most}", FACTS, *person),
    ]
    guess = rate([int(right) for right in commonest(study.halves.train, study.halves.test)])
    extra = {"LegalBench, always the task's most frequent training answer (no model)": guess}
    parts = [compared_table(rows, found, extra, unmeasured), outcomes_table(found), trained_table(study)]
    if study.sizes is SMOKE:
        parts.insert(0, "**A smoke run: a handful of rows, to try the path. Nothing here is a measurement.**")
    return "\n\n".join([*parts, f"LegalBench: {study.halves.said}; no cluster on both sides."])


def trained_table(study: Study) -> str:
    """What each training cost."""
    lines = ["| trained on | seed | rows by method | tokens | seconds |", "|---|---:|---|---:|---:|"]
    for one in study.state["training"]:
        rows = ", ".join(f"{count} {method}" for method, count in one["rows"].items())
        lines.append(f"| {one['name']} | {one['seed']} | {rows} | {one['tokens']:,} | {one['train_s']:.0f} |")
    return "\n".join(lines)


def met(study: Study) -> bool | None:
    """Whether SFT beats the target on LegalBench in every seed; None where that was not measured or there is none."""
    found = [one for one in study.outcomes() if one.measure == LEGAL and one.model == "LegalBench, SFT alone"]
    target = study.sizes.legal_target
    return all(one.rate.value > target for one in found) if found and target is not None else None


def main(
    description: str | None = __doc__,
    model: str = "smollm2",
    sizes: Sizes | None = None,
    batch: int = 32,
    out: str = "learning.json",
) -> int:
    """Run what was asked for; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help='LegalBench: JSONL with "prompt", "answer" and "task"')
    parser.add_argument("--model", default=model, help="the base")
    parser.add_argument("--models", type=Path, default=Path.home() / ".strop" / "models", help="where bases are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="seeds of training")
    parser.add_argument("--out", type=Path, help=f"where results are kept and read again ({out})")
    parser.add_argument("--smoke", action="store_true", help="a handful of rows: tries the path, measures nothing")
    add_options(parser, SECTIONS)
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    kept = options.out or Path(f"smoke-{out}" if options.smoke else out)
    threads = plan.set_threads()
    chosen = SMOKE if options.smoke else sizes or Sizes()
    study = Study(options.model, options.models, options.data, chosen, kept, batch)
    for section in options.only or SECTIONS:
        study.run(section, options.seeds)
    reached = met(study)
    if options.json:
        found = [asdict(one) for one in study.outcomes()]
        on = machine(precision=study.precision, threads=threads, **study.state["about"])
        print_json(on, smoke=options.smoke, outcomes=found, training=study.state["training"], met=reached)
    else:
        print(tables(study, NOT_YET))  # noqa: T201
        if reached is not None:
            target = f"LegalBench after SFT above {chosen.legal_target:.0%}: {'met' if reached else 'MISSED'}"
            print(f"\n{target}")  # noqa: T201
    return 1 if reached is False else 0


if __name__ == "__main__":
    sys.exit(main())
