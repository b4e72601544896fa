"""The GGUF file format, read and written byte by byte: header, metadata fields, tensor table.

Metadata is kept as the bytes found in the file, so that a copy is exact in type and value; only what is asked for is
decoded. Every count, length and offset is held against the file's size before it is believed: a damaged or hostile
file gives BadGguf, never a crash or a huge allocation.
Covered: GGUF 2 and 3, little-endian, one file. Not covered: big-endian files and models split over several files.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.errors import BadGguf, DeployError
from strop.files import free_bytes, private_dir, replacing

if TYPE_CHECKING:
    import numpy as np

MAGIC = b"GGUF"
VERSION = 3
READABLE_VERSIONS = (2, 3)
ALIGNMENT_BYTES = 32
STRING, ARRAY = 8, 9
# GGUF value type -> struct format; strings and arrays are apart.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TYPE_NUMBERS = {"u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": STRING}
_MAX_DIMS = 4
_MAX_STRINGS = 1 << 24
_REPLACE_HINT = "get the file again, then check it with: strop doctor"


@dataclass(frozen=True)
class Field:
    """One metadata field; `raw` is its value exactly as it stands in the file (without the type number)."""

    key: str
    type: int
    raw: bytes

    def value(self) -> Any:
        """The value as a Python number, bool, string or list. Raises BadGguf for text that is not UTF-8."""
        return _Cursor(self.raw, f"field {self.key}").value(self.type)


@dataclass(frozen=True)
class Tensor:
    """One row of the tensor table. `shape` has rows first, as numpy does; `offset` counts from the file's start."""

    name: str
    type: int
    shape: tuple[int, ...]
    offset: int
    n_bytes: int

    @property
    def rows(self) -> int:
        """The number of rows: the product of all dimensions but the last."""
        return math.prod(self.shape[:-1])


@dataclass(frozen=True)
class Container:
    """A parsed GGUF header."""

    path: Path
    version: int
    fields: dict[str, Field]
    tensors: dict[str, Tensor]
    alignment: int


@dataclass(frozen=True)
class Planned:
    """A tensor to write: `pieces()` gives arrays whose bytes, one after the other, are its data."""

    name: str
    type: int
    shape: tuple[int, ...]
    pieces: "Callable[[], Iterable[np.ndarray[Any, Any]]]"


class _Cursor:
    """Reads little-endian values one after the other and refuses to read past the end."""

    def __init__(self, data: bytes | mmap.mmap, what: str) -> None:
        self.data, self.what, self.at, self.end = data, what, 0, len(data)

    def bad(self, reason: str) -> BadGguf:
        return BadGguf(f"{self.what}: {reason}", hint=_REPLACE_HINT)

    def skip(self, n_bytes: int) -> int:
        start = self.at
        if n_bytes < 0 or n_bytes > self.end - start:
            raise self.bad(f"ends at byte {self.end}, but {n_bytes} bytes from byte {start} on are promised")
        self.at = start + n_bytes
        return start

    def number(self, form: str) -> Any:
        return struct.unpack_from("<" + form, self.data, self.skip(struct.calcsize("<" + form)))[0]

    def text(self) -> str:
        length = self.number("Q")
        start = self.skip(length)
        try:
            return bytes(self.data[start : self.at]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.bad(f"text at byte {start} is not UTF-8") from error

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            item, count = self.array_head()
            if item == STRING:
                return [self.text() for _ in range(count)]
            form = _SCALARS[item]
            start = self.skip(count * struct.calcsize(form))
            return list(struct.unpack_from(f"<{count}{form}", self.data, start))
        return self.number(_SCALARS[kind])

    def array_head(self) -> tuple[int, int]:
        item, count = self.number("I"), self.number("Q")
        if item != STRING and item not in _SCALARS:
            raise self.bad(f"an array of values of type {item} is not known")
        if count > (_MAX_STRINGS if item == STRING else self.end):
            raise self.bad(f"an array of {count} values cannot be in this file")
        return item, count

    def skip_value(self, kind: int) -> None:
        """Move past a value without decoding it."""
        if kind == STRING:
            self.skip(self.number("Q"))
        elif kind == ARRAY:
            item, count = self.array_head()
            if item != STRING:
                self.skip(count * struct.calcsize(_SCALARS[item]))
                return
            for _ in range(count):
                self.skip(self.number("Q"))
        elif kind in _SCALARS:
            self.skip(struct.calcsize(_SCALARS[kind]))
        else:
            raise self.bad(f"value type {kind} is not known")


def read(path: Path) -> Container:
    """Parse and check the header of a GGUF file. Raises BadGguf naming what does not hold."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(path, data)
    except FileNotFoundError:
        raise BadGguf(f"{path} does not exist", hint="give the path of a GGUF file, as in gguf:PATH") from None
    except (OSError, ValueError) as error:
        raise BadGguf(f"{path} cannot be read: {error}", hint=_REPLACE_HINT) from error


def _parse(path: Path, data: mmap.mmap) -> Container:
    cursor = _Cursor(data, str(path))
    if data[:4] != MAGIC:
        raise cursor.bad("not a GGUF file (it does not begin with the letters GGUF)")
    cursor.skip(4)
    version, n_tensors, n_fields = cursor.number("I"), cursor.number("Q"), cursor.number("Q")
    if version not in READABLE_VERSIONS:
        raise cursor.bad(f"GGUF version {version} is not one of {READABLE_VERSIONS}")
    # A field takes at least 13 bytes and a tensor 24, so larger counts cannot be true.
    if n_fields > len(data) // 13 or n_tensors > len(data) // 24:
        raise cursor.bad(f"{n_tensors} tensors and {n_fields} fields cannot be in {len(data)} bytes")
    fields: dict[str, Field] = {}
    for _ in range(n_fields):
        key, kind = cursor.text(), cursor.number("I")
        start = cursor.at
        cursor.skip_value(kind)
        if key in fields:
            raise cursor.bad(f"the field {key} is there twice")
        fields[key] = Field(key, kind, bytes(data[start : cursor.at]))
    alignment = _alignment(cursor, fields)
    table = [_tensor_row(cursor) for _ in range(n_tensors)]
    base = _padded(cursor.at, alignment)
    tensors = {name: _placed(cursor, name, shape, kind, base + at) for name, shape, kind, at in table}
    if len(tensors) != n_tensors:
        raise cursor.bad("a tensor name is there twice")
    if any(tensor.offset % alignment for tensor in tensors.values()):
        raise cursor.bad(f"a tensor does not begin at a multiple of {alignment} bytes")
    _no_overlap(cursor, tensors.values())
    return Container(path, version, fields, tensors, alignment)


def _alignment(cursor: _Cursor, fields: dict[str, Field]) -> int:
    field = fields.get("general.alignment")
    if field is None:
        return ALIGNMENT_BYTES
    value = field.value() if field.type == _TYPE_NUMBERS["u32"] else 0
    if value <= 0 or value & (value - 1):
        raise cursor.bad(f"general.alignment is {value}, not a power of two")
    return int(value)


def _tensor_row(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name, n_dims = cursor.text(), cursor.number("I")
    if not 1 <= n_dims <= _MAX_DIMS:
        raise cursor.bad(f"tensor {name} has {n_dims} dimensions")
    dims = [cursor.number("Q") for _ in range(n_dims)]
    return name, tuple(reversed(dims)), cursor.number("I"), cursor.number("Q")


def _placed(cursor: _Cursor, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    try:
        n_bytes = tensor_bytes(kind, shape)
    except ValueError as error:
        raise cursor.bad(f"tensor {name}: {error}") from error
    if n_bytes <= 0 or offset + n_bytes > cursor.end:
        raise cursor.bad(f"tensor {name} ends at byte {offset + n_bytes}, the file at byte {cursor.end}")
    return Tensor(name, kind, shape, offset, n_bytes)


def _no_overlap(cursor: _Cursor, tensors: Iterable[Tensor]) -> None:
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset < end:
            raise cursor.bad(f"tensor {tensor.name} overlaps the one before it")
        end = tensor.offset + tensor.n_bytes


def tensor_bytes(kind: int, shape: Sequence[int]) -> int:
    """The bytes that a tensor of this type and shape takes. Raises ValueError for unknown types or odd rows."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = GGML_QUANT_SIZES.get(GGMLQuantizationType(kind))
    if sizes is None:
        raise ValueError(f"type {kind} is not known")
    block, block_bytes = sizes
    if shape[-1] % block:
        raise ValueError(f"a row of {shape[-1]} values is not a multiple of {block}")
    return math.prod(shape) // block * block_bytes


def field(key: str, value: Any, kind: str) -> Field:
    """A new metadata field; `kind` is u32, i32, f32, bool or str, or one of them with [] for a list."""
    number = _TYPE_NUMBERS[kind.removesuffix("[]")]
    if kind.endswith("[]"):
        return Field(key, ARRAY, struct.pack("<IQ", number, len(value)) + _packed(number, list(value)))
    return Field(key, number, _packed(number, [value]))


def _packed(number: int, values: list[Any]) -> bytes:
    if number == STRING:
        return b"".join(_text(value) for value in values)
    return struct.pack(f"<{len(values)}{_SCALARS[number]}", *values)


def _text(value: str) -> bytes:
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def _padded(n_bytes: int, alignment: int) -> int:
    return (n_bytes + alignment - 1) // alignment * alignment


def write(path: Path, fields: Iterable[Field], tensors: Sequence[Planned], alignment: int = ALIGNMENT_BYTES) -> None:
    """Write a GGUF file (version 3), one piece of one tensor in memory at a time; `path` is whole or untouched.

    Raises DeployError where the disk has no room, and whatever `pieces()` raises.
    """
    header = _header(list(fields), tensors, alignment)
    needed = len(header) + sum(_padded(tensor_bytes(plan.type, plan.shape), alignment) for plan in tensors)
    private_dir(path.parent)
    if free_bytes(path.parent) < needed:
        raise DeployError(
            f"{path} needs {needed / 1e6:.0f} MB and the disk has {free_bytes(path.parent) / 1e6:.0f} MB left",
            hint="make room, or set STROP_HOME to a larger disk",
        )
    with replacing(path) as file:
        file.write(header)
        for plan in tensors:
            expected = tensor_bytes(plan.type, plan.shape)
            written = sum(file.write(piece.data.cast("B")) for piece in plan.pieces())
            if written != expected:
                raise DeployError(f"tensor {plan.name}: {written} bytes were made, {expected} belong there")
            file.write(bytes(_padded(expected, alignment) - expected))


def _header(fields: list[Field], tensors: Sequence[Planned], alignment: int) -> bytes:
    out = bytearray(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(fields)))
    for item in fields:
        out += _text(item.key) + struct.pack("<I", item.type) + item.raw
    offset = 0
    for plan in tensors:
        dims = plan.shape[::-1]
        out += _text(plan.name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, plan.type, offset)
        offset += _padded(tensor_bytes(plan.type, plan.shape), alignment)
    return bytes(out) + bytes(_padded(len(out), alignment) - len(out))
