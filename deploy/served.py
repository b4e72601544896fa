"""One version as the gate asks it: answers from its server, likelihoods from the weights of the file that it serves.

Likelihoods come from transformers, which reads the file back, where it knows the family and the memory holds the
weights a second time, unpacked; else from a llama-server on the same file, token by token.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Protocol

from strop.deploy import gguf as ggufs
from strop.deploy.container import Container
from strop.deploy.scorer import GgufScorer, Likelihood
from strop.deploy.server_scorer import ServerScorer
from strop.deploy.targets.base import Conversation, Generation, Generator, Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.deploy.versions import Version
from strop.deploy.weights import FAMILIES

OnItem = Callable[[int, int], None]
# What a pass over a batch takes beside the weights.
_WORKING_BYTES = 1 << 30
# transformers and accelerate change torch itself while they load.
_LOADING = threading.Lock()


class Scorer(Protocol):
    """Likelihoods of given answers, in nats."""

    def score(
        self, items: Sequence[tuple[Conversation, Sequence[str]]], on_item: OnItem | None = None
    ) -> list[list[Likelihood]]: ...


class ServedModel:
    """A running version. Its scorer is opened by the first question for a likelihood, and lives as long as this."""

    def __init__(self, generator: Generator, opened: Callable[[], Scorer]) -> None:
        self.generator = generator
        self._open = opened
        self._scorer: Scorer | None = None

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> Sequence[Generation]:
        """One greedy answer a conversation, in order."""
        return self.generator.generate(conversations, max_tokens=max_tokens)

    def score(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[Likelihood]]:
        """For each (conversation, answers) the likelihood of each answer, in order."""
        if self._scorer is None:
            self._scorer = self._open()
        return self._scorer.score(items)


@contextmanager
def served_model(target: Target, version: Version, base_folder: Path, precision: str) -> Iterator[ServedModel]:
    """The version's server and scorer; both end with the block. `precision` is that of transformers, fp32 or bf16."""
    with target.serve(version) as generator, ExitStack() as stack:

        def opened() -> Scorer:
            if read_back(version.gguf, precision):
                with _LOADING:
                    return GgufScorer(version.gguf, base_folder, precision)
            if isinstance(generator, LlamaServer):
                return ServerScorer(generator, base_folder)
            server = stack.enter_context(LlamaCppTarget().serve_file(version.gguf))
            return ServerScorer(server, base_folder)

        yield ServedModel(generator, opened)


def read_back(gguf: Path, precision: str) -> bool:
    """Whether transformers can read this file's weights: a family that `weights` knows, and memory for all of them."""
    import psutil

    file = ggufs.open_model(gguf)
    if not _known(file):
        return False
    return _unpacked_bytes(file, precision) <= int(psutil.virtual_memory().available)


def scorer_bytes(gguf: Path, precision: str) -> int:
    """The memory that likelihoods take beside the version's server; 0 where that server, or another, tells them."""
    file = ggufs.open_model(gguf)
    return _unpacked_bytes(file, precision) if _known(file) else 0


def _known(file: Container) -> bool:
    return ggufs.metadata(file, "general.architecture") in FAMILIES


def _unpacked_bytes(file: Container, precision: str) -> int:
    values = sum(prod(tensor.shape) for tensor in file.tensors.values())
    return values * (2 if precision == "bf16" else 4) + _WORKING_BYTES
