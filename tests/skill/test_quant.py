"""`auto`: the smallest type that a model bears, measured once on the base; a candidate that it hurts is refused."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import quant, requantised
from strop.config import save
from strop.deploy.base import base_gguf
from strop.deploy.certify import Certificate
from strop.deploy.container import field
from strop.deploy.divergence import Divergence
from strop.home import Home
from strop.setup import certified, made_build
from strop.trainer.models import BaseModel, resolve


@pytest.fixture
def base(home: Home, tiny_base: Path) -> BaseModel:
    return resolve(str(tiny_base), home.models)


class Costs:
    """Stands for a Reference: each type costs what the test says."""

    def __init__(self, **nats: float) -> None:
        self.nats, self.asked = nats, list[str]()

    def of(self, gguf: Path) -> Divergence:
        self.asked.append(gguf.name)
        return Divergence(self.nats[gguf.name], 1.0, 0.9, 1000)


@pytest.mark.parametrize(
    ("costs", "chosen", "asked"),
    [
        ((0.02, 0.01, 0.001), "Q4_K_M", 1),
        ((0.06, 0.03, 0.001), "Q6_K", 2),
        ((0.06, 0.031, 0.001), "Q8_0", 3),
        ((0.06, 0.05, 0.04), "F16", 3),
        ((float("nan"), float("nan"), float("nan")), "F16", 3),
    ],
)
def test_the_smallest_type_within_the_bound_is_taken(costs: tuple[float, ...], chosen: str, asked: int) -> None:
    held: Any = Costs(**dict(zip(("Q4_K_M", "Q6_K", "Q8_0"), costs, strict=True)))
    decision = quant.smallest(held, Path, 0.03)
    assert (decision.quant, len(held.asked)) == (chosen, asked)
    assert quant.decision_from(decision.as_dict()).quant == chosen


def test_without_an_encoder_of_k_quants_they_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strop.deploy.quantise.available", lambda: False)
    held: Any = Costs(Q8_0=0.001)
    assert quant.smallest(held, Path, 0.03).quant == "Q8_0"
    assert held.asked == ["Q8_0"]


def test_it_is_measured_once_per_base_and_bound(home: Home, base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    config = save(home, {"quant": "auto", "quant_max_kl": 1.0})
    base_f16, notes = base_gguf(base, home.builds), list[str]()
    first = quant.for_base(home, config, base, base_f16, notes.append)
    assert first.quant == "Q4_K_M"
    assert first.measured["Q4_K_M"].positions >= 256
    assert f"Q4_K_M {first.measured['Q4_K_M'].mean_nats:.4f}" in notes[-1]
    monkeypatch.setattr(quant, "measure", lambda *args: pytest.fail("measured again"))
    assert quant.for_base(home, config, base, base_f16, notes.append) == first
    assert not list(home.builds.glob(".quant-*"))


def test_a_gemma_is_measured_like_any_other(home: Home, tiny_model: ModuleType, tmp_path: Path) -> None:
    base = resolve(str(tiny_model.make_base(tmp_path / "hf", "gemma3_text")), home.models)
    config = save(home, {"quant": "auto", "quant_max_kl": 0.001})
    decision = quant.for_base(home, config, base, base_gguf(base, home.builds), lambda note: None)
    four, six = decision.measured["Q4_K_M"], decision.measured["Q6_K"]
    assert decision.quant == "Q6_K"
    assert four.mean_nats > 0.001 > six.mean_nats > 0
    assert six.positions >= 256


def test_a_named_type_is_taken_without_a_look(home: Home, base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant, "measure", lambda *args: pytest.fail("measured"))
    config = save(home, {"quant": "Q6_K"})
    assert quant.for_base(home, config, base, Path("none"), print).quant == "Q6_K"


def test_a_candidate_that_the_type_hurts_is_not_certified(
    home: Home, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    good: Any = Certificate(())
    monkeypatch.setattr("strop.setup.certify", lambda *args: good)
    base_f16 = base_gguf(base, home.builds)
    built = made_build(home, base, base_f16, None, "Q4_K_M")
    strict = certified(home, built, base_f16, base, None, 1e-9)
    assert not strict.ok
    assert "at most 1e-09 allowed in Q4_K_M" in strict.checks[-1].figure
    assert certified(home, built, base_f16, base, None).ok
    assert not certified(home, built, base_f16, base, None, 1e-9).ok  # a kept one that never asked is not enough
    assert certified(home, built, base_f16, base, None, 1.0).checks[-1].name == "divergence from F16"


def test_what_a_second_quantising_costs_is_measured_and_names_the_hub(home: Home, base: BaseModel) -> None:
    from strop.deploy import container, gguf
    from strop.deploy.container import Planned

    base_f16 = base_gguf(base, home.builds)
    gguf.merge(base_f16, None, home.builds / "plain.gguf", quant="Q4_K_M")
    file = container.read(home.builds / "plain.gguf")
    named = [*file.fields.values(), field("general.base_model.0.repo_url", "https://huggingface.co/org/name", "str")]
    data = (home.builds / "plain.gguf").read_bytes()

    def plan(name: str) -> Planned:
        import numpy as np

        one = file.tensors[name]
        raw = np.frombuffer(data[one.offset : one.offset + one.n_bytes], dtype=np.uint8)
        return Planned(name, one.type, one.shape, lambda: iter((raw,)))

    original = home.builds / "original.gguf"
    container.write(original, named, [plan(name) for name in file.tensors])
    came = resolve(f"gguf:{original}", home.models)
    built = made_build(home, came, base_gguf(came, home.builds), None, "Q4_K_M")
    loss = requantised.measured(home, came, original, built.gguf, "Q4_K_M")
    assert loss.found.mean_nats < 0.02
    assert "hf:org/name has the weights that were not quantised" in loss.sentence
    assert list(home.builds.glob("loss-*.json"))


@pytest.mark.parametrize("url", ["https://evil.example/org/name", "https://huggingface.co/../x", "org name", ""])
def test_no_other_address_is_taken_for_the_hub(url: str, tmp_path: Path) -> None:
    import numpy as np

    from strop.deploy import container
    from strop.deploy.container import Planned

    plans = [Planned("t", 0, (1,), lambda: iter((np.ones(1, np.float32),)))]
    fields = [field("general.architecture", "llama", "str"), field("general.base_model.0.repo_url", url, "str")]
    container.write(tmp_path / "m.gguf", fields, plans)
    assert requantised.hub_repository(tmp_path / "m.gguf") is None
