"""The training stage: base models, recipes and methods, and `HuggingFaceTuner` for scripts.

Importing this loads nothing: the tuner comes with its first use, and torch with the tuner's first model.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strop.trainer.tuner import HuggingFaceTuner as HuggingFaceTuner

__all__ = ["HuggingFaceTuner"]


def __getattr__(name: str) -> Any:
    if name != "HuggingFaceTuner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from strop.trainer.tuner import HuggingFaceTuner

    return HuggingFaceTuner
