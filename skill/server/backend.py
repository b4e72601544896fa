"""What answers for one version: a llama-server child of ours, or an immutable Ollama tag. Each with one HTTP client."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

from strop.config import Config
from strop.deploy.abilities import Abilities, abilities, through
from strop.deploy.counting import TokenCounter
from strop.deploy.targets.llamacpp import LlamaChild, LlamaCppTarget
from strop.deploy.versions import Version
from strop.errors import StropError, TargetAway, TargetDown
from strop.server.escape import Escape, control_texts, escaper
from strop.server.length import Length
from strop.server.room import asked, free_memory_bytes, served
from strop.trainer.serving import Serving, all_known, serving

if TYPE_CHECKING:
    import httpx2

    from strop.deploy.targets.ollama import OllamaTarget

_log = logging.getLogger(__name__)
# llama-server closes a connection that was idle for 5 s.
_KEEP_S = 2.0
CHAT = "/v1/chat/completions"
# What a server that is not ours is asked, to see whether it is there, and for how long.
_HEALTH, _HEALTH_S = "/api/version", 1.0
_WARM = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


class Backend:
    """One version, ready to answer. `model` is what its server calls it."""

    def __init__(
        self,
        version: Version,
        model: str,
        client: "httpx2.AsyncClient",
        escape: Escape,
        child: LlamaChild | None = None,
        able: Abilities | None = None,
        serving: Serving | None = None,
        length: Length | None = None,
        health: str | None = None,
    ) -> None:
        self.version = version
        self.tag = version.tag
        self.model = model
        self.client = client
        self.escape = escape
        self.child = child
        self.able = able  # None: not known, so nothing is refused for it
        self.serving = serving  # None: not a server of ours
        self.length = length  # None: its server refuses what is too long by itself
        self._health = health  # None: its process says whether it is there
        self._asking: asyncio.Task[bool] | None = None
        self._asked = 0.0
        self.under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Count a request: the server does not end while it is under way."""
        self.under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()

    def alive(self) -> bool:
        """Whether its server still runs, as far as can be told without asking it."""
        return self.child is None or self.child.alive()

    async def up(self, age_s: float = 0.0) -> bool:
        """Whether its server is there. One that is not ours is asked, unless it was within the last `age_s` seconds."""
        if self._health is None:
            return self.alive()
        if self._asking is None or time.monotonic() - self._asked >= age_s:
            self._asked = time.monotonic()
            self._asking = asyncio.create_task(_answers(self.client, self._health))
        return await asyncio.shield(self._asking)

    async def ended(self) -> bool:
        """Whether its process has ended: a second is waited for that, since its connections close a little before."""
        return self.child is not None and await asyncio.to_thread(self.child.said_of_its_end) is not None

    async def warm(self) -> None:
        """Have it answer once. Raises TargetDown where it does not."""
        import httpx2

        try:
            response = await self.client.post(CHAT, json={**_WARM, "model": self.model})
        except httpx2.HTTPError as error:
            raise TargetDown(f"{self.tag} does not answer: {type(error).__name__}", hint="strop rollback") from error
        if response.status_code != 200:
            raise TargetDown(f"{self.tag} does not answer: HTTP {response.status_code}", hint="strop rollback")

    async def drained(self, limit_s: float) -> None:
        """Return when no request is under way, or after `limit_s` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), limit_s)

    async def close(self) -> None:
        """End what was started for it. Requests that are still under way fail."""
        await self.client.aclose()
        if self.length is not None:
            await self.length.close()
        if self.child is not None:
            await asyncio.to_thread(self.child.close)


class Backends(Protocol):
    """Starts what answers for a version."""

    async def start(self, version: Version) -> Backend:
        """Raises TargetDown, TargetError and the like where it cannot be had."""
        ...

    def needs_bytes(self, version: Version) -> int:
        """The memory that one more of them takes on this machine."""
        ...


class LlamaCppBackends:
    """A llama-server child a version."""

    def __init__(self, config: Config) -> None:
        self._asked, self._threads, self._timeout_s = asked(config), config.serve.threads, config.serve.timeout_s
        # As it is before the first of our servers runs, so that every version gets as much context as the others.
        self._room_bytes = free_memory_bytes()

    async def start(self, version: Version) -> Backend:
        chosen = await asyncio.to_thread(self._serving, version)
        _log.info("%s gets %s", version.tag, chosen.reason)
        target = LlamaCppTarget(context_tokens=chosen.context_tokens, slots=chosen.slots, threads=self._threads)
        child = await _child(target, version)
        try:
            client = _client(child.url, self._timeout_s, child.headers)
            able = await asyncio.to_thread(abilities, version.gguf)
            backend = Backend(version, version.tag, client, await _escape_of(version), child, able, chosen)
            await backend.warm()
        except BaseException:
            await asyncio.to_thread(child.close)
            raise
        return backend

    def needs_bytes(self, version: Version) -> int:
        """The file with a fifth for buffers, and keys and values of the whole context in 16 bits."""
        return self._serving(version).needs_bytes

    def _serving(self, version: Version) -> Serving:
        if not version.gguf.is_file():
            raise TargetDown(f"the file of {version.tag} is gone: {version.gguf}", hint="strop versions")
        return serving(served(version.gguf), self._asked, self._room_bytes)


class OllamaBackends:
    """The version's own immutable tag, whatever the alias is at."""

    def __init__(self, config: Config, target: "OllamaTarget") -> None:
        from strop.deploy.targets.ollama_api import loopback_host

        self._target = target
        self._host = loopback_host(config.ollama.host, allow_remote=config.ollama.allow_remote)
        self._timeout_s = config.ollama.timeout_s

    async def start(self, version: Version) -> Backend:
        client = _client(self._host, self._timeout_s, {})
        try:
            await asyncio.to_thread(self._target.publish, version)
            able, escape = await asyncio.to_thread(self._able, version), await _escape_of(version)
            name, limit = self._target.name_of(version), await asyncio.to_thread(self._target.context_tokens, version)
            length = Length(TokenCounter(version.gguf), limit, all_known(served(version.gguf), limit))
            backend = Backend(version, name, client, escape, able=able, length=length, health=_HEALTH)
            await backend.warm()
        except BaseException as error:
            away = isinstance(error, StropError) and not await _answers(client, _HEALTH)
            await client.aclose()
            if away:
                raise TargetAway(f"no Ollama answers at {self._host}", hint="ollama serve") from error
            raise
        return backend

    def _able(self, version: Version) -> Abilities:
        return through(abilities(version.gguf), version.gguf, self._target.template(version))

    def needs_bytes(self, version: Version) -> int:
        """None of ours: Ollama decides what it keeps loaded."""
        return 0


def backends(config: Config, target: Any) -> Backends:
    """Those of the configured target."""
    return OllamaBackends(config, target) if config.target == "ollama" else LlamaCppBackends(config)


async def _child(target: LlamaCppTarget, version: Version) -> LlamaChild:
    """A server of the version. One that comes up after nobody waits for it any more is ended."""
    starting = asyncio.ensure_future(asyncio.to_thread(target.start, version.gguf, version.tag))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(StropError):
            await asyncio.to_thread((await starting).close)
        raise


async def _answers(client: "httpx2.AsyncClient", path: str) -> bool:
    import httpx2

    try:
        return (await client.get(path, timeout=_HEALTH_S)).status_code == 200
    except httpx2.HTTPError:
        return False
    except RuntimeError:  # closed meanwhile
        return not client.is_closed


async def _escape_of(version: Version) -> Escape:
    return escaper(await asyncio.to_thread(control_texts, version.gguf))


def _client(url: str, timeout_s: float, headers: dict[str, str]) -> "httpx2.AsyncClient":
    import httpx2

    return httpx2.AsyncClient(
        base_url=url,
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(timeout_s, connect=5.0, pool=None),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=_KEEP_S),
        trust_env=False,
        follow_redirects=False,
    )
