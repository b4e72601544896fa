"""Results and tests on the disk: what is read is what was written, and `strop gate decide` says what `decide` says."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from strop.errors import BadResults
from strop.evaluation import ItemResult, Policy, Test, decide
from strop.evaluation.records import as_dict, as_lines, as_policy, read_history, read_policy, read_results

HISTORY = (Test(1, 0.01, ("a", "b"), False, 0.5), Test(2, 0.02, (), True, 1e-9))
LINE = {"suite": "s", "item": "i", "cluster": "c", "kind": "wanted", "candidate": 1.0, "incumbent": 0.0}


def test_what_was_written_is_read_back(tmp_path: Path, scripted):
    results = [*scripted.wanted(3, 2, 1), *scripted.skill(items=5), ItemResult("s", "x", "c", "never", 1, 0, error="e")]
    (tmp_path / "results").write_bytes(as_lines(results))
    (tmp_path / "history").write_bytes(as_lines(HISTORY))
    assert read_results(tmp_path / "results") == tuple(results)
    assert read_history(tmp_path / "history") == HISTORY


def test_a_score_that_is_no_number_is_read_and_decides_nothing(tmp_path: Path):
    file = tmp_path / "results"
    file.write_text(json.dumps(LINE | {"candidate": math.nan}) + "\n\n")
    (result,) = read_results(file)
    assert math.isnan(result.candidate)
    assert decide([result], Policy()).outcome == "undecided"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: the line: Invalid JSON"),
        ("[1]", "line 2: the line: Input should be an object"),
        (json.dumps(LINE | {"colour": "red"}), "line 2: unknown: colour"),
        (json.dumps({**LINE, "candidate": "good"}), "line 2: candidate: Input should be a valid number"),
        (json.dumps({"suite": "s"}), "line 2: item: Field required"),
        ("[" * 100_000, "line 2: the line: "),
        ("\x00", "line 2: the line: "),
    ],
)
def test_a_line_that_is_no_result_is_named(tmp_path: Path, line: str, said: str):
    file = tmp_path / "results"
    file.write_text(json.dumps(LINE) + "\n" + line)
    with pytest.raises(BadResults) as error:
        read_results(file)
    assert said in str(error.value)
    assert "suite, item, cluster" in str(error.value.hint)


def test_no_file_is_said(tmp_path: Path):
    with pytest.raises(BadResults, match="cannot be read"):
        read_results(tmp_path / "none")


def strop(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strop", "--home", str(home), "gate", "decide", *words], capture_output=True, text=True
    )


@pytest.mark.parametrize(("wins", "code"), [(40, 0), (24, 21), (2, 20)])
def test_the_command_says_what_decide_says(tmp_path: Path, scripted, wins: int, code: int):
    results = scripted.wanted(wins, 40 - wins, 3) + scripted.skill() + scripted.never()
    history = [Test(1, 0.01, ("other",), False, 0.5)]
    (tmp_path / "results").write_bytes(as_lines(results))
    (tmp_path / "history").write_bytes(as_lines(history))
    files = "--results", str(tmp_path / "results"), "--history", str(tmp_path / "history")
    done = strop(tmp_path / "home", *files, "--json")
    assert done.returncode == code, done.stderr
    wanted = as_dict(decide(results, Policy(), history))
    assert json.loads(done.stdout) == {"schema_version": 1, **json.loads(json.dumps(wanted))}
    assert strop(tmp_path / "home", *files).stdout.startswith(wanted["outcome"])


def test_what_a_night_asked_lies_beside_its_results_and_is_asked_again(tmp_path: Path, scripted):
    results = scripted.wanted(40, 0) + scripted.skill() + scripted.never()
    recorded, policy = tmp_path / "RUN.results.jsonl", tmp_path / "RUN.policy.json"
    recorded.write_bytes(as_lines(results))
    assert strop(tmp_path / "home", "--results", str(recorded)).returncode == 0
    policy.write_bytes(as_policy(Policy(required=("never/leak", "never/endless"))))
    done = strop(tmp_path / "home", "--results", str(recorded))
    assert (done.returncode, done.stdout) == (21, "undecided\n  - Not measured at all: never/leak.\n")
    other = tmp_path / "other.json"
    other.write_bytes(as_policy(Policy(min_wanted_clusters=41)))
    done = strop(tmp_path / "home", "--results", str(recorded), "--policy", str(other))
    assert "the test needs 41" in done.stdout
    policy.write_text('{"level": "much"}')
    done = strop(tmp_path / "home", "--results", str(recorded))
    assert (done.returncode, "RUN.policy.json is no policy" in done.stderr) == (2, True)


def test_a_policy_is_read_as_it_was_written(tmp_path: Path):
    policy = Policy(level=0.01, suite_budget=700, required=("never/leak",), base_required=True)
    (tmp_path / "policy").write_bytes(as_policy(policy))
    assert read_policy(tmp_path / "policy") == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"colour": 1}',
        '{"required": 3}',
        "\x00",
        "{}",
        '{"level": 0.05}',
        '{"required": [], "base_required": false, "level": "a"}',
        '{"required": [], "base_required": false, "level": 5}',
        '{"required": [], "base_required": false, "suite_alpha": NaN}',
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str):
    (tmp_path / "policy").write_text(text)
    with pytest.raises(BadResults, match="is no policy"):
        read_policy(tmp_path / "policy")
    with pytest.raises(BadResults, match="cannot be read"):
        read_policy(tmp_path / "none")


def test_too_little_is_said_in_json_that_anything_reads(tmp_path: Path, scripted):
    (tmp_path / "results").write_bytes(as_lines(scripted.wanted(1, 0) + scripted.skill() + scripted.never()))
    done = strop(tmp_path / "home", "--results", str(tmp_path / "results"), "--json")
    assert done.returncode == 21
    said = json.loads(done.stdout, parse_constant=pytest.fail)
    assert said["estimates"]["wanted_net"] == {"value": 1.0, "low": None, "high": None, "n": 1}
    assert said["needed"] == 19


def test_the_command_refuses_what_is_no_file_of_results(tmp_path: Path):
    done = strop(tmp_path / "home", "--results", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
