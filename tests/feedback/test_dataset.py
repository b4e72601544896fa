import json
import os
import stat

import pytest

from strop.feedback import FeedbackCollector, dataset
from strop.feedback.pairs import build
from strop.files import DamagedFolder, read_manifest


@pytest.fixture
def rows(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as feedback:
        for letter in "abcdef":
            feedback.correct(feedback.record(prompt=letter * 12, answer="Ω\u2028 a"), f"{letter}\nb")
        feedback.rate(feedback.record(prompt="something else", answer="a"), "down")
        yield build(feedback.ledger)


def test_what_was_written_is_read_back(rows, tmp_path):
    written = dataset.write(rows, tmp_path / "datasets" / "one")
    found = dataset.read(tmp_path / "datasets" / "one")
    assert found == written
    assert (found.sft(), found.dpo(), found.gate()) == (rows.sft, rows.dpo, rows.gate)
    assert (len(found.sft()), len(found.gate())) == (3, 3)
    assert (found.counts, found.excluded) == (rows.counts, rows.excluded)
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "dpo.jsonl",
        "gate.jsonl",
        "held.jsonl",
        "hindsight.jsonl",
        "kto.jsonl",
        "manifest.json",
        "sft.jsonl",
    ]


def test_every_line_is_a_row_in_the_trainers_columns(rows, tmp_path):
    written = dataset.write(rows, tmp_path / "one")
    lines = written.file("dpo").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [sorted(json.loads(line)) for line in lines] == [["chosen", "prompt", "rejected", "signals"]] * 3


def test_equal_rows_have_one_hash_and_other_rows_another(rows, tmp_path):
    first = dataset.write(rows, tmp_path / "one")
    assert dataset.write(rows, tmp_path / "two").sha256 == first.sha256
    assert dataset.write(build_nothing(tmp_path), tmp_path / "one").sha256 != first.sha256
    assert dataset.read(tmp_path / "one").counts["sft"] == 0


def build_nothing(tmp_path):
    with FeedbackCollector(tmp_path / "empty.db") as feedback:
        return build(feedback.ledger)


def test_a_folder_that_is_not_whole_or_was_changed_is_refused(rows, tmp_path):
    written = dataset.write(rows, tmp_path / "one")
    written.file("sft").write_text("{}\n")
    with pytest.raises(DamagedFolder, match=r"sft\.jsonl"):
        dataset.read(written.folder)
    (written.folder / "manifest.json").unlink()
    with pytest.raises(DamagedFolder, match="never finished"):
        dataset.read(written.folder)


def test_another_kind_of_folder_is_refused(rows, tmp_path):
    written = dataset.write(rows, tmp_path / "one")
    manifest = read_manifest(written.folder)
    (written.folder / "manifest.json").write_text(json.dumps({**manifest, "kind": "adapter"}))
    with pytest.raises(DamagedFolder, match="not a dataset"):
        dataset.read(written.folder)


def test_a_write_that_fails_leaves_the_old_dataset(rows, tmp_path, monkeypatch):
    written = dataset.write(rows, tmp_path / "one")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "write_manifest", no_space)
    with pytest.raises(OSError, match="No space"):
        dataset.write(build_nothing(tmp_path), tmp_path / "one")
    assert dataset.read(tmp_path / "one") == written
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["one"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_the_rows_are_private(rows, tmp_path):
    written = dataset.write(rows, tmp_path / "one")
    assert {stat.S_IMODE(path.stat().st_mode) for path in written.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(written.folder.stat().st_mode) == 0o700
