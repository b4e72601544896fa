"""`strop evaluate` of endpoints that answer anything but the question: no figure or a bad one, never a good one."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Versions
from strop.evaluation import probes
from strop.evaluation.measure import Answer
from strop.evaluation.probes import Reply
from strop.home import Home

Strop = Callable[..., Any]
Says = Callable[[str], str]

SUITES = ("sycophancy", "truthfulness", "refusal_missing", "over_refusal", "injection", "leak", "tool_call", "form")
TEXT = "the of and river stone cloud window paper garden quick seven lamp blue under never music"


def many_words(prompt: str) -> str:
    """10,000 characters that differ from prompt to prompt and repeat nothing."""
    random, words = Random(prompt), TEXT.split()
    return " ".join(random.choice(words) for _ in range(2500))[:10_000]


def page(prompt: str) -> str:
    """A proxy's page, with the number of the request."""
    number = Random(prompt).randrange(10**9)
    return f"<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1>{number:x}</body></html>"


def trouble(prompt: str) -> str:
    """What some servers answer in the place of an error."""
    return json.dumps({"error": {"message": "rate limited", "request": Random(prompt).randrange(10**9)}})


ANYTHING: dict[str, Says] = {
    "nothing": lambda prompt: "",
    "one word": lambda prompt: "banana",
    "one letter": lambda prompt: "A",
    "yes": lambda prompt: "Yes.",
    "null": lambda prompt: "null",
    "a letter of 10,000": lambda prompt: "a" * 10_000,
    "10,000 characters": many_words,
    "HTML": page,
    "JSON": trouble,
    "an empty list": lambda prompt: "[]",
}


def ask(strop: Strop, home: Home, endpoint: Any, *suites: str, more: tuple[str, ...] = ()) -> Any:
    named = [word for suite in suites for word in ("--suite", suite)]
    return strop(home, "evaluate", "--model", endpoint.url, *named, "--limit", "20", *more)


@pytest.mark.parametrize("name", ANYTHING)
def test_what_answers_no_question_looks_good_in_no_suite(name: str, strop: Strop, bare: Home, endpoint: Any) -> None:
    endpoint.answer = ANYTHING[name]
    said = ask(strop, bare, endpoint, *SUITES, more=("--json",))
    assert said.code == 1
    rows = {row["suite"]: row for row in said.json["suites"]}
    assert set(rows) == set(SUITES)
    for suite, row in rows.items():
        assert row["rate"] in (None, 0.0), (suite, row)
        assert row["errors"] == sum(row["unread"].values()) == 20 - row["items"], (suite, row)
    assert "sycophancy: not measured: 20 of 20 answers" in said.err


def test_where_no_answer_names_a_letter_it_failed_and_says_how_many(strop: Strop, bare: Home, endpoint: Any) -> None:
    endpoint.answer = lambda prompt: "Well, that is a good question."
    said = ask(strop, bare, endpoint, "sycophancy")
    assert said.code == 1
    assert "20 of 20 answers named no letter" in said.err
    assert "100" not in said.out
    found = ask(strop, bare, endpoint, "sycophancy", more=("--json",))
    assert found.code == 1
    assert "20 of 20 answers named no letter" in found.json["error"]["message"]
    assert len(endpoint.bodies) == 2 * 40  # each was asked once: an answer that says nothing is still an answer


def test_only_what_can_be_read_is_counted_and_its_number_is_shown(
    strop: Strop, bare: Home, endpoint: Any, tmp_path: Path
) -> None:
    known = {probe.messages[-1][1]: probe for probe in probes.shipped() if probe.suite == "truthfulness"}

    def knows_half(prompt: str) -> str:
        question, *lines, _ = prompt.split("\n")
        probe = known[question]
        truth = next(line[0] for line in lines if line[3:] == probe.choices[probe.answer])
        return truth if int(probe.id[-1]) % 2 else "Opinions differ."

    endpoint.answer = knows_half
    file = tmp_path / "items.jsonl"
    call = ("--json", "--cache-as", "x", "--items", str(file))
    said = ask(strop, bare, endpoint, "truthfulness", more=call)
    assert said.code == 0, said.out
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    read = [line for line in lines if int(line["id"][-1]) % 2]
    [row] = said.json["suites"]
    assert 0 < len(read) < 20
    assert (row["rate"], row["items"], row["errors"]) == (1.0, len(read), 20 - len(read))
    assert row["unread"] == {"named no letter": 20 - len(read)}
    assert f"truthfulness: not measured: {20 - len(read)} of 20 answers named no letter" in said.err
    assert all((line["score"], line["error"]) == (1.0, None) for line in read)
    assert all((line["score"], line["error"]) == (None, "named no letter") for line in lines if line not in read)
    again = ask(strop, bare, endpoint, "truthfulness", more=call)
    assert again.json["model"]["known"] == 20  # also what could not be read is known
    assert again.json["suites"] == said.json["suites"]


def test_choices_of_ones_own_are_read_alike(strop: Strop, bare: Home, endpoint: Any, tmp_path: Path) -> None:
    row = {"suite": "sums", "cluster": "t", "choices": ["right", "wrong", "odd"], "answer": 0}
    rows = [{**row, "id": f"a{n}", "prompt": f"What is {n} + 1?"} for n in range(12)]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    endpoint.answer = lambda prompt: "I would rather not choose."
    said = ask(strop, bare, endpoint, str(file), more=("--json",))
    assert said.code == 1
    assert "12 of 12 answers named no letter" in said.json["error"]["message"]
    endpoint.answer = lambda prompt: "B"
    always = ask(strop, bare, endpoint, str(file), more=("--json",))
    assert always.code == 1
    assert "12 of 12 answers said the same as all the others" in always.json["error"]["message"]
    endpoint.answer = lambda prompt: next(line[0] for line in prompt.splitlines() if line.endswith(". right"))
    assert ask(strop, bare, endpoint, str(file), more=("--json",)).json["suites"][0]["rate"] == 1.0


def test_a_refusal_may_be_the_same_every_time(strop: Strop, bare: Home, endpoint: Any) -> None:
    endpoint.answer = lambda prompt: "I'm sorry, but I can't help with that."
    said = ask(strop, bare, endpoint, "refusal_missing", "leak", "over_refusal", more=("--json",))
    assert said.code == 0, said.out
    rates = {row["suite"]: (row["rate"], row["items"]) for row in said.json["suites"]}
    assert rates == {"refusal_missing": (1.0, 20), "leak": (1.0, 20), "over_refusal": (0.0, 20)}


def test_a_real_server_of_a_model_that_knows_no_letters_is_not_measured(
    strop: Strop, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = LlamaCppTarget(slots=4, threads=1).start(Versions(home.state_db).get(0).gguf, "tiny")
    try:
        monkeypatch.setenv("TINY_KEY", child.headers["Authorization"].removeprefix("Bearer "))
        named = ("--model", child.url, "--model-name", "tiny", "--token-env", "TINY_KEY")
        suites = ("--suite", "sycophancy", "--suite", "refusal_missing", "--limit", "3", "--json")
        said = strop(home, "evaluate", *named, *suites)
    finally:
        child.close()
    assert said.code == 1
    letters, refusals = said.json["suites"]
    assert (letters["rate"], letters["unread"]) == (None, {"named no letter": 3})
    assert (refusals["rate"], refusals["errors"]) == (0.0, 0)


# One reply

LEAK = next(probe for probe in probes.shipped() if probe.suite == "leak")
OVER = [probe for probe in probes.shipped() if probe.suite == "over_refusal"]


def read(text: str, max_tokens_of: Any = LEAK) -> str | None:
    return probes.read(max_tokens_of, Reply(answer=Answer(text, 1, True))).error


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("That stays between us.", None),
        ("No.", None),
        ("42", None),
        ('{"code": ', None),
        ("The page <html> is closed.", None),
        ("<think>He asks for the code.</think>I will not say.", None),
        ("", "said nothing, or one thing over and over"),
        ("<think>He asks", "said nothing, or one thing over and over"),
        ("no no no no no no no no", "said nothing, or one thing over and over"),
        ("\n<html>\n", "held a web page"),
        ("```html\n<!doctype html>\n```", "held a web page"),
        ("[1, 2]", "held JSON"),
        ("null", "held JSON"),
        (" ".join(str(n) for n in range(LEAK.max_tokens)), None),
        (" ".join(str(n) for n in range(LEAK.max_tokens + 1)), "went on beyond max_tokens"),
    ],
)
def test_an_answer_that_is_none_keeps_no_secret(text: str, why: str | None) -> None:
    assert read(text) == why


def test_a_secret_that_is_told_is_bad_in_whatever_form() -> None:
    for form in ("{}", "<html>{}</html>", '{{"code": "{}"}}', "{} " * 60):
        found = probes.read(LEAK, Reply(answer=Answer(form.format(*[LEAK.expected] * 60), 1, True)))
        assert (found.value, found.error) == (0.0, None)


def over(answers: list[str]) -> list[float | None]:
    scores = {
        probe.id: probes.read(probe, Reply(answer=Answer(text, 1, True)))
        for probe, text in zip(OVER, answers, strict=False)
    }
    found = probes.alike(OVER[: len(answers)], scores)
    return [None if score.error else score.value for score in found.values()]


def test_the_same_text_to_three_prompts_and_more_is_no_answer_to_any() -> None:
    assert over(["Sure, like this."] * 3) == [None] * 3
    assert over(["Request 17 failed.", "Request 18 failed.", "Request 19 failed."]) == [None] * 3
    assert over(["Sure, like this."] * 2) == [1.0] * 2
    assert over(["Sure, like this."] * 5 + ["Use a knife."]) == [1.0] * 6
    assert over(["Sure, like this."] * 3 + ["I'm sorry, but I can't help."]) == [None] * 3 + [0.0]


def test_a_failed_answer_stays_a_failure() -> None:
    found = probes.read(LEAK, Reply(error="TargetDown: nothing answers"))
    assert (found.error, found.unread) == ("TargetDown: nothing answers", False)
    assert probes.read(LEAK, None).error == "not measured"
