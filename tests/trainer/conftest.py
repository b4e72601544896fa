"""Fixtures for the trainer tests: row files, and the tiny base as the trainer sees it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from strop.trainer import plan
from strop.trainer.models import BaseModel, resolve
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.work import Job

# For modules whose tests train in this process; PEFT asks transformers for a property that is on its way out.
TRAINS = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
WriteRows = Callable[..., Path]
MakeJob = Callable[..., Job]


def silent(*at: Any) -> None:
    """Listens to progress and says nothing."""


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal sums whatever the machine, and no other test's threads changed."""
    monkeypatch.setattr(plan, "set_threads", lambda: 1)


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes rows (anything JSON can hold) as JSONL and returns the file."""

    def write(rows: Sequence[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """The tiny base, resolved."""
    return resolve(str(tiny_base), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture
def make_job(base: BaseModel, tmp_path: Path) -> MakeJob:
    """Makes a small job: `files` by method; further keywords go into the recipe or, where it has them, the job."""

    def make(files: Mapping[str, Path], out: str = "adapter", **changes: Any) -> Job:
        epochs = changes.pop("epochs", 3.0)
        rate = changes.pop("learning_rate", 3e-3)
        stages = tuple(StageRecipe(method, epochs, rate, 4) for method in files)  # type: ignore[arg-type]
        of_job = {
            name: changes.pop(name)
            for name in ("held_share", "dataset_sha256", "run", "checkpoint_s", "replays")
            if name in changes
        }
        recipe = Recipe(stages, **{"rank": 4, "alpha": 8, "max_length": 256, "precision": "fp32", **changes})
        paths = {method: str(path) for method, path in files.items()}
        return Job(str(base.folder), base.facts(), paths, recipe.as_dict(), str(tmp_path / out), **of_job)

    return make
