"""The calls to an Ollama server that Strop makes, and no others: it never pulls, pushes or sends `from`.

Through the official client where it does the job; our own calls for the version, and for a file's upload, where the
client sends every byte again whatever the server has. Proxies, keys and hosts from the environment are ignored,
redirects are not followed, and only loopback is talked to unless the settings say otherwise.
"""

import contextlib
import functools
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from strop.deploy.settings import OllamaSettings
from strop.errors import BadGguf, ConfigError, StropError, TargetDown, TargetError, TargetTooOld

if TYPE_CHECKING:
    import ssl

    import httpx2
    import ollama

# CVE-2026-7482: below it, a crafted GGUF makes the server give away its memory.
SAFE_VERSION = (0, 17, 1)
# `create` took a Modelfile text before.
OLDEST_VERSION = (0, 5, 5)
# From here on a GGUF's own Jinja template answers, unless a Go template is attached to the tag.
OWN_TEMPLATE_VERSION = (0, 30, 0)
# These releases rewrite a GGUF on import, so that the stored digest is not the uploaded one.
_REWRITES_FROM, _REWRITES_UNTIL = (0, 30, 0), (0, 34, 1)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?::[a-z0-9][a-z0-9._-]{0,63})?")
_DIGEST = re.compile(r"(?:sha256:)?(?P<hex>[0-9a-f]{64})")
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?P<pre>-\S*)?(?:\+\S*)?")
_WEIGHTS = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)
_BUILT_IN = re.compile(r"^(?:RENDERER|PARSER) +(\S+)\s*$", re.MULTILINE)
_NUM_CTX = re.compile(r"^PARAMETER +num_ctx +(\d{1,9})\s*$", re.MULTILINE)
_CONTROL_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 5.0


class Refused(TargetError):
    """The server answered with an error; `status` is the HTTP status, -1 for an error inside a stream."""

    def __init__(self, message: str, *, hint: str = "strop doctor", status: int = -1) -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server tells of a model: the SHA-256 of its weights (None where this release does not tell the uploaded
    file's), the template that it would render conversations with, the code of its own (a renderer or a parser) that it
    would use in its stead, None where there is none, and the context that it is pinned to, in tokens.
    """

    weights: str | None
    template: str
    built_in: str | None = None
    num_ctx: int | None = None


class OllamaApi:
    """One server. Thread-safe; keeps no connection open between calls.

    Every method raises TargetDown where nothing answers in time, and TargetError (Refused) where the server says no.
    """

    def __init__(self, settings: OllamaSettings) -> None:
        self.host = loopback_host(settings.host, allow_remote=settings.allow_remote)
        self._timeout_s = settings.timeout_s
        self._allow_vulnerable = settings.allow_vulnerable

    def version(self) -> tuple[int, int, int]:
        """The server's version. Raises TargetTooOld below the oldest that is safe and that we can talk to."""
        with self._translated("tell its version"), self._http(self._control_s) as http:
            response = http.get("/api/version").raise_for_status()
            text = str(response.json()["version"])
        match = _VERSION.fullmatch(text)
        if match is None:
            raise TargetTooOld(f"Ollama at {self.host} has no version that we know: {text[:40]!r}", hint=_UPGRADE)
        version = (int(match[1]), int(match[2]), int(match[3]))
        early = match["pre"] is not None
        if version < OLDEST_VERSION:
            raise TargetTooOld(f"Ollama {text} cannot create a model from files", hint=_UPGRADE)
        if not self._allow_vulnerable and (version < SAFE_VERSION or (early and version == SAFE_VERSION)):
            raise TargetTooOld(f"Ollama {text} has the hole CVE-2026-7482, closed in 0.17.1", hint=_UPGRADE)
        return version

    def digests(self) -> dict[str, str]:
        """The digest of every model's manifest, 64 hex digits by name (`strop:latest`). Equal digests: equal models."""
        with self._translated("list its models"):
            models = self._client(self._control_s).list().models
        return {str(model.model): checked_digest(str(model.digest)) for model in models}

    def loaded(self) -> set[str]:
        """The names under which weights were loaded that are in memory now."""
        with self._translated("list what is loaded"):
            return {str(model.model) for model in self._client(self._control_s).ps().models}

    def show(self, name: str) -> Shown:
        """A model's weights and template, as they are stored."""
        version = self.version()
        with self._translated(f"show {name}"):
            shown = self._client(self._control_s).show(checked_name(name))
        said = shown.modelfile or ""
        match, code, context = _WEIGHTS.search(said), _BUILT_IN.search(said), _NUM_CTX.search(said)
        unknown = match is None or _REWRITES_FROM <= version < _REWRITES_UNTIL
        weights = None if unknown or match is None else match[1]
        built_in, num_ctx = None if code is None else code[1], None if context is None else int(context[1])
        return Shown(weights, shown.template or "", built_in, num_ctx)

    def upload(self, gguf: Path, sha256: str) -> bool:
        """Give the server a file unless it has it already; says whether bytes were sent.

        Raises BadGguf where the file is not what `sha256` says.
        """
        url = f"/api/blobs/sha256:{checked_digest(sha256)}"
        with self._translated(f"take {gguf.name}"), self._http(self._timeout_s) as http:
            # Some releases reset the connection of an upload that they need not read.
            if http.head(url).status_code == 200:
                return False
            with gguf.open("rb") as file:
                size = {"Content-Length": str(gguf.stat().st_size)}
                response = http.post(url, content=file, headers=size)
            if response.status_code == 400 and "digest" in response.text:
                raise BadGguf(f"{gguf} is not the file that was built: its SHA-256 differs", hint="strop doctor")
            if response.status_code not in (200, 201):
                raise Refused(f"Ollama did not take {gguf.name}: {response.text[:200]}", status=response.status_code)
            return True

    def create(self, name: str, sha256: str, parameters: Mapping[str, Any], template: str | None) -> None:
        """Make a model of an uploaded file. Done only when the stream's last line says so."""
        files = {"model.gguf": f"sha256:{checked_digest(sha256)}"}
        last = None
        with self._translated(f"create {name}"):
            client = self._client(self._timeout_s)
            for part in client.create(
                checked_name(name), files=files, parameters=parameters, template=template, stream=True
            ):
                last = part.status
        if last != "success":
            raise Refused(f"Ollama stopped before {name} was made; its last word was {last!r}")

    def copy(self, source: str, destination: str) -> None:
        """Make `destination` the same model as `source`."""
        with self._translated(f"copy {source} to {destination}"):
            self._client(self._control_s).copy(checked_name(source), checked_name(destination))

    def delete(self, name: str) -> None:
        """Delete a model; none of that name is fine too."""
        try:
            with self._translated(f"delete {name}"):
                self._client(self._control_s).delete(checked_name(name))
        except Refused as refused:
            if refused.status != 404:
                raise

    def load(self, name: str, keep_alive: str | int) -> None:
        """Load a model's weights, or unload them with `keep_alive=0` (once nobody uses them)."""
        with self._translated(f"load {name}"):
            self._client(self._timeout_s).generate(checked_name(name), keep_alive=keep_alive)

    def generate(self, name: str, prompt: str, options: Mapping[str, Any]) -> "ollama.GenerateResponse":
        """Continue a prompt that is rendered already."""
        with self._translated(f"answer with {name}"):
            return self._client(self._timeout_s).generate(checked_name(name), prompt, raw=True, options=options)

    def chat_tokens(self, name: str, messages: Sequence[Mapping[str, str]]) -> int | None:
        """How many tokens the server makes of a conversation with the model's own template."""
        options = {"num_predict": 1, "temperature": 0}
        with self._translated(f"answer with {name}"):
            client = self._client(self._timeout_s)
            return client.chat(checked_name(name), [dict(one) for one in messages], options=options).prompt_eval_count

    @property
    def _control_s(self) -> float:
        return min(self._timeout_s, _CONTROL_TIMEOUT_S)

    def _http(self, read_s: float) -> "httpx2.Client":
        import httpx2

        timeout = httpx2.Timeout(read_s, connect=min(read_s, _CONNECT_TIMEOUT_S))
        return httpx2.Client(
            base_url=self.host, timeout=timeout, trust_env=False, follow_redirects=False, verify=_certificates()
        )

    def _client(self, read_s: float) -> "ollama.Client":
        return _official_client(self.host, read_s)

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        import httpx
        import httpx2
        import ollama

        try:
            yield
        except StropError:
            raise
        except ollama.ResponseError as error:
            status = error.status_code
            raise Refused(f"Ollama could not {what}: {error.error}", status=status) from error
        except (httpx.TimeoutException, httpx2.TimeoutException) as error:
            text = f"Ollama at {self.host} did not {what} in time ({type(error).__name__})"
            raise TargetDown(text, hint="ollama ps") from error
        except (ConnectionError, httpx.ConnectError, httpx2.ConnectError) as error:
            raise TargetDown(f"no Ollama answers at {self.host}", hint="ollama serve") from error
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            raise Refused(f"Ollama could not {what}: HTTP {status}", status=status) from error
        except (httpx.HTTPError, httpx2.HTTPError, ValueError, TypeError, LookupError, AttributeError) as error:
            first_line = str(error).partition("\n")[0]
            text = (
                f"what answers at {self.host} could not {what} as an Ollama does: {type(error).__name__}: {first_line}"
            )
            raise TargetError(text, hint="strop doctor") from error


_UPGRADE = "get a current Ollama from https://ollama.com/download, or set ollama.allow_vulnerable = true"


@functools.cache
def _certificates() -> "ssl.SSLContext":
    """Read once: a client of its own for every call would read all of them again each time."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


@functools.lru_cache(maxsize=8)
def _official_client(host: str, read_s: float) -> "ollama.Client":
    import httpx
    import ollama

    def drop_key(request: httpx.Request) -> None:
        # The client would send the user's key for the hosted service (OLLAMA_API_KEY) to whatever answers here.
        request.headers.pop("authorization", None)

    return ollama.Client(
        host,
        timeout=httpx.Timeout(read_s, connect=min(read_s, _CONNECT_TIMEOUT_S)),
        follow_redirects=False,
        trust_env=False,
        verify=_certificates(),
        event_hooks={"request": [drop_key]},
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def is_plain_name(name: str) -> bool:
    """Whether a model name is one that stays on this server: `name` or `name:tag`, lower case, no path, no cloud."""
    return _NAME.fullmatch(name) is not None and ":cloud" not in name and "-cloud" not in name


def checked_name(name: str) -> str:
    """`name`, or ConfigError where it is not plain: cloud names would send prompts to a hosted service."""
    if not is_plain_name(name):
        raise ConfigError(
            f"not a model name that we give: {name!r}",
            hint="lower-case letters, digits, '.', '_' and '-', with at most one ':tag', and not a cloud name",
        )
    return name


def checked_digest(digest: str) -> str:
    """The 64 hex digits of a SHA-256 digest, or TargetError."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise TargetError(f"not a SHA-256 digest: {digest[:80]!r}", hint="strop doctor")
    return match["hex"]


def loopback_host(host: str, *, allow_remote: bool) -> str:
    """`host` as `http://ADDRESS:PORT`. Raises ConfigError for one that is not on this machine or not a plain address.

    Port 11434 where none is given; `0.0.0.0` and `::`, where a server listens, become the loopback address to call.
    """
    parts = _split(host)
    name = parts.hostname or ""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104 (compared, not bound)
    if not (allow_remote or name == "localhost" or _is_loopback(name)):
        raise ConfigError(f"Ollama at {host} is not on this machine", hint="set ollama.allow_remote = true to use it")
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{parts.port or 11434}"


def _split(host: str) -> SplitResult:
    try:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        plain = parts.port != 0 and parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"ollama.host is not an address: {host!r}", hint='ollama.host = "http://127.0.0.1:11434"')
    return parts


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
