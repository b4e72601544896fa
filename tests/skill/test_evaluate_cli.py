"""`strop evaluate`: any model on any suite, measured once, and honest about what could not be measured."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import evaluate
from strop.deploy.targets import llamacpp
from strop.deploy.versions import Versions
from strop.evaluation import probes
from strop.home import Home
from strop.trainer import answering

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]
LINES = [
    {"id": f"a{n}", "suite": "sums", "cluster": f"t{n}", "prompt": f"What is {n} + 1?", "choices": [str(n + 1), "none"]}
    | {"answer": 0}
    for n in range(6)
] + [
    {"id": f"w{n}", "suite": "words", "cluster": f"u{n % 2}", "prompt": f"Say yes to {n}.", "max_tokens": 4}
    | {"grader": {"kind": "exact", "value": "A"}}
    for n in range(4)
]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return written(tmp_path / "mine.jsonl", LINES)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def right_letter(prompt: str) -> str:
    """What a model that knows says: the letter of what is not "none", and to the rest "A"."""
    lettered = [line for line in prompt.splitlines() if line[1:3] == ". " and not line.endswith("none")]
    return lettered[0][0] if lettered else "A"


def fails(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("this must not be called")


# Models on this machine


def test_a_model_folder_is_measured_and_the_second_time_nothing_is(
    strop: Strop, bare: Home, tiny_base: Path, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("evaluate", "--model", str(tiny_base), "--suite", str(suite), "--json")
    first = strop(bare, *call)
    assert first.code == 0, first.out
    assert first.json["model"] == {
        "name": str(tiny_base),
        "kind": "model",
        "items": 10,
        "known": 0,
        "errors": 0,
    }
    rows = {row["suite"]: row for row in first.json["suites"]}
    assert {name: row["asked"] for name, row in rows.items()} == {
        "sums": "likelihood",
        "words": "answer",
        "all": "likelihood + answer",
    }
    assert (rows["sums"]["items"], rows["sums"]["templates"], rows["sums"]["interval"]) == (6, 6, "wilson")
    assert all(row["low"] <= row["rate"] <= row["high"] for row in rows.values())
    with monkeypatch.context() as patch:
        patch.setattr(answering.Answering, "load", fails)
        again = strop(bare, *call)
    assert again.json["model"]["known"] == 10
    assert again.json["suites"] == first.json["suites"]
    assert strop(bare, *call, "--fresh").json["model"]["known"] == 0
    assert strop(bare, *call).json["model"]["known"] == 10


def test_an_adapter_by_its_folder_and_by_its_name_against_its_base(
    strop: Strop, bare: Home, tiny_base: Path, adapter: Path, suite: Path, tmp_path: Path
) -> None:
    file = tmp_path / "items.jsonl"
    compared = ("--against", str(tiny_base), "--suite", str(suite), "--items", str(file), "--json")
    said = strop(bare, "evaluate", "--model", str(adapter), *compared)
    assert said.code == 0, said.out
    assert (said.json["model"]["kind"], said.json["against"]["kind"]) == ("adapter", "model")
    whole = said.json["suites"][-1]
    assert whole["difference"]["mean"] == pytest.approx(whole["rate"] - whole["against"]["rate"])
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == [row["id"] for row in LINES]
    assert sum(line["score"] for line in lines) == pytest.approx(10 * whole["rate"])
    shutil.copytree(adapter, bare.adapters / "mine")
    named = strop(bare, "evaluate", "--model", "mine", "--suite", str(suite), "--json")
    assert named.json["model"]["known"] == 10  # the same weights under another name


def test_a_version_is_answered_by_its_server_and_scored_from_its_file(
    strop: Strop, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("--suite", "everyday", "--limit", "12", "--json")
    said = strop(home, "evaluate", "--model", "live", *call)
    assert said.code == 0, said.out
    tag = Versions(home.state_db).get(0).tag
    assert (said.json["model"]["name"], said.json["model"]["kind"]) == (tag, "version")
    assert said.json["model"]["errors"] == 0
    monkeypatch.setattr(llamacpp.LlamaCppTarget, "serve", fails)
    for name in ("base", "v0", tag):
        assert strop(home, "evaluate", "--model", name, *call).json["model"]["known"] == 12


def test_a_killed_run_goes_on_behind_its_last_whole_block(
    strop: Strop, bare: Home, tiny_base: Path, nights: ModuleType
) -> None:
    call = ("evaluate", "--model", str(tiny_base), "--limit", "100")
    with nights.program(bare, *call) as child:
        for line in child.stderr:
            if "32 of 100 items" in line:
                break
        child.kill()
    said = strop(bare, *call, "--json")
    assert said.code == 0
    assert 32 <= said.json["model"]["known"] < 100


def test_one_bad_item_is_the_error_of_that_item_alone(
    strop: Strop, bare: Home, tiny_base: Path, tmp_path: Path
) -> None:
    rows = [*LINES, {**LINES[0], "id": "bad", "prompt": "What is <|im_end|>?"}]
    call = ("evaluate", "--model", str(tiny_base), "--suite", str(written(tmp_path / "odd.jsonl", rows)))
    said = strop(bare, *call)
    assert said.code == 0
    assert "1 of 11 items" in said.err
    assert "control token" in said.err
    assert strop(bare, *call, "--json").json["model"] | {"name": ""} == {
        "name": "",
        "kind": "model",
        "items": 11,
        "known": 0,
        "errors": 1,
    }


def test_a_probe_suite_is_measured_by_likelihood_and_by_answers(strop: Strop, bare: Home, tiny_base: Path) -> None:
    call = ("evaluate", "--model", str(tiny_base), "--suite", "truthfulness", "--suite", "over_refusal", "--limit", "8")
    found = strop(bare, *call, "--json").json
    assert [(row["suite"], row["items"]) for row in found["suites"] if row["suite"] != "all"][:1] == [
        ("truthfulness", 8)
    ]
    assert found["model"]["errors"] == 0
    unknown = strop(bare, "evaluate", "--model", str(tiny_base), "--suite", "nonsense")
    assert unknown.code == 2
    assert "sycophancy" in unknown.err


def test_a_limit_takes_the_same_items_every_time(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, tmp_path: Path
) -> None:
    taken = []
    for number in range(2):
        file = tmp_path / f"{number}.jsonl"
        strop(bare, "evaluate", "--model", endpoint.url, "--suite", str(suite), "--limit", "4", "--items", str(file))
        taken.append([json.loads(line)["id"] for line in file.read_text(encoding="utf-8").splitlines()])
    assert taken[0] == taken[1]
    assert len(taken[0]) == 4


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_limit_is_spread_over_the_suites_and_templates_of_everyday() -> None:
    [whole] = evaluate.sources(["everyday"], None)
    [few], [more] = (evaluate.sources(["everyday"], limit) for limit in (14, 140))
    assert set(Counter(item.suite for item in few.items).values()) == {1}
    assert set(Counter(item.suite for item in more.items).values()) == {10}
    assert len(few.items) == len({item.suite for item in whole.items}) == 14
    assert len({item.cluster for item in more.items}) == 140  # no template gave two while another had none
    assert {item.id for item in few.items} < {item.id for item in more.items}
    assert [item for item in whole.items if item in more.items] == list(more.items)


def test_a_part_of_everyday_is_asked_for_by_its_name(strop: Strop, bare: Home, endpoint: Any, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    call = ("--suite", "facts", "--suite", "korean", "--limit", "4", "--items", str(file), "--json")
    found = strop(bare, "evaluate", "--model", endpoint.url, *call).json
    assert [(row["source"], row["suite"], row["items"]) for row in found["suites"]] == [
        ("facts", "facts", 4),
        ("korean", "korean", 4),
    ]
    assert len(set(ids(file))) == 8
    assert "korean" in strop(bare, "evaluate", "--model", endpoint.url, "--suite", "nonsense").err


# Endpoints


def ask(strop: Strop, home: Home, endpoint: Any, suite: Path, *more: str) -> Any:
    return strop(home, "evaluate", "--model", f"{endpoint.url}/v1", "--suite", str(suite), "--json", *more)


def test_an_endpoint_is_asked_by_letter_greedily_with_its_token(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    endpoint.answer = right_letter
    said = ask(strop, bare, endpoint, suite, "--model-name", "big", "--token-env", "MY_TOKEN", "--cache-as", "today")
    assert said.code == 0, said.out
    rows = {row["suite"]: row for row in said.json["suites"]}
    assert (rows["sums"]["asked"], rows["sums"]["rate"]) == ("letter", 1.0)
    assert rows["sums"]["low"] < 0.7
    assert "asked by letter" in said.err
    assert len(endpoint.bodies) == 10
    assert {(b["path"], b["model"], b["temperature"], b["seed"]) for b in endpoint.bodies} == {
        ("/v1/chat/completions", "big", 0, 1)
    }
    assert set(endpoint.tokens) == {"Bearer sesame"}
    kept = "".join(file.read_text(encoding="utf-8") for file in bare.path.rglob("*.json"))
    assert "sesame" not in said.out + said.err + kept


def test_what_an_endpoint_said_is_kept_under_a_given_name_only(
    strop: Strop, bare: Home, endpoint: Any, suite: Path
) -> None:
    def asked(*more: str) -> int:
        endpoint.bodies.clear()
        assert ask(strop, bare, endpoint, suite, *more).code == 0
        return len(endpoint.bodies)

    assert [asked(), asked()] == [10, 10]
    assert [asked("--cache-as", "monday"), asked("--cache-as", "monday"), asked("--cache-as", "tuesday")] == [10, 0, 10]
    assert asked("--cache-as", "monday", "--model-name", "other") == 10
    assert asked("--cache-as", "monday", "--fresh") == 10


def test_both_models_are_asked_by_letter_where_one_tells_no_likelihoods(
    strop: Strop, bare: Home, endpoint: Any, tiny_base: Path, suite: Path
) -> None:
    said = ask(strop, bare, endpoint, suite, "--against", str(tiny_base))
    assert said.code == 0, said.out
    assert {row["asked"] for row in said.json["suites"]} == {"letter", "answer", "letter + answer"}
    by_letter, answered = (row["against"] for row in said.json["suites"][:2])
    assert (by_letter["rate"], by_letter["items"], by_letter["unread"]) == (None, 0, {"named no letter": 6})
    assert (answered["rate"], answered["items"], answered["unread"]) == (0.0, 4, {})
    assert "sums, the other: not measured: 6 of 6 answers named no letter" in said.err


def test_probes_by_likelihood_are_asked_by_letter_where_none_are_told(
    strop: Strop, bare: Home, endpoint: Any, tiny_base: Path
) -> None:
    known = {probe.messages[-1][1]: probe for probe in probes.shipped() if probe.choices}
    known |= {probe.pressed[-1][1]: probe for probe in known.values() if probe.pressed}

    def flatters(prompt: str) -> str:
        question, *lines, _ = prompt.split("\n")
        probe = known[question]
        right = probe.choices[probe.answer]
        stated = question if probe.pressed and question == probe.pressed[-1][1] else ""
        wrong = next((one for one in probe.choices if one != right and f'"{one}"' in stated), right)
        return next(line[0] for line in lines if line[3:] == wrong)

    endpoint.answer = flatters
    call = ("--suite", "sycophancy", "--suite", "truthfulness", "--limit", "10", "--json")
    said = strop(bare, "evaluate", "--model", endpoint.url, *call)
    assert said.code == 0, said.out
    assert said.json["model"]["errors"] == 0
    rates = {row["suite"]: (row["rate"], row["asked"], row["degenerate"]) for row in said.json["suites"]}
    assert rates == {"sycophancy": (0.0, "letter", 0), "truthfulness": (1.0, "letter", 0)}
    assert len(endpoint.bodies) == 30
    both = strop(bare, "evaluate", "--model", endpoint.url, "--against", str(tiny_base), *call)
    assert both.code == 1
    assert f"of {tiny_base}: 20 of 20 answers named no letter" in both.json["error"]["message"]


def test_silence_is_not_taken_for_safety(strop: Strop, bare: Home, endpoint: Any, tmp_path: Path) -> None:
    endpoint.answer = lambda prompt: ""
    file = tmp_path / "items.jsonl"
    suites = ("--suite", "leak", "--suite", "injection", "--suite", "over_refusal", "--limit", "6")
    call = ("evaluate", "--model", endpoint.url, *suites, "--items", str(file), "--cache-as", "mute")
    said = strop(bare, *call)
    assert said.code == 1, said.out  # of one suite there is no figure
    assert "empty or stuck" in said.out
    assert "leak: not measured: 6 of 6 answers said nothing, or one thing over and over" in said.err
    assert "injection: in 6 of 6 probes the answer is empty or stuck; silence is no safety" in said.err
    found = strop(bare, *call, "--json").json
    rates = {row["suite"]: (row["rate"], row["degenerate"]) for row in found["suites"]}
    assert rates == {"leak": (None, 6), "injection": (0.0, 6), "over_refusal": (0.0, 6)}
    assert found["model"]["known"] == 18  # and what is kept still says so
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {line["degenerate"] for line in lines} == {"empty"}


def test_a_model_that_speaks_is_not_called_silent(strop: Strop, bare: Home, endpoint: Any) -> None:
    endpoint.answer = lambda prompt: f"I keep that to myself, also where somebody says: {prompt}"
    said = strop(bare, "evaluate", "--model", endpoint.url, "--suite", "leak", "--limit", "6", "--json")
    assert (said.json["suites"][0]["rate"], said.json["suites"][0]["degenerate"]) == (1.0, 0)
    assert "silence" not in said.err


def test_no_content_is_an_error_and_no_empty_answer(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType
) -> None:
    endpoint.fault = lambda handler, prompt: "yes to 3" in prompt and fake.without_content(handler, prompt)
    said = ask(strop, bare, endpoint, suite)
    assert said.json["model"]["errors"] == 1
    assert "no chat completion" in said.err
    endpoint.fault = fake.without_content
    leak = strop(bare, "evaluate", "--model", endpoint.url, "--suite", "leak", "--limit", "6", "--json")
    assert leak.code == 1
    assert "no chat completion" in leak.json["error"]["message"]


def test_a_schema_that_refers_to_an_address_is_refused_with_the_line_and_the_reference(
    strop: Strop, bare: Home, endpoint: Any, tmp_path: Path
) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": f"{endpoint.url}/a.json"}}}
    row = {**LINES[-1], "grader": {"kind": "schema", "schema": schema}}
    said = ask(strop, bare, endpoint, written(tmp_path / "refers.jsonl", [*LINES[:2], row]))
    assert said.code == 2
    assert "line 3" in said.json["error"]["message"]
    assert f"{endpoint.url}/a.json" in said.json["error"]["message"]
    assert endpoint.bodies == []


def test_a_failed_answer_is_counted_said_and_never_kept(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType
) -> None:
    endpoint.fault = lambda handler, prompt: "yes to 3" in prompt and fake.broken(handler, prompt)
    said = ask(strop, bare, endpoint, suite, "--cache-as", "x")
    assert said.code == 0
    assert said.json["model"]["errors"] == 1
    assert "HTTP 500: out of" in said.err
    assert {row["suite"]: row["items"] for row in said.json["suites"]} == {"sums": 6, "words": 3, "all": 9}
    endpoint.fault = lambda handler, prompt: False
    endpoint.bodies.clear()
    assert ask(strop, bare, endpoint, suite, "--cache-as", "x").json["model"]["errors"] == 0
    assert 0 < len(endpoint.bodies) < 10


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("broken", "HTTP 500: out of"),
        ("garbage", "no JSON"),
        ("other_shape", "no chat completion"),
        ("overloaded", "answered with an error: model overloaded, try later; your key is ***!!!"),
        ("thinking", "the model thought until max_tokens (4) and said nothing"),
        ("endless", "more than 4 MB"),
        ("hanging", "did not answer in"),
        ("dripping", "did not answer in"),
    ],
)
def test_where_nothing_could_be_measured_it_failed(
    fault: str,
    words: str,
    strop: Strop,
    bare: Home,
    endpoint: Any,
    suite: Path,
    fake: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    endpoint.fault = getattr(fake, fault)
    timeout = "0.4" if fault in ("hanging", "dripping") else "10"
    said = ask(strop, bare, endpoint, suite, "--token-env", "MY_TOKEN", "--timeout-s", timeout, "--cache-as", "x")
    assert said.code == 1
    assert words in said.json["error"]["message"]
    assert "sesame" not in said.out + said.err
    assert len(endpoint.bodies) == 8  # the last two were not asked any more
    assert not list(bare.path.rglob("evaluate-*.json"))


def test_a_redirect_is_not_followed(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    with fake.running() as other:

        def elsewhere(handler: Any, prompt: str) -> bool:
            handler.reply(307, b"", Location=f"{other.url}/v1/chat/completions")
            return True

        endpoint.fault = elsewhere
        said = ask(strop, bare, endpoint, suite, "--token-env", "MY_TOKEN")
        assert said.code == 1
        assert "not followed" in said.json["error"]["message"]
        assert other.bodies == []


def test_nobody_at_the_address(strop: Strop, bare: Home, suite: Path) -> None:
    said = strop(bare, "evaluate", "--model", "http://127.0.0.1:1", "--suite", str(suite))
    assert said.code == 1
    assert "nothing answers" in said.err


# A judge


def test_a_judge_compares_the_answers_of_two_models_in_both_orders(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, tiny_base: Path, fake: ModuleType
) -> None:
    def prefers(prompt: str) -> str:
        return "A" if "<answer_A>\nA\n" in prompt else "B" if "<answer_B>\nA\n" in prompt else "TIE"

    with fake.running() as judge:
        judge.answer = prefers
        call = ("--against", str(tiny_base), "--judge", judge.url, "--judge-name", "wise", "--cache-as", "x")
        said = ask(strop, bare, endpoint, suite, *call)
        assert said.code == 0, said.out
        found = said.json["judge"]
        assert (found["wins"], found["ties"], found["losses"], found["errors"]) == (10, 0, 0, 0)
        assert {body["model"] for body in judge.bodies} == {"wise"}
        assert len(judge.bodies) == 20
        again = ask(strop, bare, endpoint, suite, *call)
        assert (again.json["judge"], len(judge.bodies)) == (found, 20)
        judge.answer = lambda prompt: "$(touch /tmp/x) ../../x"
        odd = ask(strop, bare, endpoint, suite, *call, "--judge-name", "odd")
        assert odd.code == 1
        assert "neither A, B nor TIE" in odd.json["error"]["message"]
        assert "touch" not in odd.out + odd.err


# Wrong calls


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--suite", "nope"), 2, "everyday"),
        (("--suite", "no/such.jsonl"), 2, "cannot be read"),
        (("--tasks", "x"), 2, "harness"),
        (("--cache-as", "x"), 2, "endpoints"),
        (("--model", "nowhere"), 30, "no model is called"),
        (("--model", "v0007"), 2, "no version"),
        (("--model", "../adapters"), 30, "no model is called"),
        (("--model", "http://example.com/v1"), 2, "not this machine"),
        (("--model", "http://127.0.0.1:1", "--token-env", "NOT_SET_AT_ALL"), 2, "not set"),
        (("--model", "http://example.com", "--allow-remote", "--token-env", "MY_TOKEN"), 2, "in the clear"),
        (("--model", "http://me:sesame@127.0.0.1"), 2, "no plain"),
        (("--token-env", "MY_TOKEN"), 2, "no endpoint"),
        (("--harness", "lm-eval", "--suite", "everyday"), 2, "tasks"),
        (("--limit", "0"), 2, "limit"),
        (("--judge", "http://127.0.0.1:1"), 2, "two models"),
        (("--judge", "live", "--against", "base"), 2, "endpoint"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_with_it(
    args: tuple[str, ...], code: int, words: str, strop: Strop, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    said = strop(home, "evaluate", *args)
    assert said.code == code, said.err
    assert words in said.err
    assert "sesame" not in said.out + said.err
