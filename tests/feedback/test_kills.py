"""A hundred writers of one ledger, each killed at a random moment: nothing that was acknowledged is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own with one thread and little loaded: it forks the writers (why that is as good as starting them,
# it says itself). The benchmark kills a thousand.
KILLER = Path(__file__).parents[2] / "benchmarks" / "feedback_kills.py"


@pytest.mark.slow
def test_kills_at_random_moments_lose_no_acknowledged_row(tmp_path: Path) -> None:
    command = [sys.executable, str(KILLER), str(tmp_path), "--kills", "100", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["wrong"] == []
    assert done.returncode == 0
    assert report["kills"] == 100
    # It proves something only where the writers got somewhere, and where kills hit them in the middle of a transaction.
    assert report["acknowledged"] > 100
    assert report["files"] >= 10
    assert report["mid_transaction"] >= 10


def test_a_row_that_is_lost_is_noticed(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[2])
import feedback_kills
from pathlib import Path
from strop.feedback import Ledger
Ledger.add_signal = lambda self, signal: "0" * 64
report = feedback_kills.run(Path(sys.argv[1]), 12, 7)
print(len(report.wrong), report.wrong[0])
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(KILLER.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    count, _, first = done.stdout.strip().partition(" ")
    assert int(count) >= 1
    assert first.endswith("acknowledged and lost: signal " + "0" * 64)
