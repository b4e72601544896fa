"""What `strop evaluate` says: each reason with its count, a server's own words, and no figure that cannot be."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.home import Home

Strop = Callable[..., Any]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Ten items, nine of one template and one of another, each right where the answer is its number."""
    rows = [
        {"id": f"n{n}", "suite": "numbers", "cluster": "ten" if n == 9 else "one", "prompt": f"Say {n}."}
        | {"grader": {"kind": "exact", "value": str(n)}, "max_tokens": 8}
        for n in range(10)
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def right(prompt: str) -> str:
    return prompt.removeprefix("Say ").removesuffix(".")


def test_every_reason_for_no_score_has_its_own_count(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType
) -> None:
    faults = {"1": fake.thinking, "2": fake.thinking, "3": fake.overloaded}
    endpoint.answer = right
    endpoint.fault = lambda handler, prompt: right(prompt) in faults and faults[right(prompt)](handler, prompt)
    said = strop(bare, "evaluate", "--model", endpoint.url, "--suite", str(suite))
    assert said.code == 0, said.err
    [line] = [line for line in said.err.splitlines() if "have no score" in line]
    assert line.startswith("3 of 10 items of default at")
    assert ": 2: OnlyThought: the model thought until max_tokens (8) and said nothing; 1: ServerTrouble: " in line


def test_letters_that_are_not_named_are_not_counted_as_letters_that_are_all_alike(
    strop: Strop, bare: Home, endpoint: Any
) -> None:
    endpoint.answer = lambda prompt: "A" if sum(prompt.encode()) % 4 else "Well, who knows?"
    said = strop(bare, "evaluate", "--model", endpoint.url, "--suite", "truthfulness", "--limit", "40")
    assert said.code == 1
    found = strop(bare, "evaluate", "--model", endpoint.url, "--suite", "truthfulness", "--limit", "40", "--json")
    counts = [int(count) for count in re.findall("([0-9]+) of 40 answers", found.json["error"]["message"])]
    assert (len(counts), sum(counts)) == (2, 40)
    both = ("evaluate", "--model", endpoint.url, "--suite", "truthfulness", "--suite", "tool_call", "--limit", "40")
    [line] = [line for line in strop(bare, *both).err.splitlines() if "have no score" in line]
    assert f"{counts[0]}: said the same as all the others; {counts[1]}: named no letter" in line


@pytest.mark.parametrize(
    ("fault", "hint"),
    [("overloaded", "the server's own message"), ("thinking", "raise max_tokens"), ("other_shape", "--model-name")],
)
def test_the_hint_fits_what_went_wrong(
    fault: str, hint: str, strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType
) -> None:
    endpoint.fault = getattr(fake, fault)
    said = strop(bare, "evaluate", "--model", endpoint.url, "--suite", str(suite), "--json")
    assert said.code == 1
    assert hint in said.json["error"]["hint"]
    assert said.json["error"]["message"].isprintable()
    assert len(said.json["error"]["message"]) < 400


def test_thinking_that_left_no_room_for_an_answer_is_no_wrong_answer(
    strop: Strop, bare: Home, endpoint: Any, suite: Path
) -> None:
    """Some servers leave the content out, others send it empty; and a short answer after a thought is one."""

    def thinks(handler: Any, prompt: str) -> bool:
        number = int(right(prompt))
        message = {"content": "" if number else "0", "reasoning": "Let me see."}
        choice = {"message": message, "finish_reason": "length" if number % 2 else "stop"}
        handler.reply(200, json.dumps({"choices": [choice]}).encode())
        return True

    endpoint.fault = thinks
    said = strop(bare, "evaluate", "--model", endpoint.url, "--suite", str(suite), "--json")
    [row] = said.json["suites"]
    assert (row["items"], row["errors"], row["rate"]) == (5, 5, 0.2)


def test_what_was_not_measured_has_no_interval(strop: Strop, bare: Home, endpoint: Any) -> None:
    endpoint.answer = lambda prompt: f"Well, who knows? You said {prompt[:12]}"
    call = ("evaluate", "--model", endpoint.url, "--suite", "truthfulness", "--suite", "over_refusal", "--limit", "6")
    said = strop(bare, *call)
    [line] = [line for line in said.out.splitlines() if line.startswith("truthfulness")]
    assert line.split("\t") == ["truthfulness", "0", "0", "not measured", "", "6", "letter", "0"]
    assert "nothing can be said" not in said.out
    row = strop(bare, *call, "--json").json["suites"][0]
    assert (row["rate"], row["low"], row["high"]) == (None, None, None)


def test_two_shares_are_never_more_than_all_apart(
    strop: Strop, bare: Home, endpoint: Any, suite: Path, fake: ModuleType
) -> None:
    endpoint.answer = right
    with fake.running() as other:
        other.answer = lambda prompt: right(prompt) if prompt == "Say 9." else "none"
        pair = (endpoint.url, other.url)
        for ours, theirs, sign in ((*pair, 1), (*reversed(pair), -1)):
            call = ("evaluate", "--model", ours, "--against", theirs, "--suite", str(suite))
            found = strop(bare, *call, "--json").json["suites"][0]["difference"]
            assert found["mean"] == pytest.approx(0.9 * sign)
            assert -1 <= found["low"] < found["mean"] < found["high"] <= 1
            assert (found["high"] if sign > 0 else found["low"]) == sign
            assert f"{sign:+.1%}" in strop(bare, *call).out


def test_bad_form_is_told_by_its_kinds(strop: Strop, bare: Home, endpoint: Any, tmp_path: Path) -> None:
    given: dict[str, tuple[str, str]] = {}

    def answers(handler: Any, prompt: str) -> bool:
        kinds = [("", "stop"), ("I would say that it is so", "length"), ("Yes.<|im_end|>", "stop"), ("", "stop")]
        place = given.setdefault(prompt, (kinds + [(f"It is number {len(given)}.", "stop")] * 20)[len(given)])
        choice = {"message": {"content": place[0]}, "finish_reason": place[1]}
        handler.reply(200, json.dumps({"choices": [choice]}).encode())
        return True

    endpoint.fault = answers
    file = tmp_path / "items.jsonl"
    call = ("evaluate", "--model", endpoint.url, "--suite", "form", "--limit", "10", "--items", str(file))
    said = strop(bare, *call)
    assert "form: 4 bad by their form: 2 empty or stuck, 1 did not end, 1 held a template's token" in said.out
    [row] = strop(bare, *call, "--json").json["suites"]
    assert row["form"] == {"bad": 4, "degenerate": 2, "endless": 1, "template_tokens": 1}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    bad = [(line["degenerate"], line["endless"], line["template_token"]) for line in lines if line["score"] == 0]
    assert Counter(bad) == {("empty", False, None): 2, (None, True, None): 1, (None, False, "<|im_end|>"): 1}
    other = strop(bare, "evaluate", "--model", endpoint.url, "--suite", "leak", "--limit", "6", "--json")
    assert other.json.get("suites", [{"form": None}])[0]["form"] is None
