"""Which prompts train and which judge: chosen once for each cluster and written down with the reason.

A cluster is everything that could leak from one side to the other: the interactions of one conversation, and prompts
that are the same or nearly so (`clusters`). Clusters with a correction and clusters without are shared out apart:
evenly until the gate holds 150 prompts of that kind, then one in five. The order is that of a hash, so the same ledger
gives the same split.

A side that was chosen stands, with two exceptions, both from the gate to training and never back: new feedback links
clusters of both sides (what trained may not judge), and a prompt has served in three tests (it has told what it can,
and every correction is to be learned in the end).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from strop.feedback.clusters import Item, clusters
from strop.feedback.ledger import Ledger
from strop.feedback.records import now, time_text
from strop.feedback.trusted import COUNTS

Side = Literal["train", "gate"]

GATE_PROMPTS = 150
GATE_ONE_IN = 5
# After so many tests a gate prompt trains.
MOST_TESTS = 3

_ITEMS = f"""SELECT interactions.seq, interactions.id, session, exact, chars, words,
    max(kind = 'correction') AS corrected
    FROM interactions JOIN sketches USING (seq) JOIN signals ON signals.interaction_id = interactions.id
    WHERE interactions.seq > ? AND interactions.seq <= ? AND {COUNTS}
    AND kind IN ('thumb', 'stars', 'reaction', 'correction', 'complaint')
    GROUP BY interactions.seq ORDER BY interactions.seq"""  # noqa: S608 (a condition of ours)
# So many choices are written in one transaction: some 10 ms, in which nobody else writes.
_AT_ONCE = 1_000
_ADD_PLACE = "INSERT INTO places (interaction_id, cluster, side, reason, time) VALUES (?, ?, ?, ?, ?)"
_PLACES = "SELECT seq, interaction_id, cluster, side FROM places WHERE seq > ? ORDER BY seq LIMIT 1000"
_USES = "SELECT interaction_id FROM gate_uses GROUP BY interaction_id HAVING count(*) >= ?"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interaction belongs: the name of its cluster, and its side."""

    cluster: str
    side: Side


def assign(ledger: Ledger, *, gate_prompts: int = GATE_PROMPTS, gate_one_in: int = GATE_ONE_IN) -> dict[str, Place]:
    """Give every interaction with a reaction that counts a side, and return all sides by interaction id.

    What is new or changes is written down with its reason. Another process that does the same at the same time is
    waited for, and its choice taken.
    """
    while True:
        mark, placed = _written(ledger)
        items = reacted(ledger)
        served = {str(row["interaction_id"]) for row in ledger.query(_USES, (MOST_TESTS,))}
        chosen = _choose(items, clusters(items, ledger), placed, served, gate_prompts, gate_one_in)
        if not chosen:
            return placed
        if _write(ledger, sorted(chosen.items()), mark):
            return placed | {interaction_id: place for interaction_id, (place, _) in chosen.items()}


def _write(ledger: Ledger, chosen: Sequence[tuple[str, tuple[Place, str]]], mark: int) -> bool:
    """Write down what was chosen when the written choices went as far as `mark`, a part at a time.

    Others write in between. False where another process has chosen meanwhile: prompts are compared outside of any
    transaction.
    """
    for start in range(0, len(chosen), _AT_ONCE):
        part = chosen[start : start + _AT_ONCE]
        with ledger.transaction():
            if _mark(ledger) != mark:
                return False
            add_places(ledger, ((one, place.cluster, place.side, reason) for one, (place, reason) in part))
            mark = _mark(ledger)
    return True


def places(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """The written choice that counts, the latest: interaction id -> (cluster, side)."""
    found: dict[str, tuple[str, str]] = {}
    last = 0
    while rows := ledger.page(_PLACES, (last,)):
        found.update((row["interaction_id"], (row["cluster"], row["side"])) for row in rows)
        last = rows[-1]["seq"]
    return found


def add_places(ledger: Ledger, chosen: Iterable[tuple[str, str, str, str]]) -> None:
    """Write down sides, or changes of them: (interaction id, cluster, side, reason). Earlier choices stay."""
    time = time_text(now())
    ledger.execute_many(_ADD_PLACE, ((*place, time) for place in chosen))


def _mark(ledger: Ledger) -> int:
    """How far the written choices go."""
    return int(ledger.query("SELECT coalesce(max(seq), 0) AS seq FROM places")[0]["seq"])


def corrected(ledger: Ledger) -> tuple[int, int]:
    """How many corrected prompts stand on each side by the written choices: (gate, train)."""
    placed = places(ledger)
    sides = [placed[item.id][1] for item in reacted(ledger) if item.corrected and item.id in placed]
    return sides.count("gate"), len(sides) - sides.count("gate")


def corrections_for(
    gate: int,
    train: int,
    *,
    more_gate: int,
    more_train: int = 0,
    gate_prompts: int = GATE_PROMPTS,
    gate_one_in: int = GATE_ONE_IN,
) -> int:
    """How many further corrections bring so many more to each side, from `gate` and `train` corrected prompts on.

    Each is of a prompt of its own, near to no other. Exact for as long as the sides are shared out evenly; what comes
    after that goes by a hash, so that it is what one can expect.
    """
    asked = 0
    while more_gate > 0 or more_train > 0:
        if gate >= gate_prompts:
            by_training = -(-max(more_train, 0) * gate_one_in // (gate_one_in - 1))
            return asked + max(more_gate * gate_one_in, by_training)
        asked += 1
        if gate < train:
            gate, more_gate = gate + 1, more_gate - 1
        else:
            train, more_train = train + 1, more_train - 1
    return asked


def record_test(ledger: Ledger, interaction_ids: Iterable[str], test: str) -> None:
    """Write down that the gate judged by these interactions in the test `test`; the same test again is the same row."""
    time = time_text(now())
    with ledger.transaction():
        for interaction_id in sorted(set(interaction_ids)):
            ledger.execute(
                "INSERT INTO gate_uses VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (interaction_id, test, time)
            )


def used(ledger: Ledger) -> frozenset[str]:
    """The interactions that some test of the gate was made of."""
    return frozenset(row["interaction_id"] for row in ledger.query("SELECT DISTINCT interaction_id FROM gate_uses"))


def reacted(ledger: Ledger) -> list[Item]:
    """Every interaction with a reaction that counts, oldest first."""
    items: list[Item] = []
    last, newest = 0, ledger.newest()
    while rows := ledger.page(_ITEMS, (last, newest)):
        last = rows[-1]["seq"]
        items += [
            Item(*(row[name] for name in ("seq", "id", "session", "corrected", "exact", "chars", "words")))
            for row in rows
        ]
    return items


def _written(ledger: Ledger) -> tuple[int, dict[str, Place]]:
    """How far the written choices go, and those that count."""
    mark = _mark(ledger)
    # An older Strop wrote `held` for what linked both sides; its links are found again and settled as they are now.
    sides: dict[str, Side] = {"gate": "gate", "train": "train", "held": "train"}
    return mark, {key: Place(cluster, sides[side]) for key, (cluster, side) in places(ledger).items()}


Chosen = dict[str, tuple[Place, str]]


def _choose(
    items: list[Item],
    groups: list[list[Item]],
    placed: Mapping[str, Place],
    served: set[str],
    gate_prompts: int,
    gate_one_in: int,
) -> Chosen:
    """The new places with their reasons: of items that have none, and of those that leave the gate."""
    chosen: Chosen = {}
    fresh: list[list[Item]] = []
    for group in groups:
        homes = sorted({(placed[item.id].cluster, placed[item.id].side) for item in group if item.id in placed})
        if homes:
            chosen |= _settled(group, homes, placed, served)
        else:
            fresh.append(group)
    tally: Counter[tuple[bool, Side]] = Counter()
    for item in items:
        if item.id in placed:
            place = chosen[item.id][0] if item.id in chosen else placed[item.id]
            tally[bool(item.corrected), place.side] += 1
    return chosen | _share(fresh, tally, gate_prompts, gate_one_in)


def _settled(group: list[Item], homes: list[tuple[str, Side]], placed: Mapping[str, Place], served: set[str]) -> Chosen:
    """The changes in a cluster of which a part is placed already."""
    sides = {side for _, side in homes}
    if len(sides) > 1:
        side: Side = "train"
        reason = "linked a training cluster with a gate cluster"
    elif sides == {"gate"} and any(item.id in served for item in group):
        side, reason = "train", f"served in {MOST_TESTS} tests"
    else:
        side, reason = homes[0][1], "joined its cluster"
    place = Place(homes[0][0], side)
    return {item.id: (place, reason) for item in group if placed.get(item.id) != place}


def _share(fresh: list[list[Item]], tally: Counter[tuple[bool, Side]], gate_prompts: int, gate_one_in: int) -> Chosen:
    """Sides for clusters that have none. `tally` counts the prompts so far by (corrected, side); it is updated.

    A cluster with a correction weighs as many prompts as it has corrections. The heaviest go first, which keeps the
    two sides as even as they can be; those of one weight go in the order of their names, which are hashes.
    """
    chosen: Chosen = {}
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
        chosen |= {item.id: (Place(cluster, side), "chosen") for item in group}
    return chosen
