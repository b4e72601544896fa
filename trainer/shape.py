"""A model's shape from config.json and the headers of its safetensors files: no weight is read, no library is needed.

Covered: decoders of the Llama and Qwen families, in one file or in shards, in 16 or 32 bits, on this disk.
Not covered, and refused: weights that are quantised already, and mixtures of experts.
Format: 8 bytes with the header's length (little-endian), a JSON header, then the data
(https://huggingface.co/docs/safetensors/index#format).
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import UnknownModel

_INDEX = "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000  # the limit that safetensors itself sets
_MAX_JSON_BYTES = 100_000_000
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "U8": 1, "I8": 1}
_WHOLE = ("F32", "F16", "BF16")
# What is no linear layer of the trunk although it is a matrix: what looks words up, and the head.
_TABLES = ("embed_tokens", "wte", "wpe", "lm_head")


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer: how many values it takes and gives for a position."""

    inputs: int
    outputs: int

    @property
    def parameters(self) -> int:
        """Its weights, without a bias."""
        return self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class Shape:
    """What the memory and the time of a run follow from.

    `linear` is every layer that a LoRA on all-linear wraps: those of the trunk, not the head. `table_parameters` is
    the embedding and, where it is not the same matrix, the head; `other_parameters` norms and biases. `query` and
    `key_value` are widths: heads times what a head holds. `disk_bytes` is the size of the weights as they lie on the
    disk, 0 for a shape that was made from values. `head_norms` says that queries and keys are normed (Qwen3).
    `context_tokens` is the longest text that the model was made for, None where nothing says so.
    """

    name: str
    family: str
    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    query: int
    key_value: int
    linear: tuple[Linear, ...]
    table_parameters: int
    other_parameters: int
    head_norms: bool = False
    disk_bytes: int = 0
    context_tokens: int | None = None

    @property
    def linear_parameters(self) -> int:
        """The weights of the layers that a LoRA wraps, and that 4 and 8 bits apply to."""
        return sum(layer.parameters for layer in self.linear)

    @property
    def parameters(self) -> int:
        """All of them; a tied head counts once."""
        return self.linear_parameters + self.table_parameters + self.other_parameters

    def adapter_parameters(self, rank: int) -> int:
        """Of a LoRA on all linear layers: A is (rank, inputs), B is (outputs, rank)."""
        return rank * sum(layer.inputs + layer.outputs for layer in self.linear)


def from_values(
    name: str,
    *,
    family: str,
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    head: int | None = None,
    tied: bool = False,
    head_norms: bool = False,
) -> Shape:
    """The shape of a Llama or Qwen by the values of its config.json; biases, a thousandth, are left out."""
    width = head or hidden // heads
    query, key_value = heads * width, kv_heads * width
    layer = (
        Linear(hidden, query),
        Linear(hidden, key_value),
        Linear(hidden, key_value),
        Linear(query, hidden),
        Linear(hidden, intermediate),
        Linear(hidden, intermediate),
        Linear(intermediate, hidden),
    )
    return Shape(
        name=name,
        family=family,
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        vocabulary=vocabulary,
        query=query,
        key_value=key_value,
        linear=layer * layers,
        table_parameters=vocabulary * hidden * (1 if tied else 2),
        other_parameters=(2 * layers + 1) * hidden + (2 * layers * width if head_norms else 0),
        head_norms=head_norms,
    )


def from_folder(folder: Path) -> Shape:
    """The shape of a model folder. Raises UnknownModel for one that is not whole, damaged or of a kind not covered."""
    config = _config(folder)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    disk_bytes = 0
    for path in weight_files(folder):
        tensors |= read_header(path)
        disk_bytes += path.stat().st_size
    matrices = {name: shape for name, (_, shape) in tensors.items() if len(shape) == 2}
    linear = {name: shape for name, shape in matrices.items() if not any(word in name for word in _TABLES)}
    _refuse(folder, config, tensors)
    total = sum(math.prod(shape) for _, shape in tensors.values())
    tables = sum(math.prod(shape) for name, shape in matrices.items() if name not in linear)
    in_linear = sum(math.prod(shape) for shape in linear.values())
    heads = _positive(folder, config, "num_attention_heads")
    hidden = _positive(folder, config, "hidden_size")
    width = int(config.get("head_dim") or hidden // heads)
    return Shape(
        name=folder.name,
        family=str(config.get("model_type", "")),
        hidden=hidden,
        intermediate=_positive(folder, config, "intermediate_size"),
        layers=_positive(folder, config, "num_hidden_layers"),
        vocabulary=_positive(folder, config, "vocab_size"),
        query=heads * width,
        key_value=int(config.get("num_key_value_heads") or heads) * width,
        linear=tuple(Linear(inputs, outputs) for outputs, inputs in linear.values()),
        table_parameters=tables,
        other_parameters=total - tables - in_linear,
        head_norms=any("q_norm" in name for name in tensors),
        disk_bytes=disk_bytes,
        context_tokens=_context(config),
    )


def _context(config: Mapping[str, Any]) -> int | None:
    found = config.get("max_position_embeddings")
    return found if isinstance(found, int) and found > 0 else None


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder: those that its index names, else all. Raises UnknownModel for none."""
    index = folder / _INDEX
    if not index.is_file():
        found = tuple(sorted(folder.glob("*.safetensors")))
        if not found:
            raise UnknownModel(f"{folder} has no *.safetensors", hint="name a folder that save_pretrained wrote")
        return found
    named = _json(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise _damaged(index, "it has no weight_map")
    files = sorted(set(named.values()))
    for name in files:
        if Path(name).name != name or not (folder / name).is_file():
            raise UnknownModel(f"{folder} lacks {name}, which its index names", hint="fetch the model again")
    return tuple(folder / name for name in files)


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """(type, shape) of each tensor by name. Raises UnknownModel for a file that is cut off or no safetensors file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
                raise _damaged(path, "it is no safetensors file, or it is cut off")
            header = json.loads(file.read(length))
        facts = {name: one for name, one in header.items() if name != "__metadata__"}
        found = {str(name): (str(one["dtype"]), _dimensions(one["shape"])) for name, one in facts.items()}
        ends = [int(one["data_offsets"][1]) for one in facts.values()]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if 8 + length + max(ends, default=0) > size:
        raise _damaged(path, "it is cut off: tensors lie beyond its end")
    return found


def _dimensions(values: Iterable[Any]) -> tuple[int, ...]:
    found = tuple(int(value) for value in values)
    if any(value < 0 for value in found):
        raise ValueError(f"a tensor of shape {found}")
    return found


def _refuse(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    quantised = sorted({kind for kind, shape in tensors.values() if kind not in _WHOLE and len(shape) > 1})
    if quantised or "quantization_config" in config:
        what = ", ".join(quantised) or str(config["quantization_config"])[:60]
        raise UnknownModel(
            f"{folder} holds weights that are quantised already ({what})",
            hint="name the model in 16 bits; Strop makes the 4-bit weights of a QLoRA run itself",
        )
    if any(len(shape) > 2 or ".experts." in name for name, (_, shape) in tensors.items()):
        raise UnknownModel(f"{folder} is a mixture of experts, which is not planned for", hint="name a dense model")


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise UnknownModel(f"{folder} has no config.json", hint="a model folder holds what save_pretrained writes")
    config = _json(path)
    text = config.get("text_config")  # Gemma 3 and others keep the language model's values there
    return {**config, **text} if isinstance(text, dict) else config


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise _damaged(path, "it is larger than 100 MB")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(data, dict):
        raise _damaged(path, "it is not an object")
    return data


def _positive(folder: Path, config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _damaged(folder / "config.json", f"{name} is {value!r}, not a count")
    return value


def _damaged(path: Path, why: str) -> UnknownModel:
    return UnknownModel(f"{path} cannot be read: {why}", hint="fetch the model again, or name another")
