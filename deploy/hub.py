"""Files to the Hugging Face Hub: one repository, one commit, and what arrived is compared with what was sent.

Through huggingface_hub, with less than it would do: a redirect is not followed, a token goes to the Hub's own address
and nowhere else, nothing leaves this machine without TLS, no wait is endless, Xet and telemetry are off. Which Hub that
is, the library's own setting says (HF_ENDPOINT). The token comes from there too (HF_TOKEN, or `hf auth login`); it is
in no argument, no message and no log of ours.

A repository that exists is written to only where Strop made it (it holds `strop.json`) or where it is empty, and never
in the open where private was asked for.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.deploy.settings import is_repo_id
from strop.errors import DeployError, HubDown, HubError, Missing, StropError, UsageError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi, ModelInfo

MARK = "strop.json"  # whose presence says that a repository is Strop's
# What a push may ever leave in a repository; of these, what is not in the newest push is taken out again.
ALLOWED = ("README.md", MARK, "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "model.gguf")
LOG_IN = "make a token that may write at the Hub (Settings, Access Tokens), then: export HF_TOKEN=... or hf auth login"
_EMPTY = {".gitattributes"}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_CONNECT_S, _SILENCE_S = 15.0, 300.0
_LONGEST_WAIT_S = 60  # that a rate limit may ask for before we give up
_CHUNK_BYTES = 1 << 20

Progress = Callable[[str, float | None, str], None]


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a push. `content` is the bytes, or the path of a large file that `sha256` was taken of."""

    name: str
    content: bytes | Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to. `changed` is False where the repository held it all: then no commit was made."""

    url: str
    commit: str
    changed: bool
    private: bool


@dataclass(frozen=True, slots=True)
class Access:
    """Whose token it is and what it may do. `role` is the Hub's word; `writes` are the owners it may write to."""

    user: str
    role: str
    writes: tuple[str, ...]


def check_repo_id(repo: str) -> str:
    """`repo` itself. Raises UsageError unless it is OWNER/NAME."""
    if not is_repo_id(repo):
        hint = 'strop hub push --repo OWNER/NAME, or repo = "OWNER/NAME" under [hub] in strop.toml'
        raise UsageError(f"{repo!r} names no repository of the Hub" if repo else "no repository is named", hint=hint)
    return repo


def push(repo: str, uploads: Sequence[Upload], *, private: bool, message: str, on_progress: Progress) -> Pushed:
    """Make `repo` hold exactly these files, in one commit; a file that it holds already is not sent again.

    Raises Missing without huggingface_hub or without a token that may write, HubDown where the Hub cannot be reached,
    HubError where it refuses or holds something else afterwards, UsageError for a repository that is not Strop's or
    that is public where `private` was asked for. Nothing was committed then, but after a HubError that says so.
    """
    check_repo_id(repo)
    strangers = sorted({upload.name for upload in uploads} - set(ALLOWED))
    if strangers:
        raise DeployError(f"{', '.join(strangers)} may not be published", hint="strop hub push --dry-run")
    with _hub(repo) as api:
        before = _ready(api, repo, private, on_progress)
        held = {entry.rfilename: entry for entry in before.siblings or ()}
        fresh = [upload for upload in uploads if not _holds(held.get(upload.name), upload)]
        stale = sorted((set(held) & set(ALLOWED)) - {upload.name for upload in uploads})
        if not fresh and not stale:
            return Pushed(_url(api, repo), str(before.sha), False, bool(before.private))
        on_progress("push", None, f"{sum(one.bytes for one in fresh) / 1e6:.1f} MB in {len(fresh)} files to {repo}")
        commit = _commit(api, repo, fresh, stale, message, str(before.sha))
        on_progress("push", 0.9, "comparing what arrived")
        _compare(api, repo, commit, uploads)
        on_progress("push", 1.0, f"{repo} holds it, commit {commit[:12]}")
        return Pushed(_url(api, repo), commit, True, bool(before.private))


def access() -> Access:
    """Whose token it is, asked of the Hub. Raises Missing without one or for one that is not known, and HubDown."""
    with _hub("") as api:
        told = api.whoami()
    facts = told.get("auth", {}).get("accessToken", {})
    user, role = str(told.get("name", "")), str(facts.get("role", "unknown"))
    owners = [user, *(str(org.get("name", "")) for org in told.get("orgs", ()))]
    if role == "fineGrained":
        scoped = facts.get("fineGrained", {}).get("scoped", ())
        owners = [str(one["entity"].get("name", "")) for one in scoped if "repo.write" in one.get("permissions", ())]
    elif role != "write":
        owners = []
    return Access(user, role, tuple(filter(None, owners)))


def _ready(api: "HfApi", repo: str, private: bool, on_progress: Progress) -> "ModelInfo":
    """The repository, made where it was not there, and one that may be written to."""
    before = _look(api, repo)
    if before is None:
        on_progress("push", None, f"making the {'private' if private else 'public'} repository {repo}")
        api.create_repo(repo, private=private, exist_ok=True)
        before = _look(api, repo)
    if before is None:
        raise HubError(f"{repo} is not there although the Hub made it", hint="strop hub push")
    names = {entry.rfilename for entry in before.siblings or ()}
    if MARK not in names and names - _EMPTY:
        raise UsageError(
            f"{repo} holds files that Strop did not put there ({sorted(names - _EMPTY)[0]})",
            hint="name a new repository: strop hub push --repo OWNER/NAME",
        )
    if private and not before.private:
        raise UsageError(
            f"{repo} is public, and private was asked for",
            hint="strop hub push --public, or make it private in its settings on the Hub",
        )
    return before


def _look(api: "HfApi", repo: str, revision: str | None = None) -> "ModelInfo | None":
    """The repository with the hashes of its files; None where there is none that this token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repo, revision=revision, files_metadata=True, timeout=_SILENCE_S)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:
            raise
        return None


def _commit(api: "HfApi", repo: str, fresh: Sequence[Upload], stale: Sequence[str], message: str, parent: str) -> str:
    """Send the files and commit on top of `parent`; the new commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [CommitOperationAdd(one.name, one.content) for one in fresh]
    operations += [CommitOperationDelete(name) for name in stale]
    done = api.create_commit(repo, operations, commit_message=message, parent_commit=parent)
    return str(done.oid)


def _compare(api: "HfApi", repo: str, commit: str, uploads: Sequence[Upload]) -> None:
    """Raise HubError unless the commit holds what was sent."""
    after = _look(api, repo, commit)
    held = {entry.rfilename: entry for entry in after.siblings or ()} if after else {}
    wrong = [upload.name for upload in uploads if not _holds(held.get(upload.name), upload)]
    if wrong:
        raise HubError(
            f"commit {commit[:12]} of {repo} holds other bytes than were sent: {', '.join(wrong)}",
            hint="look at the repository, then: strop hub push",
        )


def _holds(entry: Any, upload: Upload) -> bool:
    """Whether the repository's file is this one: by SHA-256 where it lies in LFS, by git's own hash elsewhere."""
    if entry is None:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == upload.sha256 and entry.lfs.size == upload.bytes)
    return bool(entry.blob_id == _git_sha1(upload))


def _git_sha1(upload: Upload) -> str:
    """The name that git gives a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % upload.bytes, usedforsecurity=False)
    if isinstance(upload.content, bytes):
        digest.update(upload.content)
    else:
        with upload.content.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _url(api: "HfApi", repo: str) -> str:
    return f"{api.endpoint}/{repo}"


@contextlib.contextmanager
def _hub(repo: str) -> "Iterator[HfApi]":
    """huggingface_hub, as carefully as this page promises; its errors become ours."""
    try:
        from huggingface_hub import HfApi, constants, get_token, set_client_factory
        from huggingface_hub.utils._http import default_client_factory
    except ImportError as error:
        raise Missing("huggingface_hub is not installed", hint="pip install 'strop[train]'") from error
    if constants.is_offline_mode():
        raise HubDown("offline mode is set, and a push needs the Hub", hint="unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE")
    with _turned_off(constants, "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        set_client_factory(lambda: _client(constants.ENDPOINT))
        token = ""
        try:
            token = get_token() or ""
            if not token:
                raise Missing("there is no token for the Hub: HF_TOKEN is not set and nobody is logged in", hint=LOG_IN)
            yield HfApi(token=token)
        except StropError:
            raise
        except Exception as error:
            # Whatever the library raises, a plain RuntimeError among it, is told in our words, and without the token.
            told = _told(error, repo)
            if told is None:
                raise
            raise type(told)(_without(token, str(told)), hint=told.hint) from None
        finally:
            set_client_factory(default_client_factory)


@contextlib.contextmanager
def _turned_off(constants: Any, *names: str) -> Iterator[None]:
    """The library reads these anew at each call; they are put back for whoever uses it beside us."""
    kept = {name: getattr(constants, name) for name in names}
    for name in names:
        setattr(constants, name, True)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(constants, name, value)


def _client(endpoint: str) -> "httpx2.Client":
    import httpx2
    from huggingface_hub.utils._http import hf_request_event_hook

    home = httpx2.URL(endpoint)

    def only_home(request: "httpx2.Request") -> None:
        if request.url.scheme != "https" and request.url.host not in _LOOPBACK:
            raise HubError(
                f"{request.url.host} is not asked over https", hint="unset HF_ENDPOINT, or name it with https"
            )
        if "authorization" in request.headers and _origin(request.url) != _origin(home):
            raise HubError(f"the Hub names {request.url.host}, to which no token is sent", hint="strop doctor --online")

    def no_detour(response: "httpx2.Response") -> None:
        if response.has_redirect_location:
            to = httpx2.URL(response.headers["location"]).host or "another page"
            raise HubError(f"the Hub sends us on to {to}, and a push follows no redirect", hint="check the repository")
        asked = response.headers.get("retry-after", "")
        if response.status_code == 429 and asked.isdigit() and int(asked) > _LONGEST_WAIT_S:
            raise HubDown(
                f"the Hub asks to wait {asked} s (too many requests)", hint="the same command after that time"
            )

    return httpx2.Client(
        event_hooks={"request": [hf_request_event_hook, only_home], "response": [no_detour]},
        follow_redirects=False,
        timeout=httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S),
    )


def _origin(url: "httpx2.URL") -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _without(token: str, text: str) -> str:
    """`text` without the token, should a server have sent it back."""
    return text.replace(token, "***") if token else text


def _told(error: BaseException, repo: str) -> StropError | None:
    """An error of the library in our words; None for one that is none of the Hub's."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    causes = list(_causes(error))
    ours = next((one for one in causes if isinstance(one, StropError)), None)
    if ours is not None:
        return ours
    answer = next((one for one in causes if isinstance(one, HfHubHTTPError)), None)
    if answer is not None:
        return _refused(answer, repo)
    if any(isinstance(one, (httpx2.HTTPError, OSError)) for one in causes):
        return HubDown(f"the Hub cannot be reached: {type(causes[-1]).__name__}", hint="the same command when it can")
    if isinstance(error, (ValueError, KeyError, TypeError, RuntimeError)):
        return HubError(f"the Hub answered something unexpected: {causes[-1]}", hint="strop hub push")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _refused(error: Any, repo: str) -> StropError:
    status, said = error.response.status_code, " ".join(str(error.server_message or "").split())[:200]
    more = f": {said}" if said else ""
    if status == 401:
        return Missing(f"the Hub does not know this token (401){more}", hint=LOG_IN)
    if status == 403:
        return Missing(f"this token may not write to {repo or 'the Hub'} (403){more}", hint=LOG_IN)
    if status == 429 or status >= 500:
        return HubDown(f"the Hub answers {status} again and again{more}", hint="the same command again later")
    if status in (409, 412):
        return HubError(f"{repo} changed while this was pushed ({status}){more}", hint="the same command again")
    return HubError(f"the Hub refused ({status}){more}", hint="strop hub push --dry-run shows what would go")
