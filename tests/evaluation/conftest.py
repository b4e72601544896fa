"""The scripted models and made-up results that the tests of the gate share."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

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
