"""The demo: two nights on a real model, one with a real signal and one with noise.

Night one plays in the home that is given, so that `strop chat`, `strop versions` and `strop rollback` show what came
of it; night two plays in a home of its own below it. The person is scripted, everything else is the product itself:
the collector, the night, the gate, the release.
"""

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from strop import night
from strop.config import Config, load, save
from strop.demo.kept import Kept, marked
from strop.demo.person import Wish, dealt, likes, wishes
from strop.demo.show import DemoReport, Night, Share
from strop.deploy.targets.base import Target
from strop.deploy.versions import Version, Versions
from strop.errors import Locked, NothingToDo, StropError, UsageError
from strop.feedback import FeedbackCollector, Ledger
from strop.home import Home
from strop.ledger import rules
from strop.nightsteps import MEASURED
from strop.setup import OnProgress, prepare
from strop.steps import input_hash
from strop.target import open_target

ANSWER_TOKENS = 64
# The gate hears the current model out a little longer: cut at 64 tokens, a ramble looks shorter than it is.
GATE_ANSWER_TOKENS = 128
# Skill items of all templates, and probes of each suite: a night of the demo is to take minutes.
SUITE_BUDGET = 824
PROBE_BUDGET = 24
CORRECTED, REACTED_TO, HELD_OUT = 80, 120, 100
SEED = 20
NIGHT_TWO = "night-two"


@dataclass(frozen=True, slots=True)
class _Answered:
    """A prompt with what the model answered."""

    wish: Wish
    answer: str


def run(home: Home, *, target: Literal["llamacpp", "ollama"] = "llamacpp", on_progress: OnProgress) -> DemoReport:
    """Play both nights; a demo that was stopped goes on where it was. The report's `exit_code` is 1 where a night did
    not come out as it must.

    Raises UsageError for a home that holds other people's feedback, NothingToDo where feedback was given in the
    demo's, Locked while another demo plays there, and what a night raises.
    """
    _check_ours(home)
    with _alone(home):
        config = _settings(home, target, "strop-demo")
        kept = Kept(home, _key(config))
        if kept.state() != "playing":
            return _from_the_start(home, config, kept, on_progress)
        on_progress("demo", None, "going on where it was stopped")
        try:
            return _play(home, config, kept, on_progress)
        except NothingToDo:  # stopped in the instant between a night's end and the note of it
            return _from_the_start(home, config, kept, on_progress)


def _from_the_start(home: Home, config: Config, kept: Kept, on_progress: OnProgress) -> DemoReport:
    _clear(home)
    kept.begin()
    return _play(home, config, kept, on_progress)


def _play(home: Home, config: Config, kept: Kept, on_progress: OnProgress) -> DemoReport:
    server = open_target(home, config)
    ground = prepare(home, config, server, on_progress)
    everyday = wishes()
    asked = (*everyday[:REACTED_TO], *everyday[-HELD_OUT:])
    said = _answers(kept, server, ground.version, asked, on_progress, "base answers")
    reacted, further = said[:REACTED_TO], said[REACTED_TO:]
    one = _night_one(home, config, kept, reacted, further, on_progress)
    two = _night_two(home, config.target, kept, reacted, further, on_progress)
    kept.end()
    return DemoReport((one, two), str(home.path), config.target)


def _key(config: Config) -> str:
    """All that a demo's answers and nights follow from, as one hash."""
    asked = [(wish.prompt, wish.answer) for wish in wishes()]
    return input_hash(config.digest(), asked, SEED, CORRECTED, REACTED_TO, HELD_OUT, ANSWER_TOKENS)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One demo at a time plays in a home. Raises Locked."""
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(home.locks / "demo.lock", timeout=0, mode=0o600).acquire()
    except Timeout:
        raise Locked(f"another demo plays in {home.path}", hint="strop --home ANOTHER-FOLDER demo") from None
    with lock:
        yield


def _night_one(
    home: Home,
    config: Config,
    kept: Kept,
    reacted: Sequence[_Answered],
    further: Sequence[_Answered],
    on_progress: OnProgress,
) -> Night:
    _react(home, reacted, [said.wish.answer for said in reacted], lambda said: likes(said.answer))
    told = _named("night one", on_progress)
    report = kept.report("night one", lambda: night.run(home, config, trigger="demo", on_progress=told))
    live, asked = _live(home), [said.wish for said in further]
    after = _answers(kept, open_target(home, config), live, asked, on_progress, "night one: held-out")
    return _shown("a real signal", "promote", report, live, further, after)


def _night_two(
    home: Home,
    target: Literal["llamacpp", "ollama"],
    kept: Kept,
    reacted: Sequence[_Answered],
    further: Sequence[_Answered],
    on_progress: OnProgress,
) -> Night:
    """Noise over the base's answers: corrections dealt to the wrong prompts, thumbs by coin."""
    other = Home(home.path / NIGHT_TWO).ensure()
    _share_base(home, other)
    config = _settings(other, target, "strop-demo-two")
    coin = random.Random(SEED)  # noqa: S311 (a fixed coin is what the demo needs)
    wrong = dealt([said.wish.answer for said in reacted], coin.randrange(20, len(reacted) - 20))
    _react(other, reacted, wrong, lambda said: coin.random() < 0.5)
    told = _named("night two", on_progress)
    report = kept.report("night two", lambda: night.run(other, config, trigger="demo", on_progress=told))
    live, asked = _live(other), [said.wish for said in further]
    after = further
    if live.number != 0:
        after = _answers(kept, open_target(other, config), live, asked, on_progress, "night two: held-out")
    return _shown("noise", "keep", report, live, further, after)


def _react(home: Home, reacted: Sequence[_Answered], corrections: Sequence[str], up: Any) -> None:
    """Every answer is rated; the first `CORRECTED` answers that the person does not like are corrected as well."""
    left = CORRECTED
    with FeedbackCollector(home.ledger_db, scrubber=rules(home).scrubber) as collector:
        for number, (said, correction) in enumerate(zip(reacted, corrections, strict=True)):
            key = f"demo-{number}"
            interaction = collector.record(prompt=said.wish.prompt, answer=said.answer, channel="demo")
            corrected = left > 0 and not likes(said.answer)
            liked = False if corrected else up(said)
            collector.rate(interaction, "up" if liked else "down", source="demo", source_key=key)
            if corrected:
                collector.correct(interaction, correction, source="demo", source_key=key)
                left -= 1


def _answers(
    kept: Kept, target: Target, version: Version, asked: Sequence[Wish], on_progress: OnProgress, name: str
) -> list[_Answered]:
    """The version's answers, as users get them."""

    def work() -> list[str]:
        texts: list[str] = []
        with target.serve(version) as server:
            for start in range(0, len(asked), 32):
                part = [[{"role": "user", "content": wish.prompt}] for wish in asked[start : start + 32]]
                given = server.generate(part, max_tokens=ANSWER_TOKENS)
                # The ledger refuses a NUL, which a random model may well write.
                texts += [answer.text.replace("\0", "").strip() for answer in given]
                on_progress(name, len(texts) / len(asked), f"{len(texts)} of {len(asked)} prompts")
        return texts

    texts = kept.texts(name.replace(": ", " "), work)
    return [_Answered(wish, text) for wish, text in zip(asked, texts, strict=True)]


def _shown(
    signal: str,
    expected: str,
    report: night.NightReport,
    live: Version,
    before: Sequence[_Answered],
    after: Sequence[_Answered],
) -> Night:
    pairs = list(zip(before, after, strict=True))
    telling = [(b.wish.prompt, b.answer, a.answer) for b, a in pairs if likes(a.answer) and not likes(b.answer)]
    return Night(
        signal=signal,
        expected=expected,
        report=report,
        version=live.tag,
        sha256=live.sha256,
        before=Share.of([likes(said.answer) for said in before]),
        after=Share.of([likes(said.answer) for said in after]),
        examples=tuple(telling[:3]),
    )


def _settings(home: Home, target: str, alias: str) -> Config:
    updates: Mapping[str, Any] = {
        "model": "smollm2",
        "target": target,
        "gate.answer_tokens": GATE_ANSWER_TOKENS,
        "gate.suite_budget": SUITE_BUDGET,
        "gate.probe_budget": PROBE_BUDGET,
    }
    save(home, {**updates, "ollama.alias": alias})
    return load(home)


def _live(home: Home) -> Version:
    live = Versions(home.state_db).live()
    if live is None:
        raise StropError("no version is live after the night", hint="strop doctor")
    return live


def _check_ours(home: Home) -> None:
    """Raise UsageError for a home in use, NothingToDo for a demo's home in which someone gave feedback."""
    home.ensure()
    if not marked(home) and (home.ledger_db.exists() or home.state_db.exists()):
        raise UsageError(
            f"{home.path} is a home in use; the demo plays in one of its own", hint="strop --home strop-demo demo"
        )
    if home.ledger_db.exists():
        _only_demo(home)


def _clear(home: Home) -> None:
    """Make room for the demo: an earlier one goes."""
    for path in (home.ledger_db, home.state_db):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
            (home.path / name).unlink(missing_ok=True)
    for folder in (home.datasets, home.adapters, home.reports, home.path / NIGHT_TWO):
        shutil.rmtree(folder, ignore_errors=True)
    home.ensure()


def _only_demo(home: Home) -> None:
    """Raises NothingToDo where someone has given feedback in the demo's home: that is not thrown away."""
    with Ledger.open(home.ledger_db) as ledger:
        for _, signals in ledger.iterate(with_signals=True):
            if any(signal.source != "demo" for signal in signals):
                raise NothingToDo(
                    f"the demo was played in {home.path}, and feedback was given there since",
                    hint="strop --home ANOTHER-FOLDER demo plays it again",
                )


def _share_base(home: Home, other: Home) -> None:
    """Give night two's home the base that is there already: fetched, unpacked, converted and certified once."""
    for folder in home.models.iterdir():
        shutil.copytree(folder, other.models / folder.name, copy_function=_link, dirs_exist_ok=True)
    for path in home.builds.iterdir():
        if path.name.startswith("base-"):
            shutil.copytree(path, other.builds / path.name, copy_function=_link, dirs_exist_ok=True)
    base = Versions(home.state_db).get(0)
    shutil.copytree(base.folder, other.builds / base.folder.name, copy_function=_link, dirs_exist_ok=True)
    for path in home.builds.glob("certificate-*.json"):
        _link(str(path), str(other.builds / path.name))
    if (home.reports / MEASURED).is_dir():
        shutil.copytree(home.reports / MEASURED, other.reports / MEASURED, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> str:
    """A hard link where the disk has them, else a copy: these files are never written again."""
    with suppress(FileExistsError):
        try:
            Path(target).hardlink_to(source)
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise
            shutil.copyfile(source, f"{target}.part")
            Path(f"{target}.part").replace(target)  # a demo that is stopped here leaves no half of a file
    return target


def _named(night_name: str, on_progress: OnProgress) -> OnProgress:
    def named(stage: str, share: float | None = None, text: str = "") -> None:
        on_progress(f"{night_name}: {stage}", share, text)

    return named
