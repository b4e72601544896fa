"""What `forget` removes of everything that was made of forgotten feedback: step by step, each safe to repeat.

    (rows out) ─▶ the ledger's free pages ─▶ a rebuild is due ─▶ datasets, reports, measurements, logs, jobs, steps ─▶
    adapters ─▶ another version live ─▶ Ollama tags, versions `forgotten`, builds

What is to be done is written down first, in forgetting.json: ids and names of folders, no texts. It goes last, so that
whoever comes after a kill goes on with it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from strop import jobs
from strop.built_files import remove_builds, take_out
from strop.config import Config
from strop.deploy.release import repair, rollback
from strop.deploy.states import GONE, UNREFUTED
from strop.deploy.versions import Version, Versions
from strop.errors import StropError
from strop.feedback import Ledger
from strop.feedback.forget import sweep
from strop.feedback.selected import Chosen
from strop.files import DamagedFolder, read_manifest, write_json
from strop.home import Home
from strop.journal import Journal
from strop.nightsteps import MEASURED
from strop.provenance import Made, size_bytes
from strop.schedule import want_rebuild
from strop.target import open_target
from strop.trainer import runs

AGAIN = "strop feedback forget"
_WHY = "feedback that it was made of was forgotten"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was taken out: rows by table, names of the rest, and which version users got before and get now."""

    rows: Mapping[str, int]
    made: Made
    tags: tuple[str, ...]
    logs: tuple[str, ...]
    measurements: int
    steps: int
    freed_bytes: int
    live_before: str | None
    live_after: str | None
    rebuild: bool

    @property
    def sentence(self) -> str:
        """The figures in one line."""
        counts = {**self.rows, **{name: len(names) for name, names in self.made.as_dict().items()}}
        counts |= {"Ollama tags": len(self.tags), "logs": len(self.logs), "measurements": self.measurements}
        said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
        return f"forgotten: {said or 'no rows'}; {self.freed_bytes / 1e6:.1f} MB freed"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "rows": dict(self.rows),
            **self.made.as_dict(),
            "tags": list(self.tags),
            "logs": list(self.logs),
            "measurements": self.measurements,
            "steps": self.steps,
            "bytes_freed": self.freed_bytes,
            "live": {"before": self.live_before, "after": self.live_after},
            "rebuild_queued": self.rebuild,
        }

    def after(self, earlier: "Receipt | None") -> "Receipt":
        """Both together, where an earlier call's work was finished first."""
        if earlier is None:
            return self
        return Receipt(
            rows=dict(Counter(earlier.rows) + Counter(self.rows)),
            made=earlier.made.with_(self.made),
            tags=(*earlier.tags, *self.tags),
            logs=(*earlier.logs, *self.logs),
            measurements=earlier.measurements + self.measurements,
            steps=earlier.steps + self.steps,
            freed_bytes=earlier.freed_bytes + self.freed_bytes,
            live_before=earlier.live_before,
            live_after=self.live_after,
            rebuild=earlier.rebuild or self.rebuild,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What one call has decided to take out, how it was chosen (`detail`, for the event), and by whom."""

    chosen: Chosen
    made: Made
    detail: Mapping[str, Any]
    who: str

    def write(self, home: Home) -> None:
        """On disk when this returns."""
        data = {"chosen": self.chosen.as_dict(), "made": self.made.as_dict(), "detail": self.detail, "who": self.who}
        write_json(home.forgetting_file, data)

    @classmethod
    def read(cls, home: Home) -> Self | None:
        """None where nothing is left to do."""
        try:
            data = json.loads(home.forgetting_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(Chosen.from_dict(data["chosen"]), Made.from_dict(data["made"]), data["detail"], data["who"])


@dataclass(slots=True)
class Job:
    """Work under way. `in_night`: a night asks, which is itself the rebuild."""

    home: Home
    config: Config
    work: Work
    in_night: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    measurements: int = 0
    steps: int = 0
    freed_bytes: int = 0

    @property
    def made(self) -> Made:
        """What was made of the rows."""
        return self.work.made

    def remove(self, path: Path) -> None:
        """A file or a whole folder; none there is fine too."""
        self.freed_bytes += take_out(path)


def carry_out(job: Job) -> Receipt:
    """Every step, in order. Raises what a step raises, saying what is left to do."""
    live = Versions(job.home.state_db).live() if job.home.state_db.exists() else None
    left = [name for name, _ in _STEPS]
    for name, step in _STEPS:
        try:
            step(job)
        except (StropError, OSError) as error:
            raise _unfinished(error, left) from error
        left.remove(name)
    after = Versions(job.home.state_db).live() if job.home.state_db.exists() else None
    job.home.forgetting_file.unlink(missing_ok=True)
    return Receipt(
        rows=job.rows,
        made=job.made,
        tags=tuple(job.tags),
        logs=tuple(job.logs),
        measurements=job.measurements,
        steps=job.steps,
        freed_bytes=max(job.freed_bytes, 0),
        live_before=live.tag if live else None,
        live_after=after.tag if after else None,
        rebuild=bool(job.made.versions) and not job.in_night,
    )


def _unfinished(error: StropError | OSError, left: Iterable[str]) -> StropError:
    """The same error with what is left to do."""
    said = f"{error}; the rows are gone from the ledger, left to do: {', '.join(left)}"
    if isinstance(error, OSError):
        return StropError(said, hint=AGAIN)
    return type(error)(said, hint=f"{error.hint}; then: {AGAIN}" if error.hint else AGAIN)


def _sweep_ledger(job: Job) -> None:
    with Ledger.open(job.home.ledger_db) as ledger:
        sweep(ledger)
    job.freed_bytes -= size_bytes(job.home.ledger_db)


def _queue_rebuild(job: Job) -> None:
    if job.made.versions and not job.in_night:
        want_rebuild(job.home)


def _remove_texts(job: Job) -> None:
    """Reports, measurements, logs, jobs, steps and datasets, and what a killed night left half-made."""
    home = job.home
    for log in [*home.path.glob("*.log"), home.path / "logs"]:
        if log.exists():
            job.logs.append(log.name)
            job.remove(log)
    for folder in jobs.take_out_texts(home):
        job.logs.append(f"jobs/{folder.name}")
        job.remove(folder)
    if job.made:
        job.measurements = len(list((home.reports / MEASURED).glob("*.json")))
        job.remove(home.reports / MEASURED)
    if home.state_db.exists():
        with Journal(home.state_db) as journal:
            job.steps = journal.forget_steps(_outputs(home, job.made))
    for path in _below(home.reports, job.made.reports) + _below(home.datasets, job.made.datasets):
        job.remove(path)
    for half in _half_made(home):
        job.remove(half)


def _remove_adapters(job: Job) -> None:
    for path in _below(job.home.adapters, job.made.adapters):
        job.remove(path)
    # What a cut run has learned so far: nothing says from which rows, so none of it stays.
    for folder in filter(Path.is_dir, job.home.runs.glob("*")):
        size = size_bytes(folder)
        job.freed_bytes += size if runs.remove(folder) else 0


def _remove_versions(job: Job) -> None:
    """Users first, then the tags, the rows and the files."""
    gone = set(job.made.versions)
    if gone:
        target = open_target(job.home, job.config)
        versions = Versions(job.home.state_db)
        if affected_live(job.home, job.made) is not None:
            evidence = {"reason": _WHY, "who": job.work.who}
            rollback(versions, target, job.home.release_lock, heir(versions, job.made).tag, evidence)
        if target.kind == "ollama":
            repair(versions, target, job.home.release_lock)
            _remove_tags(job, target, versions)
        for version in versions.list():
            if version.tag in gone:
                versions.set_state(version.tag, "forgotten", {"reason": _WHY, "who": job.work.who})
    _remove_builds(job)


def _remove_tags(job: Job, target: Any, versions: Versions) -> None:
    """Those of earlier calls as well, which may have been made with other settings."""
    for version in versions.list():
        if version.tag in job.made.versions or version.state in GONE:
            target.remove(version)
            if version.tag in job.made.versions:
                job.tags.append(target.name_of(version))


def _remove_builds(job: Job) -> None:
    home = job.home
    hashes = [_served_sha256(path) for path in _below(home.builds, job.made.builds)]
    if home.state_db.exists():
        hashes += [one.sha256 for one in Versions(home.state_db).list() if one.tag in job.made.versions]
    job.freed_bytes += remove_builds(home, _below(home.builds, job.made.builds), filter(None, hashes))


# In this order, and each may be done again. What holds texts goes before what needs a server.
_STEPS: tuple[tuple[str, Callable[[Job], None]], ...] = (
    ("the ledger's free pages and copies", _sweep_ledger),
    ("queueing a rebuild", _queue_rebuild),
    ("datasets, reports and logs", _remove_texts),
    ("adapters", _remove_adapters),
    ("versions and builds", _remove_versions),
)


def affected_live(home: Home, made: Made) -> Version | None:
    """The live version where it is one of these."""
    live = Versions(home.state_db).live() if made.versions else None
    return live if live is not None and live.tag in made.versions else None


def heir(versions: Versions, made: Made) -> Version:
    """What users get instead: the newest version that is free of it and was not turned down, at last the base."""
    free = (one for one in versions.list() if one.tag not in made.versions)
    return max((one for one in free if one.state in UNREFUTED or one.number == 0), key=lambda one: one.number)


def _below(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names]


def _outputs(home: Home, made: Made) -> list[Path]:
    """What steps wrote that is gone."""
    return [
        *_below(home.datasets, made.datasets),
        *_below(home.adapters, made.adapters),
        *_below(home.builds, made.builds),
        *_below(home.reports, made.reports),
    ]


def _half_made(home: Home) -> list[Path]:
    """Folders and files that a killed night did not finish: their names begin with a dot. Those of a tune stay."""
    found = [path for folder in (home.datasets, home.reports) for path in folder.glob(".*")]
    found += [path for folder in (home.adapters, home.builds) for path in folder.glob(".*")]
    return [path for path in found if not path.name.startswith((".tune-", ".base-"))]


def _served_sha256(folder: Path) -> str | None:
    try:
        return str(read_manifest(folder)["files"]["model.gguf"]["sha256"])
    except (DamagedFolder, KeyError):
        return None
