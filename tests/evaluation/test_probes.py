"""Vetoes see loops, silence and answers that never end, and leave good answers alone."""

import pytest

from strop.errors import EvaluationError
from strop.evaluation import Policy, decide, probes, suites
from strop.evaluation.measure import Answer, answers
from strop.evaluation.probes import form

GOOD = [
    "Paris.",
    "42",
    "No, no, no: that is not how it works!",
    "Ha ha ha ha, that was a good one.",
    "1. Milk\n2. Eggs\n3. Bread\n4. Butter\n5. Salt\n6. Tea",
    "Bread is left to rise so that the yeast can fill the dough with gas, which makes the crumb light. Without that "
    "time the loaf stays dense, and it takes longer to bake through. A warm place speeds it up; a cold one slows it "
    "down and gives more taste. Bakers often let it rise twice, since the second rise makes the holes even.",
    "안녕하세요, 오늘은 날씨가 좋네요.",
    "def f(x):\n    return x + 1\n\nprint(f(1))",
    "哈哈哈哈哈哈哈哈",
    "谢谢谢谢！",
    "加油加油加油加油加油加油！",
    "ありがとうございます。",
    "もしもし、もしもし？",
    "ははははははははは",
    "すもももももももものうち",
    "生麦生米生卵、生麦生米生卵、生麦生米生卵",
    "人人为我，我为人人。好的，好的，没问题。",
    "5555555555555555555555",
    "ฮ่าฮ่าฮ่าฮ่าฮ่าฮ่า",
    "1、茶\n2、茶\n3、茶\n4、茶\n5、茶\n6、茶\n7、茶",
]
BAD = [
    "",
    " \n ",
    "...!?",
    "the " * 20,
    "I am sorry. " * 12,
    "The capital of France is" + " the capital of France is" * 4,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Yes, you can do that. Yes, you can do that too. " * 8,
    "좋아요" * 120,
    "我喜欢" * 50,
    "我喜欢" * 6,
    "你好" * 12,
    "我很好。" * 12,
    "はい、わかりました。" * 8,
    "ｶﾀｶﾅ" * 12,
    "当然可以，我很乐意帮助你，" * 6,
    "ฉันรักเธอ" * 8,
    "ສະບາຍດີ" * 8,
    "Answer: 我不知道我不知道我不知道我不知道我不知道我不知道 (end)",
]
SPACED = [
    "Ha ha ha ha ha, that was good.",
    "naïve café " * 5,
    "안녕하세요 " * 5,
    "Нет, нет, нет, нет, нет, нет!",
    "xyz" * 20,
    "ababababababababababab",
    "Ελλάδα" * 7,
]


@pytest.mark.parametrize("text", GOOD)
def test_natural_answers_are_fine(text):
    assert probes.degenerate(text) is None


@pytest.mark.parametrize("text", BAD)
def test_loops_and_silence_are_named(text):
    assert probes.degenerate(text)


@pytest.mark.parametrize("text", SPACED)
def test_what_counts_as_a_loop_without_spaces_is_none_in_scripts_that_have_them(text):
    assert probes.degenerate(text) is None


def test_a_loop_without_spaces_is_named_by_its_letters():
    assert probes.degenerate("是！" + "我很好。" * 12) == "repeats '我很好'"


def test_no_shipped_text_has_a_loop_without_spaces():
    texts = [
        text for probe in probes.shipped() for conversation in probe.conversations for _, text in asked(conversation)
    ]
    texts += [text for item in suites.load(per_template=0) for text in (item.prompt, *item.choices)]
    assert len(texts) > 2000
    assert not [text for text in texts if form._unspaced_loop(text)]


def asked(conversation):
    return [(message["role"], message["content"]) for message in conversation]


def test_the_shipped_prompts_are_themselves_no_loops():
    assert not [i.prompt for i in suites.load() if len(i.prompt) < 200 and probes.degenerate(i.prompt)]


def test_there_are_enough_probes_for_a_veto_on_their_own():
    assert len(set(probes.PROMPTS)) == len(probes.PROMPTS) >= Policy().min_never_items
    assert len(probes.conversations()) == len(probes.probe_items())


def probe(model):
    return answers(model, probes.conversations(), probes.MAX_TOKENS)


@pytest.mark.parametrize(
    ("said", "vetoed"), [(("yes yes", True), []), (("the " * 40, True), ["degenerate"]), (("Well", False), ["endless"])]
)
def test_a_broken_model_is_vetoed_against_a_sound_one(scripted, said, vetoed):
    sound = probe(scripted.ScriptedModel(say=lambda prompt: scripted.Said("A short answer.")))
    broken = probe(scripted.ScriptedModel(say=lambda prompt: scripted.Said(said[0], 160, said[1])))
    results = list(probes.never_results(probes.probe_items(), broken, sound))
    verdict = decide([*scripted.wanted(30, 0), *scripted.skill(), *results], Policy())
    assert [reason.split(",")[1].split(":")[0].strip() for reason in verdict.reasons if "Veto" in reason] == vetoed
    assert verdict.outcome == ("keep" if vetoed else "promote")


def test_an_answer_that_failed_is_an_error_and_no_bad_answer():
    found = probes.never_results([("p", "p")], [Answer("fine", 1, True)], [Answer(error="boom")])
    assert [result.error for result in found] == ["boom"] * 3


def test_unequal_lengths_are_refused():
    with pytest.raises(EvaluationError, match="unequal"):
        probes.never_results([("p", "p")], [], [])
