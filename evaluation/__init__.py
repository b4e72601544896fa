"""The gate: is the candidate proven better than the model that answers now?

`decide` is a pure function of recorded `ItemResult`s. `measure` records them from any `Model` (see `model.py`),
`suites` hold the skill items, `wanted` reads held-out corrections, `probes` hold the vetoes; `report` and `page` write
it down. Importing this package loads nothing but itself; a name of `__all__` brings its room when it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strop.evaluation.compare import Estimate
    from strop.evaluation.error import Test
    from strop.evaluation.gate import decide
    from strop.evaluation.results import ItemResult, Policy, Verdict
else:
    _ROOMS = {
        "Estimate": "compare",
        "ItemResult": "results",
        "Policy": "results",
        "Test": "error",
        "Verdict": "results",
        "decide": "gate",
    }

    def __getattr__(name: str) -> object:
        """The name out of its room (PEP 562)."""
        from importlib import import_module

        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


__all__ = ["Estimate", "ItemResult", "Policy", "Test", "Verdict", "decide"]
