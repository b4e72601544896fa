"""The scripted models and made-up results that the tests of the gate share."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module scripted.py beside this file; in importlib mode no folder of tests is on the path."""
    spec = importlib.util.spec_from_file_location(
        "strop_tests_evaluation_scripted", Path(__file__).with_name("scripted.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while the class is being made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def night(scripted: ModuleType) -> Callable[..., list[Any]]:
    """A night's results: 27 to 8 wanted, even skill, no bad answers, unless said otherwise."""

    def make(wanted: Any = None, skill: Any = None, never: Any = None) -> list[Any]:
        found: list[Any] = scripted.wanted(27, 8, 3) if wanted is None else wanted
        found = found + (scripted.skill() if skill is None else skill)
        return found + (scripted.never() if never is None else never)

    return make
