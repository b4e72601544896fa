"""What a person may set about serving and publishing; `strop.config` composes it into `strop.toml`."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class OllamaSettings(BaseModel):
    """The `[ollama]` section.

    Options that the server would need a reload for (`num_ctx`, `num_thread`) are pinned in each version's tag when it
    is published, and never sent with a request; a change holds for versions published afterwards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="http://127.0.0.1:11434", description="Where Ollama answers.")
    alias: str = Field(default="strop", description="The model name that users ask for.")
    allow_vulnerable: bool = Field(default=False, description="Use a server below 0.17.1 in spite of CVE-2026-7482.")
    allow_remote: bool = Field(default=False, description="Use a server that is not on this machine.")
    num_ctx: int = Field(default=16384, ge=256, description="Context, in tokens; less where the model knows less.")
    num_predict: int = Field(default=2048, ge=1, description="The longest answer, in tokens.")
    num_thread: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Threads; none: the server's.")
    keep_alive: str | int = Field(default="30m", description="How long idle weights stay loaded; -1 keeps them.")
    timeout_s: float = Field(default=600.0, gt=0, le=3600, description="The longest silence of the server.")

    @field_validator("alias")
    @classmethod
    def _plain_alias(cls, alias: str) -> str:
        from strop.deploy.targets.ollama_api import is_plain_name

        if ":" in alias or not is_plain_name(alias):
            raise ValueError("lower-case letters, digits, '.', '_' and '-', no tag, and not a cloud name")
        return alias


# Stricter than the Hub's own rule: letters, digits and single '-', '_', '.' between them, nothing that is a path.
_REPO_ID = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", re.ASCII)
_LONGEST_REPO_ID = 96


def is_repo_id(text: str) -> bool:
    """Whether `text` names a repository of the Hub as this house spells it: OWNER/NAME."""
    return len(text) <= _LONGEST_REPO_ID and not text.endswith(".git") and _REPO_ID.fullmatch(text) is not None


class HubSettings(BaseModel):
    """The `[hub]` section: where `strop hub push` puts a model. Nothing is ever published unless it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo: str = Field(default="", description="OWNER/NAME on the Hub; none: nothing to push to.")
    push_on_promote: bool = Field(default=False, description="Push each version that the gate promotes.")
    private: bool = Field(default=True, description="Whether the repository is private.")

    @field_validator("repo")
    @classmethod
    def _plain_repo(cls, repo: str) -> str:
        if repo and not is_repo_id(repo):
            raise ValueError('should be OWNER/NAME as on the Hub, for example "ann/strop-mine", or empty')
        return repo

    @model_validator(mode="after")
    def _somewhere_to_push(self) -> Self:
        if self.push_on_promote and not self.repo:
            raise ValueError('push_on_promote needs a repository: repo = "OWNER/NAME" under [hub]')
        return self
