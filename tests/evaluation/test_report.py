"""The morning report says what was decided, and no answer can break out of it."""

import re
from dataclasses import replace

import pytest

from strop.evaluation import Policy, decide
from strop.evaluation.compare import Estimate
from strop.evaluation.report import Report, duration, figure, markdown, shown, telling, visible

NASTY = "```\n# Not a heading\n<script>alert(1)</script>\n`````\n| a | b |"


@pytest.mark.parametrize(
    ("wins", "losses", "says"), [(27, 8, "is better"), (12, 10, "Undecided"), (8, 27, "current model stays")]
)
def test_first_line_is_the_verdict_and_all_reasons_follow(scripted, wins, losses, says):
    verdict = decide([*scripted.wanted(wins, losses), *scripted.skill(), *scripted.never()], Policy())
    text = markdown(Report(verdict))
    assert says in text.splitlines()[0]
    assert text.count("\n- ") >= len(verdict.reasons)
    assert "skill/facts" in text


def test_every_part_is_there_in_its_order(scripted):
    text = markdown(scripted.report())
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        *("What changed", "Figures", "What was learned from", "Minutes and cost", "What to do next"),
    ]
    assert "Of 35 answers to held-out prompts 27 came closer to what was asked, 8 moved away" in text
    assert "candidate v0003-0a1b2c3d against the current model v0002-9f8e7d6c" in text
    assert "begun 26 November 2026, 03:15 UTC" in text
    assert "- 160 answers to imitate (SFT)\n- 152 pairs" in text
    assert "thumb (KTO)" not in text
    assert "- 12 reactions of people whose word does not train (yet)\n- 3 too long\n- 1 unheard of" in text
    assert "- train: 5.2 minutes\n- build: done by an earlier run\n- certify: 9 s" in text
    assert "- together: 7.0 minutes" in text
    assert "Cost: 0: all of it ran on this machine." in text


def test_at_most_eight_examples_with_losses_among_them(scripted):
    found = telling(scripted.details())
    assert [d.outcome for d in found] == ["win"] * 5 + ["loss"] * 3
    assert [d.outcome for d in telling(scripted.details(wins=12, losses=0))] == ["win"] * 8
    assert [d.outcome for d in telling(scripted.details(wins=1, losses=12))] == ["win"] + ["loss"] * 7
    assert telling(()) == []


def test_no_answer_breaks_out_of_its_fence(scripted):
    report = scripted.report(NASTY)
    text = markdown(replace(report, notes=["two\nlines | <b>4</b>"], verdict=replace(report.verdict, reasons=())))
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
    assert r"- two lines \| \<b\>4\</b\>" in outside


def test_long_answers_are_cut_and_what_steers_a_text_is_shown(scripted):
    (one, *_) = shown(scripted.details(said="y" * 10_000 + "end"))
    assert len(one.asked) < 1_300
    assert one.asked.endswith("y …")
    assert visible("a\u202eb\x1b[1m\ud800\r\n\tc") == "a‹U+202E›b‹U+001B›[1m‹U+D800›\n\tc"
    markdown(scripted.report("\ud800")).encode()


def test_what_has_no_bound_says_so():
    assert figure("skill", -0.049) == "−4.9 points"
    assert figure("never/endless", 0.05) == "5.0 %"
    assert figure("skill", float("inf")) == "no bound"
    assert figure("skill", float("nan")) == "not known"
    assert (duration(59.4), duration(59.6)) == ("59 s", "1.0 minutes")


def test_a_verdict_on_nothing_is_still_a_report():
    text = markdown(Report(decide([], Policy()), next_steps=["Run `strop doctor`"]))
    assert text.startswith("# Undecided")
    assert "strop doctor" in text
    assert "No answers were compared." in text
    assert "Minutes" not in text


def test_an_open_figure_is_in_the_table(scripted):
    verdict = replace(scripted.report().verdict, estimates={"learned": Estimate(0.1, -float("inf"), float("inf"), 1)})
    assert "| what earlier nights learned | +10.0 points | no bound | no bound | 1 |" in markdown(Report(verdict))
