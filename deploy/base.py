"""The base in GGUF, once per base: what every build is merged into."""

from pathlib import Path

from strop.deploy import container, converter, gguf, vocab
from strop.deploy.container import Container
from strop.deploy.gguf import unpack
from strop.errors import BadGguf
from strop.files import MANIFEST, whole_folder, write_manifest
from strop.trainer.models import BaseModel, chat_template

_SIXTEEN_BITS = (1, 32)  # general.file_type of F16 and BF16


def base_gguf(base: BaseModel, builds: Path, tools: Path | None = None) -> Path:
    """The base as F16 GGUF below `builds`, made on the first call.

    A base that came as GGUF is unpacked with its metadata untouched, and so is one in 16 bits that its makers put
    beside the weights; any other model folder is converted (`converter`, which lies in `tools` where it was made).
    Raises DeployError where that family is not known.
    """
    folder = builds / f"base-{base.sha256[:16]}"
    out = folder / "base-f16.gguf"
    if not (folder / MANIFEST).is_file():
        with whole_folder(folder) as fresh:
            made_by = _make(base, fresh / out.name, tools)
            write_manifest(fresh, {"kind": "base-gguf", "base": base.facts(), "converter": made_by})
    return out


def _make(base: BaseModel, out: Path, tools: Path | None) -> str:
    """Write `out`; returns what it was made by or of."""
    source = base.gguf or own_gguf(base.folder)
    if source is None:
        return converter.convert(base.folder, out, "F16", tools)
    unpack(source, out, "F16")
    return f"unpacked from {source.name}"


def own_gguf(folder: Path) -> Path | None:
    """The GGUF in 16 bits that lies in a model folder, where its metadata is that of the model; else None."""
    for path in sorted(folder.glob("*.gguf")):
        if "f16" in path.name.lower() and _fits(path, folder):  # bf16 among them
            return path
    return None


def _fits(path: Path, folder: Path) -> bool:
    """Whether layers, width, vocabulary, template and type are those of the folder. The weights certify themselves."""
    config = vocab.read_json(folder / "config.json", vocab.HINT)
    try:
        file = gguf.open_model(path)
        found = _shape(file)
    except BadGguf:
        return False
    wanted = tuple(config.get(key) for key in ("num_hidden_layers", "hidden_size", "vocab_size", "vocab_size"))
    template = str(gguf.metadata(file, "tokenizer.chat_template", ""))
    return found == wanted and template == chat_template(folder)


def _shape(file: Container) -> tuple[int | None, ...]:
    """(layers, width, tokens, embeddings), empty for a file that is not in 16 bits."""
    if gguf.metadata(file, "general.file_type") not in _SIXTEEN_BITS or "token_embd.weight" not in file.tensors:
        return ()
    architecture = gguf.metadata(file, "general.architecture")
    layers, width = (gguf.metadata(file, f"{architecture}.{key}") for key in ("block_count", "embedding_length"))
    tokens = file.fields.get("tokenizer.ggml.tokens", container.field("", [], "str[]")).value()
    return layers, width, len(tokens), file.tensors["token_embd.weight"].shape[0]
