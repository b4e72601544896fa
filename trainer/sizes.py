"""The shapes of well-known models, by the values of their config.json: for tables, and for a smaller sibling.

Tests hold eight of them against the published number of parameters, and all against the size in their name
(tests/trainer/test_shape.py).
"""

from collections.abc import Mapping

from strop.trainer.shape import Shape, from_values

# name: family, hidden, intermediate, layers, heads, kv_heads, head width, vocabulary, tied
_VALUES: Mapping[str, tuple[str, int, int, int, int, int, int, int, bool]] = {
    "SmolLM2-135M": ("smollm2", 576, 1536, 30, 9, 3, 64, 49152, True),
    "SmolLM2-360M": ("smollm2", 960, 2560, 32, 15, 5, 64, 49152, True),
    "SmolLM2-1.7B": ("smollm2", 2048, 8192, 24, 32, 32, 64, 49152, True),
    "Qwen2.5-0.5B": ("qwen2", 896, 4864, 24, 14, 2, 64, 151936, True),
    "Qwen2.5-1.5B": ("qwen2", 1536, 8960, 28, 12, 2, 128, 151936, True),
    "Qwen2.5-3B": ("qwen2", 2048, 11008, 36, 16, 2, 128, 151936, True),
    "Qwen2.5-7B": ("qwen2", 3584, 18944, 28, 28, 4, 128, 152064, False),
    "Qwen2.5-14B": ("qwen2", 5120, 13824, 48, 40, 8, 128, 152064, False),
    "Qwen2.5-32B": ("qwen2", 5120, 27648, 64, 40, 8, 128, 152064, False),
    "Qwen2.5-72B": ("qwen2", 8192, 29568, 80, 64, 8, 128, 152064, False),
    "Qwen3-0.6B": ("qwen3", 1024, 3072, 28, 16, 8, 128, 151936, True),
    "Qwen3-1.7B": ("qwen3", 2048, 6144, 28, 16, 8, 128, 151936, True),
    "Qwen3-4B": ("qwen3", 2560, 9728, 36, 32, 8, 128, 151936, True),
    "Qwen3-8B": ("qwen3", 4096, 12288, 36, 32, 8, 128, 151936, False),
    "Qwen3-14B": ("qwen3", 5120, 17408, 40, 40, 8, 128, 151936, False),
    "Qwen3-32B": ("qwen3", 5120, 25600, 64, 64, 8, 128, 151936, False),
    "Llama-2-7B": ("llama-2", 4096, 11008, 32, 32, 32, 128, 32000, False),
    "Llama-2-13B": ("llama-2", 5120, 13824, 40, 40, 40, 128, 32000, False),
    "Llama-2-70B": ("llama-2", 8192, 28672, 80, 64, 8, 128, 32000, False),
    "Llama-3.2-1B": ("llama-3", 2048, 8192, 16, 32, 8, 64, 128256, True),
    "Llama-3.2-3B": ("llama-3", 3072, 8192, 28, 24, 8, 128, 128256, True),
    "Llama-3.1-8B": ("llama-3", 4096, 14336, 32, 32, 8, 128, 128256, False),
    "Llama-3.1-70B": ("llama-3", 8192, 28672, 80, 64, 8, 128, 128256, False),
}
# Llamas of all makers call themselves "llama"; their vocabularies tell them apart.
_LLAMAS = {32000: "llama-2", 128256: "llama-3", 49152: "smollm2"}


def known(name: str) -> Shape:
    """The shape of a well-known model; KeyError for a name that is not in `names()`."""
    family, hidden, intermediate, layers, heads, kv_heads, head, vocabulary, tied = _VALUES[name]
    return from_values(
        name,
        family=family,
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        vocabulary=vocabulary,
        tied=tied,
        head_norms=family == "qwen3",
    )


def head_width(name: str) -> int:
    """How many values one attention head of a well-known model holds."""
    return _VALUES[name][6]


def names() -> tuple[str, ...]:
    """All well-known models, by family and size."""
    return tuple(_VALUES)


def smaller(shape: Shape) -> tuple[Shape, ...]:
    """The well-known models of the same family with less than two thirds of the parameters, the largest first."""
    family = _LLAMAS.get(shape.vocabulary, shape.family) if shape.family == "llama" else shape.family
    siblings = [known(name) for name, values in _VALUES.items() if values[0] == family]
    return tuple(sorted((s for s in siblings if s.parameters * 3 < shape.parameters * 2), key=lambda s: -s.parameters))
