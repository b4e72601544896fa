"""Words are counted where there are spaces, and letters where a script has none."""

import pytest

from strop.evaluation import graders, probes, suites
from strop.evaluation.measure import Answer
from strop.trainer import checks
from strop.words import count

ITEM = [("i", "c")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  \n", 0),
        ("don't stop -- ever", 4),
        ("naïve café, s'il vous plaît", 5),
        ("한국어는 띄어쓰기를 합니다", 3),
        ("Привет, мир", 2),
        ("👍 👍🏽👨‍👩‍👧", 2),
        ("def f(x):\n    return x + 1  # 一", 8),
        ("我很好", 3),
        ("我很好，谢谢。", 5),
        ("東京は日本の首都です。", 10),
        ("カタカナとﾊﾝｶｸ", 9),
        ("用iPhone打电话 now", 6),
        ("我有20个苹果", 6),
        ("好👍", 1),
        ("𠮷野家", 3),
        ("ฉันรักเธอ", 7),  # the vowel mark above a letter is none
        ("ສະບາຍດີ", 6),
    ],
)
def test_words_of_many_scripts_and_of_mixed_texts(text: str, words: int) -> None:
    assert count(text) == words


def test_what_has_spaces_is_counted_as_ever_to_the_word() -> None:
    texts = [item.prompt for item in suites.load()]
    texts += [content for probe in probes.shipped() for _, content in probe.messages]
    assert len(texts) > 1500
    assert [count(text) for text in texts] == [len(text.split()) for text in texts]


def grown(ours: str, theirs: str) -> tuple[float, float]:
    [found] = probes.longer_results(ITEM, [Answer(ours, 1, True)], [Answer(theirs, 1, True)], wanted=False)
    return found.candidate, found.incumbent


@pytest.mark.parametrize("short", ["请保持冷静，慢慢呼吸。", "落ち着いて息をしてください。", "โปรดใจเย็นและหายใจช้าๆ"])
def test_an_answer_that_grows_is_seen_where_there_are_no_spaces(short: str) -> None:
    assert grown(short * 2, short) == (0.0, 1.0)
    assert grown(short, short) == (1.0, 1.0)
    assert probes.wants_longer([short * 2], [short])
    assert not probes.wants_longer([short], [short])


def test_a_bound_on_words_holds_where_there_are_no_spaces() -> None:
    bound = {"min_words": 2, "max_words": 4}
    assert [graders.grade({"kind": "length", **bound}, text) for text in ("好", "你好", "你好世界", "你好新世界")] == [
        0,
        1,
        1,
        0,
    ]
    assert checks.length("你好新世界你好世", bound) == 0.5
    rambling = "答案是里斯本" + "，" + "这是一个很美的城市" * 5
    assert graders.grade({"kind": "contains", "value": "lisbon"}, f"lisbon {rambling}") == 0.0
