"""What every command stands on: the base, converted and certified once, and version 0 on it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import setup
from strop.config import load, save
from strop.deploy.certificate.file import NAMES as FILE_CHECKS
from strop.deploy.certify import Certificate, Check, certificate_from
from strop.deploy.targets.llamacpp import LlamaCppTarget
from strop.deploy.targets.ollama import OllamaTarget
from strop.deploy.versions import Versions
from strop.errors import DeployError, NotCertified, StropError, TargetError, UnknownModel
from strop.home import Home
from strop.setup import prepare
from strop.target import open_target

Prepare = Callable[[Home], setup.Ground]


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("this was done before")


@pytest.fixture
def ready(nights: ModuleType) -> Prepare:
    def call(home: Home) -> setup.Ground:
        config = load(home)
        return prepare(home, config, open_target(home, config), nights.Watch())

    return call


@pytest.fixture
def bare(home: Home) -> Home:
    """The home before its version 0: the base is converted, nothing is certified."""
    home.state_db.unlink()
    for kept in home.builds.glob("certificate-*.json"):
        kept.unlink()
    return home


def test_the_untouched_base_is_certified_and_goes_live_as_version_0(home: Home, ready: Prepare) -> None:
    versions = Versions(home.state_db)
    live = versions.live()
    assert live is not None
    assert (live.number, live.state, live.adapter_sha) == (0, "live", None)
    assert [event.to_state for event in versions.events(0)] == ["certified", "live"]
    ground = ready(home)
    assert ground.version == live
    assert ground.base_f16.is_relative_to(home.builds)


def test_the_second_time_nothing_is_built_or_certified_again(
    home: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("certify", "build", "release"):
        monkeypatch.setattr(setup, name, refuse)
    assert ready(home).version.number == 0


def test_a_target_that_fails_leaves_nothing_live_and_the_next_start_goes_on(
    bare: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: object, version: object) -> None:
        raise TargetError("it fell over", hint="strop doctor")

    with monkeypatch.context() as patch, pytest.raises(TargetError):
        patch.setattr(LlamaCppTarget, "publish", down)
        ready(bare)
    assert Versions(bare.state_db).live() is None
    monkeypatch.setattr(setup, "certify", refuse)
    tag = ready(bare).version.tag
    now_live = Versions(bare.state_db).live()
    assert now_live is not None
    assert now_live.tag == tag


def test_a_base_that_does_not_answer_as_it_must_never_goes_live(
    bare: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Certificate((Check("token ids", False, "different from id 3 on"),))
    with monkeypatch.context() as patch, pytest.raises(NotCertified, match="token ids .different from id 3 on."):
        patch.setattr(setup, "certify", lambda *args: bad)
        ready(bare)
    assert Versions(bare.state_db).list() == ()
    # A bad certificate is not kept: what was wrong may have been mended.
    good = Certificate((Check("token ids", True, "all equal"),))
    monkeypatch.setattr(setup, "certify", lambda *args: good)
    assert ready(bare).version.number == 0


def test_a_home_stays_on_its_base(home: Home, ready: Prepare, tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / "other")
    save(home, {"model": str(tmp_path / "other")})
    with pytest.raises(DeployError, match="this home stands on .* not on .*other") as error:
        ready(home)
    assert "STROP_HOME=DIR strop init --model" in error.value.hint
    save(home, {"model": str(tiny_base), "quant": "Q8_0"})
    with pytest.raises(DeployError, match="in F16, not on .* in Q8_0"):
        ready(home)


OLD = '[{"name": "token ids", "ok": true, "figure": "all equal"}]'


@pytest.mark.parametrize("kept", [OLD, "[]", "[{}]", "{", "[1]", '{"ok": true}', "null"])
def test_a_kept_certificate_that_answers_less_is_asked_again(
    kept: str, home: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = ready(home)
    made = setup.made_build(home, ground.base, ground.base_f16, None, "F16")
    (path,) = home.builds.glob("certificate-*.json")
    whole = path.read_text(encoding="utf-8")
    served = Certificate(certificate_from(json.loads(whole)).checks[len(FILE_CHECKS) :])
    path.write_text(kept, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(setup, "certify", lambda *args: served)
        assert setup.certified(home, made, ground.base_f16, ground.base, None).ok
    assert path.read_text(encoding="utf-8") == whole
    monkeypatch.setattr(setup, "certify", refuse)
    assert setup.certified(home, made, ground.base_f16, ground.base, None).ok


def test_no_server_is_started_on_a_file_that_is_not_what_it_says(
    home: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = ready(home)
    made = setup.made_build(home, ground.base, ground.base_f16, None, "F16")
    other = dataclasses.replace(made, sha256="0" * 64)
    monkeypatch.setattr(LlamaCppTarget, "serve_file", refuse)
    certificate = setup.certified(home, other, ground.base_f16, ground.base, None)
    assert [check.name for check in certificate.checks if not check.ok] == ["sha256"]
    assert not (home.builds / f"certificate-{other.sha256[:16]}.json").exists()


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer.json"])
def test_a_base_that_changed_under_its_name_is_refused(
    file: str, ready: Prepare, tiny_base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    home = Home(tmp_path / "home")
    save(home.ensure(), {"model": str(folder), "quant": "F16"})
    ready(home)
    with (folder / file).open("a", encoding="utf-8") as opened:
        opened.write("\n")
    said = {"chat_template.jinja": "chat template", "tokenizer.json": "weights or tokenizer"}[file]
    with pytest.raises(DeployError, match=f"the {said} of .*base changed since") as error:
        ready(home)
    assert "put the old files back" in error.value.hint


@pytest.mark.parametrize("name", ["nope", "gguf:nowhere.gguf", "pypi:nope", "hf:nope"])
def test_an_unknown_model_is_said_and_leaves_no_version(name: str, tmp_path: Path, ready: Prepare) -> None:
    home = Home(tmp_path / "home")
    save(home.ensure(), {"model": name})
    with pytest.raises(UnknownModel) as error:
        ready(home)
    assert (error.value.exit_code, bool(error.value.hint)) == (30, True)
    assert Versions(home.state_db).list() == ()


def test_a_build_that_is_damaged_is_made_again(home: Home, ready: Prepare) -> None:
    ground = ready(home)
    made = setup.made_build(home, ground.base, ground.base_f16, None, "F16")
    whole = made.gguf.read_bytes()
    made.gguf.write_bytes(whole[:-1])
    again = setup.made_build(home, ground.base, ground.base_f16, None, "F16")
    assert (again.folder, again.gguf.read_bytes() == whole) == (made.folder, True)


def test_the_settings_choose_the_target(home: Home) -> None:
    assert isinstance(open_target(home, load(home)), LlamaCppTarget)
    save(home, {"target": "ollama", "ollama.alias": "mine"})
    target = open_target(home, load(home))
    assert isinstance(target, OllamaTarget)
    assert target.alias == "mine"


@pytest.mark.parametrize("place", ["strop.deploy.container.free_bytes", "strop.deploy.build.free_bytes"])
def test_on_a_full_disk_the_base_is_refused_with_the_figures_and_nothing_is_half_made(
    place: str, home: Home, ready: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.state_db.unlink()
    shutil.rmtree(home.builds)
    home.ensure()
    with monkeypatch.context() as patch:
        patch.setattr(place, lambda path: 0)
        with pytest.raises(StropError, match=r"the disk has 0(\.0)? [MG]B left") as error:
            ready(home)
    assert "STROP_HOME" in error.value.hint
    assert Versions(home.state_db).list() == ()
    assert not [path for path in home.builds.rglob("*") if path.name.startswith(".") or path.name == "model.gguf"]
    monkeypatch.setattr(setup, "certify", lambda *args: Certificate((Check("token ids", True, "all equal"),)))
    assert ready(home).version.number == 0
