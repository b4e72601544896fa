"""The front door's memory: what is free, what a version's file takes, and what was chosen for the live one.

The choice is `strop.trainer.serving`'s. A running server writes what it chose beside its address, since what is free
then is no longer free afterwards; `strop status` and `strop doctor` read it from there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strop.config import Config
from strop.deploy.versions import Versions
from strop.errors import StropError
from strop.files import write_json
from strop.home import Home
from strop.server.running import folder, running
from strop.trainer.serving import Asked, Served, Serving, serving, side_by_side

_BUFFERS = 1.2
_CACHE_VALUE_BYTES = 2  # keys and values in 16 bits


def free_memory_bytes() -> int:
    """What can be had without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def served(gguf: Path) -> Served:
    """What a server of this file holds, by its own metadata; by its size alone where that cannot be read."""
    from strop.deploy.gguf import metadata, open_model

    weights = round(gguf.stat().st_size * _BUFFERS)
    try:
        file = open_model(gguf)
    except StropError:
        return Served(weights, 0)
    kind = metadata(file, "general.architecture")

    def of(name: str, default: Any = 0) -> Any:
        return metadata(file, f"{kind}.{name}", default)

    layers, heads = of("block_count"), of("attention.head_count")
    kept = of("attention.head_count_kv", heads)
    every = sum(kept) if isinstance(kept, list) else layers * (sum(heads) // len(heads) if _many(heads) else kept)
    width = of("embedding_length") // max(1, max(heads) if _many(heads) else heads)
    keys = of("attention.key_length", width)
    token = every * (keys + of("attention.value_length", keys)) * _CACHE_VALUE_BYTES
    return Served(weights, token, of("context_length", None))


def asked(config: Config, home: Home | None = None) -> Asked:
    """What is set, and whether a server of this home holds its memory already."""
    runs = home is not None and running(home) is not None
    return Asked(config.serve.slots, config.serve.context_tokens, int(runs), config.target == "ollama")


def write_down(home: Home, tag: str, chosen: Serving | None) -> None:
    """Say what the live version's server was given; None for one that is not ours."""
    write_json(folder(home) / "context.json", {"tag": tag, **(asdict(chosen) if chosen else {})})


def written_down(home: Home, tag: str | None) -> Mapping[str, Any] | None:
    """What a server that runs now gave the live version; None where none runs or it is not ours to give."""
    try:
        data = json.loads((home.path / "serve" / "context.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(data, dict) and data.get("tag") == tag and "context_tokens" in data
    return data if known and running(home) is not None else None


def outlook(home: Home, config: Config | None) -> tuple[str, bool | None, str]:
    """For `strop doctor`: the context of the live version, True where two versions fit, and why."""
    try:
        return _outlook(home, config) if config else ("unknown", None, "the settings cannot be read")
    except (StropError, ImportError) as error:
        return "unknown", None, str(error)


def _outlook(home: Home, config: Config) -> tuple[str, bool | None, str]:
    live = Versions(home.state_db).live() if home.state_db.exists() else None
    if config.target == "ollama":
        return f"{config.ollama.num_ctx:,} tokens", True, "Ollama decides how many models it keeps loaded"
    if live is None or not live.gguf.is_file():
        return "nothing yet", None, "no version is live"
    given, room = asked(config, home), free_memory_bytes()
    told = written_down(home, live.tag)
    one = Serving(**{name: told[name] for name in Serving.__slots__ if name in told}) if told else None
    one = one or serving(served(live.gguf), given, room)
    both, why = side_by_side(one, given, room)
    return f"{one.context_tokens:,} tokens", True if both else None, f"{one.reason}; {why}"


def _many(value: Any) -> bool:
    return isinstance(value, list) and bool(value)
