"""One version from one machine to another on a stick: `strop versions export` and `strop versions import`.

An export holds the build, its certificate, its adapter and the evidence of every state it was in; no texts, and of
paths only their last names. An import gets the next number here. It is not judged again: it comes in as `gated` where
it passed the gate there and was not turned down or taken back since, on the very base of this home, so that the gate's
word holds; then `strop versions release TAG`, by a person, makes it live. Else it comes in as `certified`: it can be
looked at and compared, and does not go live.

Covered: every hash, the file's structure, its chat template against the base's, a kill anywhere (the row comes last).
Not covered: who made the file, so it is for files from people whom you trust. `forget` takes an imported version out
with whatever it takes out, since nothing in this home says what it was made of.
"""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from strop.built_files import certificate, take_out
from strop.deploy import bundle
from strop.deploy.adapter import adapter_sha256
from strop.deploy.build import Build, read_build
from strop.deploy.bundle import is_sha256
from strop.deploy.certify import certificate_from
from strop.deploy.states import GONE, UNREFUTED, State
from strop.deploy.versions import Version, VersionEvent, Versions
from strop.errors import DeployError, Missing, NothingToDo, UsageError
from strop.files import DamagedFolder, read_manifest, sync_dir, verify_manifest, write_json
from strop.home import Home

_PASSED = ("gated", "live", *UNREFUTED)
_QUANT = re.compile(r"[A-Z0-9_]{1,12}")


class Event(BaseModel):
    """One change of state in the home that it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: State
    before: State | None
    evidence: dict[str, Any]
    time: AwareDatetime


class Facts(BaseModel):
    """What an export says about its version: a stranger's words, so in a strict form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: Annotated[str, Field(pattern=r"^v\d{4,9}-[0-9a-f]{8}$")]
    state: State
    base_ref: Annotated[str, Field(pattern=r"^[A-Za-z0-9~/][A-Za-z0-9:._/@ ~-]{0,399}$")]
    events: Annotated[tuple[Event, ...], Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Imported:
    """The version as it is now here, what it was called there, and why it may or may not go live."""

    version: Version
    was: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"tag": self.version.tag, "state": self.version.state, "was": self.was, "reason": self.reason}


def export_version(home: Home, which: str, out: Path) -> bundle.Index:
    """Write one version to the new file `out`.

    Raises UsageError for one that there is nothing to carry of (the base, an uncertified one, one whose files are gone)
    and DeployError where `out` is there.
    """
    versions = Versions(home.state_db)
    version = versions.get(which)
    if version.number == 0 or version.state in ("built", *GONE):
        what = "the untouched base" if version.number == 0 else version.state
        raise UsageError(f"{version.tag} is {what}: there is nothing to carry", hint="strop versions")
    build = read_build(version.folder)
    files = {bundle.BUILD_MANIFEST: build.folder / "manifest.json", bundle.GGUF: build.gguf}
    if (kept := certificate(home, version.sha256)).is_file():
        files[bundle.CERTIFICATE] = kept
    if (adapter := _adapter(home, version.adapter_sha)) is not None:
        files |= {f"adapter/{name}": adapter / name for name in bundle.ADAPTER if (adapter / name).is_file()}
    facts = {
        "tag": version.tag,
        "state": version.state,
        "base_ref": version.base_ref,
        "events": [_event(event) for event in versions.events(version.tag)],
    }
    return bundle.write(out.expanduser().absolute(), facts, files)


def import_version(home: Home, file: Path, *, other_base: bool = False) -> Imported:
    """Check a file that `export_version` wrote and give its version the next number.

    Raises DeployError for a damaged file, UsageError for a version of another base unless `other_base`, NothingToDo for
    one that is here already, Missing where this home has no base yet or the disk is too small. Nothing is changed then.
    """
    home.ensure()
    try:
        with (
            file.expanduser().open("rb") as opened,
            tempfile.TemporaryDirectory(dir=home.builds, prefix=".import-") as scratch,
        ):
            index = bundle.read_index(opened)
            bundle.unpack(opened, index, Path(scratch))
            return _take_in(home, index, Path(scratch), other_base)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        hint = "strop versions export TAG FILE makes one"
        raise UsageError(f"there is no file {file} that can be read", hint=hint) from error
    except DamagedFolder as error:
        raise DeployError(f"not what was exported: {error}", hint="export it again") from error


def _take_in(home: Home, index: bundle.Index, scratch: Path, other_base: bool) -> Imported:
    facts, build = _facts(index), _build(scratch / "build")
    base = _base(home)
    same = _base_facts(build.folder) == _base_facts(base.folder)
    if not same and not other_base:
        raise UsageError(
            "it was made on another base model than this home's, and judged against that one",
            hint="--other-base takes it in all the same; it can be compared, and does not go live",
        )
    _check_file(build, base if same else None)
    checks = _checks(scratch / bundle.CERTIFICATE, facts)
    versions = Versions(home.state_db)
    for known in versions.list():
        if known.sha256 == build.sha256 and known.state not in GONE:
            raise NothingToDo(f"it is here already: {known.tag}, {known.state}", hint="strop versions")
    if (adapter := scratch / "adapter").is_dir():
        _check_adapter(adapter, build)
        _move(adapter, home.adapters / f"import-{str(build.adapter_sha256)[:16]}")
    write_json(certificate(home, build.sha256), checks)
    folder = home.builds / f"import-{build.sha256[:16]}"
    _move(build.folder, folder)
    version = versions.add(
        gguf=folder / build.gguf.name,
        sha256=build.sha256,
        folder=folder,
        base_ref=base.base_ref if same else facts.base_ref,
        adapter_sha=build.adapter_sha256,
        quant=build.quant,
    )
    return _stated(versions, version, facts, checks, same)


def _stated(versions: Versions, version: Version, facts: Facts, checks: list[dict[str, Any]], same: bool) -> Imported:
    """The row's states, with the evidence of the other home."""
    versions.set_state(version.tag, "certified", {"imported": facts.tag, "checks": checks})
    if not same:
        reason = "it was made on another base, so it does not go live"
    elif facts.state not in _PASSED or not any(one.to == "gated" for one in facts.events):
        reason = f"it was {facts.state.replace('_', ' ')} there, so it does not go live"
    else:
        reason = "it passed the gate there, on this base"
        events = [one.model_dump(mode="json") for one in facts.events]
        versions.set_state(version.tag, "gated", {"imported": facts.tag, "reason": reason, "events": events})
    return Imported(versions.get(version.tag), facts.tag, reason)


def _facts(index: bundle.Index) -> Facts:
    try:
        return Facts.model_validate(index.facts)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DeployError(f"what it says about its version cannot be read: {where}", hint="export it again") from error


def _build(folder: Path) -> Build:
    """The build that was unpacked, its manifest in the form that ours have."""
    try:
        build = read_build(folder)
        names = set(read_manifest(folder)["files"])
        adapter = build.adapter_sha256
        if names == {build.gguf.name} and _QUANT.fullmatch(build.quant) and (adapter is None or is_sha256(adapter)):
            return build
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DeployError("its manifest is not that of a build", hint="export it again") from error
    raise DeployError("its manifest is not that of a build", hint="export it again")


def _base(home: Home) -> Version:
    known = [one for one in Versions(home.state_db).list() if one.number == 0] if home.state_db.exists() else []
    if not known:
        raise Missing("this home has no base model yet to hold it against", hint="strop init, then strop chat")
    return known[0]


def _base_facts(folder: Path) -> tuple[str, str]:
    """The weights and the template of the base that a build was made of."""
    try:
        base = read_manifest(folder)["base"]
        return str(base["sha256"]), str(base["template_sha256"])
    except (KeyError, TypeError) as error:
        raise DamagedFolder(f"{folder} does not say which base it was made of") from error


def _check_file(build: Build, base: Version | None) -> None:
    """Structure, and the chat format against the base's own file."""
    from strop.deploy.gguf import check
    from strop.deploy.targets.ollama_template import chat_format

    check(build.gguf)
    if base is not None and chat_format(build.gguf) != chat_format(base.gguf):
        raise DeployError("its chat template or end-of-turn token is not the base's", hint="strop doctor")


def _checks(path: Path, facts: Facts) -> list[dict[str, Any]]:
    """The certificate, from its own file or from the evidence. Raises NotCertified where it is no good one."""
    try:
        told = [one.evidence.get("checks", []) for one in facts.events if one.to == "certified"]
        made = certificate_from(json.loads(path.read_text(encoding="utf-8")) if path.is_file() else told[-1])
        if not made.checks:
            raise ValueError
    except (IndexError, TypeError, ValueError) as error:
        raise DeployError("it carries no certificate that can be read", hint="export it again") from error
    made.demand()
    return made.as_dict()


def _check_adapter(adapter: Path, build: Build) -> None:
    verify_manifest(adapter)
    if adapter_sha256(adapter) != build.adapter_sha256:
        raise DeployError("its adapter is not the one that was merged", hint="export it again")


def _move(folder: Path, final: Path) -> None:
    """One rename; what a killed import left under that name goes first, and what is whole stays."""
    if final.exists():
        try:
            verify_manifest(final)
            return
        except DamagedFolder:
            take_out(final)
    os.replace(folder, final)
    sync_dir(final.parent)


def _adapter(home: Home, sha256: str | None) -> Path | None:
    """The adapter folder with this hash, None where it is not here any more."""
    for folder in sorted(home.adapters.glob("[!.]*")) if sha256 else []:
        try:
            whole = set(verify_manifest(folder)["files"]) <= set(bundle.ADAPTER)
        except DamagedFolder:
            continue
        if whole and adapter_sha256(folder) == sha256:
            return folder
    return None


def _event(event: VersionEvent) -> dict[str, Any]:
    evidence = {key: _last_name(value) if key == "report" else value for key, value in event.evidence.items()}
    return {"before": event.from_state, "to": event.to_state, "evidence": evidence, "time": event.time.isoformat()}


def _last_name(path: Any) -> str:
    return Path(str(path)).name
