"""strop.deploy.versions: numbers, names, states and the live row, on real SQLite."""

import os
import shutil
import sqlite3
import stat
import sys
import threading
from datetime import UTC
from pathlib import Path
from typing import Any, get_args

import pytest

from strop.deploy.states import State
from strop.deploy.versions import Version, Versions, check_can_go_live
from strop.errors import DeployError, UnknownVersion


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "home" / "state.db")


def add(versions: Versions, digit: str, **other: Any) -> Version:
    folder = versions.state_db.parent / "builds" / digit
    facts: dict[str, Any] = {"base_ref": "smollm2", "adapter_sha": None, "quant": "Q8_0", **other}
    return versions.add(gguf=folder / "model.gguf", sha256=digit * 64, folder=folder, **facts)


def go_live(versions: Versions, version: Version, *, rollback: bool = False) -> None:
    if version.state == "built":
        versions.set_state(version.tag, "certified")
        versions.set_state(version.tag, "gated")
    with versions.transaction() as db:
        versions.go_live(db, version, {"why": "test"}, rollback=rollback)


def test_numbers_grow_and_the_tag_names_number_and_file(versions: Versions) -> None:
    first, second = add(versions, "a"), add(versions, "b", adapter_sha="c" * 64)
    assert (first.number, first.tag, first.state) == (1, "v0001-aaaaaaaa", "built")
    assert (second.number, second.tag) == (2, "v0002-bbbbbbbb")
    assert second.adapter_sha == "c" * 64
    assert second.created.tzinfo is UTC
    assert [version.number for version in versions.list()] == [1, 2]


def test_adding_the_same_build_again_gives_the_row_that_is_there(versions: Versions) -> None:
    first = add(versions, "a")
    assert add(versions, "a") == first
    assert len(versions.list()) == 1


def test_the_same_bytes_in_another_folder_are_another_version(versions: Versions, tmp_path: Path) -> None:
    add(versions, "a")
    other = versions.add(
        gguf=tmp_path / "x.gguf", sha256="a" * 64, folder=tmp_path, base_ref="b", adapter_sha=None, quant="F16"
    )
    assert other.tag == "v0002-aaaaaaaa"
    assert other.gguf == tmp_path / "x.gguf"


def test_the_base_is_version_0_and_numbers_go_on_from_1(versions: Versions) -> None:
    base = add(versions, "0", number=0, state="certified")
    assert base.tag == "v0000-00000000"
    assert add(versions, "0", number=0, state="certified") == base
    assert add(versions, "a").number == 1
    with pytest.raises(DeployError, match="another base"):
        add(versions, "1", number=0, state="certified")


def test_the_base_folder_can_be_built_again_as_a_version(versions: Versions) -> None:
    add(versions, "0", number=0, state="certified")
    assert add(versions, "0").number == 1


@pytest.mark.parametrize("sha256", ["A" * 64, "a" * 63, "../" + "a" * 61, "sha256:" + "a" * 57])
def test_a_digest_of_another_form_is_refused(versions: Versions, tmp_path: Path, sha256: str) -> None:
    with pytest.raises(DeployError, match="SHA-256"):
        versions.add(gguf=tmp_path, sha256=sha256, folder=tmp_path, base_ref="b", adapter_sha=None, quant="F16")


@pytest.mark.parametrize("other", [{"state": "live"}, {"state": "gated"}, {"number": 7}, {"number": -1}])
def test_a_version_begins_as_built_or_certified_and_takes_no_number_of_choice(
    versions: Versions, other: dict[str, Any]
) -> None:
    with pytest.raises(DeployError, match="begin"):
        add(versions, "a", **other)
    assert versions.list() == ()


@pytest.mark.parametrize("name", [2, "2", "v2", "v0002", "0002", "v0002-bbbbbbbb"])
def test_a_version_is_found_by_number_and_by_tag(versions: Versions, name: str | int) -> None:
    add(versions, "a")
    second = add(versions, "b")
    assert versions.get(name) == second


@pytest.mark.parametrize("name", ["9", "v0001-bbbbbbbb", "live", "previous", "", "latest", "v1;", "-1", "1 OR 1=1"])
def test_an_unknown_version_names_the_command_that_lists_them(versions: Versions, name: str) -> None:
    add(versions, "a")
    with pytest.raises(UnknownVersion) as caught:
        versions.get(name)
    assert caught.value.hint == "strop versions"
    assert caught.value.exit_code == 2


ALLOWED = {
    ("built", "certified"),
    ("built", "refused"),
    ("certified", "gated"),
    ("certified", "refused"),
    ("gated", "refused"),
    ("live", "stable"),
    ("replaced", "rolled_back"),
    *((state, "forgotten") for state in ("built", "certified", "gated", "replaced", "refused")),
    *((state, "pruned") for state in ("built", "certified", "gated", "replaced", "refused")),
    ("pruned", "forgotten"),
}
WAY = {
    "built": [],
    "certified": ["certified"],
    "gated": ["certified", "gated"],
    "refused": ["refused"],
    "live": ["live"],
    "stable": ["live", "stable"],
    "replaced": ["live", "replaced"],
    "forgotten": ["refused", "forgotten"],
    "pruned": ["refused", "pruned"],
}


@pytest.mark.parametrize("state", WAY)
def test_states_change_along_the_table_only(versions: Versions, state: str) -> None:
    version = add(versions, "a")
    for step in WAY[state]:
        if step in ("live", "replaced"):
            go_live(versions, version if step == "live" else add(versions, "b"))
        else:
            versions.set_state(version.tag, step)
    for wanted in get_args(State):
        if wanted == state:
            assert versions.set_state(version.tag, wanted).state == state
        elif (state, wanted) not in ALLOWED:
            with pytest.raises(DeployError):
                versions.set_state(version.tag, wanted)
    assert versions.get(version.tag).state == state


@pytest.mark.parametrize(("state", "wanted"), sorted(ALLOWED))
def test_each_allowed_change_is_made(versions: Versions, state: str, wanted: str) -> None:
    version = add(versions, "a")
    for step in WAY[state]:
        if step in ("live", "replaced"):
            go_live(versions, version if step == "live" else add(versions, "b"))
        else:
            versions.set_state(version.tag, step)
    assert versions.set_state(version.tag, wanted).state == wanted


def test_a_state_that_does_not_exist_is_refused(versions: Versions) -> None:
    with pytest.raises(DeployError, match="cannot go"):
        versions.set_state(add(versions, "a").tag, "excellent")


def test_every_change_is_an_event_with_its_evidence(versions: Versions) -> None:
    version = add(versions, "a")
    versions.set_state(version.tag, "certified", {"top1": 0.997, "positions": 1024})
    versions.set_state(version.tag, "certified", {"again": True})
    versions.set_state(version.tag, "refused", {"verdict": "keep"})
    add(versions, "b")
    events = versions.events(version.tag)
    assert [(event.from_state, event.to_state) for event in events] == [
        (None, "built"),
        ("built", "certified"),
        ("certified", "refused"),
    ]
    assert events[1].evidence == {"positions": 1024, "top1": 0.997}
    assert all(event.time.tzinfo is UTC for event in events)
    assert len(versions.events()) == 4


@pytest.mark.parametrize("evidence", [{"p": float("nan")}, {"path": Path()}])
def test_evidence_that_is_no_json_changes_nothing(versions: Versions, evidence: dict[str, Any]) -> None:
    version = add(versions, "a")
    with pytest.raises(DeployError, match="JSON"):
        versions.set_state(version.tag, "certified", evidence)
    assert versions.get(version.tag).state == "built"


def test_nothing_is_live_at_first(versions: Versions) -> None:
    assert versions.live() is None
    assert versions.previous() is None


def test_going_live_makes_the_one_before_replaced_and_previous(versions: Versions) -> None:
    base, first = add(versions, "0", number=0, state="certified"), add(versions, "a")
    go_live(versions, base)
    go_live(versions, first)
    assert versions.live() == versions.get("live") == versions.get(1)
    assert versions.previous() == versions.get("previous") == versions.get(0)
    assert (versions.get(0).state, versions.get(1).state) == ("replaced", "live")
    assert versions.events(0)[-1].evidence["replaced_by"] == "v0001-aaaaaaaa"


def test_a_version_that_is_replaced_on_probation_is_not_called_proven_and_can_be_gone_back_to(
    versions: Versions,
) -> None:
    first, second = add(versions, "a"), add(versions, "b")
    go_live(versions, first)
    go_live(versions, second)
    assert versions.get(1).state == "replaced"
    reason = "another version took its place before its probation ended"
    assert versions.events(1)[-1].evidence == {"reason": reason, "replaced_by": second.tag}
    for back in (False, True):
        check_can_go_live(versions.get(1), rollback=back)
    assert versions.get("previous").number == 1
    go_live(versions, versions.get(1), rollback=True)
    assert (versions.get(1).state, versions.get(2).state) == ("live", "rolled_back")
    go_live(versions, add(versions, "c"))
    assert versions.get(1).state == "replaced"


def test_a_version_that_passed_its_probation_stays_proven_when_it_is_replaced_later(versions: Versions) -> None:
    first, second, third = add(versions, "a"), add(versions, "b"), add(versions, "c")
    go_live(versions, first)
    versions.set_state(1, "stable", {"answers": 200})
    go_live(versions, second)
    assert versions.get(1).state == "stable"
    go_live(versions, versions.get(1), rollback=True)  # live again, and not on probation again
    go_live(versions, third)
    assert versions.get(1).state == "stable"
    assert versions.events(1)[-1].evidence == {"replaced_by": third.tag}


def test_a_version_that_was_called_stable_for_being_replaced_is_no_proof(versions: Versions) -> None:
    first, second = add(versions, "a"), add(versions, "b")
    go_live(versions, first)
    versions.set_state(1, "stable", {"replaced_by": "v0009-99999999"})  # as earlier releases wrote it
    with versions.transaction() as db:
        db.execute("UPDATE versions SET state = 'live' WHERE number = 1")
    go_live(versions, second)
    assert versions.get(1).state == "replaced"


def test_after_a_rollback_the_next_one_goes_further_back(versions: Versions) -> None:
    base, first, second = add(versions, "0", number=0, state="certified"), add(versions, "a"), add(versions, "b")
    for version in (base, first, second):
        go_live(versions, version)
    go_live(versions, versions.get(1), rollback=True)
    assert (versions.get(1).state, versions.get(2).state) == ("live", "rolled_back")
    previous = versions.previous()
    assert previous is not None
    assert previous.number == 0


def test_a_version_that_was_rolled_back_is_never_the_previous_one(versions: Versions) -> None:
    base, first, second = add(versions, "0", number=0, state="certified"), add(versions, "a"), add(versions, "b")
    go_live(versions, base)
    go_live(versions, first)
    go_live(versions, base, rollback=True)
    go_live(versions, second)
    assert versions.get("previous").number == 0
    go_live(versions, versions.get(1), rollback=True)
    assert versions.get("previous").number == 0


def test_a_version_that_was_forgotten_is_never_the_previous_one(versions: Versions) -> None:
    base, first, second = add(versions, "0", number=0, state="certified"), add(versions, "a"), add(versions, "b")
    for version in (base, first, second):
        go_live(versions, version)
    assert versions.get("previous").number == 1
    versions.set_state(1, "forgotten")
    assert versions.get("previous").number == 0
    for back in (False, True):
        with pytest.raises(DeployError):
            check_can_go_live(versions.get(1), rollback=back)


def test_what_was_forgotten_and_is_made_again_is_another_version(versions: Versions) -> None:
    versions.set_state(add(versions, "a").tag, "forgotten")
    assert add(versions, "a").tag == add(versions, "a").tag == "v0002-aaaaaaaa"


def test_the_untouched_base_is_made_of_nobodys_words(versions: Versions) -> None:
    base, first = add(versions, "0", number=0, state="certified"), add(versions, "a")
    go_live(versions, base)
    go_live(versions, first)
    with pytest.raises(DeployError, match="untouched base"):
        versions.set_state(0, "forgotten")


def test_a_probation_that_ends_well_leaves_the_version_live(versions: Versions) -> None:
    base, first = add(versions, "0", number=0, state="certified"), add(versions, "a")
    assert versions.live() is None
    go_live(versions, base)
    go_live(versions, first)
    assert (versions.get("live").tag, versions.get("live").state) == (first.tag, "live")
    versions.set_state(first.tag, "stable", {"answers": 200})
    assert (versions.get("live").number, versions.get("live").state) == (1, "stable")
    assert versions.get("previous").number == 0
    assert versions.events(first.tag)[-1].evidence == {"answers": 200}


@pytest.mark.parametrize("state", ["rolled_back", "forgotten", "pruned"])
def test_a_stable_version_that_is_live_keeps_its_files(versions: Versions, state: str) -> None:
    base, first = add(versions, "0", number=0, state="certified"), add(versions, "a")
    go_live(versions, base)
    go_live(versions, first)
    versions.set_state(1, "stable")
    with pytest.raises(DeployError, match="is live"):
        versions.set_state(1, state)


def test_a_stable_version_that_is_live_can_be_rolled_back_with_the_reason(versions: Versions) -> None:
    base, first = add(versions, "0", number=0, state="certified"), add(versions, "a")
    go_live(versions, base)
    go_live(versions, first)
    versions.set_state(1, "stable")
    go_live(versions, versions.get(0), rollback=True)
    assert (versions.get(0).state, versions.get(1).state) == ("live", "rolled_back")
    assert versions.events(1)[-1].evidence == {"why": "test", "replaced_by": base.tag}


def test_what_was_pruned_is_never_gone_back_to_and_may_be_made_again(versions: Versions) -> None:
    base, first, second = add(versions, "0", number=0, state="certified"), add(versions, "a"), add(versions, "b")
    for version in (base, first, second):
        go_live(versions, version)
    versions.set_state(1, "pruned", {"removed": ["builds/a"]})
    assert versions.get("previous").number == 0
    with pytest.raises(DeployError):
        check_can_go_live(versions.get(1), rollback=True)
    assert add(versions, "a").tag == "v0003-aaaaaaaa"


def test_the_live_version_cannot_be_marked_rolled_back_by_hand(versions: Versions) -> None:
    base = add(versions, "0", number=0, state="certified")
    go_live(versions, base)
    with pytest.raises(DeployError, match="is live"):
        versions.set_state(0, "rolled_back")


@pytest.mark.parametrize(
    ("state", "release", "rollback"),
    [("built", False, False), ("certified", False, False), ("gated", True, False), ("refused", False, False)],
)
def test_only_a_judged_version_may_go_live(versions: Versions, state: str, release: bool, rollback: bool) -> None:
    version = add(versions, "a")
    for step in WAY[state]:
        version = versions.set_state(version.tag, step)
    for back, allowed in ((False, release), (True, rollback)):
        if allowed:
            check_can_go_live(version, rollback=back)
        else:
            with pytest.raises(DeployError):
                check_can_go_live(version, rollback=back)


def test_an_error_in_a_transaction_undoes_it(versions: Versions) -> None:
    base = add(versions, "0", number=0, state="certified")

    def interrupted() -> None:
        with versions.transaction() as db:
            versions.go_live(db, base, {}, rollback=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert versions.live() is None
    assert versions.get(0).state == "certified"


def test_paths_follow_a_home_that_is_moved(versions: Versions, tmp_path: Path) -> None:
    add(versions, "a")
    shutil.move(versions.state_db.parent, tmp_path / "elsewhere")
    moved = Versions(tmp_path / "elsewhere" / "state.db").get(1)
    assert moved.gguf == tmp_path / "elsewhere" / "builds" / "a" / "model.gguf"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_database_is_private(versions: Versions) -> None:
    old = os.umask(0)
    try:
        add(versions, "a")
    finally:
        os.umask(old)
    assert stat.S_IMODE(versions.state_db.stat().st_mode) == 0o600


def test_the_database_is_durable_on_every_commit(versions: Versions) -> None:
    with versions.transaction() as db:
        synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
        journal = db.execute("PRAGMA journal_mode").fetchone()[0]
    safe = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert (journal, synchronous) == (("wal", 2) if safe else ("delete", 3))


def test_versions_added_at_once_get_numbers_of_their_own(versions: Versions) -> None:
    threads = [threading.Thread(target=add, args=(versions, digit)) for digit in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.number for version in versions.list()] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_database_is_a_clear_error(versions: Versions) -> None:
    versions.state_db.parent.mkdir()
    versions.state_db.write_bytes(b"this is no database, and long enough to be looked at" * 20)
    with pytest.raises(DeployError) as caught:
        versions.list()
    assert caught.value.hint == "strop doctor"
