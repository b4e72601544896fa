"""Pushing to the Hub: against a stand-in, with everything that can go wrong on the way."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from strop.deploy import hub
from strop.deploy.hub import Upload, access, check_repo_id, push
from strop.errors import DeployError, HubDown, HubError, Missing, StropError, UsageError

# The library hands a file to httpx2 as `data`, which is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "ann/mine"


def upload(name: str, content: bytes | Path) -> Upload:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return Upload(name, content, len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def files(tmp_path: Path) -> list[Upload]:
    """A small adapter."""
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(bytes(range(256)) * 40)
    return [
        upload("README.md", b"---\nlibrary_name: peft\n---\n\n# A card\n"),
        upload("adapter_config.json", b'{"peft_type": "LORA"}\n'),
        upload("adapter_model.safetensors", weights),
        upload("strop.json", b'{"made_by": "strop"}\n'),
    ]


def sent(files: list[Upload], *, private: bool = True) -> hub.Pushed:
    return push(REPO, files, private=private, message="v0001", on_progress=lambda stage, share, text: None)


def bytes_of(files: list[Upload]) -> dict[str, bytes]:
    return {one.name: one.content if isinstance(one.content, bytes) else one.content.read_bytes() for one in files}


def test_one_private_repository_and_one_commit_that_holds_exactly_the_files(stand_in: Any, files: list[Upload]) -> None:
    done = sent(files)
    repo = stand_in.repos[REPO]
    assert (done.changed, done.private, repo.private) == (True, True, True)
    assert (done.commit, len(repo.commits)) == (repo.head, 2)
    assert {name: data for name, data in repo.files.items() if name != ".gitattributes"} == bytes_of(files)
    assert done.url == f"{stand_in.url}/{REPO}"


def test_public_only_where_that_is_asked_for(stand_in: Any, files: list[Upload]) -> None:
    assert sent(files, private=False).private is False
    assert stand_in.repos[REPO].private is False


def test_a_second_push_makes_no_commit_and_sends_nothing(stand_in: Any, files: list[Upload]) -> None:
    first = sent(files)
    stand_in.calls.clear()
    again = sent(files)
    assert (again.changed, again.commit) == (False, first.commit)
    assert stand_in.calls == ["look"]
    assert len(stand_in.repos[REPO].commits) == 2


def test_only_what_changed_is_sent_what_is_ours_and_stale_goes_and_what_is_not_ours_stays(
    stand_in: Any, files: list[Upload]
) -> None:
    sent(files)
    repo = stand_in.repos[REPO]
    repo.commit({**repo.files, "notes.txt": b"by hand"})
    stand_in.calls.clear()
    merged = [files[0], upload("model.gguf", b"GGUF and so on"), files[3]]
    assert sent(merged).changed
    assert stand_in.calls.count("put") == 1
    assert set(repo.files) == {".gitattributes", "notes.txt", "README.md", "model.gguf", "strop.json"}


def test_a_large_file_goes_in_parts(stand_in: Any, files: list[Upload]) -> None:
    stand_in.part_bytes = 3000
    sent(files)
    assert stand_in.calls.count("put") == 4
    assert stand_in.repos[REPO].files["adapter_model.safetensors"] == bytes_of(files)["adapter_model.safetensors"]


# What goes wrong


Case = tuple[str, Callable[[ModuleType], Any], type[StropError], str]
FAULTS: dict[str, Case] = {
    "token unknown": ("look", lambda h: h.status(401), Missing, "does not know this token"),
    "token may not create": ("create", lambda h: h.status(403), Missing, "may not write to ann/mine"),
    "token may not look": ("look", lambda h: h.status(403), Missing, "may not write to ann/mine"),
    "token may not commit": ("commit", lambda h: h.status(403), Missing, "may not write to ann/mine"),
    "no quota left": ("create", lambda h: h.status(402), HubError, "refused .402.: no"),
    "too many requests": ("preupload", lambda h: h.status(429), HubDown, "answers 429 again and again"),
    "broken before": ("look", lambda h: h.status(500), HubDown, "answers 500 again and again"),
    "broken in LFS": ("batch", lambda h: h.status(500), HubDown, "answers 500 again and again"),
    "broken at the upload": ("put", lambda h: h.status(500), HubDown, "answers 500 again and again"),
    "broken at the commit": ("commit", lambda h: h.status(503), HubDown, "answers 503 again and again"),
    "cut at the first look": ("look", lambda h: h.cut, HubDown, "cannot be reached"),
    "cut in the upload": ("put", lambda h: h.cut, HubDown, "cannot be reached"),
    "cut at the commit": ("commit", lambda h: h.cut, HubDown, "cannot be reached"),
    "somebody else committed": ("commit", lambda h: h.status(412), HubError, "changed while this was pushed"),
    "card refused": ("card", lambda h: h.status(400), HubError, "refused .400."),
    "not verified": ("verify", lambda h: h.status(422), HubError, "refused .422."),
    "no such page": ("preupload", lambda h: h.status(404), HubError, "refused .404."),
    "no JSON": ("preupload", lambda h: _garbage, HubError, "something unexpected"),
    "other JSON": ("batch", lambda h: lambda handler: handler.reply(200, {}) or True, HubError, "unexpected"),
    "LFS says no": ("batch", lambda h: _lfs_error, HubError, "unexpected: LFS batch API returned errors"),
    "redirect": ("preupload", lambda h: h.status(307, Location="https://elsewhere.example/x"), HubError, "sends us on"),
    "redirect of the upload": ("put", lambda h: h.status(307, Location="/lfs/other"), HubError, "sends us on"),
    "a token for somebody else": ("batch", lambda h: _verify_elsewhere, HubError, "elsewhere.example, to which no to"),
    "a wait of an hour": ("preupload", lambda h: h.status(429, **{"Retry-After": "3600"}), HubDown, "wait 3600 s"),
    "the token sent back": (
        "create",
        lambda h: h.status(400, f"bad: {h.TOKEN}"),
        HubError,
        r"refused .400.: bad: \*\*\*",
    ),
}


def _garbage(handler: Any) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "6")
    handler.end_headers()
    handler.wfile.write(b"<html>")
    return True


def _lfs_error(handler: Any) -> bool:
    one = handler.json["objects"][0]
    handler.reply(200, {"objects": [{**one, "error": {"code": 507, "message": "no room"}}]})
    return True


def _verify_elsewhere(handler: Any) -> bool:
    one = handler.json["objects"][0]
    actions = {
        "upload": {"href": f"{handler.server.url}/lfs/{one['oid']}", "header": {}},
        "verify": {"href": "https://elsewhere.example/verify"},
    }
    handler.reply(200, {"objects": [{**one, "actions": actions}]})
    return True


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_an_error_in_our_words_without_the_token_and_nothing_is_committed(
    name: str, stand_in: Any, hubs: ModuleType, files: list[Upload]
) -> None:
    call, fault, kind, said = FAULTS[name]
    stand_in.faults[call] = fault(hubs)
    with pytest.raises(kind, match=said) as caught:
        sent(files)
    assert hubs.TOKEN not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__cause__ is None  # what a log would print below it is the library's, not ours
    assert caught.value.hint
    assert all(len(repo.commits) == 1 for repo in stand_in.repos.values())
    stand_in.faults.clear()
    assert sent(files).changed  # and the same call again does it
    assert bytes_of(files).items() <= stand_in.repos[REPO].files.items()


@pytest.mark.parametrize("call", ["preupload", "batch", "put", "verify"])
@pytest.mark.parametrize("fault", ["status(500)", "status(429)", "cut"])
def test_a_fault_that_passes_is_waited_out(
    call: str, fault: str, stand_in: Any, hubs: ModuleType, files: list[Upload]
) -> None:
    made = {"status(500)": hubs.status(500), "status(429)": hubs.status(429), "cut": hubs.cut}[fault]
    stand_in.faults[call] = hubs.times(2, made)
    assert sent(files).changed
    assert stand_in.calls.count(call) >= 3


@pytest.mark.parametrize("call", ["put", "commit"])
def test_other_bytes_than_were_sent_are_noticed(
    call: str, stand_in: Any, hubs: ModuleType, files: list[Upload]
) -> None:
    def spoilt(handler: Any) -> bool:
        if call == "put":
            return bool(hubs.spoilt(handler))
        handler.body = handler.body.replace(b'"content": "e', b'"content": "f')  # the first letter of a JSON file
        return False

    stand_in.faults[call] = spoilt
    with pytest.raises(HubError, match="holds other bytes than were sent"):
        sent(files)


def test_what_somebody_else_commits_meanwhile_is_not_written_over(stand_in: Any, files: list[Upload]) -> None:
    repo = stand_in.add(REPO, **{"strop.json": b"{}"})

    def meanwhile(handler: Any) -> bool:
        repo.commit({**repo.files, "README.md": b"# By hand"})
        return False

    stand_in.faults["preupload"] = meanwhile
    with pytest.raises(HubError, match="changed while this was pushed"):
        sent(files)
    assert repo.files["README.md"] == b"# By hand"


def test_a_repository_that_appears_meanwhile_is_fine_where_it_is_ours(
    stand_in: Any, hubs: ModuleType, files: list[Upload]
) -> None:
    stand_in.add(REPO, **{"strop.json": b"{}"})
    stand_in.faults["look"] = hubs.times(1, hubs.status(404, **{"X-Error-Code": "RepoNotFound"}))
    assert sent(files).changed
    assert "create" in stand_in.calls  # which answered 409


@pytest.mark.parametrize(
    ("held", "private", "said"),
    [
        ({"model.bin": b"somebody's"}, True, "holds files that Strop did not put there .model.bin."),
        ({"README.md": b"# A plan"}, True, "holds files that Strop did not put there"),
        ({"strop.json": b"{}"}, False, "is public, and private was asked for"),
        ({}, False, "is public, and private was asked for"),
    ],
)
def test_nothing_goes_to_a_repository_that_is_not_ours_or_open(
    held: dict[str, bytes], private: bool, said: str, stand_in: Any, files: list[Upload]
) -> None:
    stand_in.add(REPO, private=private, **held)
    with pytest.raises(UsageError, match=said):
        sent(files)
    assert stand_in.calls == ["look"]


def test_an_empty_repository_is_ours_to_fill(stand_in: Any, files: list[Upload]) -> None:
    stand_in.add(REPO)
    assert sent(files).changed


# Before anything is sent


def test_a_file_that_is_on_no_list_is_refused(stand_in: Any, files: list[Upload]) -> None:
    with pytest.raises(DeployError, match="ledger.db may not be published"):
        sent([*files, upload("ledger.db", b"SQLite format 3")])
    assert stand_in.calls == []


def test_without_a_token_it_says_how_to_get_one(
    stand_in: Any, files: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(Missing, match="no token") as caught:
        sent(files)
    assert (caught.value.exit_code, "hf auth login" in caught.value.hint) == (30, True)
    assert stand_in.calls == []


def test_the_login_of_the_hub_counts_as_a_token(
    stand_in: Any, hubs: ModuleType, files: list[Upload], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(hubs.TOKEN, encoding="utf-8")
    assert sent(files).changed


def test_offline_is_said_and_nothing_is_asked(
    stand_in: Any, files: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubDown, match="offline mode is set") as caught:
        sent(files)
    assert (caught.value.exit_code, "unset HF_HUB_OFFLINE" in caught.value.hint) == (30, True)
    assert stand_in.calls == []


def test_nothing_goes_over_plain_http_to_another_machine(
    stand_in: Any, files: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    with pytest.raises(HubError, match="hub.example is not asked over https"):
        sent(files)


def test_nobody_there_is_said(stand_in: Any, files: list[Upload], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubDown, match="cannot be reached: ConnectionRefusedError|cannot be reached: ConnectError"):
        sent(files)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "mine",
            "a/b/c",
            "a//b",
            "/a/b",
            "a/b/",
            "../b",
            "a/..",
            "a/.b",
            "-a/b",
            "a/b-",
            "a/b.git",
            "a/b\n",
            "a /b",
        ),
        *("https://hub.example/a/b", "a/b@main", "a\\b", "ä/b", "a/" + "b" * 95, "a/b?x=1", "a/b#c", "a/b%2e"),
    ],
)
def test_what_names_no_repository_is_refused(name: str, stand_in: Any) -> None:
    with pytest.raises(UsageError):
        check_repo_id(name)
    assert stand_in.calls == []


@pytest.mark.parametrize("name", ["ann/mine", "Moon-School/strop_v1.2", "a/b"])
def test_plain_names_are_taken(name: str) -> None:
    assert check_repo_id(name) == name


def test_the_library_is_left_as_it_was(stand_in: Any, files: list[Upload]) -> None:
    before = (constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY)
    sent(files)
    assert before == (constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY)
    assert _http.get_session().follow_redirects is True


# What a token may do


@pytest.mark.parametrize(
    ("role", "scoped", "writes"),
    [
        ("write", [], ("ann", "moon")),
        ("read", [], ()),
        ("fineGrained", [{"entity": {"name": "moon"}, "permissions": ["repo.content.read", "repo.write"]}], ("moon",)),
        ("fineGrained", [{"entity": {"name": "ann"}, "permissions": ["repo.content.read"]}], ()),
    ],
)
def test_access_is_read_from_the_hub(role: str, scoped: list[Any], writes: tuple[str, ...], stand_in: Any) -> None:
    stand_in.role, stand_in.scoped = role, scoped
    found = access()
    assert (found.user, found.role, found.writes) == ("ann", role, writes)
