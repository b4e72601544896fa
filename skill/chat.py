"""One question to the live model, answered as its users get it: by the server that runs, else by one of our own."""

from dataclasses import dataclass
from typing import Any

from strop.config import Config
from strop.deploy.targets.base import Generator, Target
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.versions import Version, Versions
from strop.errors import TargetError, UsageError
from strop.home import Home
from strop.server import running
from strop.setup import OnProgress, prepare
from strop.target import open_target

MAX_TOKENS = 512
_CONTEXT_TOKENS = 4096
_CONNECT_S, _ANSWER_S = 2.0, 600.0
_ASK = 'strop chat "What is a strop?"'


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

    Where `strop serve` runs it is asked, and records the answer; else a server is started for this one question. Raises
    UsageError for a prompt that is empty or no text, and what the target raises.
    """
    if not prompt.strip():
        raise UsageError("the question is empty", hint=_ASK)
    if (half := next((one for one in prompt if "\ud800" <= one <= "\udfff"), None)) is not None:
        raise UsageError(f"the question holds half of a character (U+{ord(half):04X}): type it again", hint=_ASK)
    front_door = running.running(home)
    if front_door is not None and (reply := _by_server(home, front_door, prompt)) is not None:
        return reply
    target = _target(home, config)
    version = Versions(home.state_db).live() or prepare(home, config, target, on_progress).version
    with target.serve(version) as server:
        return _ask(server, version, prompt)


def _ask(server: Generator, version: Version, prompt: str) -> Reply:
    said = server.generate([[{"role": "user", "content": prompt}]], max_tokens=MAX_TOKENS)[0]
    return Reply(said.text.strip(), version.tag, said.tokens, said.finished)


def _by_server(home: Home, server: running.Running, prompt: str) -> Reply | None:
    """The running server's answer; None where it is just ending and nothing listens there any more."""
    import httpx2

    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": MAX_TOKENS, "temperature": 0, "seed": 1}
    headers = {"Authorization": f"Bearer {running.token(home)}"}
    timeout = httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S)
    try:
        with httpx2.Client(base_url=server.url, headers=headers, timeout=timeout, trust_env=False) as client:
            answer = client.post("/v1/chat/completions", json=body)
        data = answer.json()
        if answer.status_code != 200:
            raise TargetError(f"strop serve refused: {data['error']['message']}", hint="strop status")
        choice = data["choices"][0]
        text, ended = (choice["message"].get("content") or "").strip(), choice["finish_reason"] == "stop"
        return Reply(text, data["strop"]["version"], int(data["usage"]["completion_tokens"]), ended)
    except httpx2.ConnectError:
        return None
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise TargetError(f"strop serve did not answer: {type(error).__name__}", hint="strop status") from error


def _target(home: Home, config: Config) -> Target:
    """The configured target; the embedded one with a single slot, which is all that one question needs."""
    if config.target == "llamacpp":
        return LlamaCppTarget(context_tokens=_CONTEXT_TOKENS, slots=1)
    return open_target(home, config)
