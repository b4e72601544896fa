"""Each family's merge in GGUF space against transformers and PEFT, on a tiny random model of it, at three scales.

The scale is put in by `lora_alpha`. Norms and biases of the tiny models are random (but Llama's, which are plain), the
window of Gemma 3 is shorter than the rows, and k has fewer heads than q: a part that is lost or in another order shows.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import save_file

from strop.deploy import container, convert, gguf, q8_0, weights

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
# Logits have a standard deviation of 2 to 6. F32 differs by summing order only, F16 by rounding weights.
TOLERANCES = {"F32": 1e-3, "F16": 0.1}
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")
SETTINGS = {"rank_pattern": {"v_proj": 2, "o_proj": 9}, "alpha_pattern": {"down_proj": 3}, "use_rslora": True}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tiny_model: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `hf`, `base.gguf` and the adapters `plain` and `patterns` of one family."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny_model.make_base(folder / "hf", request.param)
    convert.convert(folder / "hf", folder / "base.gguf")
    tiny_model.make_adapter(folder / "hf", folder / "plain")
    tiny_model.make_adapter(folder / "hf", folder / "patterns", **SETTINGS)
    return folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 83).reshape(2, 40) * 7 % 500
    with torch.no_grad():
        return model(ids).logits


def scaled(adapter: Path, scale: float) -> Path:
    """Set the adapter's scale: every alpha is that share of what it was made with."""
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    made = config.setdefault("made_with", [config["lora_alpha"], config["alpha_pattern"]])
    config |= {"lora_alpha": made[0] * scale, "alpha_pattern": {name: alpha * scale for name, alpha in made[1].items()}}
    path.write_text(json.dumps(config))
    return adapter


@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments .'made_with':UserWarning")
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("settings", ["plain", "patterns"])
def test_merged_logits_are_the_adapters(family: Path, tmp_path: Path, settings: str, scale: float) -> None:
    adapter = scaled(family / settings, scale)
    base = weights.load_into(family / "base.gguf", family / "hf")
    bare = logits(base)
    wanted = logits(PeftModel.from_pretrained(base, adapter))
    moved = float((wanted - bare).abs().max())
    assert moved == 0.0 if scale == 0.0 else moved > 10 * TOLERANCES["F16"]
    for quant, tolerance in TOLERANCES.items():
        gguf.merge(family / "base.gguf", adapter, tmp_path / "merged.gguf", quant=quant)  # type: ignore[arg-type]
        found = logits(weights.load_into(tmp_path / "merged.gguf", family / "hf"))
        assert float((found - wanted).abs().max()) < tolerance


def test_gemmas_norms_are_stored_with_the_one_that_it_adds(tiny_model: ModuleType, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folder = tiny_model.make_base(tmp_path / "hf", "gemma3_text")
    convert.convert(folder, tmp_path / "model.gguf", "F32")
    file, theirs = container.read(tmp_path / "model.gguf"), load_file(folder / "model.safetensors")
    for ours, name in (("output_norm", "norm"), ("blk.3.ffn_norm", "layers.3.pre_feedforward_layernorm")):
        (_, stored), *_ = gguf.read_rows(file, file.tensors[f"{ours}.weight"])
        np.testing.assert_array_equal(stored.ravel(), theirs[f"model.{name}.weight"] + np.float32(1))


# Rounding


def test_q8_0_is_to_the_last_bit_that_of_the_gguf_package() -> None:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    draw = np.random.default_rng(0)
    values = draw.normal(size=(300, 96)).astype(np.float32) * 10.0 ** draw.integers(-8, 5, size=(300, 1))
    # Halves, what is just below a half, zeros of both signs, and the smallest numbers.
    halves = (np.arange(96) - 48 + 0.5).astype(np.float32)
    values[0], values[1] = halves, np.nextafter(halves, np.float32(0))
    values[0, ::32] = values[1, ::32] = 127
    values[2], values[3], values[4] = 0.0, -0.0, np.float32(1e-45)
    values = values.astype(np.float32)
    np.testing.assert_array_equal(q8_0.encode(values), quantize(values, GGMLQuantizationType.Q8_0))


# Memory

_MERGE = """
import re, sys
from pathlib import Path
from strop.deploy import gguf
base, adapter, out = map(Path, sys.argv[1:])
report = gguf.merge(base, adapter, out, quant="Q8_0")
assert report.tensors == 1 and report.max_abs_delta > 0
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def big_base(path: Path, rows: int, columns: int) -> None:
    """A GGUF with one F16 matrix of zeros."""
    piece = np.zeros((rows // 100, columns), dtype=np.float16)
    fields = [container.field("general.architecture", "llama", "str"), container.field("llama.block_count", 1, "u32")]
    plan = container.Planned("blk.0.ffn_up.weight", 1, (rows, columns), lambda: (piece for _ in range(100)))
    container.write(path, fields, [plan])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory of a process is read from /proc")
def test_memory_does_not_grow_with_the_tensor(tmp_path: Path) -> None:
    rows, columns = 50_000, 4096
    big_base(tmp_path / "base.gguf", rows, columns)
    assert (tmp_path / "base.gguf").stat().st_size > 400e6
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 8, "target_modules": ["up_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.layers.0.mlp.up_proj"
    draw = np.random.default_rng(0)
    factors = {"A": draw.normal(size=(8, columns)), "B": draw.normal(size=(rows, 8))}
    save_file(
        {f"{name}.lora_{side}.weight": f.astype(np.float32) for side, f in factors.items()},
        adapter / "adapter_model.safetensors",
    )
    paths = [str(tmp_path / part) for part in ("base.gguf", "adapter", "out.gguf")]
    command = [sys.executable, "-c", _MERGE, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    # The bound is twice the tensor and 300 MB; it takes less than the tensor alone.
    assert int(done.stdout) * 1024 < 200e6
