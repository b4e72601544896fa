"""strop.deploy.targets.ollama against a fake server that fails on demand: no user is ever moved by a failure."""

import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from strop.deploy.release import release, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.base import Target
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.targets.ollama_api import OllamaApi, checked_digest, loopback_host
from strop.deploy.template_guard import guarded
from strop.deploy.versions import Version, Versions
from strop.errors import (
    BadGguf,
    ConfigError,
    StropError,
    TargetDown,
    TargetError,
    TargetTooOld,
    UsageError,
)
from strop.files import sha256_file, write_json

INST = "{{ bos_token }}{% for m in messages if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% endfor %}"


class Home:
    """Two versions of a tiny model, a fake Ollama and a target on it."""

    def __init__(self, folder: Path, fakes: ModuleType, server: Any) -> None:
        self.server = server
        self.versions = Versions(folder / "state.db")
        self.lock = folder / "release.lock"
        self.target = OllamaTarget(OllamaSettings(host=server.host, timeout_s=2.0))
        self.base = self._add(fakes, folder, 0)
        self.first = self._add(fakes, folder, 1)
        self.versions.set_state(self.first.tag, "certified")
        self.first = self.versions.set_state(self.first.tag, "gated")

    def _add(self, fakes: ModuleType, folder: Path, number: int) -> Version:
        here = folder / "builds" / str(number)
        here.mkdir(parents=True)
        gguf = fakes.tiny_gguf(here / "model.gguf", f"build {number}")
        facts: dict[str, Any] = {"number": 0, "state": "certified"} if number == 0 else {}
        return self.versions.add(
            gguf=gguf, sha256=sha256_file(gguf), folder=here, base_ref="x", adapter_sha=None, quant="F32", **facts
        )

    def release(self, version: Version) -> None:
        release(self.versions, self.target, version.tag, self.lock)

    def other(self, fakes: ModuleType, jinja: str, family: str = "llama") -> Version:
        """One more version that passed the gate, with another template."""
        gguf = fakes.tiny_gguf(self.first.gguf, "other", jinja, family)
        facts = {"folder": self.first.folder, "base_ref": "x", "adapter_sha": None, "quant": "F32"}
        made = self.versions.add(gguf=gguf, sha256=sha256_file(gguf), state="certified", **facts)
        return self.versions.set_state(made.tag, "gated")

    def name(self, version: Version) -> str:
        return f"strop:{version.tag}"

    def live_tag(self) -> str | None:
        live = self.versions.live()
        return None if live is None else live.tag


@pytest.fixture
def home(tmp_path: Path, fakes: ModuleType, fake_ollama: Any) -> Home:
    return Home(tmp_path, fakes, fake_ollama)


def test_the_target_is_one() -> None:
    target: Target = OllamaTarget(OllamaSettings())
    assert target.kind == "ollama"


def test_publishing_leaves_the_alias_alone(home: Home) -> None:
    home.target.publish(home.first)
    assert home.server.loaded == {home.name(home.first)}
    assert home.target.active() is None
    assert "strop:latest" not in home.server.digests


def test_a_tag_pins_its_options_and_never_names_another_model(home: Home) -> None:
    home.target.publish(home.first)
    request = home.server.created[home.name(home.first)]
    assert request["parameters"] == {
        "num_ctx": 2048,  # what the model was trained for, less than the 16384 of the settings
        "num_predict": 2048,
        "repeat_penalty": 1.0,
        "stop": ["<|im_end|>"],
    }
    assert request["files"] == {"model.gguf": f"sha256:{home.first.sha256}"}
    assert not {"from", "from_", "adapters", "quantize", "template"} & set(request)


@pytest.mark.parametrize("version", ["0.9.3", "0.34.1"])
def test_no_request_is_one_that_current_servers_refuse(home: Home, fakes: ModuleType, version: str) -> None:
    home.server.version = version
    home.target = OllamaTarget(OllamaSettings(host=home.server.host, allow_vulnerable=True))
    home.release(home.base)
    assert home.target.active() == home.base.tag


def test_the_files_own_template_answers_from_030_on(home: Home, fakes: ModuleType) -> None:
    home.target.publish(home.first)
    assert home.server.templates[home.name(home.first)] == fakes.CHATML


def test_a_template_of_ollamas_own_list_is_displaced_by_one_that_says_the_same(home: Home, fakes: ModuleType) -> None:
    home.server.index = [(fakes.CHATML, "{{ .System }} {{ .Prompt }}")]
    home.release(home.base)
    template = home.server.templates["strop:latest"]
    assert template.startswith("{{- /* strop v0000-")
    assert "<|im_start|>" in template
    assert home.server.calls.count("POST /api/create") == 2


def test_a_template_of_ollamas_own_list_that_cannot_be_displaced_is_refused(home: Home, fakes: ModuleType) -> None:
    home.release(home.base)
    other = home.other(fakes, INST)
    home.server.index = [(INST.replace("user", "User"), "[INST] {{ .Prompt }}")]
    with pytest.raises(TargetError, match="one of its own list") as caught:
        home.release(other)
    assert "llamacpp" in caught.value.hint
    assert home.name(other) not in home.server.digests
    assert home.target.active() == home.live_tag() == home.base.tag


def test_the_comment_keeps_ollama_from_taking_the_template_for_its_own(home: Home, fakes: ModuleType) -> None:
    home.server.index = [(INST, "[INST] {{ .Prompt }}")]
    other = home.other(fakes, guarded(INST))
    home.release(other)
    assert home.server.templates["strop:latest"] == guarded(INST)
    assert "template" not in home.server.created[home.name(other)]


@pytest.mark.parametrize("family", ["gemma4", "laguna", "nemotron_h_moe"])
def test_a_family_that_ollama_renders_itself_is_refused_before_it_is_sent(
    home: Home, fakes: ModuleType, family: str
) -> None:
    with pytest.raises(TargetError, match=f"renders every {family} by code of its own") as caught:
        home.release(home.other(fakes, guarded(INST), family))
    assert "llamacpp" in caught.value.hint
    assert "POST /api/blobs" not in home.server.calls
    assert home.target.active() is None


def test_a_family_that_ollama_renders_itself_only_from_030_on(home: Home, fakes: ModuleType) -> None:
    home.server.version = "0.24.0"
    home.release(home.other(fakes, fakes.CHATML, "gemma4"))
    assert home.target.active() is not None


def test_a_renderer_of_ollamas_own_is_seen_whatever_the_template_says(home: Home, fakes: ModuleType) -> None:
    other = home.other(fakes, fakes.CHATML, "newcomer")
    with pytest.raises(TargetError, match="code of its own, its-own"):
        home.release(other)
    assert home.name(other) not in home.server.digests


def test_a_tag_that_was_made_before_ollama_had_a_renderer_for_it_is_refused(home: Home, fakes: ModuleType) -> None:
    other = home.other(fakes, fakes.CHATML, "newcomer")
    home.server.version = "0.24.0"
    OllamaTarget(OllamaSettings(host=home.server.host)).publish(other)
    home.server.version = "0.34.1"
    with pytest.raises(TargetError, match="code of its own, its-own"):
        home.release(other)
    assert home.target.active() is None


def test_a_template_that_ollama_cannot_speak_before_030_is_said(
    home: Home, fakes: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    home.server.version = "0.24.0"
    home.target.publish(home.other(fakes, INST))
    assert "/api/chat does not" in caplog.text


@pytest.mark.parametrize("limit", [{}, {"num_ctx": 1024}])
def test_the_context_is_what_is_set_or_the_models_limit(home: Home, limit: dict[str, int]) -> None:
    assert OllamaSettings().num_ctx >= 16384
    OllamaTarget(OllamaSettings(host=home.server.host, **limit)).publish(home.first)
    pinned = home.server.created[home.name(home.first)]["parameters"]["num_ctx"]
    assert pinned == limit.get("num_ctx", 2048)


def test_a_server_that_was_restarted_between_upload_and_create_takes_it_at_the_next_try(home: Home) -> None:
    def restart(handler: Any) -> None:
        handler.server.faults.clear()
        handler.server.restart()
        handler.create()

    home.release(home.base)
    home.server.faults["POST /api/create"] = restart
    with pytest.raises(TargetError):
        home.release(home.first)
    home.release(home.first)
    assert home.target.active() == home.first.tag


def test_a_manifests_own_template_is_used(home: Home) -> None:
    write_json(home.first.folder / "manifest.json", {"go_template": "{{ .Prompt }}!"})
    home.target.publish(home.first)
    assert home.server.created[home.name(home.first)]["template"].endswith("\n{{ .Prompt }}!")


def test_publishing_again_sends_no_bytes_and_creates_nothing(home: Home) -> None:
    home.target.publish(home.first)
    home.server.calls.clear()
    home.target.publish(home.first)
    assert not [call for call in home.server.calls if "blobs" in call or "create" in call]


def test_a_file_that_the_server_has_is_not_sent_again(home: Home) -> None:
    home.server.blobs.add(home.first.sha256)
    home.target.publish(home.first)
    assert "HEAD /api/blobs" in home.server.calls
    assert "POST /api/blobs" not in home.server.calls


def test_release_and_rollback_move_the_alias_and_unload_by_tag(home: Home) -> None:
    home.release(home.base)
    home.release(home.first)
    assert home.target.active() == home.first.tag
    assert home.server.digests["strop:latest"] == home.server.digests[home.name(home.first)]
    assert home.server.loaded == {home.name(home.first)}
    assert rollback(home.versions, home.target, home.lock) == (home.first.tag, home.base.tag)
    assert home.target.active() == home.live_tag() == home.base.tag
    assert home.server.loaded == {home.name(home.base)}
    assert home.name(home.first) in home.server.digests


def test_it_never_pulls_or_pushes(home: Home) -> None:
    home.release(home.base)
    home.release(home.first)
    rollback(home.versions, home.target, home.lock)
    home.target.remove(home.first)
    used = {call.split()[1] for call in home.server.calls}
    names = {"version", "tags", "ps", "show", "create", "copy", "delete", "generate", "blobs"}
    assert used <= {f"/api/{name}" for name in names}


FAULTS: dict[str, Callable[[ModuleType], dict[str, Any]]] = {
    "hangs on the upload": lambda fakes: {"POST /api/blobs": fakes.hanging},
    "hangs on the copy": lambda fakes: {"POST /api/copy": fakes.hanging},
    "hangs on the load": lambda fakes: {"POST /api/generate": fakes.hanging},
    "500 on the upload": lambda fakes: {"POST /api/blobs": fakes.failing(500)},
    "500 on create": lambda fakes: {"POST /api/create": fakes.failing(500)},
    "error after success": lambda fakes: {
        "POST /api/create": lambda handler: handler.lines({"status": "success"}, {"error": "prune failed"})
    },
    "error in the stream": lambda fakes: {"POST /api/create": lambda handler: handler.lines({"error": "no disk"})},
    "a stream that stops early": lambda fakes: {
        "POST /api/create": lambda handler: handler.lines({"status": "writing manifest"})
    },
    "a stream that is no JSON": lambda fakes: {"POST /api/create": lambda handler: handler.lines("text")},
    "500 on the load": lambda fakes: {"POST /api/generate": fakes.failing(500, "out of memory")},
    "404 on the copy": lambda fakes: {"POST /api/copy": fakes.failing(404)},
    "500 on the copy": lambda fakes: {"POST /api/copy": fakes.failing(500)},
    "a copy that does nothing": lambda fakes: {"POST /api/copy": lambda handler: handler.send(200)},
    "an HTML page for the list": lambda fakes: {"GET /api/tags": lambda handler: handler.send(200, "<html>")},
    "a redirect": lambda fakes: {"GET /api/tags": lambda handler: handler.send(302)},
    "a digest that is none": lambda fakes: {
        "GET /api/tags": lambda handler: handler.send(200, {"models": [{"model": "a", "digest": "../../etc"}]})
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_server_moves_nobody(home: Home, fakes: ModuleType, fault: str) -> None:
    home.release(home.base)
    home.target = OllamaTarget(OllamaSettings(host=home.server.host, timeout_s=0.3))
    home.server.faults.update(FAULTS[fault](fakes))
    with pytest.raises(StropError) as caught:
        home.release(home.first)
    home.server.faults.clear()
    assert caught.value.hint
    assert home.live_tag() == home.target.active() == home.base.tag
    assert home.versions.get(home.first.tag).state == "gated"


def test_after_a_failure_the_same_release_goes_through(home: Home, fakes: ModuleType) -> None:
    home.release(home.base)
    home.server.faults["POST /api/create"] = fakes.failing(500)
    with pytest.raises(TargetError):
        home.release(home.first)
    home.server.faults.clear()
    home.release(home.first)
    assert home.target.active() == home.first.tag


def test_a_copy_to_the_wrong_weights_is_found_and_put_back(home: Home) -> None:
    home.release(home.base)
    real = home.server.digests

    def stray(handler: Any) -> None:
        handler.server.faults.clear() if handler.server.calls.count("POST /api/copy") > 4 else None
        real["strop:latest"] = "f" * 64
        handler.send(200)

    home.server.calls.clear()
    home.server.faults["POST /api/copy"] = stray
    with pytest.raises(TargetError, match="after the copy"):
        home.release(home.first)
    home.server.faults.clear()
    # The alias was wrong and could not be put back at once: the open intent has the next release do it first.
    home.release(home.first)
    assert home.target.active() == home.live_tag() == home.first.tag


def test_a_hiccup_during_the_copy_is_tried_again(home: Home) -> None:
    home.release(home.base)

    def once(handler: Any) -> None:
        handler.server.faults.clear()
        handler.send(500, {"error": "unexpected end of JSON input"})

    home.server.faults["POST /api/copy"] = once
    home.release(home.first)
    assert home.target.active() == home.first.tag


def test_a_first_release_that_fails_leaves_no_alias(home: Home) -> None:
    def half(handler: Any) -> None:
        handler.server.digests["strop:latest"] = "f" * 64
        handler.send(200)

    home.server.faults["POST /api/copy"] = half
    with pytest.raises(TargetError):
        home.release(home.base)
    assert "strop:latest" not in home.server.digests
    assert home.live_tag() is None


def test_a_tag_that_is_gone_is_an_error_and_a_release_makes_it_again(home: Home) -> None:
    home.release(home.base)
    home.target.publish(home.first)
    del home.server.digests[home.name(home.first)]
    with pytest.raises(TargetError, match="has no"):
        home.target.activate(home.first)
    assert home.target.active() == home.base.tag
    home.release(home.first)
    assert home.target.active() == home.first.tag


def test_a_tag_with_other_weights_is_refused(home: Home) -> None:
    home.release(home.base)
    home.server.add(home.name(home.first), "e" * 64)
    with pytest.raises(TargetError, match="other weights"):
        home.release(home.first)
    assert home.target.active() == home.live_tag() == home.base.tag


def test_releases_that_rewrite_the_file_are_not_asked_for_its_digest(home: Home) -> None:
    home.server.version = "0.33.0"
    home.server.add(home.name(home.first), "e" * 64)
    home.target.publish(home.first)
    assert home.first.tag in home.target.tags()


def test_an_error_after_the_tag_was_written_says_so(home: Home) -> None:
    def create(handler: Any) -> None:
        handler.server.add(handler.body["model"], home.first.sha256)
        handler.lines({"status": "success"}, {"error": "prune failed"})

    home.server.faults["POST /api/create"] = create
    with pytest.raises(TargetError, match="there all the same"):
        home.target.publish(home.first)
    home.server.faults.clear()
    home.target.publish(home.first)


def test_somebody_elses_model_under_the_alias_is_not_overwritten(home: Home) -> None:
    home.server.add("strop:latest", "d" * 64)
    before = dict(home.server.digests)
    with pytest.raises(TargetError, match="not ours"):
        home.release(home.base)
    assert home.server.digests == before


def test_no_server_is_named_with_the_command_that_starts_one(home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TargetDown) as caught:
        OllamaTarget(OllamaSettings(host=host)).active()
    assert caught.value.hint == "ollama serve"
    assert caught.value.exit_code == 30


@pytest.mark.parametrize(
    ("version", "vulnerable", "ok"),
    [
        ("0.17.0", False, False),
        ("0.17.1-rc0", False, False),
        ("0.9.3", False, False),
        ("0.9.3", True, True),
        ("0.17.1", False, True),
        ("0.33.0-rc2", False, True),
        ("1.0.0", False, True),
        ("0.5.4", True, False),
        ("0.0.0", False, False),
        ("banana", True, False),
    ],
)
def test_old_servers_are_refused(home: Home, version: str, vulnerable: bool, ok: bool) -> None:
    home.server.version = version
    target = OllamaTarget(OllamaSettings(host=home.server.host, allow_vulnerable=vulnerable))
    if ok:
        assert target.check() == version.partition("-")[0]
        return
    with pytest.raises(TargetTooOld) as caught:
        target.publish(home.first)
    assert caught.value.exit_code == 30
    assert "GET /api/tags" not in home.server.calls


def test_the_refusal_names_the_vulnerability(home: Home) -> None:
    home.server.version = "0.17.0"
    with pytest.raises(TargetTooOld, match="CVE-2026-7482") as caught:
        home.target.check()
    assert "allow_vulnerable" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://localhost:1/", "http://localhost:1"),
        ("http://[::1]:5", "http://[::1]:5"),
        ("http://[::]:5", "http://[::1]:5"),
        ("https://127.0.0.2:5", "https://127.0.0.2:5"),
    ],
)
def test_loopback_addresses_are_called(host: str, called: str) -> None:
    assert loopback_host(host, allow_remote=False) == called


@pytest.mark.parametrize("host", ["http://10.0.0.1:11434", "http://localhost.example.com", "http://127.0.0.1.nip.io"])
def test_other_machines_need_to_be_allowed(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OllamaTarget(OllamaSettings(host=host))
    assert "allow_remote" in caught.value.hint
    assert loopback_host(host, allow_remote=True).startswith("http://")


@pytest.mark.parametrize(
    "host", ["", "ftp://127.0.0.1", "http://me:key@127.0.0.1", "http://127.0.0.1/x", "http://127.0.0.1:99999"]
)
def test_what_is_no_plain_address_is_refused(host: str) -> None:
    with pytest.raises(ConfigError):
        loopback_host(host, allow_remote=True)


def test_the_environment_changes_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    target = OllamaTarget(OllamaSettings(host=home.server.host, timeout_s=3.0))
    target.publish(home.first)
    assert all("authorization" not in headers for headers in home.server.headers_seen)


@pytest.mark.parametrize("alias", ["Strop", "strop:latest", "me/strop", "strop-cloud", "", "a b", "../x", "x" * 99])
def test_an_alias_of_another_form_is_refused(alias: str) -> None:
    with pytest.raises(ValidationError):
        OllamaSettings(alias=alias)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        OllamaSettings.model_validate({"hosts": "x"})


@pytest.mark.parametrize("digest", ["sha256:" + "A" * 64, "a" * 65, "sha512:" + "a" * 64, "", "a" * 63 + "\n"])
def test_a_digest_of_another_form_never_reaches_the_server(digest: str) -> None:
    with pytest.raises(TargetError):
        checked_digest(digest)


def test_a_file_that_changed_since_it_was_built_is_refused(home: Home, fakes: ModuleType) -> None:
    fakes.tiny_gguf(home.first.gguf, "another build")
    with pytest.raises(BadGguf, match="not the file"):
        home.target.publish(home.first)
    assert home.name(home.first) not in home.server.digests


def test_a_truncated_file_is_refused_before_it_is_sent(home: Home) -> None:
    home.first.gguf.write_bytes(home.first.gguf.read_bytes()[:-40])
    with pytest.raises(BadGguf):
        home.target.publish(home.first)
    assert "POST /api/blobs" not in home.server.calls


def test_answers_come_from_the_versions_own_tag_and_its_own_template(home: Home) -> None:
    seen: list[dict[str, Any]] = []

    def generate(handler: Any) -> None:
        if handler.body.get("prompt"):
            seen.append(handler.body)
        handler.generate()

    home.server.faults["POST /api/generate"] = generate
    home.server.answer["load_duration"] = 12_000_000
    steps: list[tuple[int, int]] = []
    with home.target.serve(home.first) as model:
        seen.clear()
        answers = model.generate(
            [[{"role": "user", "content": "Hi"}]], max_tokens=5, on_answer=lambda *at: steps.append(at)
        )
    assert (answers[0].text, answers[0].tokens, answers[0].finished) == ("Yes.", 2, True)
    assert answers[0].load_s == pytest.approx(0.012)
    assert steps == [(1, 1)]
    assert seen[0]["model"] == home.name(home.first)
    assert seen[0]["raw"] is True
    assert seen[0]["prompt"] == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert seen[0]["options"] == {"temperature": 0, "seed": 1, "num_predict": 5}
    assert home.server.loaded == set()


def test_serving_the_live_version_leaves_it_loaded(home: Home) -> None:
    home.release(home.base)
    home.server.loaded.clear()
    with home.target.serve(home.base):
        pass
    assert home.server.loaded == {home.name(home.base)}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"prompt_eval_count": 2048}, "does not fit"),
        ({"done": False}, "broke off"),
        ({"eval_count": None}, "broke off"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_an_error(home: Home, answer: dict[str, Any], error: str) -> None:
    home.server.answer.update(answer)
    with home.target.serve(home.first) as model, pytest.raises(TargetError, match=error):
        model.generate([[{"role": "user", "content": "Hi"}]], max_tokens=5)


def test_an_answer_at_the_limit_is_not_finished(home: Home) -> None:
    home.server.answer["done_reason"] = "length"
    with home.target.serve(home.first) as model:
        assert not model.generate([[{"role": "user", "content": "Hi"}]], max_tokens=2)[0].finished


def test_a_new_name_is_made_beside_the_alias(home: Home) -> None:
    home.release(home.base)
    alias = home.server.digests["strop:latest"]
    digest = home.target.create_named("poems", home.first.gguf, sha256=home.first.sha256)
    assert home.server.digests["poems:latest"] == digest
    assert home.server.digests["strop:latest"] == alias
    assert home.live_tag() == home.base.tag


@pytest.mark.parametrize("name", ["strop", "strop:mine", "taken", "taken:latest"])
def test_a_name_that_is_taken_or_the_aliass_is_refused(home: Home, name: str) -> None:
    home.server.add("taken:latest", "d" * 64)
    before = dict(home.server.digests)
    with pytest.raises(UsageError):
        home.target.create_named(name, home.first.gguf)
    assert home.server.digests == before


@pytest.mark.parametrize("name", ["poems:cloud", "poems-cloud", "gpt:20b-cloud", "a/b", "Poems", "a:b:c", "-x"])
def test_a_name_that_is_not_plain_is_refused(home: Home, name: str) -> None:
    with pytest.raises(ConfigError):
        home.target.create_named(name, home.first.gguf)


def test_the_live_version_is_not_removed(home: Home) -> None:
    home.release(home.base)
    with pytest.raises(TargetError):
        home.target.remove(home.base)
    home.target.publish(home.first)
    home.target.remove(home.first)
    home.target.remove(home.first)
    assert home.name(home.first) not in home.server.digests
    assert home.target.active() == home.base.tag


def test_an_upload_says_whether_it_was_one(home: Home) -> None:
    api = OllamaApi(OllamaSettings(host=home.server.host))
    assert api.upload(home.first.gguf, home.first.sha256)
    assert not api.upload(home.first.gguf, home.first.sha256)
