"""The whole ledger as JSONL: one interaction a line, its reactions inside, and inside these what was decided.

`jsonl.import_file` reads it back, on this machine or another, with the same ids.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.errors import UsageError
from strop.feedback.ledger import Ledger
from strop.feedback.records import time_text
from strop.feedback.reviews import decided
from strop.files import canonical_json, write_bytes


def export_lines(ledger: Ledger) -> Iterator[str]:
    """The whole ledger as JSON lines, without line ends."""
    return map(canonical_json, exported(ledger))


def exported(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Everything as one object per interaction, its reactions inside, and inside these what was decided about them."""
    reviews: dict[str, list[dict[str, Any]]] = {}
    for one in decided(ledger):
        found = {"decision": one.decision, "text": one.text, "who": one.who, "time": time_text(one.time)}
        reviews.setdefault(one.signal_id, []).append(found)
    for interaction, signals in ledger.iterate():
        reactions = [
            {"id": one.id, **one.as_dict()} | ({"reviews": reviews[one.id]} if one.id in reviews else {})
            for one in signals
        ]
        yield {"id": interaction.id, **interaction.as_dict(), "signals": reactions}


def export_file(ledger: Ledger, path: Path | str) -> int:
    """Write the whole ledger to `path` in one step, mode 0600; returns how many interactions.

    A link is followed; what is no file (a pipe, a terminal) is written to and stays. Raises UsageError for a folder.
    """
    target = Path(path)
    lines = [line + "\n" for line in export_lines(ledger)]
    if target.is_dir():
        raise UsageError(f"{target} is a folder", hint="name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", hint="make it first, or name another file")
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(lines)
    else:
        write_bytes(target.resolve(), "".join(lines).encode())
    return len(lines)
