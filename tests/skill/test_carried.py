"""strop.carried: a version on a stick arrives whole, with its evidence, or not at all."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import carried
from strop.carried import export_version, import_version
from strop.deploy import bundle
from strop.deploy.release import release
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import DeployError, Missing, NothingToDo, StropError, UsageError
from strop.files import read_manifest, sha256_file, verify_manifest, write_json
from strop.home import Home


@pytest.fixture
def there(released: ModuleType, fakes: ModuleType, tmp_path: Path) -> Home:
    """The home that exports: two versions were released."""
    target = LlamaCppTarget()
    home: Home = released.home_with_base(tmp_path / "there", fakes, target)
    released.released(home, fakes, target, "ab")
    return home


@pytest.fixture
def here(released: ModuleType, fakes: ModuleType, tmp_path: Path) -> Home:
    """The home that imports: one version of its own, on the same base."""
    target = LlamaCppTarget()
    home: Home = released.home_with_base(tmp_path / "here", fakes, target)
    released.released(home, fakes, target, "x")
    return home


@pytest.fixture
def stick(there: Home, tmp_path: Path) -> Path:
    """Version 2, exported."""
    export_version(there, "2", tmp_path / "stick.tar")
    return tmp_path / "stick.tar"


def state_of(home: Home) -> tuple[list[Version], list[str]]:
    """Rows and folders: what must not change where an import is refused."""
    found = [*home.builds.iterdir(), *home.adapters.iterdir()]
    return list(Versions(home.state_db).list()), sorted(path.name for path in found)


def test_a_version_arrives_whole_under_the_next_number(there: Home, here: Home, stick: Path) -> None:
    was = Versions(there.state_db).get(2)
    done = import_version(here, stick)
    now = done.version
    assert (now.number, now.state, now.sha256, done.was) == (2, "gated", was.sha256, was.tag)
    assert sha256_file(now.gguf) == was.sha256
    verify_manifest(now.folder)
    assert now.adapter_sha == was.adapter_sha
    assert verify_manifest(here.adapters / f"import-{str(now.adapter_sha)[:16]}")["kind"] == "adapter"
    assert (here.builds / f"certificate-{now.sha256[:16]}.json").is_file()
    assert now.base_ref == Versions(here.state_db).get(0).base_ref


def test_the_evidence_travels_and_no_folder_of_the_other_machine_does(here: Home, stick: Path, released: Any) -> None:
    done = import_version(here, stick)
    certified, gated = Versions(here.state_db).events(done.version.tag)[1:]
    assert certified.evidence == {"imported": done.was, "checks": released.CHECKS}
    assert gated.evidence["imported"] == done.was
    judged = next(one for one in gated.evidence["events"] if one["to"] == "gated")
    assert judged["evidence"] == {"run": "r1", "report": "x.md", "reasons": ["9:1"]}
    assert b"/home/ann" not in stick.read_bytes()


def test_nothing_goes_live_by_an_import_and_a_person_makes_it_so(here: Home, stick: Path) -> None:
    versions = Versions(here.state_db)
    done = import_version(here, stick)
    assert versions.get("live").number == 1
    release(versions, LlamaCppTarget(), done.version.tag, here.release_lock)
    assert versions.get("live").tag == done.version.tag
    assert versions.get("previous").number == 1


@pytest.mark.parametrize("state", ["rolled_back", "refused", "certified"])
def test_what_was_not_accepted_there_does_not_go_live_here(
    here: Home, there: Home, released: ModuleType, fakes: ModuleType, tmp_path: Path, state: str
) -> None:
    if state == "rolled_back":
        versions = Versions(there.state_db)
        with versions.transaction() as db:
            versions.go_live(db, versions._find(db, 1), {}, rollback=True)
        which = "2"
    else:
        which = released.version(there, fakes, "c", state).tag
    export_version(there, which, tmp_path / "it.tar")
    done = import_version(here, tmp_path / "it.tar")
    assert done.version.state == "certified"
    assert "does not go live" in done.reason
    with pytest.raises(DeployError, match="did not pass the gate"):
        release(Versions(here.state_db), LlamaCppTarget(), done.version.tag, here.release_lock)


def test_a_second_import_is_nothing_to_do(here: Home, there: Home, stick: Path) -> None:
    import_version(here, stick)
    before = state_of(here)
    for home in (here, there):
        with pytest.raises(NothingToDo, match="here already"):
            import_version(home, stick)
    assert state_of(here) == before


def test_another_base_is_refused_unless_told_and_does_not_go_live_then(
    here: Home, stick: Path, released: ModuleType
) -> None:
    folder = Versions(here.state_db).get(0).folder
    manifest = read_manifest(folder)
    write_json(folder / "manifest.json", {**manifest, "base": {**released.BASE, "sha256": "9" * 64}})
    before = state_of(here)
    with pytest.raises(UsageError, match="another base") as caught:
        import_version(here, stick)
    assert "--other-base" in caught.value.hint
    assert state_of(here) == before
    done = import_version(here, stick, other_base=True)
    assert done.version.state == "certified"


def test_a_home_without_a_base_says_what_to_do(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no base model") as caught:
        import_version(Home(tmp_path / "new"), stick)
    assert "strop init" in caught.value.hint


def test_another_chat_template_than_the_bases_is_refused(
    here: Home, there: Home, fakes: ModuleType, released: ModuleType, tmp_path: Path
) -> None:
    shutil.rmtree(there.builds / "build-b")
    folder = released.built(there, fakes, "b", there.adapters / "b", template=fakes.CHATML + "!")
    versions = Versions(there.state_db)
    bad = versions.add(
        gguf=folder / "model.gguf",
        sha256=sha256_file(folder / "model.gguf"),
        folder=folder,
        base_ref="x",
        adapter_sha=versions.get(2).adapter_sha,
        quant="Q8_0",
    )
    versions.set_state(bad.tag, "certified", {"checks": released.CHECKS})
    export_version(there, bad.tag, tmp_path / "bad.tar")
    before = state_of(here)
    with pytest.raises(DeployError, match="template"):
        import_version(here, tmp_path / "bad.tar")
    assert state_of(here) == before


@pytest.mark.parametrize("which", ["0", "3"])
def test_there_is_nothing_to_carry_of_the_base_or_of_what_is_pruned(
    there: Home, released: ModuleType, fakes: ModuleType, tmp_path: Path, which: str
) -> None:
    Versions(there.state_db).set_state(released.version(there, fakes, "c", "refused").tag, "pruned")
    with pytest.raises(UsageError, match="nothing to carry"):
        export_version(there, which, tmp_path / "it.tar")
    assert not (tmp_path / "it.tar").exists()


def test_an_export_replaces_no_file_and_is_the_same_every_time(there: Home, stick: Path, tmp_path: Path) -> None:
    before = stick.read_bytes()
    with pytest.raises(DeployError, match="is there already"):
        export_version(there, "2", stick)
    export_version(there, "2", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == before == stick.read_bytes()
    assert stick.stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_any_tar_program_can_look_into_it(stick: Path) -> None:
    with tarfile.open(stick) as opened:
        assert opened.getnames() == ["version.json", *bundle.NAMES]


def test_a_damaged_build_is_not_exported(there: Home, tmp_path: Path) -> None:
    gguf = Versions(there.state_db).get(2).gguf
    gguf.write_bytes(gguf.read_bytes()[:-1] + b"\1")
    with pytest.raises(StropError):
        export_version(there, "2", tmp_path / "it.tar")
    assert not (tmp_path / "it.tar").exists()


def test_an_import_that_is_killed_leaves_no_version_and_can_be_done_again(
    here: Home, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Versions(here.state_db).list()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((carried, "_move"), (carried, "write_json"), (Versions, "add")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(KeyboardInterrupt):
                import_version(here, stick)
        assert Versions(here.state_db).list() == rows
    assert import_version(here, stick).version.state == "gated"


# What is not as exported


def parts(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members of a tar."""
    with tarfile.open(file) as opened:
        return [(one, opened.extractfile(one).read()) for one in opened.getmembers()]  # type: ignore[union-attr]


def put(file: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Write a tar with these members, whatever they are."""
    with file.open("wb") as out:
        for info, data in members:
            out.write(info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512))
        out.write(bytes(1024))


def named(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data if kind == tarfile.REGTYPE else b""


def reindexed(members: list[tuple[tarfile.TarInfo, bytes]], change: Callable[[dict[str, Any]], object]) -> Any:
    """The members with a changed index."""
    index = json.loads(members[0][1])
    change(index)
    data = json.dumps(index).encode()
    members[0][0].size = len(data)
    return [(members[0][0], data), *members[1:]]


Members = list[tuple[tarfile.TarInfo, bytes]]
HOSTILE: dict[str, Callable[[Members], Members]] = {
    "an absolute path": lambda m: [*m[:2], named("/etc/owned"), *m[2:]],
    "a path upwards": lambda m: [*m[:2], named("../../owned"), *m[2:]],
    "an unknown name": lambda m: [*m[:2], named("build/extra"), *m[2:]],
    "a symbolic link": lambda m: [m[0], named("build/manifest.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), *m[2:]],
    "a hard link": lambda m: [m[0], named("build/manifest.json", kind=tarfile.LNKTYPE, link="/etc/passwd"), *m[2:]],
    "a device": lambda m: [m[0], named("build/manifest.json", kind=tarfile.CHRTYPE), *m[2:]],
    "a folder": lambda m: [m[0], named("build", kind=tarfile.DIRTYPE), *m[1:]],
    "an extended header": lambda m: [m[0], named("x", kind=tarfile.XHDTYPE), *m[1:]],
    "a long name": lambda m: [m[0], named("x", kind=tarfile.GNUTYPE_LONGNAME), *m[1:]],
    "a file twice": lambda m: [*m[:2], m[1], *m[2:]],
    "a file missing": lambda m: m[:-1],
    "something after the end": lambda m: [*m, named("more")],
    "another byte": lambda m: [*m[:2], (m[2][0], m[2][1][:-1] + b"\7"), *m[3:]],
    "no index": lambda m: m[1:],
    "an index that is no JSON": lambda m: [named("version.json", b"{"), *m[1:]],
    "an index of a megabyte": lambda m: [named("version.json", b" " * (1 << 20) + b"{}"), *m[1:]],
    "another format": lambda m: reindexed(m, lambda i: i.update(format=2)),
    "a name upwards in the index": lambda m: reindexed(
        m, lambda i: i["files"].update({"../x": i["files"].popitem()[1]})
    ),
    "a size below nothing": lambda m: reindexed(m, lambda i: i["files"]["build/model.gguf"].update(bytes=-1)),
    "a size that is true": lambda m: reindexed(m, lambda i: i["files"]["build/model.gguf"].update(bytes=True)),
    "more than the disk": lambda m: reindexed(m, lambda i: i["files"]["build/model.gguf"].update(bytes=1 << 60)),
    "a hash that is none": lambda m: reindexed(m, lambda i: i["files"]["build/model.gguf"].update(sha256="../x")),
    "a state that is none": lambda m: reindexed(m, lambda i: i["facts"].update(state="excellent")),
    "a tag that is none": lambda m: reindexed(m, lambda i: i["facts"].update(tag="../v1")),
    "a base that is none": lambda m: reindexed(m, lambda i: i["facts"].update(base_ref="$(reboot)")),
    "events that are none": lambda m: reindexed(m, lambda i: i["facts"].update(events=[{"to": "gated"}])),
    "no events": lambda m: reindexed(m, lambda i: i["facts"].pop("events")),
    "another build's manifest": lambda m: swapped(m, 1, {"kind": "build", "files": {"model.gguf": {}}}),
    "a manifest of more files": lambda m: swapped(m, 1, {**json.loads(m[1][1]), "files": {"../../x": {"sha256": "0"}}}),
    "a bad certificate": lambda m: swapped(m, 3, [{"name": "merge agreement", "ok": False, "figure": "3 %"}]),
    "no checks in the certificate": lambda m: swapped(m, 3, []),
    "another adapter": lambda m: swapped(m, 5, {"r": 9}),
}


def swapped(members: Members, number: int, data: Any) -> Members:
    """One member replaced by other JSON, with an index that agrees."""
    name, content = members[number][0].name, json.dumps(data).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    changed = reindexed(members, lambda i: i["files"][name].update(bytes=len(content), sha256=sha256))
    changed[number] = named(name, content)
    return list(changed)


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_as_exported_changes_nothing(here: Home, stick: Path, tmp_path: Path, what: str) -> None:
    put(tmp_path / "bad.tar", HOSTILE[what](parts(stick)))
    before, around = state_of(here), sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(StropError) as caught:
        import_version(here, tmp_path / "bad.tar")
    assert caught.value.hint
    assert state_of(here) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == around


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_short_changes_nothing(here: Home, stick: Path, share: float) -> None:
    data, before = stick.read_bytes(), state_of(here)
    stick.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DeployError):
        import_version(here, stick)
    assert state_of(here) == before


def test_the_untouched_copy_of_a_changed_tar_is_taken(here: Home, stick: Path, tmp_path: Path) -> None:
    """The tools of these tests write what an import takes, so that a refusal above is for its change."""
    put(tmp_path / "same.tar", parts(stick))
    assert import_version(here, tmp_path / "same.tar").version.state == "gated"


def test_the_commands_carry_a_version(there: Home, here: Home, tmp_path: Path, strop_run: Any) -> None:
    file = tmp_path / "v2.tar"
    told = strop_run(there, "versions", "export", "2", str(file), "--json")
    assert (told.code, told.json["tag"]) == (0, Versions(there.state_db).get(2).tag)
    told = strop_run(here, "versions", "import", str(file), "--json")
    assert (told.code, told.json["state"]) == (0, "gated")
    assert f"strop versions release {told.json['tag']}" in told.err
    assert strop_run(here, "versions", "import", str(file)).code == 10
    assert strop_run(here, "versions", "import", str(tmp_path / "nothing.tar")).code == 2
    assert strop_run(here, "versions", "export", "9", str(tmp_path / "x.tar")).code == 2


def test_an_adapter_that_is_gone_is_left_out(there: Home, here: Home, tmp_path: Path) -> None:
    shutil.rmtree(there.adapters / "b")
    index = export_version(there, "2", tmp_path / "it.tar")
    assert not [name for name in index.files if name.startswith("adapter/")]
    assert import_version(here, tmp_path / "it.tar").version.state == "gated"


def test_a_folder_is_no_file_to_import(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="that can be read"):
        import_version(Home(tmp_path / "home"), tmp_path)
