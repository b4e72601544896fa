"""What was measured of a model, kept under the hash of everything that it depends on. Holds scores and answers.

One file a part, written whole or not at all. What failed is never kept, so it is measured again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strop.files import canonical_json, sha256_bytes, write_json


class Kept:
    """One part of what was measured: `facts` is all that it depends on, the model's own hash among it."""

    def __init__(self, folder: Path, part: str, facts: Sequence[Any]) -> None:
        self._file = folder / f"{part}-{sha256_bytes(canonical_json(list(facts)).encode())[:24]}.json"

    def read(self) -> Any:
        """What was kept, None where nothing was."""
        return json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else None

    def write(self, errors: Sequence[str | None], data: Any) -> None:
        """Keep `data`, unless an item failed: a failure is measured again."""
        if not any(error is not None for error in errors) and not self._file.is_file():
            write_json(self._file, data)

    def drop(self) -> None:
        """Forget what was kept."""
        self._file.unlink(missing_ok=True)
