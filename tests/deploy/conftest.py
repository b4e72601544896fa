"""Fixtures for the deploy tests: a real Ollama with a real small model, and the tiny base as GGUF."""

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_HERE = Path(__file__).parent


def _module(path: Path) -> ModuleType:
    # In importlib mode the tests are no package and their folder is not on the path.
    spec = importlib.util.spec_from_file_location(f"strop_tests_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_ollama_module() -> ModuleType:
    """The module tests/ollama/server.py."""
    return _module(_HERE.parent / "ollama" / "server.py")


@pytest.fixture(scope="session")
def smollm2_gguf(real_ollama_module: ModuleType) -> Path:
    """SmolLM2-135M-Instruct as Q4_1; do not write to it. Skips with the reason where it cannot be had."""
    try:
        return Path(real_ollama_module.smollm2(real_ollama_module.cache_folder()))
    except real_ollama_module.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def ollama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real Ollama keeps all its files."""
    return tmp_path_factory.mktemp("ollama")


@pytest.fixture(scope="session")
def ollama_models(ollama_folder: Path) -> Path:
    """Its models folder."""
    return ollama_folder / "models"


@pytest.fixture(scope="session")
def real_ollama(real_ollama_module: ModuleType, ollama_folder: Path) -> Iterator[str]:
    """The address of a real Ollama with an empty store. Skips with the reason where there can be none."""
    with ExitStack() as stack:
        try:
            program = real_ollama_module.program(real_ollama_module.cache_folder())
            host = stack.enter_context(real_ollama_module.serving(program, ollama_folder))
        except real_ollama_module.Unavailable as error:
            pytest.skip(str(error))
        yield host


@pytest.fixture(scope="session")
def tiny(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny base, resolved as the trainer does."""
    from strop.trainer.models import resolve

    return resolve(str(tiny_base), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_f16(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as F16 GGUF. Do not write to it."""
    from strop.deploy.base import base_gguf

    return base_gguf(tiny, tmp_path_factory.mktemp("builds"))


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: ModuleType, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LoRA adapter of the tiny base. Do not write to it."""
    return Path(tiny_model.make_adapter(tiny_base, tmp_path_factory.mktemp("adapter")))
