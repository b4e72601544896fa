import pytest

from strop.feedback import FeedbackCollector
from strop.feedback.judged import has_template_tokens
from strop.feedback.pairs import build
from strop.feedback.settings import FeedbackSettings


@pytest.fixture
def feedback(tmp_path):
    with FeedbackCollector(tmp_path / "ledger.db") as collector:
        yield collector


@pytest.fixture
def train(feedback):
    """`build` with everything on the training side."""

    def rows(limit_tokens=None, **options):
        settings = FeedbackSettings(gate_prompts=0, gate_one_in=1 << 62, **options)
        return build(feedback.ledger, settings, limit_tokens=limit_tokens)

    return rows


def said(text):
    return [{"role": "assistant", "content": text}]


def user(text):
    return [{"role": "user", "content": text}]


def test_a_correction_makes_an_sft_row_and_a_pair(feedback, train):
    answer = feedback.record(prompt="p", answer="Certainly! x", system="s")
    correction = feedback.correct(answer, "x\n")
    rows = train()
    prompt = [{"role": "system", "content": "s"}, *user("p")]
    assert rows.sft == ({"prompt": prompt, "completion": said("x"), "signals": [correction]},)
    assert rows.dpo == (
        {"prompt": prompt, "chosen": said("x"), "rejected": said("Certainly! x"), "signals": [correction]},
    )
    assert rows.gate == ()
    assert rows.excluded == {}
    assert rows.counts | {"sft": 1, "dpo": 1, "gate": 0, "thumbs": 0, "corrections": 1} == rows.counts


def test_an_up_rated_answer_makes_an_sft_row_alone(feedback, train):
    ids = [
        feedback.rate(feedback.record(prompt=f"p{number}", answer=f"a{number}"), rating)
        for number, rating in enumerate(["up", 4, 3, 2, "down"])
    ]
    rows = train()
    assert sorted(row["signals"] for row in rows.sft) == sorted([[ids[0]], [ids[1]]])
    assert rows.dpo == ()
    assert rows.counts | {"thumbs": 4, "thumbs_up": 2, "thumbs_down": 2} == rows.counts
    assert rows.excluded == {"thumbs_only": 3}


def test_up_is_set_against_down_on_the_same_prompt(feedback, train):
    good, bad = feedback.record(prompt="What is it?", answer="good"), feedback.record(prompt="what is IT", answer="bad")
    signals = sorted([feedback.rate(good, "up"), feedback.rate(bad, "down")])
    rows = train()
    assert [(row["chosen"], row["rejected"], row["signals"]) for row in rows.dpo] == [
        (said("good"), said("bad"), signals)
    ]
    assert [row["completion"] for row in rows.sft] == [said("good")]
    assert (rows.counts["thumbs"], rows.excluded) == (0, {})


def test_another_system_prompt_is_another_prompt(feedback, train):
    feedback.rate(feedback.record(prompt="p", answer="good", system="one"), "up")
    feedback.rate(feedback.record(prompt="p", answer="bad", system="two"), "down")
    assert train().dpo == ()


def test_the_latest_reaction_wins(feedback, train):
    for number, (first, last) in enumerate((("up", "down"), ("down", "up"))):
        answer = feedback.record(prompt=f"question {number}", answer=f"answer {number}")
        feedback.rate(answer, first)
        feedback.rate(answer, last)
    taken_back = feedback.record(prompt="corrected, then praised", answer="first")
    feedback.correct(taken_back, "second")
    feedback.rate(taken_back, "up")
    rows = train()
    assert sorted(row["completion"][0]["content"] for row in rows.sft) == ["answer 1", "first"]
    assert rows.dpo == ()
    assert rows.excluded == {"contradicted": 3, "thumbs_only": 1}


def test_equal_answers_in_two_places_are_judged_once(feedback, train):
    for session, rating in (("one", "up"), ("two", "down")):
        feedback.rate(feedback.record(prompt="p", answer="a", session=session), rating)
    rows = train()
    assert (rows.sft, rows.dpo, rows.excluded) == ((), (), {"contradicted": 1, "one_class": 1, "thumbs_only": 1})


def test_a_correction_that_was_refused_later_is_not_wanted(feedback, train):
    feedback.correct(feedback.record(prompt="p", answer="a"), "b")
    feedback.correct(feedback.record(prompt="p", answer="b"), "c")
    rows = train()
    assert [row["completion"] for row in rows.sft] == [said("c")]
    assert sorted((row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows.dpo) == [
        ("c", "a"),
        ("c", "b"),
    ]
    assert rows.excluded == {"contradicted": 1}


def test_equal_wishes_are_one_row_that_names_all_signals(feedback, train):
    signals = [feedback.correct(feedback.record(prompt="p", answer=answer), "wanted") for answer in ("a", "b")]
    rows = train()
    assert [row["signals"] for row in rows.sft] == [sorted(signals)]
    assert len(rows.dpo) == 2


def test_an_unchanged_correction_is_praise(feedback, train):
    feedback.correct(feedback.record(prompt="p", answer="a"), " a\n")
    rows = train()
    assert ([row["completion"] for row in rows.sft], rows.dpo) == ([said("a")], ())
    assert rows.excluded == {"unchanged": 1}


def test_only_the_owner_trains(feedback, train):
    answer = feedback.record(prompt="p", answer="a")
    feedback.correct(answer, "poison", user="mallory")
    feedback.rate(answer, "up", trust="anonymous")
    assert (train().counts["sft"], train().excluded) == (0, {"not_owner": 2})
    feedback.correct(answer, "wanted")
    feedback.correct(answer, "more poison", user="mallory")
    assert [row["completion"] for row in train().sft] == [said("wanted")]


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<start_of_turn>",
        "[INST]",
        "[/INST]",
        "</s>",
        "<|x_1|>",
        "<\uff5cend\u2581of\uff5c>",
    ],
)
def test_control_tokens_never_train(feedback, train, token):
    assert has_template_tokens(f"a{token}b")
    feedback.correct(feedback.record(prompt="in the wish", answer="a"), f"b{token}")
    feedback.correct(feedback.record(prompt=f"in the {token} prompt", answer="a"), "b")
    feedback.rate(feedback.record(prompt="in what was praised", answer=f"{token}a"), "up")
    feedback.correct(feedback.record(prompt="in the refused text alone", answer=f"a{token}"), "b")
    rows = train()
    assert [row["prompt"] for row in rows.sft] == [user("in the refused text alone")]
    assert (rows.dpo, rows.excluded) == ((), {"template_tokens": 4})


@pytest.mark.parametrize("text", ["a < b | c > d", "<b>bold</b>", "x || y", "[install]", "if a <| b |> c", "<state>"])
def test_ordinary_text_holds_no_control_tokens(text):
    assert not has_template_tokens(text)


def test_long_rows_are_counted_and_left_out(feedback, train):
    feedback.correct(feedback.record(prompt="long answer", answer="x" * (1 << 20)), "short")
    feedback.rate(feedback.record(prompt="y" * 5000, answer="a"), "up")
    rows = train(limit_chars=4000)
    assert [row["completion"] for row in rows.sft] == [said("short")]
    assert (rows.dpo, rows.excluded) == ((), {"too_long": 2})
    assert train(limit_tokens=1000) == rows
    assert len(train().dpo) == 1


def test_answers_with_tools_are_left_out(feedback, train):
    feedback.rate(feedback.record(prompt="p", answer="a", tool_calls=[{"name": "search"}]), "up")
    assert (train().sft, train().excluded) == ((), {"tool_calls": 1})


def test_ratings_of_one_kind_are_named(feedback, train):
    for number in range(3):
        feedback.rate(feedback.record(prompt=f"{number}", answer="a"), "down")
    assert train().excluded == {"one_class": 3, "thumbs_only": 3}


def test_an_empty_ledger_gives_no_rows(feedback):
    rows = build(feedback.ledger)
    assert (rows.sft, rows.dpo, rows.gate, rows.excluded) == ((), (), (), {})
    assert set(rows.counts.values()) == {0}


def test_the_gate_is_held_out(feedback):
    with feedback.ledger.transaction():
        for number in range(40):
            # Digits spelled far apart, so that no two prompts are nearly the same.
            answer = feedback.record(prompt=f"{number:02d} " * 9 + chr(97 + number) * 20, answer=f"Certainly! {number}")
            feedback.correct(answer, f"Just {number}", source="chat")
    rows = build(feedback.ledger)
    assert rows.counts | {"sft": 20, "dpo": 20, "gate": 20} == rows.counts
    held = {row.messages[-1]["content"] for row in rows.gate}
    assert held.isdisjoint(row["prompt"][-1]["content"] for row in (*rows.sft, *rows.dpo))
    assert len({row.id for row in rows.gate}) == len({row.cluster for row in rows.gate}) == 20
    row = rows.gate[0]
    assert (row.source, row.trust, len(row.signals)) == ("chat", "owner", 1)
    assert row.chosen == "Just " + row.rejected.removeprefix("Certainly! ")


def test_praise_on_the_gates_side_is_counted(feedback):
    for number in range(2):
        feedback.rate(feedback.record(prompt=chr(97 + number) * 9, answer="a"), "up")
    rows = build(feedback.ledger)
    assert (len(rows.sft), rows.gate, rows.excluded) == (1, (), {"gate_side": 1, "one_class": 2})


def test_building_twice_gives_the_same_rows_in_any_order_of_arrival(tmp_path):
    built = []
    for number, step in enumerate((1, -1)):
        with FeedbackCollector(tmp_path / f"{number}.db") as feedback:
            for letter in "abcdefghij"[::step]:
                feedback.correct(feedback.record(prompt=letter * 12, answer="a"), "b", source_key=letter)
            rows = build(feedback.ledger)
            assert build(feedback.ledger) == rows
            built.append([row["prompt"] for row in (*rows.sft, *rows.dpo)] + [row.id for row in rows.gate])
    assert built[0] == built[1]
