import shutil
from pathlib import Path

import pytest

from strop.errors import UsageError
from strop.feedback import Ledger
from strop.feedback.importers import base
from strop.feedback.importers.learnings import Learnings

WORKSPACE = Path(__file__).parent / "learnings"
FOLDER = WORKSPACE / ".learnings"
ENTRY = """## [LRN-20260701-001] correction

**Logged**: 2026-07-01
**Status**: {status}

### Details
{details}

### Metadata
- Source: user_feedback
"""
PARTS = "- **Asked**: Which manager?\n- **Answered**: npm\n- **Correct**: pnpm"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "LEARNINGS.md"
        path.write_text(text, encoding="utf-8")
        (batch,) = Learnings().read(path, {})
        return batch

    return read_text


def test_an_entry_that_says_all_three_is_a_correction_that_waits(ledger):
    done = base.run(Learnings(), ledger, WORKSPACE)
    assert (done.added, done.signals) == (1, 1)
    ((asked, (signal,)),) = ledger.iterate()
    assert (asked.prompt, asked.answer) == ("Which command installs the packages?", "npm install")
    assert (asked.user, asked.channel) == ("", "learnings")
    assert signal.text == "Use pnpm:\n```sh\npnpm install\n```"
    assert (signal.kind, signal.trust, signal.user) == ("correction", "anonymous", "")


def test_everything_else_is_counted_by_reason(ledger):
    assert base.run(Learnings(), ledger, WORKSPACE).skipped == {
        "a correction that does not say what was asked, what was answered and what is correct": 1,
        "a learning that is no correction": 1,
        "an error that the agent logged": 1,
        "a feature request": 1,
    }


def test_a_second_run_stores_nothing_and_a_changed_status_is_known(ledger, tmp_path):
    copy = shutil.copytree(WORKSPACE, tmp_path / "workspace")
    base.run(Learnings(), ledger, copy)
    assert base.run(Learnings(), ledger, copy) == base.Imported()
    path = copy / ".learnings" / "LEARNINGS.md"
    path.write_text(path.read_text("utf-8").replace("**Status**: pending", "**Status**: resolved"), encoding="utf-8")
    done = base.run(Learnings(), ledger, copy)
    assert (done.added, done.known) == (0, 1)


@pytest.mark.parametrize(
    "details",
    [
        PARTS,
        PARTS.replace("**: ", ":** "),
        PARTS.replace("- ", "").replace("**", ""),
        "Prose first.\n* **User asked**: Which manager?\n* **Wrong answer**: npm\n* **What's correct**: pnpm",
        "**Question**:\n\nWhich manager?\n\n**Answer**:\n```\nnpm\n```\n**Expected**: “pnpm”",
    ],
)
def test_labels_in_all_their_spellings(read, details):
    (turn,) = read(ENTRY.format(status="pending", details=details)).turns
    assert (turn.interaction.prompt, turn.interaction.answer, turn.reactions[0].text) == (
        "Which manager?",
        "npm",
        "pnpm",
    )


@pytest.mark.parametrize(
    "details",
    [
        "I used npm. The user corrected me: it is pnpm.",
        PARTS.replace("- **Correct**: pnpm", ""),
        PARTS.replace("pnpm", ""),
        f"{PARTS}\n- **Right**: yarn",
        "```\n" + PARTS + "\n```",
        "",
    ],
)
def test_nothing_is_made_out_of_less(read, details):
    batch = read(ENTRY.format(status="pending", details=details))
    assert batch.turns == ()
    assert sum(batch.skipped.values()) == 1


def test_a_correction_that_was_turned_down_is_left_out(read):
    assert read(ENTRY.format(status="wont_fix", details=PARTS)).skipped == {"a correction that was turned down": 1}


def test_a_fence_that_is_not_closed_is_told(read):
    text = ENTRY.format(status="pending", details=PARTS)
    batch = read("```\n" + text)
    assert (batch.turns, batch.skipped) == ((), {"what follows a code fence that is not closed": 1})


def test_what_cannot_be_stored_costs_only_itself(read, tmp_path):
    bad = ENTRY.format(status="pending", details=PARTS.replace("npm\n", "n\0pm\n"))
    batch = read(bad + ENTRY.format(status="pending", details=PARTS))
    assert (len(batch.turns), sum(batch.skipped.values())) == (1, 1)
    (tmp_path / "LEARNINGS.md").write_bytes(b"\xff\xfe")
    (batch,) = Learnings().read(tmp_path, {})
    assert batch.skipped == {"a file that is not UTF-8": 1}


def test_the_folder_the_one_around_it_and_one_file_will_do(tmp_path):
    for path in (WORKSPACE, FOLDER, FOLDER / "LEARNINGS.md"):
        assert Learnings().finds(path)
        assert sum(len(batch.turns) for batch in Learnings().read(path, {})) == 1
    readme = tmp_path / "README.md"
    readme.write_text("# A readme\n")
    assert not Learnings().finds(readme)
    assert not Learnings().finds(tmp_path)
    for path in (tmp_path / "none", (tmp_path / ".learnings")):
        with pytest.raises(UsageError):
            list(Learnings().read(path, {}))
