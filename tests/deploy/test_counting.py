"""Tokens are counted without the weights, and as the server counts them that has the weights."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from strop.deploy.container import read, write
from strop.deploy.convert import convert
from strop.deploy.counting import TokenCounter, write_vocabulary
from strop.deploy.gguf import metadata
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.errors import BadGguf, TargetError

USER = {"role": "user", "content": "Was ist ein Streichriemen? 안녕하세요 \t 12345 <|im_end|> 'tis"}
CONVERSATIONS = [
    [USER],
    [{"role": "system", "content": "Be brief. " * 5}, USER, {"role": "assistant", "content": "Leather."}, USER],
    [{"role": "user", "content": "word " * 100}],
]


@pytest.fixture(params=["llama", "gemma3_text"])
def gguf(request: pytest.FixtureRequest, tiny_model: ModuleType, tmp_path: Path) -> Path:
    """A tiny model of a family."""
    path = tmp_path / "tiny.gguf"
    convert(tiny_model.make_base(tmp_path / "base", request.param), path)
    return path


@pytest.fixture
def counter(gguf: Path) -> Iterator[TokenCounter]:
    made = TokenCounter(gguf)
    yield made
    made.close()


def test_it_counts_what_the_models_own_server_counts(gguf: Path, counter: TokenCounter) -> None:
    with LlamaCppTarget(context_tokens=512, slots=1).serve_file(gguf) as server:
        theirs = [ended.prompt_tokens for ended in server.chat_ended(CONVERSATIONS, 0)]
    assert [counter.count(one) for one in CONVERSATIONS] == theirs
    parts = [{"role": "user", "content": [{"type": "text", "text": USER["content"]}]}]
    assert counter.count(parts) == theirs[0]


def test_a_refused_conversation_is_no_count_and_the_next_one_is_counted(counter: TokenCounter) -> None:
    with pytest.raises(TargetError):
        counter.count([{"role": ["user"], "content": 7}])
    assert counter.count([USER]) > 10


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_process_that_died_is_started_again_at_the_count_after_next(counter: TokenCounter) -> None:
    others = set(psutil.Process().children())  # such as the tests' own Ollama
    before = counter.count([USER])
    [child] = set(psutil.Process().children()) - others
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(TargetError):
        counter.count([USER])
    assert counter.count([USER]) == before
    counter.close()
    assert set(psutil.Process().children()) <= others


def test_the_small_file_has_the_vocabulary_and_next_to_no_weights(gguf: Path, tmp_path: Path) -> None:
    write_vocabulary(gguf, tmp_path / "small.gguf")
    small, whole = read(tmp_path / "small.gguf"), read(gguf)
    kept = {key for key in whole.fields if key.startswith("tokenizer.")}
    assert "tokenizer.chat_template" in kept
    assert all(small.fields[key] == whole.fields[key] for key in kept)
    rows = len(metadata(whole, "tokenizer.ggml.tokens"))
    assert sum(one.n_bytes for one in small.tensors.values()) < rows * 64 + 20_000


def test_a_file_without_a_vocabulary_is_refused(gguf: Path, tmp_path: Path) -> None:
    file = read(gguf)
    bare = [one for key, one in file.fields.items() if not key.startswith("tokenizer.")]
    write(tmp_path / "bare.gguf", bare, [])
    with pytest.raises(BadGguf):
        TokenCounter(tmp_path / "bare.gguf").count([USER])
