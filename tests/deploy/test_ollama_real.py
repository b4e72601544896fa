"""strop.deploy.targets.ollama on a real Ollama with a real small model: what the fake server cannot prove."""

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy.container import field
from strop.deploy.gguf import TEMPLATE_KEY
from strop.deploy.release import release, repair, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.targets.ollama_api import SAFE_VERSION, OllamaApi
from strop.deploy.targets.ollama_template import chat_format, render
from strop.deploy.template_guard import guarded
from strop.deploy.versions import Version, Versions
from strop.errors import TargetError, TargetTooOld, UnknownModel, UsageError
from strop.files import sha256_file

pytestmark = [pytest.mark.ollama, pytest.mark.slow]

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CONVERSATIONS: tuple[Sequence[Mapping[str, str]], ...] = (
    QUESTION,
    [{"role": "system", "content": "Answer like a pirate."}, *QUESTION],
    [*QUESTION, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": " And of Spain?\n"}],
)


@pytest.fixture(scope="session")
def settings(real_ollama: str) -> OllamaSettings:
    # Two models that answer at once on two cores make each other wait: one thread each.
    return OllamaSettings(host=real_ollama, allow_vulnerable=True, num_ctx=512, num_thread=1, timeout_s=240)


@pytest.fixture(scope="session")
def ggufs(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model, and the same with another name in its metadata: other bytes, the same answers."""
    other = tmp_path_factory.mktemp("gguf") / "other.gguf"
    data = smollm2_gguf.read_bytes()
    assert data.count(b"Smollm2 135M 8k") == 1
    other.write_bytes(data.replace(b"Smollm2 135M 8k", b"Another 135M 8k"))
    return smollm2_gguf, other


class Home:
    """A home with the base and one version that passed the gate, and a target with an alias of its own."""

    def __init__(self, folder: Path, target: OllamaTarget, ggufs: tuple[Path, Path]) -> None:
        self.target = target
        self.versions = Versions(folder / "state.db")
        self.lock = folder / "release.lock"
        self.base = self._add(ggufs[0], folder, number=0, state="certified")
        self.first = self._add(ggufs[1], folder)
        self.versions.set_state(self.first.tag, "certified")
        self.versions.set_state(self.first.tag, "gated")

    def _add(self, gguf: Path, folder: Path, **facts: Any) -> Version:
        sha256 = sha256_file(gguf)
        return self.versions.add(
            gguf=gguf, sha256=sha256, folder=folder, base_ref="smollm2", adapter_sha=None, quant="Q4_1", **facts
        )


@pytest.fixture
def home(
    tmp_path: Path, settings: OllamaSettings, ggufs: tuple[Path, Path], request: pytest.FixtureRequest
) -> Iterator[Home]:
    alias = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")[:40].strip("-")
    home = Home(tmp_path, OllamaTarget(settings, alias), ggufs)
    yield home
    api = OllamaApi(settings)
    for name in api.digests():
        if name.startswith(f"{alias}:"):
            api.load(name, 0)
            api.delete(name)


def post(settings: OllamaSettings, path: str, body: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(settings.host + path, json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=240) as answer:
        return json.load(answer)


def until_unloaded(api: OllamaApi, name: str) -> bool:
    until = time.monotonic() + 20
    while name in api.loaded() and time.monotonic() < until:
        time.sleep(0.1)
    return name not in api.loaded()


def test_release_rollback_and_repair_move_the_alias(home: Home, settings: OllamaSettings) -> None:
    target, api = home.target, OllamaApi(settings)
    release(home.versions, target, home.base.tag, home.lock)
    release(home.versions, target, home.first.tag, home.lock)
    digests = api.digests()
    assert digests[target.alias_name] == digests[target.name_of(home.first)] != digests[target.name_of(home.base)]
    assert api.show(target.alias_name).weights in (home.first.sha256, None)
    assert target.active() == home.first.tag
    assert until_unloaded(api, target.name_of(home.base))
    assert target.name_of(home.first) in api.loaded()

    assert rollback(home.versions, target, home.lock) == (home.first.tag, home.base.tag)
    assert target.active() == home.base.tag
    assert target.name_of(home.first) in api.digests()

    api.delete(target.alias_name)
    api.delete(target.name_of(home.base))
    assert repair(home.versions, target).action == "realigned"
    assert target.active() == home.base.tag


def test_the_next_request_on_the_alias_finds_the_weights_loaded(home: Home, settings: OllamaSettings) -> None:
    release(home.versions, home.target, home.base.tag, home.lock)
    before = OllamaApi(settings).loaded()
    options = {"num_predict": 1, "temperature": 0}
    post(settings, "/api/chat", {"model": home.target.alias, "messages": QUESTION, "options": options, "stream": False})
    # A second runner would be listed under the alias.
    assert OllamaApi(settings).loaded() == before


def test_a_second_upload_sends_nothing(home: Home, settings: OllamaSettings) -> None:
    api = OllamaApi(settings)
    api.upload(home.base.gguf, home.base.sha256)
    assert api.upload(home.base.gguf, home.base.sha256) is False
    home.target.publish(home.base)
    digest = api.digests()[home.target.name_of(home.base)]
    home.target.publish(home.base)
    assert api.digests()[home.target.name_of(home.base)] == digest


def test_chat_on_the_alias_reads_and_answers_exactly_as_the_training_template(
    home: Home, settings: OllamaSettings
) -> None:
    release(home.versions, home.target, home.base.tag, home.lock)
    chat, api = chat_format(home.base.gguf), OllamaApi(settings)
    options = {"temperature": 0, "seed": 1, "num_predict": 12}
    with home.target.serve(home.base) as model:
        answers = model.generate(CONVERSATIONS, max_tokens=12)
    for conversation, answer in zip(CONVERSATIONS, answers, strict=True):
        raw = api.generate(home.target.name_of(home.base), render(chat, conversation), options)
        body = {"model": home.target.alias, "messages": conversation, "options": options, "stream": False}
        said = post(settings, "/api/chat", body)
        assert said["prompt_eval_count"] == raw.prompt_eval_count
        assert said["message"]["content"] == raw.response == answer.text
        assert said["eval_count"] == answer.tokens


def test_without_our_template_ollama_would_leave_the_default_system_prompt_out(
    home: Home, settings: OllamaSettings
) -> None:
    if OllamaApi(settings).version() >= (0, 30, 0):
        pytest.skip("this Ollama renders the file's own template")
    release(home.versions, home.target, home.base.tag, home.lock)
    files = {"model.gguf": f"sha256:{home.base.sha256}"}
    name = f"{home.target.alias}:bare"
    parameters = {"num_ctx": 512, "num_thread": 1}
    body = {"model": name, "files": files, "parameters": parameters, "stream": False}
    assert post(settings, "/api/create", body)["status"] == "success"
    counts = [
        post(settings, "/api/chat", {"model": m, "messages": QUESTION, "options": {"num_predict": 1}, "stream": False})
        for m in (home.target.alias, name)
    ]
    assert counts[0]["prompt_eval_count"] > counts[1]["prompt_eval_count"] + 10


def test_ollama_takes_a_template_for_its_own_and_not_with_our_comment_before_it(
    smollm2_gguf: Path, settings: OllamaSettings, planted: ModuleType, tmp_path: Path
) -> None:
    """The search in Ollama's own list, which releases from 0.30 on share with this one."""
    api, jinja = OllamaApi(settings), chat_format(smollm2_gguf).jinja
    comment = field(TEMPLATE_KEY, guarded(jinja), "str")
    files = {"bare": smollm2_gguf, "guarded": planted.with_fields(smollm2_gguf, tmp_path / "guarded.gguf", comment)}
    shown = {}
    for name, gguf in files.items():
        sha256 = sha256_file(gguf)
        api.upload(gguf, sha256)
        api.create(f"template-{name}", sha256, {"num_ctx": 512}, None)
        shown[name] = api.show(f"template-{name}").template
        api.delete(f"template-{name}")
    assert "<|im_start|>" in shown["bare"]
    assert shown["bare"] != jinja
    wanted = guarded(jinja) if api.version() >= (0, 30, 0) else "{{ .Prompt }}"
    assert shown["guarded"] == wanted


def test_an_answer_says_whether_the_model_ended_it(home: Home) -> None:
    """Which greeting the model ends its answer to depends on the processor's arithmetic."""
    with home.target.serve(home.base) as model:
        for text in ("Hi", "Hello!", "Good morning.", "Thank you!", "What is 2 + 2?", "Name a colour."):
            greeting = [{"role": "user", "content": text}]
            with suppress(TargetError):  # Ollama breaks off where one token comes again and again
                whole = model.generate([greeting], max_tokens=60)[0]
                if whole.finished:
                    break
        else:
            pytest.fail("it ended no answer by itself")
        cut = model.generate([greeting], max_tokens=3)[0]
    assert whole.finished
    assert 3 < whole.tokens < 60
    assert (cut.finished, cut.tokens) == (False, 3)
    assert whole.text.startswith(cut.text.strip())
    assert "<|im_end|>" not in whole.text


def test_weights_loaded_for_an_answer_alone_are_unloaded(home: Home, settings: OllamaSettings) -> None:
    with home.target.serve(home.first):
        assert home.target.name_of(home.first) in OllamaApi(settings).loaded()
    assert until_unloaded(OllamaApi(settings), home.target.name_of(home.first))


def test_a_new_name_leaves_the_alias_alone(home: Home, settings: OllamaSettings) -> None:
    release(home.versions, home.target, home.base.tag, home.lock)
    name = f"{home.target.alias}-mine"
    alias = OllamaApi(settings).digests()[home.target.alias_name]
    try:
        digest = home.target.create_named(name, home.first.gguf)
        digests = OllamaApi(settings).digests()
        assert digests[f"{name}:latest"] == digest
        assert digests[home.target.alias_name] == alias
        with pytest.raises(UsageError, match="already"):
            home.target.create_named(name, home.first.gguf)
    finally:
        OllamaApi(settings).delete(name)


def test_a_removed_version_is_gone_and_can_be_made_again(home: Home, settings: OllamaSettings) -> None:
    release(home.versions, home.target, home.base.tag, home.lock)
    home.target.publish(home.first)
    assert not OllamaApi(settings).upload(home.first.gguf, home.first.sha256)
    home.target.remove(home.first)
    assert home.target.name_of(home.first) not in OllamaApi(settings).digests()
    assert OllamaApi(settings).upload(home.first.gguf, home.first.sha256)  # its weights went with the tag
    release(home.versions, home.target, home.first.tag, home.lock)
    assert home.target.active() == home.first.tag


def test_the_real_version_is_read_and_an_old_one_refused(settings: OllamaSettings) -> None:
    version = OllamaApi(settings).version()
    assert version >= (0, 9, 3)
    if version < SAFE_VERSION:
        with pytest.raises(TargetTooOld, match="CVE-2026-7482"):
            OllamaTarget(OllamaSettings(host=settings.host)).active()


def test_a_name_of_a_real_server_is_a_base_with_its_own_file(
    settings: OllamaSettings,
    smollm2_gguf: Path,
    ollama_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from strop.trainer import ollama

    target = OllamaTarget(settings)
    name = target.create_named("as-a-base", smollm2_gguf)
    try:
        monkeypatch.setenv("OLLAMA_MODELS", str(ollama_models))
        blob = ollama.find("as-a-base")
        assert (blob.ref, blob.sha256) == ("ollama:as-a-base:latest", sha256_file(smollm2_gguf))
        assert blob.path.is_relative_to(ollama_models)
        # Where nobody says in which folder, the server does.
        monkeypatch.setenv("OLLAMA_MODELS", str(ollama_models / "another"))
        assert ollama.find("as-a-base", settings.host) == blob
        monkeypatch.setenv("OLLAMA_HOST", settings.host)
        assert ollama.find("as-a-base") == blob
        with pytest.raises(UnknownModel, match="does not know it"):
            ollama.find("another-one")
    finally:
        OllamaApi(settings).delete(name)
