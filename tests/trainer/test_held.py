"""Which rows are held out: enough of them, the same each time, and no prompt on both sides."""

import pytest

from strop.trainer.held import held_prompts, prompt_of
from strop.trainer.rowfile import Row


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(n, ({"role": "user", "content": f"question {n}"},), f"answer {n}") for n in range(start, start + count)]


def held(found: list[Row], share: float) -> int:
    prompts = held_prompts([found], share)
    return sum(prompt_of(row) in prompts for row in found)


@pytest.mark.parametrize(
    ("count", "share", "wanted"),
    [
        *((0, 0.1, 0), (1, 0.1, 0), (2, 0.1, 1), (10, 0.1, 1), (19, 0.1, 2), (20, 0.1, 4), (40, 0.1, 4)),
        *((41, 0.1, 5), (500, 0.1, 50), (20, 0.0, 0), (2, 1.0, 1)),
    ],
)
def test_a_share_is_held_out_and_at_least_four_of_twenty(count: int, share: float, wanted: int) -> None:
    assert held(rows(count), share) == wanted


@pytest.mark.parametrize("start", range(0, 2000, 20))
def test_no_twenty_rows_are_unlucky(start: int) -> None:
    assert held(rows(20, start), 0.1) == 4


def test_the_order_of_the_rows_changes_nothing() -> None:
    found = rows(50)
    assert held_prompts([found], 0.1) == held_prompts([found[::-1]], 0.1)


def test_answers_to_one_prompt_stay_together_and_something_is_left_to_train_on() -> None:
    same = [Row(n, ({"role": "user", "content": "Why?"},), f"answer {n}") for n in range(30)]
    assert held_prompts([same], 0.1) == frozenset()
    two = [*same, *rows(1)]
    assert held(two, 0.1) in (1, 30)


def test_what_one_stage_holds_out_no_other_trains_on() -> None:
    first, second = rows(40), rows(40, 20)
    prompts = held_prompts([first, second], 0.1)
    for stage in (first, second):
        assert sum(prompt_of(row) in prompts for row in stage) >= 4
    assert held_prompts([first, first], 0.1) == held_prompts([first], 0.1)


def test_plain_text_is_its_own_prompt() -> None:
    found = [Row(n, (), None, text=f"text {n}") for n in range(20)]
    assert held(found, 0.1) == 4
