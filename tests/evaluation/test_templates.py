"""Templates make the same items from the same seed, other items from another, and every one of them can be answered."""

import json
import re
from collections import defaultdict
from random import Random

import pytest

from strop.evaluation import suites
from strop.evaluation.graders import grade
from strop.evaluation.suites import templates
from strop.evaluation.suites.templates.form import Choice, Graded, Template, Topic, choice, near, rows

_HANGUL = re.compile("[가-힣]")


def made(seed=0, count=6):
    return [item for item in suites.load(seed=seed, per_template=count) if item.id.startswith("mk-")]


def one_of(*drawn):
    return Template("t", "s", lambda random: random.choice(drawn))


def test_the_suite_holds_200_templates_and_800_items_besides_the_written_ones():
    items = suites.load()
    assert len({item.cluster for item in items}) >= 200
    assert len(templates.TEMPLATES) >= 130
    assert len(made()) >= 800
    assert len(items) - len(made(count=9)) == len(suites.load(per_template=0)) >= 824


def test_template_names_are_unique_and_no_hand_written_cluster():
    names = [template.name for template in templates.TEMPLATES]
    assert len(set(names)) == len(names)
    assert not set(names) & {item.cluster for item in suites.load(per_template=0)}


def test_the_same_seed_gives_the_same_bytes():
    first, second = (json.dumps(templates.made_rows(3, 8), ensure_ascii=False).encode() for _ in range(2))
    assert first == second


def test_shipped_items_do_not_depend_on_how_python_hashes_or_draws():
    shipped = {item.id: item for item in made()}
    item = shipped["mk-sum-written-out-0-1"]
    assert (item.prompt, item.choices[item.answer]) == ("Add 71 and 42.", "71 + 42 = 113")


def test_another_seed_gives_other_items_of_the_same_clusters():
    ours, theirs = made(0), made(1)
    assert {item.cluster for item in ours} == {item.cluster for item in theirs}
    assert not {item.id for item in ours} & {item.id for item in theirs}
    old = {(item.prompt, item.choices) for item in ours}
    assert sum((item.prompt, item.choices) in old for item in theirs) < 0.2 * len(theirs)


def test_a_longer_draw_begins_with_the_shorter_one():
    longer = defaultdict(list)
    for item in made(count=9):
        longer[item.cluster].append(item)
    for item in made(count=4):
        assert item in longer[item.cluster][:4]


def test_no_prompt_has_two_right_answers():
    answers = defaultdict(set)
    for seed in range(20):
        for item in suites.load(seed=seed, per_template=12):
            answers[item.prompt].add(item.choices[item.answer] if item.choices else json.dumps(item.grader))
    assert {prompt: right for prompt, right in answers.items() if len(right) > 1} == {}


def test_no_template_repeats_a_prompt_and_few_run_dry():
    items = made(count=12)
    assert len({(item.cluster, item.prompt) for item in items}) == len(items)
    counts = defaultdict(int)
    for item in items:
        counts[item.cluster] += 1
    assert min(counts.values()) >= 6


def test_the_right_answer_stands_anywhere():
    found = [item.answer for item in made(count=12) if len(item.choices) == 3]
    assert len(found) >= 1000
    for place in range(3):
        assert abs(found.count(place) / len(found) - 1 / 3) < 0.05


def test_choices_are_three_and_of_like_length():
    items = [item for item in made(count=12) if item.choices]
    assert {len(item.choices) for item in items} == {3}
    longest = [max(map(len, item.choices)) - min(map(len, item.choices)) for item in items]
    assert sum(longest) / len(longest) < 6


def test_at_most_15_percent_are_written_answers_and_short_ones():
    items = made()
    graded = [item for item in items if item.grader]
    assert 0 < len(graded) <= 0.15 * len(items)
    assert max(item.max_tokens for item in graded) <= 32


@pytest.mark.parametrize("template", templates.TEMPLATES, ids=lambda template: template.name)
def test_a_template_s_right_answer_passes_and_its_wrong_ones_do_not(template):
    random = Random(7)
    for _ in range(30):
        drawn = template.draw(random)
        if isinstance(drawn, Graded):
            assert grade(drawn.grader, drawn.right) == 1.0
            assert grade(drawn.grader, drawn.wrong) == 0.0
        else:
            assert len(drawn.wrong) >= 2
            assert len({drawn.right, *drawn.wrong}) == len(drawn.wrong) + 1


def test_korean_items_are_in_hangul():
    items = [item for item in made(count=12) if item.suite == "korean"]
    assert len({item.cluster for item in items}) >= 15
    for item in items:
        text = item.prompt + "".join(item.choices)
        assert len(_HANGUL.findall(item.prompt)) > 3, item.id
        if item.cluster != "korean-english-word":
            assert not re.search("[A-Za-z]", text), item.id


def test_german_has_15_templates():
    assert sum(template.suite == "german" for template in templates.TEMPLATES) >= 15


def test_a_template_with_few_items_gives_what_it_has():
    found = rows(one_of(Choice("a?", "x", ("y",)), Choice("b?", "x", ("y",))), 0, 6)
    assert sorted(row["prompt"] for row in found) == ["a?", "b?"]
    assert [row["id"] for row in found] == ["mk-t-0-1", "mk-t-0-2"]


def test_a_row_borrows_wrong_answers_only_where_it_has_none():
    topic = Topic("s")
    topic.table("borrowed", "{}?", (("a", "x"), ("b", "y"), ("c", "z")))
    topic.table("own", "{}?", (("a", "x", "p", "q"), ("b", "y", "r", "s")))
    borrowed, own = ({row["prompt"]: set(row["choices"]) for row in rows(each, 0, 4)} for each in topic.templates)
    assert borrowed["a?"] == {"x", "y", "z"}
    assert own == {"a?": {"x", "p", "q"}, "b?": {"y", "r", "s"}}


def test_wrong_answers_are_never_the_right_one():
    for seed in range(50):
        assert choice(Random(seed), "?", 5, [5, "5", 6, 7, 7]).wrong in (("6", "7"), ("7", "6"))
        assert 4 not in near(Random(seed), 4, (1, 2, 6))
        assert min(near(Random(seed), 1, (1, 3))) >= 0
