"""GGUF files and model folders with one fault planted in each, for the tests of certificates."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strop.deploy import container
from strop.deploy.container import Container, Field, Planned, Tensor


def with_fields(source: Path, out: Path, *changed: Field, without: tuple[str, ...] = ()) -> Path:
    """A copy of `source` with other metadata fields."""
    file = container.read(source)
    fields = {key: field for key, field in file.fields.items() if key not in without}
    fields |= {field.key: field for field in changed}
    container.write(out, fields.values(), [_copied(file, tensor) for tensor in file.tensors.values()], file.alignment)
    return out


def with_tensor(source: Path, out: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A copy of `source` with the bytes of one tensor changed, as an array of (rows, bytes)."""
    file = container.read(source)
    plans = [_copied(file, tensor, change if tensor.name == name else None) for tensor in file.tensors.values()]
    container.write(out, file.fields.values(), plans, file.alignment)
    return out


def with_copy(source: Path, out: Path, name: str, new: str) -> Path:
    """A copy of `source` in which the tensor `name` is there a second time, as `new`."""
    file = container.read(source)
    again = _copied(file, file.tensors[name])
    plans = [_copied(file, tensor) for tensor in file.tensors.values()]
    plans.append(Planned(new, again.type, again.shape, again.pieces))
    container.write(out, file.fields.values(), plans, file.alignment)
    return out


def folder(source: Path, out: Path, file: str, change: Callable[[Any], Any]) -> Path:
    """A copy of a model or adapter folder with one JSON or text file changed."""
    shutil.copytree(source, out)
    text = (out / file).read_text(encoding="utf-8")
    is_json = file.endswith(".json")
    changed = change(json.loads(text) if is_json else text)
    (out / file).write_text(json.dumps(changed) if is_json else changed, encoding="utf-8")
    return out


def _copied(file: Container, tensor: Tensor, change: Callable[[Any], Any] | None = None) -> Planned:
    def pieces() -> list[Any]:
        import numpy as np

        data = np.fromfile(file.path, dtype=np.uint8, count=tensor.n_bytes, offset=tensor.offset)
        rows = data.reshape(tensor.rows, -1)
        return [np.ascontiguousarray(change(rows)) if change else rows]

    return Planned(tensor.name, tensor.type, tensor.shape, pieces)
