"""What was forgotten is in no file of the home and in no server, whatever happens on the way; the rest stays.

Homes with several versions are made by hand (real ledger, datasets, manifests, versions and GGUF files, no training);
one real night trains on a marked text.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from strop import audit, built_files, forget, judge, night, nightsteps, removal, schedule
from strop.config import load, save
from strop.demo.person import wishes
from strop.deploy.adapter import adapter_sha256
from strop.deploy.release import release, rollback
from strop.deploy.versions import Version, Versions
from strop.errors import Locked, NothingToDo, StropError, TrainingFailed, UsageError
from strop.feedback import FeedbackCollector, Interaction, Ledger, Message, Signal, dataset, reviews, standing_data
from strop.feedback.rows import Rows
from strop.feedback.selected import Selector
from strop.feedback.triggers import Trigger
from strop.files import sha256_bytes, sha256_file, whole_folder, write_json, write_manifest
from strop.home import Home
from strop.journal import Journal
from strop.provenance import made_of
from strop.target import open_target

MARK = "Zanzibar-qux-7719"
Strop = Callable[..., Any]
MATCH = Selector("match", (MARK,))


def files_with(home: Home, text: str = MARK) -> list[str]:
    wanted = text.encode()
    return [str(path) for path in home.path.rglob("*") if path.is_file() and wanted in path.read_bytes()]


# A home made by hand


class Shelf:
    """A home with versions made of chosen reactions. `said[n]` is the id of the signal n, 0 the marked one."""

    def __init__(self, home: Home, gguf: Callable[[Path, str], Path], said: Sequence[str] = ()) -> None:
        """A new home, or one that was copied from another Shelf's, which `said` this."""
        self.home, self.gguf = home.ensure(), gguf
        self.versions = Versions(home.state_db)
        self.target = open_target(home, load(home))
        self.said = list(said)
        if not self.said:
            self._begin()

    def _begin(self) -> None:
        with Ledger.open(self.home.ledger_db) as ledger:
            for text in (MARK, "one", "two", "three"):
                asked = ledger.add_interaction(Interaction((Message("user", f"About {text}?"),), f"So, {text}."))
                self.said.append(ledger.add_signal(Signal(asked, "correction", -0.5, f"Better {text}.")))
        base = self._build("base", None)
        self._release(self._add(base, None, number=0, state="certified"))

    def night(self, name: str, signals: Sequence[int], *, outcome: str = "promote") -> Version:
        """As if a night had been: dataset, adapter, build, version, report, journal and what was measured."""
        home, incumbent = self.home, self.versions.live()
        assert incumbent is not None
        folder = home.datasets / f"data-{name}"
        texts = (MARK, "one", "two", "three")
        rows = [
            {
                "prompt": [{"role": "user", "content": f"About {texts[number]}?"}],
                "completion": [{"role": "assistant", "content": f"Better {texts[number]}."}],
                "signals": [self.said[number]],
            }
            for number in signals
        ]
        made = dataset.write(Rows(sft=tuple(rows), dpo=(), gate=()), folder)
        adapter = home.adapters / f"adapter-{name}"
        with whole_folder(adapter) as fresh:
            (fresh / "adapter_config.json").write_text("{}", encoding="utf-8")
            (fresh / "adapter_model.safetensors").write_text(name, encoding="utf-8")
            write_manifest(fresh, {"kind": "adapter", "dataset_sha256": made.sha256})
        built = self._build(f"build-{name}", adapter_sha256(adapter))
        version = self._add(built, adapter_sha256(adapter))
        write_json(home.builds / f"certificate-{version.sha256[:16]}.json", [])
        report = home.reports / f"{name}.md"
        shown = "\n".join(json.dumps(row) for row in rows)
        report.write_text(f"candidate: {version.tag}\ncurrent model: {incumbent.tag}\n{shown}", encoding="utf-8")
        shutil.copy(report, report.with_suffix(".html"))
        report.with_suffix(".results.jsonl").write_text('{"item": "a hash"}\n', encoding="utf-8")
        write_json(home.reports / nightsteps.MEASURED / f"wanted-{name}.json", {"answers": rows})
        (home.path / "train.log").write_text(shown, encoding="utf-8")
        with Journal(home.state_db) as journal:
            run = journal.start_run("manual", "")
            for step, output in {"pairs": folder, "train": adapter, "build": built, "gate": report}.items():
                number = journal.start_step(run, step, name)
                journal.finish_step(number, output=output, seconds=0.1)
            journal.finish_run(run, "promoted")
        if outcome == "promote":
            self._release(version)
        else:
            self.versions.set_state(version.tag, "refused", {"outcome": outcome})
        return version

    def _build(self, name: str, adapter: str | None) -> Path:
        with whole_folder(self.home.builds / name) as fresh:
            self.gguf(fresh / "model.gguf", name)
            write_manifest(fresh, {"kind": "build", "adapter_sha256": adapter})
        return self.home.builds / name

    def _add(self, folder: Path, adapter: str | None, **fields: Any) -> Version:
        file = folder / "model.gguf"
        facts = {"base_ref": "tiny", "quant": "F16", "adapter_sha": adapter, **fields}
        return self.versions.add(gguf=file, sha256=sha256_file(file), folder=folder, **facts)

    def _release(self, version: Version) -> None:
        if version.number:
            self.versions.set_state(version.tag, "certified")
            self.versions.set_state(version.tag, "gated", {"run": "20260101T000000Z-abcdef", "reasons": ["it won"]})
        release(self.versions, self.target, version.tag, self.home.release_lock)

    @property
    def live(self) -> str:
        found = self.versions.live()
        assert found is not None
        return found.tag

    def states(self) -> dict[int, str]:
        return {one.number: one.state for one in self.versions.list()}

    def names(self) -> dict[str, set[str]]:
        """What lies in the home's folders, and the outputs of the journal's steps."""
        found = {
            folder.name: {path.name for path in folder.iterdir()}
            for folder in (self.home.datasets, self.home.adapters, self.home.builds, self.home.reports)
        }
        with Journal(self.home.state_db) as journal:
            steps = [step for run in journal.runs(99) for step in journal.steps(run.id)]
        return {**found, "steps": {Path(step.output).name for step in steps}}

    def forget(self, selector: Selector | None = MATCH, **options: Any) -> removal.Receipt:
        return forget.forget(self.home, load(self.home), selector, **{"live_too": True, **options})


@pytest.fixture
def shelf(tmp_path: Path, fakes: ModuleType) -> Shelf:
    return Shelf(Home(tmp_path / "home"), fakes.tiny_gguf)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Shelf:
    shelf = Shelf(Home(tmp_path_factory.mktemp("made") / "home"), fakes.tiny_gguf)
    shelf.night("free", [1])
    shelf.night("marked", [0, 1])
    shelf.night("live", [0, 1, 2])
    return shelf


@pytest.fixture
def three(made_once: Shelf, tmp_path: Path) -> Shelf:
    """Version 1 is free of the mark; 2 and 3 were made of it, and 3 is live. A copy: the home was moved."""
    shutil.copytree(made_once.home.path, tmp_path / "home")
    return Shelf(Home(tmp_path / "home"), made_once.gguf, made_once.said)


def test_everything_made_of_it_goes_and_nothing_else(three: Shelf) -> None:
    three.night("refused", [0, 3], outcome="keep")
    three.night("later", [3], outcome="undecided")
    assert len(files_with(three.home)) > 6
    free = three.versions.get(1).tag

    receipt = three.forget()

    assert files_with(three.home) == []
    assert three.live == free
    assert three.states() == {0: "replaced", 1: "live", 2: "forgotten", 3: "forgotten", 4: "forgotten", 5: "refused"}
    names = three.names()
    assert names["datasets"] == {"data-free", "data-later"}
    assert names["adapters"] == {"adapter-free", "adapter-later"}
    kept = [three.versions.get(number).sha256[:16] for number in (1, 5)]
    assert names["builds"] == {"base", "build-free", "build-later", *(f"certificate-{one}.json" for one in kept)}
    # The report on 5 shows answers of 3, which was live.
    assert names["reports"] == {"free.md", "free.html", "free.results.jsonl"}
    assert names["steps"] == {
        *("data-free", "adapter-free", "build-free", "free.md"),
        *("data-later", "adapter-later", "build-later"),
    }
    assert not three.home.forgetting_file.exists()
    assert receipt.rows["interactions"] == 1
    assert receipt.made.versions == tuple(three.versions.get(number).tag for number in (2, 3, 4))
    assert (receipt.live_before, receipt.live_after) == (three.versions.get(3).tag, free)
    assert receipt.logs == ("train.log",)
    assert (receipt.measurements, receipt.steps, receipt.rebuild) == (5, 13, True)
    assert receipt.freed_bytes > 0
    previous = three.versions.previous()
    assert previous is not None
    assert previous.number == 0


@pytest.mark.parametrize("kind", [".md", ".html"])
def test_a_report_goes_whole_where_a_part_of_it_was_deleted(kind: str, three: Shelf) -> None:
    (three.home.reports / f"marked{kind}").unlink()
    assert {"marked.md", "marked.html", "marked.results.jsonl"} - set(forget.plan(three.home, MATCH).made.reports) == {
        f"marked{kind}"
    }
    three.forget()
    assert three.names()["reports"] == {"free.md", "free.html", "free.results.jsonl"}


def test_what_names_none_of_it_is_left_alone(three: Shelf) -> None:
    before, live = three.names(), three.live
    with Ledger.open(three.home.ledger_db) as ledger:
        ledger.add_interaction(Interaction((Message("user", "Nobody reacted"),), "To this."))
    receipt = three.forget(Selector("match", ("nobody reacted",)), live_too=False)
    assert (three.names(), three.live) == (before, live)
    assert not receipt.made
    assert not receipt.rebuild
    assert receipt.rows["interactions"] == 1
    assert (three.home.reports / nightsteps.MEASURED).is_dir()


def test_the_base_takes_over_where_no_version_is_free(three: Shelf) -> None:
    three.forget(Selector("match", ("better",)))
    assert three.live == three.versions.get(0).tag
    assert three.states() == {0: "live", 1: "forgotten", 2: "forgotten", 3: "forgotten"}


def test_a_version_that_was_rolled_back_does_not_take_over(three: Shelf) -> None:
    rollback(three.versions, three.target, three.home.release_lock, to="2")
    three.versions.set_state(1, "rolled_back")
    three.forget()
    assert three.live == three.versions.get(0).tag


def test_standing_rows_take_along_what_was_made_of_their_set(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"prompt": "Say {MARK}", "completion": "Yes."}}\n{{"prompt": "Hi", "completion": "Yes."}}\n')
    with Ledger.open(shelf.home.ledger_db) as ledger:
        added = standing_data.add(ledger, file, "house")
    shelf.said.append(standing_data.row_name(added.id, 2))
    shelf.night("standing", [1])
    shelf.said[1] = shelf.said[-1]
    version = shelf.night("more", [1])
    shelf.forget(Selector("match", (f"say {MARK}",)))
    assert shelf.names()["datasets"] == {"data-standing"}
    assert shelf.versions.get(version.tag).state == "forgotten"


def test_what_cannot_be_shown_to_be_free_goes(three: Shelf) -> None:
    (three.home.datasets / "data-free" / "manifest.json").unlink()
    assert len(made_of(three.home, three.said[:1]).versions) == 3
    assert not made_of(three.home, [])


def test_a_dataset_whose_warnings_quote_rows_that_it_does_not_name_goes(three: Shelf) -> None:
    with whole_folder(three.home.datasets / "data-quoting") as fresh:
        said = Trigger(words=MARK, completion="Yes.", signals=(), rows=3).sentence
        write_manifest(fresh, {"sha256": sha256_bytes(b""), "warnings": [said]})
    three.forget()
    assert files_with(three.home) == []


def test_an_adapter_of_somebodys_own_file_stays(three: Shelf) -> None:
    for name, facts in {"own": {"dataset_sha256": None}, "tune-1": {"dataset_sha256": "f" * 64}}.items():
        with whole_folder(three.home.adapters / name) as fresh:
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                (fresh / file).write_text(name, encoding="utf-8")
            write_manifest(fresh, facts)
    three.forget()
    assert three.names()["adapters"] == {"adapter-free", "own", "tune-1"}


def test_what_a_killed_night_left_half_made_goes(three: Shelf) -> None:
    for folder in (three.home.datasets, three.home.adapters, three.home.builds):
        (folder / ".half.x1y2").mkdir()
        (folder / ".half.x1y2" / "sft.jsonl").write_text(MARK, encoding="utf-8")
    three.forget()
    assert files_with(three.home) == []


def test_what_a_failed_step_said_goes(three: Shelf) -> None:
    with Journal(three.home.state_db) as journal:
        run = journal.start_run("manual", "")
        journal.fail_step(journal.start_step(run, "train", "x"), f"cannot read {MARK}")
        journal.finish_run(run, "failed", f"cannot read {MARK}")
    assert str(three.home.state_db) in files_with(three.home)
    three.forget()
    assert files_with(three.home) == []


# Cut short, and finished


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place", range(len(removal._STEPS)))
def test_a_kill_at_any_step_is_finished_by_the_next_call(
    place: int, after: bool, three: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list(removal._STEPS)
    name, step = steps[place]

    def killed(job: removal.Job) -> None:
        if after:
            step(job)
        raise KeyboardInterrupt

    steps[place] = (name, killed)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removal, "_STEPS", tuple(steps))
        three.forget()
    assert three.live.startswith(("v0001", "v0003"))
    assert MARK.encode() not in three.home.forgetting_file.read_bytes()

    three.forget(None)

    assert files_with(three.home) == []
    assert three.states() == {0: "replaced", 1: "live", 2: "forgotten", 3: "forgotten"}
    assert three.names()["datasets"] == {"data-free"}
    assert not three.home.forgetting_file.exists()
    assert [entry.what for entry in audit.entries(three.home)].count("forget") == 1
    with pytest.raises(NothingToDo):
        three.forget(None)


@pytest.mark.parametrize("call", ["take_out", "Work.write", "rmtree", "set_state", "unlink"])
def test_a_kill_inside_a_step_is_finished_too(call: str, three: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time one of these is about to be called for the first, second, ... time."""
    places = {
        "take_out": (forget, "take_out"),
        "Work.write": (forget.Work, "write"),
        "rmtree": (built_files.shutil, "rmtree"),
        "set_state": (Versions, "set_state"),
        "unlink": (Path, "unlink"),
    }
    owner, name = places[call]
    real = getattr(owner, name)
    finished, allowed = False, 0
    while not finished:
        left = [allowed]

        def limited(*args: Any, _left: list[int] = left, **kwargs: Any) -> Any:
            if not _left[0]:
                raise KeyboardInterrupt
            _left[0] -= 1
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, limited)
            try:
                three.forget()
            except KeyboardInterrupt:
                allowed += 1
            except NothingToDo:
                finished = True
            else:
                finished = True
        assert allowed < 200
    assert allowed
    assert files_with(three.home) == []
    assert three.states() == {0: "replaced", 1: "live", 2: "forgotten", 3: "forgotten"}
    assert not three.home.forgetting_file.exists()


def test_the_next_night_finishes_what_was_cut_short(three: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removal, "_STEPS", (("killed", broken(KeyboardInterrupt())),))
        three.forget()
    assert forget.keep_retention(three.home, load(three.home)) is not None
    assert files_with(three.home) == []
    assert forget.keep_retention(three.home, load(three.home)) is None


def test_a_folder_that_cannot_be_removed_is_said_and_tried_again(three: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(built_files.shutil, "rmtree", broken(PermissionError("not yours")))
        with pytest.raises(StropError, match=r"not yours; the rows are gone .* left to do: datasets.*, adapters"):
            three.forget()
    three.forget()
    assert files_with(three.home) == []


def broken(error: BaseException) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    return call


# Consent, locks


def test_the_live_version_needs_a_word(three: Shelf) -> None:
    before = three.names()
    with pytest.raises(UsageError, match="live version v0003"):
        three.forget(live_too=False)
    assert three.names() == before
    assert files_with(three.home)
    assert not three.home.forgetting_file.exists()


def test_while_a_night_runs_nothing_is_begun(three: Shelf) -> None:
    before = files_with(three.home)
    with FileLock(three.home.night_lock), pytest.raises(Locked):
        three.forget()
    assert files_with(three.home) == before


def test_an_empty_home_has_nothing_to_forget(tmp_path: Path) -> None:
    home = Home(tmp_path / "none")
    with pytest.raises(NothingToDo):
        forget.forget(home, load(home), MATCH)
    assert not home.path.exists()


# Ollama


@pytest.fixture
def on_ollama(tmp_path: Path, fakes: ModuleType, fake_ollama: Any) -> Shelf:
    home = Home(tmp_path / "home").ensure()
    save(home, {"target": "ollama", "ollama.host": fake_ollama.host})
    shelf = Shelf(home, fakes.tiny_gguf)
    shelf.night("free", [1])
    shelf.night("live", [0, 1])
    return shelf


def test_tags_of_versions_made_of_it_go_after_the_alias_has_moved(on_ollama: Shelf, fake_ollama: Any) -> None:
    free, gone = (f"strop:{on_ollama.versions.get(number).tag}" for number in (1, 2))
    assert fake_ollama.digests["strop:latest"] == fake_ollama.digests[gone]
    receipt = on_ollama.forget()
    assert receipt.tags == (gone,)
    assert gone not in fake_ollama.digests
    assert fake_ollama.digests["strop:latest"] == fake_ollama.digests[free]
    assert on_ollama.live == on_ollama.versions.get(1).tag


def test_an_alias_that_somebody_moved_does_not_keep_a_tag_alive(on_ollama: Shelf, fake_ollama: Any) -> None:
    gone = f"strop:{on_ollama.versions.get(2).tag}"
    rollback(on_ollama.versions, on_ollama.target, on_ollama.home.release_lock)
    fake_ollama.digests["strop:latest"] = fake_ollama.digests[gone]
    on_ollama.forget()
    assert gone not in fake_ollama.digests


def test_without_its_server_it_says_what_is_left_and_the_next_call_does_it(
    on_ollama: Shelf, fake_ollama: Any, strop: Strop
) -> None:
    save(on_ollama.home, {"ollama.host": "http://127.0.0.1:9"})
    told = strop(on_ollama.home, "feedback", "forget", "--match", MARK, "--yes")
    assert told.code == 30
    assert "left to do: versions and builds" in told.err
    assert "ollama serve; then: strop feedback forget" in told.err
    assert files_with(on_ollama.home) == []
    assert on_ollama.live == on_ollama.versions.get(2).tag
    assert strop(on_ollama.home, "feedback", "forget").code == 30

    save(on_ollama.home, {"ollama.host": fake_ollama.host})
    assert strop(on_ollama.home, "feedback", "forget", "--match", MARK, "--yes").code == 0
    assert f"strop:{on_ollama.versions.get(2).tag}" not in fake_ollama.digests
    assert on_ollama.states() == {0: "replaced", 1: "live", 2: "forgotten"}


@pytest.mark.parametrize("fault", ["POST /api/copy", "DELETE /api/delete"])
def test_a_server_that_fails_half_way_is_asked_again(
    fault: str, on_ollama: Shelf, fake_ollama: Any, fakes: ModuleType
) -> None:
    fake_ollama.faults[fault] = fakes.failing(500)
    with pytest.raises(StropError, match="left to do: versions"):
        on_ollama.forget()
    assert on_ollama.versions.get(2).state != "forgotten"
    del fake_ollama.faults[fault]
    on_ollama.forget()
    assert on_ollama.states() == {0: "replaced", 1: "live", 2: "forgotten"}
    assert f"strop:{on_ollama.versions.get(2).tag}" not in fake_ollama.digests


# A rebuild, and retention


def test_a_rebuild_is_due_at_once_and_once(three: Shelf) -> None:
    config = load(three.home)
    assert not schedule.due(three.home, config).due
    before = schedule.due(three.home, config).opened
    three.forget()
    found = schedule.due(three.home, config)
    assert found.due
    assert "a rebuild was asked for" in found.reason
    assert found.opened > before
    with Journal(three.home.state_db) as journal:
        journal.finish_run(journal.start_run("schedule", ""), "undecided")
    assert not schedule.due(three.home, config).due
    assert schedule.due(three.home, config, datetime.now(UTC) + timedelta(days=1)).due


def test_a_resident_scheduler_starts_the_rebuild_too(three: Shelf) -> None:
    ran: list[int] = []

    def command(home: Home) -> list[str]:
        ran.append(1)
        with Journal(home.state_db) as journal:
            journal.finish_run(journal.start_run("schedule", ""), "kept")
        return ["true"]

    with Journal(three.home.state_db) as journal, journal._writing():
        journal._db.execute("DELETE FROM steps")
        journal._db.execute("DELETE FROM runs")
    ticker = schedule.Ticker(three.home, lambda: load(three.home), command)
    assert ticker.run_if_due() == 0
    assert ticker.run_if_due() is None
    three.forget()
    assert ticker.run_if_due() == 0
    assert ticker.run_if_due() is None
    assert len(ran) == 2


def test_a_night_begins_with_forgetting_what_is_too_old(three: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forget.keep_retention(three.home, load(three.home)) is None
    save(three.home, {"retention.days": 30})
    assert forget.keep_retention(three.home, load(three.home)) is None

    later = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(days=31))
    monkeypatch.setattr(forget, "datetime", later)
    monkeypatch.setattr(nightsteps, "need_training_packages", lambda: None)
    with pytest.raises(StropError, match="the ledger is empty"):
        night.run(three.home, load(three.home), on_progress=lambda *args: None)
    assert files_with(three.home) == []
    assert three.live == three.versions.get(0).tag
    (entry,) = [entry for entry in audit.entries(three.home) if entry.what == "forget"]
    assert (entry.who, entry.about, entry.detail["rows"]["interactions"]) == ("retention", "age", 4)
    assert not three.home.rebuild_file.exists(), "the night itself is the rebuild"


@pytest.mark.parametrize("days", ["0", "-1", '"x"'])
def test_retention_of_no_days_is_refused(days: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    home.config_file.write_text(f"[retention]\ndays = {days}\n", encoding="utf-8")
    with pytest.raises(StropError, match=r"retention\.days"):
        load(home)


# The command line


def test_the_command_prints_a_receipt(three: Shelf, strop: Strop) -> None:
    told = strop(three.home, "feedback", "forget", "--match", MARK, "--yes", "--json")
    assert told.code == 0
    found = told.json
    assert found["rows"]["interactions"] == 1
    assert (found["datasets"], found["adapters"]) == (["data-live", "data-marked"], ["adapter-live", "adapter-marked"])
    assert found["builds"] == ["build-live", "build-marked"]
    assert found["live"] == {"before": three.versions.get(3).tag, "after": three.versions.get(1).tag}
    assert found["rebuild_queued"] is True
    assert found["bytes_freed"] > 0
    assert "hint: strop night" in told.err
    again = strop(three.home, "feedback", "forget", "--match", MARK, "--yes")
    assert (again.code, again.out) == (10, "")


def test_a_dry_run_changes_nothing(three: Shelf, strop: Strop) -> None:
    before = three.names()
    told = strop(three.home, "feedback", "forget", "--match", MARK, "--dry-run", "--json")
    assert told.code == 0
    assert told.json["chosen"] == {"interactions": 1, "signals": 1, "standing": 0, "repeats": 0}
    assert told.json["live"] == {"before": three.versions.get(3).tag, "after": three.versions.get(1).tag}
    assert three.names() == before
    plain = strop(three.home, "feedback", "forget", "--match", MARK, "--dry-run")
    assert f"the live model {three.live} was made of it: {three.versions.get(1).tag} takes its place" in plain.out


def test_off_a_terminal_the_live_model_needs_yes(three: Shelf, strop: Strop) -> None:
    told = strop(three.home, "feedback", "forget", "--match", MARK)
    assert told.code == 2
    assert f"the live model {three.live}" in told.err
    assert f"strop feedback forget --match {MARK} --yes" in told.err
    assert files_with(three.home)
    rollback(three.versions, three.target, three.home.release_lock, to="1")
    assert strop(three.home, "feedback", "forget", "--match", MARK).code == 0


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 10)])
def test_at_a_terminal_it_asks(
    answer: bool, code: int, three: Shelf, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop.cli import forget as command
    from strop.cli import output

    monkeypatch.setattr(command, "_at_terminal", lambda: True)
    monkeypatch.setattr(output.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(output.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(output.typer, "confirm", lambda *args, **kwargs: answer)
    told = strop(three.home, "feedback", "forget", "--match", MARK)
    assert told.code == code
    assert "versions: v0002" in told.err
    assert bool(files_with(three.home)) is not answer


@pytest.mark.parametrize(
    "arguments", [(), ("--user", "ann", "--match", "x"), ("--id", ""), ("--match", " "), ("--older-than", "0")]
)
def test_wrong_calls_are_usage_errors(arguments: Sequence[str], three: Shelf, strop: Strop) -> None:
    assert strop(three.home, "feedback", "forget", *arguments).code == 2
    assert files_with(three.home)


def test_ids_users_sessions_and_age_select_too(three: Shelf, strop: Strop) -> None:
    with FeedbackCollector(three.home.ledger_db) as collector:
        anns = collector.record(prompt="Ann asks", answer="Yes.", user="ann")
        session = collector.record(prompt="In a session", answer="Yes.", session="s-1")
        both = [collector.record(prompt=f"By id {number}", answer="Yes.") for number in range(2)]
    for arguments, count in (
        (("--user", "ann"), 1),
        (("--session", "s-1"), 1),
        (("--id", both[0][:9], "--id", both[1]), 2),
    ):
        told = strop(three.home, "feedback", "forget", *arguments, "--json")
        assert (told.code, told.json["rows"]["interactions"]) == (0, count)
    again = strop(three.home, "feedback", "forget", "--id", both[1])
    assert (again.code, "was forgotten before" in again.err) == (10, True)
    assert strop(three.home, "feedback", "forget", "--id", "abc").code == 2
    assert strop(three.home, "feedback", "forget", "--older-than", "1").code == 10
    with Ledger.open(three.home.ledger_db) as ledger:
        left = {one.id for one, _ in ledger.iterate()}
    assert left.isdisjoint({anns, session, *both})
    assert len(left) == 4


def test_audit_lists_who_did_what_without_texts(three: Shelf, strop: Strop) -> None:
    with Ledger.open(three.home.ledger_db) as ledger:
        other = next(ledger.iterate())[0].id
        waiting = ledger.add_signal(Signal(other, "note", 0, MARK, user="ann", trust="known"))
        reviews.decide(ledger, waiting, "edit", "kurt", f"{MARK} again")
    three.forget(Selector("match", ("three",)), who="kurt")
    rollback(three.versions, three.target, three.home.release_lock)

    told = strop(three.home, "audit", "--json")

    entries = told.json["entries"]
    assert [entry["time"] for entry in entries] == sorted(entry["time"] for entry in entries)
    acts = {(entry["who"], entry["what"], entry["about"]) for entry in entries}
    live, before = (three.versions.get(number).tag for number in (3, 2))
    assert ("kurt", "review edit", waiting) in acts
    assert ("kurt", "forget", "match") in acts
    assert ("night 20260101T000000Z-abcdef", "approve", live) in acts
    assert ("strop", "release", live) in acts
    assert ("owner", "rollback", before) in acts
    assert MARK not in told.out
    assert len(strop(three.home, "audit", "--json", "--limit", "2").json["entries"]) == 2
    assert strop(three.home, "audit").out.startswith("time (UTC)\twho\twhat")
    assert strop(Home(three.home.path / "none"), "audit", "--json").json["entries"] == []


# A real night


@pytest.fixture
def few_items(nights: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "shipped", nights.shipped())


def _marked(home: Home, count: int) -> None:
    with FeedbackCollector(home.ledger_db) as collector:
        for number, wish in enumerate(wishes()[24 : 24 + count]):
            asked = collector.record(prompt=f"{wish.prompt} ({MARK})", answer=f"Not {number}.")
            collector.rate(asked, "down", source_key=f"mark-{number}")
            collector.correct(asked, f"{wish.answer} {MARK}.", source_key=f"mark-{number}")


# PEFT asks transformers for a property that is on its way out.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_marked_text_is_trained_is_forgotten_and_is_in_no_file(
    home: Home, nights: ModuleType, strop: Strop, few_items: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.correct(home, 24)
    _marked(home, 6)
    real = judge.judged

    def won(*args: Any) -> Any:
        """The real measurements are taken and kept; what the gate hears is that the candidate won."""
        heard = nights.scripted(1.0)(*args)
        return replace(real(*args), results=heard.results, policy=heard.policy)

    monkeypatch.setattr(judge, "judged", won)
    assert strop(home, "night").code == 0
    version = Versions(home.state_db).get(1)
    (rows,) = home.datasets.iterdir()
    assert MARK in (rows / "sft.jsonl").read_text(encoding="utf-8")
    assert MARK in (rows / "gate.jsonl").read_text(encoding="utf-8")
    assert (home.reports / nightsteps.MEASURED).is_dir()

    told = strop(home, "feedback", "forget", "--match", MARK, "--yes", "--json")

    assert told.code == 0
    assert told.json["rows"]["interactions"] == 6
    assert files_with(home) == []
    assert not version.folder.exists()
    assert list(home.adapters.iterdir()) == list(home.datasets.iterdir()) == []
    assert Versions(home.state_db).get("live").number == 0
    assert Versions(home.state_db).get(1).state == "forgotten"
    assert strop(home, "chat", "Hello?").code == 0
    with pytest.raises(TrainingFailed, match="training again"), monkeypatch.context() as patch:
        patch.setattr(nightsteps, "run_child", broken(TrainingFailed("training again")))
        night.run(home, load(home), if_due=True, on_progress=nights.Watch())
    assert files_with(home) == []


# A real Ollama


@pytest.fixture
def real_ollama(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """The address of a real Ollama and the folder of its store. Skips with the reason where there can be none."""
    server = request.getfixturevalue("ollama_server")
    folder = tmp_path / "ollama"
    folder.mkdir()
    try:
        with server.serving(server.program(server.cache_folder()), folder) as host:
            yield host, folder / "models"
    except server.Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.ollama
@pytest.mark.slow
def test_no_blob_of_a_real_ollama_is_left_of_a_forgotten_version(
    real_ollama: tuple[str, Path], home: Home, tmp_path: Path
) -> None:
    host, store = real_ollama
    base = Versions(home.state_db).get(0)

    def gguf(path: Path, name: str) -> Path:
        """The tiny base under a name of its own in the metadata; the marked version's name holds the mark."""
        data = base.gguf.read_bytes()
        place = data.index(b"general.name") + len(b"general.name") + 4
        length = int.from_bytes(data[place : place + 8], "little")
        said = (MARK if name == "build-live" else name).ljust(length + 32).encode()  # the tensors' alignment
        path.write_bytes(data[:place] + len(said).to_bytes(8, "little") + said + data[place + 8 + length :])
        return path

    other = Home(tmp_path / "other").ensure()
    settings = {"ollama.host": host, "ollama.allow_vulnerable": True, "ollama.num_ctx": 256, "ollama.num_thread": 1}
    save(other, {"target": "ollama", **settings})
    shelf = Shelf(other, gguf)
    shelf.night("free", [1])
    shelf.night("live", [0, 1])

    def blobs_with(text: str) -> list[str]:
        return [path.name for path in store.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]

    assert blobs_with(MARK)
    shelf.forget()
    assert blobs_with(MARK) == []
    assert files_with(other) == []
    assert shelf.live == shelf.versions.get(1).tag
    active = shelf.target.active()
    assert active == shelf.live
