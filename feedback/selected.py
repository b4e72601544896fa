"""What `forget` takes out: the selectors, and everything that goes along because it holds the same words.

    id       interactions by their id or its beginning
    user     all interactions of a user, and this user's reactions to other people's
    session  all interactions of a session
    match    a literal text, in whatever case, in what was asked or answered, in a tool call, in what was written with a
             reaction, in the text of a review, and in standing data. Names (users, sessions, models) are no texts.
    age      interactions of before a moment

An interaction takes along all reactions to it. A conversation that is stored turn by turn holds earlier turns again, so
an interaction goes as well where its messages hold a chosen question followed by its answer, or, in the same session,
the chosen question or answer as a whole message; and a reaction in the same session goes whose text is the chosen
question (a complaint is the next message). That may take more than was asked for ("Yes." twice in a session), never
less.

Not covered: a quotation inside a longer message, where no selector but `match` finds it.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, Self

from strop.errors import BadRecord
from strop.feedback.judged import prompt_key
from strop.feedback.ledger import Ledger
from strop.feedback.records import time_text
from strop.feedback.standing_data import row_name
from strop.feedback.stored import as_interaction

By = Literal["id", "user", "session", "match", "age"]

_INTERACTIONS = """SELECT interactions.*, exact FROM interactions LEFT JOIN sketches USING (seq)
    WHERE interactions.seq > ? ORDER BY interactions.seq"""
_REACTIONS = "SELECT id FROM signals WHERE interaction_id IN (SELECT value FROM json_each(?))"
_ROWS_OF_SETS = "SELECT set_id, line FROM standing_rows WHERE set_id IN (SELECT value FROM json_each(?))"
_TEXTS = """SELECT signals.id, signals.interaction_id, session, signals.text FROM signals
    JOIN interactions ON interactions.id = interaction_id WHERE signals.text IS NOT NULL
    UNION ALL SELECT signals.id, signals.interaction_id, session, reviews.text FROM reviews
    JOIN signals ON signals.id = signal_id JOIN interactions ON interactions.id = interaction_id
    WHERE reviews.text IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Selector:
    """What to forget: one kind of selector with its values (several ids; of the others one)."""

    by: By
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(value.strip() for value in self.values):
            raise BadRecord(f"{self.by}: it is empty", hint="strop feedback forget --help")

    @classmethod
    def before(cls, moment: datetime) -> Self:
        """Everything that was said before `moment`."""
        return cls("age", (time_text(moment),))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What goes. `interactions` and `signals` are ids, `standing` (set id, line) of standing data.

    `traces` are all names under which a dataset may show that it was made of it. `repeats` counts the interactions that
    were not selected themselves but hold what was.
    """

    interactions: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    standing: tuple[tuple[str, int], ...] = ()
    traces: tuple[str, ...] = ()
    repeats: int = 0

    def __bool__(self) -> bool:
        return bool(self.interactions or self.signals or self.standing)

    def as_dict(self) -> dict[str, Any]:
        """As JSON data, without any text."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        lists = {name: tuple(data[name]) for name in ("interactions", "signals", "traces")}
        standing = tuple((str(which), int(line)) for which, line in data["standing"])
        return cls(**lists, standing=standing, repeats=int(data["repeats"]))


def select(ledger: Ledger, selector: Selector) -> Chosen:
    """What would go. Reads every interaction once, for those that hold a chosen one again; changes nothing."""
    direct, alone, standing = _selected(ledger, selector)
    repeats, twins, told = _repeating(ledger, direct) if direct else (set(), set(), set())
    interactions = direct | repeats
    signals = alone | told | _reactions(ledger, interactions)
    sets = {which for which, _ in standing}
    rows = ledger.query(_ROWS_OF_SETS, (among(sets),))
    names = {row_name(row["set_id"], row["line"]) for row in rows}
    return Chosen(
        tuple(sorted(interactions)),
        tuple(sorted(signals)),
        tuple(sorted(standing)),
        tuple(sorted(interactions | signals | _reactions(ledger, twins) | names)),
        len(repeats),
    )


def _selected(ledger: Ledger, selector: Selector) -> tuple[set[str], set[str], set[tuple[str, int]]]:
    """(interactions, reactions to others, standing rows) that the selector itself names."""
    value = selector.values[0]
    if selector.by == "id":
        return {ledger.complete(start) for start in selector.values}, set(), set()
    if selector.by == "match":
        return _matching(ledger, value)
    if selector.by == "user":
        alone = {str(row["id"]) for row in ledger.query("SELECT id FROM signals WHERE user = ?", (value,))}
        return _ids(ledger, "user = ?", value), alone, set()
    return _ids(ledger, "session = ?" if selector.by == "session" else "time < ?", value), set(), set()


def _ids(ledger: Ledger, condition: str, value: str) -> set[str]:
    rows = ledger.query(f"SELECT id FROM interactions WHERE {condition}", (value,))  # noqa: S608 (conditions of ours)
    return {str(row["id"]) for row in rows}


def _matching(ledger: Ledger, text: str) -> tuple[set[str], set[str], set[tuple[str, int]]]:
    wanted = _folded(text)
    found = {
        str(row["id"])
        for row in _rows(ledger)
        if any(wanted in _folded(one) for one in (*_strings(json.loads(row["messages"])), row["answer"]))
        or any(wanted in _folded(one) for one in _strings(json.loads(row["tool_calls"])))
    }
    found |= {str(row["interaction_id"]) for row in ledger.query(_TEXTS) if wanted in _folded(row["text"])}
    standing = {
        (str(row["set_id"]), int(row["line"]))
        for row in ledger.query("SELECT set_id, line, row FROM standing_rows")
        if any(wanted in _folded(one) for one in _strings(json.loads(row["row"])))
    }
    return found, set(), standing


def _repeating(ledger: Ledger, direct: set[str]) -> tuple[set[str], set[str], set[str]]:
    """(interactions that hold a chosen one again, those that rows may have been made of in one's place, reactions).

    Equal answers to equal prompts make one row, which may show the words of one of them and name the reactions to
    another: where the one goes, what names the other was made of it too.
    """
    exchanges: set[tuple[str, str]] = set()
    said: dict[str, set[str]] = {}
    exact: set[bytes] = set()
    keys: set[tuple[str, str]] = set()
    for row in _rows(ledger):
        if row["id"] in direct:
            prompt, answer = json.loads(row["messages"])[-1]["content"].strip(), row["answer"].strip()
            exchanges.add((prompt, answer))
            exact.add(row["exact"])
            keys.add((prompt_key(as_interaction(row)), answer))
            if row["session"]:
                said.setdefault(row["session"], set()).update((prompt, answer))
    repeats: set[str] = set()
    twins: set[str] = set()
    for row in _rows(ledger):
        if row["id"] in direct:
            continue
        texts = [message["content"].strip() for message in json.loads(row["messages"])]
        here = said.get(row["session"], set())
        if not here.isdisjoint(texts) or not exchanges.isdisjoint(pairwise(texts)):
            repeats.add(row["id"])
        elif row["exact"] in exact and (prompt_key(as_interaction(row)), row["answer"].strip()) in keys:
            twins.add(row["id"])
    texts_of = ledger.query(_TEXTS) if said else []
    told = {str(row["id"]) for row in texts_of if row["text"].strip() in said.get(row["session"], ())}
    return repeats, twins, told


def _rows(ledger: Ledger) -> Iterator[Any]:
    """Every interaction, oldest first, page by page."""
    last = 0
    while page := ledger.page(_INTERACTIONS, (last,)):
        last = page[-1]["seq"]
        yield from page


def _reactions(ledger: Ledger, interactions: Iterable[str]) -> set[str]:
    return {str(row["id"]) for row in ledger.query(_REACTIONS, (among(interactions),))}


def among(ids: Iterable[str]) -> str:
    """`ids` as the one value of `IN (SELECT value FROM json_each(?))`: there may be more than SQLite takes singly."""
    return json.dumps(sorted(ids))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _strings(data: Any) -> Iterator[str]:
    """Every string in JSON data, keys included."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value)
