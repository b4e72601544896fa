"""A local Hugging Face folder (safetensors) as a GGUF base: our own conversion of the Llama, Qwen and Gemma 3 families.

Covered: LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM and Gemma3ForCausalLM with a
byte-level BPE tokenizer (Gemma's usual one is another and needs upstream's `converter`); rotary scaling none, linear or
llama3. Everything else is refused with its reason: a conversion that is nearly right answers nearly as well as the
model, and nobody would notice.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from strop.deploy import container, gemma3, gguf, tensorfile, vocab, weights
from strop.deploy.container import Field, Planned, field
from strop.deploy.quantise import encode
from strop.errors import DeployError

if TYPE_CHECKING:
    import numpy as np

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": gemma3.ARCHITECTURE,
}
_TYPES = {"F32": 0, "F16": 1}
_QUANTIZATION_VERSION = 2
_PIECE_VALUES = 1 << 16
_LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
_QWEN3_LAYER = ("attn_q_norm", "attn_k_norm")
_GEMMA3_LAYER = ("attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm")
_EXTRA_LAYER = {"qwen3": _QWEN3_LAYER, gemma3.ARCHITECTURE: _GEMMA3_LAYER}
_QWEN2_BIASES = ("attn_q", "attn_k", "attn_v")
# Buffers that old checkpoints saved along.
_IGNORED_ENDS = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias")


def convert(folder: Path, out: Path, dtype: Literal["F16", "F32"] = "F16") -> None:
    """Write the model in `folder` (config.json, *.safetensors, tokenizer.json) to the GGUF file `out`.

    Matrices become `dtype`, vectors F32. `out` is whole or untouched. Raises DeployError with the reason and a way out.
    """
    config = vocab.read_json(folder / "config.json", vocab.HINT)
    architecture = _architecture(config)
    fields = [
        *_general(folder, architecture, dtype),
        *_hyperparameters(config, architecture),
        *vocab.fields(folder, int(_need(config, "vocab_size")), config),
    ]
    plans = _tensors(folder, config, architecture, dtype)
    container.write(out, fields, plans)


def _architecture(config: dict[str, Any]) -> str:
    names = config.get("architectures") or ["(none)"]
    architecture = ARCHITECTURES.get(names[0])
    if architecture is None:
        raise DeployError(f"{names[0]} is not converted here, only {', '.join(ARCHITECTURES)}", hint=vocab.HINT)
    if architecture == gemma3.ARCHITECTURE:
        gemma3.refuse_unusual(config, _head_dim(config))
    act = config.get("hidden_act") if architecture == gemma3.ARCHITECTURE else "silu"
    for key, plain in (("hidden_act", act), ("partial_rotary_factor", 1.0), ("quantization_config", None)):
        if config.get(key, plain) not in (plain, None):
            raise DeployError(f"{key} is {config[key]!r}, which is not converted here", hint=vocab.HINT)
    return architecture


def _need(config: dict[str, Any], key: str) -> Any:
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise DeployError(f"config.json: {key} is {value!r}, a number is needed", hint=vocab.HINT)
    return value


def _general(folder: Path, architecture: str, dtype: str) -> list[Field]:
    return [
        field("general.architecture", architecture, "str"),
        field("general.type", "model", "str"),
        field("general.name", folder.resolve().name, "str"),
        field("general.file_type", _TYPES[dtype], "u32"),
        field("general.quantization_version", _QUANTIZATION_VERSION, "u32"),
    ]


def _hyperparameters(config: dict[str, Any], architecture: str) -> list[Field]:
    head_dim = _head_dim(config)
    numbers = {
        "block_count": _need(config, "num_hidden_layers"),
        "context_length": _context(config, architecture),
        "embedding_length": _need(config, "hidden_size"),
        "feed_forward_length": _need(config, "intermediate_size"),
        "attention.head_count": _need(config, "num_attention_heads"),
        "attention.head_count_kv": config.get("num_key_value_heads") or _need(config, "num_attention_heads"),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        "vocab_size": _need(config, "vocab_size"),
    }
    fields = [field(f"{architecture}.{key}", int(value), "u32") for key, value in numbers.items()]
    epsilon = f"{architecture}.attention.layer_norm_rms_epsilon"
    fields.append(field(epsilon, float(_need(config, "rms_norm_eps")), "f32"))
    rope = _rope(config, architecture)
    fields.append(field(f"{architecture}.rope.freq_base", float(rope.get("rope_theta") or 10000.0), "f32"))
    if rope["rope_type"] == "linear":
        fields.append(field(f"{architecture}.rope.scaling.type", "linear", "str"))
        fields.append(field(f"{architecture}.rope.scaling.factor", float(_need(rope, "factor")), "f32"))
    return fields + (gemma3.fields(config) if architecture == gemma3.ARCHITECTURE else [])


def _head_dim(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or _need(config, "hidden_size") // _need(config, "num_attention_heads"))


def _context(config: dict[str, Any], architecture: str) -> int:
    """The trained context; no longer than the sliding window, for llama.cpp attends to everything but in Gemma."""
    context, window = int(_need(config, "max_position_embeddings")), config.get("sliding_window")
    used = config.get("use_sliding_window", True) and architecture != gemma3.ARCHITECTURE
    return min(context, int(window)) if window and used else context


def _rope(config: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The rotary settings, in the new spelling (rope_parameters) or the old (rope_theta, rope_scaling)."""
    if architecture == gemma3.ARCHITECTURE:
        rope = gemma3.rope(config)
    else:
        rope = {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {})}
        rope.update(config.get("rope_parameters") or {})
    rope["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    if rope["rope_type"] not in ("default", "linear", "llama3"):
        raise DeployError(f"rotary scaling {rope['rope_type']!r} is not converted here", hint=vocab.HINT)
    return rope


def _rope_factors(config: dict[str, Any], architecture: str) -> "np.ndarray[Any, Any] | None":
    """What llama3 scaling divides each rotary frequency by (head_dim / 2 values), or None without it.

    Long waves by `factor`, short ones by 1, in between a blend: https://arxiv.org/abs/2407.21783 and transformers'
    `_compute_llama3_parameters`.
    """
    import numpy as np

    rope = _rope(config, architecture)
    if rope["rope_type"] != "llama3":
        return None
    factor, low, high = (float(_need(rope, key)) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = float(_need(rope, "original_max_position_embeddings"))
    head_dim = _head_dim(config)
    exponents = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    waves = 2 * math.pi * float(rope.get("rope_theta") or 10000.0) ** exponents
    smooth = np.clip((trained / waves - low) / (high - low), 0.0, 1.0)
    factors: np.ndarray[Any, Any] = (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def tensors(folder: Path, dtype: Literal["F16", "F32"]) -> tuple[str, list[Planned]]:
    """(GGUF architecture, tensors to write) of a model folder, without its tokenizer. Raises DeployError."""
    config = vocab.read_json(folder / "config.json", vocab.HINT)
    architecture = _architecture(config)
    return architecture, _tensors(folder, config, architecture, dtype)


def hyperparameters(folder: Path) -> list[Field]:
    """The metadata of what a model folder's family computes with. Raises DeployError."""
    config = vocab.read_json(folder / "config.json", vocab.HINT)
    return _hyperparameters(config, _architecture(config))


def _tensors(folder: Path, config: dict[str, Any], architecture: str, dtype: str) -> list[Planned]:
    entries = _entries(folder, architecture)
    names = _expected(config, architecture, entries)
    heads = {".attn_q.": int(_need(config, "num_attention_heads"))}
    heads[".attn_k."] = int(config.get("num_key_value_heads") or heads[".attn_q."])
    if not gguf.ARCHITECTURES[architecture]:
        heads = {}
    plans = [_planned(name, entries[name], dtype, heads, weights.norm_offset(name, architecture)) for name in names]
    factors = _rope_factors(config, architecture)
    if factors is not None:
        plans.insert(0, Planned("rope_freqs.weight", _TYPES["F32"], factors.shape, lambda: iter((factors,))))
    rows = entries["token_embd.weight"].shape[0]
    if rows != _need(config, "vocab_size"):
        raise DeployError(f"{rows} embeddings, but vocab_size is {config['vocab_size']}", hint=vocab.HINT)
    return plans


def _entries(folder: Path, architecture: str) -> dict[str, tensorfile.Entry]:
    """All tensors of all shards by GGUF name. Raises DeployError for one that has no place in the family."""
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise DeployError(f"{folder} has no safetensors files", hint="give a folder with model.safetensors")
    entries: dict[str, tensorfile.Entry] = {}
    for shard in shards:
        for name, entry in tensorfile.read_index(shard).items():
            if name.endswith(_IGNORED_ENDS):
                continue
            ours = weights.tensor_name(name, architecture)
            if ours is None:
                raise DeployError(f"{shard}: tensor {name} is not part of the families converted", hint=vocab.HINT)
            entries[ours] = entry
    return entries


def _expected(config: dict[str, Any], architecture: str, entries: dict[str, tensorfile.Entry]) -> list[str]:
    """The tensor names to write, in order. Raises DeployError where one that the family needs is missing."""
    layer = _LAYER + _EXTRA_LAYER.get(architecture, ())
    biased = _QWEN2_BIASES if architecture == "qwen2" else ()
    names = ["token_embd.weight"]
    for block in range(int(_need(config, "num_hidden_layers"))):
        names += [f"blk.{block}.{part}.weight" for part in layer] + [f"blk.{block}.{part}.bias" for part in biased]
        extra = (f"blk.{block}.{part}.bias" for part in layer if part not in biased)
        names += [name for name in extra if name in entries]
    names.append("output_norm.weight")
    if not config.get("tie_word_embeddings", architecture == gemma3.ARCHITECTURE):
        names.append("output.weight")
    missing = [name for name in names if name not in entries]
    if missing:
        raise DeployError(
            f"{len(missing)} tensors are missing, the first is {weights.hf_name(missing[0], architecture)}",
            hint=vocab.HINT,
        )
    unused = set(entries) - set(names) - {"output.weight"}
    if unused:
        raise DeployError(
            f"the config does not account for {weights.hf_name(min(unused), architecture)}", hint=vocab.HINT
        )
    return names


def _planned(name: str, entry: tensorfile.Entry, dtype: str, heads: dict[str, int], offset: float) -> Planned:
    kind = _TYPES[dtype] if len(entry.shape) > 1 else _TYPES["F32"]
    reordered = next((number for part, number in heads.items() if part in name), 0)

    def pieces() -> "Iterator[np.ndarray[Any, Any]]":
        if reordered:
            yield encode(gguf.permute_rows(entry.array(), reordered), kind, name)
            return
        step = max(1, _PIECE_VALUES // math.prod(entry.shape[1:]))
        for first in range(0, entry.shape[0], step):
            rows = entry.rows(first, min(first + step, entry.shape[0]))
            yield encode(rows + rows.dtype.type(offset) if offset else rows, kind, name)

    return Planned(name, kind, entry.shape, pieces)
