"""What a user's next message says about the answer before it: asked again, a complaint, praise; or, mostly, nothing.

    implied("What is the capital of Australia?", "It depends on what one calls a capital ...", "No. Way too long!")
    -> (Implied(kind='complaint', confidence=0.8, reason='begins with "way too long"'),)

Nothing here is a rating: what a message implies is worth less than what somebody rates (`WEIGHTS`), and silence is
unknown, neither good nor bad. A wrong reading costs more than a missed one, so whatever may be a new topic is one.

Covered: a prompt sent again with at most typos, manners and additions changed; set phrases in English and Korean, a
few in German, Spanish, French, Japanese and Chinese, at the beginning of a message, and some anywhere in a short one
(200 characters). Code, quotations and quoted lines are not read; of a longer message only the first sentence is. A "no"
or "great" that may answer a question of the model's says nothing.
Not covered: sarcasm; complaints without a set phrase; the same question in quite other words; a prompt of more than
10,000 characters unless it is repeated to the letter; a new topic that happens to begin as a verdict does ("It is too
long. How do I cut a table?").
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from strop.feedback.cues import Cue, ImpliedKind, patterns
from strop.feedback.similar import SIMILAR, normalised, shingles, similarity


@dataclass(frozen=True, slots=True)
class Implied:
    """One thing that a message says about the answer before it. `confidence` in (0, 1] is how sure the reading is."""

    kind: ImpliedKind
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Weight:
    """What a kind is worth where an explicit rating is worth -1 or 1; times the confidence it is a Signal's value."""

    value: float
    reason: str


WEIGHTS: Mapping[ImpliedKind, Weight] = MappingProxyType(
    {
        "reask": Weight(-0.3, "people ask again for many reasons: a slip, another try, an answer lost from sight"),
        "complaint": Weight(-0.5, "something was wrong, but perhaps only the length or how the question was put"),
        "praise": Weight(0.4, "thanks are partly manners, and those who thank have often not checked yet"),
    }
)


_GAP = re.compile(r"[\s,.!;:~…。、()^-]+|[–—]+")
_FILLER = re.compile(
    r"(?:hm+|um+|uh+|er+m?|oh+|ah+|aha|wow|ok(?:ay)?|alright|well|so|and|but|yes|yeah|yep|yup|sure|sorry|actually|wait|"
    r"please|hey|hi|hello|lol|haha\w*|got it|i see|understood|right|omg|really|very|totally|absolutely|completely|just|"
    r"(?:thanks|thank you|thx)(?=,? but\b)|super|quite|pretty|still|ugh+|argh?|unfortunately|however|though|yay|then|"
    r"음+|아+|어+|오+|와+|우와|헐|흠+|앗|네|넵|예|응|그래|아하|그렇(?:구나|군요?|네요?)|알겠(?:어요?|습니다)|오케이|ㅇㅇ|"
    r"근데|그런데|하지만|저기요?|잠깐만?|잠시만요?|죄송(?:한데요?|하지만)|미안(?:한데|하지만)?|정말로?|진짜로?|너무|아주|매우|"
    r"완전|엄청|역시|덕분에|일단|아니(?:야|요|에요|예요)?|아뇨|확실히|꽤|참|ja|also|hm|sí|si|bueno|pero|oui|mais|はい|うん|いいえ|いや|嗯|好的?|不)(?!\w)"
)
_BUT = re.compile(
    r"(?<!\w)(?:but|however|though|although|except|하지만|그런데|근데|그렇지만|aber|pero|mais|でも|但是?)(?!\w)"
)
_YES_NO = re.compile(r"(?:yes|yeah|yep|sure|no|nope|네|넵|예|응|그래|아니\w*|아뇨|ja|nein|sí|si|oui|non)(?!\w)")
# A message about words ("how do I say ...") holds cues that are not the user's own.
_ABOUT_WORDS = re.compile(
    r"\b(?:say|saying|told|write|translate|means?|word|phrase|sentence)\b|번역|라는|영어로|무슨 뜻"
)

_HEAD_CHARS = 4_000
_SHORT_CHARS = 200
_LONGEST_CHAIN = 16
_CODE = re.compile(r"```.*?(?:```|\Z)|^[ \t]*>[^\n]*$", re.DOTALL | re.MULTILINE)
_SAID = re.compile(
    r"`[^`\n]*`|\"[^\"\n]*\"|[“„][^”“\n]*[”“]|[「『«][^」』»\n]*[」』»]|(?<!\w)['‘][^\n]{1,200}?['’](?!\w)"
)
# Emoji but the four that are cues, and the Korean laughs and tears.
_FACES = re.compile(
    r"[\u2600-\u27bf\ufe0f\u200d\U0001f000-\U0001f44c\U0001f450-\U0001f4ae\U0001f4b0-\U0001faffㅋㅎㅠㅜ]+"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?!\d)|(?<=。)")
_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, ord("’"): ord("'")}


def implied(prompt: str, answer: str, message: str) -> tuple[Implied, ...]:
    """What `message` says about `answer`, which replied to `prompt`: at most one of each kind, () where nothing.

    Praise and complaint never come both: praise before a "but" does not count; else the one that is surer by 0.2 does,
    and neither where none is.
    """
    text, short = _own_words(message)
    hits, end = _hits(text, short)
    asked = "?" in answer[-200:] or "？" in answer[-200:]
    found = [_implied_by(cue, hit, more=_has_words(text[end:])) for cue, hit in hits if _counts(cue, hit, asked)]
    found += _repeated(prompt, message)
    if hits and short:
        found += _repeated(_own_words(prompt)[0], text[end:])
    best: dict[ImpliedKind, Implied] = {}
    for one in sorted(found, key=lambda one: one.confidence):
        best[one.kind] = one
    if "praise" in best and "complaint" in best:
        lead = round(best["praise"].confidence - best["complaint"].confidence, 2)
        if lead < 0.2:
            del best["praise"]
        if lead > -0.2:
            del best["complaint"]
    return tuple(best[kind] for kind in WEIGHTS if kind in best)


def _own_words(message: str) -> tuple[str, bool]:
    """(case-folded text without code and quotations, whether it is short); of a long message the first sentence."""
    stripped = message.strip()
    text = _SAID.sub("□", _CODE.sub("\n", stripped[:_HEAD_CHARS])).translate(_WIDTH)
    text = re.sub(r"\s*\n\s*", ". ", _FACES.sub("!", unicodedata.normalize("NFC", text).strip())).casefold()
    text = re.sub(r"\s+", " ", text)
    short = len(text) <= _SHORT_CHARS and len(stripped) <= _HEAD_CHARS
    return (text, True) if short else (_SENTENCE.split(text, maxsplit=1)[0], False)


def _hits(text: str, short: bool) -> tuple[list[tuple[Cue, re.Match[str]]], int]:
    """(the cues in `text`, where the chain of cues and fillers at its beginning ends)."""
    hits: list[tuple[Cue, re.Match[str]]] = []
    end = 0
    for _ in range(_LONGEST_CHAIN):
        if gap := _GAP.match(text, end):
            end = gap.end()
        here = [(cue, hit) for cue, pattern in patterns(anywhere=False) if (hit := pattern.match(text, end))]
        if here:
            hits += here
            end = max(hit.end() for _, hit in here)
        elif filler := _FILLER.match(text, end):
            end = filler.end()
        else:
            break
    if not short:
        return [(cue, hit) for cue, hit in hits if cue.where != "whole"], end
    if not _ABOUT_WORDS.search(text):
        hits += [(cue, hit) for cue, pattern in patterns(anywhere=True) if (hit := pattern.search(text))]
    return hits, end


def _counts(cue: Cue, hit: re.Match[str], asked: bool) -> bool:
    """Whether a cue means the answer. `asked`: the answer ended with a question, which "no" and "great" may answer."""
    if asked and (cue.answers or (cue.kind == "praise" and _YES_NO.match(hit.string))):
        return False
    return cue.kind != "praise" or not _BUT.search(hit.string, hit.end(), hit.end() + 100)


def _implied_by(cue: Cue, hit: re.Match[str], *, more: bool) -> Implied:
    # Praise that opens a further request is partly manners.
    confidence = round(cue.confidence * 0.7, 2) if cue.kind == "praise" and more else cue.confidence
    verb = {"whole": "is only", "anywhere": "says"}.get(cue.where, "begins with")
    return Implied(cue.kind, confidence, f'{verb} "{hit[0][:40].strip()}"')


def _has_words(text: str) -> bool:
    return re.search(r"\w", text) is not None


# Prompts whose repetition asks for more of the same, and words that do when they are added.
_MORE = re.compile(
    r"(?:continue|go on|keep going|next|more|yes|계속|다음|더)\b|.*\b(?:jokes?|riddles?|random\w*|roll|flip)\b|"
    r".*(?:농담|수수께끼|아무)"
)
_ANOTHER = re.compile(r"another|more|other|else|next|different|also|too|instead|new|더|다른|또|하나")
# Words that do not make another question.
_MANNERS = re.compile(
    r"an?|the|can|could|will|would|you|please|pls|kindly|me|is|s|are|and|so|now|just|again|what|bitte|por|favor|"
    r"좀|제발|그럼|다시|줘|주세요"
)
_SYMBOL = re.compile(r"[^\w\s.,:;?!'\"…-]")
_WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+")
_ENDING = re.compile(
    r"(?<=[가-힣])(?:은|는|이|가|을|를|의|에|에서|로|으로|와|과|도|야|이야|이죠|예요|에요|이에요|인가요?|입니까|인지|지|죠|나요?|"
    r"줘요?|주세요|줄래요?|봐|라|요|어|아)$"
)
_LONGEST_CHARS = 10_000
ROUGHLY_SIMILAR = 0.6


def _repeated(prompt: str, message: str) -> list[Implied]:
    """The prompt again, as a list of one, else []: shingles that overlap by at least 0.6 and no word exchanged."""
    if max(len(prompt), len(message)) > _LONGEST_CHARS:
        return [Implied("reask", 0.9, "100% of the prompt again")] if prompt.strip() == message.strip() else []
    one, other = normalised(prompt), normalised(message).lstrip(",:;- ")
    words, other_words = _WORD.findall(one), _WORD.findall(other)
    if len(one) < 8 or len(words) < 2 or _MORE.match(one) or min(len(one), len(other)) * 2 < max(len(one), len(other)):
        return []
    alike = similarity(shingles(one), shingles(other))
    if alike < ROUGHLY_SIMILAR or _another_question(words, other_words):
        return []
    # A formula or code with another operator.
    if _SYMBOL.findall(one) != _SYMBOL.findall(other):
        return []
    return [Implied("reask", 0.9 if alike >= SIMILAR else 0.5, f"{alike:.0%} of the prompt again")]


def _another_question(before: list[str], after: list[str]) -> bool:
    """Whether a word was exchanged ("Italy" for "France") or moved, a number differs or one more is asked for."""
    gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
    if any(_ANOTHER.fullmatch(word) for word in new) or any(word.isdecimal() for word in gone | new):
        return True
    kept = [[word for word in words if word not in gone and word not in new] for words in (before, after)]
    old_words = [word for word in gone.elements() if not _MANNERS.fullmatch(word)]
    new_words = [word for word in new.elements() if not _MANNERS.fullmatch(word)]
    if kept[0] != kept[1] or len(old_words) > 20:
        return True
    left = [word for word in old_words if not any(_same_word(word, other) for other in new_words)]
    right = [word for word in new_words if not any(_same_word(word, other) for other in old_words)]
    return bool(left and right)


def _same_word(one: str, other: str) -> bool:
    """Whether two words differ by a Korean ending only, or by one typo where both are long and hold no digit."""
    if {one, _ENDING.sub("", one)} & {other, _ENDING.sub("", other)}:
        return True
    if min(len(one), len(other)) < 7 or not (one + other).isalpha():
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])
