"""From reactions to rows: what trains (SFT, DPO, KTO, hindsight), what the gate judges by, what was left out and why.

Only words that count make rows (`trusted`). For each answer the latest reaction wins; for each text that somebody
asked for and somebody refused on the same prompt, the later of the two. Every row names the signals it was made from.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from strop.feedback import balance, standing_data, triggers
from strop.feedback.bulk import without_collector
from strop.feedback.judged import Complaint, Judged, has_template_tokens, hear
from strop.feedback.ledger import Ledger
from strop.feedback.near import near_pairs
from strop.feedback.rows import GateRow, HeldPrompt, Merit, Row, Rows, Turn
from strop.feedback.settings import FeedbackSettings
from strop.feedback.split import assign
from strop.files import canonical_json, sha256_bytes

# With a limit in tokens and no tokenizer at hand: what English has. The trainer counts for itself.
CHARS_PER_TOKEN = 4
_Heard = TypeVar("_Heard", Judged, Complaint)
_DEFAULT = FeedbackSettings.model_validate({})


@dataclass(frozen=True, slots=True)
class Pair:
    """A text that `judged` asks for and, where there is one, a refused text to set against it.

    `corrected`: the wanted text is somebody's correction. `near`: it was asked for on a near-duplicate of the prompt.
    """

    judged: Judged
    chosen: str
    rejected: str | None = None
    signals: tuple[str, ...] = ()
    corrected: bool = False
    near: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """Rows stand in the order of hashes, not of arrival."""
        return self.judged.id, self.chosen, self.rejected or ""


def build(ledger: Ledger, settings: FeedbackSettings = _DEFAULT, *, limit_tokens: int | None = None) -> Rows:
    """All rows that the ledger gives today, after every prompt without a side was given one (and that written down).

    Rows whose prompt and completion are together longer than `settings.limit_chars` are left out; `limit_tokens` is
    the same at four characters a token. Calling twice gives the same rows in the same order.
    """
    with without_collector():
        return _build(ledger, settings, limit_tokens)


def _build(ledger: Ledger, settings: FeedbackSettings, limit_tokens: int | None) -> Rows:
    excluded: Counter[str] = Counter()
    places = assign(ledger, gate_prompts=settings.gate_prompts, gate_one_in=settings.gate_one_in)
    heard = hear(ledger, places, excluded, cap_source_day=settings.cap_source_day)
    pairs, lone = compared(heard.judged, excluded)
    pairs = capped(pairs, settings, excluded)
    quarantined = triggers.find(ledger, pairs)
    pairs = [pair for pair in pairs if not quarantined.holds(pair.signals)]
    lone = [entry for entry in lone if not quarantined.holds((entry.standing.signal_id,))]
    excluded["trigger"] += quarantined.rows
    accepted = triggers.accepted(ledger, pairs)
    limits = [settings.limit_chars] if settings.limit_chars is not None else []
    limits += [limit_tokens * CHARS_PER_TOKEN] if limit_tokens is not None else []
    limit = min(limits, default=None)
    fitting = list(_trainable(pairs, limit, excluded))
    train, biased = balance.balanced([pair for pair in fitting if pair.judged.place.side == "train"], excluded)
    sft = _sft(train)
    # Not counted again: a liked answer is an SFT row as well, a disliked one stands under `thumbs_only`.
    kto = _kto([entry for entry in _within(lone, settings) if _fits([*_texts(entry), entry.answer], limit, Counter())])
    complaints = [one for one in heard.complaints if one.place.side == "train"]
    hindsight = _hindsight(_within(complaints, settings), limit, excluded)
    extra = standing_data.rows(ledger, beside=len(sft), share=settings.standing_share)
    rows = Rows(
        sft=(*sft, *extra.sft),
        dpo=(*(_dpo_row(pair) for pair in train if pair.rejected is not None), *extra.dpo),
        gate=_gate(fitting, excluded),
        thumbs_up=sum(entry.standing.state == "up" for entry in lone),
        thumbs_down=sum(entry.standing.state == "down" for entry in lone),
        corrections=sum(entry.standing.state == "corrected" for entry in heard.judged),
        kto=kto,
        hindsight=hindsight,
        standing=len(extra.sft) + len(extra.dpo),
        warnings=(*quarantined.sentences, *biased, *extra.sentences),
        merits=_merits(heard.judged, complaints),
        held=_held(lone, limit),
        triggers=tuple((trigger.words, trigger.completion) for trigger in accepted),
    )
    if not rows.corrections and not rows.dpo and not rows.gate and bool(rows.thumbs_up) != bool(rows.thumbs_down):
        excluded["one_class"] = rows.thumbs_up + rows.thumbs_down
    return replace(rows, excluded=dict(sorted((+excluded).items())))


def _merits(judged: Iterable[Judged], complaints: Iterable[Complaint]) -> dict[str, Merit]:
    found = {}
    for one in judged:
        said, asked = one.standing, one.interaction
        found[said.signal_id] = Merit(one.place.cluster, asked.domain, said.signal.time, said.state == "corrected")
    for complaint in complaints:
        asked = complaint.interaction
        found |= {id_: Merit(complaint.place.cluster, asked.domain, asked.time, False) for id_ in complaint.signals}
    return found


def compared(judged: Iterable[Judged], excluded: Counter[str]) -> tuple[list[Pair], list[Judged]]:
    """All pairs and lone good texts, in the order of their ids; and the answers whose rating is part of no pair."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for entry in judged:
        groups.setdefault((entry.place.side, entry.key), []).append(entry)
    settled = [_settle(group, excluded) for group in groups.values()]
    near = near_pairs([(wanted, refused) for wanted, refused in settled])
    pairs: list[Pair] = []
    lone: list[Judged] = []
    for group, (wanted, refused) in zip(groups.values(), settled, strict=True):
        found = _set_against(wanted, refused)
        found += (
            []
            if wanted
            else [
                _near_pair(near[text, entry.id], entry, text)
                for text, entry in refused.items()
                if (text, entry.id) in near
            ]
        )
        used = {signal for pair in found for signal in pair.signals}
        lone += [entry for entry in group if entry.standing.signal_id not in used]
        excluded["thumbs_only"] += 0 if found else sum(entry.standing.state in ("down", "neutral") for entry in group)
        chosen = {pair.chosen for pair in found}
        rest = [_lone_pair(entry, text) for text, entry in wanted.items()]
        pairs += found + [pair for pair in rest if pair.chosen not in chosen]
    return sorted(pairs, key=lambda pair: pair.order), sorted(lone, key=lambda entry: entry.id)


def _settle(group: list[Judged], excluded: Counter[str]) -> tuple[dict[str, Judged], dict[str, Judged]]:
    """The texts asked for and those refused on one prompt, each with the latest who said so; the later word wins."""
    wanted: dict[str, Judged] = {}
    refused: dict[str, Judged] = {}
    for entry in sorted(group, key=lambda entry: entry.when):
        if entry.wanted is not None:
            excluded["contradicted"] += refused.pop(entry.wanted, None) is not None
            wanted[entry.wanted] = entry
        if entry.refused is not None:
            excluded["contradicted"] += wanted.pop(entry.refused, None) is not None
            refused[entry.refused] = entry
    return wanted, refused


def _set_against(wanted: Mapping[str, Judged], refused: Mapping[str, Judged]) -> list[Pair]:
    """For each refused text its own correction where that stands, else the text that was asked for last."""
    if not wanted:
        return []
    latest = max(wanted, key=lambda text: wanted[text].when)
    pairs = []
    for text, entry in refused.items():
        own = entry.wanted if entry.wanted in wanted else None
        better = entry if own is not None else wanted[latest]
        signals = tuple(sorted({better.standing.signal_id, entry.standing.signal_id}))
        chosen = own if own is not None else latest
        pairs.append(Pair(better, chosen, text, signals, corrected=better.standing.state == "corrected"))
    return pairs


def _near_pair(better: Judged, entry: Judged, refused: str) -> Pair:
    signals = tuple(sorted({better.standing.signal_id, entry.standing.signal_id}))
    return Pair(entry, better.wanted or "", refused, signals, corrected=False, near=True)


def _lone_pair(entry: Judged, text: str) -> Pair:
    return Pair(entry, text, None, (entry.standing.signal_id,), corrected=entry.standing.state == "corrected")


def capped(pairs: list[Pair], settings: FeedbackSettings, excluded: Counter[str]) -> list[Pair]:
    """At most so many pairs of one conversation and of one cluster, the newest: no single place may outweigh all."""
    newest = sorted(pairs, key=lambda pair: pair.judged.when, reverse=True)
    kept = [pair for pair, fits in zip(newest, _fitting([one.judged for one in newest], settings), strict=True) if fits]
    excluded["capped"] += len(pairs) - len(kept)
    return sorted(kept, key=lambda pair: pair.order)


def _within(heard: Sequence[_Heard], settings: FeedbackSettings) -> list[_Heard]:
    """What is within the caps of its conversation and its cluster, the newest first kept; in the order given."""
    newest = sorted(range(len(heard)), key=lambda index: heard[index].interaction.time, reverse=True)
    fits = dict(zip(newest, _fitting([heard[index] for index in newest], settings), strict=True))
    return [one for index, one in enumerate(heard) if fits[index]]


def _fitting(newest_first: Iterable[Judged | Complaint], settings: FeedbackSettings) -> Iterator[bool]:
    """For each, whether it is within the caps beside those before it."""
    seen: Counter[tuple[str, str]] = Counter()
    for one in newest_first:
        session, cluster = one.interaction.session, one.place.cluster
        over = session and seen["session", session] >= settings.cap_conversation
        fits = not over and seen["cluster", cluster] < settings.cap_cluster
        if fits:
            seen["session", session] += 1
            seen["cluster", cluster] += 1
        yield fits


def _trainable(pairs: Iterable[Pair], limit_chars: int | None, excluded: Counter[str]) -> Iterator[Pair]:
    """The pairs without control tokens and within the limit; a bad refused text alone leaves the good one."""
    for pair in pairs:
        prompt = _texts(pair.judged)
        if not _fits([*prompt, pair.chosen], limit_chars, excluded):
            continue
        if pair.rejected is None or _fits([*prompt, pair.rejected], limit_chars, excluded):
            yield pair
        elif not pair.near:
            yield replace(pair, rejected=None)


def _fits(texts: list[str], limit_chars: int | None, excluded: Counter[str]) -> bool:
    """Whether these texts may train; the reason is counted where they may not."""
    reason = None
    if any(has_template_tokens(text) for text in texts):
        reason = "template_tokens"
    elif limit_chars is not None and sum(map(len, texts)) > limit_chars:
        reason = "too_long"
    if reason is not None:
        excluded[reason] += 1
    return reason is None


def _texts(judged: Judged) -> list[str]:
    return [message.content for message in judged.interaction.messages]


def _prompt(one: Judged | Complaint) -> list[Turn]:
    return [message.as_dict() for message in one.interaction.messages]


def _said(text: str) -> list[Turn]:
    return [{"role": "assistant", "content": text}]


def _sft(pairs: Iterable[Pair]) -> list[Row]:
    """One row for each text that is wanted on a prompt, however often it is wanted.

    A text that was asked for on a near-duplicate prompt is learned there, not here.
    """
    rows: dict[tuple[str, str], Row] = {}
    for pair in pairs:
        if not pair.near:
            fresh = {"prompt": _prompt(pair.judged), "completion": _said(pair.chosen), "signals": []}
            row = rows.setdefault((pair.judged.key, pair.chosen), fresh)
            row["signals"] = sorted({*row["signals"], *pair.signals})
    return list(rows.values())


def _dpo_row(pair: Pair) -> Row:
    chosen, rejected = _said(pair.chosen), _said(pair.rejected or "")
    return {"prompt": _prompt(pair.judged), "chosen": chosen, "rejected": rejected, "signals": list(pair.signals)}


def _kto(lone: Iterable[Judged]) -> tuple[Row, ...]:
    """Thumbs with nothing to compare them with, on the training side; both labels weigh the same in sum.

    The balance follows KTO (Ethayarajh et al. 2024, section 4.3): the sums of both weights are equal.
    """
    entries = [entry for entry in lone if entry.place.side == "train" and entry.standing.state in ("up", "down")]
    count = Counter(entry.standing.state for entry in entries)
    most = max(count.values(), default=0)
    return tuple(
        {
            "prompt": _prompt(entry),
            "completion": _said(entry.answer),
            "label": entry.standing.state == "up",
            "weight": round(most / count[entry.standing.state], 6),
            "signals": [entry.standing.signal_id],
        }
        for entry in entries
    )


def _hindsight(complaints: Iterable[Complaint], limit_chars: int | None, excluded: Counter[str]) -> tuple[Row, ...]:
    """An answer, and the message that says what was wrong with it."""
    rows = []
    for one in sorted(complaints, key=lambda one: one.signals):
        texts = [*(message.content for message in one.interaction.messages), one.interaction.answer, one.message]
        if _fits(texts, limit_chars, excluded):
            said = {"role": "user", "content": one.message}
            completion = _said(one.interaction.answer.strip())
            rows.append(
                {"prompt": _prompt(one), "completion": completion, "feedback": [said], "signals": list(one.signals)}
            )
    return tuple(rows)


def _gate(pairs: Iterable[Pair], excluded: Counter[str]) -> tuple[GateRow, ...]:
    rows = []
    for pair in pairs:
        if pair.judged.place.side != "gate":
            continue
        if pair.rejected is None:
            excluded["gate_side"] += 1
        elif not pair.near:
            rows.append(_gate_row(pair, pair.rejected))
    return tuple(rows)


def _gate_row(pair: Pair, rejected: str) -> GateRow:
    messages, deciding = _prompt(pair.judged), pair.judged.standing.signal
    return GateRow(
        id=sha256_bytes(canonical_json([messages, pair.chosen, rejected]).encode()),
        messages=tuple(messages),
        chosen=pair.chosen,
        rejected=rejected,
        cluster=pair.judged.place.cluster,
        source=deciding.source,
        trust=deciding.trust,
        signals=pair.signals,
        interactions=pair.judged.interactions,
    )


def _held(lone: Iterable[Judged], limit_chars: int | None) -> tuple[HeldPrompt, ...]:
    """The gate's side of the lone thumbs; of each cluster the prompt whose hash comes first."""
    found: dict[str, HeldPrompt] = {}
    for entry in lone:
        rated = entry.place.side == "gate" and entry.standing.state in ("up", "down")
        if rated and _fits([*_texts(entry), entry.answer], limit_chars, Counter()):
            one = _held_prompt(entry)
            known = found.get(one.cluster)
            if known is None or one.id < known.id:
                found[one.cluster] = one
    return tuple(sorted(found.values(), key=lambda one: one.id))


def _held_prompt(entry: Judged) -> HeldPrompt:
    messages, deciding = _prompt(entry), entry.standing.signal
    return HeldPrompt(
        id=sha256_bytes(canonical_json(messages).encode()),
        messages=tuple(messages),
        answer=entry.answer,
        liked=entry.standing.state == "up",
        cluster=entry.place.cluster,
        source=deciding.source,
        trust=deciding.trust,
        signals=(entry.standing.signal_id,),
        interactions=entry.interactions,
    )
