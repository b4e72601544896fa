"""`strop evaluate`: any model on any suite, measured once. Nothing is trained, judged or released by it.

Scores are kept by block of items under the hash of the model, the items and how they were asked, so a run that was
killed goes on behind its last whole block, and the same question twice is measured once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any

from strop.deploy import endpoint
from strop.errors import BadSuite, EvaluationError, OnlyThought, ServerTrouble
from strop.evaluation import probes, suites
from strop.evaluation.lettered import lettered, lettered_probe
from strop.evaluation.measure import Measured, skill_scores
from strop.evaluation.model import Model
from strop.evaluation.probes import Probe
from strop.evaluation.suites import SuiteItem
from strop.files import sha256_bytes
from strop.kept import Kept
from strop.measurement import Asked, Measurement, Result, Source, why_none
from strop.setup import OnProgress
from strop.subject import Subject

BLOCK = 32  # items; of an endpoint, twice as many as are asked at a time
_PART = "evaluate"
_READING = 4  # how answers are read into scores; another number where that changes: what is kept is the scores


@dataclass(frozen=True, slots=True)
class Where:
    """Where what was measured is kept, whether that is read (not with `fresh`), and who is told how far it is."""

    folder: Path
    fresh: bool
    on_progress: OnProgress

    def kept(self, subject: Subject, part: str, asked: Any) -> Kept | None:
        """One part of what is known of a model; None where nothing of it may be kept."""
        return None if subject.identity is None else Kept(self.folder, part, [list(subject.identity), asked])

    def read(self, kept: Kept | None) -> Any:
        """What is known, None where nothing is or it is not wanted."""
        return None if kept is None or self.fresh else kept.read()

    def write(self, kept: Kept | None, errors: Sequence[str | None], data: Any) -> None:
        """Keep it, in place of what was there; not where an item failed."""
        if kept is not None:
            if self.fresh:
                kept.drop()
            kept.write(errors, data)


def sources(names: Sequence[str], limit: int | None) -> list[Source]:
    """The suites that these names mean: shipped ones by name, files by a path that ends in .jsonl or has a folder.

    A name is that of a shipped suite, of one of the suites in it ("facts"), or of a probe suite (`evaluation.probes`),
    whose rate is that of good answers. `limit` takes as many items of each, always the same ones, of all the suites and
    templates in it alike. Raises BadSuite.
    """
    found = []
    for name in dict.fromkeys(names):
        path = Path(name).expanduser()
        is_file = path.suffix == ".jsonl" or len(path.parts) > 1
        items = suites.load_file(path) if is_file else _shipped(name)
        found.append(Source(path.name if is_file else name, _some(items, limit)))
    return found


def _shipped(name: str) -> tuple[Asked, ...]:
    everyday = suites.load()
    parts: list[Asked] = [*everyday, *probes.shipped()]
    try:
        return tuple(item for item in parts if item.suite == name) or suites.load(name)
    except BadSuite as error:
        also = ", ".join(dict.fromkeys(item.suite for item in parts))
        raise BadSuite(str(error), hint=f"{error.hint}, {also}") from error


def evaluate(subject: Subject, against: Subject | None, asked: Sequence[Source], where: Where) -> list[Result]:
    """Measure one model, or two, on all sources.

    Where one of the two cannot tell likelihoods, both are asked by letter. Raises EvaluationError where not one item
    could be measured, failed or unread, and what opening a model raises; errors of single items are in the results.
    """
    by_letter = not (subject.scores and (against is None or against.scores))
    put = [_lettered(source.items) if by_letter else source.items for source in asked]
    ours = _measured(subject, put, where)
    theirs: Sequence[Measurement | None] = [None] * len(asked)
    if against is not None:
        theirs = _measured(against, put, where)
    return [Result(*each) for each in zip(asked, put, ours, theirs, strict=True)]


def _lettered(items: Sequence[Asked]) -> tuple[Asked, ...]:
    return tuple(lettered([item])[0] if isinstance(item, SuiteItem) else lettered_probe(item) for item in items)


def write_items(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object an item, one a line."""
    from strop.files import write_bytes

    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _measured(subject: Subject, sources: Sequence[Sequence[Asked]], where: Where) -> list[Measurement]:
    run = _Run(subject, where, sum(map(len, sources)))
    with ExitStack() as stack:
        found = [run.measure(items, lambda: stack.enter_context(subject.opened())) for items in sources]
    if all(one.blank for one in found):
        why, hint = _why([score for one in found for score in one.scores.values()], subject)
        raise EvaluationError(f"nothing could be measured of {subject.name}: {why}", hint=hint)
    return found


def _why(scores: Sequence[Measured], subject: Subject) -> tuple[str, str]:
    """Why none of these is a score, and what to do about it."""
    failed = next((score.error for score in scores if not score.unread and score.error is not None), None)
    if failed is not None:
        return why_none(scores), _advice(failed, subject)
    counts = Counter(score.error for score in scores)
    why = "; ".join(f"{count} of {len(scores)} answers {error}" for error, count in counts.most_common())
    return why, "an endpoint is judged by what it says; a model on this machine by its likelihoods too"


def _advice(failed: str, subject: Subject) -> str:
    """What to do about a failure, which begins with its error's name (`measure.answers`)."""
    if not subject.address:
        return "strop doctor"
    known = {ServerTrouble.__name__: endpoint.TROUBLE, OnlyThought.__name__: endpoint.THOUGHT}
    return known.get(failed.partition(":")[0], "check its address, --model-name and --token-env")


class _Run:
    """One model's way through all sources: opens it when first needed, says how far it is, gives up on a dead one."""

    def __init__(self, subject: Subject, where: Where, total: int) -> None:
        self.total, self.failed = total, 0
        self._subject, self._where, self._done = subject, where, 0
        self._size = BLOCK if subject.at_once == 1 else 2 * subject.at_once
        self._model: Model | None = None
        self._dead: str | None = None

    def measure(self, items: Sequence[Asked], opened: Callable[[], Model]) -> Measurement:
        """The scores of these items, block by block; alike ones share a block."""
        ordered = sorted(items, key=lambda item: (not item.choices, item.max_tokens))
        scores: dict[str, Measured] = {}
        known = 0
        for start in range(0, len(ordered), self._size):
            block = ordered[start : start + self._size]
            kept = self._where.kept(self._subject, _PART, [_READING, *(asdict(item) for item in block)])
            data = self._where.read(kept)
            if data is not None:
                scores.update({name: _restored(row) for name, row in data.items()})
                known += len(block)
            else:
                found = self._block(block, opened)
                scores.update(found)
                errors = [one.error for one in found.values() if not one.unread]
                self._where.write(kept, errors, {name: _plain(one) for name, one in found.items()})
            self._tell(len(block))
        return Measurement(probes.alike([item for item in items if isinstance(item, Probe)], scores), known)

    def _block(self, block: Sequence[Asked], opened: Callable[[], Model]) -> dict[str, Measured]:
        if self._dead is not None:
            found = {item.id: Measured(error=self._dead) for item in block}
        else:
            if self._model is None:
                self._model = opened()
            found = self._asked(self._model, block)
        failed = [one.error for one in found.values() if _failed(one)]
        self.failed += len(failed)
        if self._dead is None and len(failed) == self._size:
            self._dead = f"not asked: all of the {self._size} before it failed"
        return found

    def _asked(self, model: Model, block: Sequence[Asked]) -> dict[str, Measured]:
        """One bad item is the error of that item alone: what failed in a batch is asked again by itself."""
        found: dict[str, Measured] = {}
        if self._subject.at_once == 1:
            found = _scores(model, block)
        alone = [item for item in block if item.id not in found or _failed(found[item.id])]
        with ThreadPoolExecutor(self._subject.at_once) as pool:
            for part in pool.map(lambda item: _scores(model, [item]), alone):
                found.update(part)
        return found

    def _tell(self, more: int) -> None:
        self._done += more
        text = f"{self._done} of {self.total} items" + (f", {self.failed} errors" if self.failed else "")
        self._where.on_progress(f"measure {self._subject.name}", self._done / self.total, text)


def _scores(model: Model, block: Sequence[Asked]) -> dict[str, Measured]:
    """1.0 for what is right or good, 0.0 for what is not; the gate's soft choices are for differences."""
    items = [one for one in block if isinstance(one, SuiteItem)]
    probed = [one for one in block if isinstance(one, Probe)]
    found = skill_scores(model, items, batch=BLOCK, temperature=0.0) if items else {}
    replies = probes.measure(model, probed, batch=BLOCK) if probed else {}
    return {**found, **{probe.id: probes.read(probe, replies.get(probe.id)) for probe in probed}}


def _failed(score: Measured) -> bool:
    """Whether there was no answer: what was answered is asked once, read or not."""
    return score.error is not None and not score.unread


def _plain(score: Measured) -> dict[str, Any]:
    """As JSON, which has no NaN."""
    return asdict(score) | {"value": None if score.error is not None else score.value}


def _restored(row: Mapping[str, Any]) -> Measured:
    return Measured(**{**row, "value": nan if row["value"] is None else float(row["value"])})


def _some(items: tuple[Asked, ...], limit: int | None) -> tuple[Asked, ...]:
    """`limit` of the items in the order of the file, the same ones every time.

    Every suite in it gives one item in turn, and in each suite every template; which one, the hash of the ids says.
    """
    if limit is None or limit >= len(items):
        return items
    by_hash = sorted(items, key=lambda item: sha256_bytes(item.id.encode()))
    by_template = _in_turn(by_hash, lambda item: (item.suite, item.cluster))
    chosen = {item.id for item in _in_turn(by_template, lambda item: item.suite)[:limit]}
    return tuple(item for item in items if item.id in chosen)


def _in_turn(items: Sequence[Asked], group: Callable[[Asked], Any]) -> list[Asked]:
    """Each group's first item, then each group's second, and so on; within a turn in the order given."""
    turns: Counter[Any] = Counter()
    turned = []
    for item in items:
        turned.append((turns[group(item)], item))
        turns[group(item)] += 1
    return [item for _, item in sorted(turned, key=lambda pair: pair[0])]
