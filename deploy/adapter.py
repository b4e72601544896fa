"""Reading a PEFT LoRA adapter for a merge: what each target tensor gets added, or why it cannot be merged exactly."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy import tensorfile
from strop.errors import CannotMerge, DeployError
from strop.files import canonical_json, sha256_bytes, sha256_file

if TYPE_CHECKING:
    import numpy as np

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
HINT = "train a plain LoRA on linear layers: strop train sft --model M --data FILE --out DIR"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# Settings under which W + scale * B @ A is not what the adapter computes, or not on these base weights.
_REFUSED = {
    "use_dora": "DoRA scales whole rows of the base",
    "modules_to_save": "modules_to_save replaces whole modules of the base",
    "trainable_token_indices": "it trains single token embeddings",
    "lora_bias": "its LoRA layers have biases",
    "fan_in_fan_out": "its layers are stored transposed",
    "layer_replication": "it repeats layers of the base",
    "target_parameters": "it trains parameters that are not linear layers",
    "alora_invocation_tokens": "it is active for some tokens only",
    "use_qalora": "QALoRA pools its input",
    "use_bdlora": "BD-LoRA has block-diagonal factors",
    "arrow_config": "Arrow chooses among adapters for each token",
    "velora_config": "VeLoRA changes the forward pass",
    "monteclora_config": "MonteCLoRA changes the forward pass",
    "kasa_config": "KaSA changes the base weights",
}
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")


@dataclass(frozen=True)
class Delta:
    """The update of one linear layer: `scale * b @ a`, with `a` (rank, in) and `b` (out, rank) in float32."""

    module: str
    scale: float
    a: "np.ndarray[Any, Any]"
    b: "np.ndarray[Any, Any]"


def adapter_sha256(folder: Path) -> str:
    """The hash of what decides the merge: weights and config, not the manifest beside them."""
    names = (CONFIG_FILE, WEIGHTS_FILE)
    return sha256_bytes(canonical_json({name: sha256_file(folder / name) for name in names}).encode())


def read(folder: Path) -> list[Delta]:
    """All updates of a PEFT LoRA adapter, by module name. Raises CannotMerge with the reason."""
    config = _config(folder)
    _refuse_unusual(config)
    sides: dict[str, dict[str, tensorfile.Entry]] = {}
    for name, entry in _index(folder).items():
        match = _KEY.fullmatch(name)
        if name.endswith(".base_layer.weight"):
            raise CannotMerge(
                f"the adapter file holds base weights ({name})", hint="save it with save_embedding_layers=False"
            )
        if match is None:
            raise CannotMerge(f"the adapter's tensor {name} is not a LoRA factor of a linear layer", hint=HINT)
        sides.setdefault(match["module"], {})[match["side"]] = entry
    if not sides:
        raise CannotMerge(f"{folder / WEIGHTS_FILE} holds no tensors", hint=HINT)
    return [_delta(config, module, pair) for module, pair in sorted(sides.items())]


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotMerge(f"{folder / CONFIG_FILE} cannot be read: {error}", hint=HINT) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise CannotMerge(f"the adapter is of type {kind}, not LORA", hint=HINT)
    return config


def _refuse_unusual(config: dict[str, Any]) -> None:
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise CannotMerge(f"the adapter cannot be merged exactly: {key} is set, {reason}", hint=HINT)
    if config.get("bias", "none") != "none":
        raise CannotMerge(f"the adapter cannot be merged exactly: bias is {config['bias']!r}, not 'none'", hint=HINT)
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise CannotMerge(
            f"the adapter cannot be merged exactly: init_lora_weights is {start!r}, which may change the base weights",
            hint=HINT,
        )


def _index(folder: Path) -> dict[str, tensorfile.Entry]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        others = sorted(other.name for other in folder.glob("adapter_model.*"))
        found = f", only {', '.join(others)}" if others else ""
        raise CannotMerge(f"{folder} has no {WEIGHTS_FILE}{found}: only safetensors adapters are read", hint=HINT)
    try:
        return tensorfile.read_index(path)
    except CannotMerge:
        raise
    except DeployError as error:
        raise CannotMerge(str(error), hint=HINT) from error


def _delta(config: dict[str, Any], module: str, pair: dict[str, tensorfile.Entry]) -> Delta:
    import numpy as np

    missing = {"A", "B"} - pair.keys()
    if missing:
        raise CannotMerge(f"{module} has no lora_{missing.pop()}", hint=HINT)
    rank = int(_by_pattern(config.get("rank_pattern"), module, config.get("r", 0)))
    a, b = pair["A"].array(), pair["B"].array()
    if a.ndim != 2 or b.ndim != 2 or rank < 1 or a.shape[0] != rank or b.shape[1] != rank:
        raise CannotMerge(f"{module}: A {a.shape} and B {b.shape} do not fit rank {rank} of the config", hint=HINT)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise CannotMerge(f"{module}: the adapter holds NaN or infinite values", hint=HINT)
    alpha = float(_by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", rank)))
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    return Delta(module, scale, a, b)


def _by_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the module's name or its dotted end decides."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
