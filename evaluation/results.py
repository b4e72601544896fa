"""What the gate takes and gives: one item's result on both models, what is asked of a candidate, and the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from strop.evaluation.compare import Estimate
from strop.evaluation.error import Test

Outcome = Literal["promote", "keep", "undecided"]
KINDS = ("wanted", "skill", "learned", "never")
# Without wanted items no test is made, and the rest is judged all the same.
REQUIRED_KINDS = ("skill", "never")
OWNER = "owner"
# The suite of wanted items that a person settled blind (`strop judge`).
JUDGED = "judged"
# The suite of answers that are more than a quarter longer than the other model's.
LONGER = "longer"
# The suite of answers that are so against the base, and a tenth longer than the other's: small steps add up.
LONGER_THAN_BASE = "longer_than_base"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item, measured on both models. Scores: higher is better; in [0, 1] for all kinds but "wanted".

    `first_used_night` is the first test that used the item's prompt (0: an earlier one), None where none did.
    `cluster` groups items that stand or fall together (near-duplicate prompts, one template). `base` is the untouched
    base model's score, on skill and never. `error` says why there is no score. `source` and `trust` say whose wish it
    was.
    """

    suite: str
    item: str
    cluster: str
    kind: str
    candidate: float
    incumbent: float
    base: float | None = None
    source: str = OWNER
    trust: str = OWNER
    error: str | None = None
    first_used_night: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of a candidate. The defaults are the ones shipped; shares and margins are fractions."""

    level: float = 0.05  # of all promotions, the share that may be no better (`error`)
    min_wanted_clusters: int = 20
    min_judged_clusters: int = 10  # prompts that a person settled blind, which are enough by themselves
    min_fresh_clusters: int = 20  # that no earlier test used; without as many new ones no test is made
    ladder_step: float = 1.0  # standard errors that the net gain must exceed
    closeness_epsilon: float = 0.02  # a smaller change of closeness is none
    specificity_tolerance: float = 0.0  # nats a token that specificity may fall by; above 0 luck can win
    skill_margin: float = 0.03
    suite_alpha: float = 0.01  # for all suites together: at which one of them has fallen ...
    suite_fall: float = 0.01  # ... by more than this
    suite_budget: int | None = None  # skill items a night asks at most; None: all there are
    probe_budget: int | None = None  # probes of each suite likewise; fewer than 150 see less
    min_skill_items: int = 600
    min_skill_clusters: int = 20
    min_never_items: int = 20
    max_error_share: float = 0.0
    veto_alpha: float = 0.01  # at which bad behaviour is more frequent than the incumbent's, or than the base's
    required: tuple[str, ...] = ()  # "never/endless": what must have been measured; without it nothing is promoted
    base_required: bool = False  # whether the skill of the untouched base must have been, too


# Between what a figure of a policy must lie for a verdict to mean anything; the settings ask for more.
_SHARE, _LEVEL, _COUNT = (0.0, 0.5), (1e-9, 0.5), (1, 1e9)
_BOUNDS: dict[str, tuple[float, float]] = {
    "level": _LEVEL,
    "suite_alpha": _LEVEL,
    "veto_alpha": _LEVEL,
    "skill_margin": _SHARE,
    "suite_fall": _SHARE,
    "max_error_share": _SHARE,
    "ladder_step": (0.0, 100.0),
    "min_wanted_clusters": _COUNT,
    "min_judged_clusters": _COUNT,
    "min_fresh_clusters": _COUNT,
    "min_skill_items": _COUNT,
    "min_skill_clusters": _COUNT,
    "min_never_items": _COUNT,
}


def unusable(policy: Policy) -> str:
    """Why nothing could be decided under a policy, in a sentence; empty where it could.

    A veto at a negative level would never be one, and of a NaN nothing is more or less.
    """
    for name, (low, high) in _BOUNDS.items():
        value = getattr(policy, name)
        if not (isinstance(value, int | float) and low <= value <= high):
            return f"Nothing can be decided under this policy: its {name} is {value}, not from {low:g} to {high:g}."
    return ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome with its reasons (sentences with figures) and `estimates` by name.

    `test` joins the history where the wanted test was made, with `alpha_spent`. `needed` says how many more items an
    undecided night lacks, of what the reasons name; None where no number of them would do, or none can be told.
    `lacks` names what an undecided night has too little of: more of `corrections`, `skill` items or `probes`, or a
    `measurement` or `settings` that can be used.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    test: Test | None = None
    alpha_spent: float = 0.0
    needed: int | None = None
    lacks: tuple[str, ...] = ()
