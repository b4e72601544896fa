"""The gate: is the candidate proven better than the model that answers now?

`decide` is a pure function of recorded `ItemResult`s. `measure` records them from any `Model` (see `model.py`),
`suites` hold the skill items, `wanted` reads held-out corrections, `probes` hold the vetoes; `report` and `page` write
it down.
"""

from strop.evaluation.compare import Estimate
from strop.evaluation.error import Test
from strop.evaluation.gate import decide
from strop.evaluation.results import ItemResult, Policy, Verdict

__all__ = ["Estimate", "ItemResult", "Policy", "Test", "Verdict", "decide"]
