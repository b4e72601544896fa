"""Feedback as people leave it, by seed: questions, answers, ratings, corrections, and questions that come again.

Sentences are put together from parts that are drawn independently, so that two questions rarely share more than a few
words, as with people. `near` makes the near-duplicates that they do ask: a typo, another order, the same again in
capitals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from strop.feedback import Interaction, Message, Signal

_OPENERS = (
    *("How do I", "Can you help me", "I need to", "What is the best way to", "Please", "We have to", "Is it safe to"),
    *("My team wants to", "Explain how to", "Why would anyone", "Before I", "Remind me when to", "Should we", "Let's"),
    *("When is it wrong to", "Show me a way to", "Write a plan to", "Draft a note on why we", "Which tool lets me"),
    *("It is my job to", "Nobody told me how to", "Give me three reasons to", "What happens if I", "How often must I"),
)
_VERBS = (
    *("translate", "compress", "sort", "repair", "water", "invoice", "deploy", "summarise", "measure", "paint"),
    *("encrypt", "schedule", "compare", "roast", "migrate", "label", "rename", "photograph", "borrow", "calibrate"),
    *("archive", "sharpen", "negotiate", "validate", "import", "sketch", "rewrite", "insure", "cancel", "restore"),
    *("debug", "harvest", "profile", "proofread", "stretch", "benchmark", "merge", "tile", "upholster", "forward"),
    *("refactor", "dissolve", "reserve", "visualise", "transpose", "weld", "whitelist", "pickle", "mentor", "audit"),
)
_QUALITIES = (
    *("quarterly", "rusty", "bilingual", "asynchronous", "overdue", "hand-made", "leaking", "minimal", "public", "old"),
    *("second-hand", "recursive", "frozen", "draft", "broken", "seasonal", "encrypted", "vegan", "wooden", "noisy"),
    *("shared", "historical", "tiny", "bulky", "transparent", "nightly", "handwritten", "half-finished", "spicy"),
    *(
        "incremental",
        "fragile",
        "unsigned",
        "sloping",
        "foreign",
        "duplicate",
        "urgent",
        "magnetic",
        "optional",
        "thin",
    ),
)
_THINGS = (
    *("tax report", "bicycle chain", "cover letter", "database index", "balcony plant", "wedding speech", "log file"),
    *("sourdough starter", "rental contract", "regression test", "kitchen drawer", "photo album", "sales forecast"),
    *("thesis chapter", "web hook", "guitar amplifier", "insurance claim", "knitting pattern", "parser", "tent"),
    *("conference poster", "coffee grinder", "train ticket", "password vault", "telescope", "playlist", "spreadsheet"),
    *("meeting agenda", "water heater", "poem", "shell script", "garden fence", "birth certificate", "rate limiter"),
    *("bookshelf", "recipe", "calendar feed", "dishwasher", "sonnet", "unit price", "hiking map", "message queue"),
    *("violin bow", "press release", "sewing machine", "backup disk", "user story", "compost heap", "feature flag"),
    *("lease agreement", "camera lens", "crossword", "thermostat", "mailing list", "chess opening", "roof gutter"),
)
_PLACES = (
    *("in the cellar", "for a customer in Lyon", "on a Raspberry Pi", "before the audit", "without admin rights"),
    *("during the holidays", "with a limited budget", "on Windows", "in under an hour", "for my grandmother"),
    *("across two time zones", "at high altitude", "in a monorepo", "after the merger", "while I am travelling"),
    *("by the end of the month", "for a class of thirty", "inside a container", "next to a busy road", "in Korean"),
    *("without losing the notes", "in the rain", "under the new policy", "from the command line", "with one hand"),
    *("for the third time this year", "on an old laptop", "between two deadlines", "at the lowest cost", "in Postgres"),
)
_CLOSERS = (
    *("Keep it short.", "An example would help.", "Nothing fancy, please.", "I tried it twice and it failed."),
    *("The deadline is Friday.", "Assume that I know the basics.", "Cite your sources.", "The manual says nothing."),
    *("My colleague disagrees.", "Use a table.", "It used to work last week.", "Answer as if I were twelve."),
    *("I would rather not pay for it.", "No code, only the idea.", "Steps, please.", "Be honest if you do not know."),
)
_OTHERS = (
    *(
        "내일까지 이 문서를 정리해야 하는데 어떻게 시작하면 좋을까요?",
        "냉장고에 남은 재료로 만들 수 있는 요리를 알려 주세요.",
    ),
    *("여행 일정을 사흘로 줄이고 싶어요.", "Wie lange darf ich das auftauen lassen?", "Bitte den Absatz kürzen."),
    *(
        "Pourquoi ce moteur fait-il ce bruit ?",
        "¿Cómo se guarda esto sin conexión?",
        "この文章を丁寧に直してください。",
    ),
)
_STYLES = ("short", "short", "short", "paragraph", "paragraph", "log", "essay")


def _chance(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 (the same every time, no secret)


def question(chance: Random) -> str:
    """Something that a person may ask: one sentence to some two hundred words."""
    style = chance.choice(_STYLES)
    if style == "short":
        return _sentence(chance)
    if style == "log":
        lines = "\n".join(_log_line(chance) for _ in range(chance.randrange(2, 7)))
        return f"{_sentence(chance)}\n{lines}"
    count = chance.randrange(2, 5) if style == "paragraph" else chance.randrange(5, 14)
    return " ".join(_sentence(chance) for _ in range(count))


def words(chance: Random, count: int) -> str:
    """A question of exactly `count` words."""
    found: list[str] = []
    while len(found) < count:
        found += _sentence(chance).split()
    return " ".join(found[:count])


def answer(chance: Random) -> str:
    """Something that a model may answer: some 300 characters."""
    return " ".join(_sentence(chance).replace("?", ".") for _ in range(chance.randrange(2, 6)))


def _sentence(chance: Random) -> str:
    if chance.random() < 0.08:
        return f"{chance.choice(_OTHERS)} ({_name(chance)})"
    parts = [chance.choice(_OPENERS), chance.choice(_VERBS), chance.choice(("the", "a", "my", "our", "this"))]
    if chance.random() < 0.7:
        parts.append(chance.choice(_QUALITIES))
    parts.append(chance.choice(_THINGS))
    if chance.random() < 0.5:
        parts += [chance.choice(("and the", "with a", "or its", "next to the")), chance.choice(_THINGS)]
    if chance.random() < 0.4:
        parts.append(f"called {_name(chance)}")
    parts += chance.sample(_PLACES, chance.randrange(0, 3))
    end = chance.choice(("?", "?", ".", "", "!"))
    closer = f" {chance.choice(_CLOSERS)}" if chance.random() < 0.3 else ""
    return " ".join(parts) + end + closer


def _name(chance: Random) -> str:
    """A made-up name, file or number, as they stand in most real questions."""
    sounds = "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(chance.randrange(2, 5)))
    return chance.choice((sounds.title(), f"{sounds}.csv", f"{sounds}-{chance.randrange(2, 9000)}", sounds))


def _log_line(chance: Random) -> str:
    time = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}.{chance.randrange(1000):03}"
    level, took = chance.choice(("WARN", "ERROR", "INFO")), chance.random()
    return f"{time} {level} {_name(chance)}: {_name(chance)} took {took:.4f} s"


# Near-duplicates


def _edited(text: str, chance: Random) -> str:
    """A typo: one character in eighty is another one."""
    chars = list(text)
    for _ in range(max(1, len(chars) // 80)):
        chars[chance.randrange(len(chars))] = chance.choice("abcdefghijklmnop")
    return "".join(chars)


def _swapped(text: str, chance: Random) -> str:
    """Two neighbouring words in the other order."""
    found = text.split(" ")
    place = chance.randrange(max(1, len(found) - 1))
    found[place : place + 2] = reversed(found[place : place + 2])
    return " ".join(found)


def _added(text: str, chance: Random) -> str:
    return f"{text} {chance.choice(('please', 'thanks', 'ok', 'now'))}"


def _cut(text: str, chance: Random) -> str:
    return text[: len(text) - max(1, len(text) // 30)]


KINDS: dict[str, Callable[[str, Random], str]] = {
    "edited": _edited,
    "swapped": _swapped,
    "added": _added,
    "cut": _cut,
    "case": lambda text, chance: text.upper() if chance.random() < 0.5 else text.title(),
    "punctuation": lambda text, chance: text.rstrip("?.! ") + chance.choice(("", "?", "...", "!!", " ?")),
    "spacing": lambda text, chance: text.replace(" ", "  ", 3) + "\n",
    "width": lambda text, chance: text.translate({code: code + 0xFEE0 for code in range(0x30, 0x3A)}),
    "repeated": lambda text, chance: text,
}


def near(text: str, chance: Random) -> tuple[str, str]:
    """(how it was changed, the question that was asked again)."""
    kind = chance.choice(tuple(KINDS))
    return kind, KINDS[kind](text, chance)


# Whole records


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `turns` are the user's, the last one being answered; `of` is the number of the question it repeats,
    `kind` how.
    """

    number: int
    turns: tuple[str, ...]
    session: str
    kind: str = ""
    of: int = -1


def questions(count: int, seed: int, near_share: float = 0.1) -> Iterator[Asked]:
    """`count` questions; `near_share` of them are near-duplicates of earlier ones, often of one another.

    A tenth are the second turn of a conversation, and a tenth have 75 to 130 words, where similarity goes over from
    characters to words.
    """
    chance = _chance(seed)
    recent: list[Asked] = []
    for number in range(count):
        if recent and chance.random() < near_share:
            of = chance.choice(recent)
            kind, text = near(of.turns[-1], chance)
            asked = Asked(number, (*of.turns[:-1], text), "", kind, of.number)
        else:
            first = words(chance, chance.randrange(75, 131)) if chance.random() < 0.1 else question(chance)
            followed = chance.random() < 0.1
            turns = (first, f"{_name(chance)}: {_sentence(chance)}") if followed else (first,)
            asked = Asked(number, turns, f"s{number}" if followed else "")
        recent = [*recent[-199:], asked]
        yield asked


def interactions(count: int, seed: int, near_share: float = 0.1) -> Iterator[Interaction]:
    """`questions` with an answer each, a minute apart."""
    chance = _chance(seed + 1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for asked in questions(count, seed, near_share):
        turns = [Message("system", "You are a helpful assistant.")] if asked.number % 3 == 0 else []
        for earlier in asked.turns[:-1]:
            turns += [Message("user", earlier), Message("assistant", answer(chance))]
        turns.append(Message("user", asked.turns[-1]))
        yield Interaction(
            tuple(turns),
            answer(chance),
            model="smollm2",
            session=asked.session,
            turn=len(asked.turns) - 1,
            time=start + timedelta(minutes=asked.number),
        )


def reactions(interaction: Interaction, interaction_id: str, number: int, seed: int) -> list[Signal]:
    """Every answer gets one: four in ten a thumb up, three a thumb down, three a correction (a third of those a thumb
    as well).
    """
    chance = _chance(f"{seed}:{number}")
    kind = chance.choice("uuuudddccc")
    when = interaction.time + timedelta(seconds=20)
    found = []
    if kind in "ud" or chance.random() < 0.33:
        found.append(Signal(interaction_id, "thumb", 1.0 if kind == "u" else -1.0, source_key=f"{number}", time=when))
    if kind == "c":
        text, key = answer(chance), f"{number}#correction"
        found.append(Signal(interaction_id, "correction", -1.0, text, source_key=key, time=when))
    return found


def lines(count: int, seed: int, near_share: float = 0.1) -> Iterator[dict[str, Any]]:
    """The same as rows of `strop feedback import`, in the short form that people write."""
    chance = _chance(seed + 2)
    for number, one in enumerate(interactions(count, seed, near_share)):
        row: dict[str, Any] = {"answer": one.answer, "time": one.time.isoformat(), "source_key": f"row {number}"}
        if len(one.messages) == 1:
            row["prompt"] = one.prompt
        else:
            row["messages"] = [message.as_dict() for message in one.messages]
        kind = chance.choice("uuuudddccc")
        row |= {"rating": "up" if kind == "u" else "down"} | ({"correction": answer(chance)} if kind == "c" else {})
        yield row
