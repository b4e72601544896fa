"""`strop evaluate --harness`: other harnesses' figures in the same table, and their failures as failures."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from strop import harness, harness_lighteval
from strop.deploy.versions import Versions
from strop.errors import EvaluationError
from strop.home import Home

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# lm-eval


def test_without_lm_eval_it_says_how_to_get_it(
    strop: Strop, bare: Home, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    said = strop(bare, "evaluate", "--model", str(tiny_base), "--harness", "lm-eval", "--tasks", "x", "--json")
    assert said.code == 30
    assert said.json["error"]["hint"] == "pip install 'strop[lm-eval]'"


def test_lm_evals_figures_become_rows_with_intervals() -> None:
    tiny = {"alias": "tiny", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 1.0, "acc_norm_stderr,none": 0.0}
    text = {"alias": "text", "bleu,none": 12.5, "bleu_stderr,none": "N/A", "exact_match,strict": float("nan")}
    data = {"results": {"tiny": tiny, "text": text}, "items": {"tiny": 12, "text": 3}, "version": "0", "samples": []}
    rows = {row.metric: row for row in harness.read(data).rows}
    assert set(rows) == {"acc", "acc_norm", "bleu"}
    assert (rows["acc"].rate.low, rows["acc"].rate.high) == pytest.approx((0.304, 0.696), abs=1e-3)
    assert rows["acc_norm"].rate.low == pytest.approx(0.757, abs=0.01)  # all right is not surely all right
    assert not rows["bleu"].has_error


TASK = """
task: strop_tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{target}"
generation_kwargs: {{max_gen_toks: 4, until: ["zz"]}}
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]
"""


def own_task(folder: Path, kind: str, metric: str, target: str) -> Path:
    """A folder with a task over ten rows; the right choice, "A", is the first one."""
    folder.mkdir()
    rows = [{"question": f"What is {n}?", "choices": ["A", "B"], "answer": 0} for n in range(10)]
    data = written(folder / "rows.jsonl", rows)
    task = TASK.format(data=data, kind=kind, metric=metric, target=target)
    choices = 'doc_to_choice: "{{choices}}"\n' if kind == "multiple_choice" else ""
    (folder / "task.yaml").write_text(task + choices, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="the extra lm-eval is not installed")
def test_a_task_of_ones_own_runs_offline_on_an_adapter(strop: Strop, bare: Home, adapter: Path, tmp_path: Path) -> None:
    tasks = own_task(tmp_path / "a, b", "multiple_choice", "acc", "{{answer}}")
    call = ("--harness", "lm-eval", "--tasks", "strop_tiny", "--include-path", str(tasks), "--limit", "8", "--json")
    said = strop(bare, "evaluate", "--model", str(adapter), *call, "--items", str(tmp_path / "i.jsonl"))
    assert said.code == 0, said.out
    (row,) = said.json["suites"]
    assert (row["suite"], row["asked"], row["items"]) == ("strop_tiny", "acc", 8)
    assert len((tmp_path / "i.jsonl").read_text(encoding="utf-8").splitlines()) == 8
    unknown = strop(bare, "evaluate", "--model", str(adapter), "--harness", "lm-eval", "--tasks", "hellaswag")
    assert unknown.code == 1
    assert "Hub" in unknown.err


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="the extra lm-eval is not installed")
def test_lm_eval_asks_the_live_version_where_it_is_served(strop: Strop, home: Home, tmp_path: Path) -> None:
    tasks = own_task(tmp_path / "tasks", "generate_until", "exact_match", "A")
    call = ("--harness", "lm-eval", "--tasks", "strop_tiny", "--include-path", str(tasks), "--json")
    said = strop(home, "evaluate", *call)
    assert said.code == 0, said.out
    (row,) = said.json["suites"]
    assert (said.json["model"]["kind"], row["suite"], row["items"]) == ("version", "strop_tiny", 10)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="the extra lm-eval is not installed")
def test_lm_eval_asks_an_endpoint_with_its_token(
    strop: Strop, bare: Home, endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    tasks = own_task(tmp_path / "tasks", "generate_until", "exact_match", "A")
    call = ("--harness", "lm-eval", "--tasks", "strop_tiny", "--include-path", str(tasks), "--json")
    said = strop(bare, "evaluate", "--model", endpoint.url, "--token-env", "MY_TOKEN", *call)
    assert said.code == 0, said.out
    assert said.json["suites"][0]["rate"] == 1.0
    assert set(endpoint.tokens) == {"Bearer sesame"}
    assert "sesame" not in said.out + said.err


# lighteval

_STAND_IN = """
import json, pathlib, sys, urllib.request
args = dict(zip(sys.argv[6::2], sys.argv[7::2]))
model = json.loads(pathlib.Path(sys.argv[4]).read_text())["model_parameters"]
SAY
out = pathlib.Path(args["--output-dir"]) / "results" / model["model_name"]
out.mkdir(parents=True)
figures = {sys.argv[5]: {"em": 0.5, "em_stderr": 0.1}, "all": {"em": 0.5, "em_stderr": 0.1}}
(out / "results_1.json").write_text(json.dumps({"results": figures}))
"""


def stand_in(folder: Path, say: str = "") -> Path:
    """An interpreter that stands for lighteval's: it takes the same call and writes the same file."""
    program = folder / "stand_in.py"
    program.write_text(_STAND_IN.replace("SAY", say), encoding="utf-8")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{program}" "$@"\n', encoding="utf-8")
    python.chmod(0o700)
    return python


def lighteval(strop: Strop, home: Home, *more: str) -> Any:
    call = ("--harness", "lighteval", "--tasks", "mine|0", "--json")
    return strop(home, "evaluate", "--model", "http://127.0.0.1:1/v1", *call, *more)


def test_lighteval_needs_an_environment_and_an_endpoint(
    strop: Strop, bare: Home, tiny_base: Path, tmp_path: Path
) -> None:
    said = lighteval(strop, bare)
    assert said.code == 30
    assert "lighteval[litellm]==0.13.0" in said.json["error"]["hint"]
    python = stand_in(tmp_path)
    call = ("--harness", "lighteval", "--tasks", "x", "--harness-python", str(python))
    assert strop(bare, "evaluate", "--model", str(tiny_base), *call).code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_lightevals_figures_become_rows_and_its_token_is_in_no_argument(
    strop: Strop, bare: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    seen = tmp_path / "seen"
    told = "json.dumps([sys.argv, model, os.environ['OPENAI_API_KEY']])"
    say = f"import os; pathlib.Path({str(seen)!r}).write_text({told})"
    said = lighteval(strop, bare, "--harness-python", str(stand_in(tmp_path, say)), "--token-env", "MY_TOKEN")
    assert said.code == 0, said.out
    (row,) = said.json["suites"]
    assert (row["suite"], row["asked"], row["rate"], row["items"]) == ("mine|0", "em", 0.5, None)
    assert row["low"] == pytest.approx(0.304, abs=1e-3)
    arguments, model, token = json.loads(seen.read_text(encoding="utf-8"))
    assert token == "sesame"
    assert "sesame" not in json.dumps([arguments, model]) + said.out + said.err
    assert (model["base_url"], model["generation_parameters"]["temperature"]) == ("http://127.0.0.1:1/v1", 0)


_ASKS = """
import os
body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}).encode()
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
request = urllib.request.Request(model["base_url"] + "/chat/completions", body, headers)
with urllib.request.urlopen(request) as answer:
    pathlib.Path("SEEN").write_text(json.dumps([model, json.load(answer)]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_version_gets_a_server_with_a_key_of_its_own_for_as_long_as_it_is_asked(
    strop: Strop, home: Home, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    python = stand_in(tmp_path, _ASKS.replace("SEEN", str(seen)))
    call = ("--harness", "lighteval", "--tasks", "mine|0", "--harness-python", str(python), "--json")
    said = strop(home, "evaluate", "--model", "live", *call)
    assert said.code == 0, said.out
    tag = Versions(home.state_db).get(0).tag
    model, answer = json.loads(seen.read_text(encoding="utf-8"))
    assert (said.json["model"]["name"], model["model_name"]) == (tag, f"openai/{tag}")
    assert 0 < answer["usage"]["completion_tokens"] <= 2
    with pytest.raises(URLError):
        urlopen(model["base_url"])


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_an_endpoint_that_wants_no_token_is_asked_without_the_users_own(
    strop: Strop, bare: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    seen = tmp_path / "seen"
    say = f"import os; pathlib.Path({str(seen)!r}).write_text(os.environ['OPENAI_API_KEY'])"
    assert lighteval(strop, bare, "--harness-python", str(stand_in(tmp_path, say))).code == 0
    assert seen.read_text(encoding="utf-8") == "none"  # its client asks nobody without one


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_why_a_request_failed_is_said_without_the_token(
    strop: Strop, bare: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    log = "Error in API call: litellm.APIError: key sesame is wrong, waiting 1.0 seconds before retry 1/1"
    say = f'print("{log}"); print("API call failed after 1 attempts, returning empty response.")'
    said = lighteval(strop, bare, "--harness-python", str(stand_in(tmp_path, say)), "--token-env", "MY_TOKEN")
    assert said.json["error"]["message"].endswith("wrong answers (APIError: key *** is wrong)")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("say", "words"),
    [
        ('print("API call failed after 1 attempts, returning empty response.")', "1 requests failed"),
        ('raise TypeError("Strings must be encoded before hashing")', "Strings must be encoded"),
        ("sys.exit(0)", "no results"),
    ],
)
def test_a_failure_inside_lighteval_is_a_failure(
    say: str, words: str, strop: Strop, bare: Home, tmp_path: Path
) -> None:
    said = lighteval(strop, bare, "--harness-python", str(stand_in(tmp_path, say)))
    assert said.code == 1
    assert words in said.json["error"]["message"]


def test_results_without_figures_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="no figures"):
        harness_lighteval.read({"results": {"x": {"em": float("nan")}}})
