"""One question to the live model, answered as its users get it."""

from dataclasses import dataclass
from typing import Any

from strop.config import Config
from strop.deploy.targets.base import Generator, Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import UsageError
from strop.home import Home
from strop.setup import OnProgress, open_target, prepare

MAX_TOKENS = 512
_CONTEXT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and the version that gave it."""

    text: str
    version: str
    tokens: int
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"answer": self.text, "version": self.version, "tokens": self.tokens, "finished": self.finished}


def answer(
    home: Home, config: Config, prompt: str, *, on_progress: OnProgress = lambda stage, share, text: None
) -> Reply:
    """Ask the live version; on a fresh home that is the untouched base, which is then made ready first.

    Raises UsageError for an empty prompt, and what the target raises.
    """
    if not prompt.strip():
        raise UsageError("the question is empty", hint='strop chat "What is a strop?"')
    target = _target(home, config)
    version = Versions(home.state_db).live() or prepare(home, config, target, on_progress).version
    with target.serve(version) as server:
        return _ask(server, version, prompt)


def _ask(server: Generator, version: Version, prompt: str) -> Reply:
    said = server.generate([[{"role": "user", "content": prompt}]], max_tokens=MAX_TOKENS)[0]
    return Reply(said.text.strip(), version.tag, said.tokens, said.finished)


def _target(home: Home, config: Config) -> Target:
    """The configured target; the embedded one with a single slot, which is all that one question needs."""
    if config.target == "llamacpp":
        return LlamaCppTarget(context_tokens=_CONTEXT_TOKENS, slots=1)
    return open_target(home, config)
