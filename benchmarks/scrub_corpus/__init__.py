"""Made-up texts for the scrubber's benchmark: things that must go, look-alikes that must stay, ordinary talk.

All of it is random from a seed; no value belongs to anyone. Formats are those that people write, not those of the
scrubber's table: numbers are any that `phonenumbers` and `python-stdnum` call valid, in many spellings. What the
scrubber does not claim to find is measured apart, in `gaps`.
"""

from collections.abc import Callable, Iterator

from .addresses import email, ip
from .banking import bank_account, card
from .credentials import api_key, jwt, password, private_key, secret
from .gaps import GAPS
from .identities import IDENTITIES
from .look_alikes import LOOK_ALIKES
from .phones import phone_abroad, phone_labelled, phone_shaped, phone_trunk, phone_us
from .positive import PLAIN_FRAMES, Chance, Positive
from .talk import ordinary

__all__ = ["gaps", "look_alikes", "ordinary", "positives"]

POSITIVES: tuple[tuple[int, Callable[[Chance], Positive]], ...] = (
    *((900, email), (700, ip), (600, card), (600, bank_account)),
    *((500, phone_abroad), (500, phone_trunk), (300, phone_us), (120, phone_shaped), (400, phone_labelled)),
    *((1200, api_key), (300, jwt), (250, private_key), (700, secret), (700, password)),
    *((120, make) for make in IDENTITIES),
)


def positives(seed: int = 1) -> Iterator[Positive]:
    """Some twelve thousand things that must go."""
    chance = Chance(seed)
    for count, make in POSITIVES:
        for _ in range(count):
            yield make(chance)


def look_alikes(seed: int = 2) -> Iterator[tuple[str, str]]:
    """(family, text) of some nine thousand texts that must stay as they are."""
    chance = Chance(seed)
    for family, make in LOOK_ALIKES.items():
        for _ in range(120):
            yield family, chance.choice(PLAIN_FRAMES).format(make(chance))


def gaps(seed: int = 3) -> Iterator[tuple[str, str, str]]:
    """(family, text, value) of what the scrubber does not claim to find: a hundred each."""
    chance = Chance(seed)
    for family, make in GAPS.items():
        for _ in range(100):
            value = make(chance)
            yield family, chance.choice(PLAIN_FRAMES).format(value), value
