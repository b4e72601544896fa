"""What the demo shows: shares with their intervals, one object for `--json`, words for a person."""

import json
from dataclasses import replace
from typing import Any

import pytest

from strop.demo.show import DemoReport, Night, Share
from strop.night import NightReport

REPORT = NightReport(
    run_id="r1",
    outcome="promote",
    reasons=("38 of 40 moved closer.", "No veto."),
    feedback={"interactions": 180, "thumb": 180, "correction": 80, "note": 0},
    rows={"sft": 40, "dpo": 40, "gate": 40},
    excluded={},
    seconds={"train": 61.23456, "gate": 40.0},
    version="v0001-11111111",
    sha256="1" * 64,
    live="v0001-11111111",
    report="/home/reports/r1.md",
)
BAD, GOOD = Share.of([True] * 6 + [False] * 114), Share.of([True] * 100 + [False] * 20)
ONE = Night(
    signal="a real signal",
    expected="promote",
    report=REPORT,
    version="v0001-11111111",
    sha256="1" * 64,
    before=BAD,
    after=GOOD,
    examples=(("Why is the sky blue?", "Sure! " * 60, "Air scatters blue light most."),),
)
TWO = replace(
    ONE,
    signal="noise",
    expected="keep",
    report=replace(REPORT, outcome="keep", version="v0001-22222222", sha256="2" * 64, live="v0000-00000000"),
    version="v0000-00000000",
    sha256="0" * 64,
    after=BAD,
    examples=(),
)


@pytest.mark.parametrize(
    ("met", "of", "low", "high"),
    [(0, 10, 0.0, 0.278), (8, 10, 0.490, 0.943), (10, 10, 0.722, 1.0), (60, 120, 0.412, 0.588)],
)
def test_a_share_has_its_wilson_interval(met: int, of: int, low: float, high: float) -> None:
    share = Share.of([True] * met + [False] * (of - met))
    assert (share.rate, share.n) == (met / of, of)
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-3)
    assert str(Share(0.5, 0.41, 0.59, 120)) == "50% (95 % interval 41% to 59%, 120 prompts)"


@pytest.mark.parametrize("night", [ONE, TWO], ids=["one", "two"])
def test_a_night_is_an_object_with_the_promised_keys(night: Night) -> None:
    found = night.as_dict()
    promised = {"feedback", "rows", "seconds", "verdict", "held_out_before", "held_out_after", "version", "sha256"}
    also = {"run", "excluded", "live", "report", "signal", "candidate", "examples", "hub"}
    assert set(found) == promised | also
    assert set(found["verdict"]) == {"outcome", "reasons"}
    for name in ("held_out_before", "held_out_after"):
        assert set(found[name]) == {"rate", "low", "high", "n"}
    assert found["seconds"] == {"train": 61.235, "gate": 40.0}
    assert (found["version"], found["sha256"]) == (night.version, night.sha256)  # what is served, whatever was made
    assert found["candidate"] == night.report.version


def test_the_demo_is_one_object_that_json_can_hold() -> None:
    found = DemoReport((ONE, TWO), "/home", "llamacpp").as_dict()
    assert set(found) == {"nights", "home", "target", "ok"}
    assert [night["verdict"]["outcome"] for night in found["nights"]] == ["promote", "keep"]
    assert found["ok"] is True
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("nights", "code"),
    [
        ((ONE, TWO), 0),
        ((ONE, replace(TWO, report=replace(TWO.report, outcome="undecided"))), 0),
        ((ONE, replace(TWO, report=replace(TWO.report, outcome="promote"))), 1),
        ((replace(ONE, report=replace(REPORT, outcome="undecided")), TWO), 1),
        ((replace(ONE, after=Share.of([True] * 69 + [False] * 31)), TWO), 1),
        ((replace(ONE, before=Share.of([True] * 15 + [False] * 85)), TWO), 1),
    ],
)
def test_the_demo_fails_where_a_night_is_not_what_it_must_be(nights: tuple[Night, ...], code: int) -> None:
    report = DemoReport(nights, "/home", "llamacpp")
    assert report.exit_code == code
    assert report.as_dict()["ok"] is (code == 0)
    assert ("THIS IS NOT WHAT MUST COME OUT" in report.sentence) is (code == 1)


def test_a_person_reads_verdict_reasons_shares_examples_and_what_to_do_next() -> None:
    said = DemoReport((ONE, TWO), "/home", "llamacpp").sentence
    one, two, following = said.split("\n\n")
    assert one.startswith("Night 1, a real signal: PROMOTED; v0001-11111111 is live")
    assert "feedback: 180 interactions, 180 thumb, 80 correction\n" in one
    assert "  - 38 of 40 moved closer.\n  - No veto.\n" in one
    assert f"{BAD} -> {GOOD}" in one
    assert "Q  Why is the sky blue?" in one
    assert "after:  Air scatters blue light most." in one
    assert two.startswith("Night 2, noise: NOT PROMOTED (kept); v0000-00000000 is live")
    for command in ("chat", "versions", "rollback"):
        assert f"strop --home /home {command}" in following
    assert max(len(line) for line in one.splitlines() if "before:" in line) < 180


def test_an_example_is_shown_once_and_whole_for_json() -> None:
    (example,) = ONE.as_dict()["examples"]
    expected: dict[str, Any] = {"prompt": "Why is the sky blue?", "before": "Sure! " * 60}
    assert example == {**expected, "after": "Air scatters blue light most."}
