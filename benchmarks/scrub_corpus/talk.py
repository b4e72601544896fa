"""Ordinary talk, to measure speed on: most of what is stored holds nothing that must go."""

from .addresses import an_email
from .positive import Chance, some_digits

SENTENCES = (
    "Could you explain how gradient descent works, and why the learning rate matters so much?",
    "A list comprehension builds the list in one expression, which is usually easier to read than a loop.",
    "The meeting was moved to Thursday because two people are still travelling.",
    "First preheat the oven; then mix the flour with the butter until it looks like crumbs.",
    "In short: keep the key idea in the first paragraph, and move the details to the end.",
    "요즘 날씨가 좋아서 주말에 산책을 하려고 하는데 추천할 만한 곳이 있을까요?",
    "회의록을 간단하게 요약해 주시고, 다음 주 일정도 같이 정리해 주세요.",
    "Ich würde den Absatz kürzen und das Beispiel an den Anfang stellen.",
    "That depends on the context: a token is roughly four characters of English text.",
    "The argument is sound, but the second premise needs a source that readers can check.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
)
NUMBERS = (
    "The project started on 2024-03-15 and cost $12,499.00, which is 3.5 % over the budget.",
    "Use `for i in range(10): total += values[i] * 0.25` and print the result with two decimals.",
    "Python 3.11.7 and numpy 2.1.3 work; the wheel is 1,245,184 bytes, built at 10:42:07.",
    "In 1969, about 600 million people watched; by 2020 it was 4.9 billion people online.",
    "| id | score |\n| 10001 | 0.8125 |\n| 10002 | 0.7938 |\nThe commit is 9fceb02d0ae598e95dc970b74767f19372d6186a.",
)


def _talk(chance: Chance, length: int) -> str:
    parts: list[str] = []
    numbers = chance.random() < 0.33
    while sum(map(len, parts)) + len(parts) < length:
        parts.append(chance.choice(NUMBERS if numbers and chance.random() < 0.4 else SENTENCES))
    if chance.random() < 0.025:
        parts.append(
            chance.choice(
                (f"Write to {an_email(chance)}.", f"Call 010-{some_digits(chance, 4)}-{some_digits(chance, 4)}.")
            )
        )
    return " ".join(parts)[: length + 60]


def ordinary(rows: int, seed: int = 4) -> list[tuple[str, str]]:
    """Prompts and answers, some 650 characters a pair, as people and models write them.

    Every third text holds numbers, dates or code, every fortieth an e-mail address or a phone number.
    """
    chance = Chance(seed)
    return [(_talk(chance, 150), _talk(chance, 450)) for _ in range(rows)]
