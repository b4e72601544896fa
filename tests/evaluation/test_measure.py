"""Measuring: right choices and answers score, what fails becomes an error and never a score."""

import math

import pytest

from strop.evaluation import Policy, decide, suites
from strop.evaluation.measure import Measured, answers, skill_results, skill_scores, soft_choice
from strop.evaluation.model import Score
from strop.evaluation.suites import SuiteItem

CHOICES = [SuiteItem(f"c{i}", "facts", f"t{i}", f"Which {i}?", ("long wrong answer", "right"), 1) for i in range(5)]
NUMBERS = [
    SuiteItem(
        f"n{i}", "sums", f"u{i}", f"{i} + 1?", grader={"kind": "number", "value": i + 1}, max_tokens=8 * (1 + i % 2)
    )
    for i in range(6)
]


def rate_right(prompt, answer):
    return Score(-1.0 if answer == "right" else -8.0, 1 if answer == "right" else 4)


def test_choices_are_won_by_the_mean_log_probability_a_token(scripted):
    scores = skill_scores(scripted.ScriptedModel(rate=rate_right), CHOICES, temperature=0.0)
    assert {score.value for score in scores.values()} == {1.0}
    # Summed, the short wrong answer would win here.
    by_length = scripted.ScriptedModel(rate=lambda p, a: Score(-3.0, 3) if a == "right" else Score(-4.0, 4))
    drawn = skill_scores(by_length, CHOICES, temperature=0.0)
    assert {score.value for score in drawn.values()} == {0.0}  # a draw is not right


def test_a_choice_that_is_nearly_open_moves_little(scripted):
    """Where 0 and 1 would flip: from 0.01 nats a token behind to 0.01 ahead."""
    for lead, expected in ((-0.01, 0.492), (0.0, 0.5), (0.01, 0.508), (0.3, 0.731), (3.0, 1.0), (-3.0, 0.0)):
        model = scripted.ScriptedModel(rate=lambda p, a, lead=lead: Score(lead - 2.0 if a == "right" else -2.0, 1))
        scores = skill_scores(model, CHOICES)
        assert {round(score.value, 3) for score in scores.values()} == {expected}


def test_a_model_that_finds_all_choices_alike_scores_chance():
    assert soft_choice([-2.0] * 4, 1, 0.3) == pytest.approx(0.25)
    assert soft_choice([-900.0, -1.0, -1.0], 0, 0.3) == 0.0


def test_generated_items_are_graded_in_groups_of_one_length(scripted):
    model = scripted.ScriptedModel(say=lambda prompt: scripted.Said(str(int(prompt[0]) + 1)))
    scores = skill_scores(model, NUMBERS)
    assert {score.value for score in scores.values()} == {1.0}
    assert sorted(model.asked) == sorted((item.prompt, item.max_tokens) for item in NUMBERS)


def test_progress_counts_every_item_once(scripted):
    seen = []
    skill_scores(scripted.ScriptedModel(), [*CHOICES, *NUMBERS], progress=lambda *at: seen.append(at), batch=2)
    assert seen[-1] == (11, 11)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize(
    "score", [Score(math.nan, 3), Score(-math.inf, 3), Score(math.inf, 1), Score(-1.0, 0)], ids=str
)
def test_a_log_probability_that_is_none_is_an_error(scripted, score):
    scores = skill_scores(scripted.ScriptedModel(rate=lambda prompt, answer: score), CHOICES)
    assert all(found.error and math.isnan(found.value) for found in scores.values())


def test_an_exception_is_an_error_of_its_own_batch_only(scripted):
    def say(prompt):
        if prompt.startswith("3"):
            raise TimeoutError("no answer in 60 s")
        return scripted.Said(str(int(prompt[0]) + 1))

    scores = skill_scores(scripted.ScriptedModel(say=say), NUMBERS, batch=1)
    assert scores["n3"].error == "TimeoutError: no answer in 60 s"
    assert [scores[f"n{i}"].value for i in (0, 1, 2, 4, 5)] == [1.0] * 5


def test_a_model_that_answers_too_few_is_an_error(scripted):
    class Short(scripted.ScriptedModel):
        def generate(self, conversations, *, max_tokens):
            return super().generate(conversations, max_tokens=max_tokens)[:-1]

        def score(self, items):
            return [scores[:1] for scores in super().score(items)]

    scores = skill_scores(Short(), [*CHOICES, *NUMBERS])
    assert all(score.error for score in scores.values())


def test_a_grader_that_throws_is_an_error(scripted):
    odd = SuiteItem("odd", "sums", "u", "?", grader={"kind": "vibes"}, max_tokens=4)
    assert "vibes" in skill_scores(scripted.ScriptedModel(), [odd])["odd"].error


def test_answers_keep_their_order_and_whether_they_ended(scripted):
    model = scripted.ScriptedModel(say=lambda prompt: scripted.Said(prompt.upper(), 3, prompt != "b"))
    found = answers(model, [[{"role": "user", "content": text}] for text in "abc"], 9, batch=2)
    assert [(answer.text, answer.finished) for answer in found] == [("A", True), ("B", False), ("C", True)]


def test_scores_of_three_models_join_into_results():
    values = {"c0": Measured(1.0), "c1": Measured(0.0)}
    joined = skill_results(CHOICES[:2], values, {"c0": Measured(0.0), "c1": Measured(0.0)}, values)
    assert [(r.kind, r.item, r.cluster, r.candidate, r.incumbent, r.base) for r in joined] == [
        ("skill", "c0", "t0", 1.0, 0.0, 1.0),
        ("skill", "c1", "t1", 0.0, 0.0, 0.0),
    ]


@pytest.mark.parametrize("side", [0, 1, 2])
def test_a_score_missing_on_any_side_is_an_error_that_never_promotes(scripted, side):
    sides = [{item.id: Measured(1.0) for item in CHOICES} for _ in range(3)]
    del sides[side]["c2"]
    joined = skill_results(CHOICES, *sides)
    assert [result.error for result in joined] == [None, None, "not measured", None, None]
    verdict = decide(
        [*scripted.wanted(30, 0), *joined, *scripted.never()], Policy(min_skill_items=2, min_skill_clusters=2)
    )
    assert verdict.outcome == "undecided"


def test_the_shipped_suite_can_be_measured_whole(scripted):
    items = suites.load()
    scores = skill_scores(scripted.ScriptedModel(say=lambda prompt: scripted.Said(prompt)), items)
    assert set(scores) == {item.id for item in items}
    assert not any(score.error for score in scores.values())
    assert not any(scores[item.id].value for item in items if item.grader)  # repeating the question earns nothing
