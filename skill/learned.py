"""What the model in service was taught: corrections that it was trained on, as tonight's candidate is too."""

from strop.deploy.adapter import adapter_sha256
from strop.deploy.versions import Version
from strop.evaluation.wanted import WantedItem
from strop.feedback import dataset
from strop.feedback.dataset import Dataset
from strop.feedback.rows import Row
from strop.files import DamagedFolder, canonical_json, read_manifest, sha256_bytes
from strop.home import Home

MOST = 60


def learned(home: Home, incumbent: Version, rows: Dataset) -> list[WantedItem]:
    """At most `MOST` of them, the same ones for the same feedback; none where the incumbent was trained on nothing.

    Corrections that were taken back or forgotten since are not among them, nor is anything of an incumbent whose
    adapter or dataset is gone.
    """
    known = {_name(row) for row in _taught(home, incumbent)}
    found = {name: row for row in rows.dpo() if (name := _name(row)) in known}
    return [_item(name, found[name]) for name in sorted(found)[:MOST]]


def _taught(home: Home, incumbent: Version) -> tuple[Row, ...]:
    if incumbent.adapter_sha is None:
        return ()
    for folder in sorted(home.adapters.glob("*/")):
        try:
            if adapter_sha256(folder) != incumbent.adapter_sha:
                continue
            made_of = read_manifest(folder).get("dataset_sha256")
            return next((one.dpo() for one in _datasets(home) if one.sha256 == made_of), ())
        except (DamagedFolder, OSError):
            continue
    return ()


def _datasets(home: Home) -> list[Dataset]:
    found = []
    for folder in sorted(home.datasets.glob("*/")):
        try:
            found.append(dataset.read(folder))
        except DamagedFolder:
            continue
    return found


def _name(row: Row) -> str:
    return sha256_bytes(canonical_json([row["prompt"], row["chosen"]]).encode())


def _item(name: str, row: Row) -> WantedItem:
    chosen, rejected = row["chosen"][-1]["content"], row["rejected"][-1]["content"]
    return WantedItem(f"learned-{name[:16]}", tuple(row["prompt"]), chosen, rejected, name)
