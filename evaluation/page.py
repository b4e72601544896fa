"""The morning report as one HTML file: no script, nothing loaded, light and dark.

Everything that is shown goes through the template's escaping, and the page's Content-Security-Policy allows its own
stylesheet, by its hash, and nothing else: what a person or a model wrote can neither run nor load anything.
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from strop.evaluation import interval
from strop.evaluation.judged import JudgedReport
from strop.evaluation.report import Report, shown, visible

if TYPE_CHECKING:
    from jinja2 import Template


def page(report: Report) -> str:
    """The whole file."""
    css = _resource("page.css")
    return _template().render(
        report=report,
        reasons=[visible(reason) for reason in report.verdict.reasons],
        examples=shown(report.details),
        pairs=[pair.shown() for pair in report.pairs] if isinstance(report, JudgedReport) else [],
        plots=interval.plots(report.verdict.estimates, report.margin),
        width=interval.WIDTH,
        height=interval.HEIGHT,
        notes=[visible(note) for note in report.notes],
        steps=[_spans(step) for step in report.steps],
        css=css,
        css_sha256=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
    )


def _spans(text: str) -> list[tuple[bool, str]]:
    """A sentence as (is a command, text): what stands in backticks is one."""
    return [(bool(number % 2), part) for number, part in enumerate(re.split("`", visible(text))) if part]


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html.j2"))


def _resource(name: str) -> str:
    return (files("strop.evaluation") / name).read_text(encoding="utf-8")
