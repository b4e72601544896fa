"""`strop tune`: a file in, a new model out; nothing of the loop is touched. One real training serves all tests here."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import setup, tune
from strop.config import load, save
from strop.deploy.certify import Certificate, Check
from strop.deploy.container import read
from strop.deploy.gguf import TEMPLATE_KEY, metadata
from strop.deploy.targets import llamacpp
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Versions
from strop.errors import UsageError
from strop.files import read_manifest, sha256_file
from strop.home import Home

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]
GOOD = Certificate((Check("top-1 agreement, merge", True, "all agree"),))


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("this must not be reached")


@dataclass(frozen=True)
class Tuned:
    """What one real `tune` made."""

    home: Home
    file: Path
    report: tune.TuneReport
    stages: list[str]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [{"prompt": f"What is number {n}?", "completion": f"It is {n}, and that is all."} for n in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tuned(tiny_base: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A tiny model tuned on 20 rows in an empty home. Do not write to it."""
    folder = tmp_path_factory.mktemp("tuned")
    home, stages = Home(folder / "home"), []
    (folder / "new").mkdir()
    config = load(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp, "_physical_cores", lambda: 1)
        report = tune.tune(
            home,
            config,
            rows,
            model=str(tiny_base),
            to=str(folder / "new" / "mine.gguf"),
            method="auto",
            overrides={"epochs": 8.0, "rank": 4, "learning_rate": 3e-3},
            on_progress=lambda stage, share, text: stages.append(stage),
        )
    return Tuned(home, folder / "new" / "mine.gguf", report, stages)


@pytest.fixture
def known_adapter(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training gives the adapter of `tuned`, at once."""

    def run_child(job: Any, *_: Any) -> dict[str, Any]:
        shutil.copytree(tuned.report.trained.folder, job.out)
        return read_manifest(Path(job.out))

    monkeypatch.setattr(tune, "run_child", run_child)
    monkeypatch.setattr(tune, "certified", lambda *args: GOOD)


@pytest.fixture
def mine(tiny_base: Path, tmp_path: Path) -> tuple[str, ...]:
    """The options of a tune to a new file."""
    return "--model", str(tiny_base), "--to", str(tmp_path / "mine.gguf")


# What it makes


def test_the_file_is_there_whole_and_answers(tuned: Tuned) -> None:
    assert sha256_file(tuned.file) == tuned.report.sha256
    assert tuned.file.stat().st_size == tuned.report.bytes
    assert metadata(read(tuned.file), TEMPLATE_KEY)
    assert [path.name for path in tuned.file.parent.iterdir()] == ["mine.gguf"]
    with LlamaCppTarget(context_tokens=256, slots=1, threads=1).serve_file(tuned.file) as server:
        (answer,) = server.generate([[{"role": "user", "content": "What is number 3?"}]], max_tokens=8)
    assert answer.tokens > 0


def test_the_loss_on_held_out_rows_is_told_before_and_after(tuned: Tuned) -> None:
    held = tuned.report.as_dict()["held_out"]
    assert held["rows"] == 4
    assert held["rows"] + tuned.report.trained.manifest["rows"]["sft"] == 20
    assert held["loss_after"] < held["loss_before"]
    said = f"held-out loss {held['loss_before']:.3f} -> {held['loss_after']:.3f} nats a token ({held['rows']} rows)"
    assert said in tuned.report.sentence


def test_the_report_says_that_nothing_was_judged(tuned: Tuned) -> None:
    assert tuned.report.sentence.endswith("not judged against a live model")
    found = tuned.report.as_dict()
    assert (found["judged"], found["to"]) == ("not judged against a live model", str(tuned.file))
    assert all(check["ok"] for check in found["certificate"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_empty_home_is_enough_and_gets_no_ledger_and_no_version(tuned: Tuned) -> None:
    assert not tuned.home.ledger_db.exists()
    assert not tuned.home.state_db.exists()
    assert not list(tuned.home.builds.glob(".tune-*"))
    order = list(dict.fromkeys(tuned.stages))
    assert [stage for stage in order if stage != "base"] == ["train sft", "build", "certify", "deliver"]


@pytest.mark.usefixtures("known_adapter")
def test_the_loop_of_a_home_in_use_is_left_alone(
    home: Home, nights: ModuleType, rows: Path, tmp_path: Path, strop: Strop, mine: tuple[str, ...]
) -> None:
    nights.correct(home, 5)
    live, ledger = Versions(home.state_db).live(), home.ledger_db.read_bytes()
    told = strop(home, "tune", str(rows), *mine)
    assert told.code == 0
    assert told.out.startswith(f"made {tmp_path / 'mine.gguf'} (")
    assert "not judged against a live model" in told.out
    assert (tmp_path / "mine.gguf").is_file()
    assert (Versions(home.state_db).live(), home.ledger_db.read_bytes()) == (live, ledger)
    assert len(Versions(home.state_db).list()) == 1
    assert nights.last_state(home) == "none"


@pytest.mark.usefixtures("known_adapter")
def test_what_the_file_holds_decides_the_method(
    home: Home, tmp_path: Path, strop: Strop, mine: tuple[str, ...]
) -> None:
    lines = [{"prompt": f"{n}?", "chosen": f"{n}.", "rejected": f"Well, {n}."} for n in range(20)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = strop(home, "tune", str(file), *mine, "--json").json
    assert {choice["name"]: choice["value"] for choice in found["training"]["plan"]}["method"] == "sft+dpo"


# To Ollama


@pytest.mark.usefixtures("known_adapter")
def test_a_new_name_in_ollama_and_never_the_alias(
    home: Home, rows: Path, tiny_base: Path, strop: Strop, fake_ollama: Any
) -> None:
    save(home, {"ollama.host": fake_ollama.host})
    fake_ollama.add("strop:latest", "1" * 64)
    live = dict(fake_ollama.digests)
    told = strop(home, "tune", str(rows), "--model", str(tiny_base), "--to", "ollama:mine", "--json")
    assert (told.code, told.json["to"]) == (0, "ollama:mine")
    assert fake_ollama.weights["mine:latest"] == told.json["sha256"]
    assert {name: digest for name, digest in fake_ollama.digests.items() if name != "mine:latest"} == live
    assert "POST /api/copy" not in fake_ollama.calls
    again = strop(home, "tune", str(rows), "--model", str(tiny_base), "--to", "ollama:mine")
    assert again.code == 2
    assert "Ollama already has a model mine:latest" in again.err


@pytest.mark.parametrize("name", ["strop", "strop:new", "Not a name", ""])
def test_a_name_that_cannot_be_is_refused_before_training(
    name: str, home: Home, rows: Path, strop: Strop, fake_ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(home, {"ollama.host": fake_ollama.host})
    monkeypatch.setattr(tune, "run_child", refuse)
    told = strop(home, "tune", str(rows), "--to", f"ollama:{name}")
    assert told.code == 2
    assert "hint: " in told.err
    assert not fake_ollama.created


def test_an_ollama_that_is_down_or_too_old_is_said_before_training(
    home: Home, rows: Path, strop: Strop, fake_ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "run_child", refuse)
    save(home, {"ollama.host": "http://127.0.0.1:9"})
    down = strop(home, "tune", str(rows), "--to", "ollama:mine")
    assert down.code == 30
    assert "ollama serve" in down.err
    fake_ollama.version = "0.17.0"
    save(home, {"ollama.host": fake_ollama.host})
    old = strop(home, "tune", str(rows), "--to", "ollama:mine")
    assert old.code == 30
    assert "CVE-2026-7482" in old.err
    assert "hint: " in old.err


# What it refuses


@pytest.mark.parametrize("to", ["there.gguf", "mine.bin", "mine", "s3:mine.gguf.x"])
def test_a_destination_that_is_taken_or_none_is_refused_before_training(
    to: str, home: Home, rows: Path, tmp_path: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.gguf").write_bytes(b"mine")
    monkeypatch.setattr(tune, "run_child", refuse)
    told = strop(home, "tune", str(rows), "--to", str(tmp_path / to))
    assert told.code == 2
    assert "hint: " in told.err
    assert (tmp_path / "there.gguf").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "a"}', "line 2, column 'completion' is missing"),
        ('{"prompt": "a", "completion": 3}', "line 2, column 'completion' is a number"),
        ('{"prompt": "a", "completion": " "}', "line 2, column 'completion' is empty"),
        ('{"prompt": "a\\u0000", "completion": "b"}', "line 2, column 'prompt' holds a NUL"),
        ('{"prompt": "a", "completion": "b\\ud800"}', "line 2, column 'completion' holds a lone surrogate"),
        ('{"prompt": "a", ', "line 2 is not JSON"),
        ("[]", "line 2 is not an object"),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(
    line: str, said: str, home: Home, tmp_path: Path, strop: Strop, mine: tuple[str, ...]
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n", encoding="utf-8")
    told = strop(home, "tune", str(file), *mine)
    assert told.code == 2
    assert f"error: bad.jsonl {said}" in told.err
    assert "hint: " in told.err
    assert not list(home.adapters.iterdir())
    assert not (tmp_path / "mine.gguf").exists()


def test_a_file_that_is_not_there_and_a_model_that_nobody_knows(
    home: Home, rows: Path, tmp_path: Path, strop: Strop, mine: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "run_child", refuse)
    assert strop(home, "tune", str(tmp_path / "none.jsonl"), *mine).code == 2
    told = strop(home, "tune", str(rows), "--model", "nobody", "--to", str(tmp_path / "mine.gguf"))
    assert told.code == 30
    assert "no model is called 'nobody'" in told.err


@pytest.mark.usefixtures("known_adapter")
def test_a_build_that_is_not_what_was_trained_is_not_delivered(
    home: Home, rows: Path, tmp_path: Path, strop: Strop, mine: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Certificate((Check("top-1 agreement, merge", False, "3 % agree"),))
    monkeypatch.setattr(tune, "certified", lambda *args: bad)
    told = strop(home, "tune", str(rows), *mine, "--json")
    assert (told.code, told.json["error"]["code"]) == (1, "not_certified")
    assert not (tmp_path / "mine.gguf").exists()
    assert not list(home.builds.glob(".tune-*"))


@pytest.mark.usefixtures("known_adapter")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_copy_that_breaks_off_leaves_no_part_of_a_file(
    error: BaseException,
    home: Home,
    rows: Path,
    tmp_path: Path,
    strop: Strop,
    mine: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = shutil.copyfile

    def half(source: Path, target: Path, **options: Any) -> Any:
        if "mine.gguf" not in Path(target).name:
            return whole(source, target, **options)
        target.write_bytes(source.read_bytes()[:1000])
        raise error

    monkeypatch.setattr(shutil, "copyfile", half)
    told = strop(home, "tune", str(rows), *mine)
    assert told.code == (30 if isinstance(error, OSError) else 130)
    assert ("no space is left" in told.err) == isinstance(error, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.usefixtures("known_adapter")
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    home: Home, rows: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nights: ModuleType
) -> None:
    final = tmp_path / "mine.gguf"
    monkeypatch.setattr(tune, "certified", lambda *args: final.write_bytes(b"theirs") and GOOD)
    with pytest.raises(UsageError, match="exists already"):
        tune.tune(
            home,
            load(home),
            rows,
            model=str(tiny_base),
            to=str(final),
            method="auto",
            overrides={},
            on_progress=nights.Watch(),
        )
    assert final.read_bytes() == b"theirs"


@pytest.mark.usefixtures("known_adapter")
def test_on_a_full_disk_nothing_is_delivered(
    home: Home, rows: Path, tmp_path: Path, strop: Strop, mine: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strop.deploy.build.free_bytes", lambda path: 0)
    told = strop(home, "tune", str(rows), *mine)
    assert told.code == 30
    assert "the disk has 0.0 GB left" in told.err
    assert not (tmp_path / "mine.gguf").exists()


def test_certificates_are_kept_by_the_file_that_they_speak_of(tuned: Tuned) -> None:
    (kept,) = tuned.home.builds.glob("certificate-*.json")
    assert kept.stem == f"certificate-{tuned.report.sha256[:16]}"
    assert setup.certificate_from(json.loads(kept.read_text(encoding="utf-8"))).ok
