"""What a model in a script's hands stands on, and the LoRA that is on it: put on fresh, and taken off without a trace.

What is known of a model is kept on the model itself, so that a script may hold many and hand them over as it likes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from strop.trainer.models import BaseModel
from strop.trainer.recipe import LoadIn, Recipe
from strop.trainer.train import add_lora

# An entry of the model's own dictionary, which torch does not take for a layer.
_ENTRY = "_strop_kept"


@dataclass(frozen=True, slots=True)
class Attached:
    """A model's base, its bits in memory, and the adapter that is on it with the facts of its manifest."""

    base: BaseModel
    load_in: LoadIn
    adapter: Any = None
    facts: Mapping[str, Any] | None = None


def attached(model: Any) -> Attached | None:
    """What was remembered of a model, under a PEFT wrapper too; None of one that was loaded without Strop."""
    found = vars(_base_of(model)).get(_ENTRY)
    return found if isinstance(found, Attached) else None


def remember(base: Any, known: Attached) -> None:
    """Keep this with `base`, a model without a PEFT wrapper."""
    vars(base)[_ENTRY] = known


def bare(model: Any) -> Any:
    """The base under `model` with any earlier adapter taken off."""
    base, known = _base_of(model), attached(model)
    adapter = model if model is not base else known.adapter if known else None
    if adapter is not None:
        _take_off(adapter)
    return base


@contextmanager
def fresh_lora(base: Any, recipe: Recipe) -> Iterator[Any]:
    """`base` with a new adapter, which stays on it when the block ends well and comes off when it does not.

    The head that training puts before the model's own (`strop.trainer.head`) comes off in any case.
    """
    own = vars(base).get("forward")
    lora = add_lora(base, recipe)
    try:
        yield lora
    except BaseException:
        _take_off(lora)  # a half-trained adapter must not answer
        raise
    finally:
        vars(base).pop("forward", None)
        if own is not None:
            vars(base)["forward"] = own


def _base_of(model: Any) -> Any:
    """The model under a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _take_off(lora: Any) -> None:
    base, known = lora.get_base_model(), attached(lora)
    lora.unload()
    if hasattr(base, "peft_config"):
        del base.peft_config
    if known is not None:
        remember(base, Attached(known.base, known.load_in))
