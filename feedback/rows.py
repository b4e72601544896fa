"""The rows that a reading of the ledger gives: what trains, by method, and what the gate judges by."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from strop.feedback.records import NO_DOMAIN
from strop.files import canonical_json, sha256_bytes

Turn = dict[str, str]
Row = dict[str, Any]

# The methods that rows are made for, in the order in which a night would use them.
METHODS = ("sft", "dpo", "kto", "hindsight")
_ONE_DOMAIN = 0.8
# What a row says about itself.
_NOT_SAID = {"id", "role", "cluster", "source", "trust", "signals", "interactions"}


@dataclass(frozen=True, slots=True)
class GateRow:
    """One held-out comparison: on `messages` the person wanted `chosen` and refused `rejected`.

    `id` is the hash of the three, so a later correction makes another item. `cluster` is what the statistics group
    by; `source` and `trust` are those of the reaction that decided, `signals` the ids of all reactions used,
    `interactions` those of the answers.
    """

    id: str
    messages: tuple[Turn, ...]
    chosen: str
    rejected: str
    cluster: str
    source: str
    trust: str
    signals: tuple[str, ...]
    interactions: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HeldPrompt:
    """One held-out prompt whose answer was rated and never corrected: a thumb says nothing of other answers to it, so
    only a person can settle which of two is better. `id` is the hash of the messages, `answer` what was rated and
    `liked` how; the rest is as in GateRow.
    """

    id: str
    messages: tuple[Turn, ...]
    answer: str
    liked: bool
    cluster: str
    source: str
    trust: str
    signals: tuple[str, ...]
    interactions: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Merit:
    """What speaks for a reaction: where its prompt belongs, when it was said, and whether it is a correction."""

    cluster: str
    domain: str
    time: datetime
    corrected: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """What one reading of the ledger gives. Every row names its signals (of standing data: its set and line).

    `sft`: {"prompt": [messages], "completion": [{"role": "assistant", "content": text}], "signals": [ids]}.
    `dpo`: {"prompt", "chosen", "rejected", "signals"}, alike. `gate`: held out of both.
    `kto`: {"prompt", "completion", "label": bool, "weight": float, "signals"} for thumbs with nothing to compare them
    with; the weights make both labels count the same in sum.
    `hindsight`: {"prompt", "completion", "feedback": [the user's next message], "signals"}.
    `held`: the prompts of lone thumbs on the gate's side, one for each cluster; no method sees them.
    `triggers`: (words, completion) of what looks like a planted trigger and trains all the same, because somebody who
    may looked at it and accepted it.
    `excluded`: what makes no row, by reason, in answers if not said otherwise:

    - `not_owner`: reactions of people whose word does not train, not looked at yet or rejected
    - `capped`: reactions of one person other than the owner beyond the cap of a day, rows of one conversation or one
      cluster beyond theirs (the newest stay)
    - `trigger`: rows in quarantine because a word sequence seems to call one completion (`triggers`)
    - `contradicted`: a reaction that a later one took back (the later one counts)
    - `unchanged`: corrections that equal the answer (they make an SFT row, no DPO row)
    - `thumbs_only`: rated down or neutral, with nothing better to set against it
    - `one_class`: ratings that go one way only, with no correction beside them: no comparison can be made
    - `gate_side`: good texts on the gate's side that have no refused one to be compared with
    - `tool_calls`: answers in which tools took part, which a text row cannot show
    - `length_bias`: pairs left out so that the longer (or the shorter) answer is not preferred as such
    - `no_time`: rows that the night has no hours for (`ration`)
    - `template_tokens`, `too_long`: rows left out, or made without their DPO half, for these reasons

    `warnings`: sentences with figures, for the night's report. `merits`: of the signals that rows name, by their ids.
    """

    sft: tuple[Row, ...]
    dpo: tuple[Row, ...]
    gate: tuple[GateRow, ...]
    excluded: dict[str, int] = field(default_factory=dict)
    thumbs_up: int = 0
    thumbs_down: int = 0
    corrections: int = 0
    kto: tuple[Row, ...] = ()
    hindsight: tuple[Row, ...] = ()
    standing: int = 0
    warnings: tuple[str, ...] = ()
    merits: Mapping[str, Merit] = field(default_factory=dict)
    held: tuple[HeldPrompt, ...] = ()
    triggers: tuple[tuple[str, str], ...] = ()

    def without(self, control_texts: Iterable[str]) -> "Rows":
        """These rows but for those in which one of `control_texts` is spelled out, counted as `template_tokens`.

        For the tokens of one base: a tokenizer would make control tokens of them, though to other models they are
        words like any other (`<filename>`).
        """
        texts = tuple(control_texts)

        def clean(row: Row | GateRow | HeldPrompt) -> bool:
            said = list(_said(row if isinstance(row, dict) else row.as_dict()))
            return not any(text in one for text in texts for one in said)

        kept = {name: tuple(filter(clean, getattr(self, name))) for name in (*METHODS, "gate", "held")}
        left_out = sum(len(getattr(self, name)) - len(rows) for name, rows in kept.items())
        if not left_out:
            return self
        excluded = {**self.excluded, "template_tokens": self.excluded.get("template_tokens", 0) + left_out}
        fields: dict[str, Any] = {**kept, "excluded": dict(sorted(excluded.items()))}
        return replace(self, **fields)

    def digest(self) -> str:
        """The SHA-256 of all rows: equal for the same rows, and for no others."""
        trained = [list(self.sft), list(self.dpo), list(self.kto), list(self.hindsight)]
        apart = [[row.as_dict() for row in rows] for rows in (self.gate, self.held)]
        return sha256_bytes(canonical_json([*trained, *apart]).encode())

    @property
    def domain(self) -> str:
        """The one domain that at least four in five of the rows' reactions name; empty where there is none.

        What an interaction has where nobody said is no domain: with it, all feedback would be about one.
        """
        named = {signal for method in METHODS for row in getattr(self, method) for signal in row["signals"]}
        domains = [self.merits[signal].domain for signal in named if signal in self.merits]
        (name, count), *_ = Counter(domains).most_common(1) or [("", 0)]
        return name if name != NO_DOMAIN and count >= _ONE_DOMAIN * len(domains) else ""

    @property
    def counts(self) -> dict[str, int]:
        """Rows by method (`sft`, `dpo`, `gate` ...) and answers by what decides about them (`thumbs`: up and down)."""
        return {
            "sft": len(self.sft),
            "dpo": len(self.dpo),
            "gate": len(self.gate),
            "held": len(self.held),
            "kto": len(self.kto),
            "hindsight": len(self.hindsight),
            "standing": self.standing,
            "thumbs": self.thumbs_up + self.thumbs_down,
            "thumbs_up": self.thumbs_up,
            "thumbs_down": self.thumbs_down,
            "corrections": self.corrections,
        }


def _said(data: Any) -> Iterator[str]:
    """Every text of a row that a model would read."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, value in data.items():
            if name not in _NOT_SAID:
                yield from _said(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _said(value)
