"""What the model in service was taught, found by its adapter's dataset."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from strop.deploy.adapter import CONFIG_FILE, WEIGHTS_FILE, adapter_sha256
from strop.deploy.versions import Version
from strop.feedback import FeedbackCollector, dataset
from strop.feedback.dataset import Dataset
from strop.feedback.pairs import build
from strop.files import write_manifest
from strop.home import Home
from strop.learned import MOST, learned


def written(home: Home, name: str, corrections: int) -> Dataset:
    """The dataset of so many corrections, all of them for training and for the gate as the split has them."""
    with FeedbackCollector(home.path / f"{name}.db") as feedback:
        for number in range(corrections):
            word = f"{number:03} " * 6
            feedback.correct(feedback.record(prompt=f"What of {word}?", answer="Well."), f"It is {word}.")
        return dataset.write(build(feedback.ledger), home.datasets / name)


def adapter_on(home: Home, rows: Dataset) -> Version:
    """A version whose adapter says that it was trained on these rows."""
    folder = home.adapters / "one"
    folder.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (folder / name).write_text(name, encoding="utf-8")
    write_manifest(folder, {"dataset_sha256": rows.sha256})
    path, now = Path("model.gguf"), datetime(2026, 1, 1, tzinfo=UTC)
    return Version(1, "v0001-00000000", "live", path, "0" * 64, path, "base", adapter_sha256(folder), "Q8_0", now)


def test_what_the_incumbent_trained_on_and_the_candidate_trains_on_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    earlier, tonight = written(home, "earlier", 40), written(home, "tonight", 60)
    incumbent = adapter_on(home, earlier)
    found = learned(home, incumbent, tonight)
    taught = {row["chosen"][-1]["content"] for row in earlier.dpo()} & {
        row["chosen"][-1]["content"] for row in tonight.dpo()
    }
    assert {item.chosen for item in found} == taught
    assert len(taught) > 5
    assert learned(home, incumbent, tonight) == found
    many = written(home, "many", 2 * MOST + 80)
    (home.adapters / "one" / CONFIG_FILE).unlink()
    assert learned(home, incumbent, tonight) == []  # its adapter cannot be read any more
    assert len(many.dpo()) > MOST


def test_an_untouched_base_or_a_forgotten_dataset_was_taught_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    rows = written(home, "rows", 20)
    incumbent = adapter_on(home, rows)
    assert learned(home, incumbent, rows)
    assert learned(home, replace(incumbent, adapter_sha=None), rows) == []
    shutil.rmtree(rows.folder)
    assert learned(home, incumbent, written(home, "later", 21)) == []
