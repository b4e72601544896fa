"""The demo's person: one taste, and the prompts that ship with the answers that this person would have given."""

import re

import pytest

from strop.demo.person import MAX_WORDS, dealt, likes, objection, wishes
from strop.feedback.pairs import has_template_tokens
from strop.feedback.similar import normalised

WORDS = "word " * (MAX_WORDS - 1)


@pytest.mark.parametrize(
    "answer",
    [
        "Plants turn light into sugar.",
        "  Plants turn light into sugar.\n",
        "Why not?",
        f"{WORDS}word.",
        "It costs 3.50 euros, or about 4 dollars.",
        "Thankfully, hiking is healthy.",
        "A well-known part-time job.",
        "Use `len(text)` to count it.",
    ],
)
def test_one_plain_sentence_is_liked(answer: str) -> None:
    assert objection(answer) is None
    assert likes(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "it is empty"),
        (" \n ", "it is empty"),
        (f"{WORDS}one word.", "21 words are more than 20"),
        ("Plants grow.\nThey need light.", "it has several lines"),
        ("Plants grow. They need light.", "it is more than one sentence"),
        ("Really? Yes!", "it is more than one sentence"),
        ("Plants grow", "its sentence has no end"),
        ("Here it is:", "its sentence has no end"),
        ("Sure, plants grow.", "it begins with a pleasantry"),
        ("**Certainly** plants grow.", "it begins with a pleasantry"),
        ("Great question, plants grow.", "it begins with a pleasantry"),
        ("Thanks for asking, plants grow.", "it begins with a pleasantry"),
        ("I'm happy to help with plants.", "it begins with a pleasantry"),
        ("As an AI, plants grow.", "it begins with a pleasantry"),
        ("- plants grow.", "it is a list or has markup"),
        ("1) plants 2) light.", "it is a list or has markup"),
        ("Plants **grow** here.", "it is a list or has markup"),
        ("# Plants grow.", "it is a list or has markup"),
    ],
)
def test_what_is_disliked_is_said(answer: str, said: str) -> None:
    assert objection(answer) == said
    assert not likes(answer)


def test_the_shipped_prompts_are_many_different_and_of_many_kinds() -> None:
    shipped = wishes()
    assert len(shipped) == 300
    for texts in ([w.id for w in shipped], [normalised(w.prompt) for w in shipped], [w.answer for w in shipped]):
        assert len(set(texts)) == 300
    assert len({wish.kind for wish in shipped}) >= 20
    # The kinds take turns: whichever part trains, judges or is shown, all kinds are in it.
    assert {wish.kind for wish in shipped[:80]} == {wish.kind for wish in shipped[-120:]}


def test_every_shipped_answer_meets_the_taste_and_stands_in_its_own_words() -> None:
    for wish in wishes():
        assert objection(wish.answer) is None, wish
        assert normalised(wish.answer) != normalised(wish.prompt), wish
        assert not has_template_tokens(wish.prompt + wish.answer), wish
        assert re.fullmatch(r"\S.*\S", wish.prompt), wish


@pytest.mark.parametrize("shift", [1, 7, 19])
def test_dealt_answers_are_the_same_ones_and_none_is_in_place(shift: int) -> None:
    answers = [wish.answer for wish in wishes()[:20]]
    wrong = dealt(answers, shift)
    assert sorted(wrong) == sorted(answers)
    assert not [one for one, other in zip(answers, wrong, strict=True) if one == other]


@pytest.mark.parametrize("shift", [0, 20, -1])
def test_a_shift_that_changes_nothing_is_refused(shift: int) -> None:
    with pytest.raises(ValueError, match="leaves 20 answers where they are"):
        dealt([str(number) for number in range(20)], shift)
