"""strop.deploy.release: moving users, and what is left after an error or a crash at every step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from strop.deploy import release as release_module
from strop.deploy.release import release, repair, rollback
from strop.deploy.versions import Version, Versions
from strop.errors import DeployError, Locked, NothingToDo, TargetDown, TargetError, UnknownVersion


class Crash(BaseException):
    """The process ends here: no handler of errors may run."""


class ScriptedTarget:
    """A target with an alias in memory. `faults` maps a step to what it raises, once, at that step."""

    kind = "scripted"

    def __init__(self, *, keeps_pointer: bool = True) -> None:
        self.keeps_pointer = keeps_pointer
        self.alias: str | None = None
        self.published: set[str] = set()
        self.faults: dict[str, BaseException] = {}
        self.calls: list[str] = []

    def publish(self, version: Version) -> None:
        self.step("publish")
        self.published.add(version.tag)
        self.step("published")

    def activate(self, version: Version) -> None:
        self.calls.append(f"activate {version.tag}")
        self.step("activate")
        if version.tag not in self.published:
            raise TargetError(f"no {version.tag}")
        if self.keeps_pointer:
            self.alias = version.tag
        self.step("activated")

    def active(self) -> str | None:
        self.step("active")
        return self.alias

    @contextmanager
    def serve(self, version: Version) -> Iterator[Any]:
        yield None

    def step(self, name: str) -> None:
        fault = self.faults.pop(name, None)
        if fault is not None:
            raise fault


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    versions = Versions(tmp_path / "state.db")
    for number, digit in enumerate("0ab"):
        folder = tmp_path / "builds" / digit
        facts: dict[str, Any] = {"number": 0, "state": "certified"} if number == 0 else {}
        version = versions.add(
            gguf=folder / "model.gguf",
            sha256=digit * 64,
            folder=folder,
            base_ref="smollm2",
            adapter_sha=None,
            quant="Q8_0",
            **facts,
        )
        if number:
            versions.set_state(version.tag, "certified")
            versions.set_state(version.tag, "gated")
    return versions


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "release.lock"


BASE, FIRST, SECOND = "v0000-00000000", "v0001-aaaaaaaa", "v0002-bbbbbbbb"


@pytest.fixture
def target(versions: Versions, lock: Path) -> ScriptedTarget:
    """A target on which the base is live."""
    target = ScriptedTarget()
    release(versions, target, BASE, lock)
    return target


def live_tag(versions: Versions) -> str | None:
    live = versions.live()
    return None if live is None else live.tag


def open_intents(versions: Versions) -> int:
    with versions.transaction() as db:
        return int(db.execute("SELECT count(*) FROM intents WHERE state = 'open'").fetchone()[0])


def test_a_release_moves_alias_and_row_and_keeps_the_evidence(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    assert release(versions, target, FIRST, lock, {"verdict": "promote"}) == (BASE, FIRST)
    assert (live_tag(versions), target.alias) == (FIRST, FIRST)
    assert versions.events(FIRST)[-1].evidence == {"verdict": "promote"}
    assert open_intents(versions) == 0


def test_a_release_is_safe_to_repeat(versions: Versions, target: ScriptedTarget, lock: Path) -> None:
    release(versions, target, FIRST, lock)
    assert release(versions, target, FIRST, lock) == (FIRST, FIRST)
    assert versions.get("previous").tag == BASE


@pytest.mark.parametrize("state", ["built", "certified", "refused"])
def test_what_the_gate_did_not_pass_is_never_released(
    versions: Versions, target: ScriptedTarget, lock: Path, state: str
) -> None:
    path = versions.state_db.parent
    third = versions.add(gguf=path, sha256="c" * 64, folder=path, base_ref="b", adapter_sha=None, quant="Q8_0")
    if state != "built":
        versions.set_state(third.tag, state)
    with pytest.raises(DeployError, match="gate"):
        release(versions, target, third.tag, lock)
    assert (live_tag(versions), target.alias) == (BASE, BASE)
    assert third.tag not in target.published


@pytest.mark.parametrize("step", ["publish", "published", "activate", "activated"])
def test_an_error_leaves_users_where_they_were(
    versions: Versions, target: ScriptedTarget, lock: Path, step: str
) -> None:
    target.faults[step] = TargetError("it broke")
    with pytest.raises(TargetError, match="it broke"):
        release(versions, target, FIRST, lock)
    assert (live_tag(versions), target.alias) == (BASE, BASE)
    assert versions.get(FIRST).state == "gated"
    assert open_intents(versions) == 0
    assert release(versions, target, FIRST, lock) == (BASE, FIRST)


def test_an_error_while_the_row_flips_puts_the_alias_back(
    versions: Versions, target: ScriptedTarget, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: object, **__: object) -> None:
        raise DeployError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Versions, "go_live", no_disk)
        with pytest.raises(DeployError, match="disk full"):
            release(versions, target, FIRST, lock)
    assert (live_tag(versions), target.alias) == (BASE, BASE)


@pytest.mark.parametrize(
    ("step", "action", "live"),
    [
        ("publish", "none", BASE),
        ("published", "none", BASE),
        ("activate", "reverted", BASE),
        ("activated", "finished", FIRST),
    ],
)
def test_a_crash_in_a_release_is_repaired_on_the_next_start(
    versions: Versions, target: ScriptedTarget, lock: Path, step: str, action: str, live: str
) -> None:
    target.faults[step] = Crash()
    with pytest.raises(Crash):
        release(versions, target, FIRST, lock, {"verdict": "promote"})
    assert live_tag(versions) == BASE
    done = repair(Versions(versions.state_db), target)
    assert (done.action, done.tag) == (action, live)
    assert (live_tag(versions), target.alias) == (live, live)
    assert open_intents(versions) == 0
    if action == "finished":
        assert versions.events(FIRST)[-1].evidence == {"verdict": "promote"}
    assert repair(versions, target).action == "none"


@pytest.mark.parametrize(("step", "live"), [("activate", FIRST), ("activated", BASE)])
def test_a_crash_in_a_rollback_is_repaired_on_the_next_start(
    versions: Versions, target: ScriptedTarget, lock: Path, step: str, live: str
) -> None:
    release(versions, target, FIRST, lock)
    target.faults[step] = Crash()
    with pytest.raises(Crash):
        rollback(versions, target, lock)
    repair(versions, target)
    assert (live_tag(versions), target.alias) == (live, live)
    assert versions.get(FIRST).state == ("rolled_back" if live == BASE else "live")


def test_a_crash_before_the_row_flips_is_finished(
    versions: Versions, target: ScriptedTarget, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(release_module, "_flip", crash)
        with pytest.raises(Crash):
            release(versions, target, FIRST, lock)
    assert repair(versions, target).action == "finished"
    assert live_tag(versions) == FIRST


def test_the_next_release_first_settles_what_a_crash_left(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    target.faults["activated"] = Crash()
    with pytest.raises(Crash):
        release(versions, target, FIRST, lock)
    assert release(versions, target, SECOND, lock) == (FIRST, SECOND)
    assert versions.get("previous").tag == FIRST


def test_a_target_that_is_down_keeps_the_intent_until_it_is_up(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    target.faults["activated"] = Crash()
    with pytest.raises(Crash):
        release(versions, target, FIRST, lock)
    target.faults["active"] = TargetDown("down")
    with pytest.raises(TargetDown):
        repair(versions, target)
    assert open_intents(versions) == 1
    assert repair(versions, target).action == "finished"


def test_where_putting_back_fails_too_the_next_start_does_it(
    versions: Versions, target: ScriptedTarget, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(version: Version) -> None:
        target.alias = "somewhere"
        raise TargetDown("down")

    with monkeypatch.context() as patch:
        patch.setattr(target, "activate", down)
        with pytest.raises(TargetDown) as caught:
            release(versions, target, FIRST, lock)
    assert "next start" in caught.value.__notes__[0]
    assert open_intents(versions) == 1
    assert repair(versions, target).action == "reverted"
    assert (live_tag(versions), target.alias) == (BASE, BASE)


@pytest.mark.parametrize(("fault", "live"), [("activate", None), ("activated", BASE)])
def test_a_crash_in_the_very_first_release_is_repaired(
    versions: Versions, lock: Path, fault: str, live: str | None
) -> None:
    target = ScriptedTarget()
    target.faults[fault] = Crash()
    with pytest.raises(Crash):
        release(versions, target, BASE, lock)
    repair(versions, target)
    assert live_tag(versions) == live


def test_an_alias_that_strayed_is_put_back(versions: Versions, target: ScriptedTarget) -> None:
    target.alias = None
    target.published.clear()
    assert repair(versions, target).action == "realigned"
    assert target.alias == BASE


def test_a_target_without_a_pointer_needs_no_repair(versions: Versions, lock: Path) -> None:
    target = ScriptedTarget(keeps_pointer=False)
    release(versions, target, BASE, lock)
    release(versions, target, FIRST, lock)
    assert rollback(versions, target, lock) == (FIRST, BASE)
    assert repair(versions, target).action == "none"
    assert live_tag(versions) == BASE


def test_a_rollback_brings_the_version_before_back(versions: Versions, target: ScriptedTarget, lock: Path) -> None:
    release(versions, target, FIRST, lock)
    release(versions, target, SECOND, lock)
    assert rollback(versions, target, lock, evidence={"why": "complaints"}) == (SECOND, FIRST)
    assert (live_tag(versions), target.alias) == (FIRST, FIRST)
    assert versions.events(FIRST)[-1].evidence == {"why": "complaints"}
    assert rollback(versions, target, lock) == (FIRST, BASE)
    with pytest.raises(UnknownVersion, match="no earlier"):
        rollback(versions, target, lock)


def test_a_rollback_may_name_a_version_that_was_rolled_back(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    release(versions, target, FIRST, lock)
    rollback(versions, target, lock)
    assert rollback(versions, target, lock, to="v1") == (BASE, FIRST)
    assert (versions.get(FIRST).state, versions.get(BASE).state) == ("live", "replaced")


def test_a_rolled_back_version_is_not_released_again_without_a_word(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    release(versions, target, FIRST, lock)
    rollback(versions, target, lock)
    with pytest.raises(DeployError):
        release(versions, target, FIRST, lock)


def test_a_rollback_to_what_was_never_live_is_refused(versions: Versions, target: ScriptedTarget, lock: Path) -> None:
    with pytest.raises(DeployError, match="never live"):
        rollback(versions, target, lock, to=SECOND)


def test_a_rollback_to_the_live_version_is_nothing_to_do(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    with pytest.raises(NothingToDo):
        rollback(versions, target, lock, to="live")


def test_a_rollback_before_any_release_says_so(versions: Versions, lock: Path) -> None:
    with pytest.raises(UnknownVersion):
        rollback(versions, ScriptedTarget(), lock)


def test_a_second_release_at_once_is_locked_out(
    versions: Versions, target: ScriptedTarget, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_module, "LOCK_TIMEOUT_S", 0.05)
    with FileLock(lock), pytest.raises(Locked) as caught:
        release(versions, target, FIRST, lock)
    assert caught.value.exit_code == 40
    assert (live_tag(versions), target.alias) == (BASE, BASE)


def test_the_long_upload_does_not_hold_the_lock(
    versions: Versions, target: ScriptedTarget, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload(version: Version) -> None:
        with FileLock(lock, timeout=0):
            target.published.add(version.tag)

    monkeypatch.setattr(target, "publish", upload)
    assert release(versions, target, FIRST, lock) == (BASE, FIRST)


def test_evidence_that_is_no_json_stops_before_anything_moves(
    versions: Versions, target: ScriptedTarget, lock: Path
) -> None:
    target.calls.clear()
    with pytest.raises(DeployError, match="JSON"):
        release(versions, target, FIRST, lock, {"p": float("nan")})
    assert target.calls == []
    assert live_tag(versions) == BASE
