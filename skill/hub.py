"""Publishing a version on the Hugging Face Hub: which one, with which evidence, and nothing that a person wrote.

What goes is named file by file: PEFT's two files or the served GGUF, the base's chat template, a card and a manifest.
The ledger, the datasets, held-out prompts, reports and logs are read for counts and figures at most. Then the scrubber
looks through every text that would go, and one find stops the push; what is byte for byte a public base's own is left
out of that, since it is nobody's feedback. Texts inside the weights' files (metadata of GGUF and safetensors) count.

Not covered: what the weights themselves learned by heart, and names, which the scrubber does not know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.config import Config
from strop.deploy import card, container, hub, licence
from strop.deploy.adapter import CONFIG_FILE, WEIGHTS_FILE
from strop.deploy.build import MODEL_FILE, read_build
from strop.deploy.card import Base, Facts, Kind
from strop.deploy.hub import Pushed, Upload
from strop.deploy.states import UNREFUTED
from strop.deploy.versions import Version, Versions
from strop.errors import DeployError, HoldsPersonalData, UsageError
from strop.feedback.scrub import Scrubber
from strop.files import DamagedFolder, canonical_json, read_manifest, sha256_bytes, sha256_file, verify_manifest
from strop.home import Home
from strop.setup import OnProgress

AGAIN = "strop hub push"
_TEMPLATE = "chat_template.jinja"
_RECIPE = ("rank", "alpha", "precision", "load_in", "max_length", "replay", "seed")
_STAGE = ("method", "epochs", "learning_rate", "batch_size")
_SHOWN_ROWS = ("standing", "gate")
# Pieces of words, one by one: no sentence stands in them.
_VOCABULARY = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")


@dataclass(frozen=True, slots=True)
class Package:
    """All that would go: `files`, `card` being the text of one of them."""

    version: Version
    files: tuple[Upload, ...]
    card: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        files = [{"name": one.name, "bytes": one.bytes, "sha256": one.sha256} for one in self.files]
        return {"version": self.version.tag, "files": files, "card": self.card}


def package(home: Home, config: Config, which: str | None, *, merged: bool) -> Package:
    """The files and the card of a version (the live one without `which`), looked through. Asks no network.

    Raises UsageError for a version that the gate never promoted, DamagedFolder where its files are not what they were,
    HoldsPersonalData where the scrubber finds something.
    """
    version = _promoted(home, which)
    base, base_folder, base_f16 = _base(home, version)
    facts = _facts(home, config, version, base, "merged" if merged else "adapter")
    content: dict[str, bytes | Path] = {}
    if merged:
        content[MODEL_FILE] = read_build(version.folder).gguf
    else:
        folder = _adapter_folder(home, version)
        config_file = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        content[CONFIG_FILE] = _pretty(card.adapter_config(config_file, base))
        content[WEIGHTS_FILE] = folder / WEIGHTS_FILE
        if base_folder is not None and (base_folder / _TEMPLATE).is_file():
            content[_TEMPLATE] = (base_folder / _TEMPLATE).read_bytes()
    weights = [_upload(name, data) for name, data in content.items()]
    listed = {one.name: one.sha256 for one in weights}
    text = card.card(facts)
    files = (
        _upload("README.md", text.encode()),
        *weights,
        _upload(hub.MARK, _pretty(card.manifest(facts, listed))),
    )
    known = base_folder if base.is_public else None
    _look_through(home, config, files, known, base_f16 if base.is_public else None)
    return Package(version, files, text)


def push(
    home: Home,
    config: Config,
    which: str | None,
    *,
    repo: str | None = None,
    merged: bool = False,
    public: bool = False,
    on_progress: OnProgress,
) -> tuple[Package, Pushed]:
    """Put a version on the Hub; safe to repeat. Raises what `package` and `deploy.hub.push` raise."""
    to = hub.check_repo_id(repo or config.hub.repo)
    made = package(home, config, which, merged=merged)
    message = f"{made.version.tag}, {'merged' if merged else 'adapter'}"
    private = config.hub.private and not public
    return made, hub.push(to, made.files, private=private, message=message, on_progress=on_progress)


def _promoted(home: Home, which: str | None) -> Version:
    """The version to publish. Raises UsageError for one that users never got, or get no more."""
    if not home.state_db.exists():
        raise UsageError("there is no version in this home", hint="strop night")
    versions = Versions(home.state_db)
    version = versions.get(which) if which else versions.live()
    if version is None or version.number == 0:
        raise UsageError("the untouched base is nothing of yours to publish", hint="strop night")
    if version.state == "rolled_back":
        raise UsageError(f"{version.tag} was rolled back", hint=f"strop rollback {version.tag} brings it back first")
    if version.state not in ("live", *UNREFUTED):
        said = f"{version.tag} was never promoted: it is {version.state}"
        raise UsageError(said, hint="strop versions")
    return version


def _base(home: Home, version: Version) -> tuple[Base, Path | None, Path | None]:
    """The base of a version for others, its folder and its GGUF, as far as they are on this disk."""
    facts = read_manifest(version.folder)["base"]
    ref, sha256 = str(facts["ref"]), str(facts["sha256"])
    folder = _base_folder(home, ref, sha256)
    gguf = home.builds / f"base-{sha256[:16]}" / "base-f16.gguf"
    found = licence.find(ref, folder, gguf)
    told = Base(card.public_ref(ref), sha256, str(facts["template_sha256"]), found)
    return told, folder, gguf if gguf.is_file() else None


def _base_folder(home: Home, ref: str, sha256: str) -> Path | None:
    """Where the base's files lie, found without asking anybody."""
    place = home.models / f"gguf-{sha256[:16]}"
    if (hub_name := Base(ref, sha256, "").on_the_hub) is not None:
        repo, revision = hub_name
        place = home.models / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
    elif not ref.startswith(("pypi:", "gguf:", "ollama:")):
        place = Path(ref)
    return place if place.is_dir() else None


def _adapter_folder(home: Home, version: Version) -> Path:
    """The adapter that the version was made of, its files checked."""
    for folder in sorted(home.adapters.glob("*")) if home.adapters.is_dir() else ():
        try:
            if _adapter_hash(read_manifest(folder)) == version.adapter_sha:
                verify_manifest(folder)
                return folder
        except (DamagedFolder, KeyError, NotADirectoryError):
            continue
    raise DeployError(
        f"the adapter of {version.tag} is not in this home, or damaged", hint=f"{AGAIN} {version.tag} --merged"
    )


def _adapter_hash(manifest: Mapping[str, Any]) -> str:
    """As `strop.deploy.adapter.adapter_sha256`, from the manifest."""
    files = {name: manifest["files"][name]["sha256"] for name in (CONFIG_FILE, WEIGHTS_FILE)}
    return sha256_bytes(canonical_json(files).encode())


def _facts(home: Home, config: Config, version: Version, base: Base, kind: Kind) -> Facts:
    reasons, report = _verdict(home, version)
    trained = _training(home, version)
    recipe = trained.get("recipe", {})
    stages = [{name: stage[name] for name in _STAGE} for stage in recipe.get("stages", ())]
    methods = [str(stage["method"]) for stage in stages]
    return Facts(
        tag=version.tag,
        kind=kind,
        base=base,
        quant=version.quant,
        gguf_sha256=version.sha256,
        adapter_sha256=str(version.adapter_sha),
        reasons=reasons,
        figures=_figures(config, report),
        certificate=_certificate(home, version),
        counts=_counts(home, trained, methods),
        recipe={**{name: recipe[name] for name in _RECIPE if name in recipe}, "stages": stages} if recipe else {},
    )


def _training(home: Home, version: Version) -> dict[str, Any]:
    """The manifest of the adapter; empty where the adapter is gone."""
    try:
        return read_manifest(_adapter_folder(home, version))
    except DeployError:
        return {}


def _counts(home: Home, trained: Mapping[str, Any], methods: list[str]) -> dict[str, int]:
    """Rows that this adapter learned from and was judged by, as numbers."""
    found: Mapping[str, Any] = trained.get("rows", {})
    for folder in sorted(home.datasets.glob("*")) if home.datasets.is_dir() else ():
        try:
            manifest = read_manifest(folder)
        except (DamagedFolder, NotADirectoryError):
            continue
        if manifest.get("sha256") == trained.get("dataset_sha256"):
            found = manifest["counts"]
            break
    return {name: int(found[name]) for name in (*methods, *_SHOWN_ROWS) if name in found}


def _verdict(home: Home, version: Version) -> tuple[tuple[str, ...], Path | None]:
    """Why the gate promoted it, and the report that says so. Raises UsageError where no gate did."""
    events = [one for one in Versions(home.state_db).events(version.tag) if one.to_state in ("gated", "live")]
    for event in events:
        if event.evidence.get("reasons") and event.evidence.get("report"):
            # Only the name: a home may have been moved.
            report = home.reports / Path(str(event.evidence["report"])).name
            return tuple(map(str, event.evidence["reasons"])), report if report.is_file() else None
    raise UsageError(f"no verdict of the gate is known for {version.tag}", hint="strop versions")


def _figures(config: Config, report: Path | None) -> tuple[tuple[str, str, str, str, int], ...]:
    """The figures with their intervals, from what the night measured; none where that is gone.

    They follow from the results alone: settings that changed since would judge them otherwise, not measure them so.
    """
    from strop.evaluation import decide
    from strop.evaluation.records import read_results
    from strop.evaluation.report import figure, measured

    results = report.with_suffix(".results.jsonl") if report else None
    if results is None or not results.is_file():
        return ()
    estimates = decide(read_results(results), config.gate.policy()).estimates
    return tuple(
        (measured(name), figure(name, one.value), figure(name, one.low), figure(name, one.high), one.n)
        for name, one in estimates.items()
    )


def _certificate(home: Home, version: Version) -> tuple[str, ...]:
    checks = [one.evidence.get("checks", ()) for one in Versions(home.state_db).events(version.tag)]
    return tuple(f"{check['name']}: {check['figure']}" for found in checks for check in found)


def _upload(name: str, content: bytes | Path) -> Upload:
    if isinstance(content, bytes):
        return Upload(name, content, len(content), sha256_bytes(content))
    return Upload(name, content, content.stat().st_size, sha256_file(content))


def _pretty(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _look_through(
    home: Home, config: Config, files: tuple[Upload, ...], public_folder: Path | None, public_gguf: Path | None
) -> None:
    """Raise HoldsPersonalData for the first file with a find: what kind and how many, never what it says."""
    chosen = config.feedback.scrub
    scrubber = Scrubber(chosen.own, phone_regions=chosen.phone_regions)  # also where nothing is scrubbed on its way in
    paths = {str(path) for path in (home.path, Path.home()) if len(path.parts) > 2}
    for file in files:
        texts = _texts(file, public_folder, public_gguf)
        found = dict(scrubber.scrub(texts).found)
        if named := sum(text.count(path) for text in texts for path in paths):
            found["LOCAL_PATH"] = named
        if found:
            said = ", ".join(f"{count} {kind}" for kind, count in found.items())
            raise HoldsPersonalData(
                f"{file.name} holds what may be personal data ({said}), so nothing was published",
                hint="strop hub push --dry-run shows the card once it is clean; look at the base's own files first",
            )


def _texts(file: Upload, public_folder: Path | None, public_gguf: Path | None) -> list[str]:
    """What can be read in a file, without what is a public base's own."""
    if isinstance(file.content, bytes):
        own = public_folder / file.name if public_folder else None
        if own is not None and own.is_file() and sha256_file(own) == file.sha256:
            return []
        text = file.content.decode("utf-8", errors="replace")
        # The card's escapes would break what the scrubber looks for: ann\\_lee@...
        return [re.sub(r"\\(.)", r"\1", text) if file.name.endswith(".md") else text]
    if file.name.endswith(".gguf"):
        known = container.read(public_gguf).fields if public_gguf else {}
        fields = container.read(file.content).fields.values()
        return [text for field in fields if known.get(field.key) != field for text in _of_field(field)]
    with file.content.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return [stream.read(min(length, file.bytes)).decode("utf-8", errors="replace")]


def _of_field(field: container.Field) -> list[str]:
    if field.type not in (container.STRING, container.ARRAY) or field.key in _VOCABULARY:
        return []
    value = field.value()
    return [field.key, *(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))]
