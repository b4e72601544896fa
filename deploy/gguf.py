"""Builds in GGUF space: unpack a base to 16 bits, add an adapter to it, quantise. Tokenizer and template never change.

What comes out is a copy of the base's metadata, byte for byte, with new tensor data: only `general.file_type`, our own
`strop.adapter_sha256` and, in a build, the comment before the chat template (`template_guard`) differ. Rows go through
memory a quarter of a megabyte at a time, whatever the model's size, and of the adapter only the layer that is being
merged is there.
Covered: LoRA on the linear layers of the families in ARCHITECTURES; the types of `quantise` out, any type that `gguf`
can dequantise in. Not covered, and refused: adapters that a sum of weights cannot express (see `adapter`).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from strop.deploy import adapter as adapters
from strop.deploy import container, quantise
from strop.deploy.container import Container, Field, Planned, Tensor
from strop.deploy.quantise import Quant, encode
from strop.deploy.template_guard import guarded
from strop.errors import BadGguf, CannotMerge, NeedsFullMerge

if TYPE_CHECKING:
    import numpy as np

ADAPTER_KEY = "strop.adapter_sha256"
TEMPLATE_KEY = "tokenizer.chat_template"
# Families whose linear layers carry over row by row; True where GGUF stores the rows of q and k in another order.
ARCHITECTURES = {"llama": True, "qwen2": False, "qwen3": False, "gemma3": False}
_PIECE_VALUES = 1 << 16  # what fits into a core's cache
# Below this many multiplications OpenBLAS keeps to one thread. Its threads wait for each other in a spin, which on a
# busy machine takes a hundred times the product itself; and one thread gives the same bits everywhere.
_ONE_THREAD, _TILE_COLUMNS = 1 << 18, 256


@dataclass(frozen=True)
class MergeReport:
    """What a merge did: target tensors changed, the largest change of one weight, and what fell back to F16."""

    tensors: int
    max_abs_delta: float
    quant: str
    fallbacks: tuple[str, ...]
    adapter_sha256: str | None
    seconds: float


def check(path: Path) -> None:
    """Raise BadGguf unless the file is a whole, one-file GGUF model: magic, counts, every tensor within the file."""
    open_model(path)


def open_model(path: Path) -> Container:
    """`check`, and the parsed header."""
    file = container.read(path)
    if metadata(file, "split.count", 1) > 1:
        raise BadGguf(
            f"{path} is one of {metadata(file, 'split.count')} parts of a model",
            hint="join them first: llama-gguf-split --merge FIRST-PART OUT.gguf",
        )
    if not file.tensors or "general.architecture" not in file.fields:
        raise BadGguf(f"{path} holds no model (no tensors, or no architecture)", hint="give a GGUF model, not a part")
    if metadata(file, "general.type", "model") != "model":
        raise BadGguf(f"{path} is a GGUF {metadata(file, 'general.type')}, not a model", hint="give a GGUF model")
    return file


def metadata(file: Container, key: str, default: Any = None) -> Any:
    """The decoded value of one metadata field, or `default`."""
    field = file.fields.get(key)
    return default if field is None else field.value()


def unpack(source: Path, out: Path, dtype: Literal["F16", "F32"] = "F16") -> None:
    """Write `source` to `out` with its matrices as F16 or F32 and its metadata untouched but `general.file_type`."""
    merge(source, None, out, quant=dtype)


def merge(base_f16: Path, adapter_dir: Path | None, out: Path, *, quant: Quant, guard: bool = False) -> MergeReport:
    """Add an adapter (None: nothing) to a base and quantise; writes `out`, byte-identical for equal inputs.

    Matrices become `quant` as llama.cpp does it, vectors F32; `fallbacks` names those whose rows do not fit its blocks.
    `guard` puts the comment of `template_guard` before the chat template. Raises NeedsFullMerge or CannotMerge for an
    adapter that a sum cannot express, BadGguf for a damaged base.
    """
    file = open_model(base_f16)
    updates = _updates(file, adapter_dir) if adapter_dir is not None else {}
    sha256 = adapters.adapter_sha256(adapter_dir) if adapter_dir is not None else None
    return write_model(out, file, file.fields.values(), updates, quant=quant, adapter_sha256=sha256, guard=guard)


def write_model(
    out: Path,
    file: Container,
    fields: Iterable[Field],
    updates: dict[str, adapters.Delta],
    *,
    quant: Quant,
    adapter_sha256: str | None,
    guard: bool = False,
) -> MergeReport:
    """The tensors of `file`, with `updates` (by GGUF tensor name) added and quantised, under the metadata `fields`."""
    started = time.monotonic()
    held = {item.key: item for item in fields}
    held |= quantise.fields(quant)
    if adapter_sha256 is not None:
        held[ADAPTER_KEY] = container.field(ADAPTER_KEY, adapter_sha256, "str")
    if guard and TEMPLATE_KEY in held:
        held[TEMPLATE_KEY] = container.field(TEMPLATE_KEY, guarded(held[TEMPLATE_KEY].value()), "str")
    largest = [0.0]
    kinds = quantise.types(file, quant)
    plans = [
        _planned(file, tensor, updates.get(tensor.name), kinds[tensor.name].type, largest)
        for tensor in file.tensors.values()
    ]
    container.write(out, held.values(), plans, file.alignment)
    fallbacks = quantise.fallbacks(kinds.items())
    return MergeReport(len(updates), max(largest), quant, fallbacks, adapter_sha256, time.monotonic() - started)


def _planned(
    file: Container, tensor: Tensor, update: adapters.Delta | None, kind: int, largest: list[float]
) -> Planned:

    def pieces() -> "Iterator[np.ndarray[Any, Any]]":
        rows = (values for _, values in read_rows(file, tensor))
        for values in rows if update is None else _added(file, tensor, update, largest):
            yield encode(values, kind, tensor.name)

    return Planned(tensor.name, kind, tensor.shape, pieces)


def _added(
    file: Container, tensor: Tensor, update: adapters.Delta, largest: list[float]
) -> "Iterator[np.ndarray[Any, Any]]":
    """The tensor's rows with `scale * b @ a` added, b's rows brought into GGUF's order."""
    import numpy as np

    a, b = update.factors()
    b = permute_rows(b, rotary_heads(file, tensor.name))
    for first, values in read_rows(file, tensor):
        delta = _product(b[first : first + len(values)], a)
        largest.append(max(largest.pop(), float(delta.max()), -float(delta.min())))
        yield np.add(values, delta, out=delta)


def _product(b: "np.ndarray[Any, Any]", a: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """`b @ a` in tiles that are small enough for one thread."""
    import numpy as np

    out = np.empty((b.shape[0], a.shape[1]), dtype=np.float32)
    height = max(1, _ONE_THREAD // (a.shape[0] * _TILE_COLUMNS))
    for top in range(0, b.shape[0], height):
        for left in range(0, a.shape[1], _TILE_COLUMNS):
            tile = (slice(top, top + height), slice(left, left + _TILE_COLUMNS))
            np.matmul(b[tile[0]], a[:, tile[1]], out=out[tile])
    return out


def read_rows(file: Container, tensor: Tensor) -> "Iterator[tuple[int, np.ndarray[Any, Any]]]":
    """The tensor's rows as float32 in pieces of some megabytes: (first row, array of (rows, columns))."""
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType(tensor.type)
    step = max(1, _PIECE_VALUES // tensor.shape[-1])
    row_bytes = tensor.n_bytes // tensor.rows
    with file.path.open("rb") as source:
        source.seek(tensor.offset)
        for first in range(0, tensor.rows, step):
            count = min(step, tensor.rows - first)
            data = np.fromfile(source, dtype=np.uint8, count=count * row_bytes).reshape(count, row_bytes)
            try:
                yield first, dequantize(data, kind)
            except NotImplementedError as error:
                raise BadGguf(
                    f"{file.path}: tensor {tensor.name} is stored as {kind.name}, which cannot be unpacked",
                    hint="give the model in F16, BF16 or Q8_0",
                ) from error


def _updates(file: Container, adapter_dir: Path) -> dict[str, adapters.Delta]:
    """The adapter's updates by GGUF tensor name. Raises CannotMerge where one does not belong to this base."""
    architecture = str(metadata(file, "general.architecture"))
    if ADAPTER_KEY in file.fields:
        raise CannotMerge(f"{file.path} already holds an adapter", hint="merge into the untouched base")
    deltas = adapters.read(adapter_dir)
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise NeedsFullMerge(f"a sum is known to be right for {known}, not for {architecture}", hint="strop doctor")
    weight_name = _names(architecture, int(metadata(file, f"{architecture}.block_count", 0)))
    updates = {}
    for delta in deltas:
        name = weight_name(delta.module)
        tensor = file.tensors.get(name or "")
        if tensor is None:
            raise _absent(delta.module, name)
        if tensor.shape != delta.shape:
            raise CannotMerge(
                f"{delta.module}: the adapter is for {delta.shape}, the base has {tensor.shape}",
                hint="give the base that the adapter was trained on",
            )
        updates[tensor.name] = delta
    return updates


def _absent(module: str, name: str | None) -> CannotMerge:
    if module.rpartition(".")[2] == "lm_head":
        return NeedsFullMerge(
            "the adapter trains lm_head, but this base shares it with the embeddings (tied)", hint=adapters.HINT
        )
    as_name = f" (as {name})" if name else ""
    return CannotMerge(f"the adapter trains {module}, which this base does not have{as_name}", hint=adapters.HINT)


def _names(architecture: str, n_blocks: int) -> Callable[[str], str | None]:
    """Maps a Hugging Face linear layer to the GGUF name of its weight, or None: `lm_head` -> `output.weight`."""
    from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
    from gguf.tensor_mapping import get_tensor_name_map

    number = next(MODEL_ARCH(arch) for arch, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(number, n_blocks)

    def weight_name(module: str) -> str | None:
        name = names.get_name(module)
        return None if name is None else f"{name}.weight"

    return weight_name


def rotary_heads(file: Container, name: str) -> int:
    """How many heads the rows of this tensor are reordered by; 0 where GGUF keeps Hugging Face's order."""
    architecture = str(metadata(file, "general.architecture"))
    if not ARCHITECTURES.get(architecture):
        return 0
    n_heads = int(metadata(file, f"{architecture}.attention.head_count", 0))
    if ".attn_k." in name:
        return int(metadata(file, f"{architecture}.attention.head_count_kv", n_heads))
    return n_heads if ".attn_q." in name else 0


def permute_rows(rows: "np.ndarray[Any, Any]", heads: int, *, undo: bool = False) -> "np.ndarray[Any, Any]":
    """Bring the rows of q or k from Hugging Face's order into GGUF's (`undo`: back); heads 0 changes nothing.

    Within a head, Hugging Face keeps the two members of a rotary pair half a head apart, GGUF side by side.
    """
    if not heads:
        return rows
    half = rows.shape[0] // heads // 2
    split = (heads, half, 2) if undo else (heads, 2, half)
    return rows.reshape(*split, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
