"""strop.deploy.targets.ollama_probe: a server that says one token for ever gets no users."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy.release import release, rollback
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets import ollama_probe
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.targets.ollama_api import OllamaApi
from strop.deploy.targets.ollama_probe import REPEATS, TOKENS, is_stuck
from strop.deploy.versions import Version, Versions
from strop.errors import Missing, TargetError
from strop.files import sha256_file

STUCK = {"response": "6" * TOKENS, "eval_count": TOKENS}


@pytest.mark.parametrize(
    ("text", "tokens", "stuck"),
    [
        ("6" * TOKENS, TOKENS, True),
        (" the" * REPEATS, REPEATS, True),
        ("A strop" + "\n" * REPEATS, TOKENS, True),
        ("", TOKENS, True),
        ("", 1, False),  # the model had nothing to say
        ("6" * (REPEATS - 1), REPEATS - 1, False),
        ("=" * 40, 2, False),  # two tokens that are long
        ("A strop is a strip of leather. " + "6" * 10, TOKENS, False),
        ("6" * TOKENS + " is it", TOKENS, False),
        ("1. 1\n2. 2\n3. 3\n4. 4\n5. 5", TOKENS, False),
    ],
)
def test_one_piece_to_the_end_is_stuck(text: str, tokens: int, stuck: bool) -> None:
    assert is_stuck(text, tokens) is stuck


class Home:
    """The base, live on a fake Ollama, and a version that passed the gate; real ones, for llama-server."""

    def __init__(self, folder: Path, server: Any, ggufs: tuple[Path, Path]) -> None:
        self.server, self.lock = server, folder / "release.lock"
        self.versions = Versions(folder / "state.db")
        self.base, self.first = (self._add(folder / str(n), gguf, n) for n, gguf in enumerate(ggufs))
        self.versions.set_state(self.first.tag, "gated")
        release(self.versions, self.target(), self.base.tag, self.lock)

    def _add(self, folder: Path, gguf: Path, number: int) -> Version:
        facts: dict[str, Any] = {"base_ref": "x", "adapter_sha": None, "quant": "F16", "state": "certified"}
        return self.versions.add(
            gguf=gguf, sha256=sha256_file(gguf), folder=folder, number=None if number else 0, **facts
        )

    def target(self) -> OllamaTarget:
        return OllamaTarget(OllamaSettings(host=self.server.host, timeout_s=5.0))

    def release(self) -> None:
        release(self.versions, self.target(), self.first.tag, self.lock)


@pytest.fixture
def home(tmp_path: Path, fake_ollama: Any, tiny_f16: Path, tiny_adapter: Path) -> Home:
    from strop.deploy.gguf import merge

    merge(tiny_f16, tiny_adapter, tmp_path / "first.gguf", quant="F16")
    return Home(tmp_path, fake_ollama, (tiny_f16, tmp_path / "first.gguf"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that llama-server was asked about."""
    files: list[Path] = []
    real: Callable[[Path], bool] = ollama_probe._is_stuck_by_itself

    def noted(gguf: Path) -> bool:
        files.append(gguf)
        return real(gguf)

    monkeypatch.setattr(ollama_probe, "_is_stuck_by_itself", noted)
    return files


def test_a_server_that_repeats_one_token_gets_no_users(home: Home, asked: list[Path]) -> None:
    home.server.answer.update(STUCK)
    with pytest.raises(TargetError, match="'66666.*again and again, and llama-server does not") as caught:
        home.release()
    assert "AMX" in caught.value.hint
    assert asked == [home.first.gguf]
    assert home.target().active() == home.base.tag
    live = home.versions.live()
    assert live is not None
    assert live.tag == home.base.tag
    assert home.server.loaded == {f"strop:{home.base.tag}"}


def test_a_rollback_to_what_users_had_is_not_kept_waiting(home: Home) -> None:
    home.release()
    home.server.answer.update(STUCK)
    home.server.calls.clear()
    rollback(home.versions, home.target(), home.lock)
    assert home.target().active() == home.base.tag
    prompts = [call for call in home.server.calls if call == "POST /api/generate"]
    assert len(prompts) == 2  # the load, and the version before is unloaded


def test_a_good_answer_is_the_only_question(home: Home, asked: list[Path]) -> None:
    home.server.calls.clear()
    home.release()
    assert asked == []
    prompts = [call for call in home.server.calls if call == "POST /api/generate"]
    assert len(prompts) == 3  # the load, one question, and the version before is unloaded


def test_one_stuck_answer_of_two_is_the_models_own(home: Home, asked: list[Path]) -> None:
    answers = iter([STUCK, {"response": "One, two.", "eval_count": 4}])

    def generate(handler: Any) -> None:
        if handler.body.get("prompt"):
            handler.server.answer.update(next(answers))
        handler.generate()

    home.server.faults["POST /api/generate"] = generate
    home.release()
    assert asked == []
    assert home.target().active() == home.first.tag


def test_a_model_that_repeats_itself_everywhere_is_the_gates_to_judge(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama_probe, "_is_stuck_by_itself", lambda gguf: True)
    home.server.answer.update(STUCK)
    home.release()
    assert home.target().active() == home.first.tag


def test_what_cannot_be_compared_is_no_pass(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(gguf: Path) -> bool:
        raise Missing("no llama-server", hint="pip install 'strop[serve]'")

    monkeypatch.setattr(ollama_probe, "_is_stuck_by_itself", missing)
    home.server.answer.update(STUCK)
    with pytest.raises(Missing):
        home.release()
    assert home.target().active() == home.base.tag


@pytest.mark.ollama
@pytest.mark.slow
def test_the_real_0_9_3_is_caught_on_a_processor_with_amx(
    real_ollama_module: ModuleType, smollm2_gguf: Path, tmp_path: Path
) -> None:
    if not real_ollama_module.has_amx():
        pytest.skip("this processor has no AMX")
    try:
        program = real_ollama_module.program(real_ollama_module.cache_folder(), amx=True)
    except real_ollama_module.Unavailable as error:
        pytest.skip(str(error))
    facts: dict[str, Any] = {"base_ref": "x", "adapter_sha": None, "quant": "Q4_1", "state": "certified", "number": 0}
    versions = Versions(tmp_path / "state.db")
    version = versions.add(gguf=smollm2_gguf, sha256=sha256_file(smollm2_gguf), folder=tmp_path, **facts)
    with real_ollama_module.serving(program, tmp_path) as host:
        settings = OllamaSettings(host=host, allow_vulnerable=True, num_ctx=512, num_thread=1)
        with pytest.raises(TargetError, match="again and again"):
            release(versions, OllamaTarget(settings), version.tag, tmp_path / "lock")
        assert "strop:latest" not in OllamaApi(settings).digests()
    assert versions.live() is None
