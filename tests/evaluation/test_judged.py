"""The report after `strop judge` shows the pairs that a person compared, and no answer breaks out of it."""

from dataclasses import fields

from strop.evaluation import Policy, decide
from strop.evaluation.judged import Compared, JudgedReport
from strop.evaluation.page import page
from strop.evaluation.report import Report, markdown
from strop.evaluation.report import markdown as plain

NASTY = "```\n# Not a heading\n<script>alert(1)</script>\n`````\x1b[2J"
PAIRS = (
    Compared("Who is there?", "before one", "after one", "after"),
    Compared(NASTY, NASTY, NASTY, "before"),
    Compared("And now?", "before three", "x" * 10_000, "neither"),
)


def judged(report: Report) -> JudgedReport:
    return JudgedReport(**{field.name: getattr(report, field.name) for field in fields(Report)}, pairs=PAIRS)


def test_every_pair_is_shown_with_what_was_chosen(scripted):
    report = judged(Report(decide([*scripted.wanted(0, 0), *scripted.skill()], Policy())))
    for text in (markdown(report), page(report)):
        assert "No answers were compared" not in text
        assert "A person compared 3 pairs of answers, blind: of 1 they chose the new answer, of 1 the answer" in text
        titles = ["The new answer was chosen", "The answer before was chosen", "No difference was seen"]
        places = [text.index(title) for title in titles]
        assert places == sorted(places)
        assert text.index("before one") < text.index("after one") < text.index("before three")
        assert "x" * 1_200 in text
        assert "x" * 1_201 not in text
    text = markdown(report)
    assert (
        text.index("## What changed") < text.index("### The new answer was chosen") < text.index("## What to do next")
    )


def test_no_compared_answer_breaks_out(scripted):
    report = judged(Report(decide([*scripted.wanted(0, 0)], Policy())))
    text, html = markdown(report), page(report)
    assert f"``````text\n{NASTY}".replace("\x1b", "‹U+001B›") in text
    assert "<script>" not in html
    assert "\x1b" not in text + html


def test_a_report_that_nobody_judged_is_as_ever(scripted):
    report = scripted.report(NASTY)
    assert markdown(report) == plain(report)
