"""How much context a server gets, and whether two versions fit side by side, for machines that are handed in."""

from dataclasses import replace

import pytest

from strop.deploy.settings import OllamaSettings
from strop.trainer import sizes
from strop.trainer.serving import LEAST_TOKENS, USUAL_TOKENS, Asked, Served, hold, of_shape, serving, side_by_side

GB = 1_000_000_000
# 36 layers of 8 heads of 128 values, keys and values, two bytes each.
MODEL = Served(4 * GB, 147_456, 40_960)


def test_the_usual_context_is_that_of_ollama_tags() -> None:
    assert OllamaSettings().num_ctx == USUAL_TOKENS
    given = serving(MODEL, Asked(), 64 * GB)
    assert (given.context_tokens, given.slots) == (16_384, 4)
    assert given.needs_bytes == 4 * GB + 4 * 16_384 * 147_456
    assert given.reason == "16,384 tokens for each of 4 answers at a time"


def test_a_model_that_knows_less_gets_what_it_knows() -> None:
    given = serving(replace(MODEL, limit_tokens=8192), Asked(), 64 * GB)
    assert given.context_tokens == 8192
    assert given.reason.endswith("all that the model knows")


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_where_memory_does_not_hold_it_every_slot_gets_an_equal_part_and_all_of_it_fits(slots: int) -> None:
    given = serving(MODEL, Asked(slots), 6 * GB)
    assert LEAST_TOKENS <= given.context_tokens < USUAL_TOKENS
    assert given.context_tokens % 256 == 0
    assert hold(1, given.needs_bytes, 6 * GB)
    larger = replace(given, needs_bytes=given.needs_bytes + slots * 256 * MODEL.token_bytes)
    assert not hold(1, larger.needs_bytes, 6 * GB)
    assert "6.0 GB of free memory do not hold the usual 16,384" in given.reason


def test_it_is_never_less_than_a_conversation_needs_and_never_more_than_the_model_knows() -> None:
    assert serving(MODEL, Asked(), 1 * GB).context_tokens == LEAST_TOKENS
    assert serving(replace(MODEL, limit_tokens=512), Asked(), 1 * GB).context_tokens == 512


def test_what_is_set_is_taken_as_it_is() -> None:
    given = serving(MODEL, Asked(2, 32_768), 1 * GB)
    assert (given.context_tokens, given.slots) == (32_768, 2)
    assert given.reason.endswith("as set")


def test_two_fit_where_twice_the_need_fits_and_beside_a_running_one_once_the_need() -> None:
    one = serving(MODEL, Asked(), 64 * GB)  # 13.7 GB
    assert side_by_side(one, Asked(), 31 * GB)[0]
    assert not side_by_side(one, Asked(), 30 * GB)[0]
    assert side_by_side(one, Asked(running=1), 16 * GB)[0]
    assert not side_by_side(one, Asked(running=1), 15 * GB)[0]
    assert side_by_side(one, Asked(), 31 * GB)[1].endswith("31.0 GB of memory: the version before stays warm")
    assert "requests wait" in side_by_side(one, Asked(), 30 * GB)[1]


def test_a_shape_needs_what_its_config_says() -> None:
    model = of_shape(sizes.known("Qwen3-4B"))
    assert model.token_bytes == 36 * 2 * 8 * 128 * 2
    assert model.weights_bytes == pytest.approx(4.3 * GB, rel=0.06)
