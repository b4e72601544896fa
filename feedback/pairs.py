"""From reactions to rows: what trains (SFT and DPO), what the gate judges by, and what was left out and why.

Only the owner's word makes rows. For each answer the latest reaction wins; for each text that somebody asked for and
somebody refused on the same prompt, the later of the two. Every row names the signals that it was made from.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from strop.feedback.ledger import Ledger
from strop.feedback.records import Interaction, Signal
from strop.feedback.signals import DECIDING, Standing, standing
from strop.feedback.split import GATE_ONE_IN, GATE_PROMPTS, Place, assign, normalised
from strop.files import canonical_json, sha256_bytes

Turn = dict[str, str]
Row = dict[str, Any]

# Texts that chat templates turn into control tokens: in a training row they would end or open turns.
TEMPLATE_TOKENS = re.compile(
    r"<[|\uff5c][^<>|\uff5c\s]{1,64}[|\uff5c]>"
    r"|</?(?:s|start_of_turn|end_of_turn|bos|eos|pad|unk)>"
    r"|\[/?INST\]|<</?SYS>>"
)
# With a limit in tokens and no tokenizer at hand: what English has. The trainer counts for itself.
CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class GateRow:
    """One held-out comparison: on `messages` the person wanted `chosen` and refused `rejected`.

    `id` is the hash of the three, so a later correction makes another item. `cluster` is what the statistics group
    by; `source` and `trust` are those of the reaction that decided, `signals` the ids of all reactions used.
    """

    id: str
    messages: tuple[Turn, ...]
    chosen: str
    rejected: str
    cluster: str
    source: str
    trust: str
    signals: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rows:
    """What one reading of the ledger gives.

    `sft`: {"prompt": [messages], "completion": [{"role": "assistant", "content": text}], "signals": [ids]}.
    `dpo`: {"prompt", "chosen", "rejected", "signals"}, alike. `gate`: held out of both.
    `excluded`: what makes no row, by reason, in answers if not said otherwise:

    - `not_owner`: reactions of people whose word does not train
    - `contradicted`: a reaction that a later one took back (the later one counts)
    - `unchanged`: corrections that equal the answer (they make an SFT row, no DPO row)
    - `thumbs_only`: rated down or neutral, with nothing better to set against it
    - `one_class`: ratings that go one way only, with no correction beside them: no comparison can be made
    - `gate_side`: good texts on the gate's side that have no refused one to be compared with
    - `held`: answers that link a training cluster with a gate cluster
    - `tool_calls`: answers in which tools took part, which a text row cannot show
    - `template_tokens`, `too_long`: rows left out, or made without their DPO half, for these reasons
    """

    sft: tuple[Row, ...]
    dpo: tuple[Row, ...]
    gate: tuple[GateRow, ...]
    excluded: dict[str, int] = field(default_factory=dict)
    thumbs_up: int = 0
    thumbs_down: int = 0
    corrections: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Rows by method (`sft`, `dpo`, `gate`) and answers by what decides about them (`thumbs` is up and down)."""
        return {
            "sft": len(self.sft),
            "dpo": len(self.dpo),
            "gate": len(self.gate),
            "thumbs": self.thumbs_up + self.thumbs_down,
            "thumbs_up": self.thumbs_up,
            "thumbs_down": self.thumbs_down,
            "corrections": self.corrections,
        }


@dataclass(frozen=True, slots=True)
class _Judged:
    """One answer to one prompt, and what the owner says about it. Equal answers to equal prompts are one of these."""

    interaction: Interaction
    key: str
    side: str
    cluster: str
    standing: Standing

    @property
    def when(self) -> tuple[datetime, str]:
        return self.standing.signal.time, self.standing.signal.id

    @property
    def answer(self) -> str:
        return self.interaction.answer.strip()

    @property
    def wanted(self) -> str | None:
        if self.standing.state == "corrected":
            return (self.standing.signal.text or "").strip()
        return self.answer if self.standing.state == "up" else None

    @property
    def refused(self) -> str | None:
        bad = self.standing.state == "down" or (self.standing.state == "corrected" and self.wanted != self.answer)
        return self.answer if bad else None


@dataclass(frozen=True, slots=True)
class _Pair:
    """A text that `judged` asks for and, where there is one, a refused text to set against it."""

    judged: _Judged
    chosen: str
    rejected: str | None = None
    signals: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, str, str]:
        return self.judged.interaction.id, self.chosen, self.rejected or ""


def build(
    ledger: Ledger,
    *,
    limit_chars: int | None = None,
    limit_tokens: int | None = None,
    gate_prompts: int = GATE_PROMPTS,
    gate_one_in: int = GATE_ONE_IN,
) -> Rows:
    """All rows that the ledger gives today, after every prompt without a side was given one (and that written down).

    Rows whose prompt and completion are together longer than `limit_chars` are left out; `limit_tokens` is the same
    at four characters a token. Calling twice gives the same rows in the same order: that of hashes, not of arrival.
    """
    excluded: Counter[str] = Counter()
    judged = _judged(ledger, assign(ledger, gate_prompts=gate_prompts, gate_one_in=gate_one_in), excluded)
    pairs, thumbs = _pairs(judged, excluded)
    limits = [limit_chars] if limit_chars is not None else []
    limits += [limit_tokens * CHARS_PER_TOKEN] if limit_tokens is not None else []
    sft: dict[tuple[str, str], Row] = {}
    dpo: list[Row] = []
    gate: list[GateRow] = []
    for pair in _trainable(pairs, min(limits, default=None), excluded):
        if pair.judged.side == "train":
            _add_sft(sft, pair)
            dpo += [_dpo_row(pair)] if pair.rejected is not None else []
        elif pair.rejected is not None:
            gate.append(_gate_row(pair, pair.rejected))
        else:
            excluded["gate_side"] += 1
    corrections = sum(entry.standing.state == "corrected" for entry in judged)
    ups, downs = thumbs["up"], thumbs["down"]
    if not corrections and not dpo and not gate and bool(ups) != bool(downs):
        excluded["one_class"] = ups + downs
    return Rows(tuple(sft.values()), tuple(dpo), tuple(gate), dict(sorted(excluded.items())), ups, downs, corrections)


def has_template_tokens(text: str) -> bool:
    """Whether a chat template's control tokens stand in `text`: such a text is stored and never trained on."""
    return TEMPLATE_TOKENS.search(text) is not None


def _judged(ledger: Ledger, places: Mapping[str, Place], excluded: Counter[str]) -> list[_Judged]:
    """Every answer that the owner judged, equal answers to equal prompts of one side as one."""
    groups: dict[tuple[str, str, str], list[tuple[Interaction, tuple[Signal, ...]]]] = {}
    for interaction, signals in ledger.iterate(with_signals=True):
        excluded["not_owner"] += sum(signal.trust != "owner" and signal.kind in DECIDING for signal in signals)
        place = places.get(interaction.id)
        if place is None:
            continue
        if place.side == "held":
            excluded["held"] += 1
        elif interaction.tool_calls or any(message.role == "tool" for message in interaction.messages):
            excluded["tool_calls"] += 1
        else:
            same = (place.side, _prompt_key(interaction), interaction.answer.strip())
            groups.setdefault(same, []).append((interaction, signals))
    judged = []
    for (side, key, _), group in groups.items():
        verdict = standing(signal for _, signals in group for signal in signals)
        if verdict is not None:
            first = min((interaction for interaction, _ in group), key=lambda interaction: interaction.id)
            judged.append(_Judged(first, key, side, places[first.id].cluster, verdict))
            excluded["contradicted"] += verdict.contradicted
            excluded["unchanged"] += verdict.state == "corrected" and judged[-1].wanted == judged[-1].answer
    excluded += Counter()  # drops the reasons that nothing fell under
    return sorted(judged, key=lambda entry: entry.interaction.id)


def _prompt_key(interaction: Interaction) -> str:
    turns = [[message.role, normalised(message.content)] for message in interaction.messages]
    return sha256_bytes(canonical_json(turns).encode())


def _pairs(judged: list[_Judged], excluded: Counter[str]) -> tuple[list[_Pair], Counter[str]]:
    """All pairs and lone good texts, in the order of their ids; and the ratings that are part of no pair, by state."""
    groups: dict[tuple[str, str], list[_Judged]] = {}
    for entry in judged:
        groups.setdefault((entry.side, entry.key), []).append(entry)
    pairs: list[_Pair] = []
    lone: Counter[str] = Counter()
    for group in groups.values():
        wanted, refused = _settle(group, excluded)
        found = _set_against(wanted, refused)
        used = {signal for pair in found for signal in pair.signals}
        lone.update(entry.standing.state for entry in group if entry.standing.signal.id not in used)
        excluded["thumbs_only"] += 0 if found else sum(entry.standing.state in ("down", "neutral") for entry in group)
        chosen = {pair.chosen for pair in found}
        rest = [_Pair(entry, text, None, (entry.standing.signal.id,)) for text, entry in wanted.items()]
        pairs += found + [pair for pair in rest if pair.chosen not in chosen]
    excluded += Counter()
    return sorted(pairs, key=lambda pair: pair.order), lone


def _settle(group: list[_Judged], excluded: Counter[str]) -> tuple[dict[str, _Judged], dict[str, _Judged]]:
    """The texts asked for and those refused on one prompt, each with the latest who said so; the later word wins."""
    wanted: dict[str, _Judged] = {}
    refused: dict[str, _Judged] = {}
    for entry in sorted(group, key=lambda entry: entry.when):
        if entry.wanted is not None:
            excluded["contradicted"] += refused.pop(entry.wanted, None) is not None
            wanted[entry.wanted] = entry
        if entry.refused is not None:
            excluded["contradicted"] += wanted.pop(entry.refused, None) is not None
            refused[entry.refused] = entry
    return wanted, refused


def _set_against(wanted: Mapping[str, _Judged], refused: Mapping[str, _Judged]) -> list[_Pair]:
    """For each refused text its own correction where that stands, else the text that was asked for last."""
    if not wanted:
        return []
    latest = max(wanted, key=lambda text: wanted[text].when)
    pairs = []
    for text, entry in refused.items():
        own = entry.wanted if entry.wanted in wanted else None
        better = entry if own is not None else wanted[latest]
        signals = tuple(sorted({better.standing.signal.id, entry.standing.signal.id}))
        pairs.append(_Pair(better, own if own is not None else latest, text, signals))
    return pairs


def _trainable(pairs: Iterable[_Pair], limit_chars: int | None, excluded: Counter[str]) -> Iterator[_Pair]:
    """The pairs without control tokens and within the limit; a bad refused text alone leaves the good one."""
    for pair in pairs:
        prompt = [message.content for message in pair.judged.interaction.messages]
        reason = _unfit([*prompt, pair.chosen], limit_chars)
        if reason:
            excluded[reason] += 1
            continue
        reason = None if pair.rejected is None else _unfit([*prompt, pair.rejected], limit_chars)
        if reason:
            excluded[reason] += 1
            yield replace(pair, rejected=None)
        else:
            yield pair


def _unfit(texts: list[str], limit_chars: int | None) -> str | None:
    if any(has_template_tokens(text) for text in texts):
        return "template_tokens"
    return "too_long" if limit_chars is not None and sum(map(len, texts)) > limit_chars else None


def _prompt(pair: _Pair) -> list[Turn]:
    return [message.as_dict() for message in pair.judged.interaction.messages]


def _said(text: str) -> list[Turn]:
    return [{"role": "assistant", "content": text}]


def _add_sft(rows: dict[tuple[str, str], Row], pair: _Pair) -> None:
    """One row for each text that is wanted on a prompt, however often it is wanted."""
    fresh = {"prompt": _prompt(pair), "completion": _said(pair.chosen), "signals": []}
    row = rows.setdefault((pair.judged.key, pair.chosen), fresh)
    row["signals"] = sorted({*row["signals"], *pair.signals})


def _dpo_row(pair: _Pair) -> Row:
    chosen, rejected = _said(pair.chosen), _said(pair.rejected or "")
    return {"prompt": _prompt(pair), "chosen": chosen, "rejected": rejected, "signals": list(pair.signals)}


def _gate_row(pair: _Pair, rejected: str) -> GateRow:
    messages, deciding = _prompt(pair), pair.judged.standing.signal
    return GateRow(
        id=sha256_bytes(canonical_json([messages, pair.chosen, rejected]).encode()),
        messages=tuple(messages),
        chosen=pair.chosen,
        rejected=rejected,
        cluster=pair.judged.cluster,
        source=deciding.source,
        trust=deciding.trust,
        signals=pair.signals,
    )
