"""The Ollama target: one immutable tag a version, and an alias that users ask for.

    publish:   upload once ─▶ create alias:v0007-1a2b3c4d ─▶ load its weights ─▶ ask it something (`ollama_probe`)
    activate:  copy the tag onto alias:latest ─▶ digests must be equal ─▶ unload the version before, by its own tag

The copy takes milliseconds and the next request on the alias finds the weights loaded, since Ollama keys them by file.
Rollback is the same path, so a version's tag is never deleted along with a swap. A version is answered for here with
the training template, rendered by us and sent raw; the template in the tag is for everybody else's `/api/chat`, and
`ollama_tag` sees to it that it says the same.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from strop.deploy.settings import OllamaSettings
from strop.deploy.states import LEFT
from strop.deploy.tags import is_tag
from strop.deploy.targets import ollama_alias, ollama_probe, ollama_tag
from strop.deploy.targets.base import Conversation, Generation
from strop.deploy.targets.ollama_api import OllamaApi, Shown, checked_name
from strop.deploy.targets.ollama_template import ChatFormat, chat_format, render
from strop.deploy.versions import Version
from strop.errors import StropError, TargetError, UsageError
from strop.files import MANIFEST, read_manifest, sha256_file

_log = logging.getLogger(__name__)
_LOG_BELOW = (0, 20, 3)

OnAnswer = Callable[[int, int], None]


class OllamaGenerator:
    """Answers with one tag, greedy, one conversation after the other."""

    def __init__(self, api: OllamaApi, name: str, chat: ChatFormat, num_ctx: int) -> None:
        self._api, self._name, self._chat, self._num_ctx = api, name, chat, num_ctx

    def generate(
        self, conversations: Sequence[Conversation], *, max_tokens: int, on_answer: OnAnswer | None = None
    ) -> list[Generation]:
        """Answer each conversation with at most `max_tokens` tokens; `on_answer(done, of)` is called after each.

        Raises TargetError for a prompt that fills the context: the server would cut it without a word.
        """
        answers = []
        for conversation in conversations:
            answers.append(self._answer(conversation, max_tokens))
            if on_answer:
                on_answer(len(answers), len(conversations))
        return answers

    def _answer(self, conversation: Conversation, max_tokens: int) -> Generation:
        # Only what needs no reload: everything else is pinned in the tag.
        options = {"temperature": 0, "seed": 1, "num_predict": max_tokens}
        answer = self._api.generate(self._name, render(self._chat, conversation), options)
        if (answer.prompt_eval_count or 0) >= self._num_ctx:
            raise TargetError(f"a prompt does not fit into {self._num_ctx} tokens", hint="raise ollama.num_ctx")
        if not answer.done or answer.eval_count is None or answer.response is None:
            raise TargetError(f"Ollama broke off its answer with {self._name}", hint="strop doctor")
        load_s = (answer.load_duration or 0) / 1e9
        return Generation(answer.response, answer.eval_count, answer.done_reason == "stop", load_s)


class OllamaTarget:
    """Serves versions from an Ollama server, which is checked (address, version) on the first call."""

    kind = "ollama"

    def __init__(self, settings: OllamaSettings, alias: str | None = None) -> None:
        self.settings = settings
        self.alias = checked_name(alias or settings.alias)
        if ":" in self.alias:
            raise UsageError(f"the alias {self.alias} has a tag", hint='ollama.alias = "strop"')
        self._api = OllamaApi(settings)
        self._checked = False
        self._published: dict[str, str] = {}  # the digests of the tags whose weights were seen to be right
        self._proven: set[str] = set()

    def check(self) -> str:
        """The server's version as text. Raises TargetDown or TargetTooOld."""
        version = self._api.version()
        if version < _LOG_BELOW:
            _log.warning("Ollama %d.%d.%d has a known hole (CVE-2026-7020); 0.20.3 and later do not", *version)
        self._checked = True
        return ".".join(map(str, version))

    def name_of(self, version: Version) -> str:
        """The model name of one version: `strop:v0007-1a2b3c4d`."""
        return checked_name(f"{self.alias}:{version.tag}")

    @property
    def alias_name(self) -> str:
        """The model name that users ask for, as the server lists it: `strop:latest`."""
        return f"{self.alias}:latest"

    @contextlib.contextmanager
    def serve(self, version: Version) -> Iterator[OllamaGenerator]:
        """A generator for exactly this version; weights that were loaded for it alone are unloaded afterwards."""
        self._ready()
        was_loaded = self.name_of(version) in self._api.loaded()
        self.publish(version)
        chat = chat_format(version.gguf)
        try:
            yield OllamaGenerator(self._api, self.name_of(version), chat, self._num_ctx(chat))
        finally:
            if not was_loaded:
                self._unload(version.tag)

    def publish(self, version: Version) -> None:
        """Upload, create the version's tag where it is not there yet, load its weights, and see that it answers.

        The alias stays. Raises TargetError also for a server that would not use the training template, or that
        computes nonsense.
        """
        self._ready()
        name, digests = self.name_of(version), self._api.digests()
        if self.alias_name in digests and not self._tags(digests):
            raise TargetError(
                f"Ollama already has a model {self.alias_name} that is not ours",
                hint=f"set another ollama.alias, or: ollama rm {self.alias_name}",
            )
        if name not in digests:
            template = _manifest_template(version.folder)
            self._create(name, version.gguf, version.sha256, template, _mark(version))
            digests = self._api.digests()
        if name not in digests:
            raise TargetError(f"Ollama has no {name}, which it just made", hint="run it again")
        shown = self._check_weights(name, version.sha256)
        self._published[name] = digests[name]
        self._api.load(name, self.settings.keep_alive)
        # What users had before was proven then: a rollback is not kept waiting for it.
        if version.state not in ("live", *LEFT) and name not in self._proven:
            self._prove(version, name, shown)
            self._proven.add(name)

    def template(self, version: Version) -> str:
        """The template that the server renders a published version's conversations with, as it shows it."""
        self._ready()
        return self._api.show(self.name_of(version)).template

    def context_tokens(self, version: Version) -> int:
        """The context that a published version's tag was pinned to; what is set now is for tags to come."""
        self._ready()
        return self._api.show(self.name_of(version)).num_ctx or self._num_ctx(chat_format(version.gguf))

    def activate(self, version: Version) -> None:
        """Copy the version's tag onto the alias and prove it by their digests; then unload the version before.

        An error of the copy counts only where the digests say that it was not made. On TargetError the alias is where
        it was or in doubt: activating the old version puts it right.
        """
        self._ready()
        name, before = self.name_of(version), self._api.digests()
        if name not in before:
            raise TargetError(f"Ollama has no {name}", hint="strop doctor")
        if before[name] != self._published.get(name, before[name]):
            raise TargetError(f"{name} was changed since it was published", hint=f"ollama rm {name}, then run it again")
        if before.get(self.alias_name) == before[name]:
            return
        old = self._at(before)
        try:
            ollama_alias.copy_proven(self._api, name, self.alias_name, before[name])
        except StropError:
            if self.alias_name not in before:
                self._quietly(lambda: self._api.delete(self.alias_name))
            raise
        if old is not None and old != version.tag:
            self._unload(old)

    def active(self) -> str | None:
        """The tag of the version that the alias is a copy of; None where there is no alias or it is no version."""
        self._ready()
        return self._at(self._api.digests())

    def tags(self) -> frozenset[str]:
        """The versions that have a tag on this server."""
        self._ready()
        return frozenset(self._tags(self._api.digests()))

    def remove(self, version: Version) -> None:
        """Delete a version's tag, and its weights where no other tag uses them; no such tag is fine too.

        Raises TargetError for the version that the alias is at.
        """
        self._ready()
        digests = self._api.digests()
        if self._at(digests) == version.tag:
            raise TargetError(f"{version.tag} is what {self.alias_name} answers with", hint="strop rollback")
        if self.name_of(version) in digests:
            self._unload(version.tag)
            self._api.delete(self.name_of(version))

    def check_new(self, name: str) -> str:
        """The full form of a name that a new model may take. The name itself is judged before the server is asked.

        Raises ConfigError for one that is not plain, UsageError for one that is taken or belongs to the alias.
        """
        full = checked_name(name if ":" in name else f"{name}:latest")
        if full.partition(":")[0] == self.alias:
            raise UsageError(f"{self.alias} is the live alias", hint="strop tune … --to ollama:ANOTHER-NAME")
        self._ready()
        if full in self._api.digests():
            raise UsageError(f"Ollama already has a model {full}", hint=f"another name, or: ollama rm {full}")
        return full

    def create_named(self, name: str, gguf: Path, template: str | None = None, sha256: str | None = None) -> str:
        """Make a new model of a GGUF under a name of its own, apart from the alias; returns its digest.

        `template` is a Go template; by default the one that says what the file's own chat template says. Raises
        UsageError for a name that is taken, or that belongs to the alias.
        """
        full = self.check_new(name)
        digest = sha256 or sha256_file(gguf)
        self._create(full, gguf, digest, template, "strop tune")
        self._check_weights(full, digest)
        return self._api.digests()[full]

    def _prove(self, version: Version, name: str, shown: Shown) -> None:
        chat = chat_format(version.gguf)
        try:
            ollama_probe.check_answers(self._api, name, chat, version.gguf)
        except StropError:
            self._unload(version.tag)
            raise
        ollama_tag.prove(self._api, name, shown, chat, _manifest_template(version.folder), _mark(version))

    def _ready(self) -> None:
        if not self._checked:
            self.check()

    def _create(self, name: str, gguf: Path, sha256: str, template: str | None, mark: str) -> None:
        chat = chat_format(gguf)
        ollama_tag.check_family(self._api, chat)
        self._api.upload(gguf, sha256)
        try:
            ollama_tag.create(self._api, name, sha256, self._parameters(chat), chat, template, mark)
        except TargetError as error:
            # An error after the tag was written looks the same as one before.
            if name in self._api.digests():
                raise TargetError(f"{error}; {name} is there all the same", hint="run it again") from error
            raise

    def _parameters(self, chat: ChatFormat) -> dict[str, Any]:
        # Ollama's default penalty of 1.1 on repeated words is not what the model was trained and judged with.
        parameters: dict[str, Any] = {"num_predict": self.settings.num_predict, "repeat_penalty": 1.0}
        parameters["num_ctx"] = self._num_ctx(chat)
        if self.settings.num_thread is not None:
            parameters["num_thread"] = self.settings.num_thread
        if chat.eos:
            parameters["stop"] = [chat.eos]
        return parameters

    def _num_ctx(self, chat: ChatFormat) -> int:
        """What is set, or the model's own limit where that is less."""
        return min(self.settings.num_ctx, chat.context_tokens or self.settings.num_ctx)

    def _check_weights(self, name: str, sha256: str) -> Shown:
        shown = self._api.show(name)
        if shown.weights is not None and shown.weights != sha256:
            raise TargetError(f"{name} holds other weights ({shown.weights[:8]}…)", hint=f"ollama rm {name}")
        return shown

    def _tags(self, digests: Mapping[str, str]) -> dict[str, str]:
        """Our version tags on the server, and their digests."""
        prefix = f"{self.alias}:"
        return {name.removeprefix(prefix): digest for name, digest in digests.items() if _is_ours(name, prefix)}

    def _at(self, digests: Mapping[str, str]) -> str | None:
        alias = digests.get(self.alias_name)
        return max((tag for tag, digest in self._tags(digests).items() if digest == alias), default=None)

    def _unload(self, tag: str) -> None:
        """Unload a version by its own tag, unless the alias answers with the same weights. Never an error."""

        def unload() -> None:
            active = self._at(self._api.digests())
            if active is None or active.rpartition("-")[2] != tag.rpartition("-")[2]:
                self._api.load(f"{self.alias}:{tag}", 0)

        self._quietly(unload)

    def _quietly(self, tidy: Callable[[], None]) -> None:
        try:
            tidy()
        except StropError as error:
            _log.warning("left for Ollama to tidy up: %s", error)


def _is_ours(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and is_tag(name.removeprefix(prefix))


def _mark(version: Version) -> str:
    return f"strop {version.tag}"


def _manifest_template(folder: Path) -> str | None:
    """The Go template that a version's manifest gives, None where it leaves that to us."""
    if not (folder / MANIFEST).is_file():
        return None
    template = read_manifest(folder).get("go_template")
    return template if isinstance(template, str) else None
