"""strop.prune: old versions give their space back, and nothing that users have or may go back to does."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from filelock import FileLock

from strop import prune as prune_module
from strop.deploy.release import release, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.versions import Versions
from strop.errors import DeployError, StropError
from strop.home import Home
from strop.prune import prune, prune_quietly


@pytest.fixture
def target() -> LlamaCppTarget:
    return LlamaCppTarget()


@pytest.fixture
def home(released: ModuleType, fakes: ModuleType, target: LlamaCppTarget, tmp_path: Path) -> Home:
    """The base is live."""
    made: Home = released.home_with_base(tmp_path / "home", fakes, target)
    return made


def standing(home: Home) -> list[int]:
    """The numbers of the versions whose file is there."""
    return [one.number for one in Versions(home.state_db).list() if one.gguf.is_file()]


def states(home: Home) -> dict[int, str]:
    return {one.number: one.state for one in Versions(home.state_db).list()}


def test_the_last_five_and_the_base_stay(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    made = released.released(home, fakes, target, "abcdefg")
    done = prune(home, target)
    assert done.versions == tuple(one.tag for one in made[:2])
    assert standing(home) == [0, 3, 4, 5, 6, 7]
    assert done.freed_bytes > 0
    assert states(home)[1] == "pruned"
    event = Versions(home.state_db).events(1)[-1]
    assert event.evidence["was"] == "replaced"
    assert event.evidence["removed"] == ["build-a", f"certificate-{made[0].sha256[:16]}.json"]
    assert event.evidence["bytes"] > 0
    assert not (home.builds / f"certificate-{made[0].sha256[:16]}.json").exists()
    assert prune(home, target).versions == ()


def test_what_is_live_and_what_a_rollback_goes_back_to_stay(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    versions = Versions(home.state_db)
    released.released(home, fakes, target, "abcde")
    rollback(versions, target, home.release_lock, to="2")
    assert versions.get("previous").number == 1
    prune(home, target, keep=1)
    assert standing(home) == [0, 1, 2, 5]
    assert rollback(versions, target, home.release_lock)[1] == versions.get(1).tag


def test_a_live_version_that_is_stable_stays(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    released.released(home, fakes, target, "ab")
    Versions(home.state_db).set_state(2, "stable")
    released.version(home, fakes, "c", "refused")
    prune(home, target, keep=1)
    assert standing(home) == [0, 1, 2, 3]
    assert states(home)[2] == "stable"


def test_what_is_on_its_way_stays_and_what_was_refused_does_not_count(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    released.released(home, fakes, target, "ab")
    for mark in "cde":
        released.version(home, fakes, mark, "refused")
    released.version(home, fakes, "f", "gated")
    prune(home, target, keep=2)
    assert states(home) == {
        **{0: "replaced", 1: "replaced", 2: "live"},
        **{3: "pruned", 4: "pruned", 5: "pruned", 6: "gated"},
    }


def test_a_pruned_version_is_not_gone_back_to(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    versions = Versions(home.state_db)
    released.released(home, fakes, target, "abc")
    prune(home, target, keep=1)
    with pytest.raises(DeployError):
        rollback(versions, target, home.release_lock, to="1")
    assert versions.get("live").number == 3


def test_a_kill_between_row_and_files_is_made_up_for(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.released(home, fakes, target, "abc")

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prune_module, "remove_builds", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(home, target, keep=1)
    assert states(home)[1] == "pruned"
    assert standing(home) == [0, 1, 2, 3]
    assert prune(home, target, keep=1).freed_bytes > 0
    assert standing(home) == [0, 2, 3]


def test_a_folder_that_a_standing_version_shares_stays(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget
) -> None:
    versions = Versions(home.state_db)
    first, *_ = released.released(home, fakes, target, "abc")
    prune(home, target, keep=1)
    assert not first.folder.exists()
    folder = released.built(home, fakes, "a", home.adapters / "a")
    again = versions.add(
        gguf=first.gguf, sha256=first.sha256, folder=folder, base_ref="b", adapter_sha=first.adapter_sha, quant="Q8_0"
    )
    assert again.number == 4
    prune(home, target, keep=2)
    assert again.gguf.is_file()


def test_a_folder_outside_the_home_is_never_removed(home: Home, target: LlamaCppTarget, tmp_path: Path) -> None:
    outside = tmp_path / "mine"
    outside.mkdir()
    versions = Versions(home.state_db)
    mine = versions.add(
        gguf=outside / "m.gguf", sha256="f" * 64, folder=outside, base_ref="b", adapter_sha=None, quant="F16"
    )
    versions.set_state(mine.tag, "refused")
    versions.set_state(mine.tag, "pruned")
    prune(home, target, keep=1)
    assert outside.is_dir()


def test_tags_and_weights_in_ollama_go_too(
    released: ModuleType, fakes: ModuleType, fake_ollama: Any, tmp_path: Path
) -> None:
    target = OllamaTarget(OllamaSettings(host=fake_ollama.host))
    home = released.home_with_base(tmp_path / "home", fakes, target)
    made = released.released(home, fakes, target, "abcd")
    done = prune(home, target, keep=2)
    assert done.tags == tuple(f"strop:{one.tag}" for one in made[:2])
    there = {name for name in fake_ollama.digests if name != "strop:latest"}
    assert there == {f"strop:{one.tag}" for one in Versions(home.state_db).list() if one.number in (0, 3, 4)}
    assert fake_ollama.blobs == {Versions(home.state_db).get(number).sha256 for number in (0, 3, 4)}
    assert target.active() == made[3].tag


def test_an_ollama_that_is_away_is_made_up_for(
    released: ModuleType, fakes: ModuleType, fake_ollama: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = OllamaTarget(OllamaSettings(host=fake_ollama.host))
    home = released.home_with_base(tmp_path / "home", fakes, target)
    made = released.released(home, fakes, target, "abc")
    fake_ollama.faults["GET /api/tags"] = fakes.failing(500)
    prune_quietly(home, target, keep=1)
    assert "strop versions prune" in caplog.text
    with pytest.raises(StropError):
        prune(home, target, keep=1)
    fake_ollama.faults.clear()
    assert f"strop:{made[0].tag}" in fake_ollama.digests
    assert prune(home, target, keep=1).tags == (f"strop:{made[0].tag}",)


def test_the_command_prunes_and_says_so(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget, strop_run: Any
) -> None:
    released.released(home, fakes, target, "abc")
    told = strop_run(home, "versions", "prune", "--keep", "1", "--json")
    assert (told.code, told.json["versions"]) == (0, [Versions(home.state_db).get(1).tag])
    assert strop_run(home, "versions", "prune", "--keep", "1").code == 10
    with FileLock(home.night_lock):
        assert strop_run(home, "versions", "prune").code == 40


def test_a_rollback_goes_through_while_a_night_holds_its_lock(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget, strop_run: Any
) -> None:
    versions = Versions(home.state_db)
    released.released(home, fakes, target, "a")
    with FileLock(home.night_lock):
        told = strop_run(home, "rollback", "--json")
    assert (told.code, told.json["to"]) == (0, versions.get(0).tag)
    assert versions.get("live").number == 0


def test_a_version_is_released_by_hand_once(
    home: Home, released: ModuleType, fakes: ModuleType, target: LlamaCppTarget, strop_run: Any
) -> None:
    made = released.version(home, fakes, "a")
    assert strop_run(home, "versions", "release", made.tag, "--json").json["to"] == made.tag
    assert strop_run(home, "versions", "release", made.tag).code == 10
    assert Versions(home.state_db).events(made.tag)[-1].evidence["who"] == "owner"
    refused = released.version(home, fakes, "b", "refused")
    assert strop_run(home, "versions", "release", refused.tag).code == 1
    release(Versions(home.state_db), target, made.tag, home.release_lock)
