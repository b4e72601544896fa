"""Probation: what sends a version back, what only warns, and how it ends."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.files import write_json
from strop.server import serve
from strop.server.probation import Outcome, Subject, Watch
from strop.server.settings import ServeSettings

OLD, NEW = "v0001-00000000", "v0002-00000000"
START = datetime(2026, 1, 1, tzinfo=UTC)


class Acts:
    """What probation did, and the time that it thinks it is."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.back: list[tuple[str, dict[str, Any]]] = []
        self.passed: list[tuple[str, dict[str, Any]]] = []
        self.now = START
        self.training = False
        self.watch = self.reopened(path, **settings)

    def reopened(self, path: Path, **settings: Any) -> Watch:
        made = ServeSettings.model_validate(settings)
        return Watch(
            path,
            made,
            lambda tag, facts: self.back.append((tag, facts)),
            lambda tag, facts: self.passed.append((tag, facts)),
            lambda: self.now,
            lambda: self.training,
        )


@pytest.fixture
def acts(tmp_path: Path) -> Acts:
    """A watch that saw 100 good answers and 40 thumbs (4 down) of the version before, and now has the next."""
    made = Acts(tmp_path / "probation.json")
    made.watch.begin(Subject(OLD, None, False, START))
    for number in range(100):
        made.watch.answered(Outcome(OLD, pace_s=0.010 + 0.0001 * (number % 10)))
    for number in range(40):
        made.watch.thumb(OLD, number % 10 == 0)
    made.watch.begin(Subject(NEW, OLD, True, START))
    return made


def many(watch: Watch, count: int, outcome: Callable[[int], Outcome]) -> None:
    for number in range(count):
        watch.answered(outcome(number))


def test_good_answers_end_it_well_after_as_many_as_are_set(acts: Acts) -> None:
    many(acts.watch, 199, lambda n: Outcome(NEW, pace_s=0.01))
    assert acts.watch.on_probation
    many(acts.watch, 5, lambda n: Outcome(NEW, pace_s=0.01))
    [(tag, facts)] = acts.passed
    assert (tag, facts["answers"], facts["failed"]) == (NEW, 200, 0)
    assert not acts.back
    assert not acts.watch.on_probation


def test_it_ends_well_after_seven_days_too(acts: Acts) -> None:
    acts.now = START + timedelta(days=6.9)
    acts.watch.look()
    assert not acts.passed
    acts.now = START + timedelta(days=7)
    acts.watch.look()
    acts.watch.look()
    assert [tag for tag, _ in acts.passed] == [NEW]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Outcome(NEW, failed=True), "errors"),
        (Outcome(NEW, endless=True), "endless"),
        (Outcome(NEW, pace_s=0.05), "slow"),
    ],
)
def test_each_of_the_three_sends_it_back_with_its_figures(bad: Outcome, words: str, acts: Acts) -> None:
    many(acts.watch, 40, lambda n: bad if n % 2 else Outcome(NEW, pace_s=0.01))
    [(tag, facts)] = acts.back
    assert (tag, facts["by"], facts["from"]) == (NEW, "probation", NEW)
    assert facts["reason"].startswith(words)
    many(acts.watch, 300, lambda n: bad)
    assert len(acts.back) == 1
    assert not acts.passed


def test_more_answers_than_before_that_run_into_the_clients_own_limit_send_it_back_and_as_many_do_not(
    tmp_path: Path,
) -> None:
    """Each `share` of one hundred is cut; the version before had 30 of 100 under the limit that is compared."""
    for share, limit, back in ((30, 1024, False), (100, 1024, True), (100, 512, False), (0, 1024, False)):
        made = Acts(tmp_path / f"{share}-{limit}.json")
        made.watch.begin(Subject(OLD, None, False, START))
        many(made.watch, 100, lambda n: Outcome(OLD, limit_tokens=1024, cut=n % 10 < 3))
        made.watch.begin(Subject(NEW, OLD, True, START))
        many(made.watch, 200, lambda n, s=share, li=limit: Outcome(NEW, limit_tokens=li, cut=n % 10 < s / 10))  # type: ignore[misc]
        assert bool(made.back) == back, (share, limit)
        assert bool(made.passed) != back
        if back:
            assert made.back[0][1]["reason"].startswith("answers cut at the client's own limit (from 1024 tokens): ")


def test_what_was_seen_under_each_limit_outlives_a_restart(tmp_path: Path) -> None:
    made = Acts(tmp_path / "probation.json")
    made.watch.begin(Subject(OLD, None, False, START))
    many(made.watch, 60, lambda n: Outcome(OLD, limit_tokens=1024, cut=n % 10 == 0))
    write_json(tmp_path / "probation.json", made.watch.facts())
    again = made.reopened(tmp_path / "probation.json")
    again.begin(Subject(NEW, OLD, True, START))
    many(again, 60, lambda n: Outcome(NEW, limit_tokens=1024, cut=True))
    assert made.back


def test_as_many_errors_as_before_are_not_held_against_it(tmp_path: Path) -> None:
    made = Acts(tmp_path / "probation.json")
    made.watch.begin(Subject(OLD, None, False, START))
    many(made.watch, 200, lambda n: Outcome(OLD, failed=n % 10 == 0, endless=n % 4 == 0))
    made.watch.begin(Subject(NEW, OLD, True, START))
    many(made.watch, 200, lambda n: Outcome(NEW, failed=n % 10 == 0, endless=n % 4 == 0))
    assert not made.back
    assert made.passed


def test_slow_answers_during_a_night_are_the_nights(acts: Acts) -> None:
    acts.training = True
    many(acts.watch, 100, lambda n: Outcome(NEW, pace_s=1.0))
    assert not acts.back


def test_thumbs_down_warn_and_send_nothing_back(acts: Acts) -> None:
    for number in range(40):
        acts.watch.thumb(NEW, number % 5 != 0)
    assert acts.watch.warning.startswith("thumbs down: ")
    assert not acts.back
    assert acts.watch.on_probation


def test_answers_of_the_version_before_that_end_late_are_not_the_new_ones(acts: Acts) -> None:
    many(acts.watch, 100, lambda n: Outcome(OLD, failed=True))
    assert not acts.back


def test_a_version_that_came_back_is_not_sent_further_back(acts: Acts) -> None:
    acts.watch.begin(Subject(OLD, "v0000-00000000", False, START))
    many(acts.watch, 100, lambda n: Outcome(OLD, failed=True))
    assert not acts.back


def test_a_version_that_comes_back_before_it_has_passed_goes_on_where_it_stopped(acts: Acts, tmp_path: Path) -> None:
    many(acts.watch, 2, lambda n: Outcome(NEW, failed=True))
    many(acts.watch, 120, lambda n: Outcome(NEW, pace_s=0.01))
    bets = acts.watch.facts()["tests"]
    acts.watch.begin(Subject(OLD, None, False, START))
    write_json(tmp_path / "probation.json", acts.watch.facts())
    again = acts.reopened(tmp_path / "probation.json")
    again.begin(Subject(OLD, None, False, START))
    again.begin(Subject(NEW, OLD, True, START + timedelta(minutes=1)))
    assert again.on_probation
    assert again.facts()["tests"] == bets
    many(again, 78, lambda n: Outcome(NEW, pace_s=0.01))
    [(tag, facts)] = acts.passed
    assert (tag, facts["answers"], facts["failed"]) == (NEW, 200, 2)


def test_one_that_probation_sent_away_and_a_person_puts_back_begins_anew_and_once(acts: Acts, tmp_path: Path) -> None:
    many(acts.watch, 40, lambda n: Outcome(NEW, failed=True))
    assert len(acts.back) == 1
    acts.watch.begin(Subject(OLD, None, False, START, returned=True))
    forced = Subject(NEW, OLD, True, START + timedelta(hours=1), anew=True)
    acts.watch.begin(forced)
    many(acts.watch, 100, lambda n: Outcome(NEW, pace_s=0.01))
    write_json(tmp_path / "probation.json", acts.watch.facts())
    again = acts.reopened(tmp_path / "probation.json")
    again.begin(forced)
    many(again, 100, lambda n: Outcome(NEW, pace_s=0.01))
    assert (len(acts.back), [facts["answers"] for _, facts in acts.passed]) == (1, [200])


def test_one_that_probation_brought_back_may_pass_and_is_only_warned_about(tmp_path: Path) -> None:
    for bad in (False, True):
        made = Acts(tmp_path / f"{bad}.json", probation_answers=20)
        made.watch.begin(Subject(NEW, OLD, True, START, returned=True))
        many(made.watch, 20, lambda n, bad=bad: Outcome(NEW, failed=bad))  # type: ignore[misc]
        assert (len(made.back), len(made.passed)) == (0, 0 if bad else 1)
        assert ("not rolled back" in made.watch.warning) == bad


def test_one_that_has_passed_once_has_nothing_left_to_pass(acts: Acts) -> None:
    acts.watch.begin(Subject(OLD, None, True, START, passed=True))
    assert [tag for tag, _ in acts.passed] == [OLD]
    assert not acts.watch.on_probation


def test_told_not_to_it_says_so_and_rolls_nothing_back(tmp_path: Path) -> None:
    made = Acts(tmp_path / "probation.json", rollback=False)
    made.watch.begin(Subject(NEW, OLD, True, START))
    many(made.watch, 20, lambda n: Outcome(NEW, failed=True))
    assert not made.back
    assert "not rolled back" in made.watch.warning


def test_a_new_start_goes_on_where_the_last_one_stopped(acts: Acts, tmp_path: Path) -> None:
    many(acts.watch, 2, lambda n: Outcome(NEW, failed=True))
    many(acts.watch, 120, lambda n: Outcome(NEW, pace_s=0.01))
    write_json(tmp_path / "probation.json", acts.watch.facts())
    again = acts.reopened(tmp_path / "probation.json")
    again.begin(Subject(NEW, OLD, True, START))
    assert again.facts() == acts.watch.facts()
    many(again, 80, lambda n: Outcome(NEW, pace_s=0.01))
    assert acts.passed[0][1]["answers"] == 200
    assert acts.passed[0][1]["failed"] == 2


def test_a_damaged_record_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"seen": {"v": {"x": 1}}}', '{"seen": 3}', '{"tests": {"failed": {"p0": 7}}}'):
        (tmp_path / "probation.json").write_text(text)
        assert Acts(tmp_path / "probation.json").watch.facts()["seen"] == {}


def test_a_version_that_fails_is_rolled_back_by_itself_and_status_says_why(
    home: Any, serving: Any, script: Any, scripted: ModuleType, strop: Any
) -> None:
    with serving(home) as door:
        old = door.versions.live().tag
        new = door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)
        scripted.until(lambda: strop(home, "status", "--json").json["serving"]["probation"] is not None)
        script.do = "ill"

        def back() -> bool:
            door.chat()
            return bool(door.versions.live().tag == old)

        scripted.until(back)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == old)
        told = strop(home, "status", "--json").json["serving"]
        assert told["url"] == f"{door.url}/v1"
        assert told["rolled_back"]["from"] == new
        assert told["rolled_back"]["reason"].startswith("errors: ")
        assert f"{new} was rolled back by itself: errors" in strop(home, "status").out
    assert door.versions.get(new).state == "rolled_back"


def test_a_rollback_that_cannot_be_made_is_tried_again_until_it_can_and_status_says_so(
    home: Any, serving: Any, script: Any, scripted: ModuleType, strop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_AGAIN_S", 0.1)
    with serving(home) as door:
        old, new = door.versions.live(), door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)
        aside = old.gguf.rename(old.gguf.with_suffix(".aside"))
        script.do = "ill"

        def said() -> Any:
            door.chat()
            return strop(home, "status", "--json").json["serving"]["held_up"]

        scripted.until(said)
        assert (said()["tag"], said()["reason"].partition(":")[0]) == (new, "errors")
        assert "is gone" in said()["error"]
        assert f"{new} is to be rolled back (errors" in strop(home, "status").out
        assert door.versions.live().tag == new
        aside.rename(old.gguf)
        scripted.until(lambda: door.versions.live().tag == old.tag)
        scripted.until(lambda: strop(home, "status", "--json").json["serving"]["held_up"] is None)


def test_a_version_that_is_put_back_before_it_has_passed_is_watched_again_and_becomes_stable(
    home: Any, serving: Any, script: Any, scripted: ModuleType, strop: Any
) -> None:
    with serving(home, **{"serve.probation_answers": 8}) as door:
        new = door.release(1)
        for tag in (new, door.versions.get(0).tag, new):
            if door.versions.live().tag != tag:
                assert strop(home, "rollback", tag).code == 0
            scripted.until(lambda tag=tag: door.http.get("/healthz").json()["version"] == tag)
            if tag == new and door.versions.get(new).state == "live":
                for _ in range(4):
                    door.chat()
        scripted.until(lambda: door.versions.get(new).state == "stable")
        assert door.versions.events(new)[-1].evidence["answers"] == 8


def test_a_version_that_passes_becomes_stable(home: Any, serving: Any, script: Any, scripted: ModuleType) -> None:
    with serving(home, **{"serve.probation_answers": 5}) as door:
        new = door.release(1)
        scripted.until(lambda: door.http.get("/healthz").json()["version"] == new)

        def stable() -> bool:
            door.chat()
            return bool(door.versions.get(new).state == "stable")

        scripted.until(stable)
        assert door.versions.live().tag == new
        assert door.versions.events(new)[-1].evidence["by"] == "probation"
    record = json.loads((home.path / "serve" / "probation.json").read_text())
    assert record["on_probation"] is False
