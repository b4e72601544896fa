"""The shipped suite is whole, and a bad line is named."""

import json
from collections import Counter

import pytest

from strop.errors import BadSuite
from strop.evaluation import graders, suites
from strop.evaluation.graders import grade

CHOICE = {"id": "a", "suite": "s", "cluster": "c", "prompt": "Which?", "choices": ["x", "y"], "answer": 1}
GRADED = {"id": "b", "suite": "s", "cluster": "c", "prompt": "How many?", "grader": {"kind": "number", "value": 8}}
GRADED = {**GRADED, "max_tokens": 24}


def parse(*rows):
    return suites.parse([row if isinstance(row, str) else json.dumps(row) for row in rows], source="mine.jsonl")


def test_shipped_suite_holds_at_least_600_items_from_20_templates():
    items = suites.load()
    assert len(items) >= 600
    assert len({item.cluster for item in items}) >= 20
    assert len({item.id for item in items}) == len(items)


def test_each_shipped_grader_fails_on_its_own_prompt():
    pleased = [item.id for item in suites.load() if item.grader and grade(item.grader, item.prompt)]
    assert pleased == []


@pytest.mark.parametrize(
    "nothing",
    [
        "That is a good question, and there are many different things to think about.",
        "{} There are several reasons for that.",
        "The answer to your question is:",
        "It serves a variety of purposes and plays a crucial role in everyday life.",
    ],
)
def test_an_answer_that_says_nothing_does_not_pass_an_open_question(nothing):
    items = [item for item in suites.load() if item.suite == "saying"]
    assert len({item.cluster for item in items}) == len(items) >= 140
    assert [item.id for item in items if grade(item.grader, nothing.format(item.prompt))] == []


def test_an_open_question_is_answered_in_any_form():
    items = {item.cluster: item for item in suites.load()}
    for answer in ("Rain.", "- sun\n- rain", "People carry one so that they stay DRY, whatever the sky may do."):
        assert grade(items["saying-umbrella"].grader, answer) == 1.0


def test_right_answers_are_spread_over_the_places():
    places = [item.answer for item in suites.load() if len(item.choices) == 3]
    assert all(0.2 < places.count(place) / len(places) < 0.5 for place in range(3))


def test_both_shapes_are_read_and_blank_lines_skipped():
    choice, graded = parse(CHOICE, "", GRADED)
    assert (choice.choices, choice.answer) == (("x", "y"), 1)
    assert (graded.grader["kind"], graded.max_tokens) == ("number", 24)
    assert graded.conversation == [{"role": "user", "content": "How many?"}]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("{not json", "line 2"),
        ("[" * 100_000, "line 2"),
        ([1], "object"),
        ({**CHOICE, "id": "z", "answer": 2}, "answer"),
        ({**CHOICE, "id": "z", "answer": True}, "answer"),
        ({**CHOICE, "id": "z", "choices": ["x", "x"]}, "twice"),
        ({**CHOICE, "id": "z", "choices": ["x"]}, "choices"),
        ({**CHOICE, "id": "z", "prompt": " "}, "prompt"),
        ({**CHOICE, "id": "z", "answr": 1}, "answr"),
        (CHOICE, "already on line 1"),
        ({**GRADED, "max_tokens": 0}, "max_tokens"),
        ({**GRADED, "grader": {"kind": "vibes"}}, "vibes"),
        ({**GRADED, "grader": None}, "grader"),
        ({**GRADED, "prompt": "Is it 8?"}, "the prompt itself would pass"),
    ],
)
def test_a_bad_line_is_named_with_its_fault(row, named):
    with pytest.raises(BadSuite, match=named) as caught:
        parse(CHOICE, row)
    assert "mine.jsonl, line 2" in str(caught.value)
    assert caught.value.hint


def test_an_empty_or_unknown_suite_is_refused(tmp_path):
    with pytest.raises(BadSuite, match="no items"):
        parse("", "  ")
    with pytest.raises(BadSuite, match="no suite 'nope'"):
        suites.load("nope")
    with pytest.raises(BadSuite, match="cannot be read"):
        suites.load_file(tmp_path / "missing.jsonl")


def test_a_suite_of_your_own_loads_from_a_file(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(CHOICE) + "\n", encoding="utf-8")
    assert [item.id for item in suites.load_file(path)] == ["a"]


def test_a_budget_takes_from_every_template_in_turn_and_the_same_items_every_time():
    items = suites.load()
    few = suites.within(items, 600)
    assert (len(few), few) == (600, suites.within(items, 600))
    assert {item.cluster for item in few} == {item.cluster for item in items}
    assert max(Counter(item.cluster for item in few).values()) == 2
    assert [item for item in items if item in few] == list(few)
    assert suites.within(items, None) == suites.within(items, 10_000) == items
    assert len({item.cluster for item in suites.within(items, 100)}) == 100


def test_a_pattern_that_hangs_on_its_own_prompt_is_refused_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(graders, "MATCH_S", 0.2)
    grader = {"kind": "regex", "pattern": "(a|aa)+!"}
    row = {"suite": "s", "id": "i", "cluster": "c", "prompt": "a" * 60, "grader": grader, "max_tokens": 8}
    (tmp_path / "s.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(BadSuite, match="line 1: the grader cannot be applied to the prompt .TimeoutError"):
        suites.load_file(tmp_path / "s.jsonl")
