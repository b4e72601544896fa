"""A judge model between two answers: both orders, one word, length taken out."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from strop.evaluation.preference import Pair, Preference, judged, together

PAIR = Pair("p", "c", "What is a bond?", "A loan.", "A very long story about money.")


class Judge:
    """Answers by a rule on (what stands as A, what stands as B)."""

    def __init__(self, rule: Callable[[str, str], str]) -> None:
        self.rule = rule
        self.asked: list[str] = []

    def generate(self, conversations: Any, *, max_tokens: int) -> list[Any]:
        return [SimpleNamespace(text=self._one(one[-1]["content"]), tokens=1, finished=True) for one in conversations]

    def _one(self, text: str) -> str:
        self.asked.append(text)
        first, second = (text.split(f"<answer_{x}>\n")[1].split(f"\n</answer_{x}>")[0] for x in "AB")
        return self.rule(first, second)


@pytest.mark.parametrize(
    ("rule", "choice"),
    [
        (lambda a, b: "A" if a == PAIR.ours else "B", "ours"),
        (lambda a, b: "**B**" if a == PAIR.ours else "answer_A", "theirs"),
        (lambda a, b: "A", "tie"),  # always the first: a habit, not an opinion
        (lambda a, b: "tie.", "tie"),
        (lambda a, b: "A" if a == PAIR.ours else "TIE", "tie"),
    ],
)
def test_a_preference_holds_in_both_orders_or_is_a_tie(rule: Callable[[str, str], str], choice: str) -> None:
    judge = Judge(rule)
    assert judged(judge, PAIR) == Preference(choice)  # type: ignore[arg-type]
    assert len(judge.asked) == 2


@pytest.mark.parametrize("text", ["", "Both are good.", "A or B", "A; rm -rf /", "C"])
def test_anything_but_one_word_is_an_error_and_is_not_repeated(text: str) -> None:
    found = judged(Judge(lambda a, b: text), PAIR)
    assert found.choice is None
    assert found.error == "the judge said neither A, B nor TIE"


def test_a_judge_that_fails_is_an_error() -> None:
    def fails(first: str, second: str) -> str:
        raise RuntimeError("it fell over")

    assert judged(Judge(fails), PAIR) == Preference(error="RuntimeError: it fell over")


def pairs(lengths: list[tuple[int, int]]) -> list[Pair]:
    return [Pair(str(n), f"c{n}", "?", "x" * ours, "y" * theirs) for n, (ours, theirs) in enumerate(lengths)]


def test_counts_margin_and_errors() -> None:
    asked = pairs([(10, 10)] * 10)
    told = [Preference("ours")] * 6 + [Preference("theirs")] + [Preference("tie")] * 2 + [Preference(error="no")]
    found = together(asked, {pair.id: one for pair, one in zip(asked, told, strict=True)})
    assert (found.wins, found.ties, found.losses, found.errors) == (6, 2, 1, 1)
    assert found.margin.mean == pytest.approx(5 / 9)
    assert found.margin.low < 5 / 9 < found.margin.high
    assert found.p_value == pytest.approx(2 * 8 / 128)
    assert "6 times" in found.sentence


def test_a_judge_that_only_likes_length_has_no_lean() -> None:
    asked = pairs([(300, 100), (280, 90), (250, 120), (400, 90), (90, 100), (350, 150)] * 5)
    told = {p.id: Preference("ours" if len(p.ours) > len(p.theirs) else "theirs") for p in asked}
    found = together(asked, told)
    assert found.margin.mean > 0.6
    assert abs(found.lean) < 0.3
    mirrored = [Pair(p.id, p.cluster, "?", p.theirs, p.ours) for p in asked]
    turned = {p.id: Preference("ours" if len(p.ours) > len(p.theirs) else "theirs") for p in mirrored}
    assert together(mirrored, turned).lean == pytest.approx(-found.lean)


def test_a_real_preference_keeps_its_lean_and_a_clean_sweep_stays_finite() -> None:
    asked = pairs([(100, 120), (120, 100)] * 10)
    found = together(asked, {pair.id: Preference("ours") for pair in asked})
    assert 0.7 < found.lean < 1
    assert together([], {}).lean == 0.0
