"""What the figures on answers mean: divergence against a sum by hand, agreement, effect, and how many are asked for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from strop.deploy.certificate import answers
from strop.deploy.certificate.reference import Opinion, Reference
from strop.deploy.certify import Served
from strop.errors import TargetError
from strop.trainer.models import BaseModel

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def likely(*shares: float) -> dict[int, float]:
    """One place: token 0, 1, 2 ... with these probabilities."""
    return {token: math.log(share) for token, share in enumerate(shares)}


def figures(places: int, ours: dict[int, float], theirs: dict[int, float]) -> Any:
    return answers.quantised([[ours] * places], [[theirs] * places])


def test_the_divergence_is_that_of_the_formula_with_one_bin_for_the_rest() -> None:
    ours, theirs = (0.5, 0.3), (0.4, 0.35)
    expected = sum(p * math.log(p / q) for p, q in zip((*ours, 0.2), (*theirs, 0.25), strict=True))
    check = figures(400, likely(*ours), likely(*theirs))
    assert f"{expected:.4f} nats a token over 400 positions" in check.figure
    assert check.ok == (expected <= answers.MAX_DIVERGENCE)


def test_a_divergence_over_the_bound_fails() -> None:
    near, far = figures(400, likely(0.9), likely(0.8)), figures(400, likely(0.9), likely(0.5))
    assert (near.ok, far.ok) == (True, False)
    assert "0.3681 nats a token" in far.figure
    # Where one place of 400 is far off and the others are equal, the mean is what counts.
    mixed = [likely(0.9)] * 399 + [likely(0.5)]
    assert answers.quantised([[likely(0.9)] * 400], [mixed]).ok


def test_equal_likelihoods_diverge_by_nothing_and_a_name_that_is_missing_counts_as_the_last() -> None:
    assert "0.0000 nats" in figures(400, likely(0.7, 0.2), likely(0.7, 0.2)).figure
    only = {0: math.log(0.7), 2: math.log(0.1)}
    lower = 0.7 * 0 + 0.2 * math.log(0.2 / 0.1) + 0.1 * math.log(0.1 / 0.2)
    assert f"{lower:.4f} nats" in figures(400, likely(0.7, 0.2), only).figure


def test_too_few_places_never_pass_however_near() -> None:
    assert figures(400, likely(0.9), likely(0.9)).ok
    check = figures(399, likely(0.9), likely(0.9))
    assert not check.ok
    assert "fewer than the 400 positions needed" in check.figure
    assert not answers.quantised([], []).ok


def test_one_token_short_of_the_agreement_fails() -> None:
    def agreed(same: int) -> bool:
        return answers.agreement([([1], [7] * 1000)], [Opinion([7] * same + [8] * (1000 - same), [])]).ok

    assert (agreed(990), agreed(989)) == (True, False)


def effects(bare: Sequence[float], adapted: float = 0.9) -> Any:
    """Answers of one place each: the build says 0.9, the adapter `adapted`, the bare base these."""
    with_it = [Opinion([0], [[math.log(adapted)]])] * len(bare)
    without = [Opinion([0], [[math.log(share)]]) for share in bare]
    return answers.effect([[likely(0.9)]] * len(bare), with_it, without)


def test_an_effect_is_more_than_its_noise() -> None:
    assert effects([0.5, 0.6, 0.4]).ok
    assert not effects([0.9, 0.9, 0.9]).ok  # nothing
    assert not effects([0.5, 0.9, 0.9], adapted=0.88).ok  # in one answer of three
    assert not effects([0.9, 0.9, 0.9], adapted=0.5).ok  # nearer to the base
    assert not effects([0.5]).ok
    assert "1 answers are too few" in effects([0.5]).figure


def test_rounds_end_as_soon_as_there_are_positions_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_PROMPTS_A_ROUND", 32)
    asked: list[int] = []

    class Talkative:
        def continuations(self, prompts: Sequence[Any], tokens: int) -> list[list[int]]:
            asked.append(len(prompts))
            return [[7] * 20 for _ in prompts]

    server: Any = Talkative()
    told: list[str] = []
    pairs = answers.continued(server, [[1]] * 200, 1000, told.append)
    assert asked == [32, 32]
    assert told == ["640 of 1,000 tokens answered in F16", "1,280 of 1,000 tokens answered in F16"]
    assert sum(len(continued) for _, continued in pairs) == 1280
    answers.continued(server, [[1]] * 200, 640)
    answers.continued(server, [[1]] * 40, 1000)
    assert asked[2:] == [32, 32, 8]
    assert len(answers.measured(pairs)) == 20


# Both sides of a comparison are read right


def test_the_server_and_transformers_read_the_same_likelihoods(exact: Served, tiny: BaseModel, trained: Path) -> None:
    prompts = [exact.server.tokenize(text) for text in ("The quick brown", "Grüße aus", "def add(first, second)")]
    pairs = [(prompt, exact.server.tokenize(text)) for prompt, text in zip(prompts, ("fox", " Köln", ":"), strict=True)]
    places = exact.server.likeliest(pairs, 5)
    assert [len(one) for one in places] == [len(continued) for _, continued in pairs]
    wanted = [[list(place) for place in one] for one in places]
    for one, opinion in zip(places, Reference(tiny, trained).read(pairs, wanted), strict=True):
        for place, choice, logprobs in zip(one, opinion.choices, opinion.logprobs, strict=True):
            assert list(place.values()) == pytest.approx(logprobs, abs=0.02)
            assert choice == max(place, key=lambda token: place[token])


def test_rows_of_other_lengths_change_no_opinion(tiny: BaseModel, trained: Path) -> None:
    reference = Reference(tiny, trained)
    pairs = [([5, 6, 7], [8, 9]), ([5] * 30, [6] * 12), ([9], [8]), ([1, 2], [])]
    wanted = [[[0, 1], [2]], [[3]] * 12]
    together = reference.read(pairs, wanted)
    for number, pair in enumerate(pairs):
        (alone,) = reference.read([pair], wanted[number : number + 1])
        assert alone.choices == together[number].choices
        for ours, theirs in zip(alone.logprobs, together[number].logprobs, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4)
    assert [len(one.choices) for one in together] == [2, 12, 1, 0]
    bare = reference.read(pairs, wanted, bare=True)
    assert bare[0].logprobs != together[0].logprobs
    plain = Reference(tiny, None).read(pairs, wanted)
    assert plain[0].logprobs[0] == pytest.approx(bare[0].logprobs[0])


def test_another_servers_answer_is_read_place_by_place(exact: Served) -> None:
    prompt = exact.server.tokenize("The quick brown")
    own = exact.server.continuations([prompt], 6)[0]
    other = [*own[:2], own[2] + 1, *exact.server.tokenize("日", special=True), own[0]]
    (places,) = exact.server.likeliest([(prompt, other)], 3)
    assert len(places) == len(other)
    for number, place in enumerate(places):
        assert exact.server.logprob([*prompt, *other[:number]], max(place, key=lambda token: place[token])) == (
            pytest.approx(max(place.values()), abs=0.02)
        )


@pytest.mark.parametrize("logprobs", [[{"id": 1, "logprob": None}], [{"id": 1, "logprob": math.nan}], []])
def test_likelihoods_that_are_no_numbers_are_an_error(
    exact: Served, monkeypatch: pytest.MonkeyPatch, logprobs: list[Any]
) -> None:
    said = {"tokens": [2], "completion_probabilities": [{"id": 2, "bytes": [65], "top_logprobs": logprobs}]}
    monkeypatch.setattr(exact.server, "_post", lambda *args: said)
    with pytest.raises(TargetError, match="no likelihoods, or some that are no numbers"):
        exact.server.likeliest([([1], [2])], 5)
