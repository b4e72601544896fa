"""What the file says by itself, before a server is started on it: size, hash, metadata, template, vocabulary.

Each function answers one question about a parsed GGUF. Not covered: whether the metadata is right where base and build
have the same mistake; the ids and answers of a running server show that (`tokens`, `reference`).
"""

from itertools import zip_longest
from pathlib import Path
from typing import Any

from strop.deploy import container
from strop.deploy.certificate.form import Check, Origin
from strop.deploy.container import Container, Field
from strop.deploy.gguf import TEMPLATE_KEY, metadata, open_model
from strop.deploy.template_guard import plain
from strop.errors import BadGguf
from strop.files import sha256_bytes, sha256_file
from strop.trainer.models import BaseModel

FILE, SHA256, METADATA, TEMPLATE = "file", "sha256", "metadata", "template"
END, VOCABULARY, TOKENIZER = "end of turn", "vocabulary", "tokenizer files"
NAMES = (FILE, SHA256, METADATA, TEMPLATE, END, VOCABULARY, TOKENIZER)
# What a build may say differently from its base: how it is quantised, and our own remarks; beside them, only the
# comment before the chat template (`template_guard`).
_QUANTISATION = ("general.file_type", "general.quantization_version")
_OURS = "strop."
_SHOWN = 40  # letters of a value in a figure
_NAMED = 6  # keys in a figure
# The tokenizer file of a model folder that each kind of GGUF tokenizer is made from.
_MADE_FROM = {"gpt2": "tokenizer.json", "llama": "tokenizer.model"}


def file_checks(gguf: Path, origin: Origin, tokenizer: Any) -> list[Check]:
    """All checks of this room; only those of size and hash where the file is not whole."""
    whole = _whole(gguf)
    checks = [whole, _sha256(gguf, origin.sha256)]
    if not whole.ok:
        return checks
    file = container.read(gguf)
    return [
        *checks,
        _metadata(file, container.read(origin.metadata_from), own_tokens=origin.brings_tokens),
        _template(file, origin.base),
        _end(file, tokenizer),
        _vocabulary(file, origin, tokenizer),
        _tokenizer_files(file, origin.base),
    ]


def _whole(gguf: Path) -> Check:
    """Every tensor within the file, aligned, none over another, no gap between them and nothing behind the last."""
    try:
        file = open_model(gguf)
    except BadGguf as error:
        return Check(FILE, False, str(error))
    size = gguf.stat().st_size
    tensors = sorted(file.tensors.values(), key=lambda tensor: tensor.offset)
    end = tensors[0].offset
    for tensor in tensors:
        if tensor.offset != _padded(end, file.alignment):
            return Check(FILE, False, f"{tensor.offset - end} bytes before {tensor.name} belong to no tensor")
        end = tensor.offset + tensor.n_bytes
    # Some writers fill up the last tensor, some do not.
    ok = size in (end, _padded(end, file.alignment))
    said = "as" if ok else f"not {end} as"
    return Check(FILE, ok, f"{len(tensors)} tensors, {size} bytes, {said} the table says")


def _padded(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment


def _sha256(gguf: Path, promised: str) -> Check:
    found = sha256_file(gguf)
    figure = f"{found[:16]}, as the manifest says" if found == promised else f"{found[:16]}, not {promised[:16]}"
    return Check(SHA256, found == promised, figure)


def _metadata(file: Container, base: Container, *, own_tokens: bool) -> Check:
    """Key by key; new tokens bring the tokenizer's keys of their own, which the running server is asked about."""
    keys = [
        key
        for key in dict.fromkeys([*base.fields, *file.fields])
        if key not in _QUANTISATION and not key.startswith(_OURS)
    ]
    if own_tokens:
        keys = [key for key in keys if not key.startswith("tokenizer.") and not key.endswith(".vocab_size")]
    differing = [key for key in keys if not _equal(key, file.fields.get(key), base.fields.get(key))]
    if not differing:
        return Check(METADATA, True, f"{len(keys)} keys, each as the base has it")
    # The tokenizer's keys first: what goes wrong there goes wrong in silence.
    differing.sort(key=lambda key: not key.startswith("tokenizer."))
    named = [_difference(key, file.fields.get(key), base.fields.get(key)) for key in differing[:_NAMED]]
    return Check(METADATA, False, f"{len(differing)} of {len(keys)} keys differ from the base: {', '.join(named)}")


def _equal(key: str, ours: Field | None, theirs: Field | None) -> bool:
    """Whether build and base say the same, of the template without the comment that a build has before it."""
    if key != TEMPLATE_KEY or ours is None or theirs is None:
        return ours == theirs
    mine, other = ours.value(), theirs.value()
    return isinstance(mine, str) and isinstance(other, str) and plain(mine) == plain(other)


def _difference(key: str, ours: Field | None, theirs: Field | None) -> str:
    if ours is None or theirs is None:
        return f"{key} (only in the {'base' if ours is None else 'build'})"
    mine, other = ours.value(), theirs.value()
    if isinstance(mine, list) and isinstance(other, list):
        pairs = enumerate(zip_longest(mine, other))
        first = next((number for number, (a, b) in pairs if a != b), 0)
        return f"{key} ({len(mine)} values, the base {len(other)}; different from value {first} on)"
    return f"{key} ({mine!r:.{_SHOWN}}, the base {other!r:.{_SHOWN}})"


def _template(file: Container, base: BaseModel) -> Check:
    text = metadata(file, TEMPLATE_KEY)
    if text is None:
        return Check(TEMPLATE, False, "the file has no chat template")
    # A base that is a build of ours (`ollama:NAME`) was trained with the comment before it.
    found = {sha256_bytes(one.encode()) for one in (plain(text), text)}
    ok, shown = base.template_sha256 in found, sha256_bytes(plain(text).encode())[:16]
    said = "that of the training" if ok else f"the training's is {base.template_sha256[:16]}"
    return Check(TEMPLATE, ok, f"{shown}, {said}")


def _end(file: Container, tokenizer: Any) -> Check:
    found, trained = metadata(file, "tokenizer.ggml.eos_token_id"), tokenizer.eos_token_id
    figure = f"token {found}, in training {trained} ({tokenizer.eos_token})"
    return Check(END, found is not None and found == trained, figure)


def _vocabulary(file: Container, origin: Origin, tokenizer: Any) -> Check:
    """As many tokens as embeddings as the config says, none beyond them, an output layer where none is shared.

    A full merge may untie the layer, and new tokens are more than the base's config knows.
    """
    config = _config(origin.base)
    tokens = len(metadata(file, "tokenizer.ggml.tokens", []))
    embeddings = file.tensors.get("token_embd.weight")
    rows = embeddings.shape[0] if embeddings else 0
    highest = max(tokenizer.get_vocab().values())
    output, tied = "output.weight" in file.tensors, config.tie_word_embeddings
    known = rows == config.vocab_size or (origin.brings_tokens and rows > config.vocab_size)
    ok = tokens == rows and known and highest < rows and (output != tied or (origin.full and output))
    layer = "an output layer of its own" if output else "no output layer of its own"
    figure = (
        f"{tokens} tokens, {rows} embeddings, {config.vocab_size} in the config, the tokenizer's last is {highest}; "
        f"{layer}, the config {'ties' if tied else 'does not tie'} it"
    )
    return Check(VOCABULARY, ok, figure)


def _config(base: BaseModel) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base.folder, local_files_only=True)
    return config.get_text_config()


def _tokenizer_files(file: Container, base: BaseModel) -> Check:
    """Whether the folder has the file that this kind of tokenizer is made from, where we made it from a folder."""
    kind = str(metadata(file, "tokenizer.ggml.model", ""))
    if base.gguf is not None:
        return Check(TOKENIZER, bool(kind), f"{kind or 'none'}, as the base's own GGUF has it")
    needed = _MADE_FROM.get(kind)
    if needed is None:
        return Check(TOKENIZER, False, f"a tokenizer of the kind {kind!r} is not made from a model folder")
    there = (base.folder / needed).is_file()
    return Check(
        TOKENIZER, there, f"{kind}, made from {needed}" + ("" if there else f", which {base.ref} does not have")
    )
