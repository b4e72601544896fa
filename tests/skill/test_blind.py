"""`strop judge`: what a person says of ten pairs of answers is decided on once, and releases or refuses.

One night of thumbs alone is real but for the gate's measurements; each test goes on from a copy of its home.
"""

import html
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from filelock import FileLock

from strop import blind, judge, night, nightsteps
from strop.config import load, save
from strop.demo.person import wishes
from strop.deploy.release import rollback
from strop.deploy.targets import llamacpp
from strop.deploy.versions import Versions
from strop.errors import NothingToDo, UsageError
from strop.evaluation.compare import sign_test
from strop.feedback import FeedbackCollector, Ledger
from strop.feedback.split import used
from strop.home import Home
from strop.journal import Journal

Strop = Callable[..., Any]
# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def rate(home: Home, count: int, start: int = 0) -> None:
    """Lone thumbs, up and down in turn."""
    with FeedbackCollector(home.ledger_db) as collector, collector.ledger.transaction():
        for number, wish in enumerate(wishes()[start : start + count], start):
            answered = collector.record(prompt=wish.prompt, answer=f"It is number {number}. That is all.")
            collector.rate(answered, "up" if number % 2 else "down", source_key=f"test-{number}")


@pytest.fixture(scope="module")
def rated(nights: ModuleType, standing: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home after a night of thumbs alone. Do not write to it: copy it."""
    home: Home = nights.copied(standing, tmp_path_factory.mktemp("rated") / "home")
    save(home, {"trainer.kto_epochs": 4.0, "trainer.kto_learning_rate": 5e-3})  # so that answers differ
    rate(home, 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp, "_physical_cores", lambda: 1)
        patch.setattr(judge, "judged", nights.scripted(0.0))
        report = night.run(home, load(home), on_progress=nights.Watch())
    assert report.outcome == "undecided"
    assert report.reasons[0].startswith("Only 0 held-out corrections")
    return home


@pytest.fixture
def asked(rated: Home, nights: ModuleType, tmp_path: Path, one_thread: None) -> Home:
    copy: Home = nights.copied(rated, tmp_path / "home")
    return copy


def keys(home: Home, better: str) -> str:
    """What a person presses who likes the candidate's answers, or the incumbent's; made from the file, which is not
    shown.
    """
    first = {"candidate": "a", "incumbent": "b"}[better]
    second = {"a": "b", "b": "a"}[first]
    return "".join(first if one.candidate_first else second for one in blind.waiting(home).questions)


def assert_true(report: str, home: Home, better: str) -> None:
    """A report after ten words for one side: the pairs with what was chosen, and that night's counts."""
    assert "No answers were compared" not in report
    assert "Nothing was counted" not in report
    chosen = {"candidate": "The new answer was chosen", "incumbent": "The answer before was chosen"}
    assert [report.count(chosen[side]) for side in ("candidate", "incumbent")] == [
        10 if side == better else 0 for side in ("candidate", "incumbent")
    ]
    assert "single answers with a thumb (KTO)" in report
    assert "rated prompts held out for a person to judge by" in report
    [sheet] = home.reports.glob("*.blind.json")
    for question in json.loads(sheet.read_text(encoding="utf-8"))["questions"]:
        assert question["messages"][-1]["content"].splitlines()[0] in html.unescape(report)


def state(home: Home, number: int) -> str:
    return Versions(home.state_db).get(number).state


def live(home: Home) -> int:
    found = Versions(home.state_db).live()
    assert found is not None
    return found.number


def test_a_night_of_thumbs_leaves_ten_questions_and_the_current_model(asked: Home, nights: ModuleType) -> None:
    sheet = blind.waiting(asked)
    assert (len(sheet.questions), sheet.words, sheet.whole) == (10, (), False)
    assert all(one.first != one.second for one in sheet.questions)
    assert {one.candidate_first for one in sheet.questions} == {True, False}
    assert len({one.cluster for one in sheet.questions}) == 10
    assert (live(asked), state(asked, 1), nights.tests_spent(asked)) == (0, "certified", 0)
    assert stat.S_IMODE(blind.sheet_file(sheet.report).stat().st_mode) == 0o600
    assert "strop judge" in sheet.report.read_text(encoding="utf-8")


def test_what_is_shown_says_nothing_of_who_answered(asked: Home, strop: Strop) -> None:
    told = strop(asked, "judge", "--json")
    assert told.code == 0
    assert (told.json["answered"], told.json["left"]) == (0, 10)
    assert [sorted(question) for question in told.json["questions"]] == [["a", "b", "messages"]] * 10
    assert "candidate" not in told.out
    assert "v0001" not in told.out
    assert "strop judge --answers aaaaaaaaaa" in told.err
    plain = strop(asked, "judge")
    assert plain.code == 0
    assert "10 of 10" in plain.out


@pytest.mark.parametrize(
    ("better", "code", "number", "fate"), [("candidate", 0, 1, "live"), ("incumbent", 20, 0, "refused")]
)
def test_ten_words_release_the_candidate_or_refuse_it(
    better: str, code: int, number: int, fate: str, asked: Home, nights: ModuleType, strop: Strop
) -> None:
    pressed = keys(asked, better)
    told = strop(asked, "judge", "--answers", pressed, "--json")
    assert told.code == code
    won = 10 if better == "candidate" else 0
    assert f"{won} of 10 held-out prompts on which the two models differ" in " ".join(told.json["verdict"]["reasons"])
    assert (live(asked), state(asked, 1)) == (number, fate)
    assert nights.tests_spent(asked) == 1
    report = Path(told.json["report"])
    said = report.read_text(encoding="utf-8")
    assert "A person judged 10 prompts of the night" in said
    assert_true(said, asked, better)
    assert_true(report.with_suffix(".html").read_text(encoding="utf-8"), asked, better)
    recorded, history = (str(report.with_suffix(f".{name}.jsonl")) for name in ("results", "history"))
    assert strop(asked, "gate", "decide", "--results", recorded, "--history", history).code == code

    again = strop(asked, "judge")
    assert again.code == 10
    assert "your answers were counted" in again.err
    assert strop(asked, "night").code == 10
    assert nights.tests_spent(asked) == 1


def test_corrections_that_the_same_test_counts_are_used_up_with_it(asked: Home, strop: Strop) -> None:
    sheet = blind.waiting(asked)
    file = blind.sheet_file(sheet.report)
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["beside"] == []  # nobody corrected anything
    with Ledger.open(asked.ledger_db) as ledger:
        shown = {one for question in sheet.questions for one in question.interactions}
        (other, *_) = (row["id"] for row in ledger.query("SELECT id FROM interactions") if row["id"] not in shown)
    file.write_text(json.dumps({**data, "beside": [other]}), encoding="utf-8")
    assert strop(asked, "judge", "--answers", keys(asked, "candidate")).code == 0
    with Ledger.open(asked.ledger_db) as ledger:
        assert used(ledger) == shown | {other}


def test_answers_that_say_no_difference_or_both_release_nothing(asked: Home, strop: Strop) -> None:
    pressed = keys(asked, "candidate")
    assert strop(asked, "judge", "--answers", pressed[:7] + "sss"[:1] + keys(asked, "incumbent")[8:]).code in (20, 21)
    assert (live(asked), state(asked, 1)) == (0, "refused")


def test_after_seven_of_ten_you_are_told_that_you_may_be_asked_again(asked: Home, strop: Strop) -> None:
    told = strop(asked, "judge", "--answers", keys(asked, "candidate")[:7] + keys(asked, "incumbent")[7:], "--json")
    assert told.code == 21
    assert "strop judge may come again" in told.err
    for kind in (".md", ".html"):
        text = Path(told.json["report"]).with_suffix(kind).read_text(encoding="utf-8")
        assert re.search("(`|<code>)strop judge(`|</code>) may come again with it", text)
        assert [text.count(f"The {one} was chosen") for one in ("new answer", "answer before")] == [7, 3]


def test_nothing_is_decided_before_the_last_word_and_none_is_lost(
    asked: Home, nights: ModuleType, strop: Strop
) -> None:
    pressed = keys(asked, "candidate")
    first = strop(asked, "judge", "--answers", pressed[:6], "--json")
    assert (first.code, first.json["answered"], first.json["left"]) == (0, 6, 4)
    assert nights.tests_spent(asked) == 0
    sheet = blind.waiting(asked)
    with sheet.report.with_suffix(".blind.answers.jsonl").open("ab") as file:
        file.write(b'{"id": "cut sh')  # a kill while the seventh was written
    assert len(blind.waiting(asked).words) == 6
    with pytest.raises(UsageError, match="4 of 10 questions are left"):
        blind.settle(asked, load(asked), nights.Watch())
    assert strop(asked, "judge", "--answers", pressed[6:]).code == 0
    assert live(asked) == 1


@pytest.mark.parametrize("pressed", ["x", "aq", "", "a" * 11])
def test_keys_that_mean_nothing_are_refused_and_nothing_is_kept(pressed: str, asked: Home, strop: Strop) -> None:
    assert strop(asked, "judge", "--answers", pressed).code == 2
    assert blind.waiting(asked).words == ()


def test_too_many_keys_are_told_in_keys(asked: Home, strop: Strop) -> None:
    assert strop(asked, "judge", "--answers", "absab").code == 0
    told = strop(asked, "judge", "--answers", "absabs", "--json")
    assert told.code == 2
    assert told.json["error"]["message"] == "--answers absabs has 6 keys, but 5 questions are left"
    assert told.json["error"]["hint"] == "strop judge --answers absab"
    assert len(blind.waiting(asked).words) == 5


def test_a_kill_between_the_verdict_and_the_release_is_made_up_for(
    asked: Home, nights: ModuleType, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise RuntimeError("away")

    pressed = keys(asked, "candidate")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="away"):
        patch.setattr(nightsteps, "release", away)
        sheet = blind.waiting(asked).answered([{"a": "first", "b": "second"}[key] for key in pressed])
        assert sheet.whole
        blind.settle(asked, load(asked), nights.Watch())
    assert (live(asked), nights.tests_spent(asked)) == (0, 1)
    assert strop(asked, "judge").code == 0
    assert (live(asked), nights.tests_spent(asked)) == (1, 1)


def test_a_kill_before_the_last_row_is_made_up_for(
    asked: Home, nights: ModuleType, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise RuntimeError("away")

    pressed = keys(asked, "candidate")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="away"):
        patch.setattr(nightsteps.NightSteps, "close", away)
        blind.waiting(asked).answered([{"a": "first", "b": "second"}[key] for key in pressed])
        blind.settle(asked, load(asked), nights.Watch())
    assert live(asked) == 1
    assert strop(asked, "judge").code == 0
    with Journal(asked.state_db) as journal:
        told, tested = journal.last_done("report"), journal.last_done("gate")
    assert told is not None
    assert tested is not None
    assert told.number > tested.number
    assert nights.tests_spent(asked) == 1


def test_a_promotion_by_a_person_is_pushed_too_and_stands_where_that_fails(
    asked: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    save(asked, {"hub.repo": "ann/mine", "hub.push_on_promote": True})
    told = strop(asked, "judge", "--answers", keys(asked, "candidate"), "--json")
    assert (told.code, live(asked)) == (0, 1)
    assert "there is no token" in told.json["hub"]["error"]
    assert told.json["hub"]["command"] == f"strop hub push {told.json['live']}"


def test_a_later_night_or_another_live_model_ends_the_waiting(asked: Home, nights: ModuleType, strop: Strop) -> None:
    assert strop(asked, "judge", "--answers", keys(asked, "candidate")).code == 0
    assert strop(asked, "judge").code == 10
    rollback(Versions(asked.state_db), night.open_target(asked, load(asked)), asked.release_lock)
    assert strop(asked, "judge").code == 10


def test_where_a_night_runs_the_words_are_kept_and_the_verdict_waits(asked: Home, strop: Strop) -> None:
    with FileLock(asked.night_lock):
        told = strop(asked, "judge", "--answers", keys(asked, "candidate"))
    assert told.code == 40
    assert blind.waiting(asked).whole
    assert strop(asked, "judge").code == 0
    assert live(asked) == 1


def test_a_home_without_a_night_has_nothing_to_settle(home: Home) -> None:
    with pytest.raises(NothingToDo, match="the last night left nothing"):
        blind.waiting(home)


def test_forgetting_a_rated_prompt_takes_the_questions_and_their_model_along(asked: Home, strop: Strop) -> None:
    sheet = blind.waiting(asked)
    (interaction, *_) = sheet.questions[0].interactions
    told = strop(asked, "feedback", "forget", "--id", interaction, "--yes", "--json")
    assert told.code == 0, told.err
    assert not blind.sheet_file(sheet.report).exists()
    assert state(asked, 1) == "forgotten"
    assert json.dumps(sheet.questions[0].messages[-1]["content"]) not in "".join(
        path.read_text("utf-8", "replace") for path in asked.reports.rglob("*") if path.is_file()
    )
    assert strop(asked, "judge").code == 10


def test_forgetting_a_prompt_that_was_judged_takes_the_report_that_shows_it(asked: Home, strop: Strop) -> None:
    (question, *_) = blind.waiting(asked).questions
    told = strop(asked, "judge", "--answers", keys(asked, "incumbent"), "--json")
    text = question.messages[-1]["content"].splitlines()[0]
    assert text in Path(told.json["report"]).read_text(encoding="utf-8")
    assert strop(asked, "feedback", "forget", "--id", question.interactions[0], "--yes").code == 0
    left = [path for path in asked.reports.rglob("*") if path.is_file()]
    assert not [path for path in left if text in html.unescape(path.read_text("utf-8", "replace"))]


def test_more_prompts_are_asked_where_ten_could_not_settle_it() -> None:
    """After seven tests without a promotion ten wins of ten have p = 0.00098, and less may be spent."""
    assert [blind.enough(alpha) for alpha in (0.0144, 0.005, 0.00078)] == [10, 12, 15]
    for alpha in (0.0144, 0.001, 0.00078, 1e-4):
        asked = blind.enough(alpha)
        assert sign_test(asked - 1, 1) <= alpha
