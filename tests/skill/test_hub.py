"""`strop hub push` and a push after a promotion: what goes, what never goes, and what a failure leaves."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import judge, morning, night
from strop.config import load, save
from strop.demo.person import wishes
from strop.deploy import container
from strop.deploy.adapter import adapter_sha256
from strop.deploy.release import rollback
from strop.deploy.versions import Versions
from strop.feedback import FeedbackCollector
from strop.files import read_manifest, sha256_file, verify_manifest, write_json, write_manifest
from strop.home import Home
from strop.target import open_target

# The library hands a file to httpx2 as `data`, which is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Strop = Callable[..., Any]
REPO = "ann/mine"
PUSH = ("hub", "push", "--repo", REPO)
MARKER = "zebra-marmalade-31"  # what stands for a person's words
ADAPTER = {"README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "strop.json"}


@pytest.fixture(scope="session")
def promoted_once(nights: ModuleType, killed: Any, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose night was promoted, with a marker in its ledger. Do not write to it: copy it."""
    home: Home = nights.copied(killed.home, tmp_path_factory.mktemp("promoted") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "judged", nights.scripted(1.0))
        assert night.run(home, load(home), on_progress=nights.Watch()).outcome == "promote"
    with FeedbackCollector(home.ledger_db) as collector:
        answer = collector.record(prompt=f"What is a {MARKER}?", answer=f"A {MARKER} is a fruit.")
        collector.correct(answer, f"Nobody knows what a {MARKER} is.", source_key="marker")
    return home


@pytest.fixture
def promoted(nights: ModuleType, promoted_once: Home, tmp_path: Path) -> Home:
    copy: Home = nights.copied(promoted_once, tmp_path / "promoted")
    return copy


def tag(home: Home) -> str:
    live = Versions(home.state_db).live()
    assert live is not None
    return live.tag


def words(home: Home) -> list[str]:
    """Everything that people and models said in this home's ledger, and what the demo's person wanted."""
    with sqlite3.connect(home.ledger_db) as db:
        rows = [row for table in ("interactions", "signals") for row in db.execute(f"SELECT * FROM {table}")]
    said = [value for row in rows for value in row if isinstance(value, str)]
    return [text for text in (*said, *(wish.prompt for wish in wishes()[:60])) if " " in text and len(text) > 15]


# What goes


@pytest.mark.parametrize("merged", [False, True])
def test_the_model_goes_with_its_card_and_not_one_word_of_the_ledger(
    merged: bool, promoted: Home, stand_in: Any, strop: Strop
) -> None:
    told = strop(promoted, *PUSH, *(["--merged"] if merged else []), "--json")
    assert told.code == 0, told.out
    repo = stand_in.repos[REPO]
    assert (repo.private, told.json["private"], told.json["commit"]) == (True, True, repo.head)
    names = {"README.md", "model.gguf", "strop.json"} if merged else ADAPTER
    assert set(repo.files) == {".gitattributes", *names}
    assert {one["name"] for one in told.json["files"]} == names
    said, seen = words(promoted), stand_in.received()
    assert len(said) > 100
    assert any(MARKER in text for text in said)
    assert [text for text in [MARKER, *said] if text.encode() in seen or json.dumps(text)[1:-1].encode() in seen] == []


def test_the_card_says_what_it_was_made_of_and_how_it_was_judged(promoted: Home, stand_in: Any, strop: Strop) -> None:
    assert strop(promoted, *PUSH).code == 0
    files = stand_in.repos[REPO].files
    card, facts = files["README.md"].decode(), json.loads(files["strop.json"])
    version = Versions(promoted.state_db).live()
    assert version is not None
    base = read_manifest(version.folder)["base"]
    assert facts["version"] == version.tag
    assert (facts["gguf_sha256"], facts["adapter_sha256"]) == (version.sha256, version.adapter_sha)
    assert base["sha256"] in card
    assert base["template_sha256"] in card
    counts = read_manifest(next(promoted.datasets.iterdir()))["counts"]
    assert f"- {counts['sft']} answers to imitate (SFT)" in card
    assert f"- {counts['gate']} held out to judge by: not learned from" in card
    reasons = [event.evidence["reasons"] for event in Versions(promoted.state_db).events() if event.to_state == "gated"]
    assert reasons
    assert all(reason in facts["gate"]["reasons"] for reason in reasons[0])
    assert "Verdict: **promote**" in card
    assert "| wanted: share won, of those on which the two models differ | 100.0 % |" in card
    assert "top-1 agreement, merge" in card
    assert "That of the base: unknown: check the base." in card
    assert "license" not in card.split("---")[1]
    assert "## Limits" in card


def test_no_path_of_this_machine_goes(promoted: Home, stand_in: Any, strop: Strop) -> None:
    version = Versions(promoted.state_db).live()
    assert version is not None
    assert Path(version.base_ref).is_absolute()  # a local folder is the base of these tests
    assert strop(promoted, *PUSH).code == 0
    assert version.base_ref.encode() not in stand_in.received()
    assert str(promoted.path).encode() not in stand_in.received()
    config = json.loads(stand_in.repos[REPO].files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("a local model folder", None)


def test_a_second_push_makes_no_commit(promoted: Home, stand_in: Any, strop: Strop) -> None:
    assert strop(promoted, *PUSH).code == 0
    told = strop(promoted, *PUSH, tag(promoted))
    assert (told.code, "holds v0001-" in told.err, "byte for byte" in told.err) == (10, True, True)
    assert len(stand_in.repos[REPO].commits) == 2


def test_public_is_what_the_user_says_or_has_set(promoted: Home, stand_in: Any, strop: Strop) -> None:
    assert strop(promoted, "hub", "push", "--repo", "ann/open", "--public").code == 0
    save(promoted, {"hub.private": False, "hub.repo": "ann/set"})
    assert strop(promoted, "hub", "push").code == 0
    assert [stand_in.repos[name].private for name in ("ann/open", "ann/set")] == [False, False]


def test_a_dry_run_shows_exactly_what_would_go_and_asks_nobody(
    promoted: Home, stand_in: Any, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    dry = strop(promoted, *PUSH, "--dry-run", "--json")
    assert (dry.code, stand_in.wire) == (0, [])
    assert (dry.json["repo"], dry.json["private"], dry.json["dry_run"]) == (REPO, True, True)
    plain = strop(promoted, *PUSH, "--dry-run")
    assert "adapter_model.safetensors" in plain.out
    assert "## The gate" in plain.out
    assert f"hint: strop hub push {tag(promoted)}" in plain.err
    monkeypatch.setenv("HF_TOKEN", "hf_" + "madeUpForTests" * 2)
    wet = strop(promoted, *PUSH, "--json").json
    assert (wet["files"], wet["card"]) == (dry.json["files"], dry.json["card"])
    assert stand_in.repos[REPO].files["README.md"].decode() == dry.json["card"]


# What does not go


def test_without_a_repository_or_a_token_it_says_what_to_do(
    promoted: Home, stand_in: Any, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = strop(promoted, "hub", "push")
    assert (told.code, "no repository is named" in told.err, "--repo OWNER/NAME" in told.err) == (2, True, True)
    monkeypatch.delenv("HF_TOKEN")
    told = strop(promoted, *PUSH, "--json")
    assert (told.code, told.json["error"]["code"]) == (30, "missing")
    assert "export HF_TOKEN" in told.json["error"]["hint"]
    assert stand_in.wire == []


def test_a_version_that_the_gate_never_promoted_is_refused(
    promoted: Home, bare: Home, stand_in: Any, strop: Strop
) -> None:
    assert strop(bare, *PUSH).code == 2
    told = strop(promoted, *PUSH, "0")
    assert (told.code, "untouched base" in told.err) == (2, True)
    with sqlite3.connect(promoted.state_db) as db:
        db.execute("UPDATE versions SET state = 'refused' WHERE number = 1")
    told = strop(promoted, *PUSH, "1")
    assert (told.code, "was never promoted: it is refused" in told.err) == (2, True)
    assert stand_in.wire == []


def test_a_version_that_was_rolled_back_is_refused(promoted: Home, stand_in: Any, strop: Strop) -> None:
    rollback(Versions(promoted.state_db), open_target(promoted, load(promoted)), promoted.release_lock, to="v0")
    told = strop(promoted, *PUSH, "1")
    assert (told.code, "was rolled back" in told.err) == (2, True)
    assert stand_in.wire == []


def plant_in_the_reasons(home: Home) -> None:
    with sqlite3.connect(home.state_db) as db:
        db.execute("UPDATE version_events SET evidence = replace(evidence, 'Skill', 'Skill (ann_lee@example.org)')")


def plant_in_the_weights(home: Home) -> None:
    """An e-mail address in the header of the safetensors file; the manifest and the version know the new file."""
    folder = next(home.adapters.iterdir())
    weights = folder / "adapter_model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length]) | {"__metadata__": {"format": "pt", "by": "ann@example.org"}}
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    facts = {name: value for name, value in read_manifest(folder).items() if name != "files"}
    write_manifest(folder, facts)
    with sqlite3.connect(home.state_db) as db:
        db.execute("UPDATE versions SET adapter_sha = ? WHERE number = 1", (adapter_sha256(folder),))


def plant_in_the_template(home: Home) -> None:
    """The base is another local folder, whose template its owner has written into."""
    mine = home.path / "my-base"
    mine.mkdir()
    (mine / "chat_template.jinja").write_text("Write to ann@example.org. {{ messages }}", encoding="utf-8")
    name_base(home, str(mine))


def plant_a_path(home: Home) -> None:
    with sqlite3.connect(home.state_db) as db:
        db.execute("UPDATE version_events SET evidence = replace(evidence, 'Skill', ?)", (f"Skill ({home.path})",))


def name_base(home: Home, ref: str) -> None:
    version = Versions(home.state_db).get(1)
    manifest = read_manifest(version.folder)
    write_json(version.folder / "manifest.json", {**manifest, "base": {**manifest["base"], "ref": ref}})


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (plant_in_the_reasons, r"README.md holds what may be personal data \(\d+ EMAIL\)"),
        (plant_in_the_weights, r"adapter_model.safetensors holds what may be personal data \(1 EMAIL\)"),
        (plant_in_the_template, r"chat_template.jinja holds what may be personal data \(1 EMAIL\)"),
        (plant_a_path, r"README.md holds what may be personal data \(\d+ LOCAL_PATH\)"),
    ],
)
def test_it_refuses_when_the_scrubber_finds_anything(
    plant: Callable[[Home], None], said: str, promoted: Home, stand_in: Any, strop: Strop
) -> None:
    save(promoted, {"feedback.scrub.enabled": False})  # what is stored may be unscrubbed; what is published never is
    plant(promoted)
    for extra in ([], ["--dry-run"]):
        told = strop(promoted, *PUSH, *extra)
        assert told.code == 1
        assert re.search(said, told.err), told.err
        assert "example.org" not in told.out + told.err
    assert stand_in.wire == []


def test_metadata_inside_the_gguf_is_looked_through(promoted: Home, stand_in: Any, strop: Strop) -> None:
    version = Versions(promoted.state_db).get(1)
    found = container.read(version.gguf)
    planted = [*found.fields.values(), container.field("general.author", "ann@example.org", "str")]
    container.write(version.gguf, planted, [_copied(version.gguf, one) for one in found.tensors.values()])
    write_manifest(version.folder, {k: v for k, v in read_manifest(version.folder).items() if k != "files"})
    told = strop(promoted, *PUSH, "--merged")
    assert (told.code, "model.gguf holds what may be personal data (1 EMAIL)" in told.err) == (1, True), told.err
    assert stand_in.wire == []


def _copied(path: Path, one: container.Tensor) -> container.Planned:
    import numpy as np

    data = np.frombuffer(path.read_bytes()[one.offset : one.offset + one.n_bytes], dtype=np.uint8)
    return container.Planned(one.name, one.type, one.shape, lambda: [data])


def test_what_is_a_public_bases_own_is_nobodys_feedback(promoted: Home, stand_in: Any, strop: Strop) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = promoted.models / "hub" / "models--moon--chat" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "chat_template.jinja").write_text("Write to ann@example.org. {{ messages }}", encoding="utf-8")
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n\n# Chat\n", encoding="utf-8")
    name_base(promoted, f"hf:moon/chat@{revision}")
    assert strop(promoted, *PUSH).code == 0
    files = stand_in.repos[REPO].files
    card = files["README.md"].decode()
    assert 'base_model: "moon/chat"' in card
    assert 'license: "mit"' in card
    assert f"[moon/chat](https://huggingface.co/moon/chat), revision `{revision}`" in card
    config = json.loads(files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("moon/chat", revision)


def test_a_damaged_adapter_is_not_published(promoted: Home, stand_in: Any, strop: Strop) -> None:
    folder = next(promoted.adapters.iterdir())
    (folder / "adapter_model.safetensors").write_bytes(b"else")
    told = strop(promoted, *PUSH)
    assert (told.code, "not in this home, or damaged" in told.err) == (1, True)
    assert stand_in.wire == []


def test_without_its_adapter_a_version_goes_merged_only(promoted: Home, stand_in: Any, strop: Strop) -> None:
    shutil.rmtree(promoted.adapters)
    told = strop(promoted, *PUSH)
    assert (told.code, f"hint: strop hub push {tag(promoted)} --merged" in told.err) == (1, True)
    assert strop(promoted, *PUSH, "--merged").code == 0


# The token


def everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", [None, "look"])
def test_the_token_is_in_no_output_no_log_and_no_file(
    fault: str | None, promoted: Home, hubs: ModuleType, tmp_path: Path
) -> None:
    loud = "import logging; logging.basicConfig(level=logging.DEBUG); from strop.cli import main; main()"
    with hubs.running() as server:
        if fault:
            server.faults[fault] = hubs.status(400, f"your token {hubs.TOKEN} is odd")
        env = {
            **os.environ,
            **{"HF_ENDPOINT": server.url, "HF_TOKEN": hubs.TOKEN, "HF_HOME": str(tmp_path / "hf")},
            **{"HF_HUB_VERBOSITY": "debug", "HF_DEBUG": "1", "TMPDIR": str(tmp_path)},
        }
        command = [sys.executable, "-c", loud, "--home", str(promoted.path), "--verbose", *PUSH, "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if fault else 0), done.stderr
    assert "Send: curl" in done.stderr  # it was loud indeed
    assert hubs.TOKEN not in done.stdout + done.stderr
    assert hubs.TOKEN.encode() not in everything(tmp_path)
    sent = b"\n".join(server.wire)
    assert sent.count(hubs.TOKEN.encode()) == sent.count(f"Bearer {hubs.TOKEN}".encode()) > 0


@pytest.mark.parametrize(
    ("role", "ok", "reason"),
    [("write", True, "ann's, role write: it may write to ann, moon"), ("read", None, "role read: it may not write")],
)
def test_doctor_asks_what_the_token_may_do_only_online(
    role: str, ok: bool | None, reason: str, promoted: Home, stand_in: Any, strop: Strop
) -> None:
    stand_in.role = role

    def token(*args: str) -> Any:
        checks = strop(promoted, "doctor", *args, "--json").json["checks"]
        return next(one for one in checks if one["name"] == "hugging face token")

    assert "--online asks what it may do" in token()["reason"]
    assert stand_in.wire == []
    found = token("--online")
    assert (found["ok"], reason in found["reason"]) == (ok, True)
    assert stand_in.calls == ["whoami"]


def test_doctor_online_knows_where_pushes_go_and_says_what_is_wrong(
    promoted: Home, stand_in: Any, hubs: ModuleType, strop: Strop
) -> None:
    save(promoted, {"hub.repo": "somebody/else"})

    def reason() -> str:
        checks = strop(promoted, "doctor", "--online", "--json").json["checks"]
        return str(next(one["reason"] for one in checks if one["name"] == "hugging face token"))

    assert "may not write to somebody" in reason()
    stand_in.faults["whoami"] = hubs.status(401)
    assert "does not know this token" in reason()


# After a promotion


@pytest.fixture
def tonight(trained: Home, nights: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose next night is promoted, in seconds."""
    monkeypatch.setattr(judge, "judged", nights.scripted(1.0))
    return trained


def test_a_night_pushes_what_it_promoted_where_that_is_set(
    tonight: Home, stand_in: Any, nights: ModuleType, strop: Strop
) -> None:
    save(tonight, {"hub.repo": REPO, "hub.push_on_promote": True})
    told = strop(tonight, "night", "--json")
    assert told.code == 0
    repo = stand_in.repos[REPO]
    assert (repo.private, set(repo.files) - {".gitattributes"}) == (True, ADAPTER)
    assert told.json["hub"] == {
        "repo": REPO,
        "url": f"{stand_in.url}/{REPO}",
        "commit": repo.head,
        "error": None,
        "command": None,
    }
    said = f"pushed to {stand_in.url}/{REPO}, commit {repo.head[:12]}"
    assert f"## The Hub\n\n{said}\n" in morning.find(tonight).markdown.read_text(encoding="utf-8")
    assert list(nights.steps(tonight)) == ["gate", "release", "push", "report"]


@pytest.mark.parametrize(
    ("call", "fault", "said"),
    [
        ("commit", "status(500)", "the Hub answers 500 again and again"),
        ("create", "status(403)", "this token may not write to ann/mine"),
        ("look", "cut", "the Hub cannot be reached"),
        (None, "no token", "there is no token for the Hub"),
        (None, "a bug", "ZeroDivisionError"),
    ],
)
def test_a_push_that_fails_leaves_the_promotion_and_the_report_says_how_to_try_again(
    call: str | None,
    fault: str,
    said: str,
    tonight: Home,
    stand_in: Any,
    hubs: ModuleType,
    nights: ModuleType,
    strop: Strop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(tonight, {"hub.repo": REPO, "hub.push_on_promote": True})
    if call:
        stand_in.faults[call] = {
            "status(500)": hubs.status(500),
            "status(403)": hubs.status(403),
            "cut": hubs.cut,
        }[fault]
    elif fault == "no token":
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setattr("strop.deploy.hub.push", lambda *args, **kwargs: 1 // 0)
    told = strop(tonight, "night")
    assert told.code == 0
    version = Versions(tonight.state_db).live()
    assert version is not None
    assert (version.number, nights.last_state(tonight)) == (1, "promoted")
    again = f"try again with: strop hub push {version.tag}"
    assert f"hub: not pushed to {REPO}: {said}" in told.out
    assert again in told.out
    report = morning.find(tonight)
    assert report.html is not None
    for page in (report.markdown, report.html):
        text = page.read_text(encoding="utf-8")
        assert said in text
        assert again in text
    assert strop(tonight, "night").code == 10  # and the night is over


def test_the_command_in_the_report_does_it_later(tonight: Home, stand_in: Any, hubs: ModuleType, strop: Strop) -> None:
    save(tonight, {"hub.repo": REPO, "hub.push_on_promote": True})
    stand_in.faults["put"] = hubs.cut
    command = strop(tonight, "night", "--json").json["hub"]["command"]
    stand_in.faults.clear()
    assert strop(tonight, *command.split()[1:]).code == 0
    assert set(stand_in.repos[REPO].files) == {".gitattributes", *ADAPTER}


def test_a_night_that_was_killed_in_its_push_pushes_again(
    tonight: Home, stand_in: Any, nights: ModuleType, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    save(tonight, {"hub.repo": REPO, "hub.push_on_promote": True})
    with monkeypatch.context() as patch:
        patch.setattr("strop.deploy.hub.push", kill)
        assert strop(tonight, "night").code == 130
    assert tag(tonight).startswith("v0001")  # live all the same
    told = strop(tonight, "night", "--json")
    assert (told.code, told.json["hub"]["commit"]) == (0, stand_in.repos[REPO].head)
    assert nights.tests_spent(tonight) == 1


def test_a_night_that_does_not_push_loads_nothing_of_it(
    tonight: Home, stand_in: Any, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = ("strop.hub", "strop.pushed", "strop.deploy.hub", "strop.deploy.card", "strop.deploy.licence")
    for name in rooms:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delenv("HF_TOKEN")
    told = strop(tonight, "night", "--json")
    assert (told.code, told.json["hub"]) == (0, None)
    assert set(rooms) & set(sys.modules) == set()
    assert "The Hub" not in morning.find(tonight).markdown.read_text(encoding="utf-8")
    assert stand_in.wire == []


def test_a_night_that_keeps_the_current_model_pushes_nothing(
    trained: Home, nights: ModuleType, stand_in: Any, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "judged", nights.scripted(0.0))
    save(trained, {"hub.repo": REPO, "hub.push_on_promote": True})
    told = strop(trained, "night", "--json")
    assert (told.code, told.json["hub"], stand_in.wire) == (20, None, [])


def test_push_on_promote_needs_a_repository(bare: Home, strop: Strop) -> None:
    bare.ensure().config_file.write_text("[hub]\npush_on_promote = true\n", encoding="utf-8")
    told = strop(bare, "status")
    assert (told.code, "push_on_promote needs a repository" in told.err) == (2, True)
    bare.config_file.write_text('[hub]\nrepo = "no repository"\n', encoding="utf-8")
    told = strop(bare, "status")
    assert (told.code, "hub.repo" in told.err, "OWNER/NAME" in told.err) == (2, True, True)


def test_a_section_that_is_added_twice_stands_once(tmp_path: Path) -> None:
    report, page = tmp_path / "run.md", tmp_path / "run.html"
    quoted = "# Kept\n\n```text\n\n## The Hub\n\nas a person wrote it\n```\n"
    report.write_text(quoted, encoding="utf-8")
    page.write_text("<main>\n<p>Kept</p>\n</main>\n", encoding="utf-8")
    morning.add(report, "The Hub", "first")
    morning.add(report, "The Hub", "<b>second</b>")
    assert report.read_text(encoding="utf-8") == f"{quoted}\n## The Hub\n\n<b>second</b>\n"
    assert page.read_text(encoding="utf-8").count("<h2>The Hub</h2>") == 1
    assert "&lt;b&gt;second" in page.read_text(encoding="utf-8")


def test_the_files_that_were_published_are_those_that_were_judged(promoted: Home, stand_in: Any, strop: Strop) -> None:
    assert strop(promoted, *PUSH, "--merged", "--json").code == 0
    version = Versions(promoted.state_db).get(1)
    listed = json.loads(stand_in.repos[REPO].files["strop.json"])["files"]
    assert listed["model.gguf"] == version.sha256 == sha256_file(version.gguf)
    assert verify_manifest(version.folder)["files"]["model.gguf"]["sha256"] == version.sha256


@pytest.mark.parametrize("repo", ["../x", "a/b/c", "ann"])
def test_a_dry_run_refuses_a_repository_that_a_push_would_refuse(promoted: Home, strop: Strop, repo: str) -> None:
    assert strop(promoted, "hub", "push", "--repo", repo, "--dry-run").code == 2
