"""The morning report says what was decided, and no answer can break out of it."""

import re

import pytest

from strop.evaluation import Policy, decide
from strop.evaluation.measure import Answer, Measured
from strop.evaluation.report import markdown, telling
from strop.evaluation.wanted import Side, WantedItem, compare_sides

NASTY = "```\n# Not a heading\n<script>alert(1)</script>\n`````\n| a | b |"


def details(wins=12, losses=4):
    items, ours, theirs = [], [], []
    for i in range(wins + losses):
        chosen = f"w{i}a w{i}b w{i}c"
        items.append(WantedItem(f"i{i}", ({"role": "user", "content": NASTY},), chosen, "no such", f"c{i}"))
        ours.append(Answer(chosen if i < wins else "off", 3, True))
        theirs.append(Answer("off" if i < wins else chosen, 3, True))
    sides = [Side(tuple(texts), (Measured(0.0),) * len(items)) for texts in (ours, theirs)]
    return compare_sides(items, *sides, Policy())


@pytest.mark.parametrize(
    ("wins", "losses", "says"), [(27, 8, "is better"), (12, 10, "Undecided"), (8, 27, "current model stays")]
)
def test_first_line_is_the_verdict_and_all_reasons_follow(scripted, wins, losses, says):
    verdict = decide([*scripted.wanted(wins, losses), *scripted.skill(), *scripted.never()], Policy())
    text = markdown(verdict)
    assert says in text.splitlines()[0]
    assert text.count("\n- ") >= len(verdict.reasons)
    assert "skill/facts" in text


def test_at_most_eight_examples_with_losses_among_them():
    shown = telling(details())
    assert [d.outcome for d in shown] == ["win"] * 5 + ["loss"] * 3
    assert [d.outcome for d in telling(details(wins=12, losses=0))] == ["win"] * 8
    assert [d.outcome for d in telling(details(wins=1, losses=12))] == ["win"] + ["loss"] * 7
    assert telling(()) == []


def test_no_answer_breaks_out_of_its_fence(scripted):
    verdict = decide([*scripted.wanted(27, 8), *scripted.skill(), *scripted.never()], Policy())
    text = markdown(verdict, details(), {"minutes": "3 | <b>4</b>", "note": "two\nlines"})
    outside, fence = [], ""
    for line in text.splitlines():
        run = re.match("`{3,}", line)
        if not fence and run:
            fence = run[0]
        elif fence and line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert fence == ""
    assert not any("script" in line or "Not a heading" in line for line in outside)
    assert "- note: two lines" in outside
    assert r"- minutes: 3 \| \<b\>4\</b\>" in outside


def test_a_verdict_on_nothing_is_still_a_report():
    text = markdown(decide([], Policy()), next_steps=["Run `strop doctor`"])
    assert text.startswith("# Undecided")
    assert "strop doctor" in text
