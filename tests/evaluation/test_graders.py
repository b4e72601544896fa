"""Graders pass what is right and are pleased by nothing else."""

import re

import pytest

from strop.errors import BadSuite
from strop.evaluation import graders
from strop.evaluation import schema as schemas
from strop.evaluation.graders import check, closeness, grade

LONG = "Well, that is a good question and there is a lot to be said about it from many sides. " * 3


@pytest.mark.parametrize(
    ("grader", "answer", "passes"),
    [
        ({"kind": "number", "value": 8}, "8", 1),
        ({"kind": "number", "value": 8}, "A spider has 8 legs.", 1),
        ({"kind": "number", "value": 9}, "2 + 7 = 9", 1),
        ({"kind": "number", "value": 9}, "2 + 7 = 8", 0),
        ({"kind": "number", "value": 8}, "It has 6, 7, 8, or 8.", 0),
        ({"kind": "number", "value": 8}, LONG + "8", 0),
        ({"kind": "number", "value": 8}, "eight", 0),
        ({"kind": "number", "value": 1931}, "1,931", 1),
        ({"kind": "number", "value": -4}, "The answer is −4.", 1),
        ({"kind": "number", "value": 4}, "7-4", 1),
        ({"kind": "number", "value": 3.14, "tolerance": 0.01}, "about 3.145", 1),
        ({"kind": "number", "value": 3.14, "tolerance": 0.01}, "about 3.2", 0),
        ({"kind": "exact", "value": "Lisbon"}, " **lisbon.** ", 1),
        ({"kind": "exact", "value": ["glad", "happy"]}, "Happy!", 1),
        ({"kind": "exact", "value": "lisbon"}, "It is Lisbon.", 0),
        ({"kind": "exact", "value": "lisbon"}, "Athens, Lisbon or Madrid", 0),
        ({"kind": "contains", "value": ["pavel"], "absent": ["rosa"]}, "The driver is Pavel Orlov.", 1),
        ({"kind": "contains", "value": ["pavel"], "absent": ["rosa"]}, "Rosa or Pavel", 0),
        ({"kind": "contains", "value": ["cat"]}, "a concatenation", 0),
        ({"kind": "contains", "value": ["new york"]}, "In New\nYork.", 1),
        ({"kind": "contains", "value": ["pavel"]}, LONG + "Pavel", 0),
        ({"kind": "regex", "pattern": "(?i)yes[.!]?"}, "\nYes. ", 1),
        ({"kind": "regex", "pattern": "(?i)yes[.!]?"}, "Yes or no", 0),
        ({"kind": "json", "keys": ["a", "b"]}, '{"b": 1, "a": [2]}', 1),
        ({"kind": "json", "keys": ["a", "b"]}, '```json\n{"a": 1, "b": 2}\n```', 1),
        ({"kind": "json", "keys": ["a", "b"]}, 'Here it is: {"a": 1, "b": 2}', 0),
        ({"kind": "json", "keys": ["a", "b"]}, '{"a": 1, "b": 2, "c": 3}', 0),
        ({"kind": "json", "keys": ["a"]}, '{"a": 1, "a": 2}', 0),
        ({"kind": "json", "keys": ["a"]}, '[["a", 1]]', 0),
        ({"kind": "json", "keys": ["a"]}, "[" * 100_000, 0),
        ({"kind": "json", "keys": ["a"]}, "", 0),
    ],
)
def test_grader_passes_what_is_right_and_nothing_else(grader, answer, passes):
    assert grade(grader, answer) == passes


@pytest.mark.parametrize("kind", ["number", "exact", "contains", "regex", "json"])
def test_an_empty_answer_never_passes(kind):
    fields = {"regex": {"pattern": "a+"}, "json": {"keys": ["a"]}, "number": {"value": 0}}.get(kind, {"value": "a"})
    assert grade({"kind": kind, **fields}, "") == 0.0


@pytest.mark.parametrize(
    ("grader", "named"),
    [
        ({"kind": "vibes"}, "vibes"),
        ({}, "None"),
        ({"kind": "number", "value": "8"}, "value"),
        ({"kind": "number", "value": float("nan")}, "value"),
        ({"kind": "number", "value": 8, "tolerance": -1}, "tolerance"),
        ({"kind": "number", "value": 8, "max_words": "x"}, "max_words"),
        ({"kind": "number", "value": 8, "max_words": 0}, "max_words"),
        ({"kind": "contains", "value": "x", "max_words": "9"}, "max_words"),
        ({"kind": "contains", "value": "x", "max_words": True}, "max_words"),
        ({"kind": "exact", "value": "..."}, "punctuation"),
        ({"kind": "contains", "absent": ["x"]}, "value"),
        ({"kind": "contains", "value": ["x"], "absent": [3]}, "absent"),
        ({"kind": "regex", "pattern": "("}, "regular expression"),
        ({"kind": "regex", "pattern": ".*"}, "empty answer"),
        ({"kind": "json", "keys": []}, "keys"),
        ({"kind": "exact", "value": "x", "values": []}, "values"),
    ],
)
def test_a_grader_that_cannot_be_right_is_refused_by_name(grader, named):
    with pytest.raises(BadSuite, match=named) as caught:
        grade(grader, "anything")
    assert caught.value.hint


SPAIN = "Madrid became the capital of Spain in 1561."


def test_a_pattern_that_tries_for_ever_is_stopped_and_is_no_score(monkeypatch):
    monkeypatch.setattr(graders, "MATCH_S", 0.2)
    with pytest.raises(TimeoutError):
        grade({"kind": "regex", "pattern": r"(a|aa)+[!?]"}, "a" * 60)


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"type": "string", "pattern": r"^(a|aa)+[!?]$"}, '"' + "a" * 60 + '"'),
        ({"patternProperties": {r"^(a|aa)+[!?]$": {}}, "required": ["b"]}, '{"b": 1, "' + "a" * 60 + '": 1}'),
    ],
)
def test_a_pattern_of_a_schema_that_tries_for_ever_is_stopped(monkeypatch, schema, answer):
    monkeypatch.setattr(schemas, "MATCH_S", 0.2)
    with pytest.raises(TimeoutError):
        grade({"kind": "schema", "schema": schema}, answer)


def test_closeness_is_symmetric_and_bounded():
    texts = [
        SPAIN,
        "Madrid.",
        "",
        "the of it",
        "It was 1561 when Madrid rose.",
        "마드리드는 스페인의 수도입니다",
        "수도는 마드리드",
    ]
    for one in texts:
        assert closeness(one, one) == 1.0
        for other in texts:
            assert closeness(one, other) == closeness(other, one)
            assert 0.0 <= closeness(one, other) <= 1.0


def test_closeness_falls_with_what_is_missing_and_with_what_is_surplus():
    full = closeness("Madrid became Spain's capital in 1561.", SPAIN)
    assert full > closeness("Madrid.", SPAIN) > 0
    padded = "Madrid became Spain's capital in 1561. It has parks, museums, football clubs, markets, bars and squares."
    assert full > closeness(padded, SPAIN) > 0


def test_closeness_sees_manner_as_well_as_words():
    short, rambling = "Cheese melts well on toast.", "Well, there are many things to say about it. " * 6
    assert closeness(short, SPAIN) > closeness(rambling, SPAIN)
    assert closeness("Madrid became the capital in 1561.", SPAIN) > 2 * closeness(short, SPAIN)


def test_closeness_is_chrf_with_beta_one():
    # By hand: "abc" and "abd" share a, b (2 of 3 single letters), "ab" (1 of 2 pairs), none of the one triple.
    assert closeness("abc", "abd") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_closeness_reads_korean():
    assert closeness("스페인의 수도는 마드리드입니다.", "수도는 마드리드예요.") > 0.3
    assert closeness("스페인의 수도는 마드리드입니다.", "고양이가 잠을 잔다.") < 0.15


PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
CODES = {
    "type": "object",
    "properties": {"id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}},
    "patternProperties": {"^x_": {"type": "integer"}},
    "additionalProperties": False,
    "required": ["id"],
}
KOREAN, ENGLISH = "오늘은 날씨가 좋습니다.", "The weather is fine today, and we go for a walk."
GERMAN, JAPANESE = "Heute scheint die Sonne, und wir gehen spazieren.", "今日は天気がいいです。"


@pytest.mark.parametrize(
    ("grader", "passing", "failing"),
    [
        (
            {"kind": "schema", "schema": PERSON},
            ['{"age": 3}', '```json\n{"age": 3}\n```'],
            ['{"age": "3"}', "{}", "3", 'It is {"age": 3}', "[" * 9000],
        ),
        (
            {"kind": "schema", "schema": CODES},
            ['{"id": "AB-12"}', '{"id": "AB-12", "x_1": 5}'],
            ['{"id": "ab"}', '{"id": "AB-12", "x_1": "5"}', '{"id": "AB-12", "y": 5}', '{"id": 1}', "[]"],
        ),
        ({"kind": "schema", "schema": {"type": "number"}}, ["1.5"], ["NaN", "Infinity", "-Infinity"]),
        ({"kind": "json", "keys": ["a"]}, ['{"a": 1}'], ['{"a": NaN}', '{"a": [-Infinity]}']),
        ({"kind": "length", "max_words": 3}, ["one", "one two three"], ["", "one two three four"]),
        ({"kind": "length", "min_words": 2, "max_words": 2}, ["one two"], ["one", "one two three"]),
        ({"kind": "language", "value": "ko"}, [KOREAN], [ENGLISH, JAPANESE, ""]),
        ({"kind": "language", "value": "de"}, [GERMAN], [ENGLISH, KOREAN]),
    ],
)
def test_schema_length_and_language(grader, passing, failing):
    assert [grade(grader, answer) for answer in passing] == [1.0] * len(passing)
    assert [grade(grader, answer) for answer in failing] == [0.0] * len(failing)


@pytest.mark.parametrize(
    ("grader", "fault"),
    [
        ({"kind": "schema"}, "must be an object"),
        ({"kind": "schema", "schema": {"type": "wobble"}}, "no JSON Schema"),
        ({"kind": "schema", "schema": {"type": "object"}}, "an empty object would pass"),
        ({"kind": "schema", "schema": {"type": "string", "pattern": "("}}, "no JSON Schema"),
        ({"kind": ["schema"]}, "unknown grader"),
        ({"kind": "length"}, "whole number above 0"),
        ({"kind": "length", "max_words": 0}, "whole number above 0"),
        ({"kind": "length", "min_words": 5, "max_words": 4}, "above 'max_words'"),
        ({"kind": "language", "value": "Korean"}, "must be one of"),
    ],
)
def test_a_grader_of_these_that_could_not_be_applied_is_refused(grader, fault):
    with pytest.raises(BadSuite, match=fault):
        check(grader)


def referring(reference, **more):
    return {"type": "object", "properties": {"a": {"$ref": reference}}, "required": ["a"], **more}


@pytest.mark.parametrize("reference", ["https://example.invalid/a.json", "#/$defs/missing", "#missing", "other.json"])
def test_a_schema_that_leads_elsewhere_is_refused_when_it_is_loaded_and_nothing_is_fetched(reference, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)  # whoever connects fails in another way
    for schema in (referring(reference), {"$ref": reference}, {"type": "array", "items": referring(reference)}):
        with pytest.raises(BadSuite, match=re.escape(repr(reference))):
            check({"kind": "schema", "schema": schema})


def test_a_reference_from_a_place_that_holds_no_schema_is_a_clear_error_too():
    hidden = referring("#/elsewhere", elsewhere={"$ref": "https://example.invalid/a.json"})
    with pytest.raises(ValueError, match=r"example\.invalid"):
        grade({"kind": "schema", "schema": hidden}, '{"a": 1}')


def test_references_in_a_circle_are_refused():
    with pytest.raises(BadSuite, match="in a circle"):
        check({"kind": "schema", "schema": {"$ref": "#"}})


def test_a_reference_within_a_schema_is_followed_and_one_in_its_data_is_none():
    word = {"kind": "schema", "schema": referring("#/$defs/word", **{"$defs": {"word": {"type": "string"}}})}
    assert (grade(word, '{"a": "x"}'), grade(word, '{"a": 1}')) == (1.0, 0.0)
    data = {"kind": "schema", "schema": {"const": {"$ref": "https://example.invalid"}}}
    assert grade(data, '{"$ref": "https://example.invalid"}') == 1.0


@pytest.mark.parametrize(
    "grader",
    [
        {"kind": "schema", "schema": {"$ref": "#/required/0", "required": ["z"]}},
        {"kind": "schema", "schema": {"$ref": "#/x", "x": [1]}},
        {"kind": "number", "value": 10**400},
    ],
)
def test_a_grader_that_breaks_what_reads_it_is_refused_in_words(grader):
    with pytest.raises(BadSuite) as error:
        check(grader)
        grade(grader, "12")
    assert "grader" in str(error.value)
