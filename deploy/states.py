"""The states of a version, and which may follow which.

    built ──▶ certified ──▶ gated ──▶ live ──▶ stable ───────▶ live (again)
      └───────────┴───────────┴──▶ refused ├──▶ replaced ─────▶ live (again)
                                           └──▶ rolled_back ──▶ live (an explicit rollback)

`live` is live and in probation. A version whose probation ended well is `stable` and stays the live row until another
one takes its place, so what users get is the row and never a state. One whose place was taken before that is
`replaced`: it did not fail, and it was not proven.

What is not live may become `forgotten` (feedback that it was made of was taken out, and its files with it) or `pruned`
(its files went for their space; the row says which), and `pruned` may become `forgotten`.
"""

from collections.abc import Mapping
from typing import Any, Literal

State = Literal[
    "built", "certified", "gated", "live", "stable", "replaced", "rolled_back", "refused", "forgotten", "pruned"
]

# The files are gone: no such version is served, counted as a file's row, or gone back to.
GONE = ("forgotten", "pruned")
# Users had it, and nothing was found against it.
UNREFUTED = ("stable", "replaced")
# Users had it and have it no more: a rollback may go back to it.
LEFT = (*UNREFUTED, "rolled_back")

NEXT: Mapping[str, frozenset[str]] = {
    "built": frozenset({"certified", "refused", *GONE}),
    "certified": frozenset({"gated", "refused", *GONE}),
    "gated": frozenset({"live", "refused", *GONE}),
    "live": frozenset(LEFT),
    "stable": frozenset({"live", "rolled_back", *GONE}),
    "replaced": frozenset({"live", "rolled_back", *GONE}),
    "rolled_back": frozenset({"live", *GONE}),
    "refused": frozenset(GONE),
    "pruned": frozenset({"forgotten"}),
    "forgotten": frozenset(),
}


def proves(to_state: str, evidence: Mapping[str, Any]) -> bool:
    """Whether a change of state says that a probation ended well.

    Earlier releases also called a version stable when another one took its place.
    """
    return to_state == "stable" and "replaced_by" not in evidence
