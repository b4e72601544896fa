"""The most memory that a LoRA or QLoRA run holds at once, computed from the model's shape: no weight is loaded.

A step peaks where the backward pass begins: the frozen base, the adapter with what its optimiser keeps, everything that
the forward pass saved for the backward pass, and the logits. Sizes are in bytes, GB are 10^9 bytes. On a processor the
figure is the resident memory of the training process, on a card that of the card.
Not covered: the loss on held-out rows (`strop.trainer.measure`), and what llama-server holds beside a run.
"""

from dataclasses import dataclass
from typing import Any, Literal

from strop.trainer.head import MAX_LOGITS
from strop.trainer.recipe import LoadIn, Precision
from strop.trainer.shape import Shape

Device = Literal["cpu", "cuda", "mps"]

# What python, torch, transformers, peft, trl and datasets hold before a model is there. Measured: 546 MB resident
# (CPU build of torch 2.10, transformers 5.23, trl 1.16), and 60 MB more once a trainer has run.
_LIBRARY_CPU = 606_000_000
# The CUDA context with cuBLAS' kernels and workspace: 0.5 to 1 GB by card and driver (what nvidia-smi shows for a
# process that has made one product, less the product).
_LIBRARY_CUDA = 750_000_000
# NF4 with double quantisation: 4 bits, one 8-bit constant for 64 weights, one float32 for 256 constants
# (QLoRA, arXiv 2305.14314, section 3): 0.5 + 1/64 + 4/(64 * 256).
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# LLM.int8() keeps one float32 for each row beside its bytes (arXiv 2208.07339): a thousandth.
_INT8 = 1.001
# Per trainable weight in float32: the master copy and Adam's two moments (trainer/optimizer.py).
_OPTIMISER = 12
# On a processor (trainer/head.py `_fields`): logits, log-probabilities, probabilities and one product of the two.
_LOGIT_COPIES = 4
# What glibc's allocator holds beside what is in use once tensors of many sizes have come and gone. Measured on
# SmolLM2-135M in float32 with peaks of 1.6 to 12 GB (1 to 8 rows of 128 to 512 tokens): 1.5 times the activations and
# twice the logits; with every tensor in a mapping of its own (MALLOC_MMAP_THRESHOLD_=65536) it is 1.0 of both, at 30 %
# more time. CUDA's caching allocator keeps its blocks by size: nothing is added there.
_HOLES_ACTIVATIONS, _HOLES_LOGITS = 1.5, 2.0
# On an accelerator TRL's fused head folds tiles of this many positions and words (trl 1.16, its chunked_logprob.py).
_TILE_POSITIONS, _TILE_WORDS = 4096, 32768
# Q8_0: 32 weights in 34 bytes (ggml's block_q8_0).
Q8_0 = 34 / 32
# llama-server beside its weights, keys and values: program and compute buffers, an assumption.
_SERVER = 200_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a step. `length` is the longest row in tokens, `scored` how many of a row's tokens are learned.

    `sequences` is how many a row makes of itself: 1, or 2 for a pair. `checkpointing` keeps a layer's input alone and
    computes the rest again.
    """

    batch: int
    length: int
    scored: int
    rank: int = 16
    precision: Precision = "bf16"
    load_in: LoadIn = "16bit"
    checkpointing: bool = False
    sequences: int = 1
    device: Device = "cpu"

    @property
    def bytes_a_value(self) -> int:
        """Of a number in the precision that it computes in."""
        return 2 if self.precision == "bf16" else 4

    @property
    def tokens(self) -> int:
        """Positions in one forward pass, padding included."""
        return self.batch * self.sequences * self.length


@dataclass(frozen=True, slots=True)
class Peak:
    """What is held at once, in bytes, by what it is for."""

    library: int
    weights: int
    adapter: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.library + self.weights + self.adapter + self.activations + self.logits

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        parts = {name: getattr(self, name) for name in ("library", "weights", "adapter", "activations", "logits")}
        return {"total": self.total, **parts}


def peak(shape: Shape, setting: Setting) -> Peak:
    """The peak of a run of `shape` under `setting`."""
    return Peak(
        library=_LIBRARY_CUDA if setting.device == "cuda" else _LIBRARY_CPU,
        weights=weights(shape, setting),
        adapter=shape.adapter_parameters(setting.rank) * (2 * setting.bytes_a_value + _OPTIMISER),
        activations=activations(shape, setting),
        logits=logits(shape, setting),
    )


def weights(shape: Shape, setting: Setting) -> int:
    """The frozen base: linear layers in the asked number of bits, embedding, head and norms in the precision."""
    plain = setting.bytes_a_value
    each = {"16bit": float(plain), "8bit": _INT8, "4bit": _NF4}[setting.load_in]
    # In 4 bits a layer is unpacked to be multiplied: the largest one is there twice.
    unpacked = max(layer.parameters for layer in shape.linear) * plain if setting.load_in == "4bit" else 0
    rest = (shape.table_parameters + shape.other_parameters) * plain
    return round(shape.linear_parameters * each + rest + unpacked)


def activations(shape: Shape, setting: Setting) -> int:
    """What the forward pass saves for the backward pass, or with checkpointing each layer's input and one layer."""
    layer = saved_bytes(shape, setting)
    kept = (
        shape.layers * shape.hidden * setting.bytes_a_value + layer if setting.checkpointing else shape.layers * layer
    )
    return round(setting.tokens * kept * (_HOLES_ACTIVATIONS if setting.device == "cpu" else 1.0))


def saved_bytes(shape: Shape, setting: Setting) -> int:
    """Bytes that one layer saves for one position when the base is frozen and a LoRA is on all its linear layers.

    In float32 whatever the precision: the inputs of the two norms (and of the head norms). In the precision: what the
    norms give, queries and the attention's result, keys and values, four times the MLP's width (gate, its activation,
    up, their product), and r values a linear layer. Counted with `saved_tensors_hooks` on SmolLM2-135M: 40,445 bytes in
    float32 and 22,549 in bfloat16; this gives 40,384 and 22,496.
    """
    norms = 2 * shape.hidden + (shape.query + shape.key_value if shape.head_norms else 0)
    inner = 2 * shape.hidden + 2 * shape.query + 2 * shape.key_value + 4 * shape.intermediate
    adapters = setting.rank * len(shape.linear) // shape.layers
    return 4 * norms + setting.bytes_a_value * (inner + adapters)


def logits(shape: Shape, setting: Setting) -> int:
    """Scores over the vocabulary in float32: all of them on a processor while they are few, else tiles."""
    values = setting.batch * setting.sequences * setting.scored * shape.vocabulary
    if setting.device != "cpu" or values > MAX_LOGITS:
        values = min(setting.tokens, _TILE_POSITIONS) * min(shape.vocabulary, _TILE_WORDS)
    return round(values * 4 * (_LOGIT_COPIES * _HOLES_LOGITS if setting.device == "cpu" else 1))


def adapter_bytes(shape: Shape, rank: int, precision: Precision) -> int:
    """The size of the adapter's file: it is saved in the precision it was trained in (trainer/train.py)."""
    return shape.adapter_parameters(rank) * (2 if precision == "bf16" else 4)


def served_bytes(shape: Shape, context_tokens: int) -> int:
    """What llama-server holds for one Q8_0 model: weights, keys and values of the context in 16 bits, and itself."""
    return round(shape.parameters * Q8_0) + context_tokens * cache_token_bytes(shape) + _SERVER


def cache_token_bytes(shape: Shape) -> int:
    """Keys and values of one token of context, in 16 bits."""
    return shape.layers * 2 * shape.key_value * 2


def disk_bytes(shape: Shape, rank: int, precision: Precision) -> int:
    """What a night writes: the adapter, the base as an F16 GGUF (once), and a build, for which F16's size is kept."""
    return adapter_bytes(shape, rank, precision) + 2 * shape.parameters * 2
