"""A build of SmolLM2-135M: the seconds of merge and Q8_0, and the peak memory of the process that does it.

    .venv/bin/python benchmarks/build.py

The adapter is random, rank 16 on all linear layers. Each run is a process of its own; the best of three counts, for
another program on the machine only makes it slower. The base is fetched once into the home of STROP_HOME.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure, add_options, peak_bytes, report

MERGE_LIMIT_S = 3.0
OVER_TWO_TENSORS_BYTES = 300e6
RUNS = 3
LAYERS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
LAYERS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
RANK = 16


def write_adapter(base: Path, folder: Path) -> None:
    """A random LoRA (by seed) on every linear layer of `base`, as PEFT names it."""
    import numpy as np
    from safetensors.numpy import save_file

    from strop.deploy import container, weights

    draw, factors = np.random.default_rng(5), {}
    for name, tensor in container.read(base).tensors.items():
        module = (weights.hf_name(name) or "").removesuffix(".weight")
        if module.endswith(LAYERS):
            for side, shape in (("A", (RANK, tensor.shape[1])), ("B", (tensor.shape[0], RANK))):
                key = f"base_model.model.{module}.lora_{side}.weight"
                factors[key] = draw.normal(scale=0.02, size=shape).astype(np.float32)
    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": list(LAYERS)}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(factors, folder / "adapter_model.safetensors")


def child(base: Path, adapter: Path, out: Path) -> None:
    """Merge once; prints seconds and this process's peak memory."""
    from strop.deploy import gguf

    started = time.perf_counter()
    merged = gguf.merge(base, adapter, out, quant="Q8_0")
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "tensors": merged.tensors}))  # noqa: T201


def measure() -> Iterator[Figure]:
    from strop.deploy import container, gguf
    from strop.home import Home
    from strop.trainer.models import resolve

    source = resolve("smollm2", Home.locate().ensure().models).gguf
    assert source is not None  # noqa: S101
    with tempfile.TemporaryDirectory() as scratch:
        base, adapter = Path(scratch) / "base.gguf", Path(scratch) / "adapter"
        gguf.unpack(source, base)
        write_adapter(base, adapter)
        runs = [_run(base, adapter, Path(scratch) / "out.gguf") for _ in range(RUNS)]
        largest = max(tensor.n_bytes for tensor in container.read(base).tensors.values())
    seconds, peak = min(run["seconds"] for run in runs), max(run["peak_bytes"] for run in runs)
    limit = 2 * largest + OVER_TWO_TENSORS_BYTES
    yield Figure("merge and Q8_0", seconds, "s", f"{MERGE_LIMIT_S:.0f} s", seconds <= MERGE_LIMIT_S)
    yield Figure("the slowest of three", max(run["seconds"] for run in runs), "s")
    yield Figure("peak memory", peak / 1e6, "MB", f"{limit / 1e6:.0f} MB", peak <= limit)


def _run(base: Path, adapter: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(base), str(adapter), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(description="What a build costs.")
    add_options(parser, ["merge"])
    parser.add_argument("--child", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    return report(measure(), as_json=options.json, digits=2)


if __name__ == "__main__":
    sys.exit(main())
