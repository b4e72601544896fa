"""Faults planted in a file or beside it: the file's own checks name each, before any server is started."""

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop.deploy import container
from strop.deploy.build import read_build
from strop.deploy.certificate.file import END, FILE, METADATA, NAMES, SHA256, TEMPLATE, TOKENIZER, VOCABULARY
from strop.deploy.certify import Certificate
from strop.deploy.container import field
from strop.deploy.convert import convert
from strop.deploy.gguf import merge, unpack
from strop.errors import BadGguf, CannotMerge, DeployError, UnknownModel
from strop.files import DamagedFolder
from strop.trainer.models import BaseModel, resolve


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.ok}


def figure(certificate: Certificate, name: str) -> str:
    return next(check.figure for check in certificate.checks if check.name == name)


@pytest.fixture(scope="session")
def built(tiny_f16: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a random adapter, in Q8_0. Do not write to it."""
    out = tmp_path_factory.mktemp("built") / "model.gguf"
    merge(tiny_f16, tiny_adapter, out, quant="Q8_0")
    return out


@pytest.fixture
def alone(tiny: BaseModel, tiny_f16: Path) -> Callable[..., Certificate]:
    """What a file alone says; its hash is right unless another is given."""
    from strop.deploy.certify import Origin, certify_file
    from strop.files import sha256_file

    def ask(gguf: Path, **changed: Any) -> Certificate:
        origin = Origin(tiny, tiny_f16, None, sha256_file(gguf))
        return certify_file(gguf, dataclasses.replace(origin, **changed))

    return ask


Alone = Callable[..., Certificate]


def test_a_file_as_it_should_be_passes_with_a_figure_each(built: Path, alone: Alone) -> None:
    certificate = alone(built)
    assert failed(certificate) == set()
    assert tuple(check.name for check in certificate.checks) == NAMES
    assert all(check.figure for check in certificate.checks)


def test_a_base_that_came_as_gguf_is_compared_with_that_file(
    tiny: BaseModel, tiny_f16: Path, built: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    theirs = planted.with_fields(tiny_f16, tmp_path / "theirs.gguf", field("general.author", "somebody", "str"))
    base = dataclasses.replace(tiny, gguf=theirs)
    certificate = alone(built, base=base)
    assert failed(certificate) == {METADATA}
    assert figure(certificate, METADATA).endswith("general.author (only in the base)")
    unpack(theirs, tmp_path / "f16.gguf")
    merge(tmp_path / "f16.gguf", None, tmp_path / "ours.gguf", quant="Q8_0")
    assert failed(alone(tmp_path / "ours.gguf", base=base)) == set()


# Size and data


@pytest.mark.parametrize(("by", "said"), [(-1, "ends at byte"), (-5000, "ends at byte"), (1, "not "), (32, "not ")])
def test_a_file_that_is_shorter_or_longer_than_it_says(
    built: Path, alone: Alone, tmp_path: Path, by: int, said: str
) -> None:
    whole = built.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:by] if by < 0 else whole + bytes(by))
    certificate = alone(tmp_path / "cut.gguf")
    assert failed(certificate) == {FILE}
    assert said in figure(certificate, FILE)
    if by < 0:
        with pytest.raises(BadGguf, match="ends at byte"):
            container.read(tmp_path / "cut.gguf")


def test_a_table_cut_off_in_the_middle_is_said_and_nothing_else_is_asked(
    built: Path, alone: Alone, tmp_path: Path
) -> None:
    (tmp_path / "cut.gguf").write_bytes(built.read_bytes()[:2000])
    certificate = alone(tmp_path / "cut.gguf")
    assert failed(certificate) == {FILE}
    assert [check.name for check in certificate.checks] == [FILE, SHA256]


def moved(gguf: Path, out: Path, place: int, by: int) -> Path:
    """A copy whose table says that the tensor at this place begins `by` bytes later; as much longer as that takes."""
    file = container.read(gguf)
    in_order = sorted(file.tensors.values(), key=lambda tensor: tensor.offset)
    tensor, start = in_order[place], in_order[0].offset
    data = bytearray(gguf.read_bytes() + bytes(max(by, 0)))
    at = data.index(tensor.name.encode()) + len(tensor.name) + 4 + 8 * len(tensor.shape) + 4
    assert int.from_bytes(data[at : at + 8], "little") == tensor.offset - start
    data[at : at + 8] = (tensor.offset - start + by).to_bytes(8, "little")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(
    ("place", "by", "said"),
    [(1, -64, "overlaps the one before it"), (-1, 64, "belong to no tensor"), (1, 1, "does not begin at a multiple")],
)
def test_tensors_over_one_another_or_apart(
    built: Path, alone: Alone, tmp_path: Path, place: int, by: int, said: str
) -> None:
    certificate = alone(moved(built, tmp_path / "moved.gguf", place, by))
    assert failed(certificate) == {FILE}
    assert said in figure(certificate, FILE)


def test_a_byte_that_changed_after_the_manifest_was_written(merged: Any, alone: Alone, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(merged.folder, tmp_path / "build"))
    data = bytearray((folder / "model.gguf").read_bytes())
    data[-100] ^= 1
    (folder / "model.gguf").write_bytes(data)
    certificate = alone(folder / "model.gguf", sha256=merged.sha256)
    assert failed(certificate) == {SHA256}
    assert figure(certificate, SHA256).endswith(f"not {merged.sha256[:16]}")
    with pytest.raises(DamagedFolder):
        read_build(folder)


# Metadata


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (field("tokenizer.ggml.pre", "qwen2", "str"), "tokenizer.ggml.pre ('qwen2', the base 'smollm')"),
        (field("tokenizer.ggml.model", "llama", "str"), "tokenizer.ggml.model ('llama', the base 'gpt2')"),
        (field("tokenizer.ggml.merges", ["a b"], "str[]"), "tokenizer.ggml.merges (1 values, the base "),
        (field("tokenizer.ggml.token_type", [1] * 9, "i32[]"), "tokenizer.ggml.token_type (9 values, the base "),
        (field("llama.rope.freq_base", 500.0, "f32"), "llama.rope.freq_base (500.0, the base 10000.0)"),
        (field("general.more", 1, "u32"), "general.more (only in the build)"),
    ],
)
def test_metadata_that_is_not_the_bases_is_named(
    built: Path, alone: Alone, planted: ModuleType, tmp_path: Path, changed: container.Field, said: str
) -> None:
    certificate = alone(planted.with_fields(built, tmp_path / "model.gguf", changed))
    assert METADATA in failed(certificate)
    assert said in figure(certificate, METADATA)
    assert figure(certificate, METADATA).startswith("1 of ")


def test_what_tokens_are_called_is_compared_one_by_one(
    built: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    names = container.read(built).fields["tokenizer.ggml.tokens"].value()
    swapped = [*names[:300], names[301], names[300], *names[302:]]
    certificate = alone(
        planted.with_fields(built, tmp_path / "m.gguf", field("tokenizer.ggml.tokens", swapped, "str[]"))
    )
    assert failed(certificate) == {METADATA}
    assert f"{len(names)}; different from value 300 on" in figure(certificate, METADATA)


# Template and end of turn


def test_a_template_that_was_lost_or_changed(built: Path, alone: Alone, planted: ModuleType, tmp_path: Path) -> None:
    key = "tokenizer.chat_template"
    lost = alone(planted.with_fields(built, tmp_path / "lost.gguf", without=(key,)))
    assert failed(lost) == {METADATA, TEMPLATE}
    assert figure(lost, TEMPLATE) == "the file has no chat template"
    text = container.read(built).fields[key].value()
    other = alone(planted.with_fields(built, tmp_path / "other.gguf", field(key, text + " ", "str")))
    assert failed(other) == {METADATA, TEMPLATE}
    assert "the training's is" in figure(other, TEMPLATE)


def test_a_template_that_the_base_was_converted_with_and_the_training_does_not_have(
    tiny_base: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    other = planted.folder(tiny_base, tmp_path / "hf", "chat_template.jinja", lambda text: text.replace("user", "you"))
    (other / "chat_template.jinja").write_text((other / "chat_template.jinja").read_text() + " ")
    convert(other, tmp_path / "base.gguf")
    merge(tmp_path / "base.gguf", None, tmp_path / "model.gguf", quant="Q8_0")
    assert failed(alone(tmp_path / "model.gguf", base_f16=tmp_path / "base.gguf")) == {TEMPLATE}


def test_another_end_of_turn_even_where_the_base_has_it_too(
    tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    wrong = planted.with_fields(tiny_f16, tmp_path / "base.gguf", field("tokenizer.ggml.eos_token_id", 0, "u32"))
    assert failed(alone(wrong)) == {METADATA, END}
    certificate = alone(wrong, base_f16=wrong)
    assert failed(certificate) == {END}
    assert figure(certificate, END) == "token 0, in training 2 (<|im_end|>)"
    none = planted.with_fields(tiny_f16, tmp_path / "none.gguf", without=("tokenizer.ggml.eos_token_id",))
    assert failed(alone(none, base_f16=none)) == {END}


# Vocabulary and tokenizer files


def test_a_vocabulary_of_another_size_than_the_embeddings(
    tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    names = container.read(tiny_f16).fields["tokenizer.ggml.tokens"].value()
    short = field("tokenizer.ggml.tokens", names[:-1], "str[]")
    wrong = planted.with_fields(tiny_f16, tmp_path / "base.gguf", short)
    certificate = alone(wrong, base_f16=wrong)
    assert failed(certificate) == {VOCABULARY}
    assert f"{len(names) - 1} tokens, {len(names)} embeddings" in figure(certificate, VOCABULARY)


def test_a_config_of_another_size_or_with_another_output_layer(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    for number, change in enumerate(({"vocab_size": 512}, {"tie_word_embeddings": False})):
        other = planted.folder(tiny_base, tmp_path / f"hf{number}", "config.json", lambda old, new=change: old | new)
        assert failed(alone(tiny_f16, base=dataclasses.replace(tiny, folder=other))) == {VOCABULARY}


def test_a_token_added_beyond_the_embeddings(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    def add(data: dict[str, Any]) -> dict[str, Any]:
        highest = max([*data["model"]["vocab"].values(), *(token["id"] for token in data["added_tokens"])])
        token = data["added_tokens"][0] | {"id": highest + 1, "content": "<|more|>"}
        return data | {"added_tokens": [*data["added_tokens"], token]}

    other = planted.folder(tiny_base, tmp_path / "hf", "tokenizer.json", add)
    assert failed(alone(tiny_f16, base=dataclasses.replace(tiny, folder=other))) == {VOCABULARY}
    # Our own conversion of such a folder is refused earlier.
    with pytest.raises(DeployError, match="the tokenizer has a token .*, the model only"):
        convert(other, tmp_path / "base.gguf")


def test_an_output_layer_where_the_embeddings_are_shared(
    tiny_model: ModuleType, tiny_base: Path, tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    twice = planted.with_copy(tiny_f16, tmp_path / "twice.gguf", "token_embd.weight", "output.weight")
    certificate = alone(twice)
    assert failed(certificate) == {VOCABULARY}
    assert "an output layer of its own, the config ties it" in figure(certificate, VOCABULARY)
    # An adapter on that layer is refused earlier: it would have nothing to be added to.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tie_word_embeddings", UserWarning)
        adapter = tiny_model.make_adapter(tiny_base, tmp_path / "adapter", target_modules=["lm_head"])
    with pytest.raises(CannotMerge, match="lm_head"):
        merge(tiny_f16, adapter, tmp_path / "merged.gguf", quant="F16")


def test_tokenizer_files_that_a_family_needs(
    tiny: BaseModel, tiny_base: Path, tiny_f16: Path, alone: Alone, planted: ModuleType, tmp_path: Path
) -> None:
    piece = planted.with_fields(tiny_f16, tmp_path / "spm.gguf", field("tokenizer.ggml.model", "llama", "str"))
    certificate = alone(piece, base_f16=piece)
    assert failed(certificate) == {TOKENIZER}
    assert "made from tokenizer.model, which" in figure(certificate, TOKENIZER)
    whole = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    (whole / "tokenizer.model").write_bytes(b"pieces")
    assert failed(alone(piece, base_f16=piece, base=dataclasses.replace(tiny, folder=whole))) == set()
    # Where the base came as a GGUF, that file is the tokenizer.
    assert failed(alone(piece, base=dataclasses.replace(tiny, gguf=piece))) == set()
    odd = planted.with_fields(tiny_f16, tmp_path / "odd.gguf", field("tokenizer.ggml.model", "rwkv", "str"))
    assert failed(alone(odd, base_f16=odd)) == {TOKENIZER}


def test_a_folder_without_its_tokenizer_is_no_base(tiny_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnknownModel, match=r"has no tokenizer\.json"):
        resolve(str(folder), tmp_path / "models")


def test_no_figure_is_lost_in_the_stored_form(built: Path, alone: Alone) -> None:
    from strop.deploy.certify import certificate_from

    certificate = alone(built)
    assert certificate_from(json.loads(json.dumps(certificate.as_dict()))) == certificate
