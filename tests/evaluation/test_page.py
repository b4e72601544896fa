"""The page holds what the Markdown holds, and nothing in it is anybody else's markup."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from strop.evaluation import Policy, decide
from strop.evaluation.page import page
from strop.evaluation.report import Report, markdown
from strop.evaluation.results import Verdict


class Read(HTMLParser):
    """The elements of a page, and the ones that are still open at its end."""

    VOID = ("meta", "link", "img", "line", "path", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_every_part_is_there(scripted):
    report = scripted.report()
    text = page(report)
    read = Read(text)
    assert read.open == []
    assert text.startswith("<!doctype html>")
    assert re.findall("<h2[^>]*>(.*)</h2>", text) == [
        *("What changed", "Figures", "What was learned from", "Minutes and cost", "What to do next"),
    ]
    assert read.tags.count("h1") == 1
    assert read.tags.count("article") == 8
    assert read.tags.count("svg") == len(report.verdict.estimates) > 5
    assert read.tags.count("caption") == read.tags.count("table") == 4
    assert ("lang", "en") in read.attributes
    assert '<svg viewBox="0 0 240 44" role="img" aria-labelledby="plot-1">\n<title id="plot-1">wanted' in text
    assert "<code>strop chat</code>" in text
    assert "(no text)" in page(scripted.report(" \n"))


def test_what_people_and_models_wrote_is_text(scripted):
    hostile = scripted.HOSTILE.format(server="http://127.0.0.1:9")
    text = page(scripted.report(hostile))
    harmless, attacked = Read(page(scripted.report())), Read(text)
    assert attacked.tags == harmless.tags
    assert not {"script", "img", "link", "iframe"} & set(attacked.tags)
    assert not [name for name, _ in attacked.attributes if name in ("src", "href", "style") or name.startswith("on")]
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "‹U+202E›txet" in text
    assert "x" * 1_300 not in text
    page(scripted.report("\ud800\x00")).encode()


def test_nothing_is_allowed_but_the_pages_own_stylesheet(scripted):
    text = page(scripted.report())
    (css,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', text)
    hashed = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{hashed}'"]
    assert "url(" not in css
    assert "@import" not in css


def test_a_verdict_on_nothing_is_still_a_page():
    text = page(Report(decide([], Policy()), next_steps=["Run `strop doctor`"]))
    assert Read(text).open == []
    assert "No answers were compared." in text
    assert "<code>strop doctor</code>" in text
    assert "<table" not in text


@pytest.mark.parametrize(
    ("lacks", "step"),
    [
        ("corrections", "Correct more answers"),
        ("skill", "gate.suite_budget"),
        ("probes", "gate.probe_budget"),
        ("measurement", "strop doctor"),
        ("settings", "strop.toml"),
    ],
)
def test_an_undecided_night_says_what_to_do_about_what_it_lacks_and_nothing_else(lacks, step):
    steps = ("Correct more answers", "gate.suite_budget", "gate.probe_budget", "strop doctor", "strop.toml")
    report = Report(Verdict("undecided", ("Why.",), lacks=(lacks,)))
    for text in (page(report), markdown(report)):
        assert [one for one in steps if one in text] == [step]
        assert "strop night" in text


def test_what_p_is_stands_where_a_reason_speaks_of_it():
    for text, told in (("1 of 2, p = 0.5", True), ("Nothing was measured.", False)):
        report = Report(Verdict("keep", (text,)))
        assert ("if the two models were equally good" in page(report)) is told
        assert ("if the two models were equally good" in markdown(report)) is told


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_text_has_contrast_on_every_ground(theme, scripted):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    (css,) = re.findall("<style>(.*?)</style>", page(scripted.report()), re.DOTALL)
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", {"light": light, "dark": dark}[theme]))
    assert set(colours) == {"ground", "card", "ink", "muted", "rule", "good", "bad", "open", "mark"}
    for text in ("ink", "muted", "good", "bad", "open", "mark"):
        for ground in ("ground", "card"):
            low, high = sorted((_luminance(colours[text]), _luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
