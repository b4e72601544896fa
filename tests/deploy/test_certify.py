"""Certification: a build that answers as its adapter does passes every check; what was not seen is not certified."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from strop.deploy.build import build
from strop.deploy.certificate import answers
from strop.deploy.certificate.file import METADATA, VOCABULARY
from strop.deploy.certificate.form import EFFECT, MERGE, QUANTISED
from strop.deploy.certify import Certificate, Check, Origin, Served, certificate_from, certify, names, spoken
from strop.deploy.targets.llamacpp_api import LlamaServer
from strop.errors import NotCertified, TargetError
from strop.trainer.models import BaseModel

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.ok}


def figure(certificate: Certificate, name: str) -> str:
    return next(check.figure for check in certificate.checks if check.name == name)


# A build as it should be


def test_a_build_certifies(asked: Any, merged: Any) -> None:
    alone, served = asked.file(merged.gguf), asked.served(merged.gguf)
    certificate = Certificate((*alone.checks, *served.checks))
    assert failed(certificate) == set()
    certificate.demand()
    assert tuple(check.name for check in certificate.checks) == names(adapted=True, is_quantised=False)
    assert certificate.checks[-1].name == EFFECT
    assert int(figure(certificate, MERGE).split()[2]) >= answers.MIN_POSITIONS == 1000
    assert figure(certificate, MERGE) in spoken(certificate.as_dict())


def test_a_build_with_tokens_of_its_own_certifies(
    asked: Any, tiny: BaseModel, tiny_f16: Path, trained: Path, tmp_path: Path
) -> None:
    wider = Path(shutil.copytree(trained, tmp_path / "adapter"))
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.add_tokens(["<tool>", "</tool>"], special_tokens=True)
    tokenizer.save_pretrained(wider)
    rows = load_file(tiny.folder / "model.safetensors")["model.embed_tokens.weight"]
    file = wider / "adapter_model.safetensors"
    new = {"base_model.model.model.embed_tokens.weight": np.concatenate([rows, 0.1 * rows[:2]])}
    save_file(load_file(file) | new, file)
    made = build(tiny, tiny_f16, wider, tmp_path / "build", "F16")
    assert made.merged["way"] == "full"
    origin = {"adapter": wider, "full": True}
    alone, served = asked.file(made.gguf, **origin), asked.served(made.gguf, **origin)
    Certificate((*alone.checks, *served.checks)).demand()
    assert {VOCABULARY, METADATA} <= failed(asked.file(made.gguf, adapter=wider))


def test_a_quantised_build_certifies_beside_its_exact_merge(
    asked: Any, exact: Served, tiny: BaseModel, tiny_f16: Path, trained: Path, tmp_path: Path
) -> None:
    made = build(tiny, tiny_f16, trained, tmp_path / "build", "Q8_0")
    alone, served = asked.file(made.gguf, sha256=made.sha256), asked.served(made.gguf, beside=exact)
    certificate = Certificate((*alone.checks, *served.checks))
    assert failed(certificate) == set()
    assert tuple(check.name for check in certificate.checks) == names(adapted=True, is_quantised=True)
    assert figure(certificate, QUANTISED) in spoken(certificate.as_dict())


def test_the_bare_base_certifies_without_an_adapter_to_look_for(asked: Any, tiny_f16: Path) -> None:
    alone, served = asked.file(tiny_f16), asked.served(tiny_f16, adapter=None)
    certificate = Certificate((*alone.checks, *served.checks))
    assert failed(certificate) == set()
    assert tuple(check.name for check in certificate.checks) == names(adapted=False, is_quantised=False)


# The stored form


def test_a_certificate_survives_json_and_knows_what_it_was_asked() -> None:
    certificate = Certificate((Check("token ids", True, "all equal"), Check("file", False, "too short")))
    stored = json.loads(json.dumps(certificate.as_dict()))
    assert certificate_from(stored) == certificate
    assert certificate.covers(["file", "token ids"])
    assert not certificate.covers(["file", "sha256"])
    with pytest.raises(TypeError):
        certificate_from([{"name": "file", "ok": True, "figure": "", "more": 1}])


def test_one_failed_check_is_enough_and_each_is_named() -> None:
    certificate = Certificate((Check("a", True, "1"), Check("b", False, "2 of 3"), Check("c", False, "none")))
    assert not certificate.ok
    with pytest.raises(NotCertified, match=r"b \(2 of 3\); c \(none\)$") as error:
        certificate.demand()
    assert error.value.hint == "strop doctor"
    assert certificate_from([]).checks == ()


# What was not seen is not certified


@pytest.mark.parametrize("count", [0, 8])
def test_too_few_positions_never_certify(asked: Any, merged: Any, conversations: list[Any], count: int) -> None:
    certificate = asked.served(merged.gguf, conversations=conversations[:count])
    assert MERGE in failed(certificate)
    assert "fewer than the 1000 positions needed" in figure(certificate, MERGE)
    if count == 0:
        assert {EFFECT, "answers end"} <= failed(certificate)
        assert figure(certificate, EFFECT) == "0 answers are too few to tell"


def test_a_server_that_fails_is_an_error_and_no_certificate(
    asked: Any, exact: Served, conversations: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LlamaServer, *args: Any) -> None:
        raise TargetError("it is gone")

    monkeypatch.setattr(LlamaServer, "continuations", fail)
    with pytest.raises(TargetError, match="it is gone"):
        certify(exact, exact, asked.right, conversations)


def test_tokenizers_are_compared_once_however_often_it_is_asked(
    tiny: Any, tiny_f16: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def counted(base: Path, adapter: Path) -> int:
        asked.append(adapter)
        return 3

    monkeypatch.setattr("strop.deploy.certificate.form.new_tokens", counted)
    origin = Origin(tiny, tiny_f16, tiny_adapter, "0" * 64, full=True)
    assert (origin.brings_tokens, origin.tokenizer_folder) == (True, tiny_adapter)
    assert origin.brings_tokens
    assert asked == [tiny_adapter]
