"""What a model says at continued places is what it says of each pair alone, however they are batched."""

import random
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from strop.deploy import reading

RANDOM = random.Random(5)
PAIRS: list[reading.Pair] = [
    ([RANDOM.randrange(5, 490) for _ in range(RANDOM.randrange(1, 30))], [7 + n] * (n % 12)) for n in range(19)
]


def test_each_pair_is_in_one_batch_beside_its_like() -> None:
    batches = reading.batches(PAIRS)
    lengths = [[len(PAIRS[number][0]) + len(PAIRS[number][1]) for number in batch] for batch in batches]
    assert sorted(number for batch in batches for number in batch) == list(range(len(PAIRS)))
    assert [length for batch in lengths for length in batch] == sorted(length for batch in lengths for length in batch)
    assert reading.batches([]) == []


def test_padding_changes_no_logits(tiny: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny.folder).eval()
    with torch.inference_mode():
        for (prompt, answer), found in zip(PAIRS, reading.logits(model, PAIRS), strict=True):
            alone = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : len(prompt) + len(answer) - 1]
            assert found.shape == (len(answer), 500)
            torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)
