"""The steps of a night, in order. Each reads what earlier ones wrote to disk and leaves something whole behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from strop import judge
from strop.config import Config
from strop.deploy.adapter import adapter_sha256
from strop.deploy.build import Build, read_build
from strop.deploy.release import release, repair
from strop.deploy.versions import Version, Versions
from strop.errors import NotCertified, NotEnoughData, NothingToDo, UnknownModel
from strop.evaluation import Test, decide
from strop.evaluation.error import fresh_clusters
from strop.evaluation.records import as_lines
from strop.evaluation.report import markdown
from strop.evaluation.wanted import Detail, WantedItem
from strop.feedback import Ledger, dataset, pairs
from strop.feedback.dataset import Dataset
from strop.feedback.ration import rationed
from strop.feedback.rows import Rows
from strop.feedback.split import record_test, used
from strop.files import DamagedFolder, canonical_json, sha256_bytes, verify_manifest, write_bytes
from strop.home import Home
from strop.hours import budget
from strop.journal import Journal, StepRow
from strop.setup import Ground, OnProgress, certified, made_build, need_room, open_target, prepare
from strop.trainer import plan
from strop.trainer.render import Renderer, control_texts
from strop.trainer.runs import Runs
from strop.trainer.supervisor import need_training_packages, run_child
from strop.trainer.traits import Traits, manner
from strop.trainer.work import Job

# Below `reports`: what was measured of each version.
MEASURED = "measured"


class Done(NamedTuple):
    """What a step leaves: a path, the hash of what stands there, figures, and what the gate spent."""

    output: Path
    output_hash: str
    facts: Mapping[str, Any] = {}
    test: Test | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The end of a night."""

    outcome: str
    reasons: tuple[str, ...]
    feedback: Mapping[str, int]
    rows: Mapping[str, int]
    excluded: Mapping[str, int]
    version: Version
    live: str
    report: Path


class NightSteps:
    """One night on one home. Holds what its steps share; the journal holds what they did."""

    def __init__(self, home: Home, config: Config, journal: Journal, run_id: str, on_progress: OnProgress) -> None:
        self.home, self.config, self.journal, self.run_id = home, config, journal, run_id
        self.on_progress = on_progress
        self.versions = Versions(home.state_db)
        self.target = open_target(home, config)
        self.feedback: dict[str, int] = {}
        self.judged_key = ""

    def play(self) -> Judged:
        """All steps. Raises what they raise; nothing is live that was not judged."""
        need_training_packages()
        heard = self.heard()
        ground = self.ground()
        rows = self.pairs(heard, ground)
        adapter = self.train(rows, ground)
        built = self.build(adapter, ground)
        version = self.certify(built, adapter, ground)
        verdict = self.gate(version, rows, ground)
        if verdict.facts["outcome"] == "promote":
            self.release(version, verdict)
        return self.report(version, rows, verdict)

    def ground(self) -> Ground:
        """The base, its version, and a target whose pointer agrees with the live row."""
        ground = prepare(self.home, self.config, self.target, self.on_progress)
        repair(self.versions, self.target, self.home.release_lock)
        return ground

    def heard(self) -> Rows:
        """What the ledger gives tonight. Raises NotEnoughData or NothingToDo."""
        self.on_progress("pairs", None, "")
        with Ledger.open(self.home.ledger_db, scrubber=self.config.feedback.scrub.scrubber()) as ledger:
            self.feedback = ledger.counts()
            rows = pairs.build(ledger, self.config.feedback, limit_tokens=self.config.trainer.max_length)
        self._check_enough(rows)
        self._check_new(rows.digest())
        self._check_fresh(rows)
        return rows

    def pairs(self, heard: Rows, ground: Ground) -> Dataset:
        """The rows that may train this base, as files."""
        rows = heard.without(control_texts(ground.base.folder))
        if rows is not heard:
            self._check_enough(rows)
        # Which rows the hours allow follows from a measured pace: chosen once, then read from the disk.
        key = _hash(rows.digest(), self.config.night.hours, self.config.feedback.half_life_days)
        folder = self.home.datasets / key[:16]

        def work() -> Done:
            made = dataset.write(self._rationed(rows, ground), folder)
            return Done(folder, made.sha256, {"counts": made.counts, "excluded": made.excluded})

        self._step("pairs", key, work, lambda row: dataset.read(Path(row.output)))
        found = dataset.read(folder)
        if "no_time" in found.excluded:
            self._check_new(found.sha256, "; more hours would let the rest in: [night] hours in strop.toml")
        self.on_progress("pairs", 1.0, _counted(found.counts))
        for warning in found.warnings:
            self.on_progress("pairs", None, warning)
        return found

    def _rationed(self, rows: Rows, ground: Ground) -> Rows:
        """The rows that tonight has hours for, still enough and for methods that are then the chosen ones."""
        try:
            allowed = budget(self.home, self.config, ground.base, rows)
        except UnknownModel:  # a base whose shape cannot be read: nothing is known of its pace
            return rows
        asked, methods = self.config.trainer.method, None
        while methods != (chosen := plan.choose_methods(rows.counts, asked)[0]):
            methods = chosen
            rows = rationed(rows, methods, allowed)
        if "no_time" in rows.excluded:
            self._check_enough(rows)
        return rows

    def _check_enough(self, rows: Rows) -> None:
        needed = self.config.night.min_rows
        judging = max(self.config.gate.min_wanted_clusters, self.config.gate.min_fresh_clusters)
        if not self.feedback.get("interactions"):
            raise NotEnoughData("the ledger is empty", hint=_FIRST)
        said = f"{_counted(rows.counts)}; left out: {_counted(rows.excluded) or 'nothing'}"
        if "one_class" in rows.excluded:
            raise NotEnoughData(
                f"every rating says the same, and nothing was corrected ({said})",
                hint="correct an answer: strop feedback add ... --rating down --correction ...",
            )
        methods, _ = plan.choose_methods(rows.counts, self.config.trainer.method)
        trainable = sum(rows.counts[method] for method in {"sft", "dpo", *methods})
        if trainable < needed:
            raise NotEnoughData(f"{trainable} rows to train on are fewer than {needed} ({said})", hint=_MORE)
        if len({row.cluster for row in rows.gate}) < judging:
            raise NotEnoughData(
                f"the gate holds {len(rows.gate)} corrections and cannot judge with fewer than {judging} ({said})",
                hint=_MORE,
            )

    def _check_fresh(self, rows: Rows) -> None:
        """No candidate is trained that the gate could not test: it needs corrections that no earlier test used."""
        tests, needed = self._earlier_tests(), self.config.gate.min_fresh_clusters
        spent = self._used()
        fresh = fresh_clusters(((row.id, row.cluster) for row in rows.gate), tests)
        fresh -= {row.cluster for row in rows.gate if spent.intersection(row.interactions)}
        if tests and len(fresh) < needed:
            raise NothingToDo(
                f"{len(fresh)} held-out corrections came since the last test of the gate, and the next needs {needed}; "
                "a part of what you correct is held out: half at first, later a fifth",
                hint="strop feedback add, then strop night",
            )

    def _earlier_tests(self) -> tuple[Test, ...]:
        """The gate's history. Where prompts may serve once more, what was spent is in it, and on what is not."""
        tests = self.journal.tests()
        if self._undecided_test() and tests:  # nothing was released by it, so it earned nothing back
            tests = (*tests[:-1], replace(tests[-1], promoted=False))
        return tuple(replace(test, items=()) for test in tests) if self._once_more() else tests

    def _used(self) -> frozenset[str]:
        """The interactions that earlier tests used up."""
        if self._once_more():
            return frozenset()
        with Ledger.open(self.home.ledger_db, scrubber=self.config.feedback.scrub.scrubber()) as ledger:
            return used(ledger)

    def _once_more(self) -> bool:
        """Whether the prompts of earlier tests may serve in one more.

        So it is where the last verdict never took effect, and where a model that was live has been forgotten and no
        test was made since: it is made again of what is left, and users should not wait for it.
        """
        if self._undecided_test():
            return True
        events = self.versions.events()
        lived = {event.tag for event in events if event.to_state == "live"}
        gone = [event.time for event in events if event.to_state == "forgotten" and event.tag in lived]
        last = self.journal.last_done("gate")
        return bool(gone) and (last is None or last.ended is None or max(gone) > last.ended)

    def _undecided_test(self) -> bool:
        """Whether the last night that made a test ended before its report."""
        tested, told = self.journal.last_done("gate"), self.journal.last_done("report")
        return tested is not None and bool(tested.facts.get("tested")) and (told is None or told.number < tested.number)

    def _check_new(self, rows: str, more: str = "") -> None:
        """One candidate from the same rows (their hash): the gate's error is not spent on the same evidence twice."""
        self.judged_key = self._judged_key(rows)
        last = self.journal.done_step("report", self.judged_key)
        if last is not None:
            raise NothingToDo(
                f"no new feedback since the last night, which ended {last.facts['outcome']}{more}",
                hint="strop feedback add, then strop night",
            )

    def _judged_key(self, rows: str) -> str:
        """What a candidate and its verdict follow from; the hour of the night, say, is no part of it."""
        decides = {"model", "quant", "seed", "trainer", "gate"}
        settings = self.config.model_dump(mode="json", include=decides)
        for name in ("checkpoint_s", "trackio_space"):
            del settings["trainer"][name]
        return _hash(rows, settings)

    def train(self, rows: Dataset, ground: Ground) -> Path:
        """One fresh adapter from the base."""
        pairs = [(row["chosen"][-1]["content"], row["rejected"][-1]["content"]) for row in rows.dpo()]
        traits = Traits(manner(pairs), rows.domain)
        made = plan.make(rows.counts, self.config.trainer, seed=self.config.seed, traits=traits)
        recipe = made.recipe
        key = _hash(rows.sha256, recipe.as_dict(), ground.base.facts())
        folder = self.home.adapters / key[:16]
        job = Job(
            base_folder=str(ground.base.folder),
            base=ground.base.facts(),
            files={stage.method: str(rows.file(stage.method)) for stage in recipe.stages},
            recipe=recipe.as_dict(),
            out=str(folder),
            dataset_sha256=rows.sha256,
            replays=str(self.home.replays),
        )

        def work() -> Done:
            need_room(self.home, ground.base, recipe)
            runs = Runs(self.home.runs, self.config.trainer.checkpoint_s, self.config.trainer.trackio_space)
            run_child(job, self.on_progress, self.home.path / "train.log", runs)
            choices = {choice.name: f"{choice.value}: {choice.reason}" for choice in made.choices}
            return Done(folder, adapter_sha256(folder), choices)

        self._step("train", key, work, lambda row: verify_manifest(Path(row.output)))
        return folder

    def build(self, adapter: Path, ground: Ground) -> Build:
        """Base and adapter merged and quantised into the file that would be served."""
        key = _hash(ground.base.sha256, adapter_sha256(adapter), self.config.quant)

        def work() -> Done:
            self.on_progress("build", None, f"merging into {self.config.quant}")
            built = made_build(self.home, ground.base, ground.base_f16, adapter, self.config.quant)
            self.on_progress("build", 1.0, f"{built.gguf.stat().st_size / 1e6:.0f} MB")
            return Done(built.folder, built.sha256, built.merged)

        row = self._step("build", key, work, lambda row: read_build(Path(row.output)))
        return read_build(Path(row.output))

    def certify(self, built: Build, adapter: Path, ground: Ground) -> Version:
        """The build's version, certified. Raises NotCertified; the version is then refused.

        Raises NothingToDo for a build that was judged before and is not wanted.
        """
        key = _hash(built.sha256, ground.base.sha256)
        version = self.versions.add(
            gguf=built.gguf,
            sha256=built.sha256,
            folder=built.folder,
            base_ref=ground.base.ref,
            adapter_sha=built.adapter_sha256,
            quant=built.quant,
        )

        def work() -> Done:
            self.on_progress("certify", None, "comparing the served build with transformers")
            certificate = certified(self.home, built, ground.base_f16, ground.base, adapter)
            evidence = {"checks": certificate.as_dict()}
            if version.state == "built":
                self.versions.set_state(version.tag, "certified" if certificate.ok else "refused", evidence)
            certificate.demand()
            self.on_progress("certify", 1.0, certificate.checks[-1].figure)
            return Done(built.folder, built.sha256, evidence)

        if version.state in ("refused", "rolled_back"):
            if self.journal.done_step("certify", key) is None:
                raise NotCertified(f"{version.tag} was refused before", hint="strop versions")
            was = version.state.replace("_", " ")
            raise NothingToDo(f"this feedback makes {version.tag} again, which was {was}", hint=_MORE)
        self._step("certify", key, work, lambda row: row)
        return self.versions.get(version.tag)

    def gate(self, candidate: Version, rows: Dataset, ground: Ground) -> StepRow:
        """Both versions on the same prompts, then the verdict; what it spent is written with the step.

        Raises NothingToDo where the candidate is live already, and not by a night that was killed before its report.
        """
        live = self.versions.live()
        released = live is not None and live.number == candidate.number
        incumbent = (self.versions.previous() if released else live) or ground.version
        policy = self.config.gate.policy()
        gate = self._gate_items(rows, ground)
        key = _hash(candidate.sha256, incumbent.sha256, rows.sha256, self.config.gate.model_dump(mode="json"))
        if released and self.journal.done_step("gate", key) is None:
            raise NothingToDo(f"this feedback makes {candidate.tag} again, which is live", hint=_MORE)
        bench = judge.Bench(
            self.target,
            ground.base,
            plan.choose_precision(self.config.trainer.precision)[0],
            self.config.gate.answer_tokens,
            self.home.reports / MEASURED,
            self.on_progress,
        )

        def work() -> Done:
            results, details = judge.judged(bench, candidate, incumbent, ground.version, gate, policy)
            spent = self._used()
            again = {row.id for row in rows.gate() if spent.intersection(row.interactions)}
            results = tuple(replace(r, first_used_night=0) if r.item in again else r for r in results)
            earlier = self._earlier_tests()
            verdict = decide(results, policy, earlier)
            warnings = {f"about the feedback, {number}": text for number, text in enumerate(rows.warnings, start=1)}
            tags = {"candidate": candidate.tag, "current model": incumbent.tag}
            text = markdown(verdict, details, {**tags, **warnings})
            out = self.home.reports / f"{self.run_id}.md"
            write_bytes(out, text.encode())
            # What `strop gate decide` makes the same verdict from.
            write_bytes(out.with_suffix(".results.jsonl"), as_lines(results))
            write_bytes(out.with_suffix(".history.jsonl"), as_lines(earlier))
            facts = {
                "outcome": verdict.outcome,
                "reasons": list(verdict.reasons),
                "incumbent": incumbent.tag,
                "items": _outcomes(details),
                "tested": verdict.test is not None,
            }
            return Done(out, sha256_bytes(text.encode()), facts, verdict.test)

        judged = self._step("gate", key, work, lambda row: row)
        if judged.facts.get("tested"):
            served = [interaction for row in rows.gate() for interaction in row.interactions]
            with Ledger.open(self.home.ledger_db, scrubber=self.config.feedback.scrub.scrubber()) as ledger:
                record_test(ledger, served, key)
        return judged

    def _gate_items(self, rows: Dataset, ground: Ground) -> list[WantedItem]:
        """The held-out items that fit into the server's context; the others are left out and said."""
        from transformers import AutoTokenizer

        from strop.setup import GATE_CONTEXT_TOKENS

        render = Renderer(AutoTokenizer.from_pretrained(ground.base.folder, local_files_only=True))
        room = GATE_CONTEXT_TOKENS - self.config.gate.answer_tokens
        items = [WantedItem.from_row(row.as_dict()) for row in rows.gate()]
        fitting = [item for item in items if len(render.prompt(item.messages)) <= room]
        if len(fitting) < len(items):
            self.on_progress(
                "gate", None, f"{len(items) - len(fitting)} held-out prompts are longer than {room} tokens"
            )
        return fitting

    def release(self, version: Version, verdict: StepRow) -> None:
        """Make the version live. A killed release is settled by `repair` at the next start."""

        def work() -> Done:
            evidence = {"run": self.run_id, "report": verdict.output, "reasons": verdict.facts["reasons"]}
            if self.versions.get(version.tag).state == "certified":
                self.versions.set_state(version.tag, "gated", evidence)
            self.on_progress("release", None, version.tag)
            release(self.versions, self.target, version.tag, self.home.release_lock, evidence)
            self.on_progress("release", 1.0, f"{version.tag} is live")
            return Done(version.folder, version.sha256)

        live = self.versions.live()
        if live is None or live.number != version.number:
            self._step("release", _hash(version.sha256, self.run_id), work, lambda row: row)

    def report(self, version: Version, rows: Dataset, verdict: StepRow) -> Judged:
        """Close the night: the candidate's fate, and the row by which the next night knows that this was judged."""
        outcome, reasons = str(verdict.facts["outcome"]), tuple(map(str, verdict.facts["reasons"]))
        if outcome != "promote" and self.versions.get(version.tag).state == "certified":
            self.versions.set_state(version.tag, "refused", {"outcome": outcome, "reasons": list(reasons)})
        out = Path(verdict.output)
        self._step("report", self.judged_key, lambda: Done(out, "", {"outcome": outcome}), lambda row: row)
        live = self.versions.live()
        return Judged(
            outcome,
            reasons,
            self.feedback,
            rows.counts,
            rows.excluded,
            self.versions.get(version.tag),
            live.tag if live else "",
            out,
        )

    def _step(self, name: str, key: str, work: Callable[[], Done], whole: Callable[[StepRow], object]) -> StepRow:
        """Do a step, or skip it where an earlier run finished it on the same input and `whole` does not object."""
        known = self.journal.done_step(name, key)
        if known is not None and Path(known.output).exists():
            try:
                whole(known)
            except DamagedFolder:
                self.on_progress(name, None, "what was there is damaged: doing it again")
            else:
                self.on_progress(name, 1.0, "done before")
                return known
        number, started = self.journal.start_step(self.run_id, name, key), monotonic()
        try:
            done = work()
        except BaseException as error:
            self.journal.fail_step(number, f"{type(error).__name__}: {error}", seconds=monotonic() - started)
            raise
        self.journal.finish_step(
            number,
            output=done.output,
            output_hash=done.output_hash,
            seconds=monotonic() - started,
            facts=done.facts,
            test=done.test,
        )
        found = self.journal.done_step(name, key)
        if found is None:
            raise DamagedFolder(f"the journal lost step {name}", hint="strop doctor")
        return found


_FIRST = "strop feedback add --prompt ... --answer ... --rating down --correction ..."
_MORE = "correct more answers: strop feedback add ... --correction ..."


def _hash(*parts: Any) -> str:
    return sha256_bytes(canonical_json(list(parts)).encode())


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _outcomes(details: tuple[Detail, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for detail in details:
        found[detail.outcome] = found.get(detail.outcome, 0) + 1
    return found
