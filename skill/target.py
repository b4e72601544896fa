"""The serving target that the settings name. Light on purpose: `strop rollback` waits for all that this imports."""

from strop.config import Config
from strop.deploy.targets.base import Target
from strop.home import Home

GATE_CONTEXT_TOKENS = 2048


def open_target(home: Home, config: Config) -> Target:
    """The target that the settings name. Contacts nothing yet."""
    if config.target == "ollama":
        from strop.deploy.targets.ollama import OllamaTarget

        return OllamaTarget(config.ollama)
    from strop.deploy.targets.llamacpp import LlamaCppTarget

    return LlamaCppTarget(context_tokens=GATE_CONTEXT_TOKENS)
