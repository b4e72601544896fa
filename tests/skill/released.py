"""A home with a base and versions of a few hundred bytes: real files, manifests, certificates and rows, no training."""

import shutil
from pathlib import Path
from types import ModuleType

from strop.built_files import certificate
from strop.deploy.adapter import adapter_sha256
from strop.deploy.release import release
from strop.deploy.targets.base import Target
from strop.deploy.versions import Version, Versions
from strop.files import sha256_file, write_json, write_manifest
from strop.home import Home

CHECKS = [{"name": "merge agreement", "ok": True, "figure": "100 % of 1,024 positions"}]
BASE = {"ref": "smollm2", "sha256": "b" * 64, "template_sha256": "c" * 64}


def built(home: Home, fakes: ModuleType, mark: str, adapter: Path | None, template: str | None = None) -> Path:
    """A build folder with its manifest, and its certificate beside it."""
    folder = home.builds / f"build-{mark}"
    folder.mkdir(parents=True)
    gguf = fakes.tiny_gguf(folder / "model.gguf", mark, template or fakes.CHATML)
    sha256 = adapter_sha256(adapter) if adapter else None
    write_manifest(folder, {"kind": "build", "base": BASE, "adapter_sha256": sha256, "quant": "Q8_0", "merged": {}})
    write_json(certificate(home, sha256_file(gguf)), CHECKS)
    return folder


def adapter(home: Home, mark: str) -> Path:
    """An adapter folder."""
    folder = home.adapters / mark
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(mark.encode() * 100)
    (folder / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    write_manifest(folder, {"kind": "adapter", "dataset_sha256": "d" * 64})
    return folder


def version(home: Home, fakes: ModuleType, mark: str, state: str = "gated") -> Version:
    """A version with an adapter of its own, certified and then as far as `state`."""
    learned = adapter(home, mark)
    folder = built(home, fakes, mark, learned)
    versions = Versions(home.state_db)
    made = versions.add(
        gguf=folder / "model.gguf",
        sha256=sha256_file(folder / "model.gguf"),
        folder=folder,
        base_ref="smollm2",
        adapter_sha=adapter_sha256(learned),
        quant="Q8_0",
    )
    evidence = {"certified": {"checks": CHECKS}, "gated": {"run": "r1", "report": "/home/ann/x.md", "reasons": ["9:1"]}}
    for one in ("certified", state):
        versions.set_state(made.tag, one, evidence.get(one, {}))
    return versions.get(made.tag)


def home_with_base(path: Path, fakes: ModuleType, target: Target) -> Home:
    """A home in which the base is live."""
    home = Home(path).ensure()
    folder = built(home, fakes, "base", None)
    base = Versions(home.state_db).add(
        number=0,
        state="certified",
        gguf=folder / "model.gguf",
        sha256=sha256_file(folder / "model.gguf"),
        folder=folder,
        base_ref="smollm2",
        adapter_sha=None,
        quant="Q8_0",
    )
    release(Versions(home.state_db), target, base.tag, home.release_lock)
    return home


def released(home: Home, fakes: ModuleType, target: Target, marks: str) -> list[Version]:
    """A version for each letter, released one after the other."""
    versions = Versions(home.state_db)
    made = [version(home, fakes, mark) for mark in marks]
    for one in made:
        release(versions, target, one.tag, home.release_lock)
    return [versions.get(one.tag) for one in made]


def copied(home: Home, to: Path) -> Home:
    """The same home elsewhere."""
    shutil.copytree(home.path, to)
    return Home(to)
