"""Certification: a build that answers as its adapter does passes, and one planted fault of any kind does not."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from strop.deploy import certify as certification
from strop.deploy import container
from strop.deploy.build import Build, build
from strop.deploy.certify import Certificate, Check, Served, certificate_from, certify
from strop.deploy.convert import convert
from strop.deploy.gguf import merge
from strop.deploy.targets.llamacpp import LlamaCppTarget, LlamaServer
from strop.errors import NotCertified, TargetError
from strop.trainer import plan
from strop.trainer.models import BaseModel
from strop.trainer.recipe import Recipe, StageRecipe
from strop.trainer.work import Job, work

# PEFT asks transformers for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
ANSWER = (
    "A strop is the leather that keeps a razor keen: a little, daily, without grinding it away. "
    "It takes 12 eggs, and the dog does not mind at all."
)
CONVERSATIONS = [[{"role": "user", "content": f"Question number {number}: what is it?"}] for number in range(40)]
IDS, PROMPTS, METADATA = "token ids", "rendered prompts", "template and end of turn"
MERGE, QUANTISED = "top-1 agreement, merge", "top-1 agreement, quantised"
CertifyFile = Callable[..., Certificate]


@pytest.fixture(scope="module")
def adapter(tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has learned one answer so well that each of its tokens is a clear choice."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [{"prompt": one[0]["content"], "completion": ANSWER} for one in CONVERSATIONS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe((StageRecipe("sft", 30.0, 1e-2, 10),), rank=8, alpha=16, max_length=256, precision="fp32")
    files = {"sft": str(folder / "rows.jsonl")}
    job = Job(str(tiny.folder), tiny.facts(), files, recipe.as_dict(), str(folder / "adapter"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "set_threads", lambda: 1)
        work(job, lambda at: None)
    return folder / "adapter"


@pytest.fixture(scope="module")
def target() -> LlamaCppTarget:
    # One thread: idle threads spin, which costs more than a tiny model gains.
    return LlamaCppTarget(context_tokens=256, slots=4, threads=1)


@pytest.fixture(scope="module")
def exact(
    tiny: BaseModel, tiny_f16: Path, adapter: Path, target: LlamaCppTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The right merge in F16, served."""
    made = build(tiny, tiny_f16, adapter, tmp_path_factory.mktemp("exact") / "build", "F16")
    with target.serve_file(made.gguf) as server:
        yield Served(server, made.gguf)


@pytest.fixture
def certify_file(tiny: BaseModel, adapter: Path, target: LlamaCppTarget) -> CertifyFile:
    """Certifies one GGUF that claims to be the F16 merge of the adapter."""

    def certify_one(gguf: Path, conversations: Sequence[Any] = CONVERSATIONS) -> Certificate:
        with target.serve_file(gguf) as server:
            served = Served(server, gguf)
            return certify(served, served, tiny, adapter, conversations)

    return certify_one


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.ok}


def figure(certificate: Certificate, name: str) -> str:
    return next(check.figure for check in certificate.checks if check.name == name)


# A build as it should be


def test_a_build_certifies(exact: Served, tiny: BaseModel, adapter: Path) -> None:
    certificate = certify(exact, exact, tiny, adapter, CONVERSATIONS)
    assert failed(certificate) == set()
    assert certificate.ok
    certificate.demand()
    assert [check.name for check in certificate.checks] == [IDS, PROMPTS, METADATA, MERGE]
    assert "at least 99% needed" in figure(certificate, MERGE)
    positions = int(figure(certificate, MERGE).split()[2])
    assert positions >= certification.MIN_POSITIONS == 1000


def test_a_build_with_tokens_of_its_own_certifies(
    tiny: BaseModel, tiny_f16: Path, adapter: Path, target: LlamaCppTarget, tmp_path: Path
) -> None:
    wider = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.add_tokens(["<tool>", "</tool>"], special_tokens=True)
    tokenizer.save_pretrained(wider)
    rows = load_file(tiny.folder / "model.safetensors")["model.embed_tokens.weight"]
    file = wider / "adapter_model.safetensors"
    new = {"base_model.model.model.embed_tokens.weight": np.concatenate([rows, 0.1 * rows[:2]])}
    save_file(load_file(file) | new, file)
    made = build(tiny, tiny_f16, wider, tmp_path / "build", "F16")
    assert made.merged["way"] == "full"
    with target.serve_file(made.gguf) as server:
        served = Served(server, made.gguf)
        certify(served, served, tiny, wider, CONVERSATIONS).demand()


def test_a_quantised_build_certifies_beside_its_exact_merge(
    exact: Served, tiny: BaseModel, tiny_f16: Path, adapter: Path, target: LlamaCppTarget, tmp_path: Path
) -> None:
    made: Build = build(tiny, tiny_f16, adapter, tmp_path / "build", "Q8_0")
    with target.serve_file(made.gguf) as server:
        certificate = certify(Served(server, made.gguf), exact, tiny, adapter, CONVERSATIONS)
    assert failed(certificate) == set()
    assert [check.name for check in certificate.checks][-2:] == [MERGE, QUANTISED]
    assert f"at least {certification.MIN_QUANTISED_AGREEMENT:.0%} needed" in figure(certificate, QUANTISED)


def test_a_certificate_survives_json(exact: Served, tiny: BaseModel, adapter: Path) -> None:
    certificate = certify(exact, exact, tiny, adapter, CONVERSATIONS[:8])
    assert certificate_from(json.loads(json.dumps(certificate.as_dict()))) == certificate


# Planted faults


def test_a_merge_with_the_wrong_scale_fails(
    certify_file: CertifyFile, tiny_f16: Path, adapter: Path, tmp_path: Path
) -> None:
    wrong = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((wrong / "adapter_config.json").read_text())
    (wrong / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": config["lora_alpha"] * 2}))
    merge(tiny_f16, wrong, tmp_path / "wrong.gguf", quant="F16")
    assert failed(certify_file(tmp_path / "wrong.gguf")) == {MERGE}


def test_a_build_without_the_adapter_fails(certify_file: CertifyFile, tiny_f16: Path) -> None:
    certificate = certify_file(tiny_f16)
    assert failed(certificate) == {MERGE}
    with pytest.raises(NotCertified, match=r"top-1 agreement, merge .*greedy tokens agree with transformers") as error:
        certificate.demand()
    assert error.value.hint == "strop doctor"


def test_a_merge_into_rows_in_the_wrong_order_fails(
    certify_file: CertifyFile, tiny_f16: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strop.deploy import gguf

    with monkeypatch.context() as patch:
        patch.setattr(gguf, "permute_rows", lambda rows, heads, undo=False: rows)
        merge(tiny_f16, adapter, tmp_path / "wrong.gguf", quant="F16")
    assert failed(certify_file(tmp_path / "wrong.gguf")) == {MERGE}


def test_a_quantised_file_of_another_model_fails_beside_a_right_merge(
    exact: Served, tiny: BaseModel, tiny_f16: Path, adapter: Path, target: LlamaCppTarget, tmp_path: Path
) -> None:
    merge(tiny_f16, None, tmp_path / "other.gguf", quant="Q8_0")
    with target.serve_file(tmp_path / "other.gguf") as server:
        certificate = certify(Served(server, tmp_path / "other.gguf"), exact, tiny, adapter, CONVERSATIONS)
    assert failed(certificate) == {QUANTISED}


@pytest.mark.parametrize("change", [("<|im_start|>", "<|endoftext|>"), ("message['role'] + '\n'", "message['role']")])
def test_another_chat_template_fails(
    certify_file: CertifyFile, tiny_base: Path, adapter: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    other = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    template = (other / "chat_template.jinja").read_text()
    assert change[0] in template
    (other / "chat_template.jinja").write_text(template.replace(*change))
    convert(other, tmp_path / "base.gguf")
    merge(tmp_path / "base.gguf", adapter, tmp_path / "merged.gguf", quant="F16")
    certificate = certify_file(tmp_path / "merged.gguf")
    # Continuations start from our own ids, so the weights are seen to be right all the same.
    assert failed(certificate) == {PROMPTS, METADATA}
    assert figure(certificate, PROMPTS) == "8 of 8 differ from the training template"
    assert figure(certificate, METADATA) == "template equal: False, end token equal: True"


def test_another_end_of_turn_fails(certify_file: CertifyFile, exact: Served, tmp_path: Path) -> None:
    file = container.read(exact.gguf)
    eos = container.field("tokenizer.ggml.eos_token_id", 0, "u32")
    plans = [
        container.Planned(tensor.name, tensor.type, tensor.shape, lambda tensor=tensor: [raw(exact.gguf, tensor)])
        for tensor in file.tensors.values()
    ]
    container.write(tmp_path / "eos.gguf", {**file.fields, eos.key: eos}.values(), plans, file.alignment)
    certificate = certify_file(tmp_path / "eos.gguf")
    assert METADATA in failed(certificate)
    assert figure(certificate, METADATA) == "template equal: True, end token equal: False"


def raw(path: Path, tensor: container.Tensor) -> Any:
    import numpy as np

    return np.fromfile(path, dtype=np.uint8, count=tensor.n_bytes, offset=tensor.offset).reshape(tensor.rows, -1)


def test_another_way_to_cut_words_fails(
    certify_file: CertifyFile, tiny_model: ModuleType, tiny_base: Path, adapter: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_base, tmp_path / "hf"))
    split = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    tiny_model.make_tokenizer(tmp_path / "qwen2", "qwen2")
    cut = json.loads((tmp_path / "qwen2" / "tokenizer.json").read_text(encoding="utf-8"))
    # The same vocabulary, but text is cut as Qwen does it: a mark that stands before letters stays with them.
    split |= {"pre_tokenizer": cut["pre_tokenizer"], "normalizer": cut["normalizer"]}
    (other / "tokenizer.json").write_text(json.dumps(split), encoding="utf-8")
    convert(other, tmp_path / "base.gguf")
    merge(tmp_path / "base.gguf", adapter, tmp_path / "merged.gguf", quant="F16")
    certificate = certify_file(tmp_path / "merged.gguf")
    assert IDS in failed(certificate)
    assert "different from id" in figure(certificate, IDS)


def test_a_template_that_puts_the_first_token_twice_fails(exact: Served, tiny: BaseModel) -> None:
    class Doubling:
        """A server that renders as ours does, with one more beginning of sequence."""

        def rendered(self, conversation: Any) -> str:
            return exact.server.rendered(conversation)

        def tokenize(self, text: str, *, special: bool = False) -> list[int]:
            ids = exact.server.tokenize(text, special=special)
            return [ids[0], *ids]

    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    prompts = [certification.Renderer(tokenizer).prompt(one) for one in CONVERSATIONS]
    server: Any = Doubling()
    assert not certification._rendering(server, tokenizer, CONVERSATIONS, prompts).ok
    assert certification._rendering(exact.server, tokenizer, CONVERSATIONS, prompts).ok


# What was not seen is not certified


@pytest.mark.parametrize("count", [0, 8])
def test_too_few_positions_never_certify(certify_file: CertifyFile, exact: Served, count: int) -> None:
    certificate = certify_file(exact.gguf, CONVERSATIONS[:count])
    assert MERGE in failed(certificate)
    assert "fewer than the 1000 positions needed" in figure(certificate, MERGE)


def test_rounds_end_as_soon_as_there_are_positions_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certification, "_PROMPTS_A_ROUND", 32)
    asked: list[int] = []

    class Talkative:
        def continuations(self, prompts: Sequence[Any], tokens: int) -> list[list[int]]:
            asked.append(len(prompts))
            return [[7] * 20 for _ in prompts]

    server: Any = Talkative()
    pairs = certification._continued(server, [[1]] * 200, 1000)
    assert asked == [32, 32]
    assert sum(len(continued) for _, continued in pairs) == 1280
    certification._continued(server, [[1]] * 200, 640)
    certification._continued(server, [[1]] * 40, 1000)
    assert asked[2:] == [32, 32, 8]


def test_a_server_that_fails_is_an_error_and_no_certificate(
    exact: Served, tiny: BaseModel, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LlamaServer, *args: Any) -> None:
        raise TargetError("it is gone")

    monkeypatch.setattr(LlamaServer, "continuations", fail)
    with pytest.raises(TargetError, match="it is gone"):
        certify(exact, exact, tiny, adapter, CONVERSATIONS)


def test_one_failed_check_is_enough_and_each_is_named() -> None:
    certificate = Certificate((Check("a", True, "1"), Check("b", False, "2 of 3"), Check("c", False, "none")))
    assert not certificate.ok
    with pytest.raises(NotCertified, match=r"b \(2 of 3\); c \(none\)$"):
        certificate.demand()
    assert certificate_from([]).checks == ()
