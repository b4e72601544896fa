"""How many tokens a conversation has, by a file's own chat template and vocabulary, and without its weights.

A small file is written that has the `tokenizer.*` metadata of the model, the template among it, and the smallest
network that llama-server starts on. So llama.cpp renders and counts, as it does where the model itself is served, and
takes some 60 MB whatever the model's size; and what a strange text does to a tokenizer, it does to another process.

Not covered: images and sound, whose tokens an encoder makes.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy.container import Field, Planned, field, write
from strop.deploy.gguf import metadata, open_model
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.errors import BadGguf, TargetError

if TYPE_CHECKING:
    import numpy as np

_F32, _F16 = 0, 1
_WIDTH = 32  # of everything in the network: one head of a size that rotary embeddings and any block type take
_VOCABULARY = "tokenizer."


class TokenCounter:
    """Counts for one file. The first count starts a process, which lives until `close`. Thread-safe."""

    def __init__(self, gguf: Path) -> None:
        self._gguf = gguf
        self._lock = threading.Lock()
        self._open = contextlib.ExitStack()
        self._server: LlamaServer | None = None

    def count(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> int:
        """The tokens of a prompt that ends where the assistant begins to speak.

        Raises TargetError where the template refuses the conversation, and TargetDown, Missing, BadGguf or DeployError
        where nothing can be counted.
        """
        server = self._started()
        try:
            return len(server.tokenize(server.rendered(messages, tools), special=True, whole=True))
        except TargetError as error:
            if error.__cause__ is not None:  # it did not say no, it did not answer: the next count starts another
                self.close()
            raise

    def close(self) -> None:
        """End the process. The next count would start another."""
        with self._lock:
            self._server = None
            self._open.close()

    def _started(self) -> LlamaServer:
        with self._lock:
            if self._server is None:
                self._server = self._open.enter_context(_server(self._gguf))
            return self._server


@contextlib.contextmanager
def _server(gguf: Path) -> Iterator[LlamaServer]:
    with tempfile.TemporaryDirectory(prefix="strop-vocabulary-", ignore_cleanup_errors=True) as scratch:
        file = Path(scratch) / "vocabulary.gguf"
        write_vocabulary(gguf, file)
        with LlamaCppTarget(context_tokens=256, slots=1, threads=1).serve_file(file) as server:
            yield server


def write_vocabulary(gguf: Path, out: Path) -> None:
    """Write the vocabulary and the template of `gguf` with next to no weights. Raises BadGguf for one without any."""
    source = open_model(gguf)
    tokens = len(metadata(source, "tokenizer.ggml.tokens", []))
    if not tokens:
        raise BadGguf(f"{gguf} holds no vocabulary", hint="strop doctor")
    kept = [one for key, one in source.fields.items() if key.startswith(_VOCABULARY)]
    write(out, [*_network(), *kept], _weights(tokens))


def _network() -> list[Field]:
    sizes = {
        "block_count": 1,
        "context_length": 256,
        "embedding_length": _WIDTH,
        "feed_forward_length": _WIDTH,
        "attention.head_count": 1,
        "rope.dimension_count": _WIDTH,
    }
    return [
        field("general.architecture", "llama", "str"),
        *(field(f"llama.{key}", size, "u32") for key, size in sizes.items()),
        field("llama.attention.layer_norm_rms_epsilon", 1e-5, "f32"),
    ]


def _weights(tokens: int) -> list[Planned]:
    block = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    norms = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    return [
        _zeros("token_embd.weight", _F16, (tokens, _WIDTH)),
        *(_zeros(f"{name}.weight", _F32, (_WIDTH,)) for name in norms),
        *(_zeros(f"blk.0.{name}.weight", _F16, (_WIDTH, _WIDTH)) for name in block),
    ]


def _zeros(name: str, kind: int, shape: tuple[int, ...]) -> Planned:
    def pieces() -> "Iterator[np.ndarray[Any, Any]]":
        import numpy as np

        yield np.zeros(shape, dtype=np.float32 if kind == _F32 else np.float16)

    return Planned(name, kind, shape, pieces)
