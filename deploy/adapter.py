"""Reading a PEFT LoRA adapter for a merge: what each target tensor gets added, or why a sum cannot express it.

Only the file's index is read at first; the factors of a layer come into memory when that layer is merged. What a sum
cannot express raises NeedsFullMerge where transformers and PEFT can merge it all the same (`fullmerge`), and
CannotMerge where nothing can.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy import tensorfile
from strop.errors import CannotMerge, DeployError, NeedsFullMerge
from strop.files import canonical_json, sha256_bytes, sha256_file

if TYPE_CHECKING:
    import numpy as np

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
HINT = "train a plain LoRA on linear layers: strop train sft --model M --data FILE --out DIR"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# Settings under which W + scale * B @ A is not what the adapter computes, but which PEFT merges exactly.
_FULL = {
    "use_dora": "DoRA scales whole rows of the base",
    "modules_to_save": "modules_to_save replaces whole modules of the base",
    "trainable_token_indices": "it trains single token embeddings",
    "lora_bias": "its LoRA layers have biases",
    "fan_in_fan_out": "its layers are stored transposed",
    "target_parameters": "it trains parameters that are not linear layers",
}
# Settings under which one set of weights cannot do what the adapter does, or the weights that it needs are not there.
_REFUSED = {
    "layer_replication": "it repeats layers of the base",
    "alora_invocation_tokens": "it is active for some tokens only",
    "use_qalora": "QALoRA pools its input",
    "use_bdlora": "BD-LoRA has block-diagonal factors",
    "arrow_config": "Arrow chooses among adapters for each token",
    "velora_config": "VeLoRA changes the forward pass",
    "monteclora_config": "MonteCLoRA changes the forward pass",
    "kasa_config": "KaSA changes the base weights",
}
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")
# They take their first factors out of the base; PEFT does so again when it loads the adapter.
_FULL_STARTS = ("pissa", "olora")
# What PEFT takes where an old config does not say.
_RANK = _ALPHA = 8


@dataclass(frozen=True)
class Delta:
    """The update of one linear layer: `scale * b @ a`, with `a` (rank, in) and `b` (out, rank)."""

    module: str
    scale: float
    a: tensorfile.Entry
    b: tensorfile.Entry

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in): that of the weight it belongs to."""
        return self.b.shape[0], self.a.shape[1]

    def factors(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """`a` and `scale * b` in float32. Raises CannotMerge where a value is not finite."""
        import numpy as np

        a, b = self.a.array(), self.b.array()
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise CannotMerge(f"{self.module}: the adapter holds NaN or infinite values", hint=HINT)
        return a, b * b.dtype.type(self.scale)


def adapter_sha256(folder: Path) -> str:
    """The hash of what decides the merge: weights and config, not the manifest beside them."""
    names = (CONFIG_FILE, WEIGHTS_FILE)
    return sha256_bytes(canonical_json({name: sha256_file(folder / name) for name in names}).encode())


def read(folder: Path) -> list[Delta]:
    """All updates of a PEFT LoRA adapter, by module name. Raises CannotMerge or NeedsFullMerge with the reason."""
    config = settings(folder)
    _refuse_unusual(config)
    sides: dict[str, dict[str, tensorfile.Entry]] = {}
    for name, entry in index(folder).items():
        match = _KEY.fullmatch(name)
        if name.endswith((".base_layer.weight", ".embed_tokens.weight", ".lm_head.weight")):
            raise NeedsFullMerge(
                f"the adapter file holds base weights ({name})", hint="save it with save_embedding_layers=False"
            )
        if match is None:
            raise NeedsFullMerge(f"the adapter's tensor {name} is not a LoRA factor of a linear layer", hint=HINT)
        sides.setdefault(match["module"], {})[match["side"]] = entry
    if not sides:
        raise CannotMerge(f"{folder / WEIGHTS_FILE} holds no tensors", hint=HINT)
    return [_delta(config, module, pair) for module, pair in sorted(sides.items())]


def settings(folder: Path) -> dict[str, Any]:
    """The adapter's config. Raises CannotMerge where it cannot be read or is of another kind than LoRA."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotMerge(f"{folder / CONFIG_FILE} cannot be read: {error}", hint=HINT) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise CannotMerge(f"the adapter is of type {kind}, not LORA", hint=HINT)
    return config


def _refuse_unusual(config: dict[str, Any]) -> None:
    start = config.get("init_lora_weights", True)
    started = f"init_lora_weights is {start!r}, which may change the base weights"
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise CannotMerge(f"the adapter cannot be merged exactly: {key} is set, {reason}", hint=HINT)
    if start not in _PLAIN_STARTS:
        kind = NeedsFullMerge if str(start).partition("_")[0] in _FULL_STARTS else CannotMerge
        raise kind(f"the adapter cannot be merged exactly: {started}", hint=HINT)
    for key, reason in _FULL.items():
        if config.get(key):
            raise NeedsFullMerge(f"a sum cannot express the adapter: {key} is set, {reason}", hint=HINT)
    if config.get("bias", "none") != "none":
        raise NeedsFullMerge(f"a sum cannot express the adapter: bias is {config['bias']!r}, not 'none'", hint=HINT)


def index(folder: Path) -> dict[str, tensorfile.Entry]:
    """The tensors of the adapter's file. Raises CannotMerge where there is no safetensors file or it is damaged."""
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
    missing = {"A", "B"} - pair.keys()
    if missing:
        raise CannotMerge(f"{module} has no lora_{missing.pop()}", hint=HINT)
    rank = int(_by_pattern(config.get("rank_pattern"), module, config.get("r", _RANK)))
    a, b = pair["A"].shape, pair["B"].shape
    if len(a) != 2 or len(b) != 2 or rank < 1 or a[0] != rank or b[1] != rank:
        raise CannotMerge(f"{module}: A {a} and B {b} do not fit rank {rank} of the config", hint=HINT)
    alpha = float(_by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", _ALPHA)))
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    return Delta(module, scale, pair["A"], pair["B"])


def _by_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the module's name or its dotted end decides."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
