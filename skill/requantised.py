"""What it costs to train a model that came quantised: its file written again, against the file that answered before.

Its weights are unpacked to 16 bits, an adapter is added, and the sum is quantised once more. Each rounding moves the
model a little; the figure says how far, for the untouched base, so that nobody takes it for the adapter's doing.
"""

import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from strop import quant
from strop.deploy.divergence import Divergence
from strop.deploy.gguf import metadata, open_model
from strop.files import write_json
from strop.home import Home
from strop.trainer.models import BaseModel

_ON_THE_HUB = re.compile(r"https://huggingface\.co/([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/?")
_NAMES: tuple[str, ...] = (
    "general.source.huggingface.repository",
    "general.base_model.0.repo_url",
    "general.source.url",
    "general.source.repo_url",
    "general.repo_url",
)
_BARE = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Loss:
    """The base as it is served here, against the file that it came as; `hub` has the weights before any quantising."""

    base: str
    quant: str
    found: Divergence
    hub: str | None

    @property
    def sentence(self) -> str:
        """For a terminal."""
        said = f"{self.base}, unpacked and written again as {self.quant}, is {self.found.mean_nats:.4f} nats a token "
        said += f"from the file that it came as ({self.found.same_top:.1%} the same first choice)"
        return said + (f"; {self.hub} has the weights that were not quantised" if self.hub else "")

    def as_dict(self) -> dict[str, Any]:
        """For keeping."""
        return {**asdict(self), "found": asdict(self.found)}


def measured(home: Home, base: BaseModel, original: Path, built: Path, quant_name: str) -> Loss:
    """The divergence of `built` from `original` over the original's own answers; kept beside the builds."""
    with tempfile.TemporaryDirectory(dir=home.builds, prefix=".loss-") as scratch:
        found = quant.measure(original, base, Path(scratch)).of(built)
    loss = Loss(base.ref, quant_name, found, hub_repository(original))
    write_json(home.builds / f"loss-{base.sha256[:16]}.json", loss.as_dict())
    return loss


def hub_repository(gguf: Path) -> str | None:
    """`hf:ORG/NAME` where a GGUF's metadata names the Hub repository that it was made from. Raises BadGguf."""
    file = open_model(gguf)
    for key in _NAMES:
        value = metadata(file, key)
        if not isinstance(value, str):
            continue
        match = _ON_THE_HUB.fullmatch(value)
        if match or (key.endswith("repository") and _BARE.fullmatch(value)):
            return f"hf:{match[1] if match else value}"
    return None
