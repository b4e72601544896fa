"""The front door's memory: read from the file, chosen once, and said alike by serve, status, doctor and plan."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from strop.config import load, save
from strop.deploy.container import field
from strop.deploy.gguf import open_model, write_model
from strop.deploy.versions import Versions
from strop.doctor import check
from strop.server import backend, pointer, room
from strop.server.backend import LlamaCppBackends
from strop.trainer.serving import Asked, Served, hold, serving

GB = 1_000_000_000


def set_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    for place in (room, backend, pointer):
        monkeypatch.setattr(place, "free_memory_bytes", lambda: free)


def test_a_files_own_numbers_say_what_a_token_takes(three: Any) -> None:
    tiny_f16 = Versions(three.state_db).get(0).gguf
    found = room.served(tiny_f16)
    # Two layers, two heads of 16 values that are kept, keys and values, two bytes each.
    assert (found.token_bytes, found.limit_tokens) == (2 * 2 * 16 * 2 * 2, 512)
    assert found.weights_bytes == round(tiny_f16.stat().st_size * 1.2)


def test_layers_that_differ_are_summed(three: Any, tmp_path: Path) -> None:
    file = open_model(Versions(three.state_db).get(0).gguf)
    fields = {**file.fields, "llama.attention.head_count_kv": field("llama.attention.head_count_kv", [2, 1], "u32[]")}
    write_model(tmp_path / "a.gguf", file, fields.values(), {}, quant="F16", adapter_sha256=None)
    assert room.served(tmp_path / "a.gguf").token_bytes == (2 + 1) * 16 * 2 * 2


def test_a_file_that_cannot_be_read_counts_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"nothing" * 100)
    assert room.served(tmp_path / "a.gguf") == Served(840, 0)


def test_llama_server_gives_each_slot_the_context_that_was_chosen_and_status_says_it(
    home: Any, serving: Any, strop: Any
) -> None:
    # Nothing is set: the tiny model knows 512 tokens.
    text = home.config_file.read_text().replace("context_tokens = 512\n", "")
    assert "context_tokens" not in text
    home.config_file.write_text(text)
    with serving(home) as door:
        [child] = [one for one in psutil.Process().children() if "strop.deploy.llama_child" in one.cmdline()]
        assert child.is_running()
        refused = door.chat("why " * 1000).json()["error"]
        assert "the context holds 512" in refused["message"]
        told = strop(home, "status", "--json").json["serving"]
        assert told["context"]["context_tokens"] == 512
        assert "512 tokens for each of 2 answers at a time, all that the model knows" in told["sentence"]
    assert strop(home, "status", "--json").json["serving"]["context"] is None


def test_every_version_gets_the_context_that_the_first_one_got(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    save(home, {"serve.slots": 64})
    home.config_file.write_text(home.config_file.read_text().replace("context_tokens = 512\n", ""))
    live = Versions(home.state_db).get(0)
    set_free(monkeypatch, 1 << 34)
    made = LlamaCppBackends(load(home))
    whole = made.needs_bytes(live)
    set_free(monkeypatch, 1 << 10)
    assert made.needs_bytes(live) == whole
    assert whole == room.served(live.gguf).weights_bytes + 64 * 512 * 256


def test_doctor_says_what_the_pointer_will_do(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config, live = load(home), Versions(home.state_db).get(0)
    needs = serving(room.served(live.gguf), Asked(2, 512), GB).needs_bytes
    for free, both in ((round(needs * 2.3), True), (round(needs * 2.1), False)):
        set_free(monkeypatch, free)
        [said] = [one for one in check(home, {}) if one.name == "serving"]
        assert said.ok is (True if both else None)
        assert ("stays warm" in said.reason) is both
        assert said.value == "512 tokens"
        # The first server's memory is gone when the pointer asks for the second.
        assert hold(1, LlamaCppBackends(config).needs_bytes(live), round(free - needs * 1.11)) is both


def test_doctor_leaves_it_to_ollama_and_says_nothing_of_a_home_without_a_version(home: Any, tmp_path: Path) -> None:
    config = load(home)
    assert room.outlook(home, config.model_copy(update={"target": "ollama"}))[0] == "16,384 tokens"
    empty = SimpleNamespace(state_db=tmp_path / "state.db")
    assert room.outlook(empty, config)[1] is None  # type: ignore[arg-type]
    assert room.outlook(home, None)[1] is None
