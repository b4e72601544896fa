"""The steps of a night, and their order (`NightSteps.play`).

Each reads what earlier ones wrote to disk and leaves something whole behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.config import Config
from strop.deploy.adapter import adapter_sha256
from strop.deploy.build import Build, read_build
from strop.deploy.release import release, repair
from strop.deploy.versions import Version, Versions
from strop.errors import ConfigError, NotCertified, NothingToDo, UnknownModel
from strop.evidence import MORE, Evidence, counted
from strop.feedback import Ledger, dataset, pairs
from strop.feedback.dataset import Dataset
from strop.feedback.ration import rationed
from strop.feedback.rows import Rows
from strop.files import verify_manifest
from strop.gate_step import GateStep
from strop.home import Home
from strop.hours import budget
from strop.journal import Journal, StepRow
from strop.prune import prune_quietly
from strop.quant import AUTO
from strop.setup import Ground, OnProgress, certified, made_build, need_room, prepare
from strop.steps import Done, Steps, input_hash
from strop.target import open_target
from strop.trainer import plan
from strop.trainer.render import control_texts
from strop.trainer.runs import Runs
from strop.trainer.supervisor import need_training_packages, run_child
from strop.trainer.traits import Traits, manner
from strop.trainer.work import Job

if TYPE_CHECKING:
    from strop.pushed import Told

# Below `reports`: what was measured of each version.
MEASURED = "measured"


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
    pushed: "Told | None" = None


class NightSteps:
    """One night on one home. Holds what its steps share; the journal holds what they did."""

    def __init__(self, home: Home, config: Config, journal: Journal, run_id: str, on_progress: OnProgress) -> None:
        self.home, self.config, self.journal, self.run_id = home, config, journal, run_id
        self.on_progress = on_progress
        self.versions = Versions(home.state_db)
        self.target = open_target(home, config)
        self.steps = Steps(journal, run_id, on_progress)
        self.evidence = Evidence(home, config, journal, self.versions)
        self.gate_step = GateStep(
            home, config, journal, run_id, self.target, self.evidence, home.reports / MEASURED, on_progress
        )
        self.feedback: dict[str, int] = {}
        self.judged_key = ""
        self.pushed: Told | None = None

    def play(self) -> Judged:
        """A whole night, step by step. Raises what they raise; nothing is live that was not judged."""
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
        self.evidence.check_enough(rows, self.feedback)
        if fault := self.config.gate.unreachable():
            raise ConfigError(fault, hint=f"correct [gate] in {self.home.config_file}, or the STROP_GATE__ variable")
        self._check_new(rows.digest())
        self.evidence.check_fresh(rows)
        return rows

    def pairs(self, heard: Rows, ground: Ground) -> Dataset:
        """The rows that may train this base, as files."""
        rows = heard.without(control_texts(ground.base.folder))
        if rows is not heard:
            self.evidence.check_enough(rows, self.feedback)
        # Which rows the hours allow follows from a measured pace: chosen once, then read from the disk.
        key = input_hash(rows.digest(), self.config.night.hours, self.config.feedback.half_life_days)
        folder = self.home.datasets / key[:16]

        def work() -> Done:
            made = dataset.write(self._rationed(rows, ground), folder)
            return Done(folder, made.sha256, {"counts": made.counts, "excluded": made.excluded})

        self.steps.do("pairs", key, work, lambda row: dataset.read(Path(row.output)))
        found = dataset.read(folder)
        if "no_time" in found.excluded:
            self._check_new(found.sha256, "; more hours would let the rest in: [night] hours in strop.toml")
        self.on_progress("pairs", 1.0, counted(found.counts))
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
            self.evidence.check_enough(rows, self.feedback)
        return rows

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
        decides = {"model", "quant", "seed", "trainer", "gate"} | (
            {"quant_max_kl"} if self.config.quant == AUTO else set()
        )
        settings = self.config.model_dump(mode="json", include=decides)
        for name in ("checkpoint_s", "trackio_space"):
            del settings["trainer"][name]
        return input_hash(rows, settings)

    def train(self, rows: Dataset, ground: Ground) -> Path:
        """One fresh adapter from the base."""
        pairs = [(row["chosen"][-1]["content"], row["rejected"][-1]["content"]) for row in rows.dpo()]
        traits = Traits(manner(pairs), rows.domain)
        made = plan.make(rows.counts, self.config.trainer, seed=self.config.seed, traits=traits)
        recipe = made.recipe
        key = input_hash(rows.sha256, recipe.as_dict(), ground.base.facts())
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

        self.steps.do("train", key, work, lambda row: verify_manifest(Path(row.output)))
        return folder

    def build(self, adapter: Path, ground: Ground) -> Build:
        """Base and adapter merged and quantised into the file that would be served."""
        key = input_hash(ground.base.sha256, adapter_sha256(adapter), ground.version.quant)

        def work() -> Done:
            self.on_progress("build", None, f"merging into {ground.version.quant}")
            built = made_build(self.home, ground.base, ground.base_f16, adapter, ground.version.quant)
            self.on_progress("build", 1.0, f"{built.gguf.stat().st_size / 1e6:.0f} MB")
            return Done(built.folder, built.sha256, built.merged)

        row = self.steps.do("build", key, work, lambda row: read_build(Path(row.output)))
        return read_build(Path(row.output))

    def certify(self, built: Build, adapter: Path, ground: Ground) -> Version:
        """The build's version, certified. Raises NotCertified; the version is then refused.

        Raises NothingToDo for a build that was judged before and is not wanted.
        """
        max_kl = self.config.quant_max_kl if self.config.quant == AUTO else None
        key = input_hash(built.sha256, ground.base.sha256, *([] if max_kl is None else [max_kl]))
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
            certificate = certified(self.home, built, ground.base_f16, ground.base, adapter, max_kl)
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
            raise NothingToDo(f"this feedback makes {version.tag} again, which was {was}", hint=MORE)
        self.steps.do("certify", key, work, lambda row: row)
        return self.versions.get(version.tag)

    def gate(self, candidate: Version, rows: Dataset, ground: Ground) -> StepRow:
        """Both versions on the same prompts, then the verdict; what it spent is written with the step.

        Raises NothingToDo where the candidate is live already, and not by a night that was killed before its report.
        """
        live = self.versions.live()
        released = live is not None and live.number == candidate.number
        incumbent = (self.versions.previous() if released else live) or ground.version
        key = input_hash(candidate.sha256, incumbent.sha256, rows.sha256, self.config.gate.model_dump(mode="json"))
        if released and self.journal.done_step("gate", key) is None:
            raise NothingToDo(f"this feedback makes {candidate.tag} again, which is live", hint=MORE)

        def work() -> Done:
            return self.gate_step.work(candidate, incumbent, rows, ground)

        judged = self.steps.do("gate", key, work, lambda row: row)
        if judged.facts.get("tested"):
            served = [interaction for row in rows.gate() for interaction in row.interactions]
            self.evidence.use_up(served, key)
        return judged

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
            self.steps.do("release", input_hash(version.sha256, self.run_id), work, lambda row: row)
        if self.config.hub.push_on_promote:
            from strop.pushed import publish  # most homes never publish: nothing of it is loaded then

            report = Path(verdict.output)
            self.pushed = publish(self.home, self.config, version, self.steps, self.run_id, report, self.on_progress)

    def report(self, version: Version, rows: Dataset, verdict: StepRow) -> Judged:
        """Close the night and say what it came to."""
        self.close(version, verdict)
        live = self.versions.live()
        return Judged(
            str(verdict.facts["outcome"]),
            tuple(map(str, verdict.facts["reasons"])),
            self.feedback,
            rows.counts,
            rows.excluded,
            self.versions.get(version.tag),
            live.tag if live else "",
            Path(verdict.output),
            self.pushed,
        )

    def close(self, version: Version, verdict: StepRow) -> None:
        """The candidate's fate, and the row by which the next night knows that this was judged.

        A candidate that waits for a person's word (`strop judge`) stays certified; an older one waits no longer. Old
        versions give their space back.
        """
        outcome, reasons = str(verdict.facts["outcome"]), list(map(str, verdict.facts["reasons"]))
        if outcome != "promote" and not verdict.facts.get("to_judge"):
            self._refuse(version.tag, {"outcome": outcome, "reasons": reasons})
        for older in self.versions.list():
            if 0 < older.number < version.number:
                self._refuse(older.tag, {"outcome": "undecided", "reasons": [f"{version.tag} came after it"]})
        prune_quietly(self.home, self.target)
        out = Path(verdict.output)
        self.steps.do("report", self.judged_key, lambda: Done(out, "", {"outcome": outcome}), lambda row: row)

    def _refuse(self, tag: str, evidence: Mapping[str, Any]) -> None:
        if self.versions.get(tag).state == "certified":
            self.versions.set_state(tag, "refused", evidence)
