import subprocess
import sys
from pathlib import Path

import pytest

from strop.errors import UsageError
from strop.feedback.importers import FORMATS, detect, importer

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", FORMATS)
def test_an_importer_has_the_name_that_it_is_asked_for_by(name):
    assert importer(name, owners=("ann",)).name == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("claudecode", "claudecode"),
        ("claudecode/projects/-home-ann-shop", "claudecode"),
        ("openai/chat.jsonl", "openai"),
        ("openai/preference.jsonl", "openai"),
        ("openai/logged.jsonl", "openai"),
        ("openclaw/state", "openclaw"),
        ("openclaw/real-2026.9.6.sqlite", "openclaw"),
        ("openwebui/feedback-history-export-1767229999000.json", "openwebui"),
        ("learnings", "learnings"),
        ("learnings/.learnings/ERRORS.md", "learnings"),
    ],
)
def test_each_format_is_found_by_what_lies_there(path, name):
    assert detect(HERE / path).name == name


def test_a_csv_is_found(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("prompt,answer,rating\n")
    assert detect(path).name == "csv"


def test_no_format_and_more_than_one_are_errors_that_list_them(tmp_path):
    with pytest.raises(UsageError) as caught:
        detect(tmp_path)
    assert all(name in caught.value.hint for name in FORMATS)
    transcript = next((HERE / "claudecode").rglob("*.jsonl"))
    (tmp_path / "s.jsonl").write_bytes(transcript.read_bytes())
    (tmp_path / ".learnings").mkdir()
    (tmp_path / ".learnings" / "LEARNINGS.md").write_text("# Learnings\n")
    with pytest.raises(UsageError, match="claudecode, learnings"):
        detect(tmp_path)


def test_a_path_or_name_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        detect(tmp_path / "none")
    with pytest.raises(UsageError, match="'exel' is no format"):
        importer("exel")


def test_a_format_is_loaded_when_it_is_asked_for():
    code = (
        "import sys; from strop.feedback.importers import importer; importer('csv');"
        "print(sorted(name for name in sys.modules if name.startswith('strop.feedback.importers.')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = result.stdout
    assert "csvfile" in loaded
    assert not any(name in loaded for name in ("claudecode", "learnings", "openai", "openwebui"))
