"""The rows of a batch behind one another instead of padded to the longest, each attending to itself alone.

No position is computed that nobody asked for, so the batches need not hold rows of like lengths. TRL lays such batches
out (`padding_free`) and hands over where each row begins; here is the attention that reads it: torch's own kernel for
rows of any length on a card (`torch.nn.attention.varlen`, nothing to install), one row after another elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import pairwise
from typing import Any

# Families whose attention is no more than a mask and positions: no sliding window, no state that runs along.
_PLAIN_FAMILIES = frozenset({"llama", "qwen2", "qwen3"})
_NAME = "strop_rows"
# The kernel wants Ampere or newer and half precision (FlashAttention-2's own terms), heads no wider than this.
_ARCHITECTURE, _WIDEST_HEAD = (8, 0), 256


def is_plain(model: Any) -> bool:
    """Whether every layer of this model attends to all that its mask and positions allow, and to nothing else."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return config.model_type in _PLAIN_FAMILIES and layers == {"full_attention"}


def can_join(model: Any) -> bool:
    """Whether rows may stand behind one another for this model, where it is and in the precision it computes in."""
    import torch

    if not is_plain(model):
        return False
    where = next(model.parameters()).device
    if where.type != "cuda":
        return bool(where.type == "cpu")
    config = model.config.get_text_config()
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    half = model.dtype in (torch.bfloat16, torch.float16)
    if torch.cuda.device_count() > 1:  # transformers would deal a batch out to all of them, and not by its rows
        return False
    return half and width <= _WIDEST_HEAD and torch.cuda.get_device_capability(where) >= _ARCHITECTURE


@contextmanager
def joined(model: Any) -> Iterator[None]:
    """Inside, `model` (transformers' own, without an adapter around it) reads batches of rows behind one another."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float,
    cu_seq_lens_q: Any,
    max_length_q: int,
    **kwargs: Any,
) -> tuple[Any, None]:
    """(1, heads, tokens, width) to (1, tokens, heads, width); `cu_seq_lens_q` are the rows' beginnings and the end."""
    if query.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        one, two, three = (each[0].transpose(0, 1) for each in (query, key, value))
        # Fewer heads for keys than for queries: the kernel always could; torch 2.11 does not ask, later ones do.
        shared: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in signature(varlen_attn).parameters else {}
        ends, longest = (cu_seq_lens_q, cu_seq_lens_q), (max_length_q, max_length_q)
        seen: Any = varlen_attn(one, two, three, *ends, *longest, scale=scaling, window_size=(-1, 0), **shared)
        return seen[None], None
    return _one_by_one(query, key, value, cu_seq_lens_q.tolist(), scaling), None


def _one_by_one(query: Any, key: Any, value: Any, bounds: list[int], scaling: float) -> Any:
    import torch

    rows = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            is_causal=True,
            scale=scaling,
            enable_gqa=True,
        )
        for start, end in pairwise(bounds)
    ]
    return torch.cat(rows, dim=2).transpose(1, 2)
