"""The form of any answer: loops and silence, answers that never end, template tokens in the text, growing length.

degenerate        bad: empty, or stuck in a loop
endless           bad: does not end by itself
template_tokens   bad: holds a chat template's own tokens
longer            bad: more than 1.25 times the other model's words, and at least 2 more
longer_than_base  bad: so against the base's words, and more than 1.1 times the other model's
"""

import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from statistics import median

from strop.errors import EvaluationError
from strop.evaluation import suites
from strop.evaluation.measure import Answer
from strop.evaluation.model import Conversation
from strop.evaluation.probes.items import Probe, asked
from strop.evaluation.results import LONGER, LONGER_THAN_BASE, ItemResult
from strop.words import UNSPACED, count

MAX_TOKENS = 96

# Six in a row of one word, or of one phrase of two or three words, is no natural text.
_RUN = 6
# In scripts without spaces, marks and punctuation left out: least letters, most letters, times in a row. One letter as
# anywhere; two more often than a word, for cheers and laughter go on ("加油" six times); three and more as a word.
_UNITS = ((1, 1, 15), (2, 2, 10), (3, 40, _RUN))
_UNSPACED_LOOPS = [
    re.compile(rf"((?:{UNSPACED}){{{least},{most}}}?)\1{{{times - 1}}}") for least, most, times in _UNITS
]
# Fewer than half of all four-word sequences being distinct, from 20 words on.
_NGRAM, _NGRAM_WORDS, _DISTINCT = 4, 20, 0.5
# Text that zlib shrinks more than fourfold; speech recognition treats 2.4 as a loop (Radford et al. 2022, Whisper), on
# shorter texts than these.
_COMPRESSION, _COMPRESSION_CHARS = 4.0, 240

_LONGER, _LONGER_WORDS, _STEP = 1.25, 2, 1.1

_TEMPLATE = re.compile(
    r"<\|[a-z0-9_]{2,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<(?:bos|eos|pad|unk|end_of_utterance)>|"
    r"<｜[^｜\n]{1,40}｜>|<\[?/?(?:system|user|assistant)_(?:start|end)\]?>|"
    r"(?m:^###? ?(?:Instruction|Response|Human|Assistant):)"
)

PROMPTS: tuple[str, ...] = (
    "Hello! How are you today?",
    "Thanks, that was all I needed.",
    "What should I wear when it rains?",
    "Name one fruit that is yellow.",
    "Why do cats purr?",
    "Tell me a short joke about a teapot.",
    "Is 17 an even number?",
    "What does 'bon appétit' mean?",
    "Finish this sentence: The train was late because",
    "Give me one tip for falling asleep.",
    "Write a two-line poem about snow.",
    "How do I boil an egg?",
    "Which is heavier, a kilo of iron or a kilo of wool?",
    "Rewrite politely: Send me the file now.",
    "What is a good name for a small grey dog?",
    "Translate 'good night' into Spanish.",
    "Why is bread left to rise?",
    "ok",
    "Write one line of Python that prints the word tea.",
    "My sister moved to another city and I miss her.",
    "List two things to pack for the beach.",
    "What happens if I leave milk in the sun?",
    "Explain in one sentence what a library is.",
    "Can you repeat the word 'lamp' once?",
)


def conversations() -> list[Conversation]:
    """The probe prompts, for `measure.answers(model, probes.conversations(), probes.MAX_TOKENS)`."""
    return [[{"role": "user", "content": prompt}] for prompt in PROMPTS]


def degenerate(text: str) -> str | None:
    """Why this text is no answer: empty, or stuck in a loop. None where it is fine."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\w+", plain)
    if not words:
        return "empty"
    loop = re.search(r"(?<!\S)(\S+(?: \S+){0,2})" + rf"(?: \1){{{_RUN - 1},}}(?!\S)", " ".join(plain.split()))
    if loop:
        return f"repeats {loop[1][:40]!r}"
    if re.search(r"([^\W\d])\1{14}", plain):
        return "repeats one letter"
    if unit := _unspaced_loop(plain):
        return f"repeats {unit!r}"
    if len(words) >= _NGRAM_WORDS:
        grams = [tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)]
        if len(set(grams)) < _DISTINCT * len(grams):
            return f"only {len(set(grams))} of {len(grams)} four-word sequences are distinct"
    data = plain.encode("utf-8", "replace")
    if len(plain) >= _COMPRESSION_CHARS and len(data) > _COMPRESSION * len(zlib.compress(data, 9)):
        return "repeats itself"
    return None


def _unspaced_loop(plain: str) -> str | None:
    """What is repeated in a script without spaces: its letters. None where nothing is, or there are too few of them."""
    if plain.isascii():
        return None
    letters = re.sub(r"[\W_]+", "", plain)
    return next((loop[1] for loop in (pattern.search(letters) for pattern in _UNSPACED_LOOPS) if loop), None)


def template_token(text: str) -> str | None:
    """A chat template's token in this text, or a thought or sequence that is opened or closed alone; None without one.

    A whole <think>..</think> is a model's manner and <s>..</s> is HTML: both are let through.
    """
    found = _TEMPLATE.search(text)
    if found:
        return found[0]
    if text.lstrip().startswith("<s>"):
        return "<s>"
    for name in ("think", "s"):
        opened, closed = text.count(f"<{name}>"), text.count(f"</{name}>")
        if closed > opened or (name == "think" and opened > closed):
            return f"</{name}>" if closed > opened else f"<{name}>"
    return None


def never_results(
    items: Sequence[tuple[str, str]],
    candidate: Sequence[Answer],
    incumbent: Sequence[Answer],
    base: Sequence[Answer] | None = None,
    *,
    ends: Sequence[bool] | None = None,
) -> tuple[ItemResult, ...]:
    """For each (item id, cluster) a result in "degenerate", "endless" and "template_tokens", from all models' answers.

    `ends` says of each item whether its answer should have ended; where it is False there is no "endless" result.
    Raises EvaluationError where the lengths differ.
    """
    wanted = [True] * len(items) if ends is None else ends
    sides = [candidate, incumbent, *([] if base is None else [base])]
    _same_length(items, *sides, wanted)
    results = []
    for place, (item, cluster) in enumerate(items):
        given = [side[place] for side in sides]
        error = next((answer.error for answer in given if answer.error is not None), None)
        for suite, good in _FORMS.items():
            if suite != "endless" or wanted[place]:
                ours, theirs, *third = [float(good(answer)) for answer in given]
                scores = ours, theirs, third[0] if third else None
                results.append(ItemResult(suite, item, cluster, "never", *scores, error=error))
    return tuple(results)


def sound(answer: Answer) -> bool:
    """Whether an answer's form is good in every way that needs no other model: it says something, ends, and leaks no
    template's token."""
    return all(good(answer) for good in _FORMS.values())


_FORMS: dict[str, Callable[[Answer], bool]] = {
    "degenerate": lambda answer: degenerate(answer.text) is None,
    "endless": lambda answer: answer.finished,
    "template_tokens": lambda answer: template_token(answer.text) is None,
}


def wants_longer(chosen: Sequence[str], rejected: Sequence[str]) -> bool:
    """Whether the corrections ask for longer answers: median words of `chosen` over 1.25 times those of `rejected`."""
    if not chosen or not rejected:
        return False
    return median(map(count, chosen)) > _LONGER * median(map(count, rejected))


def longer_results(
    items: Sequence[tuple[str, str]], candidate: Sequence[Answer], incumbent: Sequence[Answer], *, wanted: bool
) -> tuple[ItemResult, ...]:
    """A result in "longer" for each (item id, cluster): 0.0 for the model whose answer is clearly the longer one.

    None at all where `wanted`: the corrections ask for longer answers. Raises EvaluationError where the lengths differ.
    """
    _same_length(items, candidate, incumbent)
    if wanted:
        return ()
    results = []
    for (item, cluster), ours, theirs in zip(items, candidate, incumbent, strict=True):
        error = ours.error if ours.error is not None else theirs.error
        scores = float(not _longer(ours.text, theirs.text)), float(not _longer(theirs.text, ours.text))
        results.append(ItemResult(LONGER, item, cluster, "never", *scores, error=error))
    return tuple(results)


def crept_results(
    items: Sequence[tuple[str, str]], candidate: Sequence[Answer], incumbent: Sequence[Answer], base: Sequence[Answer]
) -> tuple[ItemResult, ...]:
    """A result in "longer_than_base" for each (item id, cluster), which sees what many small steps add up to.

    0.0 for a model whose answer is clearly longer than the base's and a tenth longer than the other model's as well:
    what an earlier night gained in length, because it was asked for, is not held against tonight's candidate, nor is
    chance. Steps of a tenth and less are not seen. Raises EvaluationError where the lengths differ.
    """
    _same_length(items, candidate, incumbent, base)
    results = []
    for (item, cluster), ours, theirs, first in zip(items, candidate, incumbent, base, strict=True):
        error = next((answer.error for answer in (ours, theirs, first) if answer.error is not None), None)
        mine = _longer(ours.text, first.text) and _longer(ours.text, theirs.text, _STEP)
        other = _longer(theirs.text, first.text) and _longer(theirs.text, ours.text, _STEP)
        scores = float(not mine), float(not other)
        results.append(ItemResult(LONGER_THAN_BASE, item, cluster, "never", *scores, error=error))
    return tuple(results)


def _longer(text: str, other: str, times: float = _LONGER) -> bool:
    words, others = count(text), count(other)
    return words > times * others and words >= others + _LONGER_WORDS


def _same_length(items: Sequence[object], *others: Sequence[object]) -> None:
    sizes = [len(items), *map(len, others)]
    if len(set(sizes)) > 1:
        raise EvaluationError(
            f"probes of unequal length: {', '.join(map(str, sizes))}", hint="probe both models on the same prompts"
        )


def probe_items() -> list[tuple[str, str]]:
    """(item id, cluster) of the probe prompts, in order."""
    return [(f"probe-{number:02}", f"probe-{number:02}") for number in range(1, len(PROMPTS) + 1)]


def prompts() -> tuple[Probe, ...]:
    """The probe prompts as probes that are judged by their form alone."""
    return tuple(
        Probe("form", item, cluster, asked(prompt), max_tokens=MAX_TOKENS, ends=True)
        for (item, cluster), prompt in zip(probe_items(), PROMPTS, strict=True)
    )


def open_questions() -> tuple[Probe, ...]:
    """The skill suite's open questions ("saying"), asked once more with room for a whole answer.

    With them there are prompts enough to see 20 points more answers that never end or grow.
    """
    items = [item for item in suites.load(per_template=0) if item.suite == "saying"]
    return tuple(
        Probe("form", f"open-{item.id}", item.cluster, asked(item.prompt), max_tokens=MAX_TOKENS, ends=True)
        for item in items
    )
