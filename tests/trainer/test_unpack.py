"""A GGUF unpacked for training computes what llama.cpp does: a Gemma 3's scales, which transformers passes over."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import AutoModelForCausalLM

from strop.deploy import convert
from strop.trainer.models import resolve

# Matrices are rounded to F16 on the way, of logits whose standard deviation is 2.
F16_TOLERANCE = 5e-2


def logits(folder: Path) -> torch.Tensor:
    ids = torch.arange(3, 43).reshape(2, 20) * 7 % 500
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(ids).logits


@pytest.mark.parametrize("scaling", [{"rope_type": "default"}, {"rope_type": "linear", "factor": 8.0}])
def test_a_gemma_keeps_its_scales(tiny_model: ModuleType, tmp_path: Path, scaling: dict[str, object]) -> None:
    rope = {"full_attention": {"rope_theta": 1e6, **scaling}, "sliding_attention": {"rope_type": "default"}}
    folder = tiny_model.make_base(tmp_path / "hf", "gemma3_text", rope_parameters=rope)
    convert.convert(folder, tmp_path / "model.gguf", "F32")
    base = resolve(f"gguf:{tmp_path / 'model.gguf'}", tmp_path / "models")
    wanted = logits(folder)
    assert float((logits(base.folder) - wanted).abs().max()) < F16_TOLERANCE
    config = json.loads((base.folder / "config.json").read_text())
    config["query_pre_attn_scalar"] = 256  # what transformers reads by itself
    (base.folder / "config.json").write_text(json.dumps(config))
    assert float((logits(base.folder) - wanted).abs().max()) > 10 * F16_TOLERANCE
