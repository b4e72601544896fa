"""Safetensors files as float32 numpy arrays, bfloat16 included, without torch.

Format: 8 bytes with the header's length, a JSON header, then the data
(https://huggingface.co/docs/safetensors/index#format).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.errors import DeployError

if TYPE_CHECKING:
    import numpy as np

_STORED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Entry:
    """One tensor in a safetensors file; `offset` counts from the file's start."""

    path: Path
    name: str
    stored: str
    shape: tuple[int, ...]
    offset: int

    def rows(self, start: int, stop: int) -> "np.ndarray[Any, Any]":
        """Rows [start, stop) of the first dimension as float32."""
        import numpy as np

        row = math.prod(self.shape[1:])
        kind = np.dtype(_STORED[self.stored])
        with self.path.open("rb") as file:
            file.seek(self.offset + start * row * kind.itemsize)
            data = np.fromfile(file, dtype=kind, count=(stop - start) * row)
        if data.size != (stop - start) * row:
            raise DeployError(f"{self.path} ends within tensor {self.name}", hint="get the file again")
        if self.stored == "BF16":
            # bfloat16 is the upper half of a float32.
            data = (data.astype(np.uint32) << 16).view(np.float32)
        return data.astype(np.float32, copy=False).reshape(stop - start, *self.shape[1:])

    def array(self) -> "np.ndarray[Any, Any]":
        """The whole tensor as float32."""
        return self.rows(0, self.shape[0]) if self.shape else self.rows(0, 1).reshape(())


def read_index(path: Path) -> dict[str, Entry]:
    """The tensors of one safetensors file by name. Raises DeployError for a damaged file or an unreadable type."""
    hint = "get the file again"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
                raise DeployError(f"{path} is not a safetensors file, or it is cut off", hint=hint)
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise DeployError(f"{path} does not exist", hint="give a folder with safetensors files") from None
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be read: {error}", hint=hint) from error
    try:
        entries = {
            name: _entry(path, name, facts, 8 + length, size) for name, facts in header.items() if name[:2] != "__"
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DeployError(f"{path} has a damaged header: {error!r}", hint=hint) from error
    return entries


def _entry(path: Path, name: str, facts: Any, data_start: int, size: int) -> Entry:
    import numpy as np

    stored, shape = facts["dtype"], tuple(int(n) for n in facts["shape"])
    begin, end = facts["data_offsets"]
    if stored not in _STORED:
        raise DeployError(
            f"{path}: tensor {name} is stored as {stored}, not as one of {', '.join(_STORED)}",
            hint="give a model or adapter in 16 or 32 bits, not a quantised one",
        )
    expected = math.prod(shape) * np.dtype(_STORED[stored]).itemsize
    if end - begin != expected or begin < 0 or data_start + end > size:
        raise DeployError(f"{path}: tensor {name} does not fit into the file", hint="get the file again")
    return Entry(path, name, stored, shape, data_start + begin)
