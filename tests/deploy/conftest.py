"""Fixtures for the deploy tests: a real Ollama, the tiny base as GGUF, a trained adapter, and certificates of both."""

import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_HERE = Path(__file__).parent
ANSWER = (
    "A strop is the leather that keeps a razor keen: a little, daily, without grinding it away. "
    "It takes 12 eggs, and the dog does not mind at all."
)


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


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    """The module tests/deploy/planted.py."""
    return _module(_HERE / "planted.py")


@pytest.fixture(scope="session")
def conversations() -> list[Any]:
    """Forty questions, to start answers from."""
    return [[{"role": "user", "content": f"Question number {number}: what is it?"}] for number in range(40)]


@pytest.fixture(scope="session")
def trained(tiny: Any, conversations: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has learned one answer so well that each of its tokens is a clear choice. Do not write to it."""
    import torch

    from strop.trainer import plan
    from strop.trainer.recipe import Recipe, StageRecipe
    from strop.trainer.work import Job, work

    folder = tmp_path_factory.mktemp("trained")
    rows = [{"prompt": one[0]["content"], "completion": ANSWER} for one in conversations]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe((StageRecipe("sft", 30.0, 1e-2, 10),), rank=8, alpha=16, max_length=256, precision="fp32")
    files = {"sft": str(folder / "rows.jsonl")}
    job = Job(str(tiny.folder), tiny.facts(), files, recipe.as_dict(), str(folder / "adapter"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them wait for one another longer than such a model computes
    try:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # PEFT asks transformers for a property that is on its way out.
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            patch.setattr(plan, "set_threads", lambda: 1)
            work(job, lambda at: None)
    finally:
        torch.set_num_threads(threads)
    return folder / "adapter"


@pytest.fixture(scope="session")
def embedded() -> Any:
    """The embedded target, small."""
    from strop.deploy.targets.llamacpp import LlamaCppTarget

    # One thread: idle threads spin, which costs more than a tiny model gains.
    return LlamaCppTarget(context_tokens=256, slots=4, threads=1)


@pytest.fixture(scope="session")
def merged(tiny: Any, tiny_f16: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The build of the trained adapter in F16. Do not write to it."""
    from strop.deploy.build import build

    return build(tiny, tiny_f16, trained, tmp_path_factory.mktemp("merged") / "build", "F16")


@pytest.fixture(scope="module")
def exact(merged: Any, embedded: Any) -> Iterator[Any]:
    """The right merge in F16, served."""
    from strop.deploy.certify import Served

    with embedded.serve_file(merged.gguf) as server:
        yield Served(server, merged.gguf)


class Asked:
    """Asks for certificates of files that claim to be the F16 merge of the trained adapter into the tiny base."""

    def __init__(self, right: Any, target: Any, conversations: list[Any]) -> None:
        self.right, self.target, self.conversations = right, target, conversations

    def file(self, gguf: Path, **origin: Any) -> Any:
        """What the file alone says; its hash is right unless another is given."""
        from strop.deploy.certify import certify_file
        from strop.files import sha256_file

        return certify_file(gguf, replace(self.right, **{"sha256": sha256_file(gguf), **origin}))

    def served(self, gguf: Path, *, beside: Any = None, conversations: list[Any] | None = None, **origin: Any) -> Any:
        """What the served file says. `beside`: the F16 merge, where the file is not that itself."""
        from strop.deploy.certify import Served, certify

        asked = self.conversations if conversations is None else conversations
        with self.target.serve_file(gguf) as server:
            served = Served(server, gguf)
            return certify(served, beside or served, replace(self.right, **origin), asked)


@pytest.fixture
def asked(tiny: Any, tiny_f16: Path, merged: Any, trained: Path, embedded: Any, conversations: list[Any]) -> Asked:
    """Certificates on demand; what a build was made of can be changed for each."""
    from strop.deploy.certify import Origin

    return Asked(Origin(tiny, tiny_f16, trained, merged.sha256), embedded, conversations)
