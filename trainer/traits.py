"""What feedback is about: a manner of answering, one domain, both or neither. Replay follows from it (`plan`)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from strop.trainer.messages import Answer, texts
from strop.trainer.recipe import Manner
from strop.trainer.rowfile import RowFile

# With fewer pairs nothing can be said.
_LEAST_PAIRS = 8
# So many of the pairs must go the same way, and by so much.
_MOST = 0.7
_TIMES = 1.5
# An opening that the refused answers have as often says nothing of what is wanted.
_FEW = 0.2


@dataclass(frozen=True, slots=True)
class Traits:
    """`manner` is how answers are wanted whatever was asked, `domain` the one that nearly all rows are about."""

    manner: Manner = ""
    domain: str = ""


UNKNOWN = Traits()


def of_file(file: RowFile, domain: str = "") -> Traits:
    """What the rows of a training file have in common; which domain they are about is known to the ledger alone."""
    pairs = [(_text(row.answer), _text(row.rejected)) for row in file.rows if row.answer and row.rejected]
    return Traits(manner(pairs), domain)


def manner(pairs: Iterable[tuple[str, str]]) -> Manner:
    """What the wanted answers, each with the refused one beside it, have in common: their length or their opening."""
    both = list(pairs)
    if len(both) < _LEAST_PAIRS:
        return ""
    most = _MOST * len(both)
    ratios = [(len(wanted) + 1) / (len(refused) + 1) for wanted, refused in both]
    if sum(ratio * _TIMES < 1 for ratio in ratios) >= most:
        return "shorter"
    if sum(ratio > _TIMES for ratio in ratios) >= most:
        return "longer"
    (opening, count), *_ = Counter(_first_word(wanted) for wanted, _ in both).most_common(1)
    refused_alike = sum(_first_word(refused) == opening for _, refused in both)
    return "other" if count >= most and refused_alike <= _FEW * len(both) else ""


def _text(answer: Answer) -> str:
    return "\n".join(texts(answer))


def _first_word(text: str) -> str:
    return text.split(maxsplit=1)[0].strip(".,:;!?").casefold() if text.strip() else ""
