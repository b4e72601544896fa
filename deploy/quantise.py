"""Which type each tensor of a file gets, and its bytes: F16, Q8_0, Q6_K and Q4_K_M as llama.cpp writes them.

The types follow llama.cpp's `llama_tensor_get_type` for dense models: Q4_K_M gives the values and the second half of
each feed-forward layer Q6_K in the first and last eighth of the blocks and in every third between, the output layer
Q6_K, all else Q4_K; rows that no whole number of 256-value blocks fills take a type of 32-value blocks instead, and
rows that those do not fit stay F16. Widths such as SmolLM2's 576 take those ways round, so its Q4_K_M is mostly Q5_0.

`gguf` encodes F16, Q5_0 and Q5_1, and `q8_0` what its name says. K-quants come from `libgguf` (ggml's encoder in a
wheel), and where it has no wheel (Linux arm64, Python 3.14) from `ggml_quantize_chunk` in the llama.cpp of `xllamacpp`:
both write every tensor byte for byte as llama.cpp's own quantiser does (`benchmarks/quantise.py`).
`llama-cpp-python` has that quantiser too, but comes as source alone and wants a compiler and many minutes;
`llama-quantize` is in no package on PyPI. Not covered: importance matrices, and mixtures of experts, which are refused.
"""

import ctypes
import functools
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from strop.deploy import q8_0
from strop.deploy.container import Container, Field, Tensor, field, tensor_bytes
from strop.errors import DeployError, Missing

if TYPE_CHECKING:
    import numpy as np

# From the smallest file to the largest, the order in which `auto` tries them.
Shipped = Literal["Q4_K_M", "Q6_K", "Q8_0", "F16"]
Quant = Literal["Q4_K_M", "Q6_K", "Q8_0", "F16", "F32"]
SHIPPED: tuple[Shipped, ...] = get_args(Shipped)
# `general.file_type`, llama.cpp's `llama_ftype`.
FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18}
F32, F16, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K = 0, 1, 6, 7, 8, 12, 13, 14
_ASKED = {"F32": F32, "F16": F16, "Q8_0": Q8_0, "Q6_K": Q6_K, "Q4_K_M": Q4_K}
_K_QUANTS = (Q4_K, Q5_K, Q6_K)
_K_BLOCK, _BLOCK = 256, 32
_INSTEAD = {Q4_K: Q5_0, Q5_K: Q5_1, Q6_K: Q8_0}
# Models of 80 blocks in these families share few values among many heads, and get more bits for them.
_GROUPED_BLOCKS, _GROUPED = 80, ("llama", "qwen2")
_IN_BLOCK = re.compile(r"blk\.(\d+)\.\w+\.weight")
_VERSION_KEY, _VERSION = "general.quantization_version", 2  # ggml's block formats since May 2023
_F16_MAX = 65504.0
_LEAST_VALUES = 1 << 16  # what is worth a thread


@dataclass(frozen=True, slots=True)
class Chosen:
    """The type that one tensor gets; `fallback` where its rows do not fit the one that was meant."""

    type: int
    fallback: bool = False


def types(file: Container, quant: Quant) -> dict[str, Chosen]:
    """The type of every tensor of `file` when it is written as `quant`. Raises DeployError for a mixture of experts."""
    architecture = str(_value(file, "general.architecture", ""))
    if quant in ("Q4_K_M", "Q6_K") and _value(file, f"{architecture}.expert_count", 0):
        raise DeployError(f"{quant} is not made of a mixture of experts", hint="use --quant Q8_0")
    output = "output.weight" if "output.weight" in file.tensors else "token_embd.weight"
    more = _more_bits(file) if quant == "Q4_K_M" else {}
    few_values = architecture in _GROUPED and _value(file, f"{architecture}.block_count", 0) == _GROUPED_BLOCKS

    def wanted(tensor: Tensor) -> int:
        if quant not in ("Q4_K_M", "Q6_K"):
            return _ASKED[quant]
        if tensor.name == output or more.get(tensor.name):
            return Q6_K
        if quant == "Q4_K_M" and (".attn_qkv." in tensor.name or (".attn_v." in tensor.name and few_values)):
            return Q5_K
        return _ASKED[quant]

    return {tensor.name: _fitting(tensor, wanted(tensor)) for tensor in file.tensors.values()}


def fields(quant: Quant) -> dict[str, Field]:
    """What the metadata says of a file's types."""
    version = {} if quant in ("F16", "F32") else {_VERSION_KEY: field(_VERSION_KEY, _VERSION, "u32")}
    return {"general.file_type": field("general.file_type", FILE_TYPES[quant], "u32"), **version}


def _more_bits(file: Container) -> dict[str, bool]:
    """Which of the values and second feed-forward matrices Q4_K_M keeps in six bits, by their place among their own."""
    found = {}
    for part in (".attn_v.", ".ffn_down."):
        blocks = [
            (int(match[1]), name) for name in file.tensors if (match := _IN_BLOCK.fullmatch(name)) and part in name
        ]
        count = len(blocks)
        for place, (_, name) in enumerate(sorted(blocks)):
            outer = place < count // 8 or place >= 7 * count // 8
            found[name] = outer or (place - count // 8) % 3 == 2
    return found


def _fitting(tensor: Tensor, wanted: int) -> Chosen:
    if len(tensor.shape) < 2:
        return Chosen(F32)
    kind, columns = wanted, tensor.shape[-1]
    if kind in _K_QUANTS and columns % _K_BLOCK:
        kind = _INSTEAD[kind]
    if kind not in (F32, F16) and columns % _BLOCK:
        kind = F16
    return Chosen(kind, kind != wanted)


def encode(values: "np.ndarray[Any, Any]", kind: int, name: str) -> "np.ndarray[Any, Any]":
    """Float32 rows (rows, columns) as the bytes of a type, the same for the same values whatever the machine's cores.

    Raises DeployError where a value is not finite or too large, Missing where no encoder of K-quants is installed.
    """
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    largest = float(abs(values).max())
    if not largest <= (_F16_MAX if kind in (F16, *_K_QUANTS) else float(np.finfo(np.float32).max)):
        raise DeployError(f"tensor {name}: {largest} does not fit into its type", hint="give another base or adapter")
    if kind in _K_QUANTS:
        return _in_threads(values, kind)
    if kind == Q8_0:
        return q8_0.encode(values)
    return np.ascontiguousarray(quantize(values, GGMLQuantizationType(kind)))


def _in_threads(values: "np.ndarray[Any, Any]", kind: int) -> "np.ndarray[Any, Any]":
    """Rows are encoded one by one, so any split of them gives the same bytes."""
    import numpy as np

    encoder = _encoder()
    parts = min(os.cpu_count() or 1, len(values), values.size // _LEAST_VALUES)
    if parts < 2:
        return encoder(values, kind)
    with ThreadPoolExecutor(parts) as pool:
        return np.concatenate(list(pool.map(lambda rows: encoder(rows, kind), np.array_split(values, parts))))


Encoder = Callable[["np.ndarray[Any, Any]", int], "np.ndarray[Any, Any]"]


def available() -> bool:
    """Whether this installation can write K-quants."""
    return find_spec("libgguf") is not None or in_xllamacpp() is not None


@functools.cache
def _encoder() -> Encoder:
    if find_spec("libgguf") is not None:
        return from_libgguf
    encoder = in_xllamacpp()
    if encoder is None:
        raise Missing(
            "nothing here encodes Q4_K_M and Q6_K (libgguf, or an xllamacpp that shows llama.cpp's encoder)",
            hint="pip install libgguf, or use --quant Q8_0",
        )
    return encoder


def from_libgguf(rows: "np.ndarray[Any, Any]", kind: int) -> "np.ndarray[Any, Any]":
    """K-quants by `libgguf`, which lets other threads run meanwhile."""
    import libgguf

    encoded: np.ndarray[Any, Any] = libgguf.quantize_rows(rows, kind)
    return encoded


@functools.cache
def in_xllamacpp() -> Encoder | None:
    """K-quants by the llama.cpp inside `xllamacpp`, or None where its library does not show the function."""
    if find_spec("xllamacpp") is None:
        return None
    from xllamacpp import xllamacpp

    try:
        chunk = ctypes.CDLL(xllamacpp.__file__).ggml_quantize_chunk
    except (OSError, AttributeError):
        return None
    return from_library(chunk)


def from_library(chunk: Any) -> Encoder:
    """An encoder out of llama.cpp's C function `ggml_quantize_chunk` (ggml.h), as ctypes found it."""
    import numpy as np
    from gguf.constants import GGMLQuantizationType

    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    chunk.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
    chunk.restype = ctypes.c_size_t

    def encoder(rows: "np.ndarray[Any, Any]", kind: int) -> "np.ndarray[Any, Any]":
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        out = np.empty((len(rows), tensor_bytes(kind, (1, rows.shape[1]))), dtype=np.uint8)
        written = chunk(kind, rows.ctypes.data, out.ctypes.data, 0, len(rows), rows.shape[1], None)
        if written != out.nbytes:
            raise DeployError(
                f"{GGMLQuantizationType(kind).name}: {written} bytes came, {out.nbytes} belong there",
                hint="pip install libgguf",
            )
        return out

    return encoder


def fallbacks(chosen: Iterable[tuple[str, Chosen]]) -> tuple[str, ...]:
    """The names of the tensors whose rows do not fit the type that was meant for them."""
    return tuple(name for name, one in chosen if one.fallback)


def _value(file: Container, key: str, default: Any) -> Any:
    found = file.fields.get(key)
    return default if found is None else found.value()
