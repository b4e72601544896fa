"""Choice items by letter: what passes, what does not, and that no question passes by being repeated."""

import pytest

from strop.errors import BadSuite
from strop.evaluation import graders, suites
from strop.evaluation.lettered import lettered
from strop.evaluation.suites import SuiteItem

ITEM = SuiteItem("i", "s", "c", "Capital of Portugal?", ("Athens", "Lisbon (city)", "Madrid"), 1)


@pytest.mark.parametrize(
    "answer",
    ["B", "b", "B.", "(B)", "[B]", "**B**", "B)", "B: Lisbon (city).", " B\n", "Answer: B", "The correct answer is B."],
)
def test_the_letter_passes_however_it_is_set(answer: str) -> None:
    assert graders.grade(lettered([ITEM])[0].grader, answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["", "A", "A or B", "B or A", "Lisbon (city)", "B. Athens", "A. Athens\nB. Lisbon (city)", "Because", "BB"],
)
def test_anything_else_fails(answer: str) -> None:
    assert graders.grade(lettered([ITEM])[0].grader, answer) == 0.0


def test_every_shipped_choice_item_can_be_asked_by_letter() -> None:
    items = suites.load()
    asked = lettered(items)
    assert [one.id for one in asked] == [one.id for one in items]
    assert not any(one.choices for one in asked)
    for item, one in zip(items, asked, strict=True):
        graders.check(one.grader)
        assert graders.grade(one.grader, one.prompt) == 0.0
        assert item.choices or one == item


def test_more_choices_than_letters_are_refused() -> None:
    many = SuiteItem("many", "s", "c", "?", tuple(map(str, range(27))), 0)
    with pytest.raises(BadSuite, match="'many' has 27 choices"):
        lettered([many])
