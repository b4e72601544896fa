import random
from collections import Counter

import pytest

from strop.feedback import FeedbackCollector
from strop.feedback.similar import normalised
from strop.feedback.split import assign, corrections_for, record_test
from strop.feedback.split import corrected as by_side

WORDS = [
    "river",
    "stone",
    "bread",
    "cloud",
    "piano",
    "engine",
    "garden",
    "winter",
    "letter",
    "copper",
    "island",
    "forest",
    "bicycle",
    "shadow",
    "window",
    "candle",
    "market",
    "bridge",
    "planet",
    "doctor",
    "summer",
    "kettle",
    "pocket",
    "ladder",
    "orange",
    "silver",
    "tunnel",
    "velvet",
    "whistle",
    "yellow",
    "zipper",
    "anchor",
]


@pytest.fixture
def feedback(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        yield collector


def prompts(count, seed=0):
    chance = random.Random(seed)
    return [f"Tell me about {' '.join(chance.sample(WORDS, 6))}." for _ in range(count)]


def corrected(feedback, prompt, **fields):
    answer = feedback.record(prompt=prompt, answer="An answer.", **fields)
    feedback.correct(answer, "A better one.")
    return answer


def rated(feedback, prompt, **fields):
    answer = feedback.record(prompt=prompt, answer="An answer.", **fields)
    feedback.rate(answer, "up")
    return answer


def sides(feedback, ids, **options):
    places = assign(feedback.ledger, **options)
    return Counter(places[interaction_id].side for interaction_id in ids)


def test_eighty_corrections_are_shared_evenly_whatever_else_is_rated(feedback):
    with feedback.ledger.transaction():
        thumbs = [rated(feedback, prompt) for prompt in prompts(31, seed=1)]
        corrections = [corrected(feedback, prompt) for prompt in prompts(80, seed=2)]
    assert sides(feedback, corrections) == {"train": 40, "gate": 40}
    assert sides(feedback, thumbs) == {"train": 16, "gate": 15}


def test_the_share_stays_even_when_feedback_comes_one_by_one(feedback):
    ids = []
    for prompt in prompts(15):
        ids.append(corrected(feedback, prompt))
        assign(feedback.ledger)
    assert sides(feedback, ids) == {"train": 8, "gate": 7}


def test_a_choice_stands_when_more_comes(feedback):
    with feedback.ledger.transaction():
        first = [corrected(feedback, prompt) for prompt in prompts(20)]
    before = assign(feedback.ledger)
    with feedback.ledger.transaction():
        for prompt in prompts(20, seed=9):
            corrected(feedback, prompt)
        feedback.rate(first[0], "up")
    after = assign(feedback.ledger)
    assert set(first) == set(before)
    assert {key: after[key] for key in first} == before
    assert len(after) == 40


def test_the_same_ledger_in_any_order_gives_the_same_split(tmp_path):
    splits = []
    for number, step in enumerate((1, -1)):
        with FeedbackCollector(tmp_path / f"{number}.db") as feedback, feedback.ledger.transaction():
            for prompt in prompts(30)[::step]:
                corrected(feedback, prompt)
            splits.append(assign(feedback.ledger))
    assert splits[0] == splits[1]


def test_a_full_gate_takes_one_in_five(feedback):
    with feedback.ledger.transaction():
        ids = [corrected(feedback, prompt) for prompt in prompts(300)]
    shared = sides(feedback, ids, gate_prompts=10, gate_one_in=5)
    # 20 shared evenly, then 280 of which each goes to the gate with one chance in five: 56, standard deviation 6.7.
    assert 10 + 36 <= shared["gate"] <= 10 + 76


def test_a_conversation_stays_together(feedback):
    turns = [corrected(feedback, prompt, session="s", turn=turn) for turn, prompt in enumerate(prompts(6))]
    alone = [corrected(feedback, prompt) for prompt in prompts(6, seed=5)]
    places = assign(feedback.ledger)
    assert len({places[turn] for turn in turns}) == 1
    assert len({places[answer].cluster for answer in alone}) == 6
    later = corrected(feedback, "And something else entirely, if you please?", session="s", turn=6)
    assert assign(feedback.ledger)[later] == places[turns[0]]


def test_near_duplicates_stay_together_and_others_do_not(feedback):
    base = "Explain to a newcomer how a bicycle keeps its balance while it is moving along the road"
    same = [
        base,
        base.upper() + "?",
        f"  {base}!",
        base.replace("the road", "the roads"),
        base.replace("moving", "movin"),
    ]
    other = ["How do I bake bread?", "How do I bake brie?", "yes", "no", "Ω"]
    same_ids = [corrected(feedback, prompt, turn=turn) for turn, prompt in enumerate(same)]
    other_ids = [corrected(feedback, prompt) for prompt in other]
    places = assign(feedback.ledger)
    assert len({places[answer].cluster for answer in same_ids}) == 1
    assert len({places[answer].cluster for answer in (same_ids[0], *other_ids)}) == 6


def test_long_texts_are_compared_too(feedback):
    chance = random.Random(3)
    long = " ".join(chance.choices(WORDS, k=3000))
    one, two = corrected(feedback, long), corrected(feedback, long.replace("river", "stream", 5))
    third = corrected(feedback, " ".join(chance.choices(WORDS, k=3000)))
    places = assign(feedback.ledger)
    assert places[one].cluster == places[two].cluster != places[third].cluster


def test_a_shared_system_prompt_or_a_short_last_turn_joins_nothing(feedback):
    system = "You are a patient assistant of a small library in the mountains. " * 5
    ids = []
    for prompt in prompts(5):
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": "Shall I go on?"},
            {"role": "user", "content": "Yes."},
        ]
        answer = feedback.record(messages=messages, answer="So be it.")
        feedback.correct(answer, "No.")
        ids.append(answer)
    places = assign(feedback.ledger)
    assert len({places[answer].cluster for answer in ids}) == 5


def test_what_links_both_sides_trains_and_never_judges_again(feedback):
    first, second = (corrected(feedback, prompt, session=prompt) for prompt in prompts(2))
    before = assign(feedback.ledger)
    assert {place.side for place in before.values()} == {"train", "gate"}
    link = corrected(feedback, prompts(2)[1], session=prompts(2)[0], turn=5)
    after = assign(feedback.ledger)
    assert {after[answer].side for answer in (first, second, link)} == {"train"}
    later = corrected(feedback, "Which shoes are best for walking in the snow?", session=prompts(2)[0])
    assert assign(feedback.ledger)[later] == after[first]


def test_a_gate_prompt_that_served_in_three_tests_trains(feedback):
    with feedback.ledger.transaction():
        ids = [corrected(feedback, prompt) for prompt in prompts(4)]
    before = assign(feedback.ledger)
    judging = [answer for answer in ids if before[answer].side == "gate"]
    for number in range(3):
        assert assign(feedback.ledger) == before
        record_test(feedback.ledger, [judging[0]], f"test {number}")
        record_test(feedback.ledger, [judging[0]], f"test {number}")
    after = assign(feedback.ledger)
    assert after[judging[0]].side == "train"
    assert {answer: after[answer] for answer in ids if answer != judging[0]} == {
        answer: before[answer] for answer in ids if answer != judging[0]
    }
    near = corrected(feedback, feedback.ledger.interaction(judging[0]).prompt.upper(), turn=1)
    assert assign(feedback.ledger)[near].side == "train"


def test_only_what_the_owner_judged_is_split(feedback):
    feedback.record(prompt="nobody reacted", answer="a")
    feedback.note(feedback.record(prompt="a remark", answer="a"), "hm")
    feedback.rate(feedback.record(prompt="somebody else", answer="a"), "up", user="bob")
    mine = rated(feedback, "mine")
    assert set(assign(feedback.ledger)) == {mine}


def test_normalising_keeps_what_makes_a_question_another():
    assert normalised("  What  is\n\uff2c\uff4f\uff32\uff21? ") == "what is lora"
    assert normalised("?!") == "?!"
    assert normalised("2+2") != normalised("2-2")


@pytest.mark.parametrize(
    ("gate", "train", "more_gate", "more_train", "asked"),
    [
        (0, 0, 1, 0, 2),  # the first one trains
        (0, 0, 0, 1, 1),
        (2, 2, 8, 0, 16),
        (2, 3, 1, 0, 1),
        (2, 2, 0, 3, 5),
        (0, 4, 4, 0, 4),  # the gate lags behind
        (9, 9, 3, 0, 12),  # two until it holds ten, then five for each
        (10, 40, 4, 0, 20),
        (10, 40, 1, 8, 10),
        (3, 3, 0, 0, 0),
        (3, 3, -2, 0, 0),
    ],
)
def test_how_many_corrections_bring_so_many_more_to_a_side(gate, train, more_gate, more_train, asked):
    shares = {"more_gate": more_gate, "more_train": more_train, "gate_prompts": 10, "gate_one_in": 5}
    assert corrections_for(gate, train, **shares) == asked


@pytest.mark.parametrize("more_gate", [1, 2, 7])
def test_the_split_holds_out_what_was_said_and_not_one_correction_sooner(feedback, more_gate):
    given = iter(prompts(40))
    for _ in range(5):
        corrected(feedback, next(given))
    assign(feedback.ledger)
    before = by_side(feedback.ledger)
    assert before == (2, 3)
    asked = corrections_for(*before, more_gate=more_gate)
    for _ in range(asked - 1):
        corrected(feedback, next(given))
    assign(feedback.ledger)
    assert by_side(feedback.ledger)[0] < before[0] + more_gate
    corrected(feedback, next(given))
    rated(feedback, next(given))  # no correction: it counts on neither side
    assign(feedback.ledger)
    assert by_side(feedback.ledger)[0] == before[0] + more_gate
