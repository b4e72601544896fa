"""`strop report`: the newest night's report, or a named one; never a file that is not one of them."""

import re
import webbrowser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from strop import morning
from strop.config import Config
from strop.errors import UsageError
from strop.evaluation import ItemResult, Policy, decide
from strop.evaluation.report import Report
from strop.home import Home
from strop.journal import Journal

Strop = Callable[..., Any]
OLD, NEW = "20260101T030000Z-aaaaaa", "20260102T030000Z-bbbbbb"


def leave(home: Home, run: str) -> Path:
    """What a night that ended undecided leaves; returns its Markdown's path."""
    case = morning.Case((ItemResult("wanted", "w", "c", "wanted", 1.0, 0.0),), Policy())
    report = Report(case.verdict(), run=run, started=datetime(2026, 1, 1, tzinfo=UTC))
    left = morning.write(home, report, case, {"incumbent": "v0000-00000000"})
    assert len(left.output_hash) == 64
    assert (left.facts["outcome"], left.facts["tested"], left.facts["incumbent"]) == (
        "undecided",
        False,
        "v0000-00000000",
    )
    return left.output


@pytest.fixture
def made(tmp_path: Path) -> Home:
    """A home with two reports; the journal knows the run of neither."""
    home = Home(tmp_path / "home").ensure()
    leave(home, OLD)
    leave(home, NEW)
    (home.reports / f".{NEW}.md").write_text("half-made", encoding="utf-8")
    (home.path / "secret.md").write_text("not a report", encoding="utf-8")
    return home


def test_the_newest_report_is_printed(made: Home, strop: Strop) -> None:
    told = strop(made, "report")
    assert told.code == 0
    assert told.out == (made.reports / f"{NEW}.md").read_text(encoding="utf-8")
    assert told.out.startswith("# Undecided")
    assert told.err == f"hint: strop report {NEW} --open\n"


def test_all_its_files_are_for_this_user_alone(made: Home) -> None:
    files = list(made.reports.glob(f"{OLD}.*"))
    kinds = {".md", ".html", ".results.jsonl", ".history.jsonl", ".policy.json"}
    assert {path.name.removeprefix(OLD) for path in files} == kinds
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert "Undecided" in (made.reports / f"{OLD}.html").read_text(encoding="utf-8")


def test_json_names_the_files(made: Home, strop: Strop) -> None:
    found = strop(made, "report", OLD, "--json").json
    paths = {name: str(made.reports / f"{OLD}{end}") for name, end in morning_files.items()}
    assert found == {"schema_version": 1, "run": OLD, "outcome": None, **paths}
    (made.reports / f"{OLD}.html").unlink()
    (made.reports / f"{OLD}.results.jsonl").unlink()
    found = strop(made, "report", OLD, "--json").json
    assert (found["html"], found["results"]) == (None, None)


morning_files = {"html": ".html", "markdown": ".md", "results": ".results.jsonl"}


def test_the_outcome_is_the_journals_and_a_resumed_run_has_the_report_of_the_first(made: Home, strop: Strop) -> None:
    with Journal(made.state_db) as journal:
        first, again = journal.start_run("manual", ""), ""
        path = leave(made, first)
        gate = journal.start_step(first, "gate", "x")
        journal.finish_step(gate, output=path, seconds=1.0, facts={"outcome": "undecided"})
        again = journal.start_run("manual", "")
        told = journal.start_step(again, "report", "y")
        journal.finish_step(told, output=path, seconds=1.0)
    for run in (first, again):
        found = strop(made, "report", run, "--json").json
        assert (found["run"], found["outcome"], found["markdown"]) == (first, "undecided", str(path))


def test_without_a_report_there_is_nothing_to_show(tmp_path: Path, strop: Strop) -> None:
    home = Home(tmp_path / "home")
    told = strop(home, "report")
    assert told.code == 10
    assert told.err.splitlines() == ["error: no night has left a report in this home", "hint: strop night"]
    assert not home.path.exists()


@pytest.mark.parametrize("name", ["../secret", "nope", "", ".", f".{NEW}", f"{OLD}.md", "/etc/passwd", "*"])
def test_a_name_that_is_no_report_is_never_a_path(name: str, made: Home, strop: Strop) -> None:
    told = strop(made, "report", name)
    assert told.code == 2
    assert told.out == ""
    assert f"there are: {NEW}, {OLD}" in told.err
    assert f"hint: strop report {NEW}" in told.err


def test_many_reports_are_not_all_named(made: Home) -> None:
    for day in range(3, 9):
        leave(made, f"2026010{day}T030000Z-cccccc")
    with pytest.raises(UsageError, match="there are: 20260108T030000Z-cccccc, .* and 3 older"):
        morning.find(made, "nope")


def test_open_shows_the_page_and_says_where_it_is(made: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    told = strop(made, "report", "--open")
    page = made.reports / f"{NEW}.html"
    assert (told.code, told.out, told.err) == (0, "", f"opening {page}\n")
    assert opened == [page.as_uri()]
    assert strop(made, "report", OLD, "--open", "--json").json["run"] == OLD
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    told = strop(made, "report", "--open")
    assert told.code == 30
    assert str(page) in told.err.splitlines()[-1]
    page.unlink()
    told = strop(made, "report", "--open")
    assert (told.code, told.err.splitlines()[-1]) == (1, f"hint: strop report {NEW}")


def test_what_a_report_says_of_its_night(tmp_path: Path) -> None:
    config = Config()
    rows = SimpleNamespace(
        counts={"sft": 40, "dpo": 30, "gate": 20, "kto": 9, "held": 7}, excluded={"too_long": 1}, warnings=()
    )
    with Journal(tmp_path / "state.db") as journal:
        run = journal.start_run("manual", "")
        journal.finish_step(journal.start_step(run, "pairs", "x"), seconds=2.0)
        journal.finish_step(journal.start_step(run, "certify", "x"), seconds=3.0)
        journal.start_step(run, "gate", "x")
        said = morning.about(journal, run, config, rows, 60.0)  # type: ignore[arg-type]
    report = Report(decide([], Policy()), **said)
    assert report.seconds == {"pairs": 2.0, "train": None, "build": None, "certify": 3.0, "gate": 60.0}
    assert report.learned == {"sft": 40, "dpo": 30, "gate": 20, "held": 7}
    assert re.match("0: all of it ran on this machine", report.cost)
    assert report.run == run
    assert report.started is not None


def test_a_remote_ollama_is_not_this_machine() -> None:
    ollama = {"host": "http://10.0.0.7:11434", "allow_remote": True}
    config = Config.model_validate({"target": "ollama", "ollama": ollama})
    assert "and on the Ollama at http://10.0.0.7:11434" in morning._cost(config)
