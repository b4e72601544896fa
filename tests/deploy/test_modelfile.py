"""The Modelfile beside a GGUF."""

from pathlib import Path

import pytest

from strop.deploy.container import read
from strop.deploy.gguf import metadata
from strop.deploy.settings import OllamaSettings
from strop.deploy.targets.modelfile import modelfile
from strop.errors import DeployError


def test_it_says_what_our_own_tags_say(tiny_f16: Path) -> None:
    lines = modelfile(tiny_f16, OllamaSettings(num_ctx=300)).splitlines()
    assert lines[0] == f'FROM "./{tiny_f16.name}"'
    assert lines[1].startswith('TEMPLATE """{{- range .Messages }}<|im_start|>')
    assert lines[-3:] == ["PARAMETER num_ctx 300", 'PARAMETER stop "<|im_end|>"', "PARAMETER repeat_penalty 1.0"]


def test_the_context_is_no_longer_than_the_model_s(tiny_f16: Path) -> None:
    trained = metadata(read(tiny_f16), "llama.context_length")
    assert f"num_ctx {trained}\n" in modelfile(tiny_f16, OllamaSettings(num_ctx=10_000_000))


def test_a_template_that_no_go_template_is_proven_for_is_left_to_the_file(
    tiny_f16: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strop.deploy.targets.modelfile.go_template_for", lambda jinja: None)
    text = modelfile(tiny_f16, OllamaSettings())
    assert "\nTEMPLATE" not in text
    assert "# No TEMPLATE" in text


@pytest.mark.parametrize("name", ['a".gguf', "a\nFROM other.gguf"])
def test_a_name_that_would_end_its_line_is_refused(name: str, tiny_f16: Path, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tiny_f16)
    with pytest.raises(DeployError, match="cannot be written in a Modelfile"):
        modelfile(tmp_path / name, OllamaSettings())
