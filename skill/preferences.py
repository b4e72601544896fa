"""Two models' answers to the same questions, and a judge between them; answers and verdicts are kept as scores are."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict

from strop.errors import EvaluationError
from strop.evaluate import BLOCK, Where
from strop.evaluation.measure import Answer, answers
from strop.evaluation.model import Model
from strop.evaluation.preference import Pair, Preference, Preferred, judged, together
from strop.evaluation.suites import SuiteItem
from strop.measurement import Source
from strop.subject import Subject

_TOKENS = 128  # of an answer to a choice item, which is asked here without its choices


def preferences(ours: Subject, theirs: Subject, judge: Subject, sources: Sequence[Source], where: Where) -> Preferred:
    """Ask both models every question, and the judge about each pair of answers that differ; equal ones are ties.

    Raises EvaluationError where nothing could be judged, and what opening a model raises.
    """
    items = {
        f"{source.name}/{item.id}": item
        for source in sources
        for item in source.items
        if isinstance(item, SuiteItem)  # what is preferred on a probe is no question of taste
    }
    if not items:
        raise EvaluationError("there is nothing to prefer in these suites", hint="strop evaluate --suite everyday")
    first, second = _answers(ours, items, where), _answers(theirs, items, where)
    pairs = [
        Pair(name, f"{item.suite}/{item.cluster}", item.prompt, first[name].text, second[name].text)
        for name, item in items.items()
    ]
    found: dict[str, Preference] = {}
    for pair in pairs:
        error = first[pair.id].error or second[pair.id].error
        if error is not None:
            found[pair.id] = Preference(error=error)
        elif pair.ours == pair.theirs:
            found[pair.id] = Preference("tie")
    found.update(_verdicts(judge, [pair for pair in pairs if pair.id not in found], where))
    told = together(pairs, found)
    if told.errors == len(pairs):
        why = next(one.error for one in found.values())
        raise EvaluationError(f"nothing could be judged: {why}", hint="check --judge, --judge-name, --judge-token-env")
    return told


def _answers(subject: Subject, items: Mapping[str, SuiteItem], where: Where) -> dict[str, Answer]:
    """One answer an item, by name; block by block, as scores are measured."""
    ordered = sorted(items.items(), key=lambda entry: _tokens(entry[1]))
    found: dict[str, Answer] = {}
    with ExitStack() as stack:
        model: Model | None = None
        for start in range(0, len(ordered), BLOCK):
            block = ordered[start : start + BLOCK]
            kept = where.kept(subject, "answers", [[item.prompt, _tokens(item)] for _, item in block])
            data = where.read(kept)
            if data is None:
                model = model or stack.enter_context(subject.opened())
                given = _given(model, [item for _, item in block], subject.at_once)
                where.write(kept, [answer.error for answer in given], [asdict(answer) for answer in given])
            else:
                given = [Answer(**answer) for answer in data]
            found.update({name: answer for (name, _), answer in zip(block, given, strict=True)})
            where.on_progress(f"answers of {subject.name}", len(found) / len(items), f"{len(found)} of {len(items)}")
    return found


def _given(model: Model, block: Sequence[SuiteItem], at_once: int) -> list[Answer]:
    """Items of one length are asked together; of an endpoint, and what failed with others, each by itself."""
    given: dict[int, Answer] = {}
    if at_once == 1:
        for tokens in sorted({_tokens(item) for item in block}):
            group = [number for number, item in enumerate(block) if _tokens(item) == tokens]
            found = answers(model, [block[number].conversation for number in group], tokens)
            given.update(zip(group, found, strict=True))
    alone = [number for number in range(len(block)) if number not in given or given[number].error is not None]
    with ThreadPoolExecutor(at_once) as pool:
        asked = pool.map(lambda n: answers(model, [block[n].conversation], _tokens(block[n]))[0], alone)
        given.update(zip(alone, asked, strict=True))
    return [given[number] for number in range(len(block))]


def _tokens(item: SuiteItem) -> int:
    return item.max_tokens or _TOKENS


def _verdicts(judge: Subject, pairs: Sequence[Pair], where: Where) -> dict[str, Preference]:
    found: dict[str, Preference] = {}
    size = 2 * judge.at_once
    with ExitStack() as stack:
        model: Model | None = None
        for start in range(0, len(pairs), size):
            block = pairs[start : start + size]
            kept = where.kept(judge, "verdicts", [asdict(pair) for pair in block])
            data = where.read(kept)
            if data is None:
                asked = model = model or stack.enter_context(judge.opened())
                with ThreadPoolExecutor(judge.at_once) as pool:
                    told = list(pool.map(lambda pair, asked=asked: judged(asked, pair), block))
                where.write(kept, [one.error for one in told], [one.choice for one in told])
            else:
                told = [Preference(choice) for choice in data]
            found.update({pair.id: one for pair, one in zip(block, told, strict=True)})
            errors = sum(one.error is not None for one in found.values())
            where.on_progress("judge", len(found) / len(pairs), f"{len(found)} of {len(pairs)} pairs, {errors} errors")
            if errors == len(found) == size:
                why = next(one.error for one in found.values())
                raise EvaluationError(f"the judge failed on the first {size} pairs: {why}", hint="check --judge")
    return found
