"""A dataset on disk: the rows of one night as JSONL, whole or absent.

The folder holds `sft.jsonl`, `dpo.jsonl`, `kto.jsonl` (TRL's column names plus `signals`), `hindsight.jsonl`,
`gate.jsonl` and `held.jsonl`, which no method reads, and `manifest.json`, which is written last. Equal rows give equal
bytes and the same `sha256`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.feedback.rows import GateRow, HeldPrompt, Row, Rows
from strop.files import DamagedFolder, canonical_json, sha256_bytes, verify_manifest, whole_folder, write_manifest

KIND = "dataset"
_FILES = ("sft.jsonl", "dpo.jsonl", "kto.jsonl", "hindsight.jsonl", "gate.jsonl", "held.jsonl")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A whole dataset folder. `sha256` stands for all rows together, the other fields are those of Rows."""

    folder: Path
    sha256: str
    counts: dict[str, int]
    excluded: dict[str, int]
    warnings: tuple[str, ...] = ()
    domain: str = ""
    triggers: tuple[tuple[str, str], ...] = ()

    def file(self, method: str) -> Path:
        """The rows that a training method learns from, as `Rows` names their columns."""
        return self.folder / f"{method}.jsonl"

    @property
    def gate_file(self) -> Path:
        """A GateRow a line; nothing that trains may read it."""
        return self.folder / "gate.jsonl"

    def sft(self) -> tuple[Row, ...]:
        """The SFT rows."""
        return tuple(_read(self.file("sft")))

    def dpo(self) -> tuple[Row, ...]:
        """The DPO rows."""
        return tuple(_read(self.file("dpo")))

    def kto(self) -> tuple[Row, ...]:
        """The KTO rows."""
        return tuple(_read(self.file("kto")))

    def hindsight(self) -> tuple[Row, ...]:
        """The hindsight rows."""
        return tuple(_read(self.file("hindsight")))

    def gate(self) -> tuple[GateRow, ...]:
        """The gate's rows."""
        return tuple(GateRow(**_with_tuples(row)) for row in _read(self.gate_file))

    def held(self) -> tuple[HeldPrompt, ...]:
        """The held-out prompts that only a person can settle."""
        return tuple(HeldPrompt(**_with_tuples(row)) for row in _read(self.folder / "held.jsonl"))


def write(rows: Rows, folder: Path) -> Dataset:
    """Write `rows` to `folder` in one step, replacing what is there; readable by this user alone."""
    with whole_folder(folder) as temporary:
        (temporary / "sft.jsonl").write_bytes(_lines(rows.sft))
        (temporary / "dpo.jsonl").write_bytes(_lines(rows.dpo))
        (temporary / "kto.jsonl").write_bytes(_lines(rows.kto))
        (temporary / "hindsight.jsonl").write_bytes(_lines(rows.hindsight))
        (temporary / "gate.jsonl").write_bytes(_lines(row.as_dict() for row in rows.gate))
        (temporary / "held.jsonl").write_bytes(_lines(row.as_dict() for row in rows.held))
        hashes = {name: sha256_bytes((temporary / name).read_bytes()) for name in _FILES}
        sha256 = sha256_bytes(canonical_json(hashes).encode())
        said = {
            "counts": rows.counts,
            "excluded": rows.excluded,
            "warnings": list(rows.warnings),
            "domain": rows.domain,
            "triggers": [list(trigger) for trigger in rows.triggers],
        }
        write_manifest(temporary, {"kind": KIND, "sha256": sha256, **said})
    return Dataset(folder, sha256, rows.counts, dict(rows.excluded), rows.warnings, rows.domain, rows.triggers)


def read(folder: Path) -> Dataset:
    """The dataset in `folder`. Raises DamagedFolder where it is not whole, was changed, or is something else."""
    manifest = verify_manifest(folder)
    files = manifest.get("files", {})
    if manifest.get("kind") != KIND or set(files) != set(_FILES):
        raise DamagedFolder(f"{folder} is not a dataset", hint="strop night writes one")
    sha256 = sha256_bytes(canonical_json({name: files[name]["sha256"] for name in _FILES}).encode())
    if manifest.get("sha256") != sha256:
        raise DamagedFolder(f"{folder}: the manifest's sha256 is not that of its files", hint="strop night writes one")
    counts, excluded = dict(manifest["counts"]), dict(manifest["excluded"])
    warnings, domain = tuple(manifest.get("warnings", ())), str(manifest.get("domain", ""))
    triggers = tuple((str(words), str(completion)) for words, completion in manifest.get("triggers", ()))
    return Dataset(folder, sha256, counts, excluded, warnings, domain, triggers)


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(canonical_json(row) + "\n" for row in rows).encode()


def _read(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def _with_tuples(row: Row) -> Row:
    return {**row, **{name: tuple(row[name]) for name in ("messages", "signals", "interactions")}}
