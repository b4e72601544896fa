"""The demo's two nights on the tiny base: all real but the trained adapter (a known one) and the measurements."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import pytest

from strop import judge, nightsteps, setup
from strop.config import load
from strop.demo import kept, play
from strop.demo.person import wishes
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.deploy.versions import Versions
from strop.feedback import FeedbackCollector, Ledger
from strop.files import read_manifest, write_json
from strop.home import Home

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]


class Reached(Exception):
    """The demo began to play."""


def corrections(home: Home) -> dict[str, str]:
    """What was corrected, and into what."""
    with Ledger.open(home.ledger_db) as ledger:
        return {
            one.prompt: str(signal.text)
            for one, signals in ledger.iterate(with_signals=True)
            for signal in signals
            if signal.kind == "correction"
        }


def thumbs(home: Home) -> list[float]:
    with Ledger.open(home.ledger_db) as ledger:
        return [s.value for _, signals in ledger.iterate(with_signals=True) for s in signals if s.kind == "thumb"]


@pytest.fixture
def tiny_demo(home: Home, killed: Any, nights: ModuleType, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A demo's home on which the base is ready; the gate is scripted to promote night one and to keep night two."""
    home.state_db.unlink()
    home.config_file.unlink()
    write_json(home.path / kept.MARK, {"kind": "demo"})
    settings = {"MODEL": str(tiny_base), "QUANT": "F16", "TRAINER__PRECISION": "fp32"}
    settings |= {f"GATE__MIN_{name}": "30" for name in ("SKILL_ITEMS", "NEVER_ITEMS")} | {
        "GATE__MIN_SKILL_CLUSTERS": "10"
    }
    settings["GATE__MIN_NEVER_ITEMS"] = "10"
    for name, value in settings.items():
        monkeypatch.setenv(f"STROP_{name}", value)
    (adapter,) = killed.home.adapters.iterdir()

    def run_child(job: Any, *_: Any) -> dict[str, Any]:
        shutil.copytree(adapter, job.out)
        return read_manifest(adapter)

    def judged(bench: Any, *rest: Any) -> Any:
        return nights.scripted(0.0 if play.NIGHT_TWO in bench.cache.parts else 1.0)(bench, *rest)

    monkeypatch.setattr(nightsteps, "run_child", run_child)
    monkeypatch.setattr(judge, "judged", judged)
    monkeypatch.setattr(play, "ANSWER_TOKENS", 16)
    return home


def test_both_nights_are_played_through_the_product(
    tiny_demo: Home, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified: list[str] = []
    real = setup.certify
    monkeypatch.setattr(setup, "certify", lambda *args: certified.append(args[0].gguf.parent.name) or real(*args))

    told = strop(tiny_demo, "demo", "--json")

    assert "nights" in told.json, told
    one, two = told.json["nights"]
    assert [night["verdict"]["outcome"] for night in (one, two)] == ["promote", "keep"]
    assert told.code == 1  # a tiny random model does not learn the taste, and the demo says so
    for night in (one, two):
        assert (night["feedback"]["interactions"], night["feedback"]["correction"]) == (play.REACTED_TO, 80)
        assert (night["rows"]["dpo"], night["rows"]["gate"]) == (40, 40)
        assert night["held_out_before"]["n"] == night["held_out_after"]["n"] == play.HELD_OUT
        assert set(night["seconds"]) >= {"pairs", "train", "build", "certify", "gate", "report"}
    # Whatever answer the tiny model gets right by chance is liked; a coin likes far more of them.
    assert 40 <= one["rows"]["sft"] <= 40 + one["rows"]["thumbs_up"] < two["rows"]["sft"]
    other = Home(tiny_demo.path / play.NIGHT_TWO)
    assert one["version"] == Versions(tiny_demo.state_db).get("live").tag == one["candidate"]
    assert two["version"] == Versions(other.state_db).get("live").tag != two["candidate"]
    assert two["held_out_before"] == one["held_out_before"] == two["held_out_after"]
    assert len(certified) == 1  # the base was certified before, and both nights made the same file

    own = {wish.prompt: wish.answer for wish in wishes()}
    right, wrong = corrections(tiny_demo), corrections(other)
    assert right == {prompt: own[prompt] for prompt in right}
    assert set(wrong) == set(right)
    assert not [prompt for prompt, text in wrong.items() if text == own[prompt]]
    assert set(wrong.values()) <= set(own.values())
    assert set(thumbs(other)) == {-1.0, 1.0}
    shown = {wish.prompt for wish in wishes()[-play.HELD_OUT :]}
    assert not shown & set(right)
    assert load(tiny_demo).ollama.alias != load(other).ollama.alias

    assert strop(tiny_demo, "chat", "Why?", "--json").json["version"] == one["version"]
    assert strop(tiny_demo, "rollback", "--yes").code == 0
    assert strop(tiny_demo, "versions", "--json").json["live"].startswith("v0000-")


PLACES = ["base answers", "feedback one", "night one", "held-out one", "base for two", "night two", "end"]


def test_a_demo_stopped_anywhere_goes_on_there(
    tiny_demo: Home, nights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped once at each place, the demo asks, reacts and judges as often as one that was never stopped."""
    todo, counts = list(PLACES), Counter[str]()

    def stop(place: str) -> None:
        if place in todo:
            todo.remove(place)
            raise KeyboardInterrupt

    generate, run, judged = LlamaServer.generate, play.night.run, judge.judged
    share, end, record = play._share_base, kept.Kept.end, FeedbackCollector.rate

    def asks(server: LlamaServer, conversations: Any, **options: Any) -> Any:
        told = generate(server, conversations, **options)
        stop("base answers" if "feedback one" in todo else "held-out one")
        return told

    def rates(collector: FeedbackCollector, *args: Any, **options: Any) -> Any:
        done = record(collector, *args, **options)
        if options["source_key"] == "demo-50":
            stop("feedback one")
        return done

    def plays(home: Home, *args: Any, **options: Any) -> Any:
        done = run(home, *args, **options)
        counts["nights"] += 1
        return done

    def judges(bench: Any, *rest: Any) -> Any:
        stop("night two" if play.NIGHT_TWO in bench.cache.parts else "night one")
        return judged(bench, *rest)

    def shares(home: Home, other: Home) -> None:
        share(home, other)
        stop("base for two")

    def ends(self: kept.Kept) -> None:
        stop("end")
        end(self)

    monkeypatch.setattr(LlamaServer, "generate", asks)
    monkeypatch.setattr(FeedbackCollector, "rate", rates)
    monkeypatch.setattr(play.night, "run", plays)
    monkeypatch.setattr(judge, "judged", judges)
    monkeypatch.setattr(play, "_share_base", shares)
    monkeypatch.setattr(kept.Kept, "end", ends)
    for left in range(len(PLACES), 0, -1):
        assert len(todo) == left
        with pytest.raises(KeyboardInterrupt):
            play.run(tiny_demo, on_progress=nights.Watch())
    report = play.run(tiny_demo, on_progress=nights.Watch())

    assert todo == []
    assert counts["nights"] == 2
    assert [one.report.outcome for one in report.nights] == ["promote", "keep"]
    for home in (tiny_demo, Home(tiny_demo.path / play.NIGHT_TWO)):
        assert len(thumbs(home)) == play.REACTED_TO
        assert len(corrections(home)) == 80
        assert nights.tests_spent(home) == 1
    assert [one.report.feedback["correction"] for one in report.nights] == [80, 80]
    assert kept.Kept(tiny_demo, play._key(load(tiny_demo))).state() == "played"


# Which homes it may use


@pytest.fixture
def stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*args: Any) -> Any:
        raise Reached

    monkeypatch.setattr(play, "prepare", reached)


@pytest.fixture
def fresh(tmp_path: Path) -> Home:
    return Home(tmp_path / "demo")


def react(home: Home) -> None:
    with FeedbackCollector(home.ledger_db) as collector:
        answered = collector.record(prompt="Why?", answer="So.", channel="demo")
        collector.rate(answered, "up", source="demo", source_key="demo-0")


@pytest.mark.usefixtures("stops_early")
def test_it_plays_in_a_new_home_and_again_over_its_own_feedback(fresh: Home, nights: ModuleType) -> None:
    for _ in range(2):
        with pytest.raises(Reached):
            play.run(fresh, on_progress=nights.Watch())
        assert not fresh.ledger_db.exists()
        react(fresh)
        kept.Kept(fresh, json.loads((fresh.path / kept.MARK).read_text())["key"]).end()


@pytest.mark.usefixtures("stops_early")
def test_a_demo_that_was_stopped_goes_on_and_another_one_starts_over(
    fresh: Home, nights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = nights.Watch()
    with pytest.raises(Reached):
        play.run(fresh, on_progress=watch)
    assert watch.said == {}
    react(fresh)
    with pytest.raises(Reached):
        play.run(fresh, on_progress=watch)
    assert watch.said == {"demo": "going on where it was stopped"}
    assert fresh.ledger_db.exists()
    monkeypatch.setattr(play, "ANSWER_TOKENS", 32)  # other answers, so another demo
    with pytest.raises(Reached):
        play.run(fresh, on_progress=nights.Watch())
    assert not fresh.ledger_db.exists()


@pytest.mark.usefixtures("stops_early")
def test_two_demos_do_not_play_in_one_home(fresh: Home, strop: Strop) -> None:
    with filelock.FileLock(fresh.ensure().locks / "demo.lock"):
        told = strop(fresh, "demo")
    assert told.code == 40
    assert "another demo plays in" in told.err


def test_a_mark_that_cannot_be_read_is_no_demo_to_go_on_with(fresh: Home) -> None:
    one = kept.Kept(fresh.ensure(), "a key")
    assert one.state() == "none"
    for text in ("", "[]", '{"kind": "demo"}', '{"key": "another", "state": "playing"}'):
        (fresh.path / kept.MARK).write_text(text)
        assert one.state() == "none"
    one.begin()
    assert one.state() == "playing"
    assert one.texts("answers", lambda: ["a", "b"]) == one.texts("answers", list) == ["a", "b"]
    one.end()
    assert one.state() == "played"
    one.begin()
    assert one.texts("answers", list) == []


@pytest.mark.usefixtures("stops_early")
def test_a_home_in_use_is_refused_and_stays_as_it_is(home: Home, nights: ModuleType, strop: Strop) -> None:
    nights.correct(home, 3)
    before = {path.name: path.read_bytes() for path in home.path.iterdir() if path.is_file()}
    told = strop(home, "demo")
    assert told.code == 2
    assert "is a home in use" in told.err
    assert "hint: strop --home strop-demo demo" in told.err
    assert {path.name: path.read_bytes() for path in home.path.iterdir() if path.is_file()} == before


@pytest.mark.usefixtures("stops_early")
def test_feedback_given_in_a_demo_home_is_not_thrown_away(fresh: Home, nights: ModuleType, strop: Strop) -> None:
    with pytest.raises(Reached):
        play.run(fresh, on_progress=nights.Watch())
    assert strop(fresh, "feedback", "add", "--prompt", "Why?", "--answer", "So.", "--rating", "up").code == 0
    told = strop(fresh, "demo", "--json")
    assert (told.code, told.json["error"]["code"]) == (10, "nothing_to_do")
    assert "feedback was given there since" in told.json["error"]["message"]
    with Ledger.open(fresh.ledger_db) as ledger:
        assert ledger.counts()["interactions"] == 1


@pytest.mark.usefixtures("stops_early")
def test_without_a_named_home_it_plays_beside_a_persons_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from strop.cli.app import run

    monkeypatch.delenv("STROP_HOME", raising=False)
    monkeypatch.setattr(Home, "locate", classmethod(lambda cls: cls(tmp_path / "own")))
    assert run(["demo"]) == 1
    assert "Reached" in capsys.readouterr().err
    assert (tmp_path / "own" / "demo" / kept.MARK).is_file()
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["demo"]
