"""How far a type moves a model: nothing for the same file, by hand for one text, and more the fewer the bits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from strop.deploy.divergence import Divergence, Reference, trimmed
from strop.deploy.gguf import merge
from strop.deploy.reading import Pair
from strop.deploy.weights import load_into
from strop.errors import DeployError

TEXTS: list[Pair] = [(list(range(10, 10 + length)), list(range(40, 40 + 2 * length))) for length in range(3, 20)]


@pytest.fixture
def reference(tiny: Any, tiny_f16: Path, tmp_path: Path) -> Reference:
    return Reference(tiny_f16, tiny.folder, TEXTS, tmp_path)


def quantised(source: Path, out: Path, quant: Any) -> Path:
    merge(source, None, out, quant=quant)
    return out


def test_a_file_does_not_diverge_from_itself(reference: Reference, tiny_f16: Path) -> None:
    found = reference.of(tiny_f16)
    assert found == Divergence(0.0, 0.0, 1.0, sum(len(answer) for _, answer in TEXTS))


def test_fewer_bits_move_it_further(reference: Reference, tiny_f16: Path, tmp_path: Path) -> None:
    eight, four = (reference.of(quantised(tiny_f16, tmp_path / name, name)) for name in ("Q8_0", "Q4_K_M"))
    assert 0 < eight.mean_nats < four.mean_nats
    assert four.mean_nats < four.high_nats


def test_the_figure_is_the_textbook_s(reference: Reference, tiny: Any, tiny_f16: Path, tmp_path: Path) -> None:
    path = quantised(tiny_f16, tmp_path / "q.gguf", "Q4_K_M")
    nats = []
    with torch.inference_mode():
        exact, other = load_into(tiny_f16, tiny.folder), load_into(path, tiny.folder)
        for prompt, answer in TEXTS:
            ids = torch.tensor([[*prompt, *answer]])
            p, q = (model(ids).logits[0, len(prompt) - 1 : -1].double().softmax(-1) for model in (exact, other))
            nats += (p * (p / q).log()).sum(-1).tolist()
    assert reference.of(path).mean_nats == pytest.approx(sum(nats) / len(nats), rel=1e-3)


def test_texts_are_cut_to_the_positions_wanted() -> None:
    kept = trimmed([([1], [2] * 200), ([1], []), ([1, 2], [3] * 200), ([1], [4] * 200)], 300)
    assert [(len(prompt), len(answer)) for prompt, answer in kept] == [(1, 200), (2, 100)]


def test_a_model_that_says_too_little_cannot_be_compared() -> None:
    with pytest.raises(DeployError, match="answered 20 tokens"):
        trimmed([([1], [2] * 20)])


def test_a_file_whose_probabilities_are_no_numbers_is_no_small_divergence(
    reference: Reference, tiny_f16: Path, tmp_path: Path
) -> None:
    from strop.deploy import container

    file = container.read(tiny_f16)
    norm = file.tensors["output_norm.weight"]
    data = bytearray(tiny_f16.read_bytes())
    data[norm.offset : norm.offset + 4] = b"\x00\x00\xc0\x7f"
    (tmp_path / "nan.gguf").write_bytes(data)
    with pytest.raises(DeployError, match="not finite"):
        reference.of(tmp_path / "nan.gguf")
