"""What is different about Gemma 3: its settings as llama.cpp knows them, and what llama.cpp takes for granted.

llama.cpp scales the embeddings itself and rotates the layers with a window by a frequency base of 10,000; it has one
layer in six look at everything and divides the scores by the square root of the head's size. A config that says
otherwise is refused. Norms are stored with the 1 added that Gemma adds when it runs.
"""

from typing import Any

from strop.deploy import vocab
from strop.deploy.container import Field, field
from strop.errors import DeployError

ARCHITECTURE = "gemma3"
NORM_OFFSET = 1.0
_WINDOWS_IN_A_ROW = 5
_WINDOW_FREQUENCY_BASE = 10000.0


def refuse_unusual(config: dict[str, Any], head_dim: int) -> None:
    """Raise DeployError where this Gemma 3 computes what llama.cpp does not."""
    layers = int(config.get("num_hidden_layers") or 0)
    kinds = [_kind(number) for number in range(layers)]
    expected: list[tuple[str, Any, Any]] = [
        ("hidden_activation", config.get("hidden_activation"), ("gelu_pytorch_tanh",)),
        ("query_pre_attn_scalar", config.get("query_pre_attn_scalar"), (head_dim,)),
        ("attn_logit_softcapping", config.get("attn_logit_softcapping"), (None,)),
        ("final_logit_softcapping", config.get("final_logit_softcapping"), (None,)),
        ("use_bidirectional_attention", config.get("use_bidirectional_attention"), (None, False)),
        ("layer_types", config.get("layer_types", kinds), (kinds,)),
        ("sliding_window_pattern", config.get("sliding_window_pattern"), (None, _WINDOWS_IN_A_ROW + 1)),
    ]
    for name, value, known in expected:
        if value not in known:
            raise DeployError(f"{name} is {value!r}, which llama.cpp computes otherwise", hint=vocab.HINT)


def _kind(number: int) -> str:
    return "full_attention" if number % (_WINDOWS_IN_A_ROW + 1) == _WINDOWS_IN_A_ROW else "sliding_attention"


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings of the layers that look at everything. Raises DeployError for others than llama.cpp's."""
    both = config.get("rope_parameters") or {}
    if "full_attention" in both:
        local = both.get("sliding_attention", {})
        if local.get("rope_type", "default") != "default":
            raise DeployError("layers with a window are scaled, which llama.cpp does not do", hint=vocab.HINT)
        base, full = local.get("rope_theta", _WINDOW_FREQUENCY_BASE), dict(both["full_attention"])
    else:
        base = config.get("rope_local_base_freq", _WINDOW_FREQUENCY_BASE)
        full = {"rope_theta": config.get("rope_theta", 1e6), **(config.get("rope_scaling") or {})}
    if base != _WINDOW_FREQUENCY_BASE:
        raise DeployError(f"layers with a window rotate by {base}, llama.cpp by 10000", hint=vocab.HINT)
    return full


def fields(config: dict[str, Any]) -> list[Field]:
    """The metadata that other families do not have."""
    return [
        field("gemma3.attention.sliding_window", int(config["sliding_window"]), "u32"),
        field("gemma3.rope.freq_base_swa", _WINDOW_FREQUENCY_BASE, "f32"),
    ]
