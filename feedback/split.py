"""Which prompts train and which judge: chosen once for each cluster, written down, never changed by more feedback.

A cluster is everything that could leak from one side to the other: the interactions of one conversation, and prompts
that are the same or nearly so (Jaccard similarity of at least 0.8 over 5-shingles; candidates by MinHash LSH, each
then compared exactly). Clusters with a correction and clusters without are shared out apart: evenly until the gate
holds 150 prompts of that kind, then one in five. The order is that of a hash, so the same ledger gives the same split.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

from strop.errors import Missing
from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Signal, now, time_text
from strop.feedback.signals import DECIDING

Side = Literal["train", "gate", "held"]

SIMILAR = 0.8
GATE_PROMPTS = 150
GATE_ONE_IN = 5

_SHINGLE = 5
# Shingles of characters see a changed word in a short question; those of words keep a long text small.
_LONG_WORDS = 100
_MOST_SHINGLES = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interaction belongs: the name of its cluster, and its side (`held`: between both, so on neither)."""

    cluster: str
    side: Side


@dataclass(frozen=True, slots=True)
class _Item:
    """What the split looks at: one interaction that the owner reacted to."""

    id: str
    session: str
    text: str
    corrected: bool


def assign(ledger: Ledger, *, gate_prompts: int = GATE_PROMPTS, gate_one_in: int = GATE_ONE_IN) -> dict[str, Place]:
    """Give every interaction that the owner rated or corrected a side, and return all sides by interaction id.

    Sides that are written down stand. A new interaction joins the cluster that it belongs to; where it links clusters
    of both sides it is `held`, so that nothing leaks. Raises Missing when datasketch is not installed.
    """
    while True:
        placed = {key: Place(cluster, _side(side)) for key, (cluster, side) in ledger.split().items()}
        reacted = ledger.iterate(with_signals=True)
        items = [_item(interaction, signals) for interaction, signals in reacted if _decided(signals)]
        if all(item.id in placed for item in items):
            return placed
        chosen = _choose(items, placed, gate_prompts, gate_one_in)
        with ledger.transaction():
            # Prompts are compared outside the transaction; another process may have chosen meanwhile.
            if len(ledger.split()) == len(placed):
                for interaction_id, place in sorted(chosen.items(), key=lambda pair: pair[0]):
                    ledger.add_split(interaction_id, place.cluster, place.side, time_text(now()))


def normalised(text: str) -> str:
    """`text` without what does not make it another question: case, spacing, width of letters, closing punctuation."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).casefold().strip(" .?!") or text


def _decided(signals: Iterable[Signal]) -> bool:
    return any(signal.trust == "owner" and signal.kind in DECIDING for signal in signals)


def _item(interaction: Interaction, signals: Iterable[Signal]) -> _Item:
    # The user's turns alone: a system prompt that all share would make every question look like every other, and
    # the last turn alone would make one of every "yes, go on".
    text = normalised("\n".join(message.content for message in interaction.messages if message.role == "user"))
    corrected = any(signal.kind == "correction" and signal.trust == "owner" for signal in signals)
    return _Item(interaction.id, interaction.session, text, corrected)


def _side(text: str) -> Side:
    return "train" if text == "train" else "gate" if text == "gate" else "held"


def _choose(items: list[_Item], placed: Mapping[str, Place], gate_prompts: int, gate_one_in: int) -> dict[str, Place]:
    """The places of all items that have none."""
    held = {item.id for item in items if item.id in placed and placed[item.id].side == "held"}
    chosen: dict[str, Place] = {}
    fresh: list[list[_Item]] = []
    # What is held links two sides; following it again would pull more and more between them.
    for group in _clusters([item for item in items if item.id not in held]):
        new = [item for item in group if item.id not in placed]
        homes = sorted({(placed[item.id].cluster, placed[item.id].side) for item in group if item.id in placed})
        if not homes:
            fresh.append(new)
            continue
        side = homes[0][1] if len({side for _, side in homes}) == 1 else "held"
        chosen |= {item.id: Place(homes[0][0], side) for item in new}
    tally = Counter((item.corrected, placed[item.id].side) for item in items if item.id in placed)
    return chosen | _share(fresh, tally, gate_prompts, gate_one_in)


def _share(
    fresh: list[list[_Item]], tally: Counter[tuple[bool, Side]], gate_prompts: int, gate_one_in: int
) -> dict[str, Place]:
    """Sides for clusters that have none. `tally` counts the prompts so far by (corrected, side); it is updated.

    A cluster with a correction weighs as many prompts as it has corrections. The heaviest go first, which keeps the
    two sides as even as they can be; those of one weight go in the order of their names, which are hashes.
    """
    places: dict[str, Place] = {}
    weighed = []
    for group in fresh:
        corrections = sum(item.corrected for item in group)
        weighed.append((-(corrections or len(group)), min(item.id for item in group), corrections > 0, group))
    for weight, cluster, corrected, group in sorted(weighed, key=lambda entry: entry[:2]):
        side: Side
        if tally[corrected, "gate"] < gate_prompts:
            side = "gate" if tally[corrected, "gate"] < tally[corrected, "train"] else "train"
        else:
            side = "gate" if int(cluster[:8], 16) % gate_one_in == 0 else "train"
        tally[corrected, side] -= weight
        places |= {item.id: Place(cluster, side) for item in group}
    return places


def _clusters(items: list[_Item]) -> list[list[_Item]]:
    """`items` in groups that must not be separated, each in the order given."""
    parents = list(range(len(items)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index, item in enumerate(items):
        for key in (("session", item.session), ("text", item.text)):
            if key[1]:
                parents[root(index)] = root(first_with.setdefault(key, index))
    for one, other in _near_duplicates(sorted({item.text for item in items})):
        parents[root(first_with["text", one])] = root(first_with["text", other])
    groups: dict[int, list[_Item]] = {}
    for index, item in enumerate(items):
        groups.setdefault(root(index), []).append(item)
    return list(groups.values())


def _near_duplicates(texts: list[str]) -> Iterator[tuple[str, str]]:
    """All pairs of (distinct, normalised) texts whose shingles overlap by at least 0.8."""
    if len(texts) < 2:
        return
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        raise Missing(
            "datasketch is needed to tell near-duplicate prompts apart", hint='pip install "strop[train]"'
        ) from None

    # A lower threshold than the one that decides: LSH may propose too much, but should miss nothing.
    index = MinHashLSH(threshold=SIMILAR - 0.1, num_perm=128)
    shingles = {text: _shingles(text) for text in texts}
    for text in texts:
        sketch = MinHash(num_perm=128, seed=1, hashfunc=int)
        sketch.update_batch(sorted(shingles[text]))
        for other in sorted(index.query(sketch)):
            if _jaccard(shingles[text], shingles[other]) >= SIMILAR:
                yield text, other
        index.insert(text, sketch)


def _shingles(text: str) -> frozenset[int]:
    """32-bit hashes of five characters in a row, or of five words in a row where the text is long."""
    words = text.split(" ")
    if len(words) >= _LONG_WORDS:
        parts = {" ".join(words[start : start + _SHINGLE]) for start in range(len(words) - _SHINGLE + 1)}
    else:
        parts = {text[start : start + _SHINGLE] for start in range(max(1, len(text) - _SHINGLE + 1))}
    hashes = {crc32(part.encode()) for part in parts}
    # The smallest hashes of a set are a fair sample of it, and of two similar sets largely the same sample.
    return frozenset(sorted(hashes)[:_MOST_SHINGLES])


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
