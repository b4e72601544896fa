"""What a made-up text is: a value, what stands around it, and what must come out."""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass

Chance = random.Random
Make = Callable[[Chance], str]

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
BASE64 = ALNUM + "+/"

PLAIN_FRAMES = (
    "{}",
    "It says {} there.",
    "See {}",
    "({})",
    "- {}\n- next",
    "The value is {}, I think.",
    '"{}"',
    "`{}`",
    "What does {} mean?",
    "| {} | ok |",
    "a\n{}\nb",
    "값은 {} 입니다.",
    "Es steht {} da.",
    "left {} right",
    "x: {}",
)
PEOPLE_FRAMES = (
    "{}",
    "my data: {}",
    "Please write it down: {}.",
    "It is {}, thanks!",
    "({})",
    '"{}"',
    "- {}\n",
    "Name;{};Berlin",
    "| Kim | {} |",
    "제 번호는 {}입니다.",
    "{}로 연락 주세요",
    "Voici: {}",
    '{"value": "%s"}',
    "first line\n{}\nlast line",
    "<b>{}</b>",
    "Can you check whether {} is right?",
    "…, {}; and so on",
    "私のは{}です",
)
PHONE_FRAMES = (
    "Phone: {}",
    "Tel. {}",
    "tel: {}",
    "Call me at {}.",
    "call {} after six",
    "전화: {}",
    "연락처 {} 입니다",
    "mobile {}",
    "WhatsApp {}",
    "you can reach me on {}!",
    "my number is {}",
    "Telefon: {}",
    "Handy {}",
    "Fax {}",
    "text me: {}",
    '"phone": "{}"',
    "téléphone : {}",
    "móvil: {}",
    "Phone number - {}",
    "cell: {}",
    "mobile no. {}",
    "電話:{}",
)


@dataclass(frozen=True, slots=True)
class Positive:
    """`value` stands between `before` and `after`, and must become a placeholder of type `kind`."""

    kind: str
    before: str
    value: str
    after: str

    @property
    def text(self) -> str:
        """The text that is scrubbed."""
        return f"{self.before}{self.value}{self.after}"

    @property
    def scrubbed(self) -> str:
        """What must come out."""
        return f"{self.before}<{self.kind}_1>{self.after}"


def framed(kind: str, value: str, frame: str) -> Positive:
    """A Positive with `value` in the place of {} (or of %s, where braces mean themselves)."""
    before, after = frame.split("%s" if "%s" in frame else "{}")
    return Positive(kind, before, value, after)


def take(chance: Chance, alphabet: str, length: int) -> str:
    """Random characters of `alphabet`."""
    return "".join(chance.choices(alphabet, k=length))


def some_digits(chance: Chance, length: int) -> str:
    """Random digits."""
    return take(chance, string.digits, length)


def letters(chance: Chance, count: int) -> str:
    """Random capital letters."""
    return take(chance, string.ascii_uppercase, count)
