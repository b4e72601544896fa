"""Float32 rows as Q8_0: to the last bit as the `gguf` package and llama.cpp's reference round them, and faster.

A block of 32 values is stored as a float16 scale (the largest absolute value over 127) and 32 signed bytes: each value
over the scale, rounded half away from zero. Some tens of thousands of values are worked on at once, so that what is
looked at again is still in the processor's cache.
Format: https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c (quantize_row_q8_0_ref)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BLOCK = 32
BLOCK_BYTES = 34
_BLOCKS_AT_ONCE = 2048
# The largest float32 below a half. Added before the fraction is cut off, it rounds half away from zero, exactly: with
# 0.5 itself 0.49999997 would become 1.
_BELOW_HALF = 0.49999997


def encode(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Finite float32 `values` (rows, columns), columns a multiple of 32, as bytes (rows, columns / 32 * 34)."""
    import numpy as np

    blocks = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, BLOCK)
    out = np.empty((len(blocks), BLOCK_BYTES), dtype=np.uint8)
    for first in range(0, len(blocks), _BLOCKS_AT_ONCE):
        _encode_blocks(blocks[first : first + _BLOCKS_AT_ONCE], out[first : first + _BLOCKS_AT_ONCE])
    return out.reshape(*values.shape[:-1], values.shape[-1] // BLOCK * BLOCK_BYTES)


def _encode_blocks(blocks: "np.ndarray[Any, Any]", out: "np.ndarray[Any, Any]") -> None:
    """`blocks` (n, 32) into `out` (n, 34)."""
    import numpy as np

    work = np.abs(blocks)
    # Bits of positive floats are in the order of the floats, and reduceat over integers takes a fifth of the time.
    largest = np.maximum.reduceat(work.view(np.uint32).reshape(-1), np.arange(0, work.size, BLOCK)).view(np.float32)
    scale = largest / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    scaled = blocks * inverse[:, None]
    np.copysign(np.float32(_BELOW_HALF), scaled, out=work)
    scaled += work
    out[:, :2] = scale.astype(np.float16)[:, None].view(np.uint8)
    out[:, 2:] = scaled.astype(np.int8).view(np.uint8)
