"""Fixtures shared by all tests."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _sibling(name: str) -> ModuleType:
    # In importlib mode the tests are no package and their folder is not on the path.
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"strop_tests_{name.replace('/', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_model() -> ModuleType:
    """The module tests/tiny_model.py: makes tiny bases of several families."""
    return _sibling("tiny_model")


@pytest.fixture(scope="session")
def llama_server() -> ModuleType:
    """The module tests/llama_server.py: runs llama-server on a GGUF in a child process."""
    return _sibling("llama_server")


@pytest.fixture(scope="session")
def tiny_base(tiny_model: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Llama: config.json, model.safetensors, tokenizer.json. Do not write to it."""
    return tiny_model.make_base(tmp_path_factory.mktemp("tiny-base"))


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """The module tests/deploy/fake_ollama.py."""
    return _sibling("deploy/fake_ollama")


@pytest.fixture
def fake_ollama(fakes: ModuleType) -> Iterator[Any]:
    """A fake Ollama of its own for each test."""
    with fakes.running() as server:
        yield server


@pytest.fixture(scope="session")
def hubs() -> ModuleType:
    """The module tests/deploy/fake_hub.py."""
    return _sibling("deploy/fake_hub")


@pytest.fixture
def stand_in(hubs: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A Hub of the test's own, which huggingface_hub takes for the real one; retries do not wait."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with hubs.running() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
        monkeypatch.setenv("HF_TOKEN", hubs.TOKEN)
        yield server
