"""Where a run that was cut short goes on: everything that the next step depends on, in a folder that we alone write.

One folder a run, `checkpoint-000012` inside it for the newest: the adapter's weights now and at the start of the stage,
the optimizer's state in float32, the generator's state, and what was counted so far, as safetensors and JSON with a
manifest. It is read back only where every hash agrees, and nothing in it is ever unpickled.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from strop.files import DamagedFolder, private_dir, verify_manifest, whole_folder, write_bytes, write_manifest

STATE = "state.safetensors"
METRICS = "metrics.jsonl"
TRAINER_STATE = "trainer_state.json"  # the name under which transformers looks for it
_PREFIX = "checkpoint-"

Record = dict[str, Any]


@dataclass(slots=True)
class Counted:
    """What a run has counted so far, over all its stages and all its parts: non-padding input tokens and seconds.

    `records` holds one step each: its stage, step, loss and whatever else the trainer says of it.
    """

    tokens: int = 0
    seconds: float = 0.0
    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of a run: after `step` steps of stage number `stage`; step 0 is the stage's beginning."""

    folder: Path
    stage: int
    step: int
    counted: Counted
    scheduler: Mapping[str, Any] | None

    def part(self, prefix: str) -> dict[str, Any]:
        """The tensors below `prefix` ("adapter/"), named by what follows it, on the processor; no others are read."""
        from safetensors import safe_open

        with safe_open(self.folder / STATE, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (no mapping)
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


class Checkpoints:
    """The checkpoints of one run, kept in `folder`; without a folder nothing is kept.

    `key` is what a run follows from: a checkpoint of another run is passed over. One is due after `every_s` seconds.
    """

    def __init__(
        self, folder: Path | None, key: str = "", every_s: float = 0.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._folder, self._key, self._every_s, self._clock = folder, key, every_s, clock
        self._last = clock()
        if folder is not None:
            private_dir(folder)

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._folder is not None and self._clock() - self._last >= self._every_s

    def save(
        self,
        stage: int,
        step: int,
        counted: Counted,
        tensors: Mapping[str, Any],
        trainer_state: str = "",
        scheduler: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one beside the last and then remove the last: at every moment one of them is whole."""
        if self._folder is None:
            return
        from safetensors.torch import save_file

        before = self._all()
        number = 1 + max((_number(path) for path in before), default=0)
        with whole_folder(self._folder / f"{_PREFIX}{number:06}") as fresh:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, fresh / STATE)
            if trainer_state:
                write_bytes(fresh / TRAINER_STATE, trainer_state.encode())
            facts = {
                "kind": "checkpoint",
                "key": self._key,
                "stage": stage,
                "step": step,
                "tokens": counted.tokens,
                "seconds": counted.seconds,
                "records": counted.records,
                "scheduler": scheduler,
            }
            write_manifest(fresh, facts)
        for path in before:
            shutil.rmtree(path)
        self._last = self._clock()

    def ended(self, stage: int, counted: Counted, learned: Mapping[str, Any]) -> None:
        """Keep the end of a stage, which is the beginning of the next one."""
        self.save(stage + 1, 0, counted, {f"start/{name}": value for name, value in learned.items()})

    def latest(self) -> Checkpoint | None:
        """The newest that is whole and of this run."""
        for path in reversed(self._all()):
            try:
                facts = verify_manifest(path)
            except DamagedFolder:
                continue
            if facts.get("kind") == "checkpoint" and facts.get("key") == self._key:
                counted = Counted(facts["tokens"], facts["seconds"], list(facts["records"]))
                return Checkpoint(path, facts["stage"], facts["step"], counted, facts["scheduler"])
        return None

    def remove(self) -> None:
        """Take the whole folder away: the run has ended well."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        if self._folder is None:
            return []
        return sorted(path for path in self._folder.glob(f"{_PREFIX}*") if path.is_dir())


def _number(path: Path) -> int:
    digits = path.name.removeprefix(_PREFIX)
    return int(digits) if digits.isdecimal() else 0


def as_lines(records: Sequence[Record]) -> bytes:
    """The steps as JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()
