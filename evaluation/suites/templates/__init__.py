"""Templates that make skill items from a seed, so that items can be renewed while their clusters stay.

All items are original, written for Strop, and under the project's licence, Apache-2.0. A template is a small function
from a `random.Random` to one question, or a table of rows; `form` draws its items. Add one to the file of its topic:
most bases should pass between a third and four fifths of its items (`benchmarks/suite.py` measures that).
"""

from typing import Any

from strop.evaluation.suites.templates import (
    arithmetic,
    code,
    extraction,
    facts,
    german,
    grammar,
    instructions,
    korean,
    reasoning,
    rewriting,
    tone,
    units,
    words,
)
from strop.evaluation.suites.templates.form import Template, rows

_TOPICS = (
    *(facts, words, grammar, arithmetic, units, extraction, rewriting, reasoning, code, instructions, tone),
    *(korean, german),
)

TEMPLATES: tuple[Template, ...] = tuple(template for module in _TOPICS for template in module.topic.templates)


def made_rows(seed: int, per_template: int) -> list[dict[str, Any]]:
    """At most `per_template` items of every template, in the suite's format."""
    return [row for template in TEMPLATES for row in rows(template, seed, per_template)]
