"""Vetoes that ratings cannot touch: degenerate output and endless output, against the incumbent's.

Both models answer the probe prompts (short, varied, with short natural answers), and the answers to the held-out
prompts are probed as well. Each answer gives one result a veto, kind "never": 1.0 good, 0.0 bad. The gate vetoes where
the candidate is bad clearly more often than the incumbent.
"""

import re
import unicodedata
import zlib
from collections.abc import Sequence

from strop.errors import EvaluationError
from strop.evaluation.measure import Answer
from strop.evaluation.model import Conversation
from strop.evaluation.results import ItemResult

MAX_TOKENS = 96

# Six in a row of one word, or of one phrase of two or three words, is no natural text.
_RUN = 6
# Fewer than half of all four-word sequences being distinct, from 20 words on.
_NGRAM, _NGRAM_WORDS, _DISTINCT = 4, 20, 0.5
# Text that zlib shrinks more than fourfold; speech recognition treats 2.4 as a loop (Radford et al. 2022, Whisper), on
# shorter texts than these.
_COMPRESSION, _COMPRESSION_CHARS = 4.0, 240

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
    if len(words) >= _NGRAM_WORDS:
        grams = [tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)]
        if len(set(grams)) < _DISTINCT * len(grams):
            return f"only {len(set(grams))} of {len(grams)} four-word sequences are distinct"
    data = plain.encode("utf-8", "replace")
    if len(plain) >= _COMPRESSION_CHARS and len(data) > _COMPRESSION * len(zlib.compress(data, 9)):
        return "repeats itself"
    return None


def never_results(
    items: Sequence[tuple[str, str]], candidate: Sequence[Answer], incumbent: Sequence[Answer]
) -> tuple[ItemResult, ...]:
    """Two results for each (item id, cluster): suites "degenerate" and "endless", from both models' answers.

    Raises EvaluationError where the lengths differ.
    """
    if not len(items) == len(candidate) == len(incumbent):
        sizes = f"{len(items)} items, {len(candidate)} and {len(incumbent)} answers"
        raise EvaluationError(f"probes of unequal length: {sizes}", hint="probe both models on the same prompts")
    results = []
    for (item, cluster), ours, theirs in zip(items, candidate, incumbent, strict=True):
        error = ours.error if ours.error is not None else theirs.error
        sides = [(float(degenerate(side.text) is None), float(side.finished)) for side in (ours, theirs)]
        for place, suite in enumerate(("degenerate", "endless")):
            scores = sides[0][place], sides[1][place]
            results.append(ItemResult(suite, item, cluster, "never", *scores, error=error))
    return tuple(results)


def probe_items() -> list[tuple[str, str]]:
    """(item id, cluster) of the probe prompts, in order."""
    return [(f"probe-{number:02}", f"probe-{number:02}") for number in range(1, len(PROMPTS) + 1)]
