"""A GGUF's weights back in transformers: exactly the numbers that are served, under Hugging Face's names.

Covered: the Llama, Qwen2, Qwen3 and Gemma 3 families. What comes out is dequantised, for Llama brought back into
Hugging Face's row order and for Gemma without the 1 that its norms are stored with, so that a transformers pass scores
the served file and not the weights it was made of.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy import gemma3, gguf
from strop.deploy.container import Container
from strop.errors import BadGguf, DeployError

if TYPE_CHECKING:
    import numpy as np

FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")
# GGUF name -> Hugging Face name, without ".weight" or ".bias".
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# Where a family calls its parts otherwise.
_OWN = {
    gemma3.ARCHITECTURE: {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    }
}
# Derived from the config by transformers, not a weight.
_DERIVED = ("rope_freqs.weight",)


def hf_name(name: str, architecture: str = "llama") -> str | None:
    """The Hugging Face name of a GGUF tensor of these families, or None for one that is not known."""
    stem, _, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        return None
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    inner = _inner(architecture)
    if match is None or match[2] not in inner:
        return None
    return f"model.layers.{match[1]}.{inner[match[2]]}.{kind}"


def tensor_name(name: str, architecture: str = "llama") -> str | None:
    """The GGUF name of a Hugging Face tensor of these families, or None: the inverse of `hf_name`."""
    stem, _, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        return None
    for ours, theirs in _OUTER.items():
        if stem == theirs:
            return f"{ours}.{kind}"
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    inner = {theirs: ours for ours, theirs in _inner(architecture).items()}
    if match is None or match[2] not in inner:
        return None
    return f"blk.{match[1]}.{inner[match[2]]}.{kind}"


def _inner(architecture: str) -> dict[str, str]:
    return {**_INNER, **_OWN.get(architecture, {})}


def norm_offset(name: str, architecture: str) -> float:
    """What this GGUF tensor holds more than Hugging Face's."""
    return gemma3.NORM_OFFSET if architecture == gemma3.ARCHITECTURE and name.endswith("norm.weight") else 0.0


def state_dict(path: Path) -> "dict[str, np.ndarray[Any, Any]]":
    """All weights of a GGUF as float32 arrays under Hugging Face's names. Raises BadGguf, DeployError."""
    return dict(_weights(path))


def _weights(path: Path) -> "Iterator[tuple[str, np.ndarray[Any, Any]]]":
    import numpy as np

    file = gguf.open_model(path)
    architecture = str(gguf.metadata(file, "general.architecture"))
    if architecture not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise DeployError(
            f"{path}: weights are read for {known}, not for {architecture}", hint="give another base model"
        )
    for tensor in file.tensors.values():
        if tensor.name in _DERIVED:
            continue
        name = hf_name(tensor.name, architecture)
        if name is None:
            raise BadGguf(
                f"{path}: tensor {tensor.name} has no place in a {architecture}", hint="give another base model"
            )
        values = np.empty((tensor.rows, tensor.shape[-1]), dtype=np.float32)
        for first, rows in gguf.read_rows(file, tensor):
            values[first : first + len(rows)] = rows - norm_offset(tensor.name, architecture)
        heads = gguf.rotary_heads(file, tensor.name)
        yield name, gguf.permute_rows(values.reshape(tensor.shape), heads, undo=True)


def load_into(path: Path, config_folder: Path, dtype: Any = "float32") -> Any:
    """The transformers model of `config_folder/config.json` with the weights of the GGUF `path`, in eval mode.

    A build may have more tokens than its base, and an output layer of its own where an adapter trained that.
    `dtype` is a torch dtype or its name. Raises BadGguf where weights and config do not belong together.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    # Of a model that also sees (Gemma 3 from 4B on) a GGUF holds the part that reads and writes.
    config = AutoConfig.from_pretrained(config_folder).get_text_config()
    _follow_build(gguf.open_model(path), config)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config)
    state = {name: torch.from_numpy(values).to(kind) for name, values in _weights(path)}
    if config.tie_word_embeddings:
        _tie(path, state)
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise BadGguf(f"{path} does not fit {config_folder}: {error}", hint="give the base of this build") from error
    model.tie_weights()
    return model.eval()


def _follow_build(file: Container, config: Any) -> None:
    """Give the config the vocabulary and the output layer of a build (`fullmerge`); another file must fit as it is."""
    if gguf.ADAPTER_KEY not in file.fields:
        return
    config.vocab_size = file.tensors["token_embd.weight"].shape[0]
    config.tie_word_embeddings = config.tie_word_embeddings and "output.weight" not in file.tensors


def _tie(path: Path, state: dict[str, Any]) -> None:
    """Let the output layer share the embeddings, as the config says; a different one in the file is an error."""
    import torch

    shared = state.get("model.embed_tokens.weight")
    own = state.get("lm_head.weight")
    if own is not None and shared is not None and not torch.equal(own, shared):
        raise BadGguf(f"{path} has an output layer of its own, the config ties it", hint="give the base of this build")
    if shared is not None:
        state["lm_head.weight"] = shared
