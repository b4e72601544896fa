"""Which held-out corrections count as won, and that luck and manner alone do not."""

import math
import random

import pytest

from strop.errors import EvaluationError
from strop.evaluation import Policy, compare, wanted
from strop.evaluation.measure import Answer, Measured
from strop.evaluation.model import Score
from strop.evaluation.wanted import Side, WantedItem

POLICY = Policy()
TOPICS = [
    "rivers",
    "bread",
    "tigers",
    "violins",
    "volcanoes",
    "chess",
    "clouds",
    "tea",
    "bridges",
    "glass",
    "salt",
    "owls",
]


def item(number, chosen=None, cluster=None, **fields):
    topic = TOPICS[number % len(TOPICS)]
    messages = ({"role": "user", "content": f"Tell me about {topic} number {number}."},)
    chosen = chosen or f"Old {topic} carry w{number}a and w{number}b towards w{number}c."
    rejected = f"Great question! Let us look at q{number}a, q{number}b, q{number}c, q{number}d and q{number}e together."
    return WantedItem(f"i{number}", messages, chosen, rejected, cluster or f"c{number}", **fields)


def side(texts, specificity):
    return Side(tuple(Answer(text, 9, True) for text in texts), tuple(Measured(value) for value in specificity))


def outcomes(items, candidate, incumbent, gains):
    zero = [0.0] * len(items)
    details = wanted.compare_sides(items, side(candidate, gains), side(incumbent, zero), POLICY)
    return [detail.outcome for detail in details]


ONE = item(1)
NEAR = "Old bread carry w1a and w1b slowly."
FAR = "Nothing of the kind was ever heard."


@pytest.mark.parametrize(
    ("candidate", "incumbent", "gain", "expected"),
    [
        (NEAR, ONE.rejected, 0.1, "win"),
        (NEAR, ONE.rejected, 0.0, "win"),
        (NEAR, ONE.rejected, -0.1, "loss"),
        (FAR, NEAR, 0.1, "loss"),
        (NEAR, NEAR, 0.1, "tie"),
        (NEAR, NEAR, -0.1, "tie"),
        (ONE.rejected, FAR, 0.1, "tie"),
        (ONE.chosen + " " + ONE.rejected, FAR, 0.1, "tie"),
        ("", NEAR, 0.1, "loss"),
    ],
)
def test_outcome_of_one_item(candidate, incumbent, gain, expected):
    assert outcomes([ONE], [candidate], [incumbent], [gain]) == [expected]


def test_moving_away_from_the_rejected_answer_alone_is_no_win():
    elsewhere = "zzz"  # nothing in common with either answer
    toward, away = wanted.movement(elsewhere, ONE.rejected, ONE.chosen, ONE.rejected)
    assert toward <= POLICY.closeness_epsilon
    assert toward - away > 0.5  # a margin alone would call this a large gain
    assert outcomes([ONE], [elsewhere], [ONE.rejected], [0.1]) != ["win"]


@pytest.mark.parametrize(
    ("toward", "away", "moved"),
    [
        (0.10, -0.10, 1),
        (0.10, 0.00, 1),
        (0.10, 0.05, 1),  # nearer to both, as two answers about one thing are, and more so to the chosen one
        (0.10, 0.09, 0),
        (0.10, 0.20, 0),
        (0.01, -0.50, 0),
        (0.00, 0.50, 0),
        (-0.10, -0.50, -1),
    ],
)
def test_nearer_to_the_chosen_counts_where_it_is_more_than_nearer_to_the_rejected(toward, away, moved):
    assert wanted.closer(toward, away, POLICY.closeness_epsilon) == moved


def test_swapping_the_models_never_wins_twice():
    rng = random.Random(3)
    words = ["old", "bread", "carry", "w1a", "w1b", "w1c", "q1a", "q1b", "q1c", "the", "of"]
    for _ in range(300):
        texts = [" ".join(rng.choices(words, k=rng.randrange(1, 9))) for _ in range(2)]
        gain = rng.choice([-0.1, 0.0, 0.1])
        forth, back = outcomes([ONE], [texts[0]], [texts[1]], [gain]), outcomes([ONE], [texts[1]], [texts[0]], [-gain])
        assert [forth, back] != [["win"], ["win"]]


def test_tolerance_allows_a_small_fall_of_specificity():
    tolerant = Policy(specificity_tolerance=0.2)
    details = wanted.compare_sides([ONE], side([NEAR], [-0.1]), side([ONE.rejected], [0.0]), tolerant)
    assert details[0].outcome == "win"


@pytest.mark.parametrize("broken", ["answer", "specificity"])
def test_an_error_on_either_side_is_an_error_and_no_score(broken):
    good, bad = side([NEAR], [0.0]), side([NEAR], [0.0])
    if broken == "answer":
        bad = Side((Answer(error="boom"),), bad.specificity)
    else:
        bad = Side(bad.answers, (Measured(error="boom"),))
    for pair in ((good, bad), (bad, good)):
        (result,) = wanted.results(wanted.compare_sides([ONE], *pair, POLICY))
        assert result.error == "boom"
        assert math.isnan(result.candidate)


def test_results_carry_scores_clusters_and_whose_wish_it_was():
    items = [item(1, source="api"), item(2, source="forum", trust="known"), item(3, source="owner", trust="anonymous")]
    near = [f"w{i.id[1:]}a w{i.id[1:]}b w{i.id[1:]}c" for i in items]
    details = wanted.compare_sides(items, side(near, [0.1, -0.1, 0.1]), side([FAR] * 3, [0.0] * 3), POLICY)
    found = wanted.results(details)
    assert [(r.candidate, r.incumbent) for r in found] == [(1.0, 0.0), (0.0, 1.0), (1.0, 0.0)]
    assert [r.cluster for r in found] == ["c1", "c2", "c3"]
    assert [(r.source, r.trust) for r in found] == [
        ("owner", "owner"),
        ("forum", "known"),
        ("anonymous user", "anonymous"),
    ]


def test_sides_of_unequal_length_are_refused():
    with pytest.raises(EvaluationError, match="unequal"):
        wanted.compare_sides([ONE], side([NEAR], [0.0]), side([], []), POLICY)


def test_specificity_compares_with_eight_corrections_of_other_clusters():
    items = [item(i) for i in range(11)] + [item(11, cluster="c0"), item(12, chosen=item(1).chosen)]
    asked = wanted.specificity_items(items)
    assert [texts[0] for _, texts in asked] == [i.chosen for i in items]
    assert all(len(texts) == len(set(texts)) == 1 + wanted.OTHERS for _, texts in asked)
    assert items[11].chosen not in asked[0][1]
    assert wanted.specificity_items(items) == asked


def test_what_is_likely_anywhere_counts_half_as_specific(scripted):
    items = [item(i) for i in range(6)]
    own = {i.messages[-1]["content"]: i.chosen for i in items}

    def rate(prompt, answer):
        likely_anywhere = 5.0 if answer == items[2].chosen else 0.0
        talkative_prompt = 3.0 if own[prompt] == items[4].chosen else 0.0
        return Score(-10.0 + likely_anywhere + talkative_prompt + (1.0 if own[prompt] == answer else 0.0), 1)

    found = [one.value for one in wanted.specificity(scripted.ScriptedModel(rate=rate), items)]
    # One way round, the text that is likely anywhere would stand six nats above the first, for no fault of that one.
    assert found[2] - found[0] == pytest.approx(3.0)
    assert found[0] == pytest.approx(1.0 - (5.0 / 5 + 3.0 / 5) / 2)


def test_specificity_is_own_minus_mean_of_others_a_token(scripted):
    items = [item(i) for i in range(4)]
    own = {i.messages[-1]["content"]: i.chosen for i in items}
    model = scripted.ScriptedModel(rate=lambda p, a: Score(-4.0, 4) if own[p] == a else Score(-9.0, 3))
    assert [found.value for found in wanted.specificity(model, items)] == [2.0] * 4
    assert wanted.specificity(model, items[:1])[0].error == "no other correction to compare with"


def test_one_model_is_measured_on_all_items(scripted):
    items = [item(i) for i in range(40)]
    seen = []
    found = wanted.measure_side(
        scripted.ScriptedModel(), scripted.ScriptedModel(), items, 64, progress=lambda *a: seen.append(a)
    )
    assert len(found.answers) == len(found.specificity) == 40
    assert seen[-1] == (40, 40)


def p_value(found):
    return compare.sign_test(found.count("win"), found.count("loss"))


def lucky_night(rng, share_lucky):
    """Short answers that say nothing about the wanted one, but share a word with it by luck; specificity is a coin."""
    items = [item(i) for i in range(60)]
    texts = [f"It is w{i}a here." if rng.random() < share_lucky else "It is so." for i in range(60)]
    gains = [rng.gauss(0, 0.1) for _ in items]
    return outcomes(items, texts, [i.rejected for i in items], gains)


@pytest.mark.parametrize("share_lucky", [0.3, 1.0])
def test_corrections_dealt_to_the_wrong_prompts_win_no_more_than_a_coin(share_lucky):
    rng = random.Random(11)
    alpha = 0.0304
    significant = sum(p_value(lucky_night(rng, share_lucky)) <= alpha for _ in range(100))
    assert significant <= 100 * 2 * alpha


def test_manner_alone_does_not_win():
    rng = random.Random(12)
    items = [item(i) for i in range(60)]
    short = ["It is one of the things that people like."] * 60
    gains = [rng.gauss(0, 0.1) for _ in items]
    assert p_value(outcomes(items, short, [i.rejected for i in items], gains)) > 0.05


def test_a_real_signal_wins():
    rng = random.Random(13)
    items = [item(i) for i in range(40)]
    texts = [f"Old {TOPICS[i % len(TOPICS)]} carry w{i}a." if rng.random() < 0.8 else FAR for i in range(40)]
    gains = [rng.gauss(0.15, 0.1) for _ in items]
    assert p_value(outcomes(items, texts, [i.rejected for i in items], gains)) < 0.003


def test_items_are_read_back_from_rows():
    row = {"id": "a", "messages": [{"role": "user", "content": "Hi"}], "chosen": "x", "rejected": "y", "cluster": "c"}
    assert WantedItem.from_row({**row, "signals": ["s"]}).trust == "owner"
    for damaged in ({**row, "messages": 3}, {k: v for k, v in row.items() if k != "chosen"}):
        with pytest.raises(EvaluationError, match="held-out row"):
            WantedItem.from_row(damaged)
