"""The GGUF in 16 bits that a model's makers publish: taken for the base where it is that very model, else left alone.

It lies in the model's folder, or was fetched with it (`strop.trainer.hubgguf`). Asked: type, sizes, vocabulary,
template and what the family computes with, by the metadata; every weight, which must be the F16 of the number in the
safetensors; and the ids that a running server cuts a mixed text into. Of a family that is not converted here
(`convert`) the weights are not compared: the certificate of what is built on them holds its answers against
transformers.
"""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.deploy import container, convert, gguf, vocab
from strop.deploy.container import Container, Planned
from strop.errors import BadGguf, DeployError, StropError
from strop.trainer.models import BaseModel, chat_template

_log = logging.getLogger(__name__)
_SIXTEEN_BITS = (1, 32)  # general.file_type of F16 and BF16
_LAYOUT = ("num_hidden_layers", "hidden_size", "vocab_size", "vocab_size")
# Computed from the config in another order of sums by each converter, and compared as numbers.
_DERIVED, _SAME = "rope_freqs.weight", 1e-5
_COMPUTES_WITH = (
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
)


def own_gguf(folder: Path) -> Path | None:
    """The one that lies in a model folder, where its metadata is that of the model; its weights are not looked at."""
    return next((path for path in _beside(folder) if mismatch(path, folder) is None), None)


def take(base: BaseModel, out: Path) -> tuple[str | None, dict[str, str]]:
    """Unpack the first that is this model to the F16 file `out`; returns its name, and why others were passed over.

    None, and no `out`, where there is none: then the base is converted.
    """
    refused: dict[str, str] = {}
    for path in [*_beside(base.folder), *([base.own_gguf] if base.own_gguf else [])]:
        reason = _unpacked(path, base.folder, out)
        if reason is None:
            return path.name, refused
        out.unlink(missing_ok=True)
        _log.warning("%s is not taken for the base: %s", path, reason)
        refused[path.name] = reason
    return None, refused


def _beside(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.gguf")) if "f16" in path.name.lower()]  # bf16 among them


def _unpacked(path: Path, folder: Path, out: Path) -> str | None:
    """Write `path` in F16 to `out`; why that is not the model, None where it is."""
    try:
        reason = mismatch(path, folder)
        if reason is not None:
            return reason
        gguf.unpack(path, out, "F16")
        return _other_weights(out, folder) or _other_ids(out, folder)
    except StropError as error:
        return str(error)


def mismatch(path: Path, folder: Path) -> str | None:
    """Where the metadata of a GGUF is not that of the model in `folder`; None where it is."""
    try:
        file = gguf.open_model(path)
    except BadGguf as error:
        return str(error)
    config = vocab.read_json(folder / "config.json", vocab.HINT)
    if gguf.metadata(file, "general.file_type") not in _SIXTEEN_BITS or "token_embd.weight" not in file.tensors:
        return "it is not a whole model in 16 bits"
    found, wanted = _layout(file), tuple(config.get(key) for key in _LAYOUT)
    if found != wanted:
        return f"layers, width, tokens and embeddings are {found}, the model's {wanted}"
    if str(gguf.metadata(file, "tokenizer.chat_template", "")) != chat_template(folder):
        return "it has another chat template"
    return _other_tokens(file, folder) or _computes_otherwise(file, folder)


def _layout(file: Container) -> tuple[int | None, ...]:
    architecture = gguf.metadata(file, "general.architecture")
    layers, width = (gguf.metadata(file, f"{architecture}.{key}") for key in ("block_count", "embedding_length"))
    tokens = file.fields.get("tokenizer.ggml.tokens", container.field("", [], "str[]")).value()
    return layers, width, len(tokens), file.tensors["token_embd.weight"].shape[0]


def _other_tokens(file: Container, folder: Path) -> str | None:
    """The first token whose id means another text than in tokenizer.json, or another way of splitting text."""
    tokenizer = vocab.read_json(folder / "tokenizer.json", vocab.HINT)
    try:
        pre, wanted = gguf.metadata(file, "tokenizer.ggml.pre"), vocab.recognise(tokenizer)
        if pre != wanted:
            return f"it splits text as {pre}, the model as {wanted}"
    except DeployError:
        pass  # not a splitter that is known here: the ids of the mixed text are asked for in any case
    tokens = file.fields["tokenizer.ggml.tokens"].value()
    for text, number in vocab.token_ids(folder).items():
        if number >= len(tokens) or tokens[number] != text:
            return f"token {number} is {tokens[number] if number < len(tokens) else None!r}, the model's {text!r}"
    return None


def _computes_otherwise(file: Container, folder: Path) -> str | None:
    """The first number of the family that is another than in config.json; None for a family that is not known here."""
    try:
        ours = {item.key: item.value() for item in convert.hyperparameters(folder)}
    except DeployError:
        return None
    architecture = gguf.metadata(file, "general.architecture")
    for key in (f"{architecture}.{name}" for name in _COMPUTES_WITH):
        found, wanted = gguf.metadata(file, key), ours.get(key)
        if found is not None and (wanted is None or not math.isclose(found, wanted, rel_tol=1e-6)):
            return f"{key} is {found}, the model's {wanted}"
    return None


def _other_weights(out: Path, folder: Path) -> str | None:
    """The first weight that is not the F16 of the safetensors' number; None for a family that is not known here."""
    try:
        _, plans = convert.tensors(folder, "F16")
    except DeployError:
        return None
    file = gguf.open_model(out)
    odd = file.tensors.keys() ^ {plan.name for plan in plans}
    if odd:
        return f"only one of the two has {min(odd)}"
    return next((f"the weights of {plan.name} are others" for plan in plans if not _same(file, plan)), None)


def _same(file: Container, plan: Planned) -> bool:
    import numpy as np

    tensor = file.tensors[plan.name]
    if tensor.shape != plan.shape or tensor.type != plan.type:
        return False
    if plan.name == _DERIVED:
        rows = np.concatenate([values.ravel() for _, values in gguf.read_rows(file, tensor)])
        return bool(np.allclose(rows, np.concatenate(list(plan.pieces())), rtol=_SAME, atol=0.0))
    return all(ours == theirs for ours, theirs in _bytes(file.path, tensor.offset, plan.pieces()))


def _bytes(path: Path, offset: int, pieces: Any) -> Iterator[tuple[bytes, bytes]]:
    """Piece by piece (what is planned, what stands in the file)."""
    with path.open("rb") as source:
        source.seek(offset)
        for piece in pieces:
            wanted = piece.tobytes()
            yield wanted, source.read(len(wanted))


def _other_ids(out: Path, folder: Path) -> str | None:
    """Whether llama-server cuts a mixed text into other ids than the model's tokenizer."""
    from transformers import AutoTokenizer

    from strop.deploy.certificate.tokens import token_ids
    from strop.deploy.targets.llamacpp import LlamaCppTarget

    with LlamaCppTarget(context_tokens=512, slots=1).serve_file(out) as server:
        check = token_ids(server, AutoTokenizer.from_pretrained(folder, local_files_only=True))
    return None if check.ok else f"the token ids are others: {check.figure}"
