"""How far quantising moved a model: the mean Kullback-Leibler divergence from its own F16.

At each position of the F16's own greedy answers to given prompts, KL(F16 || quantised) over the whole vocabulary, in
nats: what llama.cpp's perplexity tool calls mean KLD, on answers instead of an encyclopedia. The weights are those of
the files, read back into transformers (`weights.load_into`), one model in memory at a time; what llama.cpp itself adds
by rounding activations is not part of it. The F16's distributions stand in a scratch file meanwhile: 4 bytes for each
position and token of the vocabulary, 200 MB for 1,024 positions of SmolLM2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy import reading
from strop.deploy.reading import Pair
from strop.deploy.weights import load_into
from strop.errors import DeployError

if TYPE_CHECKING:
    import numpy as np

POSITIONS = 1024
LEAST_POSITIONS = 256


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL from F16 in nats: its mean over `positions`, its 99th percentile; and the share of equal first choices."""

    mean_nats: float
    high_nats: float
    same_top: float
    positions: int

    @property
    def figure(self) -> str:
        """For a certificate or a report."""
        return (
            f"{self.mean_nats:.4f} nats a token from its own F16 over {self.positions} tokens "
            f"({self.same_top:.1%} the same first choice)"
        )


def trimmed(texts: Sequence[Pair], positions: int = POSITIONS) -> list[Pair]:
    """The first texts that together have about `positions` answer tokens. Raises DeployError for too few to tell."""
    kept: list[Pair] = []
    for prompt, answer in texts:
        room = positions - sum(len(one) for _, one in kept)
        if room > 0 and answer:
            kept.append((list(prompt), list(answer)[:room]))
    found = sum(len(answer) for _, answer in kept)
    if found < LEAST_POSITIONS:
        raise DeployError(
            f"the model answered {found} tokens in all, at least {LEAST_POSITIONS} are needed to compare types",
            hint="name the type: --quant Q8_0",
        )
    return kept


class Reference:
    """The F16's distributions over some texts, kept in a file below `scratch` until that is removed."""

    def __init__(
        self, exact: Path, folder: Path, texts: Sequence[Pair], scratch: Path, precision: str = "fp32"
    ) -> None:
        self._folder, self._precision = folder, precision
        self._texts = texts
        self._file = scratch / "distributions.f32"
        self._shape = self._write(exact)

    def _write(self, exact: Path) -> tuple[int, int]:
        rows = width = 0
        with self._file.open("wb") as out:
            for logprobs in self._distributions(exact):
                rows, width = rows + logprobs.shape[0], logprobs.shape[1]
                out.write(logprobs.contiguous().numpy().data.cast("B"))
        return rows, width

    def of(self, gguf: Path) -> Divergence:
        """The divergence of another file of the same model. Raises BadGguf, and DeployError for a NaN."""
        import numpy as np
        import torch

        kept = np.memmap(self._file, dtype=np.float32, mode="r", shape=self._shape)
        found, same, at = [], 0, 0
        for logprobs in self._distributions(gguf):
            exact = torch.from_numpy(np.array(kept[at : at + len(logprobs)]))
            at += len(logprobs)
            found.append((exact.exp() * (exact - logprobs)).sum(dim=-1))
            same += int((exact.argmax(dim=-1) == logprobs.argmax(dim=-1)).sum())
        return _summed(torch.cat(found).numpy(), same)

    def _distributions(self, gguf: Path) -> Iterator[Any]:
        """Log-probabilities at the answers' positions, a few texts at a time: (positions, vocabulary), float32."""
        import torch

        model = load_into(gguf, self._folder, "bfloat16" if self._precision == "bf16" else "float32")
        with torch.inference_mode():
            for batch in reading.batches(self._texts):
                read = reading.logits(model, [self._texts[number] for number in batch])
                yield torch.cat(list(read)).float().log_softmax(dim=-1)


def _summed(nats: "np.ndarray[Any, Any]", same: int) -> Divergence:
    import numpy as np

    if not np.isfinite(nats).all():
        raise DeployError("the quantised model's probabilities are not finite", hint="use --quant F16")
    return Divergence(float(nats.mean()), float(np.quantile(nats, 0.99)), same / len(nats), len(nats))
